"""`agentlaunch up`: survey → plan → one screen, one question → launch → become the agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from agentlaunch import launch, plan, survey
from agentlaunch.agents import find
from agentlaunch.commands import deciding, habits, looking, permission, project, resuming, screen
from agentlaunch.commands.result import Result
from agentlaunch.errors import AgentlaunchError, NotSupported, Terminated, UsageError
from agentlaunch.launch import meanwhile, pull, serving
from agentlaunch.talk import Answer, Talk
from agentlaunch.units import format_bytes


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
    trust_project: bool = False,
    config: bool = False,
    restore: bool = False,
    asked: looking.Asked | None = None,
) -> Result | None:
    """Print the plan, or do it and never come back; `asked` is what a menu has just looked at.

    Raises every kind of error of CONTRACT 2; with `status_file` each is also written there.
    """
    made: plan.LaunchPlan | None = None
    try:
        if config or restore:
            return _configure(
                talk, flags, args, config=config, restore=restore, dry_run=dry_run,
                insecure=insecure, allow_remote=allow_remote,
            )  # fmt: skip
        if talk.policy.json and not dry_run:
            raise UsageError(
                "--json needs --dry-run here, since the agent owns stdout", hint="add --dry-run"
            )
        if asked is None:
            asked = looking.look(
                talk, flags, args, skip_proof=skip_proof, insecure=insecure, repeats=True
            )
        if asked.habit is not None and asked.repeats:
            talk.say(f"as the last time: {asked.habit} ({asked.habit.way_out})")
        asked = replace(asked, allow_remote=allow_remote, rehearsal=dry_run)
        if not skip_proof:
            asked = replace(asked, wish=_proven(asked))
        project.check(talk, asked, trust=trust_project)
        made = deciding.decide(talk, asked)
        going = resuming.check(talk, asked, made)
        if going is None:
            talk.say("nothing was done")
            return None
        asked, made = going
        lacking = _not_offline(made) if talk.policy.offline else None
        if dry_run:
            if lacking is not None:
                talk.warn(lacking.message, code="offline")
            made = replace(made, agent=survey.ask_version(made.agent))
            for code, message in (*launch.version_remarks(made.agent), *made.warnings):
                talk.warn(message, code=code)
            shown = made
            return Result("agentlaunch/up/1", screen.as_json(made), lambda t: screen.draw(t, shown))
        refuse_without_tools(made)
        if lacking is not None:
            raise lacking
        agreed = settle(talk, asked, made)
        if agreed is None:
            talk.say("nothing was done")
            return None
        made, later = agreed
        ready = prepare(talk, asked, made)
        with launch.taking_back(ready):
            if later is not None:
                fetch_meanwhile(talk, asked, later)
            if not skip_proof:  # what was refused without it would be refused the next time
                habits.remember(
                    asked.paths, asked.places.project, made.wish.agent.name, asked.said, asked.habit
                )
            launch.hand_over(ready, talk, asked.paths, status_file)
    except BaseException as error:
        if status_file is not None:
            _failed(talk, status_file, error, made, _own_name(flags.get("agent")))
        raise


def _not_offline(made: plan.LaunchPlan) -> NotSupported | None:
    """Why this launch cannot be done offline: a program that is missing. What only stands in for
    others may be missing."""
    behind = {
        step.package
        for local in (made.hybrid.locals if made.hybrid is not None else ())
        for step in local.steps
        if isinstance(step, plan.Install) and step.package != made.agent.agent.package
    }
    rows = [step.package for step in made.steps if isinstance(step, plan.Install)]
    names = [f"{row.name} {row.version}" for row in rows if row not in behind]
    if not names:
        return None
    return NotSupported(
        f"not installed, and nothing is installed offline: {', '.join(names)}",
        hint="run the same command once without --offline",
        code="offline",
    )


def settle(
    talk: Talk, asked: looking.Asked, made: plan.LaunchPlan
) -> tuple[plan.LaunchPlan, plan.Meanwhile | None] | None:
    """The screen and its question: the plan that the person agrees to, with what is to be fetched
    meanwhile; None where he says no."""
    answer = agree(talk, made, asked)
    if answer == "no":
        return None
    if answer == "other" and made.hybrid is not None:
        return spared(talk, asked, made.hybrid), None
    later = plan.meanwhile(made) if answer == "other" else None
    return (made if later is None else instead(talk, asked, later)), later


def prepare(talk: Talk, asked: looking.Asked, made: plan.LaunchPlan) -> launch.Ready:
    """Everything that was agreed to, up to the hand-over."""
    return launch.prepare(
        made,
        talk,
        asked.paths,
        asked.places,
        insecure=asked.insecure,
        idle_minutes=asked.idle_minutes,
        max_download_bytes=asked.max_download_bytes,
    )


def _proven(asked: looking.Asked) -> plan.Wish:
    """The wish of a launch that is proven before it happens, as the settings bound it."""
    said = asked.said
    limit_s = float(said["proof_limit"].value)
    return replace(
        asked.wish,
        proof_limit_s=limit_s,
        warm_start=said["warm_start"].value == "on",
    )


def _configure(
    talk: Talk,
    flags: Mapping[str, object | None],
    args: Sequence[str],
    *,
    config: bool,
    restore: bool,
    dry_run: bool,
    insecure: bool,
    allow_remote: bool,
) -> Result | None:
    """`--config` and `--restore`, which launch nothing."""
    from agentlaunch.commands import configure
    from agentlaunch.commands import restore as giving_back

    if config and restore:
        raise UsageError("--config and --restore undo each other", hint="leave one away")
    if restore:
        name = flags.get("agent")
        given = [key for key, value in flags.items() if key != "agent" and value is not None]
        extra = [*(f"--{key.replace('_', '-')}" for key in given), *args]
        if extra:
            raise UsageError(
                f"--restore launches nothing, so {', '.join(extra)} has no meaning here",
                hint="leave it away",
            )
        if name is None:
            raise UsageError("--restore needs an agent's name", hint="agentlaunch restore")
        return giving_back.run(talk, None if name is None else str(name), dry_run=dry_run)
    return configure.run(
        talk, flags, args, dry_run=dry_run, insecure=insecure, allow_remote=allow_remote
    )


def refuse_without_tools(made: plan.LaunchPlan) -> None:
    """Before anything is fetched: raise `CheckFailed` for a chat template that ignores tools."""
    weights = made.model.weights
    file = weights.file if weights is not None else None
    ignores = file is not None and file.takes_tools is False and made.wish.agent.needs_tools
    if ignores and not made.wish.skip_proof:
        raise serving.ignores_tools(made.model.id, made.wish.agent.title)


# ---- the screen ---------------------------------------------------------------------------


def agree(talk: Talk, made: plan.LaunchPlan, asked: looking.Asked) -> Answer:
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
    starts = any(isinstance(step, plan.StartEngine) and not step.reuse for step in made.steps)
    if starts and made.ollama is not None:
        talk.say("  will start Ollama, which goes on when the agent ends")
    for step in fetch:
        talk.say(f"  will {screen.step_text(step)}")
    permission.agree_to_download(talk, made.download_bytes, asked.max_download_bytes)
    question = f"Do it ({format_bytes(made.download_bytes)} {_places(made, fetch, asked)})?"
    spare = made.hybrid.spare if made.hybrid is not None else ()
    if spare:
        names = " and ".join(hop.word.shown for hop in spare)
        return talk.ask_or(question, f"go on without {names}", key="w", flag="--yes")
    other = plan.meanwhile(made)
    if other is None:
        return "yes" if talk.ask(question, flag="--yes") else "no"
    going_on = meanwhile.find(other.fetch, asked.paths)
    if going_on is not None:
        talk.say(f"  {other.fetch} is being downloaded in the background: {going_on.log}")
    size = f" ({format_bytes(other.model_bytes)})" if other.model_bytes else ""
    then = f"start with {other.model}{size} now and fetch this one meanwhile"
    return talk.ask_or(question, then, key="s", flag="--yes")


def _places(
    made: plan.LaunchPlan, fetch: Sequence[plan.Install | plan.Pull], asked: looking.Asked
) -> str:
    """Where what is fetched goes: programs to us, a model to whoever serves it."""
    ours = made.ollama is None
    places = [
        pull.shown_path(asked.paths.data)
        if ours or isinstance(step, plan.Install)
        else pull.place(made.ollama, None)
        for step in fetch
    ]
    return "into " + " and ".join(dict.fromkeys(places))


def instead(talk: Talk, asked: looking.Asked, later: plan.Meanwhile) -> plan.LaunchPlan:
    """The launch with the other model, which the person has just agreed to."""
    made = deciding.decide(talk, replace(asked, wish=replace(asked.wish, model=later.model)))
    refuse_without_tools(made)
    for line in screen.lines(made):
        talk.say(line)
    for code, message in made.warnings:
        talk.warn(message, code=code)
    return made


def spared(talk: Talk, asked: looking.Asked, hybrid: plan.Hybrid) -> plan.LaunchPlan:
    """The launch without the endpoints that would be fetched only to stand in for others."""
    if asked.routes is None:
        raise ValueError("chains come from routes")
    words = [hop.word for hop in hybrid.spare]
    made = deciding.decide(talk, replace(asked, routes=asked.routes.without(words)))
    refuse_without_tools(made)
    for line in screen.lines(made):
        talk.say(line)
    return made


def fetch_meanwhile(talk: Talk, asked: looking.Asked, later: plan.Meanwhile) -> None:
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


def _own_name(said: object) -> str | None:
    """The agent's own name for what was typed; that itself, where it is none."""
    try:
        return find(str(said)).name if said else None
    except AgentlaunchError:
        return str(said)


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
