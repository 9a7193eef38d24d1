"""A launch on the embedded engine: weights of a store or a file, a process of ours. Pure."""

from __future__ import annotations

from dataclasses import replace

from agentlaunch.context import ContextPlan
from agentlaunch.endpoint import HIDDEN, Endpoint
from agentlaunch.engines.base import StateName
from agentlaunch.engines.llama_cpp import PACKAGE, WIRES
from agentlaunch.models import choose, sampling
from agentlaunch.models.candidate import Candidate
from agentlaunch.plan.lighter import lighter_where_slow, nothing_fits
from agentlaunch.plan.made import LaunchPlan, agent_install, check_disk, handover, served_name
from agentlaunch.plan.remarks import (
    context_warning,
    engine_reasons,
    model_warnings,
    trained_warning,
)
from agentlaunch.plan.sizing import Chosen, candidate_of, choose_model, fit_asked
from agentlaunch.plan.steps import HandOver, Install, Load, Pull, StartEngine, Step
from agentlaunch.plan.wish import Places, Wish, context_for
from agentlaunch.survey import Survey, Weights


def embedded_plan(
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
    because += sampling.for_model(chosen.id).reasons
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
            *context_warning(context, wish, WIRES),
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
