"""What the rules say of a launch: the agent and the engine before anything is asked, the model and
the agent's version when the plan is made. No flag beats a rule."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from agentlaunch import plan, settings, survey
from agentlaunch.agents import AGENTS, versions
from agentlaunch.engines import remote
from agentlaunch.engines.presets import Kind
from agentlaunch.errors import AgentlaunchError, MachineCannot, Refused
from agentlaunch.models.catalog import Catalog
from agentlaunch.models.cloud import is_cloud_name
from agentlaunch.policy import SETTING, judging, origin
from agentlaunch.policy.judging import Refusal, enforce
from agentlaunch.policy.rules import Policy, Rule
from agentlaunch.survey import health, ruled, rules


def here() -> Policy:
    """The rules that hold in the current folder. Raises `Refused` for a file that is not
    understood."""
    return rules.look(health.here(), user_file())


def user_file() -> Path:
    """The user's file; who has no home has none."""
    try:
        return settings.paths().user_file
    except AgentlaunchError:
        return settings.NOWHERE.user_file


def kept_home(
    values: Mapping[str, settings.Value],
) -> tuple[dict[str, settings.Value], AgentlaunchError | None]:
    """Settings for a look that a rule does not end: no host counts as allowed where one keeps
    everything on this machine or refuses the engine of the settings, or where it cannot be read
    whether one does; and why not."""
    policy, fault = rules.look_readable(health.here(), user_file())
    found = dict(values)
    rule = policy.local_only or _rule_against(policy, values)
    if rule is not None or fault is not None:
        origin = rule.origin if rule is not None else "default"
        found[SETTING] = settings.Value(None, "default", origin)
    return found, fault


def kept_environ() -> dict[str, str]:
    """The environment for a look that a rule does not end: without `OLLAMA_HOST` where nothing may
    be asked there, or where a file that may say so cannot be read."""
    policy, fault = rules.look_readable(health.here(), user_file())
    asked = _ollama()
    kept = dict(os.environ)
    if not asked.here and (fault is not None or server(policy, asked) is not None):
        kept.pop("OLLAMA_HOST", None)
    return kept


def _rule_against(policy: Policy, values: Mapping[str, settings.Value]) -> Rule | None:
    """The rule that refuses the server that the settings name, if there is one."""
    name = str(values["engine"].value or "auto")
    if name.lower() in ("auto", "local", plan.OLLAMA, plan.EMBEDDED):
        return None
    try:
        target = _resolved(name, values)
    except AgentlaunchError:  # a name that is none, which others tell
        return None
    refusal = engine(policy, name, target) or no_money(policy, target)
    return refusal.rule if refusal is not None else None


# ---- before anything is asked ---------------------------------------------------------------


def agent(policy: Policy, name: str) -> None:
    """Raise `Refused` for an agent that is not allowed in any version."""
    enforce(judging.agent(policy, name))


def may_start(states: Sequence[survey.AgentState]) -> list[survey.AgentState]:
    """Those that a rule lets anybody start here. Raises `Refused` where none is left."""
    policy = here()
    refusals = [judging.agent(policy, state.agent.name) for state in states]
    left = [state for state, no in zip(states, refusals, strict=True) if no is None]
    if not left:
        enforce(*refusals)
    return left


def first_agent(policy: Policy, names: Iterable[str | None]) -> str | None:
    """Where nobody named one: the first of these that is allowed, else any that is."""
    every = (*names, *(row.name for row in AGENTS.values() if row.local))
    return next(
        (name for name in every if name is not None and judging.agent(policy, name) is None), None
    )


def server(policy: Policy, asked: judging.Server) -> Refusal | None:
    """Why nothing may be asked of this engine; None where it may."""
    return judging.engine(policy, asked) or judging.data(policy, asked)


def engine(policy: Policy, name: str, target: remote.Target | None) -> Refusal | None:
    """The same for the engine of a launch by its name, or as the server that it names."""
    return server(policy, _as_server(name, target))


def _as_server(name: str, target: remote.Target | None) -> judging.Server:
    if target is not None:
        return ruled.server_of(target)
    if name.lower() == plan.OLLAMA:
        return _ollama()
    return ruled.EMBEDDED


def _ollama() -> judging.Server:
    try:
        return ruled.ollama_at(survey.ollama_url(os.environ))
    except ValueError:  # no address at all, which the look tells
        return ruled.ollama_at("")


def place(url: str, name: str = "") -> None:
    """Raise `Refused` where nothing may go to this address, whatever for."""
    enforce(judging.data(here(), judging.Server(name or origin(url), url)))


def may_ask_ollama(policy: Policy) -> bool:
    """May the Ollama that OLLAMA_HOST names be looked at?"""
    return server(policy, _ollama()) is None


