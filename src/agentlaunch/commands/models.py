"""`agentlaunch models`: what fits this machine for this agent, one model whole, downloads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentlaunch import plan, settings, survey
from agentlaunch.commands import looking, memory_chart, ranking, ruling
from agentlaunch.commands.result import Result
from agentlaunch.context import padded
from agentlaunch.errors import AgentlaunchError, EngineFailed, NotSupported, UsageError
from agentlaunch.machine.facts import UNKNOWN, Machine
from agentlaunch.models import budget, catalog, sampling
from agentlaunch.models.candidate import Candidate
from agentlaunch.models.choose import Choice, misses
from agentlaunch.talk import Talk
from agentlaunch.units import format_memory, format_span

SHOWN = 12
"""Rows of the table without `--all`; JSON has every candidate."""
NEAREST = 4
"""Rows where nothing fits: what lacks least."""


@dataclass(frozen=True, slots=True)
class Engine:
    """How the engine would be started, for sizing alone: slots, micro-batch in tokens, and flash
    attention where the device decides (None)."""

    parallel: int = 1
    batch: int = 512
    flash_attention: bool | None = None


def on_or_off(text: str | None) -> bool | None:
    """A switch of the command line; raises `UsageError` for another word."""
    if text is None:
        return None
    if text.lower() not in ("on", "off"):
        raise UsageError(f"--flash-attention: {text!r} is neither on nor off")
    return text.lower() == "on"


def list_models(
    talk: Talk,
    flags: Mapping[str, object | None],
    engine: Engine,
    *,
    everything: bool,
    simulate: str | None,
) -> Result:
    """The catalog ranked for an agent on this machine, with the reason for each place."""
    asked = _look(talk, flags, engine, simulate)
    choice = plan.choose_model(asked.survey, asked.wish)
    server = asked.survey.ollama if asked.wish.engine == looking.OLLAMA else None
    cloud = [tag for tag in server.tags if tag.cloud] if server is not None else []
    if server is not None and server.left_out is not None:
        talk.warn(server.left_out, code="not-described")
    tokens = asked.wish.context_tokens or asked.wish.agent.wanted_context_tokens
    _remark(talk, asked, choice.pick)
    for rule in asked.rules.of("allowed_models"):
        talk.warn(f"only allowed models are listed: {rule} in {rule.origin}", code="policy")
    data = {
        "machine": machine_json(asked.survey.machine),
        "agent": asked.wish.agent.name,
        "context_tokens": padded(tokens),
        "pick": choice.pick.id if choice.pick is not None else None,
        "fast": choice.fast.id if choice.fast is not None else None,
        "smarter": choice.smarter.id if choice.smarter is not None else None,
        "nearest_miss": dataclasses.asdict(choice.nearest_miss) if choice.nearest_miss else None,
        "candidates": [candidate.as_json() for candidate in choice.candidates],
        "cloud": [{"id": tag.name, "context_max_tokens": tag.context_tokens} for tag in cloud],
    }

    def draw(t: Talk) -> None:
        _draw_list(t, choice, asked, everything)
        if cloud:
            names = ", ".join(tag.name for tag in cloud)
            t.say(f"in Ollama's cloud, not on this machine, so never chosen: {names}")

    return Result("agentlaunch/models/1", data, draw)


def _draw_list(talk: Talk, choice: Choice, asked: looking.Asked, everything: bool) -> None:
    machine = asked.survey.machine
    talk.say(
        f"for {asked.wish.agent.title} on {machine.cpu or machine.arch}, "
        f"{format_memory(budget.ram_bytes(machine))} of memory"
        + "".join(f", {gpu.name} {format_memory(gpu.vram_bytes)}" for gpu in machine.gpus)
    )
    shown = choice.candidates
    if not everything:  # what fits and works comes first, then what is here; the rest by a flag
        best = tuple(row for row in shown if row.pickable)[:SHOWN] or misses(shown)[:NEAREST]
        here = [row for row in shown if row.installed and row not in best]
        shown = (*best, *here[:SHOWN])
    ink = memory_chart.ink_for(talk.out)
    talk.lines(ranking.draw(choice, shown, width=talk.width, ink=ink, paint=talk.paint))
    if len(shown) < len(choice.candidates):
        talk.say(f"{len(choice.candidates) - len(shown)} more with --all")
    if choice.pick is None:
        talk.say(f"nothing here can carry {asked.wish.agent.title}; what would change it:")
        for way in plan.ways_out(asked.survey, choice, asked.wish):
            talk.say(f"  - {way}")
    for line in ranking.choices(choice):
        talk.say(line)
    if choice.pick is not None and not asked.survey.simulated:
        talk.say(f"next: {_next(asked)}")


def _next(asked: looking.Asked) -> str:
    """The command that launches what the table shows."""
    words = ["agentlaunch up", asked.wish.agent.name]
    if asked.wish.context_tokens is not None:
        words.append(f"--context {asked.wish.context_tokens}")
    if asked.wish.kv_cache != "auto":
        words.append(f"--kv-cache {asked.wish.kv_cache}")
    return " ".join(words)


def _remark(talk: Talk, asked: looking.Asked, candidate: Candidate | None) -> None:
    """What a person should know of these figures, beside the reasons of each."""
    seen = asked.survey
    if seen.simulated and any(gpu.vram_bytes for gpu in seen.machine.gpus):
        text = (
            "counts on an engine that computes on the graphics; the embedded one does so only on "
            "macOS: elsewhere use Ollama (--engine ollama) or another server (--engine URL)"
        )
        talk.warn(text, code="assumes-graphics")
    if not seen.simulated and asked.server is None:
        for text in plan.engine_reasons(seen, asked.wish):
            talk.warn(text, code="idle-graphics")
    least = asked.wish.agent.min_context_tokens
    if (asked.wish.context_tokens or least) < least:
        text = (
            f"{asked.wish.agent.title} needs {least:,} tokens to work: in "
            f"{asked.wish.context_tokens:,} it cannot"
        )
        talk.warn(text, code="small-context")
    if candidate is not None and candidate.fit.shortage_bytes:
        mib = candidate.fit.shortage_bytes // 2**20
        talk.warn(f"close programs: {mib:,} MiB more are needed free", code="memory-short-now")


def _look(
    talk: Talk, flags: Mapping[str, object | None], engine: Engine, simulate: str | None
) -> looking.Asked:
    asked = looking.look(talk, flags, (), simulate=simulate)
    url = asked.server.url if asked.server is not None and simulate is None else None
    if asked.wish.engine == looking.OLLAMA and simulate is None:
        try:
            facts = looking.ollama_of(asked)
            if facts is not None:
                seen = dataclasses.replace(asked.survey, ollama=facts).on_ollama(facts)
                asked = dataclasses.replace(asked, survey=seen)
        except EngineFailed as error:  # what would fit there is still worth knowing
            talk.warn(error.message, code=error.code)
    if url is not None:
        talk.warn(
            f"the models run at {url}: what that machine can hold is not known here",
            code="remote-engine",
        )
        asked = dataclasses.replace(
            asked, survey=dataclasses.replace(asked.survey, machine=UNKNOWN, simulated=True)
        )
    wish = dataclasses.replace(
        asked.wish,
        parallel=engine.parallel,
        batch=engine.batch,
        flash_attention=engine.flash_attention,
    )
    return dataclasses.replace(asked, wish=wish)


def show(
    talk: Talk,
    ref: str,
    flags: Mapping[str, object | None],
    engine: Engine,
    *,
    simulate: str | None,
) -> Result:
    """One model: what it is, what it needs here, what is known about it.

    Raises `ModelUnavailable` for an unknown name, `BadGguf` or `BadReply` for a broken file,
    `NotSupported` for one that runs in the cloud.
    """
    asked = _look(talk, flags, engine, simulate)
    whole = catalog.load()  # what may not be used may be read of
    refusal = ruling.model(asked.rules, ref, whole)
    if refusal is not None:
        talk.warn(refusal.message, code="policy")
        asked = dataclasses.replace(asked, survey=dataclasses.replace(asked.survey, catalog=whole))
    weights = _as_served(talk, survey.look_at_model(ref, asked.survey.catalog, asked.paths), asked)
    if weights.path is None and weights.file is None and not talk.policy.offline:
        weights = looking.ask_registry(talk, weights, asked)
    tokens = plan.default_context(asked.wish, weights)
    if asked.wish.context_tokens is not None:  # an engine allocates what it is asked for
        tokens = padded(asked.wish.context_tokens)
    kind = "f16" if asked.wish.kv_cache == "auto" else asked.wish.kv_cache
    candidate = plan.candidate_of(asked.survey, asked.wish, weights, tokens, kind)
    _remark(talk, asked, candidate)
    trained = plan.trained_context(weights)
    if trained is not None and tokens > trained:
        text = f"{weights.id} was trained for {trained:,} tokens: beyond that it loses the thread"
        talk.warn(text, code="context-beyond-training")
    data = _model_json(weights, candidate, asked.paths)

    def draw(t: Talk) -> None:
        _draw_model(t, data, candidate)
        _draw_memory(t, asked, weights, candidate, data["context_max_tokens"])

    return Result("agentlaunch/models-show/1", data, draw)


def _as_served(talk: Talk, weights: survey.Weights, asked: looking.Asked) -> survey.Weights:
    """As the Ollama that has it describes it, with every tensor; a failure is fatal only where
    nothing else tells what it is."""
    seen = asked.survey
    here = asked.wish.engine == looking.OLLAMA or (seen.ollama is not None and seen.ollama.is_here)
    try:
        server = seen.ollama if here else None
        return survey.described(weights, server, seen.catalog, asked.paths.cache)
    except NotSupported:
        raise
    except AgentlaunchError as error:
        if weights.entry is None:
            raise
        talk.detail(f"what Ollama says of {weights.id} is not usable: {error.message}")
        return weights


def _model_json(
    weights: survey.Weights, candidate: Candidate, paths: settings.Paths
) -> dict[str, Any]:
    model = weights.entry.model if weights.entry is not None else None
    file, shape = weights.file, weights.file.shape if weights.file is not None else None
    tools: bool | None = file.takes_tools if file is not None else None
    if tools is None and model is not None:
        tools = model.tools
    said = weights.capabilities
    return {
        "id": weights.id,
        "source": _source(weights, paths),
        "architecture": shape.architecture if shape else (model.architecture if model else None),
        "parameters": (shape.parameters if shape else None)
        or (model.params_total if model else None),
        "active_parameters": (shape.active_parameters if shape else None)
        or (model.params_active if model else None),
        "context_max_tokens": shape.context_max_tokens
        if shape
        else (model.context_max_tokens if model else None),
        "tools": tools,
        "thinking": "thinking" in said if said is not None else (model.thinking if model else None),
        **sampling.for_model(weights.id).as_json(),
        "vision": "vision" in said if said is not None else (model.vision if model else None),
        "licence": model.licence if model else None,
        "released": model.released if model else None,
        "min_ollama": model.min_ollama if model else None,
        "strengths": model.strengths if model else None,
        "fit": candidate.as_json(),
        "scores": [score._asdict() for score in model.scores] if model else [],
        "problems": [row._asdict() for row in model.problems] if model else [],
        "sources": list(model.sources) if model else [],
    }


def _source(weights: survey.Weights, paths: settings.Paths) -> str:
    """CONTRACT's word for it: what lies in our own store came from the registry."""
    if weights.source != "store" or weights.path is None:
        return weights.source
    return "registry" if weights.path.is_relative_to(paths.models) else "ollama"


