"""What managed APIs ask for tokens: a dated table, and what servers say of themselves. Pure."""

from __future__ import annotations

from dataclasses import dataclass


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

    def of(self, input_tokens: int, cached_tokens: int, output_tokens: int) -> float:
        """US dollars; `cached_tokens` are a part of `input_tokens`."""
        cached_usd = self.input_usd if self.cached_input_usd is None else self.cached_input_usd
        fresh = max(0, input_tokens - cached_tokens)
        total = fresh * self.input_usd + cached_tokens * cached_usd
        return (total + output_tokens * self.output_usd) / 1e6


def find(kind: str, model: str) -> Price | None:
    """What a managed service asks for a model; None where that is not known."""
    return None
