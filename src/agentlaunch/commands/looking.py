"""What a command was asked for and what there is: settings, the wish, the world, the plan."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agentlaunch import launch, plan, policy, settings, survey
from agentlaunch.agents import find as find_agent
from agentlaunch.agents.arguments import refuse_reserved
from agentlaunch.agents.base import Agent
from agentlaunch.commands import habits, permission, ruling
from agentlaunch.endpoint import Wire, is_loopback
from agentlaunch.engines import remote
from agentlaunch.engines.ollama.derive import parse_derived
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.engines.ollama.replies import Tag
from agentlaunch.errors import (
    AgentlaunchError,
    AuthNeeded,
    ModelUnavailable,
    NotSupported,
    Refused,
)
from agentlaunch.gateway.routes import Routes, routes_of
from agentlaunch.models.refs import DEFAULT_HOST, looks_like_path, parse_ref
from agentlaunch.models.show_reply import BadReply
from agentlaunch.policy.judging import enforce
from agentlaunch.policy.rules import FREE, Policy
from agentlaunch.survey import ruled
from agentlaunch.survey import rules as rule_files
from agentlaunch.talk import Talk

if TYPE_CHECKING:
    from agentlaunch.settings import Paths

EMBEDDED = plan.EMBEDDED
OLLAMA = plan.OLLAMA
LOCAL = "local"
"""As an engine: choose for me, among those of this machine."""
DEFAULT_AGENT = "claude-code"


@dataclass(frozen=True, slots=True)
class Asked:
    """A wish with the two things that only looking can tell: where, and which weights."""

    wish: plan.Wish
    engine: str
    """`embedded`, `ollama`, or the name or address of somebody else's server."""
    survey: survey.Survey
    paths: Paths
    places: plan.Places
    insecure: bool
    max_download_bytes: int
    idle_minutes: int
    chosen: plan.EngineChoice | None = None
    """How the engine was chosen; None where the user named it."""
    server: remote.Target | None = None
    """Somebody else's server that was asked for."""
    allowed_hosts: str | None = None
    allow_remote: bool = False
    rehearsal: bool = False
    model: settings.Value | None = None
    """Where the wish's model comes from: refused where it is taken, not where it only stands."""
    said: Mapping[str, settings.Value] = field(default_factory=dict)
    """The settings as they were given, before any habit."""
    habit: habits.Habit | None = None
    """What is as it was the last time."""
    routes: Routes | None = None
    """The endpoints of the user's settings, where no engine is named."""
    rules: Policy = FREE
    """What machine, user and project forbid. The survey holds none but allowed models."""

    @property
    def repeats(self) -> bool:
        """Does the habit say anything that was not said today?"""
        rows = (row for row in habits.NAMES if self.said[row].source == "default")
        return self.habit is not None and any(getattr(self.habit, row) for row in rows)


