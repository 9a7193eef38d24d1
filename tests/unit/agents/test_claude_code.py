import json
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.agents import AGENTS, find
from agentlaunch.agents.base import UNSET, Handover, PrivateFile, Target
from agentlaunch.agents.claude_code import AGENT, EMPTIED, MODEL_VARIABLES, is_headless, prepare
from agentlaunch.agents.keys import PROVIDER_KEYS
from agentlaunch.agents.surroundings import DUMMY_TOKEN
from agentlaunch.context import make_context
from agentlaunch.endpoint import Endpoint
from agentlaunch.errors import UsageError
from agentlaunch.survey.watched import look

RUNTIME = Path("/run/user/1000/agentlaunch")
CLEAN = Path("/home/u/.local/share/agentlaunch/homes/claude-code")


def target(*args: str, window: int = 65_536, **changes: Any) -> Target:
    values: dict[str, Any] = {
        "binary": "/usr/bin/claude",
        "endpoint": Endpoint("http://127.0.0.1:8080", ("anthropic_messages",), "qwen", "secret"),
        "context": make_context(AGENT.tiers, AGENT.compaction, window),
        "home": "own",
        "home_folder": CLEAN,
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


def test_the_routing_goes_by_a_private_settings_file_before_the_users_arguments() -> None:
    handover = prepare(target("-p", "hi"))

    assert handover.argv == (
        "/usr/bin/claude",
        "--settings",
        str(RUNTIME / "claude-code-4711.json"),
        "--model",
        "qwen",
        "-p",
        "hi",
    )
    assert [file.path for file in handover.files] == [RUNTIME / "claude-code-4711.json"]
    assert handover.seeds == ()


def test_the_slim_tier_stands_in_equals_form_so_that_no_prompt_is_swallowed() -> None:
    handover = prepare(target("hi", window=32_768))

    assert handover.argv[1] == "--tools=Bash,Read,Edit,Write,Glob,Grep"
    assert handover.argv[-1] == "hi"


@pytest.mark.parametrize("own", [("--tools", "Read"), ("--tools=Read",)])
def test_the_users_own_tools_replace_the_tiers(own: tuple[str, ...]) -> None:
    assert prepare(target(*own, window=32_768)).argv[1] == "--settings"


STABLE = "--exclude-dynamic-system-prompt-sections"


@pytest.mark.parametrize("version", ["2.1.98", "2.1.197", "2.1.330"])
def test_headless_the_state_of_the_repository_stands_behind_the_tools(version: str) -> None:
    argv = prepare(target("-p", "hi", version=version)).argv

    assert argv.index(STABLE) < argv.index("-p")


@pytest.mark.parametrize(
    ("version", "args"),
    [
        ("2.1.97", ("-p", "hi")),  # it does not know the flag
        (None, ("-p", "hi")),
        ("2.1.197", ("hi",)),  # there it does nothing
        ("2.1.197", ("-p", "hi", "--system-prompt", "Mine.")),
        ("2.1.197", ("-p", "hi", "--system-prompt-file=mine.md")),
    ],
)
def test_it_is_left_where_it_is_where_that_would_break_or_mean_nothing(
    version: str | None, args: tuple[str, ...]
) -> None:
    assert STABLE not in prepare(target(*args, version=version)).argv


def test_a_flag_of_the_users_own_is_not_said_twice() -> None:
    assert prepare(target("-p", STABLE, "hi", version="2.1.197")).argv.count(STABLE) == 1


def test_no_secret_stands_in_the_argument_list_or_in_a_repr() -> None:
    handover = prepare(target())

    assert "secret" not in "".join(handover.argv)
    assert "secret" not in repr(handover)


def test_the_settings_carry_endpoint_token_models_and_window() -> None:
    env = settings_of(prepare(target()))["env"]

    wanted = {
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:8080",
        "ANTHROPIC_AUTH_TOKEN": "secret",
        "ANTHROPIC_CUSTOM_HEADERS": "x-api-key: secret",
        "ANTHROPIC_API_KEY": "",
        "API_FORCE_IDLE_TIMEOUT": "0",
        "API_TIMEOUT_MS": "1800000",
        "CLAUDE_STREAM_IDLE_TIMEOUT_MS": "1800000",
        "CLAUDE_CODE_AUTO_COMPACT_WINDOW": "100000",
        "CLAUDE_CODE_MAX_CONTEXT_TOKENS": "65536",
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "8192",
        "CLAUDE_SECURESTORAGE_CONFIG_DIR": str(CLEAN),
        "DISABLE_AUTO_COMPACT": "",
        **dict.fromkeys(MODEL_VARIABLES, "qwen"),
    }
    assert {name: env[name] for name in wanted} == wanted


def test_helpers_and_services_of_the_vendor_are_off_in_the_settings() -> None:
    settings = settings_of(prepare(target()))
    del settings["env"]

    assert settings == {
        "model": "qwen",
        "availableModels": ["qwen"],
        "apiKeyHelper": "",
        "awsAuthRefresh": "",
        "awsCredentialExport": "",
        "gcpAuthRefresh": "",
        "otelHeadersHelper": "",
        "proxyAuthHelper": "",
        "disableAgentView": True,
        "disableDeepLinkRegistration": "disable",
        "disableRemoteControl": True,
    }


def test_a_token_is_sent_even_to_an_engine_that_wants_none() -> None:
    endpoint = Endpoint("http://127.0.0.1:8080", ("anthropic_messages",), "qwen")

    env = settings_of(prepare(target(endpoint=endpoint)))["env"]

    assert env["ANTHROPIC_AUTH_TOKEN"] == DUMMY_TOKEN
    assert env["ANTHROPIC_CUSTOM_HEADERS"] == f"x-api-key: {DUMMY_TOKEN}"


def test_the_process_environment_says_the_same_as_the_settings() -> None:
    handover = prepare(target())

    said = {name: value or UNSET for name, value in settings_of(handover)["env"].items()}
    assert {name: handover.env[name] for name in said} == said


def test_keys_and_telemetry_of_the_user_are_taken_from_the_child() -> None:
    environ = {"PATH": "/usr/bin", "OTEL_LOGS_EXPORTER": "otlp", "AWS_PROFILE": "work"}

    env = prepare(target(environ=environ)).env

    taken = {name for name, value in env.items() if value is UNSET}
    assert taken >= {*EMPTIED, *PROVIDER_KEYS, "OTEL_LOGS_EXPORTER"} - {"ANTHROPIC_AUTH_TOKEN"}
    assert env["ANTHROPIC_AUTH_TOKEN"] == "secret"
    assert "PATH" not in env
    assert "AWS_PROFILE" not in env


def test_a_window_too_small_for_compaction_switches_it_off() -> None:
    env = settings_of(prepare(target(window=16_384)))["env"]

    assert env["DISABLE_AUTO_COMPACT"] == "1"


def test_loopback_bypasses_proxies_and_keeps_the_users_exceptions() -> None:
    environ = {"NO_PROXY": "intern.example, 127.0.0.1"}

    env = prepare(target(environ=environ)).env

    merged = "intern.example,127.0.0.1,localhost,::1,127.0.0.1:8080"
    assert env["NO_PROXY"] == env["no_proxy"] == merged


def test_for_another_host_only_the_shells_proxy_counts() -> None:
    endpoint = Endpoint("https://llm.example", ("anthropic_messages",), "qwen", "secret")
    environ = {"HTTPS_PROXY": "http://proxy.example:3128"}

    handover = prepare(target(endpoint=endpoint, environ=environ))

    env = settings_of(handover)["env"]
    assert env["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert env["https_proxy"] == env["HTTP_PROXY"] == env["NO_PROXY"] == ""
    assert env["NODE_TLS_REJECT_UNAUTHORIZED"] == "1"


def test_the_own_home_is_not_named() -> None:
    assert "CLAUDE_CONFIG_DIR" not in prepare(target()).env


def test_a_clean_home_skips_onboarding_but_trusts_nothing() -> None:
    handover = prepare(target(home="clean"))

    assert handover.env["CLAUDE_CONFIG_DIR"] == str(CLEAN)
    assert handover.seeds == (
        PrivateFile(CLEAN / ".claude.json", b'{\n "hasCompletedOnboarding": true\n}\n'),
    )


@pytest.mark.parametrize(
    "args",
    [
        ("--settings", "x.json"),
        ("--settings=x.json",),
        ("-p", "hi", "--model", "opus"),
        ("--model=opus",),
        ("--fallback-model", "opus"),
        ("--managed-settings={}",),
        ("--bg",),
        ("--remote-control",),
        ("auth", "login"),
        ("update",),
    ],
)
def test_an_argument_that_would_undo_the_routing_is_refused(args: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        prepare(target(*args))

    assert (caught.value.code, caught.value.exit_code) == ("reserved-argument", 2)
    assert caught.value.hint


@pytest.mark.parametrize(
    "args",
    [
        ("-p", "update"),
        ("update the readme",),
        ("-p", "--", "--settings"),
        ("--setting-sources", "user"),
        ("--permission-mode", "plan"),
        ("--bare", "-p", "hi"),
        ("--resume", "4c2f"),
    ],
)
def test_other_arguments_reach_the_agent_untouched(args: tuple[str, ...]) -> None:
    assert prepare(target(*args)).argv[-len(args) :] == args


@pytest.mark.parametrize(
    ("args", "headless"),
    [
        (("-p", "hi"), True),
        (("--print",), True),
        (("-cp", "go on"), True),
        (("hi",), False),
        (("--permission-mode", "plan"), False),
        (("--", "-p"), False),
        ((), False),
    ],
)
def test_headless_is_what_prints_and_ends(args: tuple[str, ...], headless: bool) -> None:
    assert is_headless(args) is headless


@pytest.mark.parametrize(
    "name", ["claude", "claude-code", "claude_code", "Claude-Code", " CLAUDE "]
)
def test_an_agent_is_found_by_name_alias_and_any_case(name: str) -> None:
    assert find(name) is AGENTS["claude-code"]


def test_every_agent_is_listed_under_its_own_name() -> None:
    assert {name: agent.name for name, agent in AGENTS.items()} == {n: n for n in AGENTS}


def test_a_model_that_must_not_think_is_told_so_in_the_request() -> None:
    """Leaving `thinking` out is not enough for Ollama, which reads the effort (2.1.197, 0.33)."""
    env = settings_of(prepare(target(thinking_off=True)))["env"]
    assert env["MAX_THINKING_TOKENS"] == "0"
    assert json.loads(env["CLAUDE_CODE_EXTRA_BODY"]) == {"thinking": {"type": "disabled"}}
    other = settings_of(prepare(target()))["env"]
    assert other["CLAUDE_CODE_EXTRA_BODY"] == ""
    assert "MAX_THINKING_TOKENS" not in other


@pytest.mark.parametrize(
    "variable",
    ["PATH", "BASH_ENV", "ENV", "SHELL", "CLAUDE_CODE_SHELL_PREFIX", "GIT_CONFIG_VALUE_0",
     "LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "NODE_OPTIONS", "PYTHONPATH", "PERL5OPT", "RUBYOPT"],
)  # fmt: skip
def test_a_variable_of_the_project_that_runs_code_is_seen(variable: str, tmp_path: Path) -> None:
    file = tmp_path / ".claude" / "settings.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"env": {variable: "x", "NODE_ENV": "test", "LANG": "C"}}))
    assert [row.what for row in look(AGENT, tmp_path, tmp_path / "c").runs] == [
        f"env.{variable}: x"
    ]


@pytest.mark.parametrize("key", ["command", "headersHelper", "url"])
def test_an_mcp_server_of_the_project_is_seen_whatever_it_is(key: str, tmp_path: Path) -> None:
    (tmp_path / ".mcp.json").write_text(json.dumps({"mcpServers": {"x": {key: "y"}}}))
    assert [row.what for row in look(AGENT, tmp_path, tmp_path / "c").runs] == [
        f"mcpServers.x.{key}: y"
    ]


def test_a_plugin_that_the_project_switches_on_is_seen(tmp_path: Path) -> None:
    file = tmp_path / ".claude" / "settings.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"enabledPlugins": {"p@m": True, "q@m": False}}))
    assert [row.what for row in look(AGENT, tmp_path, tmp_path / "c").runs] == [
        "enabledPlugins.p@m"
    ]
