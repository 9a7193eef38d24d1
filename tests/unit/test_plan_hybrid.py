"""A plan over several endpoints: chains, the window, what is said of where code goes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from agentlaunch import plan
from agentlaunch.agents.claude_code import AGENT
from agentlaunch.engines.remote import ALL_WIRES, RemoteFacts, RemoteModel
from agentlaunch.gateway.package import PACKAGE
from agentlaunch.gateway.routes import Word
from agentlaunch.machine.facts import Machine
from agentlaunch.models.catalog import Catalog
from agentlaunch.models.prices import Price
from agentlaunch.plan import Hybrid, Install, LaunchPlan, Places, PlannedHop, Wish
from agentlaunch.survey import AgentState, Survey

MACHINE = Machine("linux", "x86_64", None, 2, None, None, None, None, False, False)
PLACES = Places(Path("/run/agentlaunch"), Path("/homes"), "1-2", {"OPENAI_API_KEY": "canary"})
HERE = AgentState(AGENT, Path("/usr/bin/claude"), "2.1.197", managed=False)
SURVEY = Survey(MACHINE, (), {AGENT.name: HERE}, Catalog(()), (), False)


def hop(name: str, url: str, model: str, tokens: int, **more: Any) -> PlannedHop:
    facts = RemoteFacts(url, "vllm", ALL_WIRES, (RemoteModel(model, tokens),), key="secret-key")
    return PlannedHop(Word(name), model, tokens, remote=facts, **more)


HOSTED = hop("hosted", "http://gpu.lan:8000", "big", 131_072)
NEAR = hop("vllm", "http://127.0.0.1:8000", "near", 65_536)


def make(hybrid: Hybrid, **wish: Any) -> LaunchPlan:
    return plan.make_hybrid(SURVEY, replace(Wish(AGENT), **wish), PLACES, hybrid, package=PACKAGE)


def test_one_model_at_two_sizes_is_two_endpoints() -> None:
    large, small = (
        replace(HOSTED, word=Word("ollama", "qwen3.5:9b", tokens), context_tokens=tokens)
        for tokens in (32_768, 8_192)
    )
    assert Hybrid({"main": (large,), "small": (small,)}).hops == (large, small)


def settings_env(made: LaunchPlan) -> dict[str, str]:
    (file,) = made.handover.files
    env: dict[str, str] = json.loads(file.content)["env"]
    return env


def test_the_agent_is_told_the_gateways_names_and_the_largest_window_of_its_main_chain() -> None:
    made = make(Hybrid({"main": (NEAR, HOSTED), "small": (NEAR,)}))
    assert (made.engine, made.url) == ("gateway", None)
    assert made.context.engine_tokens == 131_072
    assert made.handover.argv[-2:] == ("--model", "al-main")
    env = settings_env(made)
    assert env["ANTHROPIC_DEFAULT_OPUS_MODEL"] == "al-main"
    assert env["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "al-small"
    assert "smaller-window" in dict(made.warnings)


def test_without_a_small_chain_everything_is_the_main_model() -> None:
    env = settings_env(make(Hybrid({"main": (HOSTED, NEAR)})))
    assert env["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "al-main"


def test_helpers_go_along_the_small_chain_where_the_settings_say_so() -> None:
    env = settings_env(make(Hybrid({"main": (HOSTED,), "small": (NEAR,)}, subagent="small")))
    assert env["CLAUDE_CODE_SUBAGENT_MODEL"] == "al-small"


def test_every_host_that_is_not_this_machine_is_named_and_no_key_is_shown() -> None:
    made = make(Hybrid({"main": (HOSTED, NEAR)}))
    told = [text for code, text in made.warnings if code == "remote-engine"]
    assert len(told) == 1
    assert "http://gpu.lan:8000" in told[0]
    assert "secret-key" not in repr(made.handover.files)
    assert "secret-key" not in str(made.handover)


def test_the_router_is_a_step_and_nothing_is_read_before_who_answers_is_known() -> None:
    made = make(Hybrid({"main": (HOSTED, NEAR)}), proof_limit_s=60.0, warm_start=True)
    kinds = [step.kind for step in made.steps]
    assert kinds == ["install", "start-engine", "prove", "hand-over"]
    assert made.steps[0] == Install(PACKAGE)


def test_an_endpoint_that_is_down_and_a_price_that_is_not_known_are_said() -> None:
    managed = RemoteFacts(
        "https://openrouter.ai/api", "openrouter", ALL_WIRES, (RemoteModel("a/b", 200_000),)
    )
    rows = Hybrid(
        {
            "main": (
                replace(HOSTED, answers=False),
                PlannedHop(Word("openrouter", "a/b"), "a/b", 200_000, remote=managed),
            )
        },
        cap_usd=5.0,
        cap_origin="/etc/agentlaunch/config.toml",
    )
    made = make(rows)
    codes = [code for code, _text in made.warnings]
    assert "endpoint-down" in codes
    assert "price-unknown" in codes
    assert "managed calls end for the day at $5.00 (/etc/agentlaunch/config.toml)" in made.because
    priced = replace(rows.chains["main"][1], price=Price(1.0, 4.0, source="a list of 2026-11"))
    told = make(replace(rows, chains={"main": (rows.chains["main"][0], priced)}))
    assert "price-unknown" not in dict(told.warnings)
    assert any("$1 a million tokens in, $4 out (a list of 2026-11)" in row for row in told.because)
