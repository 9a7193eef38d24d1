"""Rules are kept by every command, whatever flag is given; what they forbid is asked nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ollama_server
import schemas
from agentlaunch import settings, survey, web
from agentlaunch.agents import AGENTS
from agentlaunch.cli import main
from agentlaunch.commands import looking, menu, ruling
from agentlaunch.records import Records
from agentlaunch.talk import Policy as TalkPolicy
from agentlaunch.talk import Talk
from anthropic_server import AnthropicServer
from launcher import fake_agent
from ollama_server import OllamaServer
from shaped_server import ShapedServer

KEY = "sk-canary-0123456789"
TOOLS = ("completion", "tools")
LOCAL_ONLY = "data = 'local-only'\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, a fake Claude Code on PATH, no proxy in between, a key that must not travel."""
    monkeypatch.setenv("PATH", str(fake_agent(tmp_path / "bin", "")))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AGENTLAUNCH_ENGINE_KEY", KEY)
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "etc"))
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def _rule(text: str, place: str = "project") -> Path:
    """Rules in one of the files; that file."""
    (site,) = settings.machine_files()[-1:]
    file = {
        "project": Path.cwd() / "agentlaunch.toml",
        "user": settings.paths().user_file,
        "machine": site,
    }[place]
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as stream:
        stream.write(text)
    return file


@pytest.fixture
def far() -> Iterator[tuple[AnthropicServer, str]]:
    """A server under an address that is not loopback by its text, but leads here; allowed."""
    with AnthropicServer(model="m", max_model_len=65_536) as server:
        url = server.url.replace("127.0.0.1", "0.0.0.0")
        _rule(f"allowed_hosts = '{url}'\n", "user")
        yield server, url