def look(
    talk: Talk,
    flags: Mapping[str, object | None],
    args: Sequence[str],
    *,
    skip_proof: bool = False,
    insecure: bool = False,
    simulate: str | None = None,
    repeats: bool = False,
) -> Asked:
    """Settings, the wish that they make, and the world, or the machine that was described.

    `repeats` is whether what is not said today is as it was the last time (`habits`).
    """
    project = _current_folder()
    paths = settings.paths()
    said = settings.load(flags=flags, folder=project)
    rules = rule_files.look(project, paths.user_file)
    name = said["agent"].value
    if name is None:
        name = ruling.first_agent(rules, (habits.last_agent(paths, project), DEFAULT_AGENT))
    agent = find_agent(str(name or DEFAULT_AGENT))
    ruling.agent(rules, agent.name)
    refuse_reserved(agent.title, agent.reserved, tuple(args), agent.grammar)
    routes = routes_of(said)
    habit = None  # the endpoints of the settings come before the engine of the last time
    if repeats and routes is None:
        habit = habits.recall(paths, project, agent.name, said)
    values = habits.chosen(said, habit)
    named = values["engine"].value if routes is None else None
    if str(named).lower() == LOCAL:  # this machine's own, without the routes for once
        named = None
    server = server_of(str(named), values) if named is not None else None
    refusal = ruling.engine(rules, str(named), server) if named is not None else None
    if refusal is not None and habit is not None and habit.engine is not None:
        talk.say(f"not as the last time: {refusal.message}")
        return look(talk, flags, args, skip_proof=skip_proof, insecure=insecure, simulate=simulate)
    enforce(refusal)
    wish = plan.Wish(
        agent=agent,
        model=values["model"].value,
        context_tokens=values["context"].value,
        kv_cache=values["kv_cache"].value,
        slim=values["slim"].value,
        home=values["home"].value,
        args=tuple(args),
        skip_proof=skip_proof,
        output_limit_tokens=_output_limit(agent),
        first_word_limit_s=float(values["first_word_limit"].value),
        saved_prefixes_bytes=int(values["saved_prefixes"].value),
        offline=talk.policy.offline,
    )
    talk.detail("looking at this machine")
    may_ask = ruling.may_ask_ollama(rules)
    seen = see(paths, simulate, named, values[policy.SETTING].value, may_ask=may_ask)
    if habit is not None and (gone := _why_not(rules, habit, named, seen)) is not None:
        talk.say(gone)
        return look(talk, flags, args, skip_proof=skip_proof, insecure=insecure)
    wish = _of_tag(wish)
    chosen = None
    if named is None and routes is None:
        own = str(values["engine"].value).lower() == LOCAL
        chosen = ruling.choose_engine(rules, seen, wish, values, local=own)
        server = server_of(chosen.name, values)
    elif named is None:  # each endpoint is chosen and judged for itself
        chosen = plan.choose_engine(seen, wish)
    engine = str(named) if chosen is None else chosen.name
    return Asked(
        wish=replace(wish, engine=OLLAMA if engine.lower() == OLLAMA else EMBEDDED),
        engine=engine,
        chosen=chosen,
        survey=ruled.allowed_survey(rules, seen),
        paths=paths,
        places=launch.places(paths),
        insecure=insecure,
        max_download_bytes=int(values["max_download"].value),
        idle_minutes=int(values["idle_minutes"].value),
        server=server,
        allowed_hosts=values[policy.SETTING].value,
        model=values["model"],
        said=said,
        habit=habit,
        routes=routes,
        rules=rules,
    )


def _why_not(
    rules: Policy, habit: habits.Habit, engine: str | None, seen: survey.Survey
) -> str | None:
    """Why this launch is not as the last one; None where it can be."""
    if not habits.still_holds(habit, engine, seen):
        return f"the model of the last time is not here any more: {habit.model}"
    refusal = None if habit.model is None else ruling.model(rules, habit.model, seen.catalog)
    return None if refusal is None else f"not as the last time: {refusal.message}"


def _of_tag(wish: plan.Wish) -> plan.Wish:
    """A tag of ours, as `ollama list` names it, is its model at its context."""
    ours = parse_derived(wish.model) if wish.model is not None else None
    if ours is None:
        return wish
    tokens = wish.context_tokens or ours.context_tokens
    return replace(wish, model=ours.base, context_tokens=tokens)


def see(
    paths: Paths,
    simulate: str | None,
    engine: str | None = None,
    allowed: str | None = None,
    *,
    may_ask: bool = True,
) -> survey.Survey:
    """This machine, or the one of a spec or facts file; raises `UsageError` for neither.

    Ollama is not asked where another `engine` is named or no rule lets us (`may_ask`), and gets a
    key only where its host is `allowed`.
    """
    if simulate is None:
        wanted = may_ask and (engine is None or engine.lower() == OLLAMA)
        return survey.look(paths, ollama=wanted, keyed=wanted and _has_word(allowed))
    from agentlaunch.machine import simulate as machines

    return survey.simulated(machines.load(simulate))


def _has_word(allowed: str | None) -> bool:
    """Has the host that OLLAMA_HOST names the user's word?"""
    try:
        return policy.allows(allowed, survey.ollama_url(os.environ))
    except ValueError:  # no address at all, which the look tells
        return False


def _current_folder() -> Path:
    """Where the agent will work; raises `Refused` where that folder is gone."""
    folder = launch.here()
    if not folder.is_absolute():
        raise Refused(
            "the current folder is gone, or may not be entered",
            hint="go to a folder that is there: cd ~",
            code="no-folder",
        )
    return folder


def refuse_project_endpoint(model: settings.Value | None) -> None:
    """A project file may choose a model, but neither a server to fetch it from nor a file."""
    if model is None or model.source != "project" or model.value is None:
        return
    if looks_like_path(str(model.value)) or parse_ref(str(model.value)).host != DEFAULT_HOST:
        raise Refused(
            f"{model.origin}: a project file may name a model, but no server or file for it",
            hint=f"if you trust it: --model {model.value}",
            code="project-may-not",
        )