def _draw_model(talk: Talk, data: Mapping[str, Any], candidate: Candidate) -> None:
    fit = candidate.fit
    talk.answer(f"{data['id']} ({data['architecture'] or 'unknown architecture'})")
    if data["strengths"] is not None:
        talk.answer_folded(f"  {data['strengths']}", indent=2)
        talk.answer(f"  licence     {data['licence']}, released {data['released']}")
    if data["min_ollama"] is not None:
        talk.answer(f"  Ollama      reads it from {data['min_ollama']} on")
    talk.answer(f"  context     up to {data['context_max_tokens'] or '?'} tokens")
    talk.answer(f"  tools       {_yes(data['tools'])}")
    talk.answer(f"  thinking    {_yes(data['thinking'])}{_mode(data['thinking_mode'])}")
    talk.answer_folded(f"  sampling    {_sampling(data['sampling'])}", indent=14)
    talk.answer(f"  pictures    {_yes(data['vision'])}")
    talk.answer(f"  at {fit.context_tokens:,} tokens ({fit.kv_cache_type} cache, {fit.evidence}):")
    lie = fit.weights_cpu_bytes if fit.placement == "cpu" else fit.weights_gpu_bytes
    about = fit.weights_bytes is None and lie is not None
    for name, size, mark in (
        ("weights", lie if about else fit.weights_bytes, " or so" if about else ""),
        ("cache", fit.kv_bytes + fit.state_bytes, ""),
        ("compute", fit.compute_bytes, ""),
        ("overhead", fit.overhead_bytes, ""),
        ("together", fit.total_bytes, ""),
        ("budget", fit.budget_bytes, ""),
    ):
        talk.answer(f"    {name:9} {format_memory(size):>10}{mark}")
    talk.answer(f"  verdict     {fit.verdict or 'unknown'} ({fit.placement})")
    decode, first = candidate.speed.decode_tokens_per_s, candidate.speed.first_word_s
    if decode is not None:
        talk.answer(f"  speed       {decode.low:.1f} to {decode.high:.1f} tokens a second")
    if first is not None:
        talk.answer(
            f"  first word  in {format_span(first.low, first.high)}, "
            f"with the agent's {candidate.request} prompt"
        )
    for reason in data["fit"]["because"]:
        talk.answer_folded(f"  - {reason}", indent=4)
    for problem in data["problems"]:
        talk.answer_folded(f"  ! {problem['text']}", indent=4)


