from pathlib import Path
from typing import Any

import pytest

from agentlaunch.agents import find
from agentlaunch.agents.base import UNSET, Target
from agentlaunch.agents.copilot import AGENT, configure, is_headless, prepare
from agentlaunch.agents.keys import PROVIDER_KEYS
from agentlaunch.agents.surroundings import DUMMY_TOKEN
from agentlaunch.changes.edit import SetKeys
from agentlaunch.context import make_context
from agentlaunch.endpoint import Endpoint, TokenHeader, Wire
from agentlaunch.errors import NotSupported, UsageError

OWN = Path("/home/u/.copilot")
CLEAN = Path("/home/u/.local/share/agentlaunch/homes/copilot")


def engine(
    *wires: Wire, token: str = "secret", header: TokenHeader = "bearer", host: str = "127.0.0.1"
) -> Endpoint:
    return Endpoint(f"http://{host}:8080", wires or AGENT.wires, "qwen", token, header)


def target(*args: str, window: int = 32_768, **changes: Any) -> Target:
    values: dict[str, Any] = {
        "binary": "/usr/bin/copilot",
        "endpoint": engine(),
        "context": make_context(AGENT.tiers, AGENT.compaction, window),
        "home": "own",
        "home_folder": CLEAN,
        "own_folder": OWN,
        "runtime_folder": Path("/run/user/1000/agentlaunch"),
        "run_name": "4711",
        "environ": {"PATH": "/usr/bin"},
        "args": args,
    }
    return Target(**(values | changes))


def routing(**changes: Any) -> dict[str, object]:
    names = ("COPILOT_PROVIDER_", "COPILOT_MODEL")
    env = prepare(target(**changes)).env
    return {n: v for n, v in env.items() if n.startswith(names) and v is not UNSET}


def test_the_routing_goes_by_variables_and_the_model_by_a_flag_too() -> None:
    assert prepare(target("-p", "hi")).argv == ("/usr/bin/copilot", "--model", "qwen", "-p", "hi")
    assert routing() == {
        "COPILOT_PROVIDER_BASE_URL": "http://127.0.0.1:8080/v1",
        "COPILOT_PROVIDER_TYPE": "openai",
        "COPILOT_PROVIDER_WIRE_API": "completions",
        "COPILOT_PROVIDER_TRANSPORT": "http",
        "COPILOT_PROVIDER_BEARER_TOKEN": "secret",
        "COPILOT_MODEL": "qwen",
        "COPILOT_PROVIDER_MODEL_ID": "qwen",
        "COPILOT_PROVIDER_WIRE_MODEL": "qwen",
        "COPILOT_PROVIDER_MAX_PROMPT_TOKENS": "28672",
        "COPILOT_PROVIDER_MAX_OUTPUT_TOKENS": "4096",
    }


@pytest.mark.parametrize(
    ("wire", "kind", "api", "address"),
    [
        ("openai_responses", "openai", "responses", "http://127.0.0.1:8080/v1"),
        ("anthropic_messages", "anthropic", "completions", "http://127.0.0.1:8080"),
    ],
)
def test_each_wire_has_its_own_kind_of_provider(
    wire: Wire, kind: str, api: str, address: str
) -> None:
    found = routing(endpoint=engine(wire))

    assert found["COPILOT_PROVIDER_TYPE"] == kind
    assert found["COPILOT_PROVIDER_WIRE_API"] == api
    assert found["COPILOT_PROVIDER_BASE_URL"] == address


def test_anthropic_itself_gets_the_key_in_its_own_header() -> None:
    found = routing(endpoint=engine("anthropic_messages", header="x-api-key"))

    assert found["COPILOT_PROVIDER_API_KEY"] == "secret"
    assert "COPILOT_PROVIDER_BEARER_TOKEN" not in found


def test_an_engine_without_a_key_gets_a_word_that_is_none() -> None:
    assert routing(endpoint=engine(token=""))["COPILOT_PROVIDER_BEARER_TOKEN"] == DUMMY_TOKEN


def test_it_is_offline_and_patient() -> None:
    env = prepare(target()).env

    assert env["COPILOT_OFFLINE"] == "true"
    assert env["COPILOT_AUTO_UPDATE"] == "false"
    assert env["COPILOT_NATIVE_HTTP_TIMEOUT_MS"] == "1800000"


