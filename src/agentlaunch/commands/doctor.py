"""`agentlaunch doctor`: every check, each with the command that mends it."""

from __future__ import annotations

import dataclasses

from agentlaunch import checks, settings, survey
from agentlaunch.agents import find
from agentlaunch.commands import agents, engines, models
from agentlaunch.commands.result import Result
from agentlaunch.talk import Talk

MARKS = {"ok": "ok", "info": "info", "warning": "WARN", "error": "ERROR"}


def run(talk: Talk, agent: str | None) -> Result:
    """All findings; status 3 when an error stands. Raises `UsageError` for an unknown agent."""
    paths = settings.paths()
    wanted = _wanted_agents(agent, paths)
    seen = survey.look(paths)
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


def _wanted_agents(asked: str | None, paths: settings.Paths) -> frozenset[str]:
    """Agents that must be here: the one asked for, the one in the settings, the last one used."""
    named = (asked, settings.load()["agent"].value)
    wanted = {find(str(name)).name for name in named if name is not None}
    remembered = survey.remembered_agent(paths)
    return frozenset(wanted if remembered is None else {*wanted, remembered})
