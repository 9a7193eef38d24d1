"""`agentlaunch bench`: how fast this model really is here, and what memory it takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agentlaunch import managed, plan, process, records, survey
from agentlaunch.commands import up
from agentlaunch.commands.result import Result
from agentlaunch.engines import llama_cpp, remote
from agentlaunch.engines.base import Served, ServeRequest
from agentlaunch.errors import EngineFailed, ModelUnavailable, NotSupported, Refused, UsageError
from agentlaunch.models import identity, measured
from agentlaunch.models.candidate import Candidate
from agentlaunch.models.refs import looks_like_path
from agentlaunch.models.speed import Band, speed
from agentlaunch.plan.sizing import fit_asked
from agentlaunch.proof import speed as proof
from agentlaunch.proof.timed import LEAST_DECODED_TOKENS
from agentlaunch.talk import Talk
from agentlaunch.units import format_bytes, format_memory

SCHEMA = "agentlaunch/bench/1"
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


def run(talk: Talk, ref: str | None, flags: Mapping[str, object | None], *, runs: int) -> Result:
    """Measure a model at two prompt lengths, keep the result for the estimates, tell it.

    `flags` may hold `engine`, `context` and `kv_cache`. An engine that was started for it ends with
    it, one that ran goes on; as at every launch, engines of ours that no session uses make room.
    Raises `ModelUnavailable` for a model that is not here, and what serving and measuring raise.
    """
    if runs < 1:
        raise UsageError("--runs must be 1 or more", code="bad-value")
    asked = up.look(talk, {**flags, "model": ref}, ())
    if asked.wish.engine == up.OLLAMA:
        raise NotSupported(
            "models on Ollama are not measured yet", hint="add --engine embedded", code="no-bench"
        )
    url = up.server_url(asked.engine)
    made = _of_embedded(talk, asked, runs) if url is None else _of_remote(talk, asked, url, runs)
    _remark(talk, made)
    return Result(SCHEMA, as_json(made), lambda t: draw(t, made))


# --- a server that somebody else runs ------------------------------------------------------------


def _of_remote(talk: Talk, asked: up.Asked, url: str, runs: int) -> Bench:
    """Nothing is kept: which weights and which machine stand behind an address is not known."""
    facts = remote.probe(url, key=asked.places.environ.get(remote.KEY_VARIABLE, ""))
    model = facts.pick(asked.wish.model)
    context = asked.wish.context_tokens or model.context_tokens
    if context is None:
        raise UsageError(
            f"{url} does not say how large its context is",
            hint="say it with --context N (tokens)",
            code="needs-context",
        )
    context = min(context, model.context_tokens or context)
    served = talk.follow(remote.Remote(facts).serve(ServeRequest(model.name, None, context)))
    subject = proof.subject_of(
        served.endpoint, llama_cpp=facts.kind == "llama.cpp", ignore_eos=facts.kind == "vllm"
    )
    result = _measure(talk, asked, subject, context, runs)
    return Bench(
        model=model.name,
        engine=facts.kind if facts.kind != "unknown" else "remote",
        engine_version=None,
        machine_key=None,
        context_tokens=context,
        kv_cache_type=None,
        measured=result,
    )


# --- the embedded engine -------------------------------------------------------------------------


def _of_embedded(talk: Talk, asked: up.Asked, runs: int) -> Bench:
    weights = _weights(asked)
    engine = llama_cpp.LlamaCpp(asked.paths, llama_cpp.Timing(idle_s=60.0 * asked.idle_minutes))
    wish = _as_it_runs(asked.wish, engine, weights.path)
    candidate = fit_asked(asked.survey, wish, weights)
    _install_engine(talk, asked)
    request = ServeRequest(
        model=plan.served_name(weights.id),
        path=weights.path,
        context_tokens=candidate.fit.context_tokens,
        kv_cache_type=candidate.fit.kv_cache_type,
        projector=weights.projector,
    )
    with _serving(talk, engine, request) as served:
        subject = proof.subject_of(served.endpoint, llama_cpp=True)
        result = _measure(talk, asked, subject, request.context_tokens, runs)
        memory = None
        if candidate.fit.placement == "cpu":  # what lies on graphics is no part of it
            memory = _resident_bytes(engine, engine.key(request))
    prefill, decode = _estimated(asked, weights, candidate, result.long_tokens)
    made = Bench(
        model=weights.id,
        engine=served.engine,
        engine_version=served.version,
        machine_key=measured.machine_key(asked.survey.machine),
        context_tokens=request.context_tokens,
        kv_cache_type=request.kv_cache_type,
        measured=result,
        memory_bytes=memory,
        predicted_bytes=candidate.fit.total_bytes,
        estimated_prefill=prefill,
        estimated_decode=decode,
    )
    return replace(made, stored=_store(talk, asked, made, request))


def _weights(asked: up.Asked) -> survey.Weights:
    """The model that was asked for or set, that of the last launch, or the pick for this machine.

    Raises `ModelUnavailable` when it is not here: nothing is downloaded for a measurement.
    """
    name = asked.wish.model or _last_model(asked)
    if name is None:
        choice = plan.choose_model(asked.survey, asked.wish)
        if choice.pick is None:
            raise UsageError(
                "there is no model to measure",
                hint="name one: agentlaunch bench REF (a model's name, or a path to a .gguf)",
                code="no-model",
            )
        name = choice.pick.id
    weights = survey.look_at_model(name, asked.survey.catalog, asked.paths)
    up.refuse_description(weights)
    if weights.path is None:
        pull = f"agentlaunch models pull {weights.id}"
        other = "" if asked.wish.model else ", or name one that is here: agentlaunch bench REF"
        raise ModelUnavailable(
            f"{weights.id} is not here, and bench downloads no model",
            hint=pull + other,
            code="not-downloaded",
        )
    return weights


def _last_model(asked: up.Asked) -> str | None:
    """What the last launch served here; None when that was elsewhere, or is gone since."""
    last = records.Records(asked.paths.state).recall("choices", "last") or {}
    name = last.get("path", last.get("model"))
    if not isinstance(name, str) or last.get("engine") != up.EMBEDDED:
        return None
    here = Path(name).is_file() if looks_like_path(name) else name in asked.survey.installed_tags
    return name if here else None


def _as_it_runs(wish: plan.Wish, engine: llama_cpp.LlamaCpp, path: Path | None) -> plan.Wish:
    """The wish, with the context and cache of an engine that runs with this very file, unless it
    asks for others: no second copy is loaded only to be measured."""
    if wish.context_tokens is not None or wish.kv_cache != "auto" or path is None:
        return wish
    for found in engine.running():
        if found.answers and found.path == path.resolve():
            return replace(wish, context_tokens=found.context_tokens, kv_cache=found.kv_cache_type)
    return wish


def _install_engine(talk: Talk, asked: up.Asked) -> None:
    """The engine's package, after asking as `up` does. Raises `EngineFailed` after a no."""
    package = llama_cpp.PACKAGE
    if managed.installed(package, asked.paths) is not None:
        return
    size = package.download_bytes or package.size_bytes
    up.agree_to_download(talk, size, asked.max_download_bytes)
    question = f"Install {package.source} ({format_bytes(size)}) into {asked.paths.data}?"
    if not talk.ask(question, flag="--yes"):
        raise EngineFailed(
            "the embedded engine is not installed",
            hint="run the same command again and say yes",
            code="engine-missing",
        )
    talk.follow(managed.install(package, asked.paths, offline=talk.policy.offline))


