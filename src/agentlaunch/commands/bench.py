"""`agentlaunch bench`: how fast this model really is here, and what memory it takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from agentlaunch import managed, plan, process, records, survey
from agentlaunch.commands import looking, permission, ruling
from agentlaunch.commands.bench_server import of_ollama, of_remote
from agentlaunch.commands.benched import Bench, as_json, draw, keep, measure, remark
from agentlaunch.commands.result import Result
from agentlaunch.engines import llama_cpp, remote
from agentlaunch.engines.base import Served, ServeRequest
from agentlaunch.errors import EngineFailed, ModelUnavailable, Refused, UsageError
from agentlaunch.models import identity, measured, sampling
from agentlaunch.models.candidate import Candidate
from agentlaunch.models.refs import looks_like_path
from agentlaunch.models.speed import Band, speed
from agentlaunch.plan.sizing import fit_asked
from agentlaunch.policy.judging import enforce
from agentlaunch.proof import speed as proof
from agentlaunch.talk import Talk
from agentlaunch.units import format_bytes

SCHEMA = "agentlaunch/bench/1"


def run(
    talk: Talk,
    ref: str | None,
    flags: Mapping[str, object | None],
    *,
    runs: int,
    allow_remote: bool = False,
) -> Result:
    """Measure a model at two prompt lengths, keep the result for the estimates, tell it.

    `flags` may hold `engine`, `context` and `kv_cache`. An engine that was started for it ends with
    it, one that ran goes on; as at every launch, engines of ours that no session uses make room.
    Raises `ModelUnavailable` for a model that is not here, and what serving and measuring raise.
    """
    if runs < 1:
        raise UsageError("--runs must be 1 or more", code="bad-value")
    asked = looking.look(talk, {**flags, "model": ref}, ())
    asked = replace(asked, allow_remote=allow_remote, routes=None)  # one engine is measured
    looking.refuse_project_endpoint(asked.model)
    looking.judge(asked)
    if asked.server is not None:
        facts = looking.look_at_server(talk, asked, asked.server, remote.ALL_WIRES)
        ruling.spend(asked.rules, facts)
        made = of_remote(talk, asked, facts, runs)
    elif asked.wish.engine == looking.OLLAMA:
        made = of_ollama(talk, asked, runs)
    else:
        made = _of_embedded(talk, asked, runs)
    remark(talk, made)
    return Result(SCHEMA, as_json(made), lambda t: draw(t, made))


# --- the embedded engine -------------------------------------------------------------------------


def _of_embedded(talk: Talk, asked: looking.Asked, runs: int) -> Bench:
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
        tuning=sampling.for_model(weights.id),
    )
    with _serving(talk, engine, request) as served:
        subject = proof.subject_of(served.endpoint, llama_cpp=True)
        result = measure(talk, asked, subject, request.context_tokens, runs)
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
    digest = identity.digest_of(weights.path) if weights.path is not None else None
    return replace(made, stored=keep(talk, asked, made, digest))


def _weights(asked: looking.Asked) -> survey.Weights:
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
    looking.refuse_description(weights)
    enforce(ruling.model(asked.rules, weights.id, asked.survey.catalog))
    if weights.path is None:
        pull = f"agentlaunch models pull {weights.id}"
        other = "" if asked.wish.model else ", or name one that is here: agentlaunch bench REF"
        raise ModelUnavailable(
            f"{weights.id} is not here, and bench downloads no model",
            hint=pull + other,
            code="not-downloaded",
        )
    return weights


def _last_model(asked: looking.Asked) -> str | None:
    """What the last launch served here; None when that was elsewhere, or is gone since."""
    last = records.Records(asked.paths.state).recall("choices", "last") or {}
    name = last.get("path", last.get("model"))
    if not isinstance(name, str) or last.get("engine") != looking.EMBEDDED:
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


def _install_engine(talk: Talk, asked: looking.Asked) -> None:
    """The engine's package, after asking as `up` does. Raises `EngineFailed` after a no."""
    package = llama_cpp.PACKAGE
    if managed.installed(package, asked.paths) is not None:
        return
    size = package.download_bytes or package.size_bytes
    permission.agree_to_download(talk, size, asked.max_download_bytes)
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


def _estimated(
    asked: looking.Asked, weights: survey.Weights, candidate: Candidate, prompt_tokens: int
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
