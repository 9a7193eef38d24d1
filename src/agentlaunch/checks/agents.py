"""Agents: installed, tested, hidden, sent elsewhere by a settings file; and what they run on."""

from __future__ import annotations

from collections.abc import Collection

from agentlaunch import managed
from agentlaunch.agents.base import Agent
from agentlaunch.checks.finding import Finding, Status
from agentlaunch.survey import Survey

INSTALL = "agentlaunch agents install"
"""Begins the remedy of every agent that is not here."""


def node(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    """Node.js, where an agent is missing that runs on it: one of ours can be brought."""
    absent = [row.agent for row in survey.agents.values() if not row.installed]
    floors = [_min_node(row) for row in absent if row.package and row.package.kind == "npm"]
    if not floors:
        return []
    brings = f"to install an agent, {managed.NODE.source} is brought"
    if survey.node is None:
        return [Finding("node", "info", f"Node.js was not found: {brings}", "https://nodejs.org")]
    found = survey.health.node_version if survey.health is not None else None
    if found == ():
        text = f"{survey.node} does not say its version"
        return [Finding("node", "warning", text, f"{survey.node} --version")]
    if found is not None and found < max(floors):
        have, floor = (".".join(map(str, version)) for version in (found, max(floors)))
        names = [row.name for row in absent if row.package and found < _min_node(row)]
        text = f"Node.js {have} at {survey.node} is too old for {', '.join(names)} ({floor})"
        return [Finding("node", "info", f"{text}: {brings}", "https://nodejs.org")]
    return []


def _min_node(agent: Agent) -> tuple[int, int]:
    package = agent.package
    if package is None or package.kind != "npm":
        return (0, 0)
    return package.min_node or managed.NODE_FLOOR


def installed(survey: Survey, wanted: Collection[str]) -> list[Finding]:
    """A row for each agent that can be local; one that is wanted must be here."""
    rows = []
    for name, state in survey.agents.items():
        title = state.agent.title
        if not state.agent.local:
            continue
        if not state.installed:
            status: Status = "error" if name in wanted else "info"
            remedy = f"{INSTALL} {name}"
            rows.append(Finding(name, status, f"{title} is not installed", remedy))
        elif state.version is None:
            text = f"{title} at {state.path}; no package beside it tells its version"
            rows.append(Finding(name, "info", text, f"{state.path} --version"))
        elif not state.tested:
            tested = ", ".join(state.agent.tested_versions)
            text = f"{title} {state.version} at {state.path} is not a tested version ({tested})"
            rows.append(Finding(name, "info", text))
            rows += [
                Finding(name, "warning", f"{title} {state.version}: {known}")
                for known in state.breaks
            ]
        else:
            rows.append(Finding(name, "ok", f"{title} {state.version} at {state.path}"))
    return rows


def hidden(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    """Programs that are there and cannot be used: a link to nothing, a folder open to all."""
    rows = []
    for found in survey.health.hidden if survey.health is not None else ():
        if found.problem == "broken-link":
            text, remedy = f"{found.path} is a link to nothing", f"rm {found.path}"
        elif found.problem == "open-folder":
            text = f"{found.path} is passed over: anyone may write to its folder"
            remedy = f"chmod o-w {found.path.parent}"
        else:
            text, remedy = f"{found.path} may not be run", f"chmod u+x {found.path}"
        rows.append(Finding(found.agent, "warning", text, remedy))
    return rows


def redirected(survey: Survey, wanted: Collection[str]) -> list[Finding]:
    """Settings files that send an agent elsewhere: overridden by a launch, or in its way."""
    rows = []
    for found in survey.health.overrides if survey.health is not None else ():
        state = survey.agents.get(found.agent)
        if found.agent not in wanted and not (state is not None and state.installed):
            continue  # nobody would launch it from here
        status: Status = "warning" if found.hint is None else "error"
        rows.append(Finding(found.agent, status, found.text, found.hint))
    return rows
