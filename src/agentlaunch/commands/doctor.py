"""`agentlaunch doctor`: every check, each with the command that mends it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from agentlaunch import checks, files, settings, survey
from agentlaunch.agents import find
from agentlaunch.commands import agents, engines, models, up
from agentlaunch.commands.result import Result
from agentlaunch.errors import Refused
from agentlaunch.talk import Talk

MARKS = {"ok": "ok", "info": "info", "warning": "WARN", "error": "ERROR"}


def run(talk: Talk, agent: str | None, *, simulate: str | None, record: Path | None) -> Result:
    """All findings; status 3 when an error stands. Raises `UsageError` for an unknown agent.

    `record` also writes what this machine answered, scrubbed of names, as a facts file; one that is
    there already is `Refused`.
    """
    paths = settings.paths()
    wanted = _wanted_agents(agent, paths)
    if record is not None:
        _record(talk, record, paths)
    seen = up.see(paths, simulate)
    findings = checks.check(seen, wanted_agents=wanted)
    data = {
        "machine": models.machine_json(seen.machine),
        "engines": [engines.as_json(row) for row in seen.engines],
        "agents": [agents.as_json(row) for row in seen.agents.values()],
        "findings": [dataclasses.asdict(row) for row in findings],
    }

    def draw(talk: Talk) -> None:
        rows = [
            (MARKS[row.status], row.name, row.message + (f" ({row.remedy})" if row.remedy else ""))
            for row in findings
        ]
        talk.table(("STATUS", "CHECK", "FINDING"), rows)

    broken = any(row.status == "error" for row in findings)
    return Result("agentlaunch/doctor/1", data, draw, exit_code=3 if broken else 0)


def _record(talk: Talk, place: Path, paths: settings.Paths) -> None:
    from agentlaunch.machine import facts
    from agentlaunch.machine import record as recorder

    if place.exists():
        raise Refused(f"{place} is there already", hint="name another file", code="file-exists")
    files.write_json(place, recorder.record(facts.LiveFacts(paths.models)), mode=0o644)
    talk.say(f"recorded this machine in {place}; read it before you send it to anybody")


def _wanted_agents(asked: str | None, paths: settings.Paths) -> frozenset[str]:
    """Agents that must be here: the one asked for, the one in the settings, the last one used."""
    named = (asked, settings.load()["agent"].value)
    wanted = {find(str(name)).name for name in named if name is not None}
    remembered = survey.remembered_agent(paths)
    return frozenset(wanted if remembered is None else {*wanted, remembered})
