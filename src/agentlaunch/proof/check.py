"""The clock that bounds a proof, beside the value that a proof ends with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agentlaunch.proven import NAMES, STATUSES, Check, Name, Status, read_check

__all__ = ["NAMES", "STATUSES", "Budget", "Check", "Name", "Status", "read_check"]


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
