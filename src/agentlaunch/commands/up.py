"""`agentlaunch up`: survey → plan → one screen, one question → launch → become the agent."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agentlaunch import launch, plan, policy, settings, survey
from agentlaunch.agents import find as find_agent
from agentlaunch.agents.arguments import refuse_reserved
from agentlaunch.agents.base import Agent
from agentlaunch.commands import permission, screen
from agentlaunch.commands.result import Result
from agentlaunch.endpoint import Wire
from agentlaunch.engines import remote
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.engines.ollama.replies import Tag
from agentlaunch.errors import (
    AgentlaunchError,
    ModelUnavailable,
    Refused,
    Terminated,
    UsageError,
)
from agentlaunch.launch import meanwhile, pull
from agentlaunch.models.refs import DEFAULT_HOST, looks_like_path, parse_ref
from agentlaunch.models.show_reply import BadReply
from agentlaunch.talk import Answer, Talk
from agentlaunch.units import format_bytes

if TYPE_CHECKING:
    from agentlaunch.settings import Paths

EMBEDDED = plan.EMBEDDED
OLLAMA = plan.OLLAMA
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


def run(
    talk: Talk,
    flags: Mapping[str, object | None],
    args: Sequence[str],
    *,
    dry_run: bool,
    skip_proof: bool,
    status_file: Path | None,
    insecure: bool,
    allow_remote: bool = False,
) -> Result | None:
    """Print the plan, or do it and never come back.

    Raises every kind of error of CONTRACT 2; with `status_file` each is also written there.
    """
    made: plan.LaunchPlan | None = None
    try:
        if talk.policy.json and not dry_run:
            raise UsageError(
                "--json needs --dry-run here, since the agent owns stdout", hint="add --dry-run"
            )
        asked = look(talk, flags, args, skip_proof=skip_proof, insecure=insecure)
        asked = replace(asked, allow_remote=allow_remote, rehearsal=dry_run)
        check_settings_files(talk, asked)
        made = decide(talk, asked)
        if dry_run:
            for code, message in made.warnings:
                talk.warn(message, code=code)
            shown = made
            return Result("agentlaunch/up/1", screen.as_json(made), lambda t: screen.draw(t, shown))
        refuse_without_tools(made)
        answer = agree(talk, made, asked)
        if answer == "no":
            talk.say("nothing was done")
            return None
        later = plan.meanwhile(made) if answer == "other" else None
        if later is not None:
            made = instead(talk, asked, later)
        ready = launch.prepare(
            made,
            talk,
            asked.paths,
            asked.places,
            insecure=insecure,
            idle_minutes=asked.idle_minutes,
        )
        if later is not None:
            fetch_meanwhile(talk, asked, later)
        launch.hand_over(ready, talk, asked.paths, status_file)
    except BaseException as error:
        if status_file is not None:
            _failed(talk, status_file, error, made, str(flags.get("agent") or "") or None)
        raise


def look(
    talk: Talk,
    flags: Mapping[str, object | None],
    args: Sequence[str],
    *,
    skip_proof: bool = False,
    insecure: bool = False,
    simulate: str | None = None,
) -> Asked:
    """Settings, the wish that they make, and the world, or the machine that was described."""
    paths = settings.paths()
    values = settings.load(flags=flags)
    name = values["agent"].value or survey.remembered_agent(paths) or DEFAULT_AGENT
    agent = find_agent(str(name))
    refuse_reserved(agent.title, agent.reserved, tuple(args))
    refuse_project_endpoint(values["model"])
    named = values["engine"].value
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
        offline=talk.policy.offline,
    )
    talk.detail("looking at this machine")
    seen = see(paths, simulate)
    chosen = plan.choose_engine(seen, wish) if named is None else None
    engine = str(named) if chosen is None else chosen.name
    return Asked(
        wish=replace(wish, engine=OLLAMA if engine.lower() == OLLAMA else EMBEDDED),
        engine=engine,
        chosen=chosen,
        survey=seen,
        paths=paths,
        places=launch.places(paths),
        insecure=insecure,
        max_download_bytes=int(values["max_download"].value),
        idle_minutes=int(values["idle_minutes"].value),
        server=server_of(engine, values),
        allowed_hosts=values[policy.SETTING].value,
    )


def see(paths: Paths, simulate: str | None) -> survey.Survey:
    """This machine, or the one of a spec or facts file; raises `UsageError` for neither."""
    if simulate is None:
        return survey.look(paths)
    from agentlaunch.machine import simulate as machines

    return survey.simulated(machines.load(simulate))


def check_settings_files(talk: Talk, asked: Asked) -> None:
    """Look at what could redirect the agent: said where we override it, `Refused` where not."""
    agent = asked.wish.agent
    config = asked.places.homes / agent.name
    if asked.wish.home == "own":
        config = survey.config_folder(agent, asked.places.environ)
    for text in survey.look_for_overrides(agent, Path.cwd(), config):
        talk.warn(text, code="settings-overridden")


def refuse_project_endpoint(model: settings.Value) -> None:
    """A project file may choose a model, but neither a server to fetch it from nor a file."""
    if model.source != "project" or model.value is None:
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


def decide(talk: Talk, asked: Asked) -> plan.LaunchPlan:
    """The plan; where a model must be downloaded, its exact size is asked for first."""
    if asked.server is not None:
        facts = look_at_server(talk, asked, asked.server)
        return plan.make_plan(asked.survey, asked.wish, asked.places, remote=facts)
    server = ollama_of(asked)
    if server is not None and not server.is_here:
        permit(talk, asked, server.client.url)

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
    return made


def look_at_server(
    talk: Talk, asked: Asked, target: remote.Target, wires: Sequence[Wire] | None = None
) -> remote.RemoteFacts:
    """What somebody else's server serves, after the user's word for its host; of its `wires` the
    agent's are looked at unless others are named."""
    permit(talk, asked, target.url, note=target.preset.note if target.preset is not None else "")
    return survey.look_at_remote(
        target, wires or asked.wish.agent.wires, asked.places.environ, watched=talk.may_ask
    )


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


