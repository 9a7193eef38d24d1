"""The status line that a user already has: ours is shown together with it, never instead of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agentlaunch.agents.base import Agent
from agentlaunch.survey import watched


def own(agent: Agent, project: Path, config: Path) -> Mapping[str, object] | None:
    """What this agent would run for its footer by itself; None for nothing.

    `config` is its folder in this launch. What the project says counts where the user has told the
    agent that he trusts the folder, and outranks his own; keys of both are joined (read, Claude
    Code 2.1.197).
    """
    line = agent.status_line
    if line is None or not line.key:
        return None
    places = [config / line.user]
    if watched.is_trusted(agent, project, config):
        places += [project / name for name in reversed(line.project)]
    joined: dict[str, object] = {}
    for document in _documents(places):
        value = _at(document, line.key)
        if isinstance(value, dict):
            joined |= value
    command = joined.get("command")
    is_one = joined.get("type") == "command" and isinstance(command, str) and command.strip()
    return joined if is_one else None


def is_shown(agent: Agent, project: Path, config: Path) -> bool:
    """Will a line of ours be seen in a session on a terminal? Not where the agent has none, where
    an administrator has set another, or where the user has switched such commands off."""
    line = agent.status_line
    if line is None:
        return False
    above = list(_documents(_matching(line.administrators)))
    beside = list(_documents([config / line.user, *(project / name for name in line.project)]))
    return not (
        any(line.key and _at(document, line.key) for document in above)
        or _is_true(line.administrator_switches_off, above)
        or _is_true(line.switches_off, above + beside)
    )


def _is_true(keys: tuple[str, ...], documents: list[dict[str, Any]]) -> bool:
    return any(document.get(key) is True for document in documents for key in keys)


def _documents(places: list[Path]) -> Iterator[dict[str, Any]]:
    """What can be read of these; the agent itself complains of the rest."""
    for place in places:
        document = watched.read_document(place, "json")
        if document is not None:
            yield document


def _matching(patterns: tuple[str, ...]) -> list[Path]:
    found: list[Path] = []
    for pattern in map(Path, patterns):
        try:
            found += sorted(pattern.parent.glob(pattern.name))
        except OSError:
            continue
    return found


def _at(document: Mapping[str, Any], key: tuple[str, ...]) -> object:
    value: object = document
    for word in key:
        value = value.get(word) if isinstance(value, dict) else None
    return value