@pytest.fixture
def ollama(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    """An Ollama of this machine with three models, one of them in its cloud."""
    monkeypatch.delenv("AGENTLAUNCH_ENGINE")
    with ollama_server.running() as fake:
        monkeypatch.setenv("OLLAMA_HOST", fake.url)
        fake.add("qwen3.5:4b", capabilities=TOOLS)
        fake.add("gpt-oss:20b", capabilities=TOOLS)
        fake.add("elsewhere:7b", remote_host="https://ollama.com:443", capabilities=TOOLS)
        yield fake


def _said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


def _plan(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    assert main(["up", "claude-code", "--dry-run", "--json", *argv]) == 0
    document = json.loads(capsys.readouterr().out)
    schemas.check(document)
    return document["data"]


# ---- nothing leaves this machine ------------------------------------------------------------


@pytest.mark.parametrize("place", ["project", "user", "machine"])
@pytest.mark.parametrize(
    "command",
    [
        ("up", "claude-code", "--yes"),
        ("up", "claude-code", "--skip-proof", "--yes"),
        ("up", "claude-code", "--dry-run"),
        ("up", "claude-code", "--config", "--yes"),
        ("env", "claude-code"),
        ("bench", "m"),
        ("prove", "claude-code", "--yes"),
    ],
)
def test_local_only_beats_an_allowed_host_and_every_flag(
    command: tuple[str, ...],
    place: str,
    far: tuple[AnthropicServer, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    server, url = far
    file = _rule(LOCAL_ONLY, place)
    allow = ("--allow-remote",)
    assert main([*command, "--engine", url, *allow]) == 8
    said = _said(capsys)
    assert f"{url} is not this machine, and nothing may leave it" in said
    assert f'data = "local-only" in {file}' in said
    assert server.requests == []


@pytest.mark.parametrize("name", ["openrouter", "anthropic", "openai", "litellm"])
def test_local_only_forbids_companies_and_relays(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _rule(LOCAL_ONLY)
    assert main(["up", "claude-code", "--engine", name, "--model", "m", "--allow-remote"]) == 8
    assert 'data = "local-only"' in _said(capsys)


def test_any_in_a_project_loosens_nothing(
    far: tuple[AnthropicServer, str], capsys: pytest.CaptureFixture[str]
) -> None:
    server, url = far
    _rule(LOCAL_ONLY, "machine")
    _rule("data = 'any'\n")
    assert main(["up", "claude-code", "--engine", url, "--allow-remote"]) == 8
    assert "only whoever administers this machine can change" in _said(capsys)
    assert server.requests == []


def test_without_a_rule_the_same_server_is_asked(
    far: tuple[AnthropicServer, str], capsys: pytest.CaptureFixture[str]
) -> None:
    server, url = far
    assert _plan(capsys, "--engine", url)["model"] == "m"
    assert server.requests


@pytest.mark.parametrize(
    "command",
    [
        ("up", "claude-code", "--engine", "ollama", "--model", "qwen3.5:4b", "--allow-remote"),
        ("models", "pull", "qwen3.5:4b", "--engine", "ollama", "--allow-remote"),
        ("models", "prune", "--allow-remote", "--yes"),
        ("engines", "stop", "ollama", "--allow-remote", "--yes"),
    ],
)
def test_local_only_asks_nothing_of_an_ollama_elsewhere(
    command: tuple[str, ...],
    ollama: OllamaServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "http://192.0.2.1:11434")
    _rule(LOCAL_ONLY)
    assert main(list(command)) == 8
    assert "ollama is not this machine (http://192.0.2.1:11434)" in _said(capsys)


def test_where_nobody_named_an_engine_an_ollama_elsewhere_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AGENTLAUNCH_ENGINE")
    monkeypatch.setenv("OLLAMA_HOST", "http://192.0.2.1:11434")
    file = _rule(LOCAL_ONLY)
    data = _plan(capsys, "--model", "qwen3.5:4b")
    assert data["engine"] == "embedded"
    assert f"Ollama is not used: data in {file}" in data["because"]


@pytest.mark.parametrize("name", ["gpt-oss:120b-cloud", "glm-5:cloud"])
def test_local_only_forbids_the_cloud_of_an_ollama_that_is_here(
    name: str, ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _rule(LOCAL_ONLY)
    assert main(["up", "claude-code", "--model", name]) == 8
    assert f'nothing may leave this machine: data = "local-only" in {file}' in _said(capsys)
    assert {seen.path for seen in ollama.seen} <= {"/api/version", "/api/tags", "/api/ps"}


def test_local_only_refuses_an_ollama_by_its_address_since_its_cloud_is_not_seen_so(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    _rule(LOCAL_ONLY)
    assert main(["up", "claude-code", "--engine", ollama.url, "--model", "qwen3.5:4b"]) == 8
    assert "use it by its own API, which tells its cloud's models" in _said(capsys)


def test_local_only_lets_what_is_here_serve(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    _rule(LOCAL_ONLY)
    assert _plan(capsys, "--model", "qwen3.5:4b")["engine"] == "ollama"
    data = _plan(capsys, "--engine", "embedded", "--model", "qwen3.5:4b")
    assert data["engine"] == "embedded"


@pytest.mark.parametrize("command", [("engines",), ("doctor",)])
def test_a_look_asks_nothing_of_a_server_elsewhere(
    command: tuple[str, ...], far: tuple[AnthropicServer, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, url = far
    monkeypatch.setenv("AGENTLAUNCH_ENGINE", url)
    main(list(command))
    assert server.requests
    server.requests.clear()
    _rule(LOCAL_ONLY)
    main(list(command))
    assert server.requests == []


@pytest.mark.parametrize("command", [("engines",), ("doctor",)])
def test_a_look_asks_nothing_of_an_ollama_elsewhere(
    command: tuple[str, ...], ollama: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", ollama.url.replace("127.0.0.1", "0.0.0.1"))
    asked: list[str] = []
    real = web.request

    def noted(method: str, url: str, **more: Any) -> Any:
        asked.append(url)
        return real(method, url, **more)

    monkeypatch.setattr(web, "request", noted)
    main(list(command))
    assert [url for url in asked if "0.0.0.1" in url]
    asked.clear()
    _rule(LOCAL_ONLY)
    main(list(command))
    assert [url for url in asked if "0.0.0.1" in url] == []


def test_a_submodule_is_a_part_of_its_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _rule(LOCAL_ONLY)
    part = project / "part"
    part.mkdir()
    (part / ".git").write_text("gitdir: ../.git/modules/part\n")
    monkeypatch.chdir(part)
    assert main(["policy", "check", "--engine", "openrouter", "--model", "m"]) == 3


def test_no_agent_is_installed_that_is_not_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    _rule('allowed_agents = ["claude-code"]\n')
    assert main(["agents", "install", "codex", "--yes"]) == 8
    assert "codex is not an allowed agent" in _said(capsys)


@pytest.mark.parametrize("command", [("engines",), ("hosted", "status")])
def test_a_server_that_is_not_allowed_gets_no_key(
    command: tuple[str, ...], far: tuple[AnthropicServer, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, url = far
    monkeypatch.setenv("AGENTLAUNCH_ENGINE", url)
    monkeypatch.setenv("AGENTLAUNCH_HOSTED_URL", url)
    _rule('allowed_engines = ["embedded"]\n')
    assert main(list(command)) == (8 if command[0] == "hosted" else 0)
    assert server.requests == []


@pytest.mark.parametrize("engine", ["local", "auto", "ollama", "embedded"])
def test_the_cloud_of_an_ollama_is_told_before_a_launch_refuses_it(
    engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _rule(LOCAL_ONLY)
    assert main(["policy", "check", "--engine", engine, "--model", "x:120b-cloud"]) == 3
    assert "runs in the cloud" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", [("engines",), ("doctor",)])
def test_a_look_lets_nothing_leave_where_the_rules_cannot_be_read(
    command: tuple[str, ...], far: tuple[AnthropicServer, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, url = far
    monkeypatch.setenv("AGENTLAUNCH_ENGINE", url)
    _rule("[policy]\nallowed_model = ['x']\n")
    main(list(command))
    assert server.requests == []


def test_doctor_tells_a_setting_that_breaks_a_rule(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTLAUNCH_ENGINE", "openrouter")
    file = _rule(LOCAL_ONLY, "machine")
    assert main(["doctor", "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    schemas.check(document)
    (row,) = [row for row in document["data"]["findings"] if row["name"] == "policy"]
    assert row["status"] == "error"
    assert f'data = "local-only" in {file}' in row["message"]


def test_doctor_tells_rules_that_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    file = _rule("data = 3\n", "machine")
    assert main(["doctor"]) == 3
    assert f"{file}: data is not one of" in " ".join(capsys.readouterr().out.split())


# ---- files that cannot be read --------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ("up", "claude-code"), ("env",), ("bench", "m"), ("prove",), ("models",),
        ("models", "pull", "m"), ("models", "prune"), ("policy",), ("policy", "check"),
        ("up", "claude-code", "--config"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["project", "user", "machine"])
def test_a_rule_that_is_not_understood_ends_every_command(
    place: str, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    file = _rule("[policy]\nalowed_models = ['a']\n", place)
    assert main([*command, "--no-input"]) == 8
    assert f"{file}: policy.'alowed_models' is no rule" in _said(capsys)


# ---- agents ---------------------------------------------------------------------------------


def test_an_agent_that_is_not_allowed_is_refused_before_anything_is_asked(
    far: tuple[AnthropicServer, str], capsys: pytest.CaptureFixture[str]
) -> None:
    server, url = far
    file = _rule("allowed_agents = ['codex', 'pi']\n")
    assert main(["up", "claude", "--engine", url]) == 8
    said = _said(capsys)
    assert "claude-code is not an allowed agent" in said
    assert f'allowed_agents = ["codex", "pi"] in {file}' in said
    assert server.requests == []


@pytest.mark.parametrize(
    ("versions", "status"), [(">=2.1.100,<3", 0), (">=2.2", 8), ("==2.1.197", 0), ("<2.1.197", 8)]
)
def test_the_agents_version_is_judged_when_it_is_known(
    versions: str,
    status: int,
    far: tuple[AnthropicServer, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    _rule(f"allowed_agents = ['claude-code {versions}']\n")
    assert main(["up", "claude-code", "--engine", far[1], "--dry-run"]) == status
    said = _said(capsys)
    assert ("claude-code 2.1.197 is not an allowed version" in said) is bool(status)


@pytest.mark.parametrize(
    ("prints", "status"), [("2.1.150 (Claude Code)", 0), ("2.0.1", 8), ("none", 8)]
)
def test_a_version_that_no_package_tells_is_asked_of_the_agent(
    prints: str,
    status: int,
    tmp_path: Path,
    far: tuple[AnthropicServer, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake_agent(tmp_path / "bin", f"print({prints!r})\n")
    (tmp_path / "bin" / "package.json").unlink()
    _rule("allowed_agents = ['claude-code >=2.1.100']\n")
    assert main(["up", "claude-code", "--engine", far[1], "--dry-run"]) == status
    if prints == "none":
        assert "it is not known which version of claude-code this is" in _said(capsys)


def test_where_no_agent_was_named_the_first_allowed_one_is_taken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _rule("allowed_agents = ['opencode']\n")
    Records(settings.paths().state).remember("choices", "last", {"agent": "claude-code"})
    assert main(["up", "--model", "qwen3.5:4b", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["agent"] == "opencode"


# ---- engines --------------------------------------------------------------------------------


def test_an_engine_that_is_not_allowed_is_refused_before_it_is_asked(
    far: tuple[AnthropicServer, str], capsys: pytest.CaptureFixture[str]
) -> None:
    server, url = far
    _rule("allowed_engines = ['embedded', 'vllm', 'https://llm.example.com']\n")
    assert main(["up", "claude-code", "--engine", url, "--allow-remote"]) == 8
    assert f"{url} is not an allowed engine" in _said(capsys)
    assert server.requests == []


def test_a_server_here_is_allowed_by_what_it_turns_out_to_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _rule("allowed_engines = ['vllm']\n")
    rows = [{"id": "m", "owned_by": "vllm", "max_model_len": 65_536}]
    answers = {
        "GET /v1/models": (200, {"data": rows}),
        "GET /version": (200, {"version": "0.33.0"}),
        "POST /v1/messages": (400, {"error": {"message": "no body"}}),
    }
    with ShapedServer(answers) as server:
        argv = ["up", "claude-code", "--engine", server.url, "--dry-run"]
        assert main(argv) == 0
        server.requests.clear()
        _rule("allowed_engines = ['lm-studio']\n", "user")
        assert main(argv) == 8
        assert server.requests  # only by asking it is known
        assert f"{server.url} is not an allowed engine" in _said(capsys)
        server.requests.clear()
        _rule("allowed_engines = ['embedded', 'openai']\n", "machine")
        assert main(argv) == 8
        assert server.requests == []  # it can be neither


@pytest.mark.parametrize(
    ("allowed", "engine"), [("['embedded']", "embedded"), ("['ollama']", "ollama")]
)
def test_where_nobody_named_an_engine_an_allowed_one_is_taken(
    allowed: str, engine: str, ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _rule(f"allowed_engines = {allowed}\n")
    data = _plan(capsys, "--model", "qwen3.5:4b")
    assert data["engine"] == engine
    assert any(f"allowed_engines in {file}" in text for text in data["because"])
    assert (ollama.seen == []) is (engine == "embedded")


def test_where_only_a_server_elsewhere_is_allowed_that_is_taken(
    far: tuple[AnthropicServer, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("AGENTLAUNCH_ENGINE")
    _rule(f"allowed_engines = ['{far[1]}']\n")
    _plan(capsys)
    assert far[0].requests


def test_where_no_engine_is_allowed_there_is_no_launch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AGENTLAUNCH_ENGINE")
    _rule("allowed_engines = []\n")
    assert main(["up", "claude-code", "--dry-run"]) == 8
    assert "no engine of this machine is allowed: allowed_engines = []" in _said(capsys)


def test_an_engine_of_the_last_time_that_is_forbidden_now_is_not_taken_again(
    far: tuple[AnthropicServer, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server, url = far
    monkeypatch.delenv("AGENTLAUNCH_ENGINE")
    Records(settings.paths().state).remember("habits", "claude-code", {"engine": url, "model": "m"})
    _rule(LOCAL_ONLY)
    assert main(["up", "claude-code", "--dry-run"]) == 0
    assert "not as the last time" in _said(capsys)
    assert server.requests == []


def test_an_endpoint_that_is_forbidden_is_left_out_of_the_routes_and_not_asked(
    far: tuple[AnthropicServer, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server, url = far
    monkeypatch.delenv("AGENTLAUNCH_ENGINE")
    _rule(f"[routes]\nmain = '{url}, embedded#qwen3.5:4b'\n", "user")
    file = _rule(LOCAL_ONLY)
    assert main(["up", "claude-code", "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["data"]["engine"], server.requests) == ("embedded", [])
    (text,) = [w["message"] for w in document["warnings"] if w["code"] == "endpoint-not-allowed"]
    assert f'data = "local-only" in {file}' in text


def test_two_files_that_allow_one_engine_each_leave_none_and_are_both_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AGENTLAUNCH_ENGINE")
    files = [
        _rule("allowed_engines = ['ollama']\n"),
        _rule("allowed_engines = ['embedded']\n", "user"),
    ]
    assert main(["up", "claude-code", "--dry-run"]) == 8
    said = _said(capsys)
    assert all(str(file) in said for file in files)


# ---- models ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ("up", "claude-code", "--model", "gpt-oss:20b", "--yes"),
        ("up", "claude-code", "--model", "gpt-oss:20b", "--skip-proof"),
        ("env", "claude-code", "--model", "gpt-oss:20b"),
        ("bench", "gpt-oss:20b"),
        ("prove", "claude-code", "--model", "gpt-oss:20b", "--yes"),
        ("models", "pull", "gpt-oss:20b", "--yes"),
        ("up", "claude-code", "--config", "--model", "gpt-oss:20b", "--yes"),
    ],
)
@pytest.mark.parametrize("engine", ["embedded", "ollama"])
def test_a_model_that_is_not_allowed_is_refused_by_every_command(
    command: tuple[str, ...], engine: str, ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    if "--config" in command:  # nothing can be configured for an engine of ours
        engine = "ollama"
    file = _rule("allowed_models = ['qwen3*', 'x']\n")
    assert main([*command, "--engine", engine]) == 8
    said = _said(capsys)
    assert 'gpt-oss:20b is not an allowed model: allowed_models = ["qwen3*", "x"]' in said
    assert f"in {file}" in said


def test_the_choice_is_among_allowed_models(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _plan(capsys)["model"]
    file = _rule("allowed_models = ['gpt-oss*']\n")
    data = _plan(capsys)
    assert (before, data["model"]) == ("qwen3.5:4b", "gpt-oss:20b")
    assert f"chosen among allowed models (allowed_models in {file})" in data["because"]


def test_the_menu_offers_only_allowed_models_and_agents(ollama: OllamaServer) -> None:
    _rule("allowed_models = ['gpt-oss*']\nallowed_agents = ['claude-code', 'pi']\n")
    talk = Talk(TalkPolicy())
    asked = looking.look(talk, {"agent": "claude-code"}, ())
    names = {offer.ref.partition(":")[0] for offer in menu.offers(talk, asked, {})}
    assert names == {"gpt-oss"}
    states = [survey.find_agent(row, settings.paths(), node=False) for row in AGENTS.values()]
    assert [row.agent.name for row in ruling.may_start(states)] == ["claude-code", "pi"]


def test_models_lists_only_allowed_ones(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    _rule("allowed_models = ['gpt-oss*']\n")
    assert main(["models", "--all", "--json", "--offline"]) == 0
    rows = json.loads(capsys.readouterr().out)["data"]["candidates"]
    assert {row["id"].partition(":")[0] for row in rows} == {"gpt-oss"}


def test_what_may_not_be_used_may_be_read_of(capsys: pytest.CaptureFixture[str]) -> None:
    _rule("allowed_models = ['gpt-oss*']\n")
    assert main(["models", "show", "qwen3.5:4b", "--offline"]) == 0
    assert "qwen3.5:4b is not an allowed model" in _said(capsys)


@pytest.mark.parametrize("engine", ["embedded", "ollama"])
def test_where_no_model_is_left_the_rule_is_named(
    engine: str, ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _rule("allowed_models = ['nobodys-model']\n")
    assert main(["up", "claude-code", "--dry-run", "--engine", engine]) == 8
    said = _said(capsys)
    assert "no model that is known here is allowed" in said
    assert f'allowed_models = ["nobodys-model"] in {file}' in said


def test_a_model_of_the_last_time_that_is_forbidden_now_is_not_taken_again(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    Records(settings.paths().state).remember("habits", "claude-code", {"model": "qwen3.5:4b"})
    assert _plan(capsys)["model"] == "qwen3.5:4b"
    _rule("allowed_models = ['gpt-oss*']\n")
    assert _plan(capsys)["model"] == "gpt-oss:20b"


def test_of_a_servers_models_an_allowed_one_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"id": name, "max_model_len": 65_536} for name in ("big", "small")]
    with ShapedServer({"GET /v1/models": (200, {"data": rows})}) as server:
        url = server.url
        _rule("allowed_models = ['small']\n")
        assert main(["bench", "big", "--engine", url]) == 8
        assert server.requests == []
        main(["up", "claude-code", "--engine", url, "--dry-run"])
        assert "serves several models" not in _said(capsys)
        _rule("allowed_models = ['neither']\n", "user")
        assert main(["up", "claude-code", "--engine", url, "--dry-run"]) == 8
        assert "is not an allowed model" in _said(capsys)


# ---- money ----------------------------------------------------------------------------------


def test_a_cap_lets_nothing_be_paid_for_that_no_gateway_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _rule("max_spend_per_day = 0\n")
    _rule("allowed_hosts = 'https://openrouter.ai'\n", "user")
    assert main(["policy", "check", "--engine", "openrouter"]) == 3
    assert "is paid by the token, and nothing may be spent" in " ".join(
        capsys.readouterr().out.split()
    )


def test_nothing_is_configured_past_the_gateway_that_keeps_a_cap(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _rule("max_spend_per_day = 5\n")
    argv = ["up", "claude-code", "--config", "--engine", "openrouter", "--model", "x", "--yes"]
    assert main(argv) == 8
    assert "without a gateway nothing keeps the cap: max_spend_per_day = 5" in _said(capsys)
