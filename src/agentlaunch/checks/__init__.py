"""Survey → findings: small functions, each of which knows one thing that can be wrong. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from agentlaunch.checks import agents, engines, machine, models, ours, proofs
from agentlaunch.checks.agents import INSTALL
from agentlaunch.checks.finding import Check, Finding, Status
from agentlaunch.checks.machine import LOW_DISK_BYTES
from agentlaunch.checks.models import recommendation
from agentlaunch.survey import Survey

__all__ = ["CHECKS", "INSTALL", "LOW_DISK_BYTES", "Finding", "Status", "check", "recommendation"]

CHECKS: Sequence[Check] = (
    ours.settings,
    ours.surroundings,
    ours.folders,
    ours.records,
    machine.memory,
    machine.graphics,
    machine.disk,
    machine.probes,
    engines.embedded,
    engines.chosen,
    engines.ollama,
    agents.node,
    agents.installed,
    agents.hidden,
    agents.redirected,
    models.lost,
    models.halves,
    models.downloads,
    proofs.stored,
    ours.leftovers,
)


def check(survey: Survey, *, wanted_agents: Collection[str]) -> tuple[Finding, ...]:
    """Every finding, in the order of the table above. A wanted agent must not be missing."""
    rows: list[Finding] = []
    for look in CHECKS:
        rows += look(survey, wanted_agents)
    return tuple(rows)
