"""How large a conversation is that would be resumed: its file is read, never changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agentlaunch.agents.base import Agent
from agentlaunch.agents.sessions import LATEST, Resume, Sessions

MOST_FILES = 50
"""The newest conversations, among which that of the project is looked for."""
TAIL_BYTES = 4 << 20
"""Of a file: what is older does not count for its last request."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """A conversation that would be gone on with."""

    tokens: int
    """As its last model counted them."""
    fresh: tuple[str, ...]
    """The user's arguments without it."""


def look(agent: Agent, args: tuple[str, ...], project: Path, config: Path) -> Resumed | None:
    """The conversation that these arguments resume; None where there is none, or none is known."""
    sessions = agent.sessions
    resume = sessions.resumed(args) if sessions is not None else None
    if sessions is None or resume is None:
        return None
    try:
        pattern = sessions.pattern(str(project), resume.session)
        files = sorted(config.glob(pattern), key=lambda file: -file.stat().st_mtime)[:MOST_FILES]
        file = next((file for file in files if _is_of(file, sessions, resume, project)), None)
        if file is None or not file.is_file():
            return None
        with file.open("rb") as stream:
            start = max(0, file.stat().st_size - TAIL_BYTES)
            stream.seek(start)
            lines = stream.read(TAIL_BYTES).splitlines()
    except (OSError, ValueError):
        return None
    tokens = sessions.tokens(lines[1:] if start else lines)
    return Resumed(tokens, resume.fresh) if tokens else None


def _is_of(file: Path, sessions: Sessions, resume: Resume, project: Path) -> bool:
    if sessions.project is None or resume.session != LATEST:
        return True
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return sessions.project(stream.readline(TAIL_BYTES)) == str(project)