def _draw_memory(
    talk: Talk,
    asked: looking.Asked,
    weights: survey.Weights,
    candidate: Candidate,
    trained_tokens: int | None,
) -> None:
    """What it would need at other contexts: a picture for a person, who sees where it ends."""
    tokens, kind = candidate.fit.context_tokens, candidate.fit.kv_cache_type
    fits = [
        plan.candidate_of(asked.survey, asked.wish, weights, step, kind).fit
        for step in memory_chart.steps(trained_tokens, tokens)
    ]
    bars = [memory_chart.bar_of(fit, asked=fit.context_tokens == tokens) for fit in fits]
    known = [bar for bar in bars if bar is not None]
    if not known:
        return
    talk.answer("\n  memory by context:")
    for line in memory_chart.draw(known, width=talk.width, ink=memory_chart.ink_for(talk.out)):
        talk.answer(line)


def _mode(mode: Mapping[str, Any] | None) -> str:
    if mode is None:
        return ""
    if mode["off_for_agents"] is not None:
        return f", off for an agent: {mode['off_for_agents']}"
    parts = [f"{mode['default']} by default"] if mode["default"] is not None else []
    if mode["can_disable"] is not None:
        parts.append("can be switched off" if mode["can_disable"] else "cannot be switched off")
    return f" ({', '.join(parts)})" if parts else ""


def _sampling(values: Mapping[str, Any] | None) -> str:
    if values is None:
        return "the engine's defaults (no value of its maker is known)"
    numbers = {name: value for name, value in values.items() if name in sampling.SAMPLING_NAMES}
    return f"{sampling.listed(numbers)} ({values['mode']}; {values['source']})"


def _yes(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"


def machine_json(machine: Machine) -> dict[str, Any]:
    """CONTRACT 3, machine."""
    return dataclasses.asdict(machine)
