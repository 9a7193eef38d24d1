"""What is left where nothing fits or all is slow: more memory, a lighter agent, a server. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from agentlaunch.agents import AGENTS
from agentlaunch.agents.base import Agent
from agentlaunch.endpoint import Wire
from agentlaunch.errors import MachineCannot
from agentlaunch.models.candidate import Candidate, is_slow
from agentlaunch.models.choose import Choice
from agentlaunch.plan.sizing import choose_model
from agentlaunch.plan.wish import Wish
from agentlaunch.survey import Survey
from agentlaunch.units import format_memory


@dataclass(frozen=True, slots=True)
class Lighter:
    """An agent with the model that it would get here."""

    agent: Agent
    pick: Candidate


def lighter(
    survey: Survey, wish: Wish, agents: Iterable[Agent] = tuple(AGENTS.values())
) -> Lighter | None:
    """The agent nearest in size to the one asked for that gets a model here which answers soon
    enough; None where there is none."""
    smaller = [
        agent
        for agent in agents
        if agent.local
        and agent.support != "documented"
        and 0 < agent.first_request_tokens < wish.agent.first_request_tokens
    ]
    for agent in sorted(smaller, key=lambda row: -row.first_request_tokens):
        pick = choose_model(survey, replace(wish, agent=agent, slim="auto", args=())).pick
        if pick is not None and not is_slow(pick.speed, wish.first_word_limit_s):
            return Lighter(agent, pick)
    return None


def lighter_in(
    tokens: int,
    wires: Collection[Wire],
    wish: Wish,
    agents: Iterable[Agent] = tuple(AGENTS.values()),
) -> Agent | None:
    """The agent nearest in size to the one asked for that works in a window of so many tokens, on
    a server that speaks these wires; None where there is none."""
    fitting = [
        agent
        for agent in agents
        if agent.local
        and agent.support != "documented"
        and 0 < agent.min_context_tokens <= tokens
        and agent.min_context_tokens < wish.agent.min_context_tokens
        and set(agent.wires) & set(wires)
    ]
    return max(fitting, key=lambda row: row.first_request_tokens, default=None)


def says_lighter(agent: Agent, rest: str = "") -> str:
    """That agent as a way out, with its figures; `rest` are options that lead to this server."""
    return (
        f"a lighter agent: `agentlaunch up {agent.name}{rest}` "
        f"works from {agent.min_context_tokens:,} tokens on "
        f"(its first request takes {agent.tiers[-1].interactive_tokens:,})"
    )


def lighter_where_slow(survey: Survey, wish: Wish, candidate: Candidate) -> Lighter | None:
    """The lighter agent, where this one's first word comes too late."""
    slow = is_slow(candidate.speed, wish.first_word_limit_s)
    return lighter(survey, wish) if slow else None


def nothing_fits(survey: Survey, choice: Choice, wish: Wish) -> MachineCannot:
    """Why no model was chosen, with the nearest miss in numbers and everything that would help."""
    tokens = wish.context_tokens or wish.agent.min_context_tokens
    miss = choice.nearest_miss
    if miss is not None:
        text = (
            f"no model of the catalog fits this machine at {tokens:,} tokens; "
            f"the nearest is {miss.id}: it needs {format_memory(miss.needed_bytes)}, "
            f"{format_memory(miss.available_bytes)} are there"
        )
    elif not any(row.enough_context for row in choice.candidates):
        return MachineCannot(
            f"no model of the catalog was trained for {tokens:,} tokens",
            hint="ask for less with --context",
            code="nothing-fits",
        )
    else:
        text = "how much memory this machine has is not known, so no model can be chosen"
    return MachineCannot(text, hint="; ".join(ways_out(survey, choice, wish)), code="nothing-fits")


def ways_out(survey: Survey, choice: Choice, wish: Wish) -> list[str]:
    """What would change it, the cheapest first."""
    ways = []
    other = lighter(survey, wish)
    if other is not None:
        ways.append(
            f"a lighter agent: `agentlaunch up {other.agent.name}` would work with {other.pick.id}"
        )
    least = wish.agent.min_context_tokens
    if (wish.context_tokens or 0) > least or wish.parallel > 1:
        ways.append(f"less to hold: --context {least}" + (", one slot" * (wish.parallel > 1)))
    miss = choice.nearest_miss
    if miss is not None:
        short = format_memory(miss.needed_bytes - miss.available_bytes)
        ways.append(f"{short} more memory (closed programs, a larger machine) for {miss.id}")
    ways.append(
        f"a server elsewhere: `agentlaunch up {wish.agent.name} --engine URL`, "
        "or a smaller model that you know: `--model REF`"
    )
    return ways
