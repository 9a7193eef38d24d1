"""Record an agent's own first request: one run of the real agent against a throwaway server.

It gets the hand-over of the launch itself, in the same folder with the same home, so that skills,
MCP tools and instructions stand in the prompt as they will. Its session is kept nowhere and no hook
runs. On a terminal agents send another prompt than headless (Claude Code, Codex, OpenCode: other
tools, another first line), so each kind is recorded as it will be started.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from agentlaunch import files, process
from agentlaunch.agents.base import PROMPT, Handover, PrivateFile, Rehearsal, own_folder
from agentlaunch.endpoint import Endpoint
from agentlaunch.engines.base import Served
from agentlaunch.errors import AgentlaunchError
from agentlaunch.launch import child_environment, shaping, write_files
from agentlaunch.launch.stand_in import StandIn
from agentlaunch.plan import LaunchPlan, Places, handover
from agentlaunch.progress import Progress, Work
from agentlaunch.proof import recording
from agentlaunch.proof.recording import Recording
from agentlaunch.settings import Paths
from agentlaunch.survey import watched
from agentlaunch.units import format_seconds

FOLDER = "recordings"
KEPT = 50
"""Recordings; the oldest go first."""
LIMIT_S = 30.0
"""OpenCode needs 14 s to its first request on two cores; a dialog that waits for a person has none
at all."""
AFTER_S = 1.0
"""What else comes with the first request comes so soon: titles, summaries."""
LOOK_S = 0.1


def place(plan: LaunchPlan, paths: Paths, where: Places) -> Path:
    """Where the recording of this launch's first request lies, or will lie."""
    return _place(plan, paths, where, headless=_headless(plan, where))


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
    title = plan.agent.agent.title
    activity = f"looking at the prompt of {title}"
    yield Progress(activity)
    if plan.wish.agent.rehearsal is None:
        yield Progress(activity, detail=f"{title} cannot be rehearsed without traces")
        return None
    headless = _headless(plan, where)
    try:
        if not allowed and _runs(plan, where):
            yield Progress(activity, detail="this folder would run commands of its own")
            return None
        kept = yield from _rehearse(plan, served, paths, where, headless, activity, limit_s)
        if kept is not None:
            # Only now: a first start may have laid skills of its own into the user's folder.
            target = _place(plan, paths, where, headless=headless)
            recording.save(kept, target)
            _sweep(target.parent)
    except (AgentlaunchError, OSError, ValueError) as error:
        yield Progress(activity, detail=f"not recorded: {error}")
        return None
    if kept is None:
        yield Progress(activity, detail=f"{title} sent no request")
    return kept


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


def _place(plan: LaunchPlan, paths: Paths, where: Places, *, headless: bool) -> Path:
    return paths.cache / FOLDER / f"{shaping.key_of(plan, where, headless=headless)}.json"


def _rehearse(
    plan: LaunchPlan,
    served: Served,
    paths: Paths,
    where: Places,
    headless: bool,
    activity: str,
    limit_s: float,
) -> Work[Recording | None]:
    rehearsal = plan.wish.agent.rehearsal or Rehearsal(())
    # One word that stands nowhere else, so that it can be taken out again.
    word = f"hello-{secrets.token_hex(4)}"
    args = tuple(
        part.replace(PROMPT, word)
        for part in (rehearsal.args if headless else rehearsal.interactive)
    )
    with (
        _throwaway(paths, where) as folder,
        StandIn(
            served.endpoint.model,
            secrets.token_hex(16),
            plan.context.engine_tokens,
            has_tools=plan.wish.agent.needs_tools,
        ) as stand_in,
    ):
        endpoint = Endpoint(
            stand_in.url, served.endpoint.wires, served.endpoint.model, stand_in.token
        )
        given = handover(
            replace(plan.wish, args=args),
            plan.agent,
            endpoint,
            plan.context,
            replace(where, runtime=folder),
        )
        given = replace(given, files=tuple(_with(file, rehearsal) for file in given.files))
        write_files(given, paths)
        more = {name: text.replace("{folder}", str(folder)) for name, text in rehearsal.env.items()}
        yield from _run(given, where, more, folder, headless, stand_in, activity, limit_s)
        asked, complete = stand_in.asked, stand_in.first.is_set()
    if not complete:
        return None
    wire = asked[0][0]
    bodies = [body for each, body in asked if each == wire]
    return recording.record(plan.wish.agent.name, plan.agent.version, wire, [*bodies], word)


def _run(
    given: Handover,
    where: Places,
    more: Mapping[str, str],
    folder: Path,
    headless: bool,
    stand_in: StandIn,
    activity: str,
    limit_s: float,
) -> Work[None]:
    """The agent, until it ends by itself, has shown what it sends, or takes too long."""
    env = child_environment(given, where.environ) | dict(more)
    begun = time.monotonic()
    if headless:
        child = process.Background(
            given.argv, log=folder / "rehearsal.log", env=env, cwd=where.project
        )
        try:
            while child.poll() is None and time.monotonic() - begun < limit_s:
                time.sleep(LOOK_S)
                yield Progress(activity, detail=format_seconds(time.monotonic() - begun))
        finally:
            child.kill()
        return
    if env.get("TERM", "dumb") == "dumb":
        env["TERM"] = "xterm-256color"
    shown = process.OnTerminal(given.argv, env=env, cwd=where.project)
    came: float | None = None
    try:
        while shown.poll() is None:
            now = time.monotonic() - begun
            if came is None and stand_in.first.is_set():
                came = now
            if now > (limit_s if came is None else came + AFTER_S):
                break
            time.sleep(LOOK_S)
            yield Progress(activity, detail=format_seconds(now))
    finally:
        shown.end()


def _with(file: PrivateFile, rehearsal: Rehearsal) -> PrivateFile:
    """A private file with the settings of a rehearsal in it."""
    if not rehearsal.settings or file.path.suffix != ".json":
        return file
    document = json.loads(file.content)
    return replace(file, content=json.dumps(document | dict(rehearsal.settings)).encode())


@contextlib.contextmanager
def _throwaway(paths: Paths, where: Places) -> Iterator[Path]:
    """A private folder; one that is left behind is swept with those of dead launches."""
    folder = files.private_tree(paths.runtime, where.runtime / f"rehearsal-{where.run_name}")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(folder: Path) -> None:
    def age(file: Path) -> float:
        try:
            return -file.stat().st_mtime
        except OSError:
            return 0.0

    for file in sorted(folder.glob("*.json"), key=age)[KEPT:]:
        with contextlib.suppress(OSError):
            file.unlink()
