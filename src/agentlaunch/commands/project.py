"""What settings files of the user and of the project would do in a launch: said, asked, refused."""

from __future__ import annotations

import sys
from dataclasses import replace

from agentlaunch import survey
from agentlaunch.agents.base import own_folder
from agentlaunch.commands.looking import Asked
from agentlaunch.errors import Refused
from agentlaunch.survey import Runs
from agentlaunch.talk import Talk
from agentlaunch.talk.text import is_terminal

FLAG = "--trust-project"
SHOWN = 5


def check(talk: Talk, asked: Asked, *, trust: bool = False, starts: bool = True) -> None:
    """Say what is overridden, and see to it that nothing of an untrusted project runs unasked.

    `trust` is the flag's word, for this launch alone; `starts` is False where no agent is started
    now. Raises `Refused` for what no launcher can override, and for what would run without a
    dialog that asks.
    """
    agent = asked.wish.agent
    config = asked.places.homes / agent.name
    if asked.wish.home == "own":
        config = own_folder(agent, asked.places.environ)
    seen = survey.watched.look(agent, asked.places.project, config)
    for text in _of_others(seen.overridden, asked):
        talk.warn(text, code="settings-overridden")
    if not seen.runs or seen.trusted:
        return
    what = _words(seen.runs)
    if trust:
        talk.say(f"trusted for this launch: {what}")
    elif asked.rehearsal or not starts:
        talk.warn(f"this folder is not trusted, and here would run {what}", code="untrusted")
    elif agent.is_headless(asked.wish.args) or not _is_watched():
        raise Refused(
            f"this folder is not trusted, and {agent.title} would run {what}",
            hint=f"look at it; if it is yours, add {FLAG}",
            code="untrusted-project",
        )
    elif agent.trust is None or not agent.trust.asks:
        _ask(talk, agent.title, seen.runs, what)


def _of_others(rows: tuple[str, ...], asked: Asked) -> list[str]:
    """What is overridden, without the files that `--config` wrote: the user knows of these."""
    if not rows:
        return []
    from agentlaunch.changes.journal import Journal  # most launches override nothing

    entries = Journal(asked.paths.state, None).entries(asked.wish.agent.name)
    ours = tuple(f"{path} sets " for entry in entries for path in (entry.path, entry.named))
    return [text for text in rows if not text.startswith(ours)]


def _ask(talk: Talk, title: str, runs: tuple[Runs, ...], what: str) -> None:
    """For an agent without a dialog of its own; `--yes` does not answer: this is no routine."""
    if not talk.may_ask:
        raise Refused(
            f"{title} does not ask, and would run {what}",
            hint=f"look at it; if it is yours, add {FLAG}",
            code="untrusted-project",
        )
    for row in runs:
        talk.say(f"  {row}")
    asking = replace(talk, policy=replace(talk.policy, yes=False))
    question = f"{title} runs this from the project without asking. Do you trust it?"
    if not asking.ask(question, flag=FLAG, default=False):
        raise Refused(
            "nothing was started", hint="look at the files above first", code="untrusted-project"
        )


def _is_watched() -> bool:
    """Does a person sit at the agent's terminal, so that its own dialog could ask?"""
    return is_terminal(sys.stdin) and is_terminal(sys.stdout)


def _words(runs: tuple[Runs, ...]) -> str:
    more = f" and {len(runs) - SHOWN} more" if len(runs) > SHOWN else ""
    return "; ".join(map(str, runs[:SHOWN])) + more
