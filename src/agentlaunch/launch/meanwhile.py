"""A download that goes on in the background while another model serves: begun once, remembered."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentlaunch import files, process
from agentlaunch.launch import own_code
from agentlaunch.models.refs import parse_ref
from agentlaunch.progress import Progress, Work
from agentlaunch.settings import Paths

_LOCK_S = 10.0
_LOOK_S = 0.5

SPARE_SHARE, SPARE_BYTES = 0.02, 50_000_000
"""What a download may exceed its agreed size by: sizes of the catalog are rounded."""


@dataclass(frozen=True, slots=True)
class Download:
    """A running `models pull` of ours, and where it says how far it is."""

    ref: str
    who: process.Identity
    log: Path


def running(paths: Paths) -> tuple[Download, ...]:
    """Every download that goes on in the background now."""
    found = []
    for ref, row in (files.read_json(_record(paths)) or {}).items():
        entry = row if isinstance(row, dict) else {}
        pid, started, log = entry.get("pid"), entry.get("started"), entry.get("log")
        if isinstance(pid, int) and isinstance(started, str) and isinstance(log, str):
            who = process.Identity(pid, started)
            if process.is_alive(who):
                found.append(Download(ref, who, Path(log)))
    return tuple(found)


def find(ref: str, paths: Paths) -> Download | None:
    """The background download of a model, if there is one; we are none to ourselves."""
    name = str(parse_ref(ref))
    rows = (row for row in running(paths) if row.who.pid != os.getpid())
    return next((row for row in rows if row.ref == name), None)


def wait(download: Download) -> Work[None]:
    """Follow a background download to its end, whatever that is; whoever stops following it stops
    no download."""
    while process.is_alive(download.who):
        lines = files.tail(download.log).splitlines()
        yield Progress(lines[-1] if lines else "downloading in the background")
        time.sleep(_LOOK_S)


def start(ref: str, paths: Paths, *, engine: str, size_bytes: int, insecure: bool) -> Download:
    """Fetch a model in the background, in a session of its own that outlives us; one that is being
    fetched already is not fetched twice.

    The person agreed to `size_bytes`, so that and what rounding may hide is its limit. Raises
    `Refused` while another of us is at the same, and `ToolNotFound`.
    """
    name = str(parse_ref(ref))
    files.private_tree(paths.state, paths.logs)
    with files.locked(paths.state / "downloads.lock", timeout_s=_LOCK_S, what="a download"):
        there = find(name, paths)
        if there is not None:
            return there
        log = log_of(name, paths)
        with contextlib.suppress(OSError):
            log.unlink()
        child = process.Background(
            _command(ref, engine, insecure=insecure),
            log=log,
            env={**os.environ, "AGENTLAUNCH_MAX_DOWNLOAD": f"{most_bytes(size_bytes)}B"},
            cwd=paths.state,  # no project's file has a say, and none of its modules is imported
        )
        who = process.identity(child.pid) or process.Identity(child.pid, "")
        rows = {row.ref: row for row in running(paths)} | {name: Download(name, who, log)}
        files.write_json(
            _record(paths),
            {
                row.ref: {"pid": row.who.pid, "started": row.who.started, "log": str(row.log)}
                for row in rows.values()
            },
        )
    return Download(name, who, log)


def most_bytes(size_bytes: int) -> int:
    """The most that may come where a person agreed to a size."""
    return int(size_bytes * (1 + SPARE_SHARE)) + SPARE_BYTES


def log_of(name: str, paths: Paths) -> Path:
    """Where a download says how far it is: readable, and another file for every other name."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return paths.logs / f"pull-{re.sub(r'[^A-Za-z0-9._-]', '-', name)}-{digest}.log"


def _command(ref: str, engine: str, *, insecure: bool) -> Sequence[str]:
    argv = [*own_code.argv("agentlaunch.cli"), "models", "pull", ref, "--yes"]
    # The launch that starts it has the user's word for its server, perhaps only for this once.
    return [*argv, "--engine", engine, "--allow-remote", *(["--insecure"] if insecure else [])]


def _record(paths: Paths) -> Path:
    return paths.state / "downloads.json"
