"""What we launch, declared: `AGENTS` is the one list, `find` reads a name as people type it."""

from __future__ import annotations

import difflib

from agentlaunch.agents import claude_code
from agentlaunch.agents.base import Agent
from agentlaunch.errors import UsageError

AGENTS: dict[str, Agent] = {
    "claude-code": claude_code.AGENT,
}


def find(name: str) -> Agent:
    """The agent of that name or alias, whatever its case; raises `UsageError` with a suggestion."""
    names = {word.lower(): agent for agent in AGENTS.values() for word in _words(agent)}
    typed = name.strip().lower()
    if typed in names:
        return names[typed]
    close = difflib.get_close_matches(typed, names, n=1, cutoff=0.6)
    known = "agents: " + ", ".join(AGENTS)
    raise UsageError(
        f"there is no agent {name!r}",
        hint=f"did you mean `{names[close[0]].name}`?" if close else known,
        code="unknown-agent",
    )


def _words(agent: Agent) -> tuple[str, ...]:
    return (agent.name, *agent.aliases)
