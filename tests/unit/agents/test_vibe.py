"""Mistral Vibe: variables route it, whatever its files and profiles say."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from agentlaunch.agents import find
from agentlaunch.agents.base import UNSET
from agentlaunch.agents.keys import PROVIDER_KEYS
from agentlaunch.agents.vibe import AGENT, is_headless, prepare
from agentlaunch.endpoint import Endpoint
from agentlaunch.errors import UsageError
from recorded_handover import (
    MODEL,
    TOKEN,
    Places,
    target,
)

PLACES = Places()


def launch(*args: str, **changes: Any) -> Any:
    return prepare(target("vibe", PLACES, *args, **changes))


def test_no_secret_is_an_argument_and_no_real_key_is_inherited() -> None:
    handover = launch(environ={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "HOME": "/home/u"})
    assert not any(TOKEN in word for word in handover.argv)
    ours = {"OPENAI_API_KEY"}
    assert {handover.env[name] for name in PROVIDER_KEYS if name not in ours} == {UNSET}
    assert handover.env["OTEL_EXPORTER_OTLP_ENDPOINT"] in (UNSET, "")


@pytest.mark.parametrize("word", ["--workdir", "--setup", "update", "mcp"])
def test_an_argument_that_would_leave_the_launch_is_refused(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        launch(word, "value")
    assert caught.value.code == "reserved-argument"


@pytest.mark.parametrize(
    "args", [("-p", "hi"), ("-phi",), ("--prompt=hi",), ("--prompt-file", "x")]
)
def test_one_prompt_is_headless(args: tuple[str, ...]) -> None:
    assert is_headless(args)


@pytest.mark.parametrize("args", [(), ("hi",), ("--resume",), ("--", "-p")])
def test_a_session_is_not(args: tuple[str, ...]) -> None:
    assert not is_headless(args)


@pytest.mark.parametrize("name", ["vibe", "Mistral-Vibe"])
def test_it_is_found_by_its_names(name: str) -> None:
    assert find(name) is AGENT


def test_without_room_to_compact_it_is_told_never_to() -> None:
    context = dataclasses.replace(target("vibe", PLACES).context, compact_at_tokens=None)
    (model,) = json.loads(str(launch(context=context).env["VIBE_MODELS"]))
    assert model["auto_compact_threshold"] == 0


def test_a_model_that_must_not_think_is_told_so() -> None:
    (model,) = json.loads(str(launch(thinking_off=True).env["VIBE_MODELS"]))
    assert model["thinking"] == "off"


def test_stale_settings_of_the_shell_are_taken_away_whatever_their_case() -> None:
    environ = {"vibe_active_model": "x", "VIBE_TTS_PROVIDERS": "[]", "VIBE_HOME": "/v"}
    env = launch(environ=environ).env
    assert (env["vibe_active_model"], env["VIBE_TTS_PROVIDERS"]) == (UNSET, UNSET)
    assert "VIBE_HOME" not in env


def test_a_clean_home_is_a_folder_of_ours() -> None:
    assert launch(home="clean").env["VIBE_HOME"] == "/home/u/clean"


def test_another_host_keeps_the_users_proxies() -> None:
    endpoint = Endpoint("https://models.example", ("openai_chat",), MODEL, TOKEN)
    assert "NO_PROXY" not in launch(endpoint=endpoint).env


@pytest.mark.parametrize(
    ("lists", "trusted"),
    [
        ({"trusted": ["/home/u"]}, True),
        ({"trusted": ["/home/u"], "untrusted": ["/home/u/project"]}, False),
        ({"trusted": ["/home/u/other"]}, False),
        ({"trusted": "/home/u"}, False),
        ({}, False),
    ],
)
def test_the_closest_decision_says_whether_a_folder_is_trusted(
    lists: dict[str, Any], trusted: bool
) -> None:
    assert AGENT.trust is not None
    assert AGENT.trust.trusts(lists, "/home/u/project") is trusted
