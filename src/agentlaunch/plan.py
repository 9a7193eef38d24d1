"""Survey + Wish → LaunchPlan. Pure: no I/O, no clock, no environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from agentlaunch.agents.base import Agent, Handover, Home, Target
from agentlaunch.context import ContextPlan, make_context, padded
from agentlaunch.endpoint import HIDDEN, Endpoint
from agentlaunch.engines.base import StateName
from agentlaunch.engines.llama_cpp import PACKAGE, WIRES
from agentlaunch.engines.remote import RemoteFacts
from agentlaunch.errors import MachineCannot, ModelUnavailable, NotSupported, UsageError
from agentlaunch.managed import Package
from agentlaunch.models import choose
from agentlaunch.models.catalog import Model
from agentlaunch.models.fit import Fit
from agentlaunch.models.memory import impossible_cache
from agentlaunch.models.shape import ModelShape
from agentlaunch.survey import AgentState, Survey, Weights

CONTEXT_STEPS = (262_144, 131_072, 98_304, 65_536, 49_152, 40_960, 32_768, 24_576, 16_384, 8_192)
SMALLEST_CONTEXT = 2_048
FIRST_WORD_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for; None means: choose for me."""

    agent: Agent
    model: str | None = None
    context_tokens: int | None = None
    kv_cache: str = "auto"
    slim: str = "auto"
    home: Home = "own"
    args: tuple[str, ...] = ()
    skip_proof: bool = False
    output_limit_tokens: int | None = None
    """The user's own cap on one reply, from the agent's own variable."""


@dataclass(frozen=True, slots=True)
class Places:
    """Folders and names that a hand-over speaks of, as values."""

    runtime: Path
    homes: Path
    run_name: str
    environ: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Install:
    """Bring a package into a managed environment."""

    package: Package
    kind: Literal["install"] = "install"


@dataclass(frozen=True, slots=True)
class Pull:
    """Download a model into our store; `size_bytes` is exact or, from the catalog, published."""

    ref: str
    size_bytes: int | None
    kind: Literal["pull"] = "pull"


@dataclass(frozen=True, slots=True)
class StartEngine:
    """Start, or find running, the engine that holds the model."""

    engine: str
    reuse: bool
    kind: Literal["start-engine"] = "start-engine"


@dataclass(frozen=True, slots=True)
class Load:
    """Load the model with a context, and read back what was allocated."""

    model: str
    context_tokens: int
    kind: Literal["load"] = "load"


@dataclass(frozen=True, slots=True)
class HandOver:
    """Become the agent."""

    agent: str
    kind: Literal["hand-over"] = "hand-over"


Step = Install | Pull | StartEngine | Load | HandOver


@dataclass(frozen=True, slots=True)
class Chosen:
    """The model of a plan: exactly seen (`weights`) or, from the catalog, as published."""

    id: str
    weights: Weights | None
    candidate: choose.Candidate | None


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
        warnings=(*warnings, *_context_warning(context)),
    )


def _embedded_plan(
    survey: Survey, wish: Wish, places: Places, weights: Weights | None
) -> LaunchPlan:
    choice: choose.Choice | None = None
    if weights is not None:
        candidate = _fit_asked(survey, wish, weights)
        chosen = Chosen(weights.id, weights, candidate)
        because = [f"{weights.id} was asked for"]
    else:
        choice = choose_model(survey, wish)
        if choice.pick is None:
            raise _nothing_fits(choice, wish)
        candidate = choice.pick
        chosen = Chosen(candidate.id, None, candidate)
        because = list(candidate.because)
    context = context_for(wish, candidate.fit.context_tokens, candidate.fit.kv_cache_type)
    agent = survey.agents[wish.agent.name]
    name = served_name(chosen.id)
    reuse = _serving(survey, name, context.engine_tokens)
    if reuse == "running":
        chosen = _holding_its_memory(survey, wish, chosen, candidate)
        candidate = chosen.candidate or candidate
    because += [*candidate.fit.because, *_engine_because(survey)]
    endpoint = Endpoint("http://127.0.0.1:0", WIRES, name, HIDDEN)
    steps: list[Step] = []
    if not survey.engine_installed:
        steps.append(Install(PACKAGE))
    steps += _agent_install(agent)
    present = weights.path is not None if weights is not None else candidate.installed
    if not present:
        size = weights.size_bytes if weights is not None else candidate.size_bytes
        steps.append(Pull(chosen.id, size))
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
            *_model_warnings(chosen, weights),
            *_trained_warning(wish, chosen, context),
            *_context_warning(context),
        ),
        choice=choice,
    )


def _serving(survey: Survey, name: str, context_tokens: int) -> StateName | None:
    """Whether a process of ours serves this model already: `running` (it holds its memory),
    `asleep` (it will take it again) or None."""
    states = {
        row.state
        for row in survey.engines
        for loaded in row.loaded
        if (loaded.model, loaded.context_tokens) == (name, context_tokens)
    }
    serving: tuple[StateName, ...] = ("running", "asleep")
    return next((state for state in serving if state in states), None)