def _output_limit(agent: Agent) -> int | None:
    value = os.environ.get(agent.output_variable or "", "")
    return int(value) if value.isdecimal() and int(value) > 0 else None


def judge(asked: Asked) -> None:
    """Raise `Refused` where a rule forbids the engine of this machine that would serve, or the
    model that was asked for."""
    if asked.server is None:
        enforce(ruling.engine(asked.rules, asked.wish.engine, None))
    name = asked.wish.model
    if name is not None:
        served_by = asked.engine if asked.server is not None else OLLAMA
        enforce(ruling.model(asked.rules, name, asked.survey.catalog, served_by=served_by))


def on_one_engine(talk: Talk, asked: Asked) -> plan.LaunchPlan:
    """The plan on the engine that was asked for or chosen; where a model must be downloaded, its
    exact size is asked for first."""
    if asked.server is not None:
        _refuse_other_wires(asked, asked.server)
        facts = look_at_server(talk, asked, asked.server)
        return plan.make_plan(
            asked.survey, asked.wish, asked.places, remote=facts, chosen=asked.chosen
        )
    server = _permitted_ollama(talk, asked)

    def make(weights: survey.Weights | None) -> plan.LaunchPlan:
        return plan.make_plan(
            asked.survey,
            asked.wish,
            asked.places,
            weights=weights,
            ollama=server,
            chosen=asked.chosen,
        )

    weights = None
    if asked.wish.model is not None:
        weights = look_at_weights(talk, asked, server, asked.wish.model)
    made = make(weights)
    fetch = next((step for step in made.steps if isinstance(step, plan.Pull)), None)
    if weights is None and fetch is not None and not talk.policy.offline:
        picked = survey.look_at_model(fetch.ref, asked.survey.catalog, asked.paths)
        exact = ask_registry(talk, picked, asked)
        if exact is not picked:
            made = plan.with_reasons(make(exact), made.choice, made.because)
    if fetch is None or not talk.policy.offline:
        return made
    text = f"{fetch.ref} is not here, and nothing is downloaded offline"
    if asked.rehearsal:
        return replace(made, warnings=(("offline", text), *made.warnings))
    raise ModelUnavailable(
        text,
        hint="run the same command once without --offline, or name a model that is here: "
        "agentlaunch models",
        code="offline",
    )


def _refuse_other_wires(asked: Asked, server: remote.Target) -> None:
    """Before a key is asked for: raise `NotSupported` where the agent cannot speak to it anyhow."""
    preset, agent = server.preset, asked.wish.agent
    if preset is None or not preset.wires or set(preset.wires) & set(agent.wires):
        return
    raise NotSupported(
        f"{preset.title} speaks none of the wires of {agent.title} ({', '.join(agent.wires)})",
        hint=f"route to it, with a gateway that translates: agentlaunch config set routes.main "
        f'"{preset.name}#MODEL"',
        code="no-shared-wire",
    )


def look_at_server(
    talk: Talk, asked: Asked, target: remote.Target, wires: Sequence[Wire] | None = None
) -> remote.RemoteFacts:
    """What somebody else's server serves, after the user's word for its host; of its `wires` the
    agent's are looked at unless others are named."""
    enforce(ruling.server(asked.rules, ruled.server_of(target)))
    permit(talk, asked, target.url, note=target.preset.note if target.preset is not None else "")
    given = asked.allow_remote or policy.allows(asked.allowed_hosts, target.url)
    try:
        facts = survey.look_at_remote(
            target,
            wires or asked.wish.agent.wires,
            asked.places.environ,
            watched=talk.may_ask,
            keyed=given or not asked.rehearsal,
        )
        return ruling.served(asked.rules, target, facts, asked.survey.catalog)
    except AuthNeeded as error:
        if given or not asked.rehearsal:
            raise
        raise Refused(
            f"{target.origin} wants a key, and none is sent there before your word",
            hint=policy.way_out(asked.allowed_hosts, target.url),
            code="remote-not-allowed",
        ) from error


