"""`agentlaunch doctor`: every check, each with the command that mends it.

It answers in any state: what would end another command is a finding here.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from agentlaunch import checks, files, plan, settings, survey
from agentlaunch.agents import find
from agentlaunch.agents.base import Agent
from agentlaunch.checks import Finding
from agentlaunch.commands import (
    agents,
    engines,
    hybrid,
    looking,
    mend,
    models,
    policy,
    remedies,
    ruling,
)
from agentlaunch.commands.result import Result
from agentlaunch.engines.base import EngineState, StateName
from agentlaunch.engines.ollama.replies import parse_version
from agentlaunch.errors import AgentlaunchError, NotSupported, Refused, UsageError
from agentlaunch.settings import Paths, Value
from agentlaunch.survey import Survey, health
from agentlaunch.talk import Talk
from agentlaunch.units import plural

MARKS = {"ok": "ok", "info": "info", "warning": "WARN", "error": "ERROR"}


def run(
    talk: Talk,
    agent: str | None,
    *,
    simulate: str | None,
    record: Path | None,
    fix: bool = False,
) -> Result:
    """All findings; status 3 when an error stands. Raises `UsageError` for an unknown agent.

    `record` also writes what this machine answered, scrubbed of names, as a facts file; one that is
    there already is `Refused`. `fix` first removes what dead runs of ours left, and says so;
    then it asks for each remedy that is safe to run, and raises `UsageError` where nobody may be
    asked.
    """
    asked = _asked(agent)
    if fix and simulate is not None:
        raise UsageError("--fix mends this machine, not a simulated one", hint="leave one away")
    if record is not None and simulate is not None:
        raise UsageError("--record writes this machine, not a simulated one", hint="leave one away")
    paths, homeless = _places()
    if record is not None:
        _record(talk, record, paths)
    values, faults = _settings(paths)
    mended = mend.leftovers(paths) if fix else ()
    environ = ruling.kept_environ()
    if simulate is None:
        seen = survey.examine(paths, values, (*homeless, *faults), environ)
        chosen = _chosen(values, seen, paths)
    else:
        seen, chosen = looking.see(paths, simulate), ()
    wanted = _wanted(asked, values, paths)
    if fix:
        done = remedies.run(talk, remedies.safe(values, seen, wanted, paths))
        if done:  # how it is now, not how it was
            mended += done
            values, faults = _settings(paths)
            seen = survey.examine(paths, values, (*homeless, *faults), environ)
            chosen = _chosen(values, seen, paths)
    lacking = remedies.findings(values, seen, wanted, paths) if simulate is None else ()
    tried = {row.name for row in mended if row.status == "warning"}
    lacking = tuple(row for row in lacking if row.name not in tried)
    findings = (
        *_unsupported(agent, asked),
        *mended,
        *checks.check(seen, wanted_agents=wanted),
        *chosen,
        *_ruled(values, simulate),
        *(hybrid.findings(values, paths) if simulate is None else ()),
        *lacking,
        *_recommended(asked, values, paths, seen),
    )
    data = {
        "machine": models.machine_json(seen.machine),
        "engines": [engines.as_json(row) for row in (*seen.engines, *_ollama(seen))],
        "agents": [agents.as_json(row) for row in seen.agents.values()],
        "findings": [dataclasses.asdict(row) for row in findings],
    }

    def draw(talk: Talk) -> None:
        rows = [
            (MARKS[row.status], row.name, row.message + (f" ({row.remedy})" if row.remedy else ""))
            for row in _together(findings)
        ]
        talk.table(("STATUS", "CHECK", "FINDING"), rows)
        talk.say(_summary(findings))

    broken = any(row.status == "error" for row in findings)
    return Result("agentlaunch/doctor/1", data, draw, exit_code=3 if broken else 0)


def _settings(paths: Paths) -> tuple[dict[str, Value], tuple[AgentlaunchError, ...]]:
    """What can be read of the settings, and what is wrong with the rest or with the rules."""
    values, faults = settings.load_readable(os.environ, health.here(), paths.user_file)
    values, fault = ruling.kept_home(values)
    told = {row.message.partition(" ")[0] for row in faults}
    if fault is None or fault.message.partition(" ")[0] in told:  # the file is told already
        return values, faults
    return values, (*faults, fault)


def _places() -> tuple[Paths, tuple[AgentlaunchError, ...]]:
    try:
        return settings.paths(), ()
    except AgentlaunchError as error:
        return settings.NOWHERE, (error,)


def _record(talk: Talk, place: Path, paths: Paths) -> None:
    from agentlaunch.machine import facts
    from agentlaunch.machine import record as recorder

    if os.path.lexists(place):
        raise Refused(f"{place} is there already", hint="name another file", code="file-exists")
    files.write_json(place, recorder.record(facts.LiveFacts(paths.models)), mode=0o644)
    talk.say(f"recorded this machine in {place}; read it before you send it to anybody")


# --- agents ------------------------------------------------------------------------------------


def _asked(name: str | None) -> Agent | None:
    """The agent of the command line; None for one that is known and cannot be launched."""
    try:
        return find(name) if name is not None else None
    except NotSupported:
        return None


def _unsupported(name: str | None, asked: Agent | None) -> tuple[Finding, ...]:
    if name is None or asked is not None:
        return ()
    return tuple(_faults("agent", lambda: find(name)))


def _wanted(asked: Agent | None, values: Mapping[str, Value], paths: Paths) -> Collection[str]:
    """Agents that must be here: the one asked for, the one in the settings, the last one used."""
    named = (asked.name if asked is not None else None, _named(values), _remembered(paths))
    return frozenset(name for name in named if name is not None)


def _ollama(seen: Survey) -> tuple[EngineState, ...]:
    """Ollama as one row of the engines; nothing of a machine that is only described."""
    server = seen.health.ollama if seen.health is not None else None
    if server is None:
        return ()
    if server.answered == "yes":
        version = parse_version({"version": server.version})
        wires = version.wires if version is not None else ()
        return (EngineState("ollama", "running", server.version, server.url, wires),)
    state: StateName = "installed" if seen.ollama is not None else "missing"
    return (EngineState("ollama", state, None, None, ()),)


def _named(values: Mapping[str, Value]) -> str | None:
    """The agent of the settings, where it is one that can be launched."""
    name = values["agent"].value
    try:
        return find(str(name)).name if name is not None else None
    except (UsageError, NotSupported):
        return None


def _remembered(paths: Paths) -> str | None:
    try:
        return survey.remembered_agent(paths)
    except OSError:
        return None


# --- what the settings choose ------------------------------------------------------------------


def _chosen(values: Mapping[str, Value], seen: Survey, paths: Paths) -> tuple[Finding, ...]:
    """What another command would refuse about the agent, engine and model of the settings."""
    agent, engine, model = (values[name] for name in ("agent", "engine", "model"))
    rows: list[Finding] = []
    if agent.value is not None:
        rows += _faults("settings", lambda: find(str(agent.value)), agent)
    if engine.value is not None:
        rows += _faults("settings", lambda: _check_engine(str(engine.value)), engine)
    if model.value is not None:
        rows += _faults("settings", lambda: _check_model(model, seen, paths), model)
    return tuple(rows)


def _ruled(values: Mapping[str, Value], simulate: str | None) -> tuple[Finding, ...]:
    """What is set against a rule of the machine, the user or the project."""
    rows = policy.broken(values) if simulate is None else ()
    return tuple(Finding("policy", "error", text, remedy) for text, remedy in rows)


def _check_engine(name: str) -> None:
    """As `up` would take it: Ollama must answer or be here to be started."""
    if name.lower() == looking.OLLAMA:
        survey.look_at_ollama(ruling.kept_environ())
    looking.server_of(name, settings.load())


def _check_model(model: Value, seen: Survey, paths: Paths) -> None:
    looking.refuse_project_endpoint(model)
    weights = survey.look_at_model(str(model.value), seen.catalog, paths)
    looking.refuse_description(weights)


def _faults(name: str, ask: Callable[[], object], value: Value | None = None) -> list[Finding]:
    """The error that `ask` ends with, as a finding; its way out names what decided the setting."""
    try:
        ask()
    except AgentlaunchError as error:
        fault, hint = error.message, error.hint
    except (OSError, RuntimeError) as error:  # RuntimeError: no home is known
        fault, hint = str(error), None
    else:
        return []
    if value is None:
        return [Finding(name, "error", fault, hint)]
    setting = value.origin
    message = f"{fault} (set by {setting})"
    remedy = (
        f"unset {setting}" if value.source == "environment" else f"mend or remove it in {setting}"
    )
    return [Finding(name, "error", message, remedy)]


def _recommended(
    asked: Agent | None, values: Mapping[str, Value], paths: Paths, seen: Survey
) -> tuple[Finding, ...]:
    """The model that `up` would take for this agent here, when it is left to choose; none where
    the settings name a server, whose machine is not known."""
    if seen.health is not None and seen.health.remote is not None:
        return ()
    agent = asked or find(_named(values) or _remembered(paths) or looking.DEFAULT_AGENT)
    context = values["context"].value
    wish = plan.Wish(agent=agent, context_tokens=context, kv_cache=values["kv_cache"].value)
    return (checks.recommendation(agent, plan.choose_model(seen, wish)),)


def _together(findings: Sequence[Finding]) -> list[Finding]:
    """For a person: the many agents that are not here, and need not be, in one row."""
    absent = [
        row
        for row in findings
        if row.status == "info" and (row.remedy or "").startswith(checks.INSTALL)
    ]
    if len(absent) < 2:
        return list(findings)
    text = f"not installed: {', '.join(row.name for row in absent)}"
    one = Finding("agents", "info", text, f"{checks.INSTALL} NAME")
    return [one if row is absent[0] else row for row in findings if row not in absent[1:]]


def _summary(findings: Collection[Finding]) -> str:
    """The last line for a person: ready, or how much is to mend."""
    counts = [
        plural(count, status)
        for status in ("error", "warning")
        if (count := sum(row.status == status for row in findings))
    ]
    if not counts:
        return "ready: nothing is wrong"
    first = "; mend the errors first" if len(counts) > 1 else ""
    return f"{' and '.join(counts)}{first}"
