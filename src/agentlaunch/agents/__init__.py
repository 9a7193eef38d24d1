"""What we launch, declared: `AGENTS` is the one list, `find` reads a name as people type it."""

from __future__ import annotations

import difflib

from agentlaunch.agents import (
    aider,
    claude_code,
    cline,
    codex,
    copilot,
    crush,
    cursor,
    droid,
    gemini,
    goose,
    kimi,
    kiro,
    mini_swe_agent,
    opencode,
    openhands,
    pi,
    qwen_code,
    vibe,
)
from agentlaunch.agents.base import Agent
from agentlaunch.errors import NotSupported, UsageError

AGENTS: dict[str, Agent] = {
    "claude-code": claude_code.AGENT,
    "codex": codex.AGENT,
    "opencode": opencode.AGENT,
    "copilot": copilot.AGENT,
    "qwen": qwen_code.AGENT,
    "pi": pi.AGENT,
    "droid": droid.AGENT,
    "cline": cline.AGENT,
    "kimi": kimi.AGENT,
    "vibe": vibe.AGENT,
    "aider": aider.AGENT,
    "mini-swe-agent": mini_swe_agent.AGENT,
    "openhands": openhands.AGENT,
    "crush": crush.AGENT,
    "goose": goose.AGENT,
    "gemini": gemini.AGENT,
    "kiro": kiro.AGENT,
    "cursor": cursor.AGENT,
}


def find(name: str) -> Agent:
    """The agent of that name or alias, whatever its case.

    Raises `UsageError` with a suggestion for an unknown name, `NotSupported` for an agent that is
    known and cannot be launched.
    """
    names = {_plain(word): agent for agent in AGENTS.values() for word in _words(agent)}
    typed = _plain(name)
    found = names.get(typed)
    if found is not None and found.local:
        return found
    if found is not None:
        raise _no_model_of_ours(
            f"{found.title} cannot use a model of your own: {found.local_reason}"
        )
    close = difflib.get_close_matches(typed, names, n=1, cutoff=0.6)
    known = "agents: " + ", ".join(_local())
    raise UsageError(
        f"there is no agent {name!r}",
        hint=f"did you mean `{names[close[0]].name}`?" if close else known,
        code="unknown-agent",
    )


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def _words(agent: Agent) -> tuple[str, ...]:
    return (agent.name, *agent.aliases)


def _no_model_of_ours(message: str) -> NotSupported:
    hint = "agents that can: " + ", ".join(_local())
    return NotSupported(message, hint=hint, code="agent-not-supported")


def _local() -> tuple[str, ...]:
    return tuple(name for name, agent in AGENTS.items() if agent.local)
