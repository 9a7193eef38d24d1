"""A plan on somebody else's server: how much of its context is taken, and what is said of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentlaunch import plan
from agentlaunch.agents.base import UNSET
from agentlaunch.agents.claude_code import AGENT
from agentlaunch.endpoint import Wire
from agentlaunch.engines.presets import ALL, PRESETS, Kind
from agentlaunch.engines.remote import ALL_WIRES, RemoteFacts, RemoteModel
from agentlaunch.errors import NotSupported, UsageError
from agentlaunch.machine.facts import Machine
from agentlaunch.models.catalog import Catalog
from agentlaunch.plan import LaunchPlan, Places, Wish
from agentlaunch.survey import AgentState, Survey

MACHINE = Machine("linux", "x86_64", None, 2, None, None, None, None, False, False)
PLACES = Places(Path("/run/agentlaunch"), Path("/homes"), "1-2", {"ANTHROPIC_API_KEY": "canary"})


def make(facts: RemoteFacts, **wish: Any) -> LaunchPlan:
    here = AgentState(AGENT, Path("/usr/bin/claude"), "2.1.197", managed=False)
    survey = Survey(MACHINE, (), {AGENT.name: here}, Catalog(()), (), False)
    return plan.make_plan(survey, replace(Wish(AGENT), **wish), PLACES, remote=facts)


def anthropic(tokens: int) -> RemoteFacts:
    preset = PRESETS["anthropic"]
    models = (RemoteModel("claude-big-5", tokens, tools=True),)
    return RemoteFacts(preset.address, "anthropic", preset.wires, models, token_header="x-api-key")


def settings_env(made: LaunchPlan) -> dict[str, str]:
    (file,) = made.handover.files
    env: dict[str, str] = json.loads(file.content)["env"]
    return env


@pytest.mark.parametrize(
    ("told", "asked", "taken"),
    [
        (1_000_000, None, 200_000),
        (1_000_000, 500_000, 500_000),
        (200_000, None, 200_000),
        (200_000, 1_000_000, 200_000),
        (100_000, None, 100_000),
    ],
)
def test_more_than_the_usual_context_of_anthropic_is_only_taken_on_request(
    told: int, asked: int | None, taken: int
) -> None:
    made = make(anthropic(told), context_tokens=asked)
    assert made.context.agent_window_tokens == taken
    assert settings_env(made)["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == str(taken)
    assert not made.context.slim


def test_a_key_for_anthropic_is_handed_over_as_its_own_variable_alone() -> None:
    made = make(anthropic(200_000), args=("-p", "hi"))
    env = settings_env(made)
    assert env["ANTHROPIC_BASE_URL"] == "https://api.anthropic.com"
    assert (env["ANTHROPIC_API_KEY"], env["ANTHROPIC_AUTH_TOKEN"]) == ("***", "")
    assert env["ANTHROPIC_CUSTOM_HEADERS"] == ""
    assert made.handover.env["ANTHROPIC_API_KEY"] == "***"
    assert made.handover.env["ANTHROPIC_AUTH_TOKEN"] is UNSET
    assert "agent-asks" not in dict(made.warnings)
    assert "agent-asks" in dict(make(anthropic(200_000)).warnings)


@pytest.mark.parametrize("preset", [row for row in ALL if row.hosted], ids=lambda row: row.name)
def test_a_companys_service_is_named_with_what_becomes_of_the_code(preset: object) -> None:
    row = next(each for each in ALL if each is preset)
    facts = RemoteFacts(row.address, row.kind, ALL_WIRES, (RemoteModel("m", 65_536),))
    text = dict(make(facts).warnings)["remote-engine"]
    assert "your code leaves this machine" in text
    assert row.note in text


@pytest.mark.parametrize(("key", "code"), [("", "code-in-clear"), ("k", "key-in-clear")])
def test_what_travels_unencrypted_is_said(key: str, code: str) -> None:
    models = (RemoteModel("m", 65_536),)
    plain = make(RemoteFacts("http://10.0.0.2:8000", "vllm", ALL_WIRES, models, key))
    assert code in dict(plain.warnings)
    secure = make(RemoteFacts("https://10.0.0.2:8000", "vllm", ALL_WIRES, models, key))
    assert [name for name, _text in secure.warnings] == ["remote-engine"]
    here = make(RemoteFacts("http://127.0.0.1:8000", "vllm", ALL_WIRES, models, key))
    assert here.warnings == ()


def test_an_ollama_by_its_address_is_pointed_to_its_own_engine() -> None:
    url = "http://127.0.0.1:11434"
    way = f"OLLAMA_HOST={url} agentlaunch up --engine ollama"
    unknown = RemoteFacts(url, "ollama", ALL_WIRES, (RemoteModel("m", None, loaded=False),))
    with pytest.raises(UsageError) as caught:
        make(unknown)
    assert way in (caught.value.hint or "")
    held = RemoteFacts(url, "ollama", ALL_WIRES, (RemoteModel("m", 65_536, loaded=True),))
    assert way in dict(make(held).warnings)["ollama-by-url"]


@pytest.mark.parametrize("preset", ALL, ids=lambda row: row.name)
def test_a_context_that_is_not_told_has_a_way_out_for_each_server(preset: object) -> None:
    row = next(each for each in ALL if each is preset)
    facts = RemoteFacts(row.address, row.kind, ALL_WIRES, (RemoteModel("m", None),))
    with pytest.raises(UsageError, match="context of m") as caught:
        make(facts)
    assert (caught.value.exit_code, caught.value.code) == (2, "needs-context")
    assert "--context" in (caught.value.hint or "")


def test_a_model_that_takes_no_tools_is_said_before_the_launch() -> None:
    models = (RemoteModel("m", 65_536, tools=False),)
    facts = RemoteFacts("http://127.0.0.1:8080", "llama.cpp", ALL_WIRES, models)
    assert "--skip-proof" in dict(make(facts).warnings)["template-ignores-tools"]


def test_a_wire_below_another_folder_becomes_the_agents_address() -> None:
    bases: tuple[tuple[Wire, str], ...] = (("anthropic_messages", "http://127.0.0.1:12434/deep"),)
    facts = RemoteFacts(
        "http://127.0.0.1:12434", "docker-model-runner", ALL_WIRES,
        (RemoteModel("m", 65_536),), bases=bases,
    )  # fmt: skip
    assert settings_env(make(facts))["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:12434/deep"


@pytest.mark.parametrize(
    ("kind", "words"), [("openai", "LiteLLM"), ("unknown", "LiteLLM"), ("lm-studio", "0.4.1")]
)
def test_a_missing_wire_has_a_way_out(kind: Kind, words: str) -> None:
    models = (RemoteModel("m", 65_536),)
    facts = RemoteFacts("http://127.0.0.1:1", kind, ("openai_chat",), models)
    with pytest.raises(NotSupported) as caught:
        make(facts)
    assert words in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("server", "own", "asked"),
    [(None, None, 8_192), (4_096, None, 4_096), (4_096, 2_048, 2_048), (32_000, None, 8_192)],
)
def test_a_reply_is_never_asked_to_be_longer_than_the_server_allows(
    server: int | None, own: int | None, asked: int
) -> None:
    models = (RemoteModel("m", 65_536, max_output_tokens=server),)
    made = make(RemoteFacts("http://127.0.0.1:1", "unknown", ALL_WIRES, models),
                output_limit_tokens=own)  # fmt: skip
    assert made.context.max_output_tokens == asked
