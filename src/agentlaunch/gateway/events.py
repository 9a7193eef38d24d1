"""What the gateway wrote down: one line of JSON for each request and each switch.

`<state>/gateway/events.jsonl`, written by the gateway's own process alone (`litellm_hooks`), read
by everybody else. Nothing of a prompt or a reply is in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from agentlaunch.files import read_plain


@dataclass(frozen=True, slots=True)
class Request:
    """One request that was answered, or failed at every hop."""

    at: datetime
    role: str
    hop: str
    """The endpoint that answered; "" where none did."""
    model: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost_usd: float | None
    """What the call cost; 0 for an engine of one's own, None where the price is not known."""
    managed: bool
    local: bool
    took_s: float | None = None
    status: int = 200


@dataclass(frozen=True, slots=True)
class Switch:
    """The endpoint of a role became another one, and why."""

    at: datetime
    role: str
    before: str
    after: str
    reason: str
    """In words: "hosted refused the connection", "the prompt is larger than its context", "the
    day's 5.00 USD are spent", "hosted answers again"."""


Event = Request | Switch


def place(state: Path) -> Path:
    """The file of events below our state folder."""
    return state / "gateway" / "events.jsonl"


def read(state: Path, since: datetime | None = None) -> tuple[Event, ...]:
    """Every event not older than `since`, oldest first; a line that is none is passed over."""
    current = place(state)
    lines = [*_lines(current.with_name(f"{current.name}.1")), *_lines(current)]
    found = [row for row in map(_event, lines) if row is not None]
    if since is not None:
        found = [row for row in found if row.at >= since.astimezone()]
    return tuple(sorted(found, key=lambda row: row.at))


def _lines(path: Path) -> list[bytes]:
    try:
        return read_plain(path).splitlines()
    except OSError:
        return []


def _event(line: bytes) -> Event | None:
    """What a line tells; None where a word of it is missing or of another kind."""
    try:
        row = json.loads(line)
        if row["kind"] == "switch":
            return Switch(_time(row["at"]), **{name: _text(row[name]) for name in _SWITCH})
        if row["kind"] != "request":
            return None
        return Request(
            at=_time(row["at"]),
            role=_text(row["role"]),
            hop=_text(row["hop"]),
            model=_text(row["model"]),
            input_tokens=_count(row["input_tokens"]),
            cached_tokens=_count(row["cached_tokens"]),
            output_tokens=_count(row["output_tokens"]),
            cost_usd=None if row["cost_usd"] is None else _number(row["cost_usd"]),
            managed=row["managed"] is True,
            local=row["local"] is True,
            took_s=None if row.get("took_s") is None else _number(row["took_s"]),
            status=_count(row.get("status", 200)),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


_SWITCH = ("role", "before", "after", "reason")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1e12:
        raise TypeError
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1e12:
        raise TypeError
    return float(value)


def _time(text: str) -> datetime:
    """An ISO time; UTC where it says no zone."""
    at = datetime.fromisoformat(text.replace("Z", "+00:00"))  # 3.10 does not read a Z
    if not 2000 <= at.year < 9000:  # beyond, no zone can be told
        raise ValueError(text)
    return at if at.tzinfo else at.replace(tzinfo=timezone.utc)
