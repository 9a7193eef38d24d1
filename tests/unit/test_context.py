"""The context contract: tiers at their boundaries, the output cap, the compaction point."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlaunch.agents.claude_code import AGENT
from agentlaunch.context import (
    PAD_TOKENS,
    WORK_TOKENS,
    ContextPlan,
    Tier,
    make_context,
    output_cap,
    padded,
)

FULL = Tier("full", (), 24, headless_tokens=18_000, interactive_tokens=21_000)
SLIM = Tier("slim", ("--tools=Read",), 6, headless_tokens=5_000, interactive_tokens=6_000)
BARE = Tier("bare", ("--bare",), 1, headless_tokens=1_000, interactive_tokens=2_000)
TIERS = (FULL, SLIM, BARE)
RULE = AGENT.compaction


def _need(tier: Tier) -> int:
    return tier.interactive_tokens + WORK_TOKENS


def test_the_whole_contract_of_a_usual_window() -> None:
    assert make_context(TIERS, RULE, 65_536, kv_cache_type="q8_0") == ContextPlan(
        engine_tokens=65_536,
        agent_window_tokens=65_536,
        compact_at_tokens=65_536 - 8_192 - 13_000,
        max_output_tokens=8_192,
        kv_cache_type="q8_0",
        tier=FULL,
        slim=False,
        warning=None,
    )


@pytest.mark.parametrize("tier", [*TIERS, *AGENT.tiers])
def test_a_tier_is_allowed_from_its_smallest_window_on_and_not_below(tier: Tier) -> None:
    smallest = tier.min_context_tokens(RULE)
    assert smallest % 1024 == 0
    at = make_context((tier,), RULE, smallest)
    assert at.warning is None
    assert at.compact_at_tokens is not None
    assert at.compact_at_tokens >= _need(tier)
    assert make_context((tier,), RULE, smallest - 1024).warning is not None


@pytest.mark.parametrize(
    ("tokens", "tier"),
    [
        (FULL.min_context_tokens(RULE), FULL),
        (FULL.min_context_tokens(RULE) - 1024, SLIM),
        (SLIM.min_context_tokens(RULE), SLIM),
        (SLIM.min_context_tokens(RULE) - 1024, BARE),
        (BARE.min_context_tokens(RULE), BARE),
    ],
)
def test_the_largest_tier_that_the_window_carries_is_taken(tokens: int, tier: Tier) -> None:
    made = make_context(TIERS, RULE, tokens)
    assert (made.tier, made.slim, made.warning) == (tier, tier is not FULL, None)


def test_claude_code_starts_slim_at_32k_and_whole_at_64k() -> None:
    assert make_context(AGENT.tiers, RULE, 32_768).tier.name == "slim"
    assert make_context(AGENT.tiers, RULE, 65_536).tier.name == "full"


def test_a_window_that_carries_no_tier_gets_the_smallest_and_a_warning() -> None:
    made = make_context(TIERS, RULE, 8_192)
    assert made.tier == BARE
    assert made.compact_at_tokens is None  # the agent could not compact: it is switched off
    assert made.warning == (
        "a context of 8,192 tokens is small for this agent: its first request takes about 2,000; "
        f"have {BARE.min_context_tokens(RULE):,} or more"
    )


def test_slim_off_keeps_the_full_prompt_and_warns_where_it_is_tight() -> None:
    made = make_context(TIERS, RULE, 32_768, slim="off")
    assert (made.tier, made.slim) == (FULL, False)
    assert f"have {FULL.min_context_tokens(RULE):,} or more" in (made.warning or "")


def test_slim_on_takes_the_next_tier_even_in_a_large_window() -> None:
    assert make_context(TIERS, RULE, 262_144, slim="on").tier == SLIM
    assert make_context(TIERS, RULE, 8_192, slim="on").tier == BARE
    assert make_context((FULL,), RULE, 262_144, slim="on").tier == FULL


def test_compaction_is_on_as_long_as_it_would_leave_room_for_a_turn() -> None:
    tokens = 24_576  # compacts at 8,504: above 7,000, below 14,000
    made = make_context((SLIM,), RULE, tokens)
    assert made.warning is not None
    assert made.compact_at_tokens == RULE.point(tokens, output_cap(tokens)) == 8_504


@pytest.mark.parametrize(
    ("window", "cap"),
    [
        (1, 1_024),
        (8_191, 1_024),
        (8_200, 1_025),
        (65_536, 8_192),
        (256_000, 32_000),
        (10**6, 32_000),
    ],
)
def test_one_reply_is_an_eighth_of_the_window_within_bounds(window: int, cap: int) -> None:
    assert output_cap(window) == cap


def test_the_users_lower_cap_on_a_reply_counts_and_a_higher_one_does_not() -> None:
    assert make_context(TIERS, RULE, 65_536, output_limit_tokens=2_000).max_output_tokens == 2_000
    assert make_context(TIERS, RULE, 65_536, output_limit_tokens=2_000).compact_at_tokens == 50_536
    assert make_context(TIERS, RULE, 65_536, output_limit_tokens=64_000).max_output_tokens == 8_192


def test_more_than_twenty_thousand_output_tokens_reserve_no_more() -> None:
    """Claude Code 2.1.197 compacts at window - min(output, 20,000) - 13,000."""
    assert RULE.point(262_144, 32_000) == 262_144 - 33_000


@pytest.mark.parametrize(
    ("asked", "allocated"), [(1, 256), (256, 256), (257, 512), (32_768, 32_768), (33_000, 33_024)]
)
def test_the_engine_allocates_whole_multiples(asked: int, allocated: int) -> None:
    assert padded(asked) == allocated
    assert allocated % PAD_TOKENS == 0


@given(
    tokens=st.integers(1, 2_000_000),
    slim=st.sampled_from(("auto", "on", "off")),
    limit=st.none() | st.integers(1, 200_000),
    sizes=st.lists(st.integers(0, 60_000), min_size=1, max_size=4),
)
def test_the_contract_holds_for_every_window(
    tokens: int, slim: str, limit: int | None, sizes: list[int]
) -> None:
    tiers = tuple(Tier(str(n), (), 1, n, n) for n in sorted(sizes, reverse=True))
    made = make_context(tiers, RULE, tokens, slim=slim, output_limit_tokens=limit)
    assert made.engine_tokens == tokens >= made.agent_window_tokens
    assert 0 < made.max_output_tokens <= made.agent_window_tokens
    assert made.tier in tiers
    if made.warning is None:
        assert made.compact_at_tokens is not None
    if made.compact_at_tokens is not None:
        assert made.tier.interactive_tokens < made.compact_at_tokens < made.agent_window_tokens
        assert made.compact_at_tokens + made.max_output_tokens <= made.agent_window_tokens
