"""What is said where nothing fits or all is slow: a lighter agent, more memory, a server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentlaunch import plan, survey
from agentlaunch.agents.claude_code import AGENT
from agentlaunch.context import Compaction, Tier
from agentlaunch.machine import simulate
from agentlaunch.plan import Wish

RULE = Compaction(most_reply_tokens=32_000, reserve_tokens=0)
MIDDLE, SMALL = (
    replace(AGENT, name=name, title=name, compaction=RULE, tiers=(Tier("full", (), 4, size, size),))
    for name, size in (("middle", 9_000), ("small", 1_300))
)
REMOTE = replace(SMALL, name="remote", local=False)
LARGE = replace(SMALL, name="large", tiers=(Tier("full", (), 4, 40_000, 40_000),))
AGENTS = (LARGE, REMOTE, SMALL, MIDDLE)


def world(spec: str) -> survey.Survey:
    return survey.simulated(simulate.load(spec))


@pytest.mark.parametrize(
    ("spec", "agent"),
    [
        ("ram=64GiB,gpu=RTX 4090:24GiB", "middle"),  # the nearest in size that is soon enough
        ("chip=M2,ram=16GiB", "small"),
        ("ram=2GiB", None),
        ("ram=16GiB", "small"),
    ],
)
def test_the_lighter_agent_is_the_nearest_that_answers_soon_enough(
    spec: str, agent: str | None
) -> None:
    found = plan.lighter(world(spec), Wish(AGENT), AGENTS)
    assert (found.agent.name if found is not None else None) == agent
    assert found is None or found.pick.pickable


def test_nobody_is_lighter_than_the_lightest() -> None:
    assert plan.lighter(world("ram=64GiB,gpu=RTX 4090:24GiB"), Wish(SMALL), AGENTS) is None


def test_every_way_out_is_named_where_nothing_fits() -> None:
    here = world("ram=2GiB")
    choice = plan.choose_model(here, Wish(AGENT))
    assert choice.pick is None
    memory, elsewhere = plan.ways_out(here, choice, Wish(AGENT))
    assert choice.nearest_miss is not None
    assert memory.endswith(f"for {choice.nearest_miss.id}")
    assert " GiB more memory" in memory
    assert "agentlaunch up claude-code --engine URL" in elsewhere


def test_what_lacks_least_is_shown_first() -> None:
    from agentlaunch.models import choose

    choice = plan.choose_model(world("ram=2GiB"), Wish(AGENT))
    rows = choose.misses(choice.candidates)
    lacks = [-(row.fit.headroom_bytes or 0) for row in rows]
    assert lacks == sorted(lacks)
    assert lacks[0] > 0
    assert choice.nearest_miss is not None
    assert rows[0].id == choice.nearest_miss.id
    assert all(row.status != "unsuitable" and row.tools for row in rows)
