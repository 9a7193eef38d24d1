"""Which model? Rank candidates for an agent on a machine, and say why. Pure.

Never a pick: what is unsuitable or on Ollama's list of such, takes no tools, prints its tool calls
as text, does not fit, or is trained for less context than the agent needs. Then, in this order: in
the catalog · not known to be weak · the first word soon enough · recommended · whole in one place
rather than split · results · already here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from agentlaunch.models.candidate import UNLISTED, Candidate, is_slow
from agentlaunch.models.speed import Band

QUICK_TOKENS_PER_S = 25.0
"""From here on a heavier quant of the same model is worth its slowness."""
USABLE_TOKENS_PER_S = 10.0
CLEARLY_FASTER = 1.5
LIGHTER = 0.8


@dataclass(frozen=True, slots=True)
class Miss:
    """What nearly fitted, in numbers."""

    id: str
    needed_bytes: int
    available_bytes: int


@dataclass(frozen=True, slots=True)
class Choice:
    """Ranked candidates; `fast` and `smarter` only where they clearly differ from the pick."""

    candidates: tuple[Candidate, ...]
    pick: Candidate | None
    fast: Candidate | None
    smarter: Candidate | None
    nearest_miss: Miss | None


def rank(candidates: Iterable[Candidate], *, first_word_limit_s: float = 60.0) -> Choice:
    """Put candidates in order and choose; `nearest_miss` is given when nothing can be chosen."""
    ordered = sorted(candidates, key=lambda row: _order(row, first_word_limit_s))
    pickable = [row for row in ordered if row.pickable]
    if not pickable:
        return Choice(tuple(ordered), None, None, None, _nearest_miss(ordered))
    pick = pickable[0]
    reason = _pick_reason(pick, pickable, first_word_limit_s)
    chosen = replace(pick, because=(*pick.because, reason))
    others = [row for row in pickable[1:] if _standing(row) <= _standing(pick)]
    fast = next((row for row in others if _clearly_faster(row, pick)), None)
    smarter = max(
        (row for row in others if row.place > pick.place and _bearable(row, pick)),
        key=lambda row: (row.place, -ordered.index(row)),
        default=None,
    )
    return Choice(
        candidates=tuple(chosen if row is pick else row for row in ordered),
        pick=chosen,
        fast=fast,
        smarter=smarter if smarter is not fast else None,
        nearest_miss=None,
    )


def _order(row: Candidate, limit_s: float) -> tuple[Any, ...]:
    slow = is_slow(row.speed, limit_s)
    active = row.active_parameters or 0
    return (
        not row.pickable,
        not row.fit.fits,
        _standing(row),
        slow,
        row.status != "recommended",
        row.fit.placement != "gpu",  # equal for all where there is no usable graphics
        active if slow else -row.place,
        not row.installed,
        -row.place,
        -(row.index or 0.0),
        _quant_order(row),
        -(row.score or 0.0),
        row.size_bytes or 0,
        row.id,
    )


def _standing(row: Candidate) -> int:
    """What nobody has tried comes behind what is known to be weak: a launch that chooses for
    somebody must know what to expect. It is one `--model` away."""
    if row.status == UNLISTED:
        return 2
    return int(row.status in ("weak", "unsuitable"))


def _quant_order(row: Candidate) -> int:
    """8 bit first where it is roomy and still quick, else the usual build, else the rest."""
    decode = row.speed.decode_tokens_per_s
    quick = decode is not None and decode.low >= QUICK_TOKENS_PER_S
    if (row.quant or "").lower() == "q8_0" and row.fit.verdict == "roomy" and quick:
        return 0
    return 1 if row.default else 2


def _bearable(row: Candidate, pick: Candidate) -> bool:
    """Not hopelessly slower: an agent is usable from about 10 tokens a second on."""
    mine, picks = row.speed.decode_tokens_per_s, pick.speed.decode_tokens_per_s
    if mine is None or picks is None:
        return True
    return mine.high >= min(USABLE_TOKENS_PER_S, picks.high / 2)


def _clearly_faster(row: Candidate, pick: Candidate) -> bool:
    """Faster by half in reading a prompt and not slower in decoding, or the other way round."""
    if not _is_lighter(row, pick):
        return False
    first = _ratio(pick.speed.first_word_s, row.speed.first_word_s)
    if first is not None:  # they may have been timed with prompts of different sizes
        first *= row.request_tokens / pick.request_tokens
    decode = _ratio(row.speed.decode_tokens_per_s, pick.speed.decode_tokens_per_s)
    if first is None or decode is None:
        return False
    return min(first, decode) >= 1 and max(first, decode) >= CLEARLY_FASTER


def _is_lighter(row: Candidate, pick: Candidate) -> bool:
    """Less to compute or less to read: between two of one size a difference is only a guess."""
    active = (row.active_parameters or 0) < LIGHTER * (pick.active_parameters or 0)
    return active or (row.size_bytes or 0) < LIGHTER * (pick.size_bytes or 0)


def _ratio(over: Band | None, under: Band | None) -> float | None:
    if over is None or under is None or not under.middle:
        return None
    return over.middle / under.middle


def misses(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """What could work as an agent and does not fit, the one that lacks least memory first."""
    rows = [
        row
        for row in candidates
        if row.fit.headroom_bytes is not None
        and not row.fit.fits
        and replace(row, fit=replace(row.fit, verdict="tight")).pickable
    ]
    return tuple(sorted(rows, key=lambda row: -(row.fit.headroom_bytes or 0)))


def _nearest_miss(ordered: list[Candidate]) -> Miss | None:
    for row in misses(ordered):
        return Miss(row.id, row.fit.total_bytes or 0, row.fit.budget_bytes or 0)
    return None


def _pick_reason(pick: Candidate, pickable: list[Candidate], limit_s: float) -> str:
    if pick.status == UNLISTED:
        return "no model of the catalog fits this machine, and this one is here: try it"
    if is_slow(pick.speed, limit_s):
        return (
            f"no model brings the first word within {limit_s:.0f} s here: "
            "this one has the least to compute among the good ones"
        )
    if pick.status == "weak":
        return "nothing stronger fits this machine"
    stronger = [row for row in pickable if row.place > pick.place]
    if not stronger:
        return "the strongest that fits"
    if all(row.fit.placement == "split" != pick.fit.placement for row in stronger):
        return "stronger models do not fit in one place"
    if any(row.speed.first_word_s is None for row in (pick, *stronger)):
        return "recommended before stronger models, of which less is known"
    return "stronger models are slower to the first word here, or do not fit in one place"
