"""Droid's handover, held against what its real binary was given and then sent."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent_world import DATA
from agentlaunch.agents.base import UNSET, Handover, Target
from agentlaunch.agents.droid import AGENT, MODEL_ID, is_headless, prepare
from agentlaunch.context import make_context
from agentlaunch.endpoint import Endpoint, Wire

RUNTIME = Path("/run/user/1000/agentlaunch")
CLEAN = Path("/home/u/.local/share/agentlaunch/homes/droid")
URL = "http://127.0.0.1:8080"


def target(*args: str, window: int = 32_768, **changes: Any) -> Target:
    values: dict[str, Any] = {
        "binary": "/opt/bin/droid",
        "endpoint": Endpoint(URL, ("openai_chat",), "local-model", "token-of-the-engine"),
        "context": make_context(AGENT.tiers, AGENT.compaction, window),
        "home": "own",
        "home_folder": CLEAN,
        "runtime_folder": RUNTIME,
        "run_name": "4711",
        "environ": {},
        "args": args,
    }
    return Target(**(values | changes))


def settings_of(handover: Handover) -> dict[str, Any]:
    (file,) = handover.files
    value = json.loads(file.content)
    assert isinstance(value, dict)
    return value


def test_it_is_handed_over_as_when_the_real_one_was_recorded() -> None:
    text = (DATA / "droid" / "recorded.json").read_text()
    words = {
        "@URL@": URL,
        "@HOST@": "127.0.0.1:8080",
        "@RUNTIME@": str(RUNTIME),
        "@CLEAN@": str(CLEAN),
        "@BINARY@": "/opt/bin/droid",
    }
    for word, value in words.items():
        text = text.replace(word, value)
    recorded = json.loads(text)

    handover = prepare(target(*recorded["args"], window=recorded["context"]))

    assert list(handover.argv) == recorded["argv"]
    assert {k: v for k, v in handover.env.items() if v is not UNSET} == recorded["env"]
    files = {str(file.path): json.loads(file.content) for file in handover.files}
    assert files == recorded["files"]
    (model,) = settings_of(handover)["customModels"]
    assert recorded["sent"]["model"] == model["model"]
    assert recorded["sent"]["max_tokens"] == model["maxOutputTokens"]
    assert recorded["sent"]["authorization"] == f"Bearer {model['apiKey']}"
    assert recorded["version"] in AGENT.tested_versions


@pytest.mark.parametrize(
    ("wire", "provider", "address"),
    [
        ("openai_chat", "generic-chat-completion-api", f"{URL}/v1"),
        ("openai_responses", "openai", f"{URL}/v1"),
        ("anthropic_messages", "anthropic", URL),
    ],
)
def test_each_wire_has_its_own_word_and_address(wire: Wire, provider: str, address: str) -> None:
    handover = prepare(target("exec", "hi", endpoint=Endpoint(URL, (wire,), "local-model")))

    (model,) = settings_of(handover)["customModels"]
    assert (model["provider"], model["baseUrl"]) == (provider, address)
    assert model["apiKey"] == "agentlaunch"


def test_exec_gets_the_model_as_a_flag_after_the_users_options() -> None:
    argv = prepare(target("--cwd", "x", "exec", "--auto", "low", "hi")).argv

    assert argv[1:] == ("--cwd", "x", "exec", "-m", MODEL_ID, "--auto", "low", "hi")


def test_an_interactive_start_has_no_arguments_of_ours() -> None:
    assert prepare(target("review app.tsx")).argv == ("/opt/bin/droid", "review app.tsx")


def test_it_compacts_where_the_plan_says() -> None:
    plan = make_context(AGENT.tiers, AGENT.compaction, 32_768)
    settings = settings_of(prepare(target(context=plan)))

    assert plan.compact_at_tokens == 32_768 - plan.max_output_tokens - 2_000
    assert settings["compactionTokenLimit"] == plan.compact_at_tokens
    assert settings["compactionThresholdCheckEnabled"] is True


def test_the_users_own_factory_variables_that_route_are_taken_away() -> None:
    environ = {
        "FACTORY_RELAY_BASE_URL": "http://elsewhere",
        "FACTORY_API_KEY": "fk",
        "FACTORY_RIPGREP_PATH": "/usr/bin/rg",
    }
    env = prepare(target(environ=environ)).env

    assert env["FACTORY_RELAY_BASE_URL"] is UNSET
    assert env["FACTORY_API_KEY"] is UNSET
    assert "FACTORY_RIPGREP_PATH" not in env


def test_a_clean_home_is_a_folder_of_ours() -> None:
    assert prepare(target(home="clean")).env["FACTORY_HOME_OVERRIDE"] == str(CLEAN)


@pytest.mark.parametrize(
    ("args", "headless"),
    [(("exec", "hi"), True), (("hi",), False), ((), False), (("--resume",), False)],
)
def test_headless_is_exec(args: tuple[str, ...], headless: bool) -> None:
    assert is_headless(args) is headless


def test_trust_is_read_from_its_own_settings() -> None:
    assert AGENT.trust is not None
    document = {"trustedFolders": {"/home/u/project": {"trustedAt": "2026-11-22T23:02:39.450Z"}}}
    assert AGENT.trust.trusts(document, "/home/u/project")
    assert not AGENT.trust.trusts(document, "/home/u/other")
    assert not AGENT.trust.trusts({}, "/home/u/project")
