"""What the gateway wrote down: one line of JSON for each request and each switch.

`<state>/gateway/events.jsonl`, written by the gateway's own process alone (`litellm_hooks`), read
by everybody else. Nothing of a prompt or a reply is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


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
    raise NotImplementedError
