"""What `agentlaunch bench` measured, as a value: taken, kept for the estimates, told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agentlaunch import plan, records
from agentlaunch.commands import looking
from agentlaunch.errors import Refused
from agentlaunch.models import measured
from agentlaunch.models.speed import Band
from agentlaunch.proof import speed as proof
from agentlaunch.proof.timed import LEAST_DECODED_TOKENS
from agentlaunch.talk import Talk
from agentlaunch.units import format_memory

SHORTEST_KEPT_TOKENS = 300
"""Prompts below this are mostly overhead."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What was measured, on what, beside what had been expected. None is what is not known."""

    model: str
    engine: str
    engine_version: str | None
    machine_key: str | None
    context_tokens: int
    kv_cache_type: str | None
    measured: proof.Measured
    memory_bytes: int | None = None
    predicted_bytes: int | None = None
    estimated_prefill: Band | None = None
    estimated_decode: Band | None = None
    stored: bool = False


def measure(
    talk: Talk, asked: looking.Asked, subject: proof.Subject, context_tokens: int, runs: int
) -> proof.Measured:
    """Measured at a short length and at that of the agent's first request."""
    first_request = plan.context_for(asked.wish, context_tokens).tier.interactive_tokens
    return talk.follow(
        proof.measure(
            subject, prompt_tokens_asked=first_request, context_tokens=context_tokens, runs=runs
        )
    )


def keep(talk: Talk, asked: looking.Asked, made: Bench, digest: str | None) -> bool:
    """Remember it for the weights of this digest, so that estimates reckon with it."""
    kept = made.measured.measurement(made.kv_cache_type or "f16")
    if kept is None or digest is None or made.machine_key is None:
        return False
    if kept.prefill[-1].prompt_tokens < SHORTEST_KEPT_TOKENS:
        talk.warn(
            f"prompts of up to {kept.prefill[-1].prompt_tokens:,} tokens tell nothing about an "
            "agent's: not kept; give it a larger --context",
            code="too-short",
        )
        return False
    try:
        name = measured.key(digest, made.engine, made.engine_version, made.machine_key)
        records.Records(asked.paths.state).remember("measurements", name, kept.as_json())
    except (Refused, OSError) as error:
        talk.warn(f"the measurement could not be kept: {error}", code="not-stored")
        return False
    return True


# --- telling -------------------------------------------------------------------------------------


def remark(talk: Talk, made: Bench) -> None:
    result = made.measured
    if result.cut:
        talk.warn("this is slow here: fewer runs were made than asked", code="fewer-runs")
    if result.uneven:
        talk.warn(
            "the runs differ much: something else keeps this machine busy; measure again later",
            code="uneven-runs",
        )
    fewest = min(run.decode_tokens for run in result.runs)
    if fewest < LEAST_DECODED_TOKENS:
        talk.warn(
            f"the model stopped after {fewest} tokens, too few to tell how fast it writes",
            code="few-tokens",
        )


def as_json(made: Bench) -> dict[str, Any]:
    """`data` of agentlaunch/bench/1; the two speeds are those at the longer prompt."""
    result = made.measured
    return {
        "model": made.model,
        "engine": made.engine,
        "engine_version": made.engine_version,
        "machine_key": made.machine_key,
        "context_tokens": made.context_tokens,
        "kv_cache_type": made.kv_cache_type,
        "runs": [
            {
                "prompt_tokens": row.prompt_tokens,
                "cached_tokens": row.cached_tokens,
                "decode_tokens": row.decode_tokens,
                "prefill_tokens_per_s": _rounded(row.prefill_tokens_per_s),
                "decode_tokens_per_s": _rounded(row.decode_tokens_per_s),
            }
            for row in result.runs
        ],
        "prefill_tokens_per_s": _rounded(result.prefill_tokens_per_s),
        "decode_tokens_per_s": _rounded(result.decode_tokens_per_s),
        "estimated": {
            "prefill_tokens_per_s": _band_json(made.estimated_prefill),
            "decode_tokens_per_s": _band_json(made.estimated_decode),
        },
        "memory": {"measured_bytes": made.memory_bytes, "predicted_bytes": made.predicted_bytes},
        "method": result.method,
        "stored": made.stored,
    }


def draw(talk: Talk, made: Bench) -> None:
    """A row a length, then each measurement beside what was expected."""
    version = f" {made.engine_version}" if made.engine_version else ""
    cache = f", {made.kv_cache_type} cache" if made.kv_cache_type else ""
    by = "timed by the server" if made.measured.method == "server" else "timed by the clock"
    talk.answer(
        f"{made.model} on {made.engine}{version}, {made.context_tokens:,} tokens{cache}, {by}"
    )
    rows = []
    for name, runs in (("short", made.measured.short), ("long", made.measured.long)):
        tokens = runs[0].prompt_tokens
        rows.append(
            (
                f"{name}, {tokens:,} tokens",
                str(len(runs)),
                _shown(proof.median([run.prefill_tokens_per_s for run in runs])),
                _shown(proof.median([run.decode_tokens_per_s for run in runs])),
            )
        )
    talk.table(("PROMPT", "RUNS", "READ tokens/s", "WRITTEN tokens/s"), rows)
    read, written = made.measured.prefill_tokens_per_s, made.measured.decode_tokens_per_s
    for name, band, value in (
        ("prompt", made.estimated_prefill, read),
        ("reply", made.estimated_decode, written),
    ):
        if band is not None and value is not None:
            expected = f"estimated {_shown(band.low)}-{_shown(band.high)}"
            talk.answer(f"{name:7} {expected}, measured {_shown(value)} tokens/s")
    if made.memory_bytes is not None:
        predicted = format_memory(made.predicted_bytes)
        talk.answer(f"memory  estimated {predicted}, measured {format_memory(made.memory_bytes)}")
    if made.stored:
        talk.say("kept: `agentlaunch models` now reckons with it")


def _shown(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _band_json(band: Band | None) -> dict[str, float] | None:
    return None if band is None else {"low": round(band.low, 2), "high": round(band.high, 2)}
