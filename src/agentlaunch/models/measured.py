"""What `agentlaunch bench` measured, and what it says about other prompt lengths. Pure.

Two lengths are measured, since the time for each token grows with what stands before it: linearly
by attention, in the prompt as in the reply. Between the two this is interpolation; beyond them it
is a guess whose band widens.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from agentlaunch.machine.facts import Machine
from agentlaunch.models.speed import Band, Speed

SPREAD = 0.10
"""Half width of a band at and between the measured lengths: two runs on a busy machine differ by
as much."""
MOST_SPREAD = 0.30

BECAUSE = "measured on this machine by `agentlaunch bench`"

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Point:
    """A speed (tokens a second) at a prompt of so many tokens."""

    prompt_tokens: int
    tokens_per_s: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """Speeds at one or two prompt lengths, the shortest first. `decode` may be empty: a model that
    stops at once tells nothing about the speed of its replies."""

    prefill: tuple[Point, ...]
    decode: tuple[Point, ...]
    kv_cache_type: str = "f16"
    method: str = "server"

    def as_json(self) -> dict[str, Any]:
        """As it is stored; `from_json` reads it back."""
        return asdict(self)

    def prefill_s(self, prompt_tokens: int) -> Band:
        """Seconds to read a prompt of so many tokens."""
        return _band(_prompt_s(self.prefill, prompt_tokens), self.prefill, prompt_tokens)

    def decode_tokens_per_s(self, prompt_tokens: int) -> Band | None:
        """Tokens a second of a reply behind a prompt of so many tokens."""
        if not self.decode:
            return None
        rate = 1 / _token_s(self.decode, prompt_tokens)
        return _band(rate, self.decode, prompt_tokens)

    def speed(self, prompt_tokens: int) -> Speed:
        """The estimate for a first request of so many tokens, marked as measured."""
        return Speed(
            self.decode_tokens_per_s(prompt_tokens), self.prefill_s(prompt_tokens), (BECAUSE,)
        )


def from_json(value: Mapping[str, Any] | None) -> Measurement | None:
    """A stored measurement; None when there is none or it is not one that we wrote."""
    try:
        prefill = _points(value["prefill"]) if value is not None else ()
        decode = _points(value["decode"]) if value is not None else ()
        if value is None or not prefill:
            return None
        return Measurement(prefill, decode, str(value["kv_cache_type"]), str(value["method"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def key(model_digest: str, engine: str, engine_version: str | None, machine: str) -> str:
    """Under which name a measurement is stored: another build of anything is another one.

    `model_digest` comes from `identity.digest_of`, `machine` from `machine_key`.
    """
    return f"{model_digest} {engine} {engine_version or '?'} {machine}"


def machine_key(machine: Machine) -> str:
    """Twelve hex digits that stay the same for one machine and tell no name or serial number."""
    gib = None if machine.ram_bytes is None else round(machine.ram_bytes / GIB)
    parts = [machine.cpu or machine.arch, machine.cores, [g.name for g in machine.gpus], gib]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def _points(rows: Sequence[Mapping[str, Any]]) -> tuple[Point, ...]:
    points = [Point(int(row["prompt_tokens"]), float(row["tokens_per_s"])) for row in rows]
    for point in points:
        if point.prompt_tokens < 1 or not 0 < point.tokens_per_s < math.inf:
            raise ValueError(f"no speed: {point}")
    return tuple(sorted(points, key=lambda point: point.prompt_tokens))


def _prompt_s(points: tuple[Point, ...], tokens: int) -> float:
    """Seconds for a whole prompt: a line through the measured times where long prompts are read
    at the better pace (a fixed cost is spread), else a pace that falls with the length."""
    first, last = points[0], points[-1]
    if last.prompt_tokens > first.prompt_tokens and last.tokens_per_s > first.tokens_per_s:
        begun = first.prompt_tokens / first.tokens_per_s
        ended = last.prompt_tokens / last.tokens_per_s
        slope = max(0.0, ended - begun) / (last.prompt_tokens - first.prompt_tokens)
        if tokens <= first.prompt_tokens:
            return begun * tokens / first.prompt_tokens
        return begun + slope * (tokens - first.prompt_tokens)
    return tokens * _token_s(points, tokens)


def _token_s(points: tuple[Point, ...], tokens: int) -> float:
    """Seconds for a token at this length: never less than at the shortest one measured. Where the
    longer prompt came out faster that is noise, and both count alike."""
    first, last = points[0], points[-1]
    slow, fast = 1 / last.tokens_per_s, 1 / first.tokens_per_s
    if last.prompt_tokens <= first.prompt_tokens or slow <= fast:
        return (slow + fast) / 2
    growth = (slow - fast) / (last.prompt_tokens - first.prompt_tokens)
    return fast + growth * max(0, tokens - first.prompt_tokens)


def _band(value: float, points: tuple[Point, ...], tokens: int) -> Band:
    """The value with its doubt, by ratio, so that the middle of the band is the value."""
    known = points[-1].prompt_tokens
    share = 1 + min(MOST_SPREAD, SPREAD * max(1.0, tokens / known))
    return Band(value / share, value * share)