def choose_engine(
    policy: Policy,
    seen: survey.Survey,
    wish: plan.Wish,
    values: Mapping[str, settings.Value],
    *,
    local: bool = False,
) -> plan.EngineChoice:
    """As `plan.choose_engine`, among the allowed ones; `local` takes none but this machine's.

    Raises `Refused` where none is allowed.
    """
    embedded, ollama = server(policy, ruled.EMBEDDED), server(policy, _ollama())
    if embedded is None and ollama is None:
        return plan.choose_engine(seen, wish)
    if embedded is None and ollama is not None:
        return plan.EngineChoice(plan.EMBEDDED, f"Ollama is not used: {_why(ollama)}")
    assert embedded is not None
    if ollama is None:
        return plan.EngineChoice(plan.OLLAMA, f"the embedded engine is not used: {_why(embedded)}")
    for word in embedded.rule.names if not local else ():
        with_target = word not in (plan.EMBEDDED, plan.OLLAMA)
        if with_target and engine(policy, word, _resolved(word, values)) is None:
            return plan.EngineChoice(word, f"{word} is allowed: {_why(embedded)}")
    both = dict.fromkeys((embedded.rule, ollama.rule))
    said = " and ".join(f"{rule} in {rule.origin}" for rule in both)
    raise Refused(
        f"no engine of this machine is allowed: {said}", hint=embedded.hint, code=judging.CODE
    )


def _resolved(word: str, values: Mapping[str, settings.Value]) -> remote.Target:
    return remote.resolve(word, {name: row.value for name, row in values.items()})


def _why(refusal: Refusal) -> str:
    return f"{refusal.rule.name} in {refusal.rule.origin}"


def model(policy: Policy, name: str, known: Catalog, *, served_by: str = "") -> Refusal | None:
    """Why this model may not be used; None where it may. Only Ollama has a cloud of its own."""
    if is_cloud_name(name) and served_by in ("", plan.OLLAMA):
        refusal = judging.cloud(policy, name)
        if refusal is not None:
            return refusal
    return ruled.model(policy, name, known)


# ---- when a server was asked ----------------------------------------------------------------


def served(
    policy: Policy, target: remote.Target, facts: remote.RemoteFacts, known: Catalog
) -> remote.RemoteFacts:
    """What a server turned out to be, with none but allowed models. Raises `Refused`."""
    enforce(server(policy, ruled.server_of(target, facts.kind)))
    return ruled.allowed_remote(policy, facts, known)


def no_money(policy: Policy, target: remote.Target) -> Refusal | None:
    """Why a service that is paid by the token may not even be asked; None where it may."""
    cap = policy.cap
    if cap is None or cap.usd > 0:
        return None
    return judging.spend(policy, ruled.server_of(target), kept_usd=None)


def spend(policy: Policy, facts: remote.RemoteFacts) -> None:
    """Raise `Refused` for calls that are paid by the token without a gateway that keeps the cap."""
    enforce(judging.spend(policy, _of(facts.url, facts.kind), kept_usd=None))


def _of(url: str, kind: Kind) -> judging.Server:
    return ruled.server_of(remote.Target(url), kind)


# ---- when the plan is made ------------------------------------------------------------------


def plan_of(policy: Policy, made: plan.LaunchPlan, known: Catalog) -> plan.LaunchPlan:
    """The plan, with the agent's version where a rule asks for it. Raises `Refused`."""
    if not policy.rules:
        return made
    made = _versioned(policy, made)
    for row in _parts(made):
        kind = row.remote.kind if row.remote is not None else plan.OLLAMA
        enforce(model(policy, row.model.id, known, served_by=kind))
    if made.hybrid is None:
        if made.remote is not None:
            spend(policy, made.remote)
        return made
    for hop in made.hybrid.hops:
        if hop.remote is None:
            continue
        asked = _of(hop.remote.url, hop.remote.kind)
        enforce(
            judging.data(policy, asked),
            model(policy, hop.model, known, served_by=hop.remote.kind),
            judging.spend(
                policy, asked, kept_usd=made.hybrid.cap_usd, priced=hop.price is not None
            ),
        )
    return made


def _parts(made: plan.LaunchPlan) -> tuple[plan.LaunchPlan, ...]:
    return (made,) if made.hybrid is None else made.hybrid.locals


def _versioned(policy: Policy, made: plan.LaunchPlan) -> plan.LaunchPlan:
    name = made.wish.agent.name
    enforce(judging.agent(policy, name))
    if not judging.demands_version(policy, name):
        return made
    state = survey.ask_version(made.agent)
    version = state.version
    if not state.installed and state.agent.package is not None:
        version = state.agent.package.version  # the one that would be brought
    enforce(judging.agent_version(policy, name, version, versions.matches))
    return replace(made, agent=state)


def nothing_fits(policy: Policy, seen: survey.Survey, error: MachineCannot) -> AgentlaunchError:
    """The end of a choice among allowed models, with the rule that made it small."""
    listed = policy.of("allowed_models")
    if not listed or error.code != "nothing-fits":
        return error
    said = " and ".join(f"{rule} in {rule.origin}" for rule in listed)
    here = seen.ollama is not None and seen.ollama.tags
    if seen.catalog.models or seen.stored or here:
        error.message = f"{error.message} (among allowed models: {said})"
        return error
    return Refused(
        f"no model that is known here is allowed: {said}",
        hint=f"name one by its name with --model; {judging.who(listed[0])}",
        code=judging.CODE,
    )


def because(policy: Policy) -> tuple[str, ...]:
    """What is said of a model that was chosen among allowed ones."""
    return tuple(
        f"chosen among allowed models ({rule.name} in {rule.origin})"
        for rule in policy.of("allowed_models")
    )
