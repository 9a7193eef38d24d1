"""Do a plan: install, pull, serve, read back, write what the agent is pointed at, hand over.

The only room below the commands that talks. After `hand_over` agentlaunch is gone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from agentlaunch import files, launches, managed, process, records, survey
from agentlaunch.agents.base import Handover, Link, Unset
from agentlaunch.engines import remote
from agentlaunch.engines.base import Served
from agentlaunch.errors import (
    AgentlaunchError,
    Refused,
    Terminated,
)
from agentlaunch.launch import serving
from agentlaunch.launch.terms import Terms
from agentlaunch.plan import LaunchPlan, Places, Prove, Warm, handover
from agentlaunch.settings import Paths
from agentlaunch.survey import leftovers
from agentlaunch.talk import Talk

if TYPE_CHECKING:
    from agentlaunch.launch.proving import Proven
    from agentlaunch.launch.warm import Task

LAUNCHES, ENVIRONMENTS = leftovers.PRIVATE
"""Folders below the runtime folder: private files of launches, and of shells (`env`)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ready:
    """A launch that needs nothing more than to become the agent."""

    plan: LaunchPlan
    served: Served
    handover: Handover
    proven: Proven | None = None
    warming: Task | None = None
    """What the engine is to read while the agent starts."""
    undo: contextlib.ExitStack = dataclasses.field(
        default_factory=contextlib.ExitStack, repr=False, compare=False
    )
    """Closed when the agent does not come after all: takes back what was loaded for it."""


def places(paths: Paths, environ: Mapping[str, str] | None = None) -> Places:
    """Where this launch's private files and clean homes lie; named after this very process."""
    me = process.identity()
    return Places(
        runtime=paths.runtime / LAUNCHES,
        homes=paths.data / "homes",
        run_name=str(me) if me is not None else str(os.getpid()),
        environ=dict(os.environ if environ is None else environ),
        project=here(),
    )


def here() -> Path:
    """The folder that the agent will be started in."""
    try:
        return Path.cwd()
    except OSError:  # the folder is gone
        return Path()


def prepare(
    plan: LaunchPlan,
    talk: Talk,
    paths: Paths,
    where: Places,
    *,
    insecure: bool,
    idle_minutes: int = 15,
    max_download_bytes: int | None = None,
) -> Ready:
    """Everything before the hand-over: each step said as it ends, each failure an error.

    Proven is what the plan wants proven (`Prove`).

    An engine that is started for it ends after `idle_minutes` without work and sessions. `--yes`
    agrees to no download of more than `max_download_bytes`.
    """
    terms = Terms(talk, paths, where, insecure, idle_minutes, max_download_bytes)
    plan = serving.bring(plan, terms)
    agent = survey.ask_version(survey.find_agent(plan.wish.agent, paths))
    if agent.path is None:
        raise AgentlaunchError(f"{plan.wish.agent.title} is still missing after its installation")
    for code, text in version_remarks(agent):
        talk.warn(text, code=code)
    with terms.undo as undo:
        served, plan = serving.serve(plan, terms)
        plan = dataclasses.replace(plan, agent=agent)
        proven = _prove(plan, served, talk, paths, where)
        promise_s = proven.first_word_s if proven is not None else None
        given = handover(
            plan.wish,
            agent,
            served.endpoint,
            plan.context,
            where,
            first_word_s=promise_s,
            roles=plan.roles,
        )
        warming = _warming(plan, served, proven, paths, where)
        return Ready(plan, served, given, proven, warming, undo.pop_all())


def _warming(
    plan: LaunchPlan, served: Served, proven: Proven | None, paths: Paths, where: Places
) -> Task | None:
    """What the engine reads while the agent starts; comfort, so nothing stops for it."""
    if proven is None or proven.broken or not any(isinstance(step, Warm) for step in plan.steps):
        return None
    from agentlaunch.launch import warm

    try:
        return warm.task(plan, served, proven, paths, where)
    except (AgentlaunchError, OSError, ValueError):
        return None


def _prove(
    plan: LaunchPlan, served: Served, talk: Talk, paths: Paths, where: Places
) -> Proven | None:
    """What the plan wants proven, insisted on; None where it wants nothing."""
    step = next((step for step in plan.steps if isinstance(step, Prove)), None)
    if step is None:
        return None
    from agentlaunch.launch import proving  # its rooms cost milliseconds that others need not pay
    from agentlaunch.proof.check import Budget

    budget = Budget(step.limit_s)
    if plan.hybrid is not None:
        from agentlaunch.launch import chain_proof

        proven = chain_proof.prove(plan, plan.hybrid, served, talk, paths, where, budget=budget)
    else:
        proven = proving.prove(plan, served, talk, paths, where, budget=budget)
    proving.insist(proven, talk)
    return proven


def version_remarks(state: survey.AgentState) -> list[tuple[str, str]]:
    """What to say of a version that was not tested, with what is known to break."""
    title, version = state.agent.title, state.version
    rows = []
    if state.passed_over is not None:
        path, other = state.passed_over
        text = f"your {title} {other} at {path} was not tested: this launch uses ours, {version}"
        rows.append(("own-version-passed-over", text))
    old = _old_node(state)
    if old is not None:
        rows.append(("node-too-old", old))
    if version is None or state.tested:
        return rows
    tested = ", ".join(state.agent.tested_versions)
    text = f"{title} {version} was not tested with agentlaunch ({tested or 'none was'})"
    if state.agent.package is not None:
        text += f"; agentlaunch agents install {state.agent.name} brings one that was"
    rows.append(("untested-version", text))
    rows += [("known-to-break", f"{title} {version}: {text}") for text in state.breaks]
    return rows


