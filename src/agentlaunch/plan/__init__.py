"""Survey + Wish → LaunchPlan. Pure: no I/O, no clock, no environment."""

from __future__ import annotations

from dataclasses import replace

from agentlaunch.context import ContextPlan
from agentlaunch.endpoint import HIDDEN, Endpoint
from agentlaunch.engines.base import StateName
from agentlaunch.engines.llama_cpp import PACKAGE, WIRES
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.engines.remote import RemoteFacts
from agentlaunch.errors import EngineFailed, NotSupported, UsageError
from agentlaunch.models import choose
from agentlaunch.models.candidate import Candidate
from agentlaunch.plan.lighter import lighter, lighter_where_slow, nothing_fits, ways_out
from agentlaunch.plan.made import LaunchPlan, agent_install, check_disk, handover, served_name
from agentlaunch.plan.ollama import ollama_plan
from agentlaunch.plan.remarks import (
    context_warning,
    engine_reasons,
    model_warnings,
    trained_warning,
)
from agentlaunch.plan.sizing import (
    CONTEXT_STEPS,
    Chosen,
    candidate_of,
    choose_model,
    default_context,
    fit_asked,
    gpu_usable,
    terms_of,
    trained_context,
)
from agentlaunch.plan.steps import Derive, HandOver, Install, Load, Pull, StartEngine, Step
from agentlaunch.plan.wish import Places, Wish, context_for
from agentlaunch.survey import Survey, Weights

__all__ = [
    "CONTEXT_STEPS",
    "Chosen",
    "Derive",
    "HandOver",
    "Install",
    "LaunchPlan",
    "Load",
    "Places",
    "Pull",
    "StartEngine",
    "Step",
    "Wish",
    "candidate_of",
    "choose_model",
    "context_for",
    "default_context",
    "gpu_usable",
    "handover",
    "lighter",
    "make_plan",
    "served_name",
    "terms_of",
    "trained_context",
    "ways_out",
    "with_reasons",
]


def make_plan(
    survey: Survey,
    wish: Wish,
    places: Places,
    *,
    weights: Weights | None = None,
    remote: RemoteFacts | None = None,
    ollama: OllamaFacts | None = None,
) -> LaunchPlan:
    """Decide everything. `weights` is the model that was asked for, `remote` or `ollama` the
    server that was.

    Raises `MachineCannot` with the nearest miss in numbers, `NotSupported`, `UsageError`.
    """
    if not wish.agent.local:
        raise NotSupported(
            f"{wish.agent.title} cannot use a model of your own: {wish.agent.local_reason}",
            hint="`agentlaunch agents` lists those that can",
        )
    if remote is not None:
        return _remote_plan(survey, wish, places, remote)
    if ollama is not None:
        return ollama_plan(survey, wish, places, ollama, weights)
    return _embedded_plan(survey, wish, places, weights)


def _remote_plan(survey: Survey, wish: Wish, places: Places, facts: RemoteFacts) -> LaunchPlan:
    wire = next((wire for wire in wish.agent.wires if wire in facts.wires), None)
    if wire is None:
        raise NotSupported(
            f"{facts.url} speaks none of the wires of {wish.agent.title} "
            f"({', '.join(wish.agent.wires)})",
            hint="use an engine that has one of them",
        )
    model = facts.pick(wish.model)
    tokens = model.context_tokens
    if tokens is None or (wish.context_tokens is not None and wish.context_tokens < tokens):
        tokens = wish.context_tokens
    if tokens is None:
        raise UsageError(
            f"{facts.url} does not say how large its context is",
            hint="say it with --context N (tokens)",
            code="needs-context",
        )
    warnings: list[tuple[str, str]] = []
    if (wish.context_tokens or 0) > tokens:
        text = f"the engine allocates {tokens:,} tokens, fewer than asked"
        warnings.append(("context-smaller", text))
    if tokens < wish.agent.min_context_tokens and wish.model is None and not wish.context_tokens:
        raise EngineFailed(
            f"{facts.url} serves {model.name} with a context of {tokens:,} tokens; "
            f"{wish.agent.title} needs {wish.agent.min_context_tokens:,} to work",
            hint="start it with a larger context, or go on anyway with --model or --context",
            code="context-too-small",
        )
    context = context_for(wish, tokens)
    endpoint = Endpoint(facts.url, facts.wires, model.name, HIDDEN)
    agent = survey.agents[wish.agent.name]
    if not endpoint.is_loopback:
        warnings.append(("remote-engine", f"your code goes to {facts.url}"))
    steps = (*agent_install(agent), HandOver(wish.agent.name))
    return LaunchPlan(
        wish=wish,
        agent=agent,
        engine="remote",
        url=facts.url,
        model=Chosen(model.name, None, None),
        remote=facts,
        context=context,
        steps=steps,
        handover=handover(wish, agent, endpoint, context, places),
        because=(f"{facts.url} was asked for and serves {model.name}",),
        warnings=(*warnings, *context_warning(context)),
    )