def permit(talk: Talk, asked: Asked, url: str, *, note: str = "") -> None:
    """Raise `Refused` where the user does not want his code to go there."""
    permission.permit(
        talk,
        url,
        allowed=asked.allowed_hosts,
        once=asked.allow_remote,
        rehearsal=asked.rehearsal,
        note=note,
    )


def _permitted_ollama(talk: Talk, asked: Asked) -> OllamaFacts | None:
    """The server of a launch on Ollama; one elsewhere after the user's word for its host, and then
    asked with his key. Raises what `ollama_of` and `permit` raise."""
    url, seen = survey.ollama_url(asked.places.environ), asked.survey.ollama
    here = seen.is_here if seen is not None else is_loopback(url)
    if asked.wish.engine != OLLAMA or here or "@" in url:
        return ollama_of(asked)
    ruling.place(url, OLLAMA)
    permit(talk, asked, url)
    given = asked.allow_remote or policy.allows(asked.allowed_hosts, url)
    if asked.rehearsal and not given:  # nothing but a look, and that without a key
        return ollama_of(asked)
    facts = survey.look_at_ollama(asked.places.environ, asked.paths.cache, keyed=True)
    return ruled.allowed_ollama(asked.rules, facts, asked.survey.catalog)


def ollama_of(asked: Asked) -> OllamaFacts | None:
    """The server of a launch on Ollama; None for another engine.

    Raises what `survey.look_at_ollama` raises where the user named it and it is not to be had.
    """
    if asked.wish.engine != OLLAMA:
        return None
    seen = asked.survey.ollama
    if seen is not None:
        return seen
    facts = survey.look_at_ollama(asked.places.environ, asked.paths.cache)
    return ruled.allowed_ollama(asked.rules, facts, asked.survey.catalog)


def look_at_weights(
    talk: Talk, asked: Asked, server: OllamaFacts | None, ref: str
) -> survey.Weights:
    """A model by its name: as it lies here, as its server describes it, or as its registry does."""
    weights = survey.look_at_model(ref, asked.survey.catalog, asked.paths)
    refuse_description(weights)
    there = server.tag(weights.id) if server is not None else None
    if there is not None:
        try:
            weights = survey.described(weights, server, asked.survey.catalog, asked.paths.cache)
        except BadReply as error:
            if weights.entry is None:
                raise
            talk.detail(f"what the server says of {there.name} is not usable: {error.message}")
    elif weights.file is None and weights.path is None and not talk.policy.offline:
        try:
            weights = ask_registry(talk, weights, asked)
        except ModelUnavailable as error:
            if server is not None and error.code != "unknown-model":
                error.hint = f"Ollama may reach it: agentlaunch models pull {ref}, then this again"
            raise
    return weights if server is None else _as_ollama_renders(weights, there)


def _as_ollama_renders(weights: survey.Weights, there: Tag | None) -> survey.Weights:
    """Ollama renders by a template of its own, beside the weights: what the file's header says of
    tools does not count there, only what the server says."""
    can = weights.capabilities
    if can is None and there is not None:
        can = there.capabilities
    if weights.file is None:
        return replace(weights, capabilities=can)
    tools = None if can is None else "tools" in can
    return replace(weights, capabilities=can, file=replace(weights.file, takes_tools=tools))


def ask_registry(talk: Talk, weights: survey.Weights, asked: Asked) -> survey.Weights:
    """Exact sizes where the registry answers; a catalog entry will do where it does not."""
    try:
        return survey.ask_registry(weights, asked.survey.catalog, insecure=asked.insecure)
    except AgentlaunchError as error:
        if weights.entry is None:
            raise
        talk.detail(f"the exact size could not be asked for: {error.message}")
        return weights


def refuse_description(weights: survey.Weights) -> None:
    """Raise `ModelUnavailable` for what only describes a model: there is nothing to load."""
    if weights.source == "show-reply":
        raise ModelUnavailable(
            f"{weights.id} is a description of a model, not its weights",
            hint="name the model itself; `agentlaunch models show` sizes what is described",
            code="not-weights",
        )


def server_of(name: str, values: Mapping[str, settings.Value]) -> remote.Target | None:
    """A server of somebody else's by name or address; None for our own engine and for Ollama.

    Raises `UsageError` for what is neither a name nor an address.
    """
    if name.strip().lower() in (EMBEDDED, OLLAMA, LOCAL):
        return None
    return remote.resolve(name, {row: value.value for row, value in values.items()})
