import json
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.agents import find
from agentlaunch.agents.base import UNSET, Handover, Target
from agentlaunch.agents.qwen_code import AGENT, BLANK, configure, is_headless, prepare
from agentlaunch.agents.surroundings import DUMMY_TOKEN, PATIENCE_S, PROXIES
from agentlaunch.changes.edit import SetKeys
from agentlaunch.context import make_context
from agentlaunch.endpoint import Endpoint
from agentlaunch.errors import UsageError

RUNTIME = Path("/run/user/1000/agentlaunch")
OWN = Path("/home/u/.qwen")
CLEAN = Path("/home/u/.local/share/agentlaunch/homes/qwen")


def engine(token: str = "secret", host: str = "127.0.0.1") -> Endpoint:
    return Endpoint(f"http://{host}:8080", ("openai_chat",), "local", token)


def target(*args: str, window: int = 32_768, **changes: Any) -> Target:
    values: dict[str, Any] = {
        "binary": "/usr/bin/qwen",
        "endpoint": engine(),
        "context": make_context(AGENT.tiers, AGENT.compaction, window),
        "home": "own",
        "home_folder": CLEAN,
        "own_folder": OWN,
        "runtime_folder": RUNTIME,
        "run_name": "4711",
        "environ": {"PATH": "/usr/bin"},
        "args": args,
    }
    return Target(**(values | changes))


def settings_of(handover: Handover) -> dict[str, Any]:
    (file,) = handover.files
    value = json.loads(file.content)
    assert isinstance(value, dict)
    return value


def generation(**more: object) -> dict[str, object]:
    return {
        "timeout": PATIENCE_S * 1000,
        "contextWindowSize": 32_768,
        "samplingParams": {"max_tokens": 4_096},
        "customHeaders": {},
        "extra_body": {},
        **more,
    }


def test_the_routing_goes_by_a_private_system_file_and_two_flags() -> None:
    handover = prepare(target("-p", "hi"))

    assert handover.argv == (
        "/usr/bin/qwen", "--auth-type=openai", "--model=local", "-p", "hi",
    )  # fmt: skip
    assert [file.path for file in handover.files] == [RUNTIME / "qwen-4711.json"]
    assert handover.env["QWEN_CODE_SYSTEM_SETTINGS_PATH"] == str(RUNTIME / "qwen-4711.json")


def test_the_file_holds_one_provider_of_each_kind_at_most_and_no_secret() -> None:
    handover = prepare(target())
    provider = {
        "id": "local",
        "name": "local",
        "envKey": "OPENAI_API_KEY",
        "baseUrl": "http://127.0.0.1:8080/v1",
        "generationConfig": generation(),
    }

    assert settings_of(handover) == {
        "$version": 4,
        "modelProviders": {"anthropic": [], "gemini": [], "vertex-ai": [], "openai": [provider]},
        "model": {
            "name": "local",
            "generationConfig": generation(),
            "enableOpenAILogging": False,
            "chatCompression": {"contextPercentageThreshold": 0.7},
        },
        "fastModel": "",
        "proxy": "",
        "security": {
            "auth": {
                "selectedType": "openai",
                "enforcedType": "openai",
                "apiKey": "",
                "baseUrl": "",
            }
        },
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False, "otlpEndpoint": "", "outfile": ""},
        "general": {"enableAutoUpdate": False, "showSessionRecap": False},
        "memory": {
            "enableManagedAutoMemory": False,
            "enableManagedAutoDream": False,
            "enableAutoSkill": False,
        },
        "ui": {
            "enableFollowupSuggestions": False,
            "enableSpeculation": False,
            "enableUserFeedback": False,
        },
        "experimental": {"emitToolUseSummaries": False},
    }
    assert b"secret" not in handover.files[0].content
    assert "secret" not in "".join(handover.argv) + repr(handover)
    assert handover.env["OPENAI_API_KEY"] == "secret"


def test_a_window_too_small_to_compact_switches_it_off() -> None:
    model = settings_of(prepare(target(window=8_192)))["model"]

    assert model["chatCompression"] == {"contextPercentageThreshold": 0}


def test_a_model_that_must_not_think_is_told_so() -> None:
    model = settings_of(prepare(target(thinking_off=True)))["model"]

    body = {"chat_template_kwargs": {"enable_thinking": False}, "reasoning_effort": "none"}
    assert model["generationConfig"] == generation(reasoning=False, extra_body=body)


def test_what_must_not_count_is_empty_and_not_absent_so_that_no_file_fills_it_in() -> None:
    env = prepare(target(environ={"QWEN_TELEMETRY_OUTFILE": "x", "QWEN_MODEL": "x"})).env

    assert {env[name] for name in (*BLANK, *PROXIES, "NODE_OPTIONS", "LD_PRELOAD")} == {""}
    assert env["QWEN_TELEMETRY_ENABLED"] == "false"
    assert env["QWEN_TELEMETRY_TARGET"] == "local"