def _embedded_plan(
    survey: Survey, wish: Wish, places: Places, weights: Weights | None
) -> LaunchPlan:
    choice: choose.Choice | None = None
    if weights is not None:
        candidate = fit_asked(survey, wish, weights)
        chosen = Chosen(weights.id, weights, candidate)
        because = [f"{weights.id} was asked for"]
    else:
        choice = choose_model(survey, wish)
        if choice.pick is None:
            raise nothing_fits(survey, choice, wish)
        candidate = choice.pick
        chosen = Chosen(candidate.id, None, candidate)
        because = list(candidate.because)
    context = context_for(
        wish,
        candidate.fit.context_tokens,
        candidate.fit.kv_cache_type,
        tier=candidate.request,
    )
    agent = survey.agents[wish.agent.name]
    name = served_name(chosen.id)
    reuse = _serving(survey, chosen, context)
    if reuse == "running":
        chosen = _holding_its_memory(survey, wish, chosen, candidate)
        candidate = chosen.candidate or candidate
    because += [*candidate.fit.because, *engine_reasons(survey, wish)]
    endpoint = Endpoint("http://127.0.0.1:0", WIRES, name, HIDDEN)
    # The agent first: what it needs (Node.js) may be missing, and is told before anything comes.
    steps: list[Step] = agent_install(agent)
    if not survey.engine_installed:
        steps.append(Install(PACKAGE))
    present = weights.path is not None if weights is not None else candidate.installed
    if not present:
        size = weights.size_bytes if weights is not None else candidate.size_bytes
        steps.append(Pull(chosen.id, size))
    check_disk(survey, steps)
    steps += [
        StartEngine("embedded", reuse is not None),
        Load(name, context.engine_tokens),
        HandOver(wish.agent.name),
    ]
    return LaunchPlan(
        wish=wish,
        agent=agent,
        engine="embedded",
        url=None,
        model=chosen,
        remote=None,
        context=context,
        steps=tuple(steps),
        handover=handover(wish, agent, endpoint, context, places),
        because=tuple(because),
        warnings=(
            *model_warnings(chosen, weights, wish, context),
            *trained_warning(wish, chosen, context),
            *context_warning(context),
        ),
        choice=choice,
        lighter=lighter_where_slow(survey, wish, candidate),
    )


def _serving(survey: Survey, chosen: Chosen, context: ContextPlan) -> StateName | None:
    """Whether a process of ours serves this model already: `running` (it holds its memory),
    `asleep` (it will take it again) or None."""
    wanted = (served_name(chosen.id), context.engine_tokens, context.kv_cache_type)
    path = chosen.weights.path if chosen.weights is not None else None
    states = {
        row.state
        for row in survey.engines
        for held in row.loaded
        if (held.model, held.context_tokens, held.kv_cache_type) == wanted
        and path in {None, held.path}
    }
    serving: tuple[StateName, ...] = ("running", "asleep")
    return next((state for state in serving if state in states), None)


def _holding_its_memory(survey: Survey, wish: Wish, chosen: Chosen, candidate: Candidate) -> Chosen:
    """The same choice, sized where its engine has the memory already: nothing is short for it."""
    weights = chosen.weights
    if weights is None:
        entry = survey.catalog.get(chosen.id)
        weights = Weights(chosen.id, None, None, None, None, None, entry, "catalog")
    held = candidate_of(
        survey,
        wish,
        weights,
        candidate.fit.context_tokens,
        candidate.fit.kv_cache_type,
        reusable_bytes=candidate.fit.total_bytes or 0,
    )
    return replace(chosen, candidate=replace(candidate, fit=held.fit))


def with_reasons(
    made: LaunchPlan, choice: choose.Choice | None, because: tuple[str, ...]
) -> LaunchPlan:
    """The same plan with the choice that led to it: sized exactly, chosen from the catalog."""
    return replace(made, choice=choice, because=because)