def _holding_its_memory(
    survey: Survey, wish: Wish, chosen: Chosen, candidate: choose.Candidate
) -> Chosen:
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


def context_for(wish: Wish, engine_tokens: int, kv_cache_type: str = "f16") -> ContextPlan:
    """The context contract of this wish with an engine that allocates so much."""
    return make_context(
        wish.agent.tiers,
        engine_tokens,
        kv_cache_type=kv_cache_type,
        slim=wish.slim,
        output_limit_tokens=wish.output_limit_tokens,
    )


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


def choose_model(survey: Survey, wish: Wish) -> choose.Choice:
    """Rank the catalog for this agent on this machine, at the largest context that fits each."""
    best: dict[str, choose.Candidate] = {}
    asked = wish.context_tokens
    wanted = padded(asked or wish.agent.wanted_context_tokens)
    floor = asked or wish.agent.min_context_tokens
    pending: Sequence[Model] = survey.catalog.models
    for tokens in _steps_down(wanted, wanted if asked else floor):
        prompt_tokens = _prompt_tokens(wish, tokens)
        unfit: list[Model] = []
        for model in pending:
            rows = choose.consider_all(
                survey.machine,
                (model,),
                context_tokens=tokens,
                prompt_tokens=prompt_tokens,
                min_context_tokens=floor,
                kv_cache_type=_kv(wish),
                installed=survey.installed_tags,
                gpu_usable=gpu_usable(survey),
            )
            for row in rows:
                known = best.get(row.id)
                if known is None or not known.fit.fits:
                    best[row.id] = row
            if not all(best[row.id].fit.fits for row in rows):
                unfit.append(model)
        pending = unfit
    return choose.rank(best.values(), first_word_limit_s=FIRST_WORD_LIMIT_S)


def _steps_down(wanted: int, smallest: int) -> tuple[int, ...]:
    lower = [step for step in CONTEXT_STEPS if smallest < step < wanted]
    return tuple(dict.fromkeys((wanted, *lower, smallest)))


def _prompt_tokens(wish: Wish, context_tokens: int) -> int:
    """Tokens of the first request in the tier that this window carries."""
    tier = context_for(wish, context_tokens).tier
    return tier.headless_tokens if wish.agent.is_headless(wish.args) else tier.interactive_tokens


def _kv(wish: Wish) -> str:
    return "f16" if wish.kv_cache == "auto" else wish.kv_cache


def gpu_usable(survey: Survey) -> bool:
    """The embedded engine's published builds use Metal on macOS and the CPU elsewhere."""
    return survey.machine.os == "darwin"


def _fit_asked(survey: Survey, wish: Wish, weights: Weights) -> choose.Candidate:
    """Size the model that was asked for: at the asked context, or the largest that fits."""
    top = default_context(wish, weights)
    steps = (top,) if wish.context_tokens else _steps_down(top, min(SMALLEST_CONTEXT, top))
    kinds = ("f16", "q8_0") if wish.kv_cache == "auto" else (wish.kv_cache,)
    floor = wish.agent.min_context_tokens
    # A smaller cache type is tried before a window that the agent cannot work in; among those
    # the larger window counts more than the cache type.
    ordered = [(s, k) for k in kinds for s in steps if s >= floor]
    ordered += [(s, k) for s in steps if s < floor for k in kinds]
    misses: list[Fit] = []
    impossible: str | None = None
    for tokens, kind in ordered:
        candidate = candidate_of(survey, wish, weights, tokens, kind)
        if candidate.fit.verdict != "no":
            return candidate
        reason = impossible_cache(_shape(weights), kind)
        if reason is None:
            misses.append(candidate.fit)
        else:
            impossible = reason
    if not misses:
        raise NotSupported(f"{weights.id}: {impossible}", hint="leave --kv-cache away")
    raise _too_large(weights.id, min(misses, key=lambda row: row.total_bytes or 0))


def default_context(wish: Wish, weights: Weights) -> int:
    """The asked context or what the agent wants, never more than the model was trained for."""
    trained = _trained_context(weights)
    wanted = padded(wish.context_tokens or wish.agent.wanted_context_tokens)
    return wanted if trained is None else min(wanted, trained)


def candidate_of(
    survey: Survey,
    wish: Wish,
    weights: Weights,
    context_tokens: int,
    kv_cache_type: str,
    *,
    reusable_bytes: int = 0,
) -> choose.Candidate:
    """One model at one context as a candidate; `ModelUnavailable` when nothing tells its size."""
    common: dict[str, Any] = {
        "context_tokens": context_tokens,
        "prompt_tokens": _prompt_tokens(wish, context_tokens),
        "min_context_tokens": wish.agent.min_context_tokens,
        "kv_cache_type": kv_cache_type,
        "reusable_bytes": reusable_bytes,
        "gpu_usable": gpu_usable(survey),
        "installed": weights.path is not None,
    }
    if weights.entry is not None:
        shape = weights.file.shape if weights.file is not None else None
        return choose.consider(
            survey.machine, weights.entry.model, weights.entry.variant, shape=shape, **common
        )
    if weights.file is not None:
        return choose.of_file(survey.machine, weights.id, weights.file, **common)
    raise ModelUnavailable(
        f"{weights.id} is neither here nor in the catalog, so nothing is known about its size",
        hint="run it once without --offline, or name a path to its .gguf",
        code="unknown-model",
    )


