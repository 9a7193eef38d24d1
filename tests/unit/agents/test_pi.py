"""Pi: an extension of ours routes one run, whatever the user's settings and the project's say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.agents.base import UNSET, Handover
from agentlaunch.agents.keys import PROVIDER_KEYS
from agentlaunch.agents.pi import AGENT, EXTENSION, is_headless, prepare
from agentlaunch.changes.edit import SetKeys
from agentlaunch.context import make_context
from agentlaunch.endpoint import Endpoint, Wire
from agentlaunch.errors import UsageError
from recorded_handover import MODEL, RUN, TOKEN, Places, target

PLACES = Places()
URL = PLACES.engine
FILES = Path(PLACES.runtime) / f"pi-{RUN}"
OWN = "agentlaunch-deccf6a4"
"""The provider's name for the home of these tests."""


def launch(*args: str, **changes: Any) -> Handover:
    return prepare(target("pi", PLACES, *args, **changes))


def told(handover: Handover) -> dict[str, Any]:
    """What the extension reads."""
    extension, said = handover.files
    assert extension.path == FILES.with_suffix(".mjs")
    assert said.path == FILES.with_suffix(".json")
    assert extension.content.decode() == EXTENSION
    value = json.loads(said.content)
    assert isinstance(value, dict)
    return value


def test_the_extension_provider_and_model_stand_before_what_the_user_wrote() -> None:
    handover = launch("-p", "Say hello")

    assert handover.argv == (
        *(PLACES.binary, "-e", f"{FILES}.mjs", "--provider", OWN, "--model", MODEL),
        *("--models", f"{OWN}/*", "-p", "Say hello"),
    )


def test_the_extension_is_told_all_of_the_model_and_when_it_compacts() -> None:
    context = make_context(AGENT.tiers, AGENT.compaction, 32_768)

    assert told(launch("-p", "hi", context=context)) == {
        "provider": OWN,
        "config": {
            "name": "agentlaunch",
            "baseUrl": f"{URL}/v1",
            "api": "openai-completions",
            "apiKey": TOKEN,
            "models": [
                {
                    "id": MODEL,
                    "name": MODEL,
                    "reasoning": False,
                    "input": ["text"],
                    "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
                    "contextWindow": 32_768,
                    "maxTokens": 4_096,
                    "compat": {
                        "supportsStore": False,
                        "supportsDeveloperRole": False,
                        "supportsReasoningEffort": False,
                        "maxTokensField": "max_tokens",
                    },
                }
            ],
        },
        "compaction": {"enabled": True, "reserveTokens": 6_096, "keepRecentTokens": 4_096},
        "keeps_no_copy": True,
        "patience_ms": 1_800_000,
        "extra": None,
    }


def test_a_window_that_is_too_small_switches_compaction_off() -> None:
    context = make_context(AGENT.tiers, AGENT.compaction, 4_096)

    compaction = told(launch(context=context))["compaction"]

    assert context.compact_at_tokens is None
    assert (compaction["enabled"], compaction["reserveTokens"]) == (False, 0)


@pytest.mark.parametrize(
    ("wire", "api", "address", "extra"),
    [
        (
            "openai_chat",
            "openai-completions",
            f"{URL}/v1",
            {"chat_template_kwargs": {"enable_thinking": False}},
        ),
        (
            "openai_responses",
            "openai-responses",
            f"{URL}/v1",
            {"reasoning": {"effort": "none"}},
        ),
        ("anthropic_messages", "anthropic-messages", URL, {"thinking": {"type": "disabled"}}),
    ],
)
def test_each_wire_has_its_own_api_address_and_word_against_thinking(
    wire: Wire, api: str, address: str, extra: dict[str, Any]
) -> None:
    said = told(launch(endpoint=Endpoint(URL, (wire,), MODEL), thinking_off=True))

    config = said["config"]
    assert (config["api"], config["baseUrl"], said["extra"]) == (api, address, extra)
    assert config["apiKey"] == "agentlaunch"
    assert config.get("authHeader", False) is (wire == "anthropic_messages")


