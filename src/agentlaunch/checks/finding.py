"""Finding: one row of `doctor`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, Protocol

from agentlaunch.survey import Survey

Status = Literal["ok", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of `doctor`; `remedy` is the command that mends it, None where nothing is to do."""

    name: str
    status: Status
    message: str
    remedy: str | None = None


class Check(Protocol):
    """Knows one thing that can be wrong. `wanted` are the agents that must not be missing."""

    def __call__(self, survey: Survey, wanted: Collection[str], /) -> list[Finding]: ...
