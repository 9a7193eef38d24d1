"""What dead runs of ours left: engines, private files, half installations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from agentlaunch import files, managed, process
from agentlaunch.agents import AGENTS
from agentlaunch.engines import llama_cpp, llama_cpp_host
from agentlaunch.settings import Paths

PRIVATE = ("launches", "env")
"""Folders below the runtime folder: private files of launches and of shells."""


def dead_engines(paths: Paths) -> Iterator[Path]:
    """State files behind which no engine runs. One that living sessions wait for is none of them:
    the next engine takes its address, so that their agents find it again."""
    folder = paths.runtime / llama_cpp.FOLDER
    if not (files.is_own(paths.runtime) and files.is_own(folder)):
        return
    for path in sorted(folder.glob("*.json")):
        if not _runs(path) and not _awaited(path.with_suffix(".leases")):
            yield path


def _runs(state_file: Path) -> bool:
    state = files.read_json(state_file) or {}
    pid, mark = state.get("pid"), state.get("mark")
    if not isinstance(pid, int) or isinstance(pid, bool) or not 0 < pid < 1 << 31:
        return False
    return llama_cpp_host.start_mark(pid) == mark


def _awaited(leases: Path) -> bool:
    for path in leases.glob("*") if files.is_own(leases) else ():
        lease = files.read_json(path) or {}
        pid, mark = lease.get("pid"), lease.get("mark")
        if isinstance(pid, int) and 0 < pid < 1 << 31 and llama_cpp_host.start_mark(pid) == mark:
            return True
    return False


def dead_files(paths: Paths) -> Iterator[Path]:
    """Private files and folders of launches and shells whose process is gone (their names end in
    pid-start)."""
    for below in PRIVATE:
        folder = paths.runtime / below
        if not (files.is_own(paths.runtime) and files.is_own(folder)):
            continue
        for path in sorted(folder.iterdir()):
            name = path.name if path.is_dir() else path.stem
            found = re.fullmatch(r".*-([0-9]{1,9})-([^-]*)", name)
            if found is None:
                continue
            if not process.is_alive(process.Identity(int(found[1]), found[2])):
                yield path


def unfinished(paths: Paths) -> tuple[managed.Installed, ...]:
    """What killed installations left, or what one at work is building."""
    return tuple(row for row in managed.installed_all(paths) if not row.complete)


def damaged(paths: Paths) -> tuple[managed.Package, ...]:
    """Packages whose environment says that it is whole and lacks a program."""
    known = [agent.package for agent in AGENTS.values() if agent.package] + [llama_cpp.PACKAGE]
    whole = {(row.name, row.version) for row in managed.installed_all(paths) if row.complete}
    return tuple(
        package
        for package in known
        if (package.name, package.version) in whole and managed.installed(package, paths) is None
    )
