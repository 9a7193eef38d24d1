"""What slow work says while it runs: values, printed by whoever watches, never by the worker."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """One report of a running activity.

    `done_bytes` and `total_bytes` are null when the work has no size; `share` (0 to 1) is for work
    that is known to advance but not in bytes. `detail` is a short text that may come from another
    program and is cleaned before it is shown.
    """

    activity: str
    done_bytes: int | None = None
    total_bytes: int | None = None
    detail: str | None = None
    share: float | None = None


Work = Generator[Progress, None, T]
"""Slow work: yields `Progress`, returns its result; `talk.follow` runs it to the end."""


def finish(work: Work[T]) -> T:
    """Run work to its end without watching it, and give its result back."""
    while True:
        try:
            next(work)
        except StopIteration as stop:
            result: T = stop.value
            return result
