"""What an organisation, a person or a project rules: values, and what they refuse. Pure.

Every file that holds rules tightens what the others say; none loosens. Keys, at the top of a file
or in its table `[policy]`: `data`, `allowed_engines`, `allowed_models`, `allowed_agents`,
`max_spend_per_day`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

RuleName = Literal[
    "data", "allowed_engines", "allowed_models", "allowed_agents", "max_spend_per_day"
]
NAMES: tuple[RuleName, ...] = (
    "data", "allowed_engines", "allowed_models", "allowed_agents", "max_spend_per_day",
)  # fmt: skip
TABLE = "policy"
"""The table of a settings file that may hold the keys."""
LOCAL_ONLY = "local-only"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule with the file that it stands in."""

    name: RuleName
    value: str | float | tuple[str, ...]
    """`local-only`; names or patterns; US dollars a day."""
    origin: str
    source: Literal["machine", "user", "project"]


@dataclass(frozen=True, slots=True)
class Policy:
    """Every rule that holds here; all of them hold at once."""

    rules: tuple[Rule, ...] = ()

    @property
    def local_only(self) -> Rule | None:
        """The rule by which nothing may leave this machine, if there is one."""
        return next((row for row in self.rules if row.name == "data"), None)

    @property
    def cap(self) -> Rule | None:
        """The tightest rule on what managed calls may cost a day, in US dollars."""
        rows = [row for row in self.rules if row.name == "max_spend_per_day"]
        return min(rows, key=lambda row: float(str(row.value)), default=None)


FREE = Policy()
"""Without any rule."""

Document = Mapping[str, object]
