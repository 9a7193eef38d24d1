"""OpenHands: a private settings folder routes it and shares what is the users own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.agents import find
from agentlaunch.agents.base import UNSET
from agentlaunch.agents.keys import PROVIDER_KEYS
from agentlaunch.agents.openhands import AGENT, is_headless, prepare
from agentlaunch.errors import UsageError
from recorded_handover import (
    TOKEN,
    Places,
    target,
)

PLACES = Places()


def launch(*args: str, **changes: Any) -> Any:
    return prepare(target("openhands", PLACES, *args, **changes))


def test_no_secret_is_an_argument_and_no_real_key_is_inherited() -> None:
    handover = launch(environ={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "HOME": "/home/u"})
    assert not any(TOKEN in word for word in handover.argv)
    ours = {"OPENAI_API_KEY"}
    assert {handover.env[name] for name in PROVIDER_KEYS if name not in ours} == {UNSET}
    assert handover.env["OTEL_EXPORTER_OTLP_ENDPOINT"] in (UNSET, "")


@pytest.mark.parametrize("word", ["--override-with-envs", "cloud", "login"])
def test_an_argument_that_would_leave_the_launch_is_refused(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        launch(word, "value")
    assert caught.value.code == "reserved-argument"


@pytest.mark.parametrize("args", [("--headless", "-t", "hi")])
def test_one_prompt_is_headless(args: tuple[str, ...]) -> None:
    assert is_headless(args)


@pytest.mark.parametrize("args", [(), ("-t", "hi"), ("--", "--headless")])
def test_a_session_is_not(args: tuple[str, ...]) -> None:
    assert not is_headless(args)


@pytest.mark.parametrize("name", ["openhands", "openhands-cli"])
def test_it_is_found_by_its_names(name: str) -> None:
    assert find(name) is AGENT


def settings_of(**changes: Any) -> dict[str, Any]:
    (file,) = launch(**changes).files
    value: dict[str, Any] = json.loads(file.content)
    return value


def test_the_condenser_uses_the_same_model_and_begins_before_the_window_is_full() -> None:
    condenser = settings_of()["condenser"]
    assert condenser["max_tokens"] == target("openhands", PLACES).context.compact_at_tokens
    assert condenser["llm"] == settings_of()["llm"] | {"usage_id": "condenser"}


def test_without_room_to_compact_it_counts_messages_alone() -> None:
    context = dataclasses.replace(target("openhands", PLACES).context, compact_at_tokens=None)
    assert "max_tokens" not in settings_of(context=context)["condenser"]


def test_a_model_that_must_not_think_is_told_so() -> None:
    assert settings_of(thinking_off=True)["llm"]["reasoning_effort"] == "none"


def test_conversations_and_mcp_servers_are_the_users_own() -> None:
    handover = launch()
    (link,) = handover.links
    assert link.to == Path("/home/u/.openhands/mcp.json")
    assert handover.env["OPENHANDS_CONVERSATIONS_DIR"] == "/home/u/.openhands/conversations"


def test_a_project_can_set_no_address_for_traces() -> None:
    env = launch().env
    assert {env[name] for name in env if name.startswith(("OTEL_", "LMNR_"))} == {""}
