"""Programs that a launch runs on, and those that hide."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentlaunch import managed, process
from agentlaunch.agents import AGENTS
from agentlaunch.agents.base import Agent


@dataclass(frozen=True, slots=True)
class Hidden:
    """A program that stands on PATH or where its installer puts it, and cannot be used."""

    agent: str
    path: Path
    problem: Literal["broken-link", "not-executable", "open-folder"]


def node_version() -> tuple[int, ...] | None:
    """Node's version, where it is needed because an agent is missing that we would install."""
    absent = [a for a in AGENTS.values() if process.find_program(a.binary) is None]
    node = process.find_program("node") if any(a.package for a in absent) else None
    return None if node is None else managed.version_of(node)


def hidden(environ: Mapping[str, str]) -> Iterator[Hidden]:
    for agent in AGENTS.values():
        yield from _hidden(agent, environ)


def _hidden(agent: Agent, environ: Mapping[str, str]) -> Iterator[Hidden]:
    folders = [Path(word) for word in environ.get("PATH", "").split(os.pathsep) if word]
    known = [expanded(place) for place in agent.known_places]
    found = [folder / agent.binary for folder in folders if folder.is_absolute()]
    for path in dict.fromkeys([*found, *(place for place in known if place is not None)]):
        if not os.path.lexists(path):
            continue
        if not os.path.exists(path):  # noqa: PTH110 - never raises
            yield Hidden(agent.name, path, "broken-link")
        elif path in found and _is_open(path.parent):
            yield Hidden(agent.name, path, "open-folder")
        elif not os.access(path, os.X_OK):
            yield Hidden(agent.name, path, "not-executable")


def expanded(text: str) -> Path | None:
    """A path with `~` in it, or None where no home is known."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return None


def _is_open(folder: Path) -> bool:
    try:
        return os.name == "posix" and bool(folder.stat().st_mode & 0o002)
    except OSError:
        return False
