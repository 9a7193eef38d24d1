"""`agentlaunch` alone: on a terminal a short menu, elsewhere the state and the next command."""

from __future__ import annotations

import sys

from agentlaunch import settings, survey
from agentlaunch.agents import AGENTS
from agentlaunch.commands.result import Result
from agentlaunch.talk import Talk


def run(talk: Talk) -> Result | None:
    """Agents to choose from; Enter launches the first. Without a terminal: what to type next."""
    paths = settings.paths()
    states = [survey.find_agent(agent, paths) for agent in AGENTS.values()]
    rows = [
        {"name": state.agent.name, "installed": state.installed, "version": state.version}
        for state in states
    ]
    following = f"agentlaunch up {states[0].agent.name}"

    def draw(talk: Talk) -> None:
        for number, state in enumerate(states, 1):
            where = state.version or "not installed yet"
            talk.answer(f"{number}. {state.agent.title} ({where})")
        talk.answer(f"next: {following}   (agentlaunch --help lists all commands)")

    if not talk.may_ask or talk.policy.yes:
        return Result("agentlaunch/agentlaunch/1", {"agents": rows, "next": following}, draw)
    draw(talk)
    talk.err.write(f"Which one? [1-{len(states)}, Enter = 1, q = none] ")
    talk.err.flush()
    answer = sys.stdin.readline()
    word = answer.strip() or ("1" if answer else "q")
    if not word.isdecimal() or not 1 <= int(word) <= len(states):
        talk.say("nothing was done")
        return None
    from agentlaunch.commands import up

    flags = {"agent": states[int(word) - 1].agent.name}
    return up.run(
        talk, flags, (), dry_run=False, skip_proof=False, status_file=None, insecure=False
    )
