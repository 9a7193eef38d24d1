"""What managed APIs ask for tokens: a dated table, and what servers say of themselves. Pure."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

_DATE = re.compile(r"-20\d{2}-?\d{2}-?\d{2}$")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens of one model."""

    input_usd: float
    output_usd: float
    cached_input_usd: float | None = None
    """For input that the server had cached; None where it is not told: it then counts as input."""
    cache_write_usd: float | None = None
    source: str = ""
    """Where it stands, with its date."""

    def __str__(self) -> str:
        return f"${self.input_usd:g} a million tokens in, ${self.output_usd:g} out"

    def of(
        self, input_tokens: int, cached_tokens: int, output_tokens: int, written_tokens: int = 0
    ) -> float:
        """US dollars; `cached_tokens`, and those newly `written` to a cache, are a part of
        `input_tokens`."""
        cached_usd = self.input_usd if self.cached_input_usd is None else self.cached_input_usd
        written_usd = self.input_usd if self.cache_write_usd is None else self.cache_write_usd
        fresh = max(0, input_tokens - cached_tokens - written_tokens)
        total = fresh * self.input_usd + cached_tokens * cached_usd + written_tokens * written_usd
        return (total + output_tokens * self.output_usd) / 1e6


@dataclass(frozen=True, slots=True)
class Equivalent:
    """What a seller of open models asks for a model that runs here."""

    seller: str
    name: str
    """Under which it is sold."""
    price: Price
    same: bool
    """The same weights; else the stated reference, since nobody in the table sells these."""

    def __str__(self) -> str:
        return f"{self.name} at {self.seller}"


def find(kind: str, model: str) -> Price | None:
    """What a managed service (`anthropic`, `openai`, `openrouter`) asks for a model; None where the
    table does not know. Nothing is guessed but that a name with a date costs what it costs without.

    OpenRouter asks what the maker asks; of open models it says the price itself.
    """
    name, _colon, variant = model.partition(":")
    if kind == "openrouter":
        if variant == "free":
            return Price(0.0, 0.0, source="free at OpenRouter")
        kind, _slash, name = name.partition("/")
        name = re.sub(r"(?<=\d)\.(?=\d)", "-", name) if kind == "anthropic" else name
    served = _table()["served"].get(kind, {})
    row = served.get(name) or served.get(_DATE.sub("", name))
    return _price(row) if row is not None else None


def equivalent(model_id: str) -> Equivalent:
    """What a managed service would have asked for a model of one's own."""
    table = _table()
    sold = table["sold"]
    row = sold.get(model_id) or sold.get(model_id.removesuffix(":latest"))
    same = row is not None
    row = row or sold[table["reference"]]
    return Equivalent(row["seller"], row["name"], _price(row), same)


def source() -> str:
    """Where the table comes from, with its date."""
    table = _table()
    return f"{table['source']} of {table['date']}"


def _price(row: Mapping[str, Any]) -> Price:
    return Price(
        row["input_usd"],
        row["output_usd"],
        row.get("cached_input_usd"),
        row.get("cache_write_usd"),
        source(),
    )


@functools.cache
def _table() -> dict[str, Any]:
    place = resources.files("agentlaunch.models").joinpath("prices.json")
    table: dict[str, Any] = json.loads(place.read_text("utf-8"))
    return table
