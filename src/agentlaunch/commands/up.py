"""`agentlaunch up`: survey → plan → one screen, one question → launch → become the agent."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agentlaunch import launch, plan, settings, survey
from agentlaunch.agents import find as find_agent
from agentlaunch.agents.arguments import refuse_reserved
from agentlaunch.agents.base import Agent
from agentlaunch.commands import screen
from agentlaunch.commands.result import Result
from agentlaunch.engines import remote
from agentlaunch.errors import (
    AgentlaunchError,
    ModelUnavailable,
    Refused,
    Terminated,
    UsageError,
)
from agentlaunch.models.refs import DEFAULT_HOST, looks_like_path, parse_ref
from agentlaunch.talk import Talk
from agentlaunch.units import format_bytes

if TYPE_CHECKING:
    from agentlaunch.settings import Paths

EMBEDDED = "embedded"
OLLAMA = "ollama"
DEFAULT_AGENT = "claude-code"


@dataclass(frozen=True, slots=True)
class Asked:
    """A wish with the two things that only looking can tell: where, and which weights."""

    wish: plan.Wish
    engine: str
    survey: survey.Survey
    paths: Paths
    places: plan.Places
    insecure: bool
    max_download_bytes: int
    idle_minutes: int


def run(
    talk: Talk,
    flags: Mapping[str, object | None],
    args: Sequence[str],
    *,
    dry_run: bool,
    skip_proof: bool,
    status_file: Path | None,
    insecure: bool,
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
        check_settings_files(talk, asked)
        made = decide(talk, asked)
        if dry_run:
            for code, message in made.warnings:
                talk.warn(message, code=code)
            return Result("agentlaunch/up/1", screen.as_json(made), lambda t: screen.draw(t, made))
        refuse_without_tools(made)
        if not agree(talk, made, asked):
            talk.say("nothing was done")
            return None
        ready = launch.prepare(
            made,
            talk,
            asked.paths,
            asked.places,
            insecure=insecure,
            idle_minutes=asked.idle_minutes,
        )
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
    engine = str(values["engine"].value or EMBEDDED)
    wish = plan.Wish(
        agent=agent,
        engine=OLLAMA if engine.lower() == OLLAMA else EMBEDDED,
        model=values["model"].value,
        context_tokens=values["context"].value,
        kv_cache=values["kv_cache"].value,
        slim=values["slim"].value,
        home=values["home"].value,
        args=tuple(args),
        skip_proof=skip_proof,
        output_limit_tokens=_output_limit(agent),
        first_word_limit_s=float(values["first_word_limit"].value),
    )
    talk.detail("looking at this machine")
    return Asked(
        wish=wish,
        engine=engine,
        survey=see(paths, simulate),
        paths=paths,
        places=launch.places(paths),
        insecure=insecure,
        max_download_bytes=int(values["max_download"].value),
        idle_minutes=int(values["idle_minutes"].value),
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
    url = server_url(asked.engine)
    if url is not None:
        key = os.environ.get(remote.KEY_VARIABLE, "")
        facts = survey.look_at_remote(url, key, asked.wish.agent)
        return plan.make_plan(asked.survey, asked.wish, asked.places, remote=facts)
    if asked.engine.lower() == OLLAMA:
        return _on_ollama(talk, asked)
    weights = None
    if asked.wish.model is not None:
        weights = survey.look_at_model(asked.wish.model, asked.survey.catalog, asked.paths)
        refuse_description(weights)
        if weights.path is None and not talk.policy.offline:
            weights = ask_registry(talk, weights, asked)
    made = plan.make_plan(asked.survey, asked.wish, asked.places, weights=weights)
    pull = next((step for step in made.steps if isinstance(step, plan.Pull)), None)
    if weights is None and pull is not None and not talk.policy.offline:
        picked = survey.look_at_model(pull.ref, asked.survey.catalog, asked.paths)
        exact = ask_registry(talk, picked, asked)
        if exact is not picked:
            choice, because = made.choice, made.because
            made = plan.make_plan(asked.survey, asked.wish, asked.places, weights=exact)
            made = plan.with_reasons(made, choice, because)
    return made


def _on_ollama(talk: Talk, asked: Asked) -> plan.LaunchPlan:
    """The plan on an Ollama server; a model that only it knows is described by it."""
    facts = survey.look_at_ollama(asked.places.environ)
    weights = None
    if asked.wish.model is not None:
        weights = survey.look_at_model(asked.wish.model, asked.survey.catalog, asked.paths)
        refuse_description(weights)
        there = facts.tag(weights.id)
        if weights.file is None and there is not None and not there.cloud:
            shape = facts.client.shape(there.name)
            weights = replace(
                weights,
                file=shape.file,
                size_bytes=there.size_bytes,
                capabilities=shape.capabilities,
            )
        elif weights.file is None and there is None and not talk.policy.offline:
            weights = ask_registry(talk, weights, asked)
    return plan.make_plan(asked.survey, asked.wish, asked.places, weights=weights, ollama=facts)


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


def server_url(name: str) -> str | None:
    """The address of a server of somebody else's; None for our own engine and for Ollama.

    Raises `UsageError` for what is neither a name nor an address.
    """
    lowered = name.lower()
    if lowered in (EMBEDDED, OLLAMA):
        return None
    return remote.PRESETS.get(lowered) or remote.normalized_url(name)


def refuse_without_tools(made: plan.LaunchPlan) -> None:
    """Before anything is fetched: raise `CheckFailed` for a chat template that ignores tools."""
    weights = made.model.weights
    file = weights.file if weights is not None else None
    if file is not None and file.takes_tools is False and not made.wish.skip_proof:
        raise launch.ignores_tools(made.model.id, made.wish.agent.title)


# ---- the screen ---------------------------------------------------------------------------


def agree(talk: Talk, made: plan.LaunchPlan, asked: Asked) -> bool:
    """One screen, one question; Enter does all of it, False means no. Nothing to ask: no question.

    Raises `UsageError` where nobody can be asked, `Refused` above the download limit of `--yes`.
    """
    for line in screen.lines(made):
        talk.say(line)
    for code, message in made.warnings:
        talk.warn(message, code=code)
    fetch = [step for step in made.steps if isinstance(step, plan.Install | plan.Pull)]
    if not fetch:
        return True
    for step in fetch:
        talk.say(f"  will {screen.step_text(step)}")
    agree_to_download(talk, made.download_bytes, asked.max_download_bytes)
    where = f"into {asked.paths.data}"
    return talk.ask(f"Do it ({format_bytes(made.download_bytes)} {where})?", flag="--yes")


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
