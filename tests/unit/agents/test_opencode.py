import json
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.agents import AGENTS, find
from agentlaunch.agents.base import UNSET, Handover, Link, Target
from agentlaunch.agents.keys import PROVIDER_KEYS
from agentlaunch.agents.opencode import AGENT, configure, is_headless, prepare
from agentlaunch.agents.opencode import AGENTS as OWN_AGENTS
from agentlaunch.changes.edit import SetKeys
from agentlaunch.context import make_context
from agentlaunch.endpoint import Endpoint
from agentlaunch.errors import Refused, UsageError
from agentlaunch.survey.watched import look
from places import CHECKOUT

CLEAN = Path("/home/u/.local/share/agentlaunch/homes/opencode")
PLANTED = CHECKOUT / "tests" / "data" / "agents" / "opencode"
PROVIDER = "agentlaunch-7e230b73"
MODEL = f"{PROVIDER}/qwen"


def target(*args: str, window: int = 65_536, slim: str = "auto", **changes: Any) -> Target:
    values: dict[str, Any] = {
        "binary": "/usr/bin/opencode",
        "endpoint": Endpoint("http://127.0.0.1:8080", ("openai_chat",), "qwen", "secret"),
        "context": make_context(AGENT.tiers, AGENT.compaction, window, slim=slim),
        "home": "own",
        "home_folder": CLEAN,
        "runtime_folder": Path("/run/user/1000/agentlaunch"),
        "run_name": "4711",
        "environ": {"PATH": "/usr/bin", "HOME": "/home/u"},
        "args": args,
        "own_folder": Path("/home/u/.config/opencode"),
    }
    return Target(**(values | changes))


def inline(handover: Handover) -> str:
    text = handover.env["OPENCODE_CONFIG_CONTENT"]
    assert isinstance(text, str)
    return text


def config(handover: Handover) -> dict[str, Any]:
    value = json.loads(inline(handover))
    assert isinstance(value, dict)
    return value


def test_the_whole_routing_stands_in_the_variable_that_outranks_every_file() -> None:
    assert config(prepare(target("run", "hi"))) == {
        "model": MODEL,
        "small_model": MODEL,
        "enabled_providers": [PROVIDER],
        "disabled_providers": [],
        "provider": {
            PROVIDER: {
                "name": "agentlaunch",
                "npm": "@ai-sdk/openai-compatible",
                "env": [],
                "options": {
                    "baseURL": "http://127.0.0.1:8080/v1",
                    "apiKey": "secret",
                    "timeout": False,
                    "headerTimeout": 1_800_000,
                    "chunkTimeout": 1_800_000,
                },
                "models": {"qwen": {"name": "qwen", "limit": {"context": 65_536, "output": 8_192}}},
            }
        },
        "agent": {name: {"model": MODEL} for name in OWN_AGENTS}
        | {"title": {"model": MODEL, "disable": True}},
        "mode": {"build": {"model": MODEL}, "plan": {"model": MODEL}},
        "compaction": {"auto": True},
        "autoupdate": False,
        "share": "disabled",
    }


def test_the_model_goes_by_flag_too_before_the_users_arguments_and_no_secret_does() -> None:
    handover = prepare(target("run", "hi"))

    assert handover.argv == ("/usr/bin/opencode", f"--model={MODEL}", "run", "hi")
    assert "secret" not in repr(handover)
    assert (handover.files, handover.seeds, handover.links) == ((), (), ())


def test_a_runner_goes_before_the_program() -> None:
    argv = prepare(target(runner=("/opt/node",))).argv

    assert argv[:2] == ("/opt/node", "/usr/bin/opencode")


def test_the_providers_name_is_the_users_and_the_same_in_every_launch() -> None:
    other = target(environ={"HOME": "/home/other"})

    assert list(config(prepare(target(run_name="1")))["provider"]) == [PROVIDER]
    assert list(config(prepare(other))["provider"]) != [PROVIDER]


@pytest.mark.parametrize(
    ("wires", "header", "sdk", "key"),
    [
        (("openai_chat", "openai_responses"), "bearer", "@ai-sdk/openai-compatible", "apiKey"),
        (("openai_responses",), "bearer", "@ai-sdk/openai", "apiKey"),
        (("anthropic_messages",), "bearer", "@ai-sdk/anthropic", "authToken"),
        (("anthropic_messages",), "x-api-key", "@ai-sdk/anthropic", "apiKey"),
    ],
)
def test_each_wire_has_a_part_of_the_program_and_its_own_name_for_the_token(
    wires: Any, header: Any, sdk: str, key: str
) -> None:
    endpoint = Endpoint("http://127.0.0.1:8080", wires, "qwen", "secret", header)

    provider = config(prepare(target(endpoint=endpoint)))["provider"][PROVIDER]

    assert provider["npm"] == sdk
    tokens = {name: provider["options"].get(name) for name in ("apiKey", "authToken")}
    assert tokens == {"apiKey": None, "authToken": None, key: "secret"}


