"""`agentlaunch agents`: what can be launched, what is installed, what was tested."""

from __future__ import annotations

from typing import Any

from agentlaunch import managed, settings, survey
from agentlaunch.agents import AGENTS, find
from agentlaunch.commands.result import Result
from agentlaunch.errors import NotSupported
from agentlaunch.survey import AgentState
from agentlaunch.talk import Talk
from agentlaunch.units import format_bytes


def list_agents(talk: Talk) -> Result:
    """Every agent that we know."""
    paths = settings.paths()
    states = [survey.find_agent(agent, paths) for agent in AGENTS.values()]

    def draw(talk: Talk) -> None:
        rows = [
            (state.agent.name, state.version or ("yes" if state.installed else "-"),
             state.agent.support, str(state.path or "not installed"))
            for state in states
        ]  # fmt: skip
        talk.table(("AGENT", "VERSION", "SUPPORT", "WHERE"), rows)

    data = {"agents": [as_json(state) for state in states]}
    return Result("agentlaunch/agents/1", data, draw)


def show(talk: Talk, name: str) -> Result:
    """One agent, whole. Raises `UsageError` for an unknown name."""
    state = survey.find_agent(find(name), settings.paths())
    agent, data = state.agent, as_json(state)
    data["reserved_args"] = [{"flag": r.flag, "instead": r.instead} for r in agent.reserved]
    data["tiers"] = [
        {
            "name": tier.name,
            "tools": tier.tools,
            "first_request_tokens": tier.interactive_tokens,
            "headless_tokens": tier.headless_tokens,
            "min_context_tokens": tier.min_context_tokens(agent.compaction),
        }
        for tier in agent.tiers
    ]

    def draw(talk: Talk) -> None:
        talk.answer(f"{agent.title} ({agent.name}; also {', '.join(agent.aliases)})")
        talk.answer(f"  here        {state.version or '-'} {state.path or 'not installed'}")
        talk.answer(f"  tested      {', '.join(agent.tested_versions)} ({agent.support})")
        talk.answer(f"  speaks      {', '.join(agent.wires)}")
        for tier in agent.tiers:
            smallest = tier.min_context_tokens(agent.compaction)
            talk.answer(
                f"  {tier.name + ' prompt':11} {tier.tools} tools, first request "
                f"{tier.interactive_tokens:,} tokens, context from {smallest:,}"
            )
        talk.answer("  reserved    " + ", ".join(r.flag for r in agent.reserved))

    return Result("agentlaunch/agents-show/1", {"agent": data}, draw)


def install(talk: Talk, name: str) -> Result:
    """Install the pinned version into a folder of ours, asked for with source and size.

    Raises `NotSupported` when we cannot install it, `AgentlaunchError` when npm fails.
    """
    agent, paths = find(name), settings.paths()
    package = agent.package
    if package is None:
        raise NotSupported(
            f"agentlaunch cannot install {agent.title}", hint="install it by its own documentation"
        )
    if managed.installed(package, paths) is None:
        size = format_bytes(package.size_bytes)
        talk.say(f"{package.source}, {size} on disk, into {paths.managed}")
        if not talk.ask("Install it?", flag="--yes"):
            return Result(
                "agentlaunch/agents-install/1",
                {"installed": False, "path": None},
                lambda t: t.say("nothing was done"),
            )
    root = talk.follow(managed.install(package, paths, offline=talk.policy.offline))
    data = {"installed": True, "path": str(root), "version": package.version}
    return Result(
        "agentlaunch/agents-install/1",
        data,
        lambda t: t.answer(f"{agent.title} {package.version} is in {root}"),
    )


def as_json(state: AgentState) -> dict[str, Any]:
    """One row of CONTRACT 3, agents."""
    agent = state.agent
    return {
        "name": agent.name,
        "title": agent.title,
        "aliases": list(agent.aliases),
        "installed": state.installed,
        "version": state.version,
        "path": str(state.path) if state.path is not None else None,
        "tested_versions": list(agent.tested_versions),
        "wires": list(agent.wires),
        "support": agent.support,
        "min_context_tokens": agent.min_context_tokens,
        "first_request_tokens": agent.first_request_tokens,
        "local": agent.local,
        "local_reason": agent.local_reason,
    }
