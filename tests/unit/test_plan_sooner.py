"""Ways to a sooner first word, an agent for a small window, and how long an agent waits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agentlaunch import plan
from agentlaunch.agents.claude_code import AGENT
from agentlaunch.agents.surroundings import PATIENCE_S, patience_s
from agentlaunch.endpoint import Wire
from agentlaunch.engines.remote import ALL_WIRES, RemoteFacts, RemoteModel
from agentlaunch.errors import EngineFailed
from agentlaunch.machine.facts import Machine
from agentlaunch.models.catalog import Catalog
from agentlaunch.plan import LaunchPlan, Places, Wish, sooner
from agentlaunch.plan.lighter import lighter_in
from agentlaunch.survey import AgentState, Survey

PLACES = Places(Path("/run/agentlaunch"), Path("/homes"), "1-2", {})
URL = "http://127.0.0.1:8000"


def make(tokens: int, wish: Wish) -> LaunchPlan:
    machine = Machine("linux", "x86_64", None, 2, None, None, None, None, False, False)
    here = AgentState(AGENT, Path("/usr/bin/claude"), "2.1.197", managed=False)
    facts = RemoteFacts(URL, "vllm", ALL_WIRES, (RemoteModel("m", tokens),))
    survey = Survey(machine, (), {AGENT.name: here}, Catalog(()), (), False)
    return plan.make_plan(survey, wish, PLACES, remote=facts)


def test_a_slimmer_prompt_is_proposed_with_its_seconds_beyond_the_limit_alone() -> None:
    made = make(65_536, Wish(AGENT))
    full, slim = (row.interactive_tokens for row in AGENT.tiers[:2])
    assert sooner.proposals(made, lambda tokens: tokens / 100, 60) == (("--slim on", slim / 100),)
    assert sooner.proposals(made, lambda tokens: tokens / 100, full / 100) == ()
    assert sooner.proposals(made, lambda _tokens: None, 60) == ()
    headless = make(65_536, Wish(AGENT, args=("-p", "hi")))
    (way,) = sooner.proposals(headless, lambda tokens: tokens / 100, 60)
    assert way == ("--slim on", AGENT.tiers[1].headless_tokens / 100)


def test_nothing_slimmer_is_proposed_where_the_slim_prompt_is_sent() -> None:
    assert sooner.proposals(make(65_536, Wish(AGENT, slim="on")), float, 60) == ()


def test_a_window_too_small_for_every_prompt_names_the_lighter_agent_with_its_figures() -> None:
    tokens = AGENT.min_context_tokens - 1_024
    other = lighter_in(tokens, ALL_WIRES, Wish(AGENT))
    assert other is not None
    assert other.min_context_tokens <= tokens
    with pytest.raises(EngineFailed) as caught:
        make(tokens, Wish(AGENT))
    assert (caught.value.exit_code, caught.value.code) == (6, "context-too-small")
    way = f"`agentlaunch up {other.name} --engine {URL}`"
    assert way in (caught.value.hint or "")
    assert f"{other.min_context_tokens:,} tokens" in (caught.value.hint or "")
    # Asked for all the same, it is a warning that says the same.
    text = dict(make(tokens, Wish(AGENT, model="m")).warnings)["small-context"]
    assert f"agentlaunch up {other.name}" in text


def test_an_agent_is_only_named_where_the_server_speaks_its_wire() -> None:
    wires: tuple[Wire, ...] = ("openai_chat",)
    only = lighter_in(24_000, wires, Wish(AGENT))
    assert only is not None
    assert "openai_chat" in only.wires
    assert lighter_in(24_000, (), Wish(AGENT)) is None
    assert lighter_in(24_000, ALL_WIRES, Wish(AGENT), (replace(AGENT, local=False),)) is None


@pytest.mark.parametrize(
    ("promise_s", "waits_s"), [(None, PATIENCE_S), (40.0, PATIENCE_S), (2_400.0, 7_200)]
)
def test_an_agent_waits_three_times_the_promise_and_half_an_hour_at_least(
    promise_s: float | None, waits_s: int
) -> None:
    assert patience_s(promise_s) == waits_s
    made = make(65_536, Wish(AGENT))
    state, endpoint = made.agent, made.remote
    assert endpoint is not None
    given = plan.handover(
        made.wish,
        state,
        endpoint.endpoint("m", "anthropic_messages", ""),
        made.context,
        PLACES,
        first_word_s=promise_s,
    )
    assert given.env["API_TIMEOUT_MS"] == str(1000 * waits_s)
