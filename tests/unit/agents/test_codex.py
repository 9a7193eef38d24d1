import json
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.agents import find
from agentlaunch.agents.base import UNSET, Handover, PrivateFile, Target
from agentlaunch.agents.codex import AGENT, INSTRUCTIONS, PROVIDER, configure, is_headless, prepare
from agentlaunch.agents.keys import PROVIDER_KEYS
from agentlaunch.agents.surroundings import DUMMY_TOKEN
from agentlaunch.changes.edit import SetKeys
from agentlaunch.context import make_context
from agentlaunch.endpoint import Endpoint
from agentlaunch.errors import UsageError
from agentlaunch.survey.watched import read_document

RUNTIME = Path("/run/user/1000/agentlaunch")
CLEAN = Path("/home/u/.local/share/agentlaunch/homes/codex")
OWN = Path("/home/u/.codex")


def target(*args: str, window: int = 65_536, **changes: Any) -> Target:
    values: dict[str, Any] = {
        "binary": "/usr/bin/codex",
        "endpoint": Endpoint("http://127.0.0.1:8080", ("openai_responses",), "qwen", "secret"),
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


def settings_of(handover: Handover, tmp_path: Path) -> dict[str, Any]:
    """What the `-c` flags say, read as the agent does: as the lines of a TOML file."""
    words = handover.argv
    lines = [words[n + 1] for n, word in enumerate(words) if word == "-c"]
    file = tmp_path / "flags.toml"
    file.write_text("\n".join(lines))
    document = read_document(file, "toml")
    assert document is not None, lines
    return document


def test_the_routing_goes_by_flags_before_the_users_arguments(tmp_path: Path) -> None:
    handover = prepare(target("exec", "hi"))
    settings = settings_of(handover, tmp_path)

    assert handover.argv[0] == "/usr/bin/codex"
    assert handover.argv[-2:] == ("exec", "hi")
    assert set(handover.argv[1:-2:2]) == {"-c"}
    wanted = {
        "model_provider": PROVIDER,
        "model": "qwen",
        "review_model": "qwen",
        "memories": {"extract_model": "qwen", "consolidation_model": "qwen"},
        "model_providers": {
            PROVIDER: {
                "name": "agentlaunch",
                "base_url": "http://127.0.0.1:8080/v1",
                "wire_api": "responses",
                "env_key": "AGENTLAUNCH_TOKEN_4711",
                "requires_openai_auth": False,
                "supports_websockets": False,
                "stream_idle_timeout_ms": 1_800_000,
            }
        },
        "model_context_window": 65_536,
        "model_auto_compact_token_limit": 49_982,
        "model_auto_compact_token_limit_scope": "total",
        "tool_output_token_limit": 4_096,
    }
    assert {name: settings[name] for name in wanted} == wanted
    assert handover.env["AGENTLAUNCH_TOKEN_4711"] == "secret"
    assert (handover.files, handover.seeds, handover.links) == ((), (), ())


def test_no_login_of_the_user_is_read_and_nothing_calls_home(tmp_path: Path) -> None:
    settings = settings_of(prepare(target()), tmp_path)

    assert settings["cli_auth_credentials_store"] == "ephemeral"
    assert settings["analytics"] == {"enabled": False}
    assert settings["check_for_update_on_startup"] is False
    assert settings["web_search"] == "disabled"
    assert settings["features"] == {"plugins": False, "apps": False, "daemon_auto_start": False}
    assert settings["otel"] == {
        "exporter": "none",
        "trace_exporter": "none",
        "metrics_exporter": "none",
        "log_user_prompt": False,
    }


def test_no_secret_stands_in_the_argument_list_or_in_a_repr() -> None:
    handover = prepare(target())

    assert "secret" not in " ".join(handover.argv)
    assert "secret" not in repr(handover)


def test_an_engine_without_a_token_gets_a_dummy() -> None:
    endpoint = Endpoint("http://127.0.0.1:8080", ("openai_responses",), "qwen")

    env = prepare(target(endpoint=endpoint)).env

    assert env["AGENTLAUNCH_TOKEN_4711"] == DUMMY_TOKEN


@pytest.mark.parametrize(
    "model", ['a "b" \\ c', "x=1", "true", "12", "[a]", "a'b", "línea", "tab\there", "del\x7f"]
)
def test_a_model_of_any_name_arrives_as_it_is(model: str, tmp_path: Path) -> None:
    endpoint = Endpoint("http://127.0.0.1:8080", ("openai_responses",), model)

    settings = settings_of(prepare(target(endpoint=endpoint)), tmp_path)

    assert (settings["model"], settings["review_model"]) == (model, model)


def test_the_slim_tier_brings_its_own_list_of_models_and_short_instructions(
    tmp_path: Path,
) -> None:
    handover = prepare(target(window=24_576))
    settings = settings_of(handover, tmp_path)
    (file,) = handover.files

    assert file.path == RUNTIME / "codex-4711.json"
    assert settings["model_catalog_json"] == str(file.path)
    assert settings["agents"] == {"enabled": False}
    assert settings["features"]["goals"] is False
    assert settings["mcp_servers"] == {"codex_tui": {"command": "true", "enabled": False}}
    (entry,) = json.loads(file.content)["models"]
    assert (entry["slug"], entry["context_window"]) == ("qwen", 24_576)
    assert entry["base_instructions"] == INSTRUCTIONS
    assert entry["truncation_policy"] == {"mode": "tokens", "limit": 1_536}


def test_a_window_too_small_to_compact_takes_the_users_own_limit_back(tmp_path: Path) -> None:
    context = make_context(AGENT.tiers, AGENT.compaction, 4_096)
    assert context.compact_at_tokens is None

    settings = settings_of(prepare(target(context=context)), tmp_path)

    assert settings["model_auto_compact_token_limit"] == 4_096


def test_a_model_that_must_not_think_is_asked_for_no_effort(tmp_path: Path) -> None:
    quiet = settings_of(prepare(target(thinking_off=True)), tmp_path)
    own = settings_of(prepare(target()), tmp_path)

    assert quiet["model_reasoning_effort"] == "none"
    assert "model_reasoning_effort" not in own


def test_logins_and_addresses_of_the_shell_are_taken_away() -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "AGENTLAUNCH_TOKEN_1": "old"}

    env = prepare(target(environ=environ)).env

    for name in (*PROVIDER_KEYS, *environ, "OPENAI_BASE_URL", "CODEX_ACCESS_TOKEN"):
        assert env[name] is UNSET, name
    assert "CODEX_HOME" not in env


