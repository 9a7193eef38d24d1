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
    asked = find(agent).name if agent is not None else None
    seen = survey.look(settings.paths())
    findings = checks.check(seen, asked_agent=asked)
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
