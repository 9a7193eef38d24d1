"""A conversation that is larger than this launch's window: said before, with two ways out."""

from __future__ import annotations

from dataclasses import replace

from agentlaunch import plan, survey
from agentlaunch.agents.base import own_folder
from agentlaunch.commands import deciding, looking
from agentlaunch.errors import AgentlaunchError
from agentlaunch.talk import Talk
from agentlaunch.units import format_tokens


def check(
    talk: Talk, asked: looking.Asked, made: plan.LaunchPlan
) -> tuple[looking.Asked, plan.LaunchPlan] | None:
    """The launch to do: as it was, with a larger window, or as a fresh start; None for none.

    On a terminal the user chooses. Elsewhere it is a warning that names what to type.
    """
    agent, places = asked.wish.agent, asked.places
    config = own_folder(agent, places.environ)
    if asked.wish.home == "clean":
        config = places.homes / agent.name
    found = survey.sessions.look(agent, asked.wish.args, places.project, config)
    context = made.context
    room = context.agent_window_tokens - context.max_output_tokens
    if found is None or found.tokens <= room:
        return asked, made
    text = (
        f"the conversation that you resume holds about {format_tokens(found.tokens)} tokens; "
        f"{format_tokens(room)} fit in this launch"
    )
    larger = _larger(talk, asked, found.tokens)
    if not talk.may_ask or talk.policy.yes or asked.rehearsal:
        way = f"--context {larger[1].context.engine_tokens}, or " if larger else ""
        talk.warn(f"{text}: {way}start a new one", code="session-larger")
        return asked, made
    talk.warn(text, code="session-larger")
    fresh = replace(asked, wish=replace(asked.wish, args=found.fresh))
    rows: list[tuple[str, looking.Asked]] = [("start a new conversation", fresh)]
    if larger is not None:
        tokens = format_tokens(larger[1].context.engine_tokens)
        rows.insert(0, (f"load the model with {tokens} tokens instead", larger[0]))
    rows.append(("go on: the agent will have to shorten it first", asked))
    number = talk.choose("What shall it be?", [row[0] for row in rows])
    if number is None:
        return None
    chosen = rows[number][1]
    return chosen, made if chosen is asked else deciding.decide(talk, chosen)


def _larger(
    talk: Talk, asked: looking.Asked, tokens: int
) -> tuple[looking.Asked, plan.LaunchPlan] | None:
    """The same launch with the smallest window that holds the conversation; None where none can be
    had here."""
    agent = asked.wish.agent
    if asked.server is not None or asked.routes is not None:  # its window is its own
        return None
    for step in reversed(plan.CONTEXT_STEPS):
        context = plan.context_for(asked.wish, step)
        if (context.compact_at_tokens or 0) <= tokens:
            continue
        wanted = replace(asked, wish=replace(asked.wish, context_tokens=step))
        try:
            made = deciding.decide(talk, wanted)
        except AgentlaunchError as error:
            talk.detail(f"{agent.title} with {step} tokens: {error.message}")
            return None
        return wanted, made
    return None
