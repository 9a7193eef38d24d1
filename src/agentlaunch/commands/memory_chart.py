"""Memory against context as a picture of characters: pure, from values to lines of text."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from agentlaunch.models.fit import Fit
from agentlaunch.units import format_memory, format_tokens

FIRST_TOKENS = 8192
MOST_ROWS = 12
WIDEST = 100
NARROWEST_BAR = 10
BUDGET_SHARE = 3
"""A budget of more than so many times the largest need stands beyond the edge."""


@dataclass(frozen=True, slots=True)
class Ink:
    """The characters of a picture; no two are alike, so that it needs no colour."""

    weights: str
    cache: str
    other: str
    budget: str
    beyond: str


BLOCKS = Ink("█", "▒", "░", "│", "→")
PLAIN = Ink("#", "=", ".", "|", ">")


@dataclass(frozen=True, slots=True)
class Bar:
    """One context: what lies in memory there, in bytes, and what the machine has for it."""

    context_tokens: int
    weights_bytes: int
    cache_bytes: int
    other_bytes: int
    budget_bytes: int | None
    verdict: str
    asked: bool = False

    @property
    def total_bytes(self) -> int:
        """All parts together."""
        return self.weights_bytes + self.cache_bytes + self.other_bytes


def ink_for(stream: TextIO) -> Ink:
    """Block characters where the stream writes UTF-8, ASCII elsewhere."""
    try:
        name = codecs.lookup(getattr(stream, "encoding", None) or "utf-8").name
    except LookupError:
        return PLAIN
    return BLOCKS if name.startswith("utf-8") else PLAIN


def steps(trained_tokens: int | None, asked_tokens: int) -> tuple[int, ...]:
    """Contexts to draw: 8k, doubled up to what the model was trained for, and the asked one."""
    most = max(trained_tokens or asked_tokens, 1)
    doubled = (FIRST_TOKENS << power for power in range(MOST_ROWS - 2))
    rows = {tokens for tokens in doubled if tokens < most}
    return tuple(sorted(rows | {most, min(asked_tokens, most)}))


def bar_of(fit: Fit, *, asked: bool) -> Bar | None:
    """A bar whose parts make the total exactly; None when the weights are of unknown size.

    What the total counts of the weights depends on the place: a card holds no embedding table.
    """
    if fit.total_bytes is None:
        return None
    cache = fit.kv_bytes + fit.state_bytes
    other = fit.compute_bytes + fit.overhead_bytes
    weights = max(0, fit.total_bytes - cache - other)
    return Bar(
        fit.context_tokens,
        weights,
        cache,
        fit.total_bytes - cache - weights,
        fit.budget_bytes,
        fit.verdict or "?",
        asked,
    )


def draw(bars: Sequence[Bar], *, width: int, ink: Ink) -> list[str]:
    """One line for each bar and a legend, none wider than `width` columns (from 40 on)."""
    if not bars:
        return []
    labels = [format_tokens(bar.context_tokens) for bar in bars]
    sizes = [format_memory(bar.total_bytes) for bar in bars]
    label, size = max(map(len, labels)), max(map(len, sizes))
    verdict = max(len(bar.verdict) for bar in bars)
    beside = 2 + label + 2 + 2 + size + 2 + verdict
    room = max(NARROWEST_BAR, min(width, WIDEST) - beside)
    scale = _scale(bars)
    lines = []
    for bar, name, total in zip(bars, labels, sizes, strict=True):
        mark = "* " if bar.asked else "  "
        drawn = _drawn(bar, room, scale, ink)
        text = f"{mark}{name:>{label}}  {drawn}  {total:>{size}}  {bar.verdict}"
        lines.append(text)
    return [*lines, *_legend(bars, scale, min(width, WIDEST), ink)]


def _scale(bars: Sequence[Bar]) -> int:
    """Bytes of the whole width: the largest need, and every budget that is not far beyond it."""
    need = max(bar.total_bytes for bar in bars)
    near = (bar.budget_bytes for bar in bars if bar.budget_bytes is not None)
    return max(1, need, *(size for size in near if size <= BUDGET_SHARE * need))


def _drawn(bar: Bar, room: int, scale: int, ink: Ink) -> str:
    """Edges are rounded, not lengths, so that the parts never add up to another whole; but a bar
    crosses the line of its budget exactly when its bytes do."""
    cells = room - 2  # the rest is for a line at the very end, and for what crosses it
    text, edge = "", 0
    parts = (
        (bar.weights_bytes, ink.weights),
        (bar.cache_bytes, ink.cache),
        (bar.other_bytes, ink.other),
    )
    for size, char in parts:
        edge += size
        text += char * (round(edge * cells / scale) - len(text))
    if bar.budget_bytes is None:
        return text.ljust(room)
    if bar.budget_bytes > scale:
        return text.ljust(room - 1) + ink.beyond
    at = round(bar.budget_bytes * cells / scale)
    if bar.total_bytes > bar.budget_bytes:
        text = text.ljust(at + 2, ink.other)
    else:
        text = text[:at].ljust(at)
    return (text[:at] + ink.budget + text[at + 1 :]).ljust(room)


def _legend(bars: Sequence[Bar], scale: int, width: int, ink: Ink) -> list[str]:
    words = [
        f"{ink.weights} weights",
        f"{ink.cache} cache",
        f"{ink.other} compute and overhead",
    ]
    budgets = sorted({bar.budget_bytes for bar in bars if bar.budget_bytes is not None})
    words += _budget_words(ink.budget, [size for size in budgets if size <= scale])
    words += _budget_words(ink.beyond, [size for size in budgets if size > scale])
    if any(bar.asked for bar in bars):
        words.append("* this context")
    lines = ["  " + words[0]]
    for word in words[1:]:
        longer = f"{lines[-1]}  {word}"
        lines[-1:] = [longer] if len(longer) <= width else [lines[-1], "  " + word]
    return lines


def _budget_words(mark: str, budgets: Sequence[int]) -> list[str]:
    """The budgets that one mark stands for; a card and the whole machine have different ones."""
    if not budgets:
        return []
    low, high = format_memory(budgets[0]), format_memory(budgets[-1])
    return [f"{mark} budget {low}" + ("" if low == high else f" to {high}")]
