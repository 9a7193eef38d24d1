"""A launch on Ollama: the model in its store, the context pinned in a tag of ours. Pure."""

from __future__ import annotations

from dataclasses import replace

from agentlaunch import policy
from agentlaunch.context import padded
from agentlaunch.endpoint import HIDDEN, Endpoint
from agentlaunch.engines.ollama.derive import derived_name
from agentlaunch.engines.ollama.facts import NAME, OllamaFacts
from agentlaunch.engines.ollama.replies import WIRE_FLOORS, same_model
from agentlaunch.errors import MachineCannot, ModelUnavailable, NotSupported
from agentlaunch.models import choose, sampling
from agentlaunch.models.candidate import Candidate
from agentlaunch.models.refs import parse_ref
from agentlaunch.plan.lighter import lighter_where_slow, nothing_fits
from agentlaunch.plan.made import LaunchPlan, agent_install, check_disk, handover
from agentlaunch.plan.remarks import context_warning, model_warnings, trained_warning
from agentlaunch.plan.sizing import CONTEXT_STEPS, Chosen, choose_model, fit_asked
from agentlaunch.plan.steps import Derive, HandOver, Load, Pull, StartEngine, Step
from agentlaunch.plan.wish import Places, Wish, context_for
from agentlaunch.survey import Survey, Weights, installed
from agentlaunch.units import format_bytes

NOT_STARTED = "http://127.0.0.1:0"


def ollama_plan(
    survey: Survey, asked: Wish, places: Places, facts: OllamaFacts, weights: Weights | None
) -> LaunchPlan:
    """Raises `NotSupported` for a file, a cache type or a wire that Ollama does not take, and
    `MachineCannot` where nothing fits."""
    _refuse(asked, facts, weights)
    wish = replace(asked, engine=NAME, kv_cache="f16")
    seen = survey.on_ollama(facts)
    choice: choose.Choice | None = None
    if weights is not None:
        candidate = fit_asked(seen, wish, weights)
        chosen, because = Chosen(weights.id, weights, candidate), [f"{weights.id} was asked for"]
    else:
        choice = choose_model(seen, wish)
        pick = choice.pick if facts.is_here else _served_there(seen, wish, facts, choice)
        if pick is None:
            raise nothing_fits(seen, choice, wish)
        candidate = pick
        chosen, because = Chosen(candidate.id, None, candidate), list(candidate.because)
    context = context_for(wish, candidate.fit.context_tokens, tier=candidate.request)
    tag = derived_name(chosen.id, context.engine_tokens)
    tuning = sampling.for_model(chosen.id)
    because += tuning.reasons
    agent = survey.agents[wish.agent.name]
    steps: list[Step] = agent_install(agent)
    running = facts.version is not None
    steps.append(StartEngine(NAME, running))
    if facts.tag(chosen.id) is None:
        size = weights.size_bytes if weights is not None else candidate.size_bytes
        steps.append(Pull(chosen.id, size))
    check_disk(survey, [step for step in steps if not isinstance(step, Pull)])
    _check_store(facts, steps)
    steps += [
        Derive(chosen.id, tag, context.engine_tokens, wish.batch, tuning.parameters),
        Load(tag, context.engine_tokens),
        HandOver(wish.agent.name),
    ]
    url = facts.client.url if running else NOT_STARTED
    endpoint = Endpoint(url, facts.wires, tag, HIDDEN)
    warnings = [
        *model_warnings(chosen, weights, wish, context),
        *trained_warning(asked, chosen, context),
        *context_warning(context, wish, facts.wires),
        *_security(facts),
    ]
    if not facts.is_here:
        warnings += policy.host_warnings(facts.client.url, facts.client.key)
    if any(same_model(row.model, tag) for row in facts.loaded):
        because.append(f"Ollama holds {tag} already")
    return LaunchPlan(
        wish=wish,
        agent=agent,
        engine=NAME,
        url=facts.client.url if running else None,
        model=chosen,
        remote=None,
        context=context,
        steps=tuple(steps),
        handover=handover(wish, agent, endpoint, context, places),
        because=(*because, *candidate.fit.because),
        warnings=tuple(warnings),
        choice=choice,
        ollama=facts,
        lighter=lighter_where_slow(seen, wish, candidate),
    )