def _trained_context(weights: Weights) -> int | None:
    if weights.file is not None:
        return weights.file.shape.context_max_tokens or None  # a header may say 0
    return weights.entry.model.context_max_tokens if weights.entry is not None else None


def _shape(weights: Weights) -> ModelShape:
    """The exact shape, else the catalog's; there is one for whatever `candidate_of` could size."""
    if weights.file is not None:
        return weights.file.shape
    assert weights.entry is not None
    return weights.entry.model.shape


def _agent_install(agent: AgentState) -> list[Step]:
    if agent.installed:
        return []
    if agent.agent.package is None:
        raise NotSupported(
            f"{agent.agent.title} is not installed, and agentlaunch cannot install it",
            hint=f"install it, so that `{agent.agent.binary}` is on PATH",
        )
    return [Install(agent.agent.package)]


def _engine_because(survey: Survey) -> list[str]:
    lines = []
    cards = [gpu for gpu in survey.machine.gpus if gpu.vendor in {"nvidia", "amd"}]
    if cards and not gpu_usable(survey):
        lines.append(
            f"the embedded engine computes on the CPU and leaves the {cards[0].name} idle: "
            "Ollama or a llama.cpp server with GPU support will be faster (--engine URL)"
        )
    return lines


def _model_warnings(chosen: Chosen, weights: Weights | None) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    file = weights.file if weights is not None else None
    candidate = chosen.candidate
    takes_tools = candidate.tools if candidate is not None else None
    if file is not None:  # its own header knows better than the catalog
        takes_tools = file.takes_tools
    if takes_tools is False:
        text = (
            f"the chat template of {chosen.id} ignores tools: the agent can talk with it, "
            "but it cannot read or change a file"
        )
        rows.append(("template-ignores-tools", text))
    if candidate is not None:
        if candidate.fit.shortage_bytes:
            mib = candidate.fit.shortage_bytes // 2**20
            rows.append(("memory-short-now", f"close programs: {mib:,} MiB more are needed free"))
        if candidate.leaks:
            text = f"{chosen.id} is known to print its tool calls as text: then nothing is done"
            rows.append(("tool-calls-as-text", text))
        if candidate.status in {"weak", "unsuitable"}:
            rows.append(
                ("weak-model", f"{chosen.id} is known to be {candidate.status} as an agent")
            )
        first = candidate.speed.first_word_s
        if first is not None and first.middle > FIRST_WORD_LIMIT_S:
            text = (
                f"the first word may take {first.low / 60:.0f} to {first.high / 60:.0f} minutes "
                "on this machine; `--slim on` sends a smaller prompt, a smaller model is quicker"
            )
            rows.append(("slow-first-word", text))
    return rows


def _trained_warning(wish: Wish, chosen: Chosen, context: ContextPlan) -> list[tuple[str, str]]:
    if (wish.context_tokens or 0) <= context.engine_tokens:
        return []
    text = f"{chosen.id} was trained for {context.engine_tokens:,} tokens, fewer than asked"
    return [("context-smaller", text)]


def _context_warning(context: ContextPlan) -> list[tuple[str, str]]:
    return [("small-context", context.warning)] if context.warning else []


def _too_large(model_id: str, fit: Fit) -> MachineCannot:
    needed, budget = fit.total_bytes or 0, fit.budget_bytes or 0
    return MachineCannot(
        f"{model_id} needs {needed / 2**30:.1f} GiB at {fit.context_tokens:,} tokens, "
        f"this machine has {budget / 2**30:.1f} GiB for it",
        hint="`agentlaunch models` shows what fits; a smaller --context needs less",
        code="does-not-fit",
    )


def _nothing_fits(choice: choose.Choice, wish: Wish) -> MachineCannot:
    tokens = wish.context_tokens or wish.agent.min_context_tokens
    miss = choice.nearest_miss
    hint = "use an engine elsewhere (--engine URL), or name a smaller model with --model"
    if miss is not None:
        text = (
            f"no model of the catalog fits this machine at {tokens:,} tokens; "
            f"the nearest is {miss.id}: it needs {miss.needed_bytes / 2**30:.1f} GiB, "
            f"{miss.available_bytes / 2**30:.1f} GiB are there"
        )
    elif not any(row.enough_context for row in choice.candidates):
        text = f"no model of the catalog was trained for {tokens:,} tokens"
        hint = "ask for less with --context"
    else:
        text = "how much memory this machine has is not known, so no model can be chosen"
        hint = "name a model with --model"
    return MachineCannot(text, hint=hint, code="nothing-fits")