def test_a_token_is_sent_even_to_an_engine_that_wants_none() -> None:
    endpoint = Endpoint("http://127.0.0.1:8080", ("openai_chat",), "qwen")

    options = config(prepare(target(endpoint=endpoint)))["provider"][PROVIDER]["options"]

    assert options["apiKey"] == "agentlaunch"


def test_text_that_the_program_would_replace_stays_as_it_is() -> None:
    name = "{env:SECRET}{file:~/.ssh/id_rsa}"
    endpoint = Endpoint("http://127.0.0.1:8080", ("openai_chat",), name, "{env:OTHER}")

    handover = prepare(target(endpoint=endpoint))

    assert "{env:" not in inline(handover)
    assert "{file:" not in inline(handover)
    assert list(config(handover)["provider"][PROVIDER]["models"]) == [name]


def test_another_machines_model_may_write_titles_and_is_reached_by_the_shells_proxy() -> None:
    endpoint = Endpoint("https://models.example", ("openai_chat",), "qwen", "secret")

    handover = prepare(target(endpoint=endpoint))

    assert config(handover)["agent"]["title"] == {"model": MODEL}
    assert not {"NO_PROXY", "no_proxy"} & set(handover.env)


def test_a_local_engine_bypasses_every_proxy_and_what_was_excluded_stays_so() -> None:
    env = prepare(target(environ={"HOME": "/home/u", "NO_PROXY": "corp.example"})).env

    wanted = "corp.example,127.0.0.1,localhost,::1,127.0.0.1:8080"
    assert (env["NO_PROXY"], env["no_proxy"]) == (wanted, wanted)


def test_slim_takes_tools_away_by_the_weakest_rule_there_is() -> None:
    assert "tools" not in config(prepare(target()))

    slim = config(prepare(target(slim="on")))

    off = ("question", "skill", "task", "todowrite", "webfetch")
    assert slim["tools"] == dict.fromkeys(off, False)
    assert "permission" not in slim


def test_a_window_that_is_too_small_is_not_compacted() -> None:
    tight = target(window=6_144)

    assert tight.context.compact_at_tokens is None
    assert config(prepare(tight))["compaction"] == {"auto": False}


def test_it_compacts_when_the_window_less_one_reply_is_used_up() -> None:
    assert AGENT.compaction.point(32_768, 4_096) == 28_672


def test_a_model_that_must_not_think_is_told_so() -> None:
    model = config(prepare(target(thinking_off=True)))["provider"][PROVIDER]["models"]["qwen"]

    assert model["options"] == {
        "reasoningEffort": "none",
        "chat_template_kwargs": {"enable_thinking": False},
    }


def test_stored_logins_keys_and_calls_home_are_off() -> None:
    environ = {"HOME": "/home/u", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "AWS_PROFILE": "work"}

    env = prepare(target(environ=environ)).env

    switches = {name: value for name, value in env.items() if value in ("1", "{}")}
    assert switches == {
        "OPENCODE_AUTH_CONTENT": "{}",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_SHARE": "1",
    }
    taken = {name for name, value in env.items() if value is UNSET}
    assert taken >= {
        *PROVIDER_KEYS,
        "OPENCODE_TEST_MANAGED_CONFIG_DIR",
        "OPENCODE_DISABLE_AUTOCOMPACT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    }
    assert "AWS_PROFILE" not in env


def test_the_users_own_home_keeps_all_his_folders() -> None:
    env = prepare(target()).env

    assert not {name for name in env if name.startswith("XDG_")}
    assert not {"OPENCODE_CONFIG", "OPENCODE_CONFIG_DIR", "OPENCODE_PERMISSION"} & set(env)


def test_a_clean_home_moves_its_folders_and_shares_gits_settings() -> None:
    handover = prepare(target(home="clean"))

    moved = {name: value for name, value in handover.env.items() if name.startswith("XDG_")}
    assert moved == {
        "XDG_CONFIG_HOME": str(CLEAN / "config"),
        "XDG_DATA_HOME": str(CLEAN / "data"),
        "XDG_STATE_HOME": str(CLEAN / "state"),
    }
    assert handover.env["OPENCODE_CONFIG_DIR"] is UNSET
    assert handover.links == (Link(CLEAN / "config" / "git", Path("/home/u/.config/git")),)


@pytest.mark.parametrize(
    "args",
    [
        ("--model", "openai/gpt"),
        ("run", "-m", "openai/gpt", "hi"),
        ("run", "--model=openai/gpt", "hi"),
        ("run", "--attach", "http://elsewhere"),
        ("run", "--share", "hi"),
        ("auth", "login"),
        ("serve",),
        ("upgrade",),
    ],
)
def test_arguments_that_leave_this_launch_are_refused(args: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        prepare(target(*args))


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("run", "hi"),
        ("--continue",),
        ("--session", "ses_1"),
        ("run", "--agent", "plan", "--", "-m"),
    ],
)
def test_every_other_argument_reaches_the_agent(args: tuple[str, ...]) -> None:
    assert prepare(target(*args)).argv[2:] == args


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("run", "hi"), True),
        (("--print-logs", "run", "hi"), True),
        (("run", "--interactive"), False),
        (("run", "-i"), False),
        (("--continue",), False),
        ((), False),
        (("folder", "run"), False),
    ],
)
def test_run_answers_one_prompt_and_ends(args: tuple[str, ...], expected: bool) -> None:
    assert is_headless(args) is expected