def ollama_of(asked: Asked) -> OllamaFacts | None:
    """The server of a launch on Ollama; None for another engine.

    Raises what `survey.look_at_ollama` raises where the user named it and it is not to be had.
    """
    if asked.wish.engine != OLLAMA:
        return None
    seen = asked.survey.ollama
    return seen or survey.look_at_ollama(asked.places.environ, asked.paths.cache)


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
        weights = ask_registry(talk, weights, asked)
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
    if name.strip().lower() in (EMBEDDED, OLLAMA):
        return None
    return remote.resolve(name, {row: value.value for row, value in values.items()})


def refuse_without_tools(made: plan.LaunchPlan) -> None:
    """Before anything is fetched: raise `CheckFailed` for a chat template that ignores tools."""
    weights = made.model.weights
    file = weights.file if weights is not None else None
    if file is not None and file.takes_tools is False and not made.wish.skip_proof:
        raise launch.ignores_tools(made.model.id, made.wish.agent.title)


# ---- the screen ---------------------------------------------------------------------------


def agree(talk: Talk, made: plan.LaunchPlan, asked: Asked) -> Answer:
    """One screen, one question; Enter does all of it. Nothing to ask: no question. `other` is to
    start with another model while a large one is fetched.

    Raises `UsageError` where nobody can be asked, `Refused` above the download limit of `--yes`.
    """
    for line in screen.lines(made):
        talk.say(line)
    for code, message in made.warnings:
        talk.warn(message, code=code)
    fetch = [step for step in made.steps if isinstance(step, plan.Install | plan.Pull)]
    if not fetch:
        return "yes"
    for step in fetch:
        talk.say(f"  will {screen.step_text(step)}")
    agree_to_download(talk, made.download_bytes, asked.max_download_bytes)
    question = f"Do it ({format_bytes(made.download_bytes)} {_places(made, fetch, asked)})?"
    other = plan.meanwhile(made)
    if other is None:
        return "yes" if talk.ask(question, flag="--yes") else "no"
    going_on = meanwhile.find(other.fetch, asked.paths)
    if going_on is not None:
        talk.say(f"  {other.fetch} is being downloaded in the background: {going_on.log}")
    size = f" ({format_bytes(other.model_bytes)})" if other.model_bytes else ""
    then = f"start with {other.model}{size} now and fetch this one meanwhile"
    return talk.ask_or(question, then, key="s", flag="--yes")


def _places(made: plan.LaunchPlan, fetch: Sequence[plan.Install | plan.Pull], asked: Asked) -> str:
    """Where what is fetched goes: programs to us, a model to whoever serves it."""
    ours = made.ollama is None
    places = [
        str(asked.paths.data)
        if ours or isinstance(step, plan.Install)
        else pull.place(made.ollama, None)
        for step in fetch
    ]
    return "into " + " and ".join(dict.fromkeys(places))


def instead(talk: Talk, asked: Asked, later: plan.Meanwhile) -> plan.LaunchPlan:
    """The launch with the other model, which the person has just agreed to."""
    made = decide(talk, replace(asked, wish=replace(asked.wish, model=later.model)))
    refuse_without_tools(made)
    for line in screen.lines(made):
        talk.say(line)
    for code, message in made.warnings:
        talk.warn(message, code=code)
    return made


def fetch_meanwhile(talk: Talk, asked: Asked, later: plan.Meanwhile) -> None:
    """Begin the download of the larger model, for the next launch; a failure stops no launch."""
    try:
        going_on = meanwhile.start(
            later.fetch,
            asked.paths,
            engine=asked.engine.lower(),
            size_bytes=later.fetch_bytes,
            insecure=asked.insecure,
        )
    except AgentlaunchError as error:
        talk.warn(f"{later.fetch} is not being downloaded: {error.message}", code="not-fetched")
        return
    talk.say(f"{later.fetch} is being downloaded meanwhile; how far it is stands in {going_on.log}")


def agree_to_download(talk: Talk, size_bytes: int, limit_bytes: int) -> None:
    """Raise `Refused` when `--yes` would have to answer for more than the user's limit."""
    if talk.policy.yes and size_bytes > limit_bytes:
        raise Refused(
            f"this would download {format_bytes(size_bytes)}, "
            f"more than the {format_bytes(limit_bytes)} that --yes agrees to",
            hint=f"agentlaunch config set max_download {size_bytes // 10**9 + 1}GB",
            code="download-limit",
        )


def _failed(
    talk: Talk, path: Path, error: BaseException, made: plan.LaunchPlan | None, agent: str | None
) -> None:
    """The status file of a launch that did not come to its hand-over; the first error stays."""
    from agentlaunch import errors

    code = 1
    if isinstance(error, AgentlaunchError):
        code = error.exit_code
    elif isinstance(error, KeyboardInterrupt):
        code = errors.INTERRUPTED_EXIT
    elif isinstance(error, Terminated):
        code = errors.TERMINATED_EXIT
    elif not isinstance(error, OSError):
        code = errors.BUG_EXIT
    try:
        launch.write_status(
            path,
            "failed",
            code,
            agent=made.wish.agent.name if made is not None else agent,
            model=plan.served_name(made.model.id) if made is not None else None,
            plan=made,
        )
    except OSError as trouble:
        talk.warn(f"{path} could not be written: {trouble.strerror}", code="status-file")
