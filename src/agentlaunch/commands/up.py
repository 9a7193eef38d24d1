"""`agentlaunch up`: survey → plan → one screen, one question → launch → become the agent."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentlaunch import launch, plan, settings, survey
from agentlaunch.agents import find as find_agent
from agentlaunch.agents.arguments import refuse_reserved
from agentlaunch.agents.base import Agent, Unset
from agentlaunch.commands.result import Result
from agentlaunch.engines import remote
from agentlaunch.errors import AgentlaunchError, Refused, Terminated, UsageError
from agentlaunch.talk import Talk
from agentlaunch.units import format_bytes, format_memory, format_seconds

if TYPE_CHECKING:
    from agentlaunch.settings import Paths

EMBEDDED = "embedded"
PRESETS = {
    "vllm": "http://127.0.0.1:8000",
    "lm-studio": "http://127.0.0.1:1234",
    "llama-server": "http://127.0.0.1:8080",
    "litellm": "http://127.0.0.1:4000",
}
"""Servers that already run, by the address that they listen on by default."""
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
        made = decide(talk, asked)
        if dry_run:
            for code, message in made.warnings:
                talk.warn(message, code=code)
            return Result("agentlaunch/up/1", as_json(made, asked), lambda t: draw(t, made, asked))
        if not screen(talk, made, asked):
            talk.say("nothing was done")
            return None
        ready = launch.prepare(made, talk, asked.paths, asked.places, insecure=insecure)
        launch.hand_over(ready, talk, asked.paths, status_file)
    except BaseException as error:
        if status_file is not None:
            _failed(status_file, error, made)
        raise


def look(
    talk: Talk,
    flags: Mapping[str, object | None],
    args: Sequence[str],
    *,
    skip_proof: bool = False,
    insecure: bool = False,
) -> Asked:
    """Settings, the wish that they make, and the world."""
    paths = settings.paths()
    values = settings.load(flags=flags)
    name = values["agent"].value or survey.remembered_agent(paths) or DEFAULT_AGENT
    agent = find_agent(str(name))
    refuse_reserved(agent.title, agent.reserved, tuple(args))
    for text in survey.look_for_overrides(agent, Path.cwd()):
        talk.warn(text, code="settings-overridden")
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
    )
    talk.detail("looking at this machine")
    return Asked(
        wish=wish,
        engine=str(values["engine"].value or EMBEDDED),
        survey=survey.look(paths),
        paths=paths,
        places=launch.places(paths),
        insecure=insecure,
        max_download_bytes=int(values["max_download"].value),
    )


def _output_limit(agent: Agent) -> int | None:
    value = os.environ.get(agent.output_variable or "", "")
    return int(value) if value.isdecimal() and int(value) > 0 else None


def decide(talk: Talk, asked: Asked) -> plan.LaunchPlan:
    """The plan; where a model must be downloaded, its exact size is asked for first."""
    url = engine_url(asked.engine)
    if url is not None:
        key = os.environ.get(remote.KEY_VARIABLE, "")
        facts = survey.look_at_remote(url, key, asked.wish.agent)
        return plan.make_plan(asked.survey, asked.wish, asked.places, remote=facts)
    weights = None
    if asked.wish.model is not None:
        weights = survey.look_at_model(asked.wish.model, asked.survey.catalog, asked.paths)
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


def ask_registry(talk: Talk, weights: survey.Weights, asked: Asked) -> survey.Weights:
    """Exact sizes where the registry answers; a catalog entry will do where it does not."""
    try:
        return survey.ask_registry(weights, asked.survey.catalog, insecure=asked.insecure)
    except AgentlaunchError as error:
        if weights.entry is None:
            raise
        talk.detail(f"the exact size could not be asked for: {error.message}")
        return weights


def engine_url(name: str) -> str | None:
    """The address of an engine that already runs; None means the embedded one.

    Raises `UsageError` for what is neither a name nor an address.
    """
    lowered = name.lower()
    if lowered == EMBEDDED:
        return None
    if lowered in PRESETS:
        return PRESETS[lowered]
    if lowered == "ollama":
        from agentlaunch.errors import NotSupported

        raise NotSupported(
            "this version of agentlaunch cannot drive Ollama yet",
            hint="leave --engine away: the embedded engine reads the models that Ollama has",
        )
    return remote.normalized_url(name)


# ---- the screen ---------------------------------------------------------------------------


def screen(talk: Talk, made: plan.LaunchPlan, asked: Asked) -> bool:
    """One screen, one question; Enter does all of it, False means no. Nothing to ask: no question.

    Raises `UsageError` where nobody can be asked, `Refused` above the download limit of `--yes`.
    """
    for line in lines(made, asked):
        talk.say(line)
    for code, message in made.warnings:
        talk.warn(message, code=code)
    fetch = launch.download_text(made)
    if not fetch:
        return True
    for row in fetch:
        talk.say(f"  will {row}")
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


def lines(made: plan.LaunchPlan, asked: Asked) -> list[str]:
    """The plan in a few lines, each with its reason."""
    agent, fit = made.agent, made.fit
    version = agent.version or (agent.agent.package.version if agent.agent.package else "?")
    where = str(agent.path) if agent.path is not None else "to be installed"
    rows = [
        f"agent    {agent.agent.title} {version} ({where})",
        f"model    {made.model.id}" + (f", {format_memory(fit.total_bytes)}" if fit else ""),
        f"engine   {made.url or 'embedded llama.cpp on this machine'}",
        f"context  {made.context.engine_tokens:,} tokens"
        + (f", {made.context.tier.name} prompt" if made.context.slim else ""),
    ]
    candidate = made.model.candidate
    if candidate is not None and candidate.speed.first_word_s is not None:
        band = candidate.speed.first_word_s
        low, high = format_seconds(band.low), format_seconds(band.high)
        rows.append(f"speed    first word in about {low} to {high}")
    if made.choice is not None:
        for word, other in (("fast", made.choice.fast), ("smarter", made.choice.smarter)):
            if other is not None and other.id != made.model.id:
                rows.append(f"or       {word}: --model {other.id}")
    return [*rows, *(f"         {reason}" for reason in made.because)]


def draw(talk: Talk, made: plan.LaunchPlan, asked: Asked) -> None:
    """The dry run for a person: the screen, then what would be run."""
    for line in lines(made, asked):
        talk.answer(line)
    for number, step in enumerate(made.steps, 1):
        details = {k: v for k, v in step_json(step).items() if k != "kind" and v is not None}
        words = ", ".join(f"{key} {value}" for key, value in details.items())
        talk.answer(f"{number:>2}. {step.kind}: {words}")
    talk.answer("would run: " + " ".join(made.handover.argv))
    talk.answer("nothing was done (dry run)")


# ---- JSON ---------------------------------------------------------------------------------


def as_json(made: plan.LaunchPlan, asked: Asked) -> dict[str, Any]:
    """The plan as CONTRACT 3 wants it: tokens hidden, an engine not yet started at port 0."""
    context = made.context
    return {
        "agent": made.agent.agent.name,
        "agent_version": made.agent.version,
        "model": made.model.id,
        "engine": made.engine,
        "context": {
            "engine_tokens": context.engine_tokens,
            "agent_window_tokens": context.agent_window_tokens,
            "compact_at_tokens": context.compact_at_tokens,
            "max_output_tokens": context.max_output_tokens,
            "kv_cache_type": context.kv_cache_type,
            "slim": context.slim,
        },
        "fit": made.model.candidate.as_json() if made.model.candidate is not None else None,
        "steps": [step_json(step) for step in made.steps],
        "handover": handover_json(made),
        "because": list(made.because),
    }


def step_json(step: plan.Step) -> dict[str, Any]:
    """A step as data: its kind and what it acts on."""
    if isinstance(step, plan.Install):
        package = step.package
        return {
            "kind": step.kind,
            "name": package.name,
            "version": package.version,
            "source": package.source,
            "size_bytes": package.size_bytes,
            "download_bytes": package.download_bytes,
        }
    if isinstance(step, plan.Pull):
        return {"kind": step.kind, "ref": step.ref, "size_bytes": step.size_bytes}
    if isinstance(step, plan.StartEngine):
        return {"kind": step.kind, "engine": step.engine, "reuse": step.reuse}
    if isinstance(step, plan.Load):
        return {"kind": step.kind, "model": step.model, "context_tokens": step.context_tokens}
    return {"kind": step.kind, "agent": step.agent}


def handover_json(made: plan.LaunchPlan) -> dict[str, Any]:
    """What the agent would become; secrets are `***` because the placeholder endpoint has none."""
    given = made.handover
    return {
        "argv": list(given.argv),
        "env": {k: v for k, v in given.env.items() if not isinstance(v, Unset)},
        "env_unset": sorted(k for k, v in given.env.items() if isinstance(v, Unset)),
        "files": [{"path": str(f.path), "content": f.content.decode()} for f in given.files],
        "changes": [],
    }


def _failed(path: Path, error: BaseException, made: plan.LaunchPlan | None) -> None:
    """The status file of a launch that did not come to its hand-over."""
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
    launch.write_status(
        path,
        "failed",
        code,
        agent=made.wish.agent.name if made is not None else None,
        model=made.model.id if made is not None else None,
        plan=made,
    )
