"""Warm start: a short-lived process of its own that lets the engine read the agent's own prompt
while the agent starts.

It gets everything it must know on stdin (no token in an argument list) and ends with its request,
with the agent, or after `LIMIT_S`: whatever ends it, its connection closes and the engine stops.
What it learns about the prompt is remembered for the next launch. It speaks only in its log.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from agentlaunch import process
from agentlaunch.endpoint import Endpoint
from agentlaunch.engines.base import Served
from agentlaunch.errors import AgentlaunchError
from agentlaunch.launch import own_code, prompt, rehearsal
from agentlaunch.launch.proving import Proven, subject_of
from agentlaunch.plan import LaunchPlan, Places
from agentlaunch.progress import finish
from agentlaunch.proof.check import Budget, Check
from agentlaunch.proof.recording import Recording, load
from agentlaunch.proof.remembered import Subject, remember
from agentlaunch.records import Records
from agentlaunch.settings import Paths

LIMIT_S = 30 * 60.0
"""A CPU may read a large prompt for so long; whoever waits for it waits for the same work."""
LOOK_S = 0.5
ONE_AT_A_TIME = ("embedded", "ollama", "llama.cpp")
"""Engines that read one prompt after another, so that what the agent asks waits for this one."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be read, and what it is read for; values that go to another process."""

    job: prompt.Job
    subject: Subject
    recording: Path
    """Of the prompt; where it is not there yet, `stage` tells how it is recorded."""
    stage: rehearsal.Stage | None = None


def task(
    plan: LaunchPlan, served: Served, proven: Proven, paths: Paths, where: Places
) -> Task | None:
    """What is left for the engine to read before the agent comes; None where that is nothing, or
    nobody would gain by it."""
    headless = plan.wish.agent.is_headless(plan.wish.args)
    subject = subject_of(plan, served)
    if proven.warm or prompt.is_paid(plan) or plan.wish.agent.rehearsal is None:
        return None
    if headless and subject.engine not in ONE_AT_A_TIME:
        return None  # the agent asks at once: the same would be read twice
    known = proven.of("truncation")
    if served.restored_tokens and known is not None and known.status != "skipped":
        return None
    recorded = rehearsal.place(plan, paths, where)
    stage: rehearsal.Stage | None = None
    if not recorded.is_file():
        if headless:
            return None  # it would be recorded when the agent itself has asked already
        stage = rehearsal.stage(plan, served, paths, where, allowed=False)
        if stage is None:
            return None
    job = prompt.job_of(plan, served, subject, proven.of("tool-call"))
    return Task(job, subject, recorded, stage)


def start(what: Task, paths: Paths) -> None:
    """Begin; it ends with this very process, which becomes the agent. Raises `ToolNotFound`."""
    me = process.identity()
    document = {
        "job": asdict(what.job),
        "subject": asdict(what.subject),
        "recording": str(what.recording),
        "stage": asdict(what.stage) if what.stage is not None else None,
        "state": str(paths.state),
        "owner": [me.pid, me.started] if me is not None else None,
    }
    log = paths.logs / "warm-start.log"
    log.unlink(missing_ok=True)
    child = process.Background(
        own_code.argv("agentlaunch.launch.warm"),
        log=log,
        env=dict(os.environ),
        stdin=json.dumps(document, default=str).encode(),
        cwd=paths.state,
    )
    child.leave()


def main() -> int:
    """The process itself; its status is 0 when the engine has read the prompt."""
    given = json.load(sys.stdin)
    owner = process.Identity(*given["owner"]) if given["owner"] else None
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with, args=(owner,), daemon=True).start()
    try:
        recording = _recorded(Path(given["recording"]), given["stage"])
        if recording is None:
            sys.stderr.write("not warmed: the agent's prompt is not known\n")
            return 1
        checks = _warm(_job(given["job"]), recording)
    except AgentlaunchError as error:
        sys.stderr.write(f"not warmed: {error.message}\n")
        return 1
    remember(Records(Path(given["state"])), Subject(**given["subject"]), checks)
    for check in checks:
        sys.stderr.write(f"{check.name}: {check.status}: {check.message}\n")
    return 0


def _recorded(place: Path, stage: dict[str, Any] | None) -> Recording | None:
    if stage is not None:
        return finish(rehearsal.play(rehearsal.Stage.from_json(stage)))
    return load(place)


def _warm(job: prompt.Job, recording: Recording) -> tuple[Check, ...]:
    """One turn: what a second one would read again is not worth to let the agent wait for."""
    return finish(prompt.measure(job, recording, Budget(LIMIT_S), second=False))


def _job(row: dict[str, Any]) -> prompt.Job:
    endpoint = Endpoint(**row["endpoint"] | {"wires": tuple(row["endpoint"]["wires"])})
    return replace(prompt.Job(**row), endpoint=endpoint)


def _end_with(owner: process.Identity | None) -> None:
    """End this process when the agent ends: nobody waits for the prompt any more."""
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until and (owner is None or process.is_alive(owner)):
        time.sleep(LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)


def _end(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(1)  # not at once: a rehearsal must end its agent
