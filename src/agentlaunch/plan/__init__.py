"""Survey + Wish → LaunchPlan. Pure: no I/O, no clock, no environment."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agentlaunch.agents.base import Handover, Target
from agentlaunch.context import ContextPlan
from agentlaunch.endpoint import HIDDEN, Endpoint
from agentlaunch.engines.base import StateName
from agentlaunch.engines.llama_cpp import PACKAGE, WIRES
from agentlaunch.engines.remote import RemoteFacts
from agentlaunch.errors import EngineFailed, MachineCannot, NotSupported, UsageError
from agentlaunch.models import choose
from agentlaunch.models.candidate import Candidate, is_slow
from agentlaunch.models.fit import Fit
from agentlaunch.plan.lighter import Lighter, lighter, nothing_fits, ways_out
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
from agentlaunch.plan.steps import HandOver, Install, Load, Pull, StartEngine, Step
from agentlaunch.plan.wish import Places, Wish, context_for
from agentlaunch.survey import AgentState, Survey, Weights
from agentlaunch.units import format_bytes

__all__ = [
    "CONTEXT_STEPS",
    "Chosen",
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


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """Everything a launch will do, printable, comparable, undone by not doing it."""

    wish: Wish
    agent: AgentState
    engine: str
    url: str | None
    model: Chosen
    remote: RemoteFacts | None
    context: ContextPlan
    steps: tuple[Step, ...]
    handover: Handover
    because: tuple[str, ...]
    warnings: tuple[tuple[str, str], ...] = ()
    choice: choose.Choice | None = None
    lighter: Lighter | None = None
    """Another agent that would answer sooner, where this one is slow here."""

    @property
    def fit(self) -> Fit | None:
        return self.model.candidate.fit if self.model.candidate is not None else None

    @property
    def download_bytes(self) -> int:
        """What the plan would bring over the network; an unknown size counts as nothing."""
        total = 0
        for step in self.steps:
            if isinstance(step, Pull):
                total += step.size_bytes or 0
            elif isinstance(step, Install):
                total += step.package.download_bytes or step.package.size_bytes
        return total


def make_plan(
    survey: Survey,
    wish: Wish,
    places: Places,
    *,
    weights: Weights | None = None,
    remote: RemoteFacts | None = None,
) -> LaunchPlan:
    """Decide everything. `weights` is the model that was asked for, `remote` the server.

    Raises `MachineCannot` with the nearest miss in numbers, `NotSupported`, `UsageError`.
    """
    if not wish.agent.local:
        raise NotSupported(
            f"{wish.agent.title} cannot use a model of your own: {wish.agent.local_reason}",
            hint="`agentlaunch agents` lists those that can",
        )
    if remote is not None:
        return _remote_plan(survey, wish, places, remote)
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
    steps = (*_agent_install(agent), HandOver(wish.agent.name))
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
    because += [*candidate.fit.because, *engine_reasons(survey)]
    endpoint = Endpoint("http://127.0.0.1:0", WIRES, name, HIDDEN)
    # The agent first: what it needs (Node.js) may be missing, and is told before anything comes.
    steps: list[Step] = _agent_install(agent)
    if not survey.engine_installed:
        steps.append(Install(PACKAGE))
    present = weights.path is not None if weights is not None else candidate.installed
    if not present:
        size = weights.size_bytes if weights is not None else candidate.size_bytes
        steps.append(Pull(chosen.id, size))
    _check_disk(survey, steps)
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
        lighter=lighter(survey, wish) if _is_slow(candidate, wish) else None,
    )


def _is_slow(candidate: Candidate, wish: Wish) -> bool:
    return is_slow(candidate.speed, wish.first_word_limit_s)


def _check_disk(survey: Survey, steps: list[Step]) -> None:
    """Raise `MachineCannot` when what would be brought is more than the disk has, all together."""
    free = survey.machine.disk_free_bytes
    needed = sum(
        step.package.size_bytes + (step.package.download_bytes or 0)  # the cache keeps a copy
        if isinstance(step, Install)
        else (step.size_bytes or 0)
        for step in steps
        if isinstance(step, Install | Pull)
    )
    if free is not None and needed > free:
        raise MachineCannot(
            f"this needs {format_bytes(needed)} on disk, {format_bytes(free)} are free",
            hint="free some space; `agentlaunch clean` lists what is ours",
            code="no-disk",
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


def handover(
    wish: Wish, agent: AgentState, endpoint: Endpoint, context: ContextPlan, places: Places
) -> Handover:
    """What the agent would become with this endpoint; asked again with the real one."""
    binary = str(agent.path) if agent.path is not None else wish.agent.binary
    return wish.agent.prepare(
        Target(
            binary=binary,
            endpoint=endpoint,
            context=context,
            home=wish.home,
            home_folder=places.homes / wish.agent.name,
            runtime_folder=places.runtime,
            run_name=places.run_name,
            environ=places.environ,
            args=wish.args,
        )
    )


def served_name(model_id: str) -> str:
    """The name under which the embedded engine serves a model: its own, without a file's suffix."""
    return model_id.removesuffix(".gguf")


def _agent_install(agent: AgentState) -> list[Step]:
    if agent.installed:
        return []
    if agent.agent.package is None:
        raise NotSupported(
            f"{agent.agent.title} is not installed, and agentlaunch cannot install it",
            hint=f"install it, so that `{agent.agent.binary}` is on PATH",
        )
    return [Install(agent.agent.package)]
