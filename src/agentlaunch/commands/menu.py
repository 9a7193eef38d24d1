"""`agentlaunch` alone: on a terminal a short menu, elsewhere the state and the next command."""

from __future__ import annotations

import sys

from agentlaunch import settings, survey
from agentlaunch.agents import AGENTS
from agentlaunch.commands.result import Result
from agentlaunch.talk import Talk
from agentlaunch.units import format_bytes, format_memory


def run(talk: Talk) -> Result | None:
    """Choose an agent, then a model; Enter takes the first. No terminal: what to type next."""
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
    number = _which(talk, len(states))
    flags = None if number is None else _with_model(talk, states[number].agent.name)
    if flags is None:
        talk.say("nothing was done")
        return None
    from agentlaunch.commands import up

    return up.run(
        talk, flags, (), dry_run=False, skip_proof=False, status_file=None, insecure=False
    )


def _with_model(talk: Talk, agent: str) -> dict[str, object | None] | None:
    """What `up` is called with, after the choice of a model; None when the person wants none.

    Nothing is asked where the settings choose, or where nothing fits: `up` says that best.
    """
    from agentlaunch import plan
    from agentlaunch.commands import up

    flags: dict[str, object | None] = {"agent": agent}
    asked = up.look(talk, flags, ())
    if asked.wish.model is not None or asked.engine.lower() != up.EMBEDDED:
        return flags
    choice = plan.choose_model(asked.survey, asked.wish)
    words = (("recommended", choice.pick), ("faster", choice.fast), ("smarter", choice.smarter))
    rows = [(word, row) for word, row in words if row is not None]
    if not rows:
        return flags
    for number, (word, row) in enumerate(rows, 1):
        get = "already here" if row.installed else f"{format_bytes(row.size_bytes)} to download"
        needs = format_memory(row.fit.total_bytes)
        talk.answer(f"{number}. {row.id} ({word}; {needs} of memory, {get})")
    model = _which(talk, len(rows))
    return None if model is None else flags | {"model": rows[model][1].id}


def _which(talk: Talk, count: int) -> int | None:
    """The place of the row that the person chose, counted from 0; Enter is the first."""
    numbers = f"1-{count}, " if count > 1 else ""
    talk.err.write(f"Which one? [{numbers}Enter = 1, q = none] ")
    talk.err.flush()
    answer = sys.stdin.readline()
    word = answer.strip() or ("1" if answer else "q")
    return int(word) - 1 if word in map(str, range(1, count + 1)) else None
