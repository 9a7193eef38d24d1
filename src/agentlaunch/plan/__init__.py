"""Survey + Wish → LaunchPlan. Pure: no I/O, no clock, no environment."""

from __future__ import annotations

from dataclasses import replace

from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.engines.remote import RemoteFacts
from agentlaunch.errors import NotSupported
from agentlaunch.managed import Package
from agentlaunch.models import choose
from agentlaunch.plan.embedded import embedded_plan
from agentlaunch.plan.engine import EMBEDDED, OLLAMA, EngineChoice, choose_engine
from agentlaunch.plan.hybrid import GATEWAY, hybrid_plan, narrowed, shown_chain
from agentlaunch.plan.lighter import lighter, ways_out
from agentlaunch.plan.made import Hybrid, LaunchPlan, PlannedHop, Roles, handover, served_name
from agentlaunch.plan.meanwhile import Meanwhile, meanwhile
from agentlaunch.plan.ollama import ollama_plan
from agentlaunch.plan.remarks import engine_reasons
from agentlaunch.plan.remote import remote_plan
from agentlaunch.plan.sizing import (
    CONTEXT_STEPS,
    Chosen,
    candidate_of,
    choose_model,
    default_context,
    gpu_usable,
    terms_of,
    trained_context,
)
from agentlaunch.plan.steps import (
    Derive,
    HandOver,
    Install,
    Load,
    Prove,
    Pull,
    StartEngine,
    Step,
    Warm,
)
from agentlaunch.plan.wish import Places, Wish, context_for
from agentlaunch.survey import Survey, Weights

__all__ = [
    "CONTEXT_STEPS",
    "EMBEDDED",
    "GATEWAY",
    "OLLAMA",
    "Chosen",
    "Derive",
    "EngineChoice",
    "HandOver",
    "Hybrid",
    "Install",
    "LaunchPlan",
    "Load",
    "Meanwhile",
    "Places",
    "PlannedHop",
    "Prove",
    "Pull",
    "Roles",
    "StartEngine",
    "Step",
    "Warm",
    "Wish",
    "candidate_of",
    "choose_engine",
    "choose_model",
    "context_for",
    "default_context",
    "engine_reasons",
    "gpu_usable",
    "handover",
    "lighter",
    "make_hybrid",
    "make_plan",
    "meanwhile",
    "narrowed",
    "served_name",
    "shown_chain",
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
    chosen: EngineChoice | None = None,
) -> LaunchPlan:
    """Decide everything. `weights` is the model that was asked for, `remote` or `ollama` the
    server, `chosen` how it came to be that one where nobody named it.

    Raises `MachineCannot` with the nearest miss in numbers, `NotSupported`, `UsageError`.
    """
    if not wish.agent.local:
        raise NotSupported(
            f"{wish.agent.title} cannot use a model of your own: {wish.agent.local_reason}",
            hint="`agentlaunch agents` lists those that can",
        )
    if remote is not None:
        made = remote_plan(survey, wish, places, remote)
    elif ollama is not None:
        made = ollama_plan(survey, wish, places, ollama, weights)
    else:
        made = embedded_plan(survey, wish, places, weights)
    made = replace(made, steps=with_proof(made.steps, wish, served_name(made.model.id)))
    if chosen is None:
        return made
    warnings = made.warnings if chosen.warning is None else (chosen.warning, *made.warnings)
    return replace(made, because=(*made.because, chosen.because), warnings=warnings)


def make_hybrid(
    survey: Survey, wish: Wish, places: Places, hybrid: Hybrid, *, package: Package | None
) -> LaunchPlan:
    """Decide everything of a launch behind a gateway; `package` is the router, where it must be
    brought. Nothing is read before the agent comes: who will answer is not known."""
    made = hybrid_plan(survey, wish, places, hybrid, package)
    quiet = replace(wish, warm_start=False)
    main = hybrid.chains["main"]
    first = next((hop for hop in main if hop.answers), main[0])
    return replace(made, steps=with_proof(made.steps, quiet, first.model))


def with_proof(steps: tuple[Step, ...], wish: Wish, model: str) -> tuple[Step, ...]:
    """The same steps with what stands between a served model and its agent."""
    extra: list[Step] = []
    if wish.proof_limit_s is not None:
        extra.append(Prove(model, wish.proof_limit_s))
    if wish.warm_start and wish.agent.rehearsal is not None:
        extra.append(Warm(wish.agent.name))
    return (*steps[:-1], *extra, *steps[-1:])


def with_reasons(
    made: LaunchPlan, choice: choose.Choice | None, because: tuple[str, ...]
) -> LaunchPlan:
    """The same plan with the choice that led to it: sized exactly, chosen from the catalog."""
    return replace(made, choice=choice, because=because)