def test_what_other_launchers_left_is_taken_away_and_what_is_the_users_stays() -> None:
    stale = {
        "COPILOT_PROVIDERS_CONFIG": "x",
        "COPILOT_PROVIDER_API_KEY_COMMAND": "x",
        "COPILOT_PROVIDER_GHES_HOST": "x",
        "COPILOT_GITHUB_TOKEN": "x",
        "GITHUB_COPILOT_API_TOKEN": "x",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "x",
    }
    own = {"COPILOT_HOME": "x", "COPILOT_ALLOW_ALL": "1", "GITHUB_TOKEN": "x", "GH_TOKEN": "x"}

    env = prepare(target(environ=stale | own)).env

    assert {name for name, value in env.items() if value is UNSET} == {*PROVIDER_KEYS, *stale}
    assert not own.keys() & env.keys()


def test_loopback_bypasses_every_proxy_and_another_host_does_not() -> None:
    environ = {"NO_PROXY": "intra.example"}

    env = prepare(target(environ=environ)).env
    remote = prepare(target(environ=environ, endpoint=engine(host="engine.example"))).env

    assert env["NO_PROXY"] == "intra.example,127.0.0.1,localhost,::1,127.0.0.1:8080"
    assert env["no_proxy"] == env["NO_PROXY"]
    assert "NO_PROXY" not in remote


def test_a_small_window_gets_six_tools_unless_the_user_chose_his_own() -> None:
    slim = "--available-tools=bash,view,create,edit,grep,glob"

    assert prepare(target(window=16_384)).argv[1] == slim
    assert slim not in prepare(target("--available-tools=view", window=16_384)).argv


def test_a_clean_home_is_a_folder_of_ours() -> None:
    assert prepare(target(home="clean")).env["COPILOT_HOME"] == str(CLEAN)
    assert "COPILOT_HOME" not in prepare(target()).env


def test_no_secret_stands_in_the_argument_list_or_in_a_repr() -> None:
    handover = prepare(target())

    assert "secret" not in "".join(handover.argv)
    assert "secret" not in repr(handover)


@pytest.mark.parametrize(
    "args", [("--model", "x"), ("--model=x",), ("--connect",), ("--remote",), ("login",)]
)
def test_an_argument_that_would_leave_the_launch_is_refused(args: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        prepare(target(*args))


@pytest.mark.parametrize(
    ("args", "headless"),
    [
        (("-p", "hi"), True),
        (("--prompt=hi",), True),
        (("-phi",), True),
        (("-sp", "hi"), True),
        ((), False),
        (("-i", "hi"), False),
        (("--plan",), False),
        (("--", "-p"), False),
    ],
)
def test_it_is_headless_with_a_prompt(args: tuple[str, ...], headless: bool) -> None:
    assert is_headless(args) is headless


@pytest.mark.parametrize("key", ["trustedFolders", "trusted_folders"])
def test_either_key_of_its_config_trusts_a_folder_and_what_is_below(key: str) -> None:
    assert AGENT.trust is not None
    trusts = AGENT.trust.trusts

    assert trusts({key: ["/src/repo"]}, "/src/repo")
    assert trusts({key: ["/src"]}, "/src/repo")
    assert not trusts({key: ["/src/repo/below"]}, "/src/repo")
    assert not trusts({key: "/src/repo"}, "/src/repo")
    assert not trusts({}, "/src/repo")


def test_a_plain_start_is_made_to_use_the_model_by_two_files() -> None:
    provider = {
        "name": "agentlaunch",
        "type": "openai",
        "wireApi": "completions",
        "baseUrl": "http://127.0.0.1:8080/v1",
        "apiKey": DUMMY_TOKEN,
    }
    model = {
        "id": "qwen",
        "provider": "agentlaunch",
        "maxPromptTokens": 28_672,
        "maxOutputTokens": 4_096,
    }

    assert configure(target(endpoint=engine(token=""))) == (
        SetKeys(OWN / "providers.json", "json", {("providers",): [provider], ("models",): [model]}),
        SetKeys(OWN / "settings.json", "json", {("model",): "agentlaunch/qwen"}),
    )


def test_a_key_is_not_written_into_a_file() -> None:
    with pytest.raises(NotSupported, match="plain text"):
        configure(target())


@pytest.mark.parametrize("word", ["copilot", "copilot-cli", "GitHub-Copilot"])
def test_it_is_found_by_its_names(word: str) -> None:
    assert find(word) is AGENT
