"""`agentlaunch agents`: what can be launched, what is installed, what was tested."""

from __future__ import annotations

from typing import Any

from agentlaunch import managed, settings, survey
from agentlaunch.agents import AGENTS, find
from agentlaunch.agents.base import Agent
from agentlaunch.commands import ruling
from agentlaunch.commands.result import Result
from agentlaunch.errors import NotSupported
from agentlaunch.survey import AgentState
from agentlaunch.talk import Talk
from agentlaunch.units import format_bytes


def list_agents(talk: Talk) -> Result:
    """Every agent that we know; those that cannot be local last, with the reason."""
    paths = settings.paths()
    states = [survey.find_agent(agent, paths, node=False) for agent in AGENTS.values()]
    states.sort(key=lambda state: not state.agent.local)

    def draw(talk: Talk) -> None:
        rows = [
            (state.agent.name, _version(state), state.agent.support, _where(state))
            for state in states
            if state.agent.local
        ]
        talk.table(("AGENT", "VERSION", "SUPPORT", "WHERE"), rows)
        for state in states:
            if not state.agent.local:
                text = f"{state.agent.name}: cannot be local: {state.agent.local_reason}"
                talk.answer_folded(text, indent=2)

    data = {"agents": [as_json(state) for state in states]}
    return Result("agentlaunch/agents/1", data, draw)


def _version(state: AgentState) -> str:
    if state.version is None:
        return "?" if state.installed else "-"
    return state.version if state.tested else f"{state.version} (untested)"


def _where(state: AgentState) -> str:
    if state.path is not None:
        return "ours" if state.managed else str(state.path)
    package = state.agent.package
    if package is None:
        return "not installed"
    return f"not installed ({format_bytes(package.size_bytes)} on disk)"


def show(talk: Talk, name: str) -> Result:
    """One agent, whole. Raises `UsageError` for an unknown name."""
    state = survey.find_agent(_any(name), settings.paths())
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
    data["one_prompt"] = agent.one_prompt or None
    data["notes"] = list(agent.notes)
    data["egress"] = list(agent.egress)
    data["known_breaks"] = [{"versions": row.versions, "text": row.text} for row in agent.breaks]

    def draw(talk: Talk) -> None:
        names = f"; also {', '.join(agent.aliases)}" if agent.aliases else ""
        talk.answer(f"{agent.title} ({agent.name}{names})")
        if not agent.local:
            talk.answer(f"  cannot be local: {agent.local_reason}")
            return
        talk.answer(f"  here        {_version(state)} {state.path or 'not installed'}")
        talk.answer(f"  tested      {', '.join(agent.tested_versions) or '-'} ({agent.support})")
        talk.answer(f"  speaks      {', '.join(agent.wires)}")
        talk.answer(f"  one prompt  agentlaunch up {agent.name} -- {agent.one_prompt}")
        for tier in agent.tiers:
            smallest = tier.min_context_tokens(agent.compaction)
            talk.answer(
                f"  {tier.name + ' prompt':11} {tier.tools} tools, first request "
                f"{tier.interactive_tokens:,} tokens, context from {smallest:,}"
            )
        for text in agent.notes:
            talk.answer_folded(f"  note        {text}", indent=14)
        for text in agent.egress:
            talk.answer_folded(f"  still asks  {text}", indent=14)
        for row in agent.breaks:
            talk.answer_folded(f"  breaks      {row.versions}: {row.text}", indent=14)
        talk.answer_folded("  reserved    " + ", ".join(r.flag for r in agent.reserved), indent=14)

    return Result("agentlaunch/agents-show/1", {"agent": data}, draw)


def _any(name: str) -> Agent:
    """An agent by name, also one that cannot be launched."""
    typed = name.strip().lower().replace("_", "-")
    rows = (row for row in AGENTS.values() if typed in (row.name, *row.aliases))
    return next(rows, None) or find(name)


def install(talk: Talk, name: str) -> Result:
    """Install the pinned version into a folder of ours, asked for with source and size.

    Raises `NotSupported` when we cannot install it, `AgentlaunchError` when npm or pip fails.
    """
    agent, paths = find(name), settings.paths()
    ruling.agent(ruling.here(), agent.name)
    package = agent.package
    if package is None:
        raise NotSupported(
            f"agentlaunch cannot install {agent.title}",
            hint=f"install it by its own documentation: {agent.site}",
        )
    wanted = [managed.NODE] if managed.needs_node(package, paths) else []
    if managed.installed(package, paths) is None:
        wanted.append(package)
        for row in wanted:
            talk.say(f"{row.source}, {format_bytes(row.size_bytes)} on disk, into {paths.managed}")
        if not talk.ask("Install it?" if len(wanted) == 1 else "Install them?", flag="--yes"):
            return Result(
                "agentlaunch/agents-install/1",
                {"installed": False, "path": None},
                lambda t: t.say("nothing was done"),
            )
    for row in wanted:
        talk.follow(managed.install(row, paths, offline=talk.policy.offline))
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
        "min_context_tokens": agent.min_context_tokens or None,
        "first_request_tokens": agent.first_request_tokens or None,
        "local": agent.local,
        "local_reason": agent.local_reason,
    }