def _served_there(
    survey: Survey, wish: Wish, facts: OllamaFacts, choice: choose.Choice
) -> Candidate:
    """The best of what a server elsewhere has: its machine is not known, so nothing is sized.

    Raises `ModelUnavailable` where it has nothing that can carry the agent.
    """
    fitting = (replace(row, fit=replace(row.fit, verdict="tight")) for row in choice.candidates)
    best = next((row for row in fitting if row.installed and row.pickable), None)
    if best is None:
        raise ModelUnavailable(
            f"Ollama at {facts.client.url} has no model that is known to carry {wish.agent.title}",
            hint="name one with --model: it is pulled there",
            code="nothing-served",
        )
    asked = Weights(
        best.id,
        parse_ref(best.id),
        None,
        None,
        best.size_bytes,
        survey.served_files.get(best.id),
        installed.of_catalog(survey.served, survey.catalog).get(best.id),
        "ollama",
    )
    return fit_asked(survey, wish, asked)


def with_context(made: LaunchPlan, tokens: int) -> LaunchPlan:
    """The same plan with another context: its contract, its tag, what is loaded."""
    wish, old = made.wish, made.context
    context = context_for(wish, tokens, old.kv_cache_type, tier=old.tier.name)
    tag = derived_name(made.model.id, context.engine_tokens)

    def changed(step: Step) -> Step:
        if isinstance(step, Derive):
            return replace(step, tag=tag, context_tokens=context.engine_tokens)
        if isinstance(step, Load):
            return replace(step, model=tag, context_tokens=context.engine_tokens)
        return step

    return replace(made, context=context, steps=tuple(changed(step) for step in made.steps))


def smaller(
    made: LaunchPlan, spilled_bytes: int | None, *, last: bool = False
) -> LaunchPlan | None:
    """The largest smaller context whose cache needs less by what did not fit, in bytes; where that
    is not known (None) the next smaller one, or with `last` the least. None where the user chose
    the context, or the agent cannot work in less."""
    if made.wish.context_tokens is not None:
        return None
    now, fit = made.context.engine_tokens, made.fit
    kv_bytes = fit.kv_bytes if fit is not None else None
    known = bool(spilled_bytes and kv_bytes)
    most = now - 1
    if spilled_bytes and kv_bytes and fit is not None:
        most = min(most, int(now - spilled_bytes * fit.context_tokens / kv_bytes))
    floor = made.wish.agent.min_context_tokens
    fitting = [step for step in (*CONTEXT_STEPS, padded(floor)) if floor <= step <= most]
    if not fitting:
        return None
    return with_context(made, min(fitting) if last and not known else max(fitting))


def _check_store(facts: OllamaFacts, steps: list[Step]) -> None:
    """Raise `MachineCannot` when the model is more than the server's disk has. A part of it may be
    there; how much exactly is asked right before the download."""
    store = facts.store
    needed = sum(step.size_bytes or 0 for step in steps if isinstance(step, Pull))
    if store is None or store.free_bytes is None:
        return
    if needed > store.free_bytes + store.partial_bytes:
        raise MachineCannot(
            f"this needs {format_bytes(needed)} in Ollama's store {store.path}, "
            f"where {format_bytes(store.free_bytes)} are free",
            hint="free some space there, or choose a smaller model: agentlaunch models",
            code="no-disk",
        )


def _refuse(wish: Wish, facts: OllamaFacts, weights: Weights | None) -> None:
    if weights is not None and weights.ref is None:
        raise NotSupported(
            f"Ollama does not load a file such as {weights.id}",
            hint="leave --engine away: the embedded engine loads it",
        )
    if wish.kv_cache not in ("auto", "f16"):
        raise NotSupported(
            f"a cache of type {wish.kv_cache} is a setting of the Ollama server",
            hint=f"set OLLAMA_KV_CACHE_TYPE={wish.kv_cache} where it is started, and leave "
            "--kv-cache away",
        )
    if not set(wish.agent.wires) & set(facts.wires):
        said = facts.version.text if facts.version is not None else "?"
        floors = [WIRE_FLOORS[wire] for wire in wish.agent.wires if wire in WIRE_FLOORS]
        needed = ".".join(map(str, min(floors))) if floors else ""
        raise NotSupported(
            f"Ollama {said} speaks none of the wires of {wish.agent.title}"
            + (f", {needed} does" if needed else ""),
            hint="update it: https://ollama.com/download",
            code="ollama-too-old",
        )
    tag = facts.tag(weights.id) if weights is not None else None
    if tag is not None and tag.cloud:
        raise NotSupported(
            f"{tag.name} runs in Ollama's cloud, not here",
            hint="choose a model that runs here: agentlaunch models",
            code="cloud-model",
        )


def _security(facts: OllamaFacts) -> list[tuple[str, str]]:
    if facts.version is None or facts.version.has("security"):
        return []
    text = f"Ollama {facts.version.text} has a known security hole: update it"
    return [("ollama-unsafe", text)]
