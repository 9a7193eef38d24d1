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
ANY = "any"
"""Says nothing: what another file forbids stays forbidden."""
MOST_SHOWN = 6
"""Entries of a list that a message names."""


Origin = Literal["machine", "user", "project"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule with the file that it stands in."""

    name: RuleName
    value: str | float | tuple[str, ...]
    """`local-only` or `any`; names, addresses or patterns; US dollars a day."""
    origin: str
    source: Origin

    @property
    def names(self) -> tuple[str, ...]:
        """What a list allows; nothing for a rule that is none."""
        return self.value if isinstance(self.value, tuple) else ()

    @property
    def usd(self) -> float:
        """What a cap allows a day."""
        return float(self.value) if isinstance(self.value, (int, float)) else 0.0

    def __str__(self) -> str:
        """As it stands in the file, without the file."""
        if isinstance(self.value, tuple):
            shown = ", ".join(f'"{word}"' for word in self.value[:MOST_SHOWN])
            more = len(self.value) - MOST_SHOWN
            return f"{self.name} = [{shown}{f', and {more} more' if more > 0 else ''}]"
        if isinstance(self.value, str):
            return f'{self.name} = "{self.value}"'
        return f"{self.name} = {self.value:g}"


@dataclass(frozen=True, slots=True)
class Policy:
    """Every rule that holds here; all of them hold at once."""

    rules: tuple[Rule, ...] = ()

    def of(self, name: RuleName) -> tuple[Rule, ...]:
        """The rules of one name, which all hold."""
        return tuple(row for row in self.rules if row.name == name)

    @property
    def local_only(self) -> Rule | None:
        """The rule by which nothing may leave this machine, if there is one."""
        return next((row for row in self.of("data") if row.value == LOCAL_ONLY), None)

    @property
    def cap(self) -> Rule | None:
        """The tightest rule on what managed calls may cost a day, in US dollars."""
        return min(self.of("max_spend_per_day"), key=lambda row: row.usd, default=None)


FREE = Policy()
"""Without any rule."""

Document = Mapping[str, object]
