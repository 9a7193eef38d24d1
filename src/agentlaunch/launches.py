"""Which launches there were: one line of JSON each, appended when the agent takes over.

`<state>/launches.jsonl`. It tells which engine served a conversation that an agent keeps; losing it
loses comfort, never correctness.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlsplit

from agentlaunch import files

MOST_BYTES = 4 << 20
"""Of one file; the one before it is kept."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One hand-over."""

    at: str
    """ISO 8601, UTC."""
    agent: str
    model: str
    """As it is served, which is what the agent writes down."""
    model_id: str
    engine: str
    url: str | None
    """Of an engine that is not ours."""
    local: bool
    """Did nothing leave this machine?"""
    managed: bool
    """A company's service, paid by the token."""
    project: str

    @property
    def moment(self) -> datetime | None:
        """When it was; None for what is no time."""
        try:
            found = datetime.fromisoformat(self.at)
        except ValueError:
            return None
        return found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)


def place(state: Path) -> Path:
    """The file below our state folder."""
    return state / "launches.jsonl"


def append(state: Path, launch: Launch) -> None:
    """Add a launch. Raises `OSError`."""
    path = place(state)
    files.private_tree(state, path.parent)
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size >= MOST_BYTES:
            path.replace(path.with_suffix(".jsonl.1"))
    line = json.dumps(asdict(launch), ensure_ascii=False).encode() + b"\n"
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(opened, line)
    finally:
        os.close(opened)


def read(state: Path) -> Iterator[Launch]:
    """Every launch, oldest first; a line that is none is passed over."""
    path = place(state)
    for file in (path.with_suffix(".jsonl.1"), path):
        try:
            data = files.read_plain(file, 2 * MOST_BYTES)
        except (OSError, ValueError):
            continue
        for line in data.splitlines():
            with contextlib.suppress(ValueError, TypeError, RecursionError):
                found = Launch(**json.loads(line))
                if _is_whole(found):
                    yield found


def _is_whole(found: Launch) -> bool:
    """Is each word of it of its kind? Raises `ValueError` for an address that is none."""
    row = asdict(found)
    truths = (row.pop("local"), row.pop("managed"))
    url = row.pop("url")
    texts = (*row.values(), url or "")
    good = all(isinstance(one, bool) for one in truths) and all(
        isinstance(one, str) for one in texts
    )
    return good and bool(urlsplit(url or ""))