def test_loopback_bypasses_proxies_and_keeps_the_users_own_exceptions() -> None:
    env = prepare(target(environ={"NO_PROXY": "corp.example, 10.0.0.1"})).env

    wanted = "corp.example,10.0.0.1,127.0.0.1,localhost,::1,127.0.0.1:8080"
    assert (env["NO_PROXY"], env["no_proxy"]) == (wanted, wanted)


def test_another_machine_keeps_the_shells_proxies() -> None:
    endpoint = Endpoint("https://llm.example", ("openai_responses",), "qwen", "secret")

    env = prepare(target(endpoint=endpoint)).env

    assert "NO_PROXY" not in env
    assert "no_proxy" not in env


def test_a_clean_home_is_a_folder_of_ours_that_exists() -> None:
    handover = prepare(target(home="clean"))

    assert handover.env["CODEX_HOME"] == str(CLEAN)
    assert handover.seeds == (PrivateFile(CLEAN / "config.toml", b""),)


@pytest.mark.parametrize(
    "args",
    [
        ("-m", "x"),
        ("-mx",),
        ("--model=x",),
        ("exec", "-m", "x", "hi"),
        ("-p", "work"),
        ("-pwork",),
        ("--profile", "work"),
        ("--oss",),
        ("--local-provider", "ollama"),
        ("--remote", "ws://x"),
        ("--search",),
        ("-c", "model=x"),
        ("-c", ' model = "x"'),
        ("-cmodel=x",),
        ("-c=model=x",),
        ("--config", 'model_provider="x"'),
        ("--config=model_provider=x",),
        ("exec", "-c", "model_providers.agentlaunch_launch.base_url=x", "hi"),
        ("exec", "-c", 'model_providers."agentlaunch_launch".base_url=x', "hi"),
        ("-c", "model_providers={}"),
        ("-c", "openai_base_url=x"),
        ("-c", "otel.exporter=x"),
        ("-c", "cli_auth_credentials_store=file"),
        ("--enable", "plugins"),
        ("--enable=apps",),
        ("login",),
        ("logout",),
        ("-s", "read-only", "logout"),
        ("-c", "hide_agent_reasoning=true", "app-server"),
        ("queue", "--thread", "1"),
        ("cloud",),
        ("mcp-server",),
    ],
)
def test_an_argument_that_would_undo_the_routing_is_refused(args: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        prepare(target(*args))

    assert caught.value.code == "reserved-argument"
    assert caught.value.hint


@pytest.mark.parametrize(
    "args",
    [
        ("exec", "hi"),
        ("exec", "login to the page"),
        ("exec", "--", "-m is a flag"),
        ("review", "--uncommitted"),
        ("resume", "--last"),
        ("fork", "ID", "go on"),
        ("-c", "model_reasoning_effort=high"),
        ("-c", 'sandbox_mode="read-only"', "exec", "hi"),
        ("-c", "models_are_nice=1"),
        ("--enable", "memories"),
        ("explain the model",),
        ("--dangerously-bypass-approvals-and-sandbox",),
    ],
)
def test_harmless_arguments_reach_the_agent_as_they_are(args: tuple[str, ...]) -> None:
    assert prepare(target(*args)).argv[-len(args) :] == args


@pytest.mark.parametrize(
    ("args", "headless"),
    [
        (("exec", "hi"), True),
        (("e", "hi"), True),
        (("-s", "read-only", "exec", "hi"), True),
        (("--sandbox=read-only", "exec", "hi"), True),
        (("review", "--uncommitted"), True),
        ((), False),
        (("resume", "--last"), False),
        (("explain exec",), False),
        (("-c", "exec"), False),
        (("--", "exec"), False),
    ],
)
def test_exec_and_review_answer_once_and_end(args: tuple[str, ...], headless: bool) -> None:
    assert is_headless(args) is headless


def test_a_plain_start_is_configured_by_named_keys_and_a_token_by_its_variable() -> None:
    (edit,) = configure(target())

    assert edit == SetKeys(
        OWN / "config.toml",
        "toml",
        {
            ("model",): "qwen",
            ("model_provider",): "agentlaunch",
            ("model_context_window",): 65_536,
            ("model_auto_compact_token_limit",): 49_982,
            ("model_providers", "agentlaunch", "name"): "agentlaunch",
            ("model_providers", "agentlaunch", "base_url"): "http://127.0.0.1:8080/v1",
            ("model_providers", "agentlaunch", "wire_api"): "responses",
            ("model_providers", "agentlaunch", "stream_idle_timeout_ms"): 1_800_000,
            ("model_providers", "agentlaunch", "env_key"): "AGENTLAUNCH_ENGINE_KEY",
            ("model_providers", "agentlaunch", "env_key_instructions"): (
                "It is the key of your engine."
            ),
        },
    )
    assert isinstance(edit, SetKeys)
    assert "secret" not in repr(edit.values)


@pytest.mark.parametrize(
    ("projects", "trusted"),
    [
        ({"/src/app": {"trust_level": "trusted"}}, True),
        ({"/src/app": {"trust_level": "untrusted"}}, False),
        ({"/src": {"trust_level": "trusted"}}, False),
        ({"/src/app": "trusted"}, False),
        ([], False),
    ],
)
def test_a_folder_is_trusted_by_its_own_row(projects: object, trusted: bool) -> None:
    assert AGENT.trust is not None
    assert AGENT.trust.trusts({"projects": projects}, "/src/app") is trusted


def test_it_is_found_by_its_names() -> None:
    assert find("Codex") is find("codex-cli") is AGENT