def test_the_users_own_node_options_stay() -> None:
    env = prepare(target(environ={"NODE_OPTIONS": "--use-system-ca"})).env

    assert "NODE_OPTIONS" not in env


def test_keys_and_telemetry_of_the_user_are_taken_from_the_child() -> None:
    env = prepare(target(environ={"OTEL_SERVICE_NAME": "x", "MISTRAL_API_KEY": "x"})).env

    assert env["OTEL_SERVICE_NAME"] is UNSET
    assert env["MISTRAL_API_KEY"] is UNSET


def test_no_proxy_stands_before_loopback_and_the_shells_own_before_another_host() -> None:
    environ = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "intra.example"}

    local = prepare(target(environ=environ)).env
    remote = prepare(target(environ=environ, endpoint=engine(host="engine.example"))).env

    assert local["HTTPS_PROXY"] == ""
    assert local["NO_PROXY"] == "intra.example,127.0.0.1,localhost,::1,127.0.0.1:8080"
    assert remote["HTTPS_PROXY"] == "http://proxy:3128"
    assert remote["HTTP_PROXY"] == ""


def test_an_engine_without_a_key_gets_a_word_that_is_none() -> None:
    assert prepare(target(endpoint=engine(""))).env["OPENAI_API_KEY"] == DUMMY_TOKEN


def test_the_administrators_defaults_stay_where_they_are() -> None:
    name = "QWEN_CODE_SYSTEM_DEFAULTS_PATH"

    assert str(prepare(target()).env[name]).endswith("/system-defaults.json")
    assert prepare(target(environ={name: "/mine.json"})).env[name] == "/mine.json"


def test_a_small_window_gets_eight_tools_unless_the_user_chose_his_own() -> None:
    slim = AGENT.tiers[1].args[0]

    assert prepare(target(window=24_576)).argv[1] == slim
    assert slim not in prepare(target("--core-tools=edit", window=24_576)).argv
    assert slim not in prepare(target("--bare", window=24_576)).argv


def test_a_clean_home_is_a_folder_of_ours() -> None:
    assert prepare(target(home="clean")).env["QWEN_HOME"] == str(CLEAN)
    assert "QWEN_HOME" not in prepare(target()).env


@pytest.mark.parametrize(
    "args",
    [("--model", "x"), ("-m", "x"), ("--openai-base-url=x",), ("--proxy=x",), ("auth",)],
)
def test_an_argument_that_would_leave_the_launch_is_refused(args: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        prepare(target(*args))


@pytest.mark.parametrize(
    ("args", "headless"),
    [
        (("-p", "hi"), True),
        (("--prompt=hi",), True),
        (("say hi",), True),
        (("-y", "say hi"), True),
        (("--", "say hi"), True),
        ((), False),
        (("-y",), False),
        (("-i", "hi"), False),
        (("--approval-mode", "plan"), False),
        (("--resume", "abc"), False),
        (("--continue",), False),
    ],
)
def test_it_is_headless_with_a_prompt(args: tuple[str, ...], headless: bool) -> None:
    assert is_headless(args) is headless


@pytest.mark.parametrize(
    ("document", "trusted"),
    [
        ({"/src/repo": "TRUST_FOLDER"}, True),
        ({"/src": "TRUST_FOLDER"}, True),
        ({"/src/other": "TRUST_PARENT"}, True),
        ({"/src/repo/below": "TRUST_PARENT"}, True),
        ({"/src/repo": "DO_NOT_TRUST"}, False),
        ({"/elsewhere/other": "TRUST_PARENT"}, False),
        ({}, False),
    ],
)
def test_trust_is_given_to_a_folder_or_to_the_one_above_it(
    document: dict[str, str], trusted: bool
) -> None:
    assert AGENT.trust is not None
    assert AGENT.trust.trusts(document, "/src/repo") is trusted


def test_a_plain_start_is_made_to_use_the_model_and_the_key_goes_by_its_name() -> None:
    (edit,) = configure(target())
    (without,) = configure(target(endpoint=engine("")))

    assert isinstance(edit, SetKeys)
    assert isinstance(without, SetKeys)
    provider = {
        "id": "local",
        "name": "local",
        "envKey": "AGENTLAUNCH_ENGINE_KEY",
        "baseUrl": "http://127.0.0.1:8080/v1",
        "generationConfig": generation(),
    }
    common = {("model", "name"): "local", ("security", "auth", "selectedType"): "openai"}
    assert edit == SetKeys(
        OWN / "settings.json", "json", {("modelProviders", "openai"): [provider], **common}
    )
    dummy = provider | {"envKey": "AGENTLAUNCH_NO_KEY"}
    assert without == SetKeys(
        OWN / "settings.json",
        "json",
        {
            ("modelProviders", "openai"): [dummy],
            **common,
            ("env", "AGENTLAUNCH_NO_KEY"): DUMMY_TOKEN,
        },
    )


@pytest.mark.parametrize("word", ["qwen", "qwen-code", "Qwen"])
def test_it_is_found_by_its_names(word: str) -> None:
    assert find(word) is AGENT