@pytest.mark.parametrize(
    ("key", "written"), [("!rm -rf /", "$!rm -rf /"), ("a$HOME", "a$$HOME"), ("plain", "plain")]
)
def test_a_key_is_never_a_command_or_a_variable(key: str, written: str) -> None:
    said = told(launch(endpoint=Endpoint(URL, ("openai_chat",), MODEL, key)))

    assert said["config"]["apiKey"] == written


def test_no_secret_is_in_arguments_environment_or_program() -> None:
    handover = launch(environ={"HOME": PLACES.home, "PI_EXPERIMENTAL": "1", "PI_TRUE_COLOR": "1"})

    assert TOKEN not in " ".join(handover.argv) + EXTENSION
    assert TOKEN not in {value for value in handover.env.values() if value is not UNSET}
    unset = {name for name, value in handover.env.items() if value is UNSET}
    assert unset == {*PROVIDER_KEYS, "PI_EXPERIMENTAL"}
    assert {name: value for name, value in handover.env.items() if value is not UNSET} == {
        "PI_OFFLINE": "1",
        "PI_SKIP_VERSION_CHECK": "1",
        "PI_TELEMETRY": "0",
        "JITI_FS_CACHE": "false",
        "NO_PROXY": "127.0.0.1,localhost,::1,127.0.0.1:8080",
        "no_proxy": "127.0.0.1,localhost,::1,127.0.0.1:8080",
    }


def test_the_users_own_word_about_compiled_copies_stays() -> None:
    handover = launch(environ={"HOME": PLACES.home, "JITI_FS_CACHE": "true"})

    assert "JITI_FS_CACHE" not in handover.env
    assert told(handover)["keeps_no_copy"] is False


def test_the_users_folder_stays_and_a_clean_home_is_ours() -> None:
    assert "PI_CODING_AGENT_DIR" not in launch(environ={"PI_CODING_AGENT_DIR": "/mine"}).env

    clean = launch(home="clean", environ={"PI_CODING_AGENT_SESSION_DIR": "/mine"}).env
    assert clean["PI_CODING_AGENT_DIR"] == f"{PLACES.home}/clean"
    assert clean["PI_CODING_AGENT_SESSION_DIR"] is UNSET


@pytest.mark.parametrize(
    "args",
    [
        ("--model", "x"),
        ("--provider=x",),
        ("--models", "x"),
        ("--api-key", "k"),
        ("install", "npm:x"),
        ("update",),
        ("config",),
        ("auth", "print-api-key"),
    ],
)
def test_what_would_leave_the_launch_is_refused(args: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="leave this launch"):
        launch(*args)


@pytest.mark.parametrize(
    ("args", "headless"),
    [
        (("-p", "hi"), True),
        (("--continue", "--print", "hi"), True),
        (("--mode", "json", "hi"), True),
        (("--mode", "rpc"), True),
        (("--mode", "text", "hi"), False),
        (("hi",), False),
        (("--", "-p"), False),
    ],
)
def test_printing_and_protocols_are_headless(args: tuple[str, ...], headless: bool) -> None:
    assert is_headless(args) is headless


@pytest.mark.parametrize(
    ("saved", "trusted"),
    [
        ({"/home/u/project": True}, True),
        ({"/home/u": True}, True),
        ({"/home/u": True, "/home/u/project": False}, False),
        ({"/home/u/project/below": True}, False),
        ({"/home/u/project": "yes"}, False),
        ({}, False),
    ],
)
def test_the_nearest_folder_says_whether_it_is_trusted(
    saved: dict[str, Any], trusted: bool
) -> None:
    assert AGENT.trust is not None
    assert AGENT.trust.trusts(saved, "/home/u/project") is trusted


def test_a_plain_start_gets_a_provider_of_its_own_and_the_key_by_its_name() -> None:
    assert AGENT.configure is not None

    models, settings = AGENT.configure(target("pi", PLACES))

    assert isinstance(models, SetKeys)
    assert isinstance(settings, SetKeys)
    folder = Path(PLACES.home) / ".pi/agent"
    assert (models.path, settings.path) == (folder / "models.json", folder / "settings.json")
    ours: Any = models.values["providers", "agentlaunch"]
    assert (ours["apiKey"], ours["baseUrl"]) == ("$AGENTLAUNCH_ENGINE_KEY", f"{URL}/v1")
    assert settings.values == {
        ("defaultProvider",): "agentlaunch",
        ("defaultModel",): MODEL,
    }
