"""What is said to a model and what it answers, whichever wire carries it: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that is offered; `parameters` is its JSON Schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call as the server told it; `arguments` is the raw JSON text, whatever it holds."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class System:
    """An instruction; behind the first user turn it is a late one."""

    text: str


@dataclass(frozen=True, slots=True)
class User:
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """A turn of the model, given back to it."""

    text: str
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool answered."""

    call: Call
    text: str


Message = System | User | Said | Result

BUSY = frozenset({429, 503, 529})
"""Statuses of a server that is at work, loads a model, or limits a rate: it answers later."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer. A status other than 200 is an answer too: `error` holds the server's words."""

    status: int = 200
    error: str = ""
    text: str = ""
    thinking: str = ""
    calls: tuple[Call, ...] = ()
    stop: str | None = None
    prompt_tokens: int | None = None
    """The whole prompt, cached part included; None where the server does not say."""
    cached_tokens: int | None = None
    """How much of it came from the cache; None where the server does not say."""
    output_tokens: int | None = None
    first_s: float | None = field(default=None, compare=False)
    """From asking to the first token, in seconds; None for a reply that was not streamed."""
    took_s: float = field(default=0.0, compare=False)

    @property
    def is_busy(self) -> bool:
        """Is it no answer yet: the same may be asked again?"""
        return self.status in BUSY
