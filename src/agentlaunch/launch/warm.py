"""Warm start: a short-lived process of its own that lets the engine read the agent's own prompt
while the agent starts.

It gets everything it must know on stdin (no token in an argument list) and ends with its request,
with the agent, or after `LIMIT_S`: whatever ends it, its connection closes and the engine stops.
What it learns about the prompt is remembered for the next launch. It speaks only in its log.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from agentlaunch import process
from agentlaunch.endpoint import Endpoint
from agentlaunch.errors import AgentlaunchError
from agentlaunch.launch import own_code, prompt
from agentlaunch.progress import finish
from agentlaunch.proof.check import Budget, Check
from agentlaunch.proof.recording import load
from agentlaunch.proof.remembered import Subject, remember
from agentlaunch.records import Records
from agentlaunch.settings import Paths

LIMIT_S = 30 * 60.0
"""A CPU may read a large prompt for so long; whoever waits for it waits for the same work."""
LOOK_S = 0.5


def start(job: prompt.Job, subject: Subject, recording: Path, paths: Paths) -> process.Background:
    """Begin; it ends with this very process, which becomes the agent. Raises `ToolNotFound`."""
    me = process.identity()
    task = {
        "job": asdict(job),
        "subject": asdict(subject),
        "recording": str(recording),
        "state": str(paths.state),
        "owner": [me.pid, me.started] if me is not None else None,
    }
    log = paths.logs / "warm-start.log"
    log.unlink(missing_ok=True)
    return process.Background(
        own_code.argv("agentlaunch.launch.warm"),
        log=log,
        env=dict(os.environ),
        stdin=json.dumps(task).encode(),
        cwd=paths.state,
    )


def main() -> int:
    """The process itself; its status is 0 when the engine has read the prompt."""
    task = json.load(sys.stdin)
    owner = process.Identity(*task["owner"]) if task["owner"] else None
    ended = threading.Thread(target=_end_with, args=(owner,), daemon=True)
    ended.start()
    try:
        checks = _warm(_job(task["job"]), Path(task["recording"]))
    except AgentlaunchError as error:
        sys.stderr.write(f"not warmed: {error.message}\n")
        return 1
    remember(Records(Path(task["state"])), Subject(**task["subject"]), checks)
    for check in checks:
        sys.stderr.write(f"{check.name}: {check.status}: {check.message}\n")
    return 0


def _warm(job: prompt.Job, recorded: Path) -> tuple[Check, ...]:
    """One turn: what a second one would read again is not worth to let the agent wait for."""
    recording = load(recorded)
    if recording is None:
        return ()
    return finish(prompt.measure(job, recording, Budget(LIMIT_S), second=False))


def _job(row: dict[str, Any]) -> prompt.Job:
    endpoint = Endpoint(**row["endpoint"] | {"wires": tuple(row["endpoint"]["wires"])})
    return replace(prompt.Job(**row), endpoint=endpoint)


def _end_with(owner: process.Identity | None) -> None:
    """End this process when the agent ends: nobody waits for the prompt any more."""
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until and (owner is None or process.is_alive(owner)):
        time.sleep(LOOK_S)
    os._exit(1)