def test_its_own_settings_get_the_provider_and_both_models_with_the_key_by_reference() -> None:
    (edit,) = configure(target())

    assert isinstance(edit, SetKeys)
    assert edit.path == Path("/home/u/.config/opencode/opencode.jsonc")
    assert set(edit.values) == {("provider", "agentlaunch"), ("model",), ("small_model",)}
    assert edit.values["model",] == edit.values["small_model",] == "agentlaunch/qwen"
    provider = edit.values["provider", "agentlaunch"]
    assert isinstance(provider, dict)
    assert provider["options"]["apiKey"] == "{env:AGENTLAUNCH_ENGINE_KEY}"


def test_its_own_settings_follow_the_variable_that_moves_them() -> None:
    environ = {"HOME": "/home/u", "XDG_CONFIG_HOME": "/conf"}

    (edit,) = configure(target(environ=environ))

    assert edit.path == Path("/conf/opencode/opencode.jsonc")


def test_a_name_that_would_be_replaced_is_not_written_into_the_users_settings() -> None:
    endpoint = Endpoint("http://127.0.0.1:8080", ("openai_chat",), "{file:~/.netrc}")

    with pytest.raises(UsageError):
        configure(target(endpoint=endpoint))


def test_what_an_untrusted_project_would_run_is_seen_wherever_it_stands(tmp_path: Path) -> None:
    planted = PLANTED / "project-runs"

    seen = look(AGENT, planted, tmp_path)

    assert sorted((str(row.file.relative_to(planted)), row.what) for row in seen.runs) == [
        (".opencode/plugin/one.js", ""),
        (".opencode/plugins/two.ts", ""),
        (".opencode/tool/three.ts", ""),
        ("opencode.json", "formatter.canary.command: touch @RAN@-formatter"),
        ("opencode.json", "instructions.0: http://127.0.0.1:9/instructions?{env:HOME}"),
        ("opencode.json", "lsp.canary.command: touch @RAN@-lsp"),
        ("opencode.json", "mcp.canary.command: touch @RAN@-mcp"),
        ("opencode.json", "mcp.far.url: http://127.0.0.1:9/mcp"),
        ("opencode.json", "plugin: ./plugin-of-config.js"),
        ("tui.json", "plugin: ./plugin-of-config.js"),
    ]
    assert seen.overridden == ()


def test_an_administrators_file_stands_above_the_launch() -> None:
    rows = {row.path: row for row in AGENT.watched if row.outranks}

    assert set(rows["/etc/opencode/opencode.json"].redirects) >= {"enabled_providers"}


def test_it_is_found_by_its_names() -> None:
    assert AGENTS["opencode"] is AGENT
    assert find("Open-Code") is AGENT


@pytest.mark.parametrize(
    "value",
    [
        {"provider": {"x": {"npm": "file:///evil.mjs"}}},
        {"provider": {"x": {"models": {"m": {"provider": {"npm": "file:///evil.mjs"}}}}}},
        {"provider": {"x": {"npm": "evil-package"}}},
        {"provider": {"x": {"npm": "@evil/package"}}},
        {"provider": {"x": {"npm": "@ai-evil/package"}}},
        {"provider": {"x": {"npm": "@ai-sdk/openai@file:./evil"}}},
        {"plu{env:NOT_SET}gin": ["./evil.js"]},
        {"mcp": {"x": {"comm{file:./nothing}and": ["touch", "it"]}}},
        {"instructions": ["https:{env:NOT_SET}//evil.example"]},
    ],
)
def test_code_of_a_provider_and_hidden_keys_of_a_project_are_seen(
    value: object, tmp_path: Path
) -> None:
    file = tmp_path / "opencode.json"
    file.write_text(json.dumps(value))
    assert [row.file for row in look(AGENT, tmp_path, tmp_path / "c").runs] == [file]


def test_a_file_that_speaks_of_our_own_provider_stops_the_launch(tmp_path: Path) -> None:
    (provider,) = config(prepare(target()))["provider"]
    rows = {provider: {"models": {"m": {"provider": {"api": "http://evil.example"}}}}}
    (tmp_path / "opencode.json").write_text(json.dumps({"provider": rows}))
    with pytest.raises(Refused, match=provider):
        look(AGENT, tmp_path, tmp_path / "c")


def test_what_config_wrote_does_not_stop_a_launch(tmp_path: Path) -> None:
    rows = {"agentlaunch": {"options": {"baseURL": "http://127.0.0.1:1/v1"}}}
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "opencode.jsonc").write_text(json.dumps({"provider": rows}))
    assert look(AGENT, tmp_path, tmp_path / "c").runs == ()


def test_a_provider_that_names_a_usual_package_runs_nothing(tmp_path: Path) -> None:
    rows = {"x": {"npm": "@ai-sdk/openai-compatible"}}
    (tmp_path / "opencode.json").write_text(json.dumps({"provider": rows}))
    assert look(AGENT, tmp_path, tmp_path / "c").runs == ()
