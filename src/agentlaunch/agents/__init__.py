"""What we launch, declared: `AGENTS` is the one list, `find` reads a name as people type it."""

from __future__ import annotations

import difflib

from agentlaunch.agents import claude_code
from agentlaunch.agents.base import Agent
from agentlaunch.errors import NotSupported, UsageError

AGENTS: dict[str, Agent] = {
    "claude-code": claude_code.AGENT,
}

NEVER: dict[str, str] = {
    "kiro": "Kiro takes no endpoint of your own; it needs a Kiro account",
    "gemini": "Gemini CLI speaks only Google's own wire",
}
"""Agents that cannot use a model of your own, and why."""

LATER: tuple[str, ...] = (
    "codex", "opencode", "copilot", "qwen", "pi", "droid", "cline", "kimi", "vibe", "aider",
    "openhands", "mini-swe-agent", "crush", "goose",
)  # fmt: skip
"""Agents that this version cannot launch yet."""


def find(name: str) -> Agent:
    """The agent of that name or alias, whatever its case.

    Raises `UsageError` with a suggestion for an unknown name, `NotSupported` for an agent that is
    known and cannot be launched.
    """
    names = {word.lower(): agent for agent in AGENTS.values() for word in _words(agent)}
    typed = name.strip().lower()
    if typed in names:
        return names[typed]
    if typed in NEVER or typed in LATER:
        raise NotSupported(
            NEVER.get(typed, f"this version of agentlaunch cannot launch {typed} yet"),
            hint="agents that can: " + ", ".join(AGENTS),
            code="agent-not-supported",
        )
    close = difflib.get_close_matches(typed, names, n=1, cutoff=0.6)
    known = "agents: " + ", ".join(AGENTS)
    raise UsageError(
        f"there is no agent {name!r}",
        hint=f"did you mean `{names[close[0]].name}`?" if close else known,
        code="unknown-agent",
    )


def _words(agent: Agent) -> tuple[str, ...]:
    return (agent.name, *agent.aliases)
