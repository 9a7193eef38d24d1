"""What would bring the first word sooner, each way with its seconds. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agentlaunch.plan.made import LaunchPlan

Estimate = Callable[[int], float | None]
"""Seconds to the first word of a prompt of so many tokens, from what was measured here."""

Way = tuple[str, float]
"""What to do, and about how many seconds the first word takes then."""


def proposals(made: LaunchPlan, first_word_s: Estimate, limit_s: float) -> tuple[Way, ...]:
    """Ways to a first word that comes sooner, the least loss first: a slimmer prompt of the same
    agent, a smaller model, a lighter agent. Empty where the first word is soon enough, or how fast
    this engine reads is not known."""
    now_s = first_word_s(first_request_tokens(made))
    if now_s is None or now_s <= limit_s:
        return ()
    return tuple(way for way in _ways(made, first_word_s) if way[1] < now_s)


def first_request_tokens(made: LaunchPlan) -> int:
    """What the agent's first request takes in this launch, as measured for its kind."""
    tier = made.context.tier
    headless = made.wish.agent.is_headless(made.wish.args)
    return tier.headless_tokens if headless else tier.interactive_tokens


def _ways(made: LaunchPlan, first_word_s: Estimate) -> Iterator[Way]:
    agent = made.wish.agent
    headless = agent.is_headless(made.wish.args)
    if made.context.tier is agent.tiers[0] and len(agent.tiers) > 1:
        slim = agent.tiers[1]  # what `--slim on` takes in a window that carries it
        then_s = first_word_s(slim.headless_tokens if headless else slim.interactive_tokens)
        if then_s is not None:
            yield "--slim on", then_s
    fast = made.choice.fast if made.choice is not None else None
    if fast is not None and fast.id != made.model.id and fast.speed.first_word_s is not None:
        yield f"--model {fast.id}", fast.speed.first_word_s.middle
    if made.lighter is not None:
        other = made.lighter.agent
        then_s = first_word_s(other.first_request_tokens)
        if then_s is not None:
            yield f"agentlaunch up {other.name}, a lighter agent", then_s
