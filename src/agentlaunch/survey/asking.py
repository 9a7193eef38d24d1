"""How the parts of a look are asked: strictly for a launch, tolerantly for a doctor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from agentlaunch.machine.facts import Note, plain

T = TypeVar("T")


@dataclass(slots=True)
class Asking:
    """With `tolerant`, a part that fails is a note and its fallback: a doctor answers in any
    state. A launch must not go on without it, so there the failure flies."""

    tolerant: bool = False
    notes: list[Note] = field(default_factory=list)

    def __call__(self, name: str, ask: Callable[[], T], fallback: T) -> T:
        try:
            return ask()
        except Exception as error:
            if not self.tolerant:
                raise
            text = plain(f"{type(error).__name__}: {error}")
            self.notes.append(Note(name, f"could not be looked at ({text}); left out"))
            return fallback