@contextlib.contextmanager
def _serving(talk: Talk, engine: llama_cpp.LlamaCpp, request: ServeRequest) -> Iterator[Served]:
    """The model served while the body runs; afterwards the engine is as it was found.

    One that was started for this is ended, whatever ends the bench, unless a launch uses it by now:
    gigabytes should not lie in memory because somebody wanted to know a number.
    """
    key = engine.key(request)
    found = any(running.key == key for running in engine.running())
    try:
        served = talk.follow(engine.serve(request))
        if served.sessions:
            talk.warn(
                "a session uses this engine: it may slow the measurement down, and be slowed down",
                code="engine-shared",
            )
        yield served
    finally:
        engine.drop_lease(key)
        if not found:
            with contextlib.suppress(Refused):
                engine.stop(key)


def _resident_bytes(engine: llama_cpp.LlamaCpp, key: str) -> int | None:
    for found in engine.running():
        if found.key == key:
            return process.memory_bytes(found.identity.pid)
    return None


def _measure(
    talk: Talk, asked: up.Asked, subject: proof.Subject, context_tokens: int, runs: int
) -> proof.Measured:
    first_request = plan.context_for(asked.wish, context_tokens).tier.interactive_tokens
    return talk.follow(
        proof.measure(
            subject, prompt_tokens_asked=first_request, context_tokens=context_tokens, runs=runs
        )
    )


def _estimated(
    asked: up.Asked, weights: survey.Weights, candidate: Candidate, prompt_tokens: int
) -> tuple[Band | None, Band | None]:
    """What would be expected of this machine without a measurement, at the same length."""
    if weights.file is None:
        return None, None
    guess = speed(
        asked.survey.machine, weights.file.shape, candidate.fit, prompt_tokens=prompt_tokens
    )
    first = guess.first_word_s
    prefill = None
    if first is not None and first.low > 0:
        prefill = Band(prompt_tokens / first.high, prompt_tokens / first.low)
    return prefill, guess.decode_tokens_per_s


def _store(talk: Talk, asked: up.Asked, made: Bench, request: ServeRequest) -> bool:
    kept = made.measured.measurement(request.kv_cache_type)
    if kept is None or request.path is None or made.machine_key is None:
        return False
    if kept.prefill[-1].prompt_tokens < SHORTEST_KEPT_TOKENS:
        talk.warn(
            f"prompts of up to {kept.prefill[-1].prompt_tokens:,} tokens tell nothing about an "
            "agent's: not kept; give it a larger --context",
            code="too-short",
        )
        return False
    try:
        digest = identity.digest_of(request.path)
        name = measured.key(digest, made.engine, made.engine_version, made.machine_key)
        records.Records(asked.paths.state).remember("measurements", name, kept.as_json())
    except (Refused, OSError) as error:
        talk.warn(f"the measurement could not be kept: {error}", code="not-stored")
        return False
    return True


# --- telling -------------------------------------------------------------------------------------


def _remark(talk: Talk, made: Bench) -> None:
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
