"""A download that goes on in the background while another model serves: begun once, remembered."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentlaunch import files, process
from agentlaunch.models.refs import parse_ref
from agentlaunch.settings import Paths

_LOCK_S = 10.0


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
    """The background download of a model, if there is one."""
    name = str(parse_ref(ref))
    return next((row for row in running(paths) if row.ref == name), None)


def start(ref: str, paths: Paths, *, engine: str, size_bytes: int, insecure: bool) -> Download:
    """Fetch a model in the background, in a session of its own that outlives us; one that is being
    fetched already is not fetched twice.

    The person agreed to `size_bytes`, so that is its limit. Raises `Refused` while another of us is
    at the same, and `ToolNotFound`.
    """
    name = str(parse_ref(ref))
    files.private_tree(paths.state, paths.logs)
    with files.locked(paths.state / "downloads.lock", timeout_s=_LOCK_S, what="a download"):
        there = find(name, paths)
        if there is not None:
            return there
        log = paths.logs / f"pull-{re.sub(r'[^A-Za-z0-9._-]', '-', name)}.log"
        with contextlib.suppress(OSError):
            log.unlink()
        child = process.Background(
            _command(ref, engine, insecure=insecure),
            log=log,
            env={**os.environ, "AGENTLAUNCH_MAX_DOWNLOAD": f"{size_bytes}B"},
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


def _command(ref: str, engine: str, *, insecure: bool) -> Sequence[str]:
    argv = [sys.executable, "-m", "agentlaunch", "models", "pull", ref, "--yes"]
    return [*argv, "--engine", engine, *(["--insecure"] if insecure else [])]


def _record(paths: Paths) -> Path:
    return paths.state / "downloads.json"
