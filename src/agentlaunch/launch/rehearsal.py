"""Record an agent's own first request: one run of the real agent against a throwaway server.

It gets the hand-over of the launch itself, in the same folder with the same home, so that skills,
MCP tools and instructions stand in the prompt as they will. Its session is kept nowhere and no hook
runs. On a terminal agents send another prompt than headless (Claude Code, Codex, OpenCode: other
tools, another first line), so each kind is recorded as it will be started.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import astuple, replace
from pathlib import Path

from agentlaunch.agents.base import PROMPT, PrivateFile, Rehearsal, Unset, own_folder
from agentlaunch.endpoint import Endpoint
from agentlaunch.engines.base import Served
from agentlaunch.errors import AgentlaunchError
from agentlaunch.launch import shaping
from agentlaunch.launch.stage import Stage, play
from agentlaunch.plan import LaunchPlan, Places, handover
from agentlaunch.progress import Progress, Work
from agentlaunch.proof import recording
from agentlaunch.proof.recording import Recording
from agentlaunch.settings import Paths
from agentlaunch.survey import watched

__all__ = ["LIMIT_S", "PATIENT_S", "Stage", "find", "place", "play", "record", "stage"]

LIMIT_S = 30.0
"""While somebody waits. OpenCode needs 14 s to its first request on two cores; a dialog that waits
for a person has none at all."""
PATIENT_S = 90.0
"""While the agent itself starts beside it."""


def place(plan: LaunchPlan, paths: Paths, where: Places) -> Path:
    """Where the recording of this launch's first request lies, or will lie."""
    key = shaping.key_of(plan, where, headless=_headless(plan, where))
    return paths.cache / recording.FOLDER / f"{key}.json"


def find(plan: LaunchPlan, paths: Paths, where: Places) -> Recording | None:
    """The recording that an earlier launch like this one made; None where something has changed."""
    if plan.wish.agent.rehearsal is None:
        return None
    return recording.load(place(plan, paths, where))


def record(
    plan: LaunchPlan,
    served: Served,
    paths: Paths,
    where: Places,
    *,
    allowed: bool = True,
    limit_s: float = LIMIT_S,
) -> Work[Recording | None]:
    """Record it now and keep it; None where that did not work, the last report says why.

    `allowed` is whether the user has agreed to what this folder runs by itself; without, nothing is
    rehearsed in a folder that would run anything.
    """
    activity = f"looking at the prompt of {plan.agent.agent.title}"
    yield Progress(activity)
    try:
        reason = _why_not(plan, where, allowed=allowed)
        if reason is not None:
            yield Progress(activity, detail=reason)
            return None
        made = _stage(plan, served, paths, where, limit_s)
        kept = yield from play(made, where.environ)
        if kept is not None:
            # A first start may have laid skills of its own into the user's folder.
            Path(made.path).replace(place(plan, paths, where))
    except (AgentlaunchError, OSError, ValueError) as error:
        yield Progress(activity, detail=f"not recorded: {error}")
        return None
    return kept


def stage(
    plan: LaunchPlan,
    served: Served,
    paths: Paths,
    where: Places,
    *,
    allowed: bool = True,
    limit_s: float = PATIENT_S,
) -> Stage | None:
    """What another process needs to record it (`play`); None where nothing is to be rehearsed."""
    try:
        if _why_not(plan, where, allowed=allowed) is not None:
            return None
        return _stage(plan, served, paths, where, limit_s)
    except (AgentlaunchError, OSError, ValueError):
        return None


def _why_not(plan: LaunchPlan, where: Places, *, allowed: bool) -> str | None:
    if plan.wish.agent.rehearsal is None:
        return f"{plan.agent.agent.title} cannot be rehearsed without traces"
    if not allowed and _runs(plan, where):
        return "this folder would run commands of its own"
    return None


def _headless(plan: LaunchPlan, where: Places) -> bool:
    """Is the launch headless, or can no other be rehearsed?"""
    agent, rehearsal = plan.wish.agent, plan.wish.agent.rehearsal
    if rehearsal is None or not rehearsal.interactive or agent.is_headless(plan.wish.args):
        return True
    if os.name != "posix":
        return True
    # Its own dialog would stand in the way; whether he trusts a folder is the user's to say.
    asks = agent.trust is not None and agent.trust.asks
    return asks and not watched.is_trusted(agent, where.project, _config(plan, where))


def _config(plan: LaunchPlan, where: Places) -> Path:
    agent = plan.wish.agent
    if plan.wish.home == "clean":
        return where.homes / agent.name
    return own_folder(agent, where.environ)


def _runs(plan: LaunchPlan, where: Places) -> bool:
    seen = watched.look(plan.wish.agent, where.project, _config(plan, where))
    return bool(seen.runs) and not seen.trusted


def _stage(plan: LaunchPlan, served: Served, paths: Paths, where: Places, limit_s: float) -> Stage:
    agent = plan.wish.agent
    rehearsal, headless = agent.rehearsal or Rehearsal(()), _headless(plan, where)
    word = f"hello-{secrets.token_hex(4)}"
    args = tuple(
        part.replace(PROMPT, word)
        for part in (rehearsal.args if headless else rehearsal.interactive)
    )
    folder = where.runtime / f"rehearsal-{where.run_name}"
    port, token = _free_port(), secrets.token_hex(16)
    endpoint = Endpoint(
        f"http://127.0.0.1:{port}", served.endpoint.wires, served.endpoint.model, token
    )
    given = handover(
        replace(plan.wish, args=args),
        plan.agent,
        endpoint,
        plan.context,
        replace(where, runtime=folder),
    )
    env = {name: None if isinstance(v, Unset) else v for name, v in given.env.items()}
    more = {name: text.replace("{folder}", str(folder)) for name, text in rehearsal.env.items()}
    return Stage(
        agent=agent.name,
        title=plan.agent.agent.title,
        version=plan.agent.version,
        argv=given.argv,
        env=env | more,
        files=tuple(_laid(_with(file, rehearsal)) for file in given.files),
        seeds=tuple(_laid(file) for file in given.seeds),
        links=tuple((str(link.path), str(link.to)) for link in given.links),
        cwd=str(where.project),
        folder=str(folder),
        roots=tuple(str(root) for root in astuple(paths)),
        headless=headless,
        path=str(place(plan, paths, where)),
        word=word,
        port=port,
        token=token,
        model=served.endpoint.model,
        wires=served.endpoint.wires,
        context_tokens=plan.context.engine_tokens,
        has_tools=agent.needs_tools,
        limit_s=limit_s,
    )


def _laid(file: PrivateFile) -> tuple[str, str]:
    return str(file.path), file.content.decode()


def _free_port() -> int:
    """One that nobody has now; who takes it meanwhile makes the rehearsal fail, not go elsewhere:
    the agent is started only when the stand-in listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _with(file: PrivateFile, rehearsal: Rehearsal) -> PrivateFile:
    """A private file with the settings of a rehearsal in it."""
    if not rehearsal.settings or file.path.suffix != ".json":
        return file
    document = json.loads(file.content)
    for name, value in rehearsal.settings.items():
        there = document.get(name)
        if isinstance(there, dict) and isinstance(value, Mapping):
            there.update(value)
        else:
            document[name] = value
    return replace(file, content=json.dumps(document).encode())