def _old_node(state: survey.AgentState) -> str | None:
    """The user's own agent under a Node.js that is too old for it, and none of ours to run it."""
    package, path = state.agent.package, state.path
    if package is None or path is None or state.runner:
        return None
    old = managed.too_old(package, path)
    if old is None:
        return None
    way_out = f"agentlaunch agents install {state.agent.name} brings one"
    return f"{state.agent.title} would run under Node.js {old}: {way_out}"


@contextlib.contextmanager
def taking_back(ready: Ready) -> Iterator[None]:
    """Around what is left to do: where it fails, what was loaded for the agent is taken back."""
    try:
        yield
    except (Exception, KeyboardInterrupt, Terminated):
        ready.undo.close()
        raise


def hand_over(ready: Ready, talk: Talk, paths: Paths, status_file: Path | None) -> NoReturn:
    """Write the launch's private files and the status file, then become the agent."""
    sweep(paths)
    write_files(ready.handover, paths)
    agent, model = ready.plan.wish.agent, ready.served.endpoint.model
    choice = {"agent": agent.name, "model": ready.plan.model.id, "engine": ready.plan.engine}
    weights = ready.plan.model.weights
    if weights is not None and weights.source == "gguf":  # its id is only the file's name
        choice["path"] = str(weights.path)
    with contextlib.suppress(Refused, OSError):  # comfort: forgetting it stops no launch
        records.Records(paths.state).remember("choices", "last", choice)
    with contextlib.suppress(Refused, OSError):
        launches.append(paths.state, _logged(ready))
    if status_file is not None:
        write_status(
            status_file, "handed-over", None, agent=agent.name, model=model, plan=ready.plan
        )
    if ready.warming is not None:
        from agentlaunch.launch import warm

        with contextlib.suppress(AgentlaunchError, OSError):
            warm.start(ready.warming, paths)
            talk.say(f"the engine reads the prompt of {agent.title} while that starts")
    talk.say(f"handing over to {agent.title}")
    process.become(ready.handover.argv, child_environment(ready.handover, os.environ))


def _logged(ready: Ready) -> launches.Launch:
    """What is written down of a launch, for who asks later what was used."""
    made, endpoint = ready.plan, ready.served.endpoint
    facts = made.remote
    return launches.Launch(
        at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        agent=made.wish.agent.name,
        model=endpoint.model,
        model_id=made.model.id,
        engine=facts.kind if facts is not None else ready.served.engine,
        url=facts.url if facts is not None else None,
        local=endpoint.is_loopback,
        managed=facts is not None and facts.preset is not None and facts.preset.hosted,
        project=str(here()),
    )


def child_environment(given: Handover, environ: Mapping[str, str]) -> dict[str, str]:
    """The inherited environment with the hand-over's changes on top."""
    env = dict(environ)
    env.pop(remote.KEY_VARIABLE, None)  # the endpoint's token carries it where it is needed
    for name, value in given.env.items():
        if isinstance(value, Unset):
            env.pop(name, None)
        else:
            env[name] = value
    return env


def write_status(
    path: Path,
    stage: str,
    exit_code: int | None,
    *,
    agent: str | None,
    model: str | None,
    plan: LaunchPlan | None,
) -> None:
    """How far a launch came (CONTRACT: `--status-file`), for a script that sees only a status."""
    status = {
        "schema": "agentlaunch/status/1",
        "stage": stage,
        "exit": exit_code,
        "pid": os.getpid(),
        "agent": agent,
        "model": model,
        "engine": plan.engine if plan is not None else None,
    }
    files.write_given(path, files.json_bytes(status))


def write_files(given: Handover, paths: Paths) -> None:
    """Write what the agent is pointed at, for this user alone; seeds only where nothing is yet."""
    for file in given.files:
        files.private_tree(paths.runtime, file.path.parent)
        files.write_atomic(file.path, file.content)
    for seed in given.seeds:
        if not seed.path.exists():
            files.private_tree(paths.data / "homes", seed.path.parent)
            files.write_atomic(seed.path, seed.content)
    for link in given.links:
        _share(link, paths)


def _share(link: Link, paths: Paths) -> None:
    """Make the link where the user has what it leads to; one that leads elsewhere is replaced."""
    there = link.path.readlink() if link.path.is_symlink() else None
    if there == link.to or (there is None and link.path.exists()):
        return
    if there is not None:
        link.path.unlink()
    if link.to.exists():
        root = paths.runtime if link.path.is_relative_to(paths.runtime) else paths.data / "homes"
        files.private_tree(root, link.path.parent)
        link.path.symlink_to(link.to)


def sweep(paths: Paths) -> None:
    """Remove private files whose process is gone: a launch's own, or the engine that a shell was
    pointed at."""
    for file in list(leftovers.dead_files(paths)):
        with contextlib.suppress(OSError):  # what cannot be removed stops no launch
            if file.is_dir() and not file.is_symlink():
                shutil.rmtree(file)
            else:
                file.unlink(missing_ok=True)
