"""A launch on Ollama: the model in its store, the context pinned in a tag of ours. Pure."""

from __future__ import annotations

from dataclasses import replace

from agentlaunch.endpoint import HIDDEN, Endpoint
from agentlaunch.engines.ollama.derive import derived_name
from agentlaunch.engines.ollama.facts import NAME, OllamaFacts
from agentlaunch.engines.ollama.replies import same_model
from agentlaunch.errors import NotSupported
from agentlaunch.models import choose
from agentlaunch.plan.lighter import lighter_where_slow, nothing_fits
from agentlaunch.plan.made import LaunchPlan, agent_install, check_disk, handover
from agentlaunch.plan.remarks import context_warning, model_warnings, trained_warning
from agentlaunch.plan.sizing import Chosen, choose_model, fit_asked
from agentlaunch.plan.steps import Derive, HandOver, Load, Pull, StartEngine, Step
from agentlaunch.plan.wish import Places, Wish, context_for
from agentlaunch.survey import Survey, Weights

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
        if choice.pick is None:
            raise nothing_fits(seen, choice, wish)
        candidate = choice.pick
        chosen, because = Chosen(candidate.id, None, candidate), list(candidate.because)
    context = context_for(wish, candidate.fit.context_tokens, tier=candidate.request)
    tag = derived_name(chosen.id, context.engine_tokens)
    agent = survey.agents[wish.agent.name]
    steps: list[Step] = agent_install(agent)
    running = facts.version is not None
    steps.append(StartEngine(NAME, running))
    if facts.tag(chosen.id) is None:
        size = weights.size_bytes if weights is not None else candidate.size_bytes
        steps.append(Pull(chosen.id, size))
    if facts.client.is_local:
        check_disk(survey, steps)
    steps += [
        Derive(chosen.id, tag, context.engine_tokens, wish.batch),
        Load(tag, context.engine_tokens),
        HandOver(wish.agent.name),
    ]
    url = facts.client.url if running else NOT_STARTED
    endpoint = Endpoint(url, facts.wires, tag, HIDDEN)
    warnings = [
        *model_warnings(chosen, weights, wish, context),
        *trained_warning(asked, chosen, context),
        *context_warning(context),
        *_security(facts),
    ]
    if not facts.client.is_local:
        warnings.append(("remote-engine", f"your code goes to {facts.client.url}"))
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
        raise NotSupported(
            f"Ollama {said} speaks none of the wires of {wish.agent.title}",
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
