"""Run npm, pip or uv to its end, and tell how far it is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from agentlaunch import files, process
from agentlaunch.managed.faults import install_error
from agentlaunch.managed.package import Package, log_path
from agentlaunch.progress import Progress, Work
from agentlaunch.settings import Paths

NOTE = "installer.json"
REPORT_S = 0.3
POLL_S = 0.05


def run_installer(
    package: Package,
    paths: Paths,
    building: Path,
    argv: list[str],
    env: Mapping[str, str],
    cache: Path,
) -> Work[None]:
    """Run one installer to its end; its output goes to a log, its failure becomes our error.

    npm and pip say nothing usable about their progress, so it is read off the disk.
    """
    log = log_path(package, paths)
    log.unlink(missing_ok=True)
    before = files.tree_bytes(cache)
    child = process.Background(argv, log=log, env=env, cwd=building)
    try:
        who = process.identity(child.pid)
        if who is not None:
            note = {"pid": who.pid, "started": who.started}
            files.write_json(building / NOTE, note)
        report_at = 0.0
        while child.poll() is None:
            if time.monotonic() >= report_at:
                yield _report(package, building, files.tree_bytes(cache) - before)
                report_at = time.monotonic() + REPORT_S
            time.sleep(POLL_S)
    finally:
        if child.poll() is None:
            child.kill()
    if child.poll() != 0:
        raise install_error(package, paths)


def _report(package: Package, building: Path, cached_bytes: int) -> Progress:
    total = package.size_bytes + (package.download_bytes or 0)
    done = files.tree_bytes(building) + max(0, cached_bytes)
    return Progress(f"installing {package.name} {package.version}", min(done, total), total)


def end_orphan(building: Path) -> None:
    """End the npm or pip that outlived its killed agentlaunch, before its folder goes."""
    note = files.read_json(building / NOTE)
    if note is None:
        return
    try:
        who = process.Identity(int(note["pid"]), str(note["started"]))
    except (KeyError, TypeError, ValueError):
        return
    process.end(who, grace_s=2.0)
