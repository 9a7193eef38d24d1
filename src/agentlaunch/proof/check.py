"""Check, the value that every proof ends with, and the clock that bounds it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

Name = Literal["tool-call", "truncation", "prefix", "first-word", "task"]
Status = Literal["ok", "warning", "error", "skipped"]
NAMES: tuple[Name, ...] = get_args(Name)
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True, slots=True)
class Check:
    """One row of a proof (CONTRACT 3, `prove`): what was measured, what it means, the way out.

    `error` stops a launch, `warning` is said, `skipped` was not measured and says why. No verdict
    stands here without a measurement: `measured` holds it, by the names of CONTRACT 3.
    """

    name: Name
    status: Status
    message: str
    measured: Mapping[str, Any] = field(default_factory=dict)
    remedy: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As `prove --json` prints it and as it is remembered."""
        return asdict(self) | {"measured": dict(self.measured)}


def read_check(value: object) -> Check | None:
    """A check as it was remembered; None for what is none."""
    row = value if isinstance(value, dict) else {}
    name, status, message = row.get("name"), row.get("status"), row.get("message")
    if name not in NAMES or status not in STATUSES or not isinstance(message, str):
        return None
    measured, remedy = row.get("measured"), row.get("remedy")
    return Check(
        name,
        status,
        message,
        measured if isinstance(measured, dict) else {},
        remedy if isinstance(remedy, str) else None,
    )


@dataclass(frozen=True, slots=True)
class Budget:
    """The time that proofs may take together; each request may take what is left of it."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    until: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "until", self.clock() + self.seconds)

    @property
    def left_s(self) -> float:
        """Seconds left; never negative."""
        return max(0.0, self.until - self.clock())
