"""A host that is not this machine: asked about once, named at every launch, taken back at will."""

from __future__ import annotations

import io
import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

from agentlaunch import settings
from agentlaunch.cli import main
from anthropic_server import AnthropicServer
from launcher import fake_agent
from ollama_server import OllamaServer, running
from shaped_server import ShapedServer, bearer

KEY = "sk-canary-0123456789"
FAR = "http://192.0.2.1:8000"
"""An address that is nobody's (RFC 5737): where nothing may be sent, nothing is missed."""


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake Claude Code on PATH, a folder that is no project, no proxy in between."""
    monkeypatch.setenv("PATH", str(fake_agent(tmp_path / "bin", "")))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def far() -> Iterator[tuple[AnthropicServer, str]]:
    """A server under an address that is not loopback by its text, but leads here."""
    with AnthropicServer(model="m", max_model_len=65_536) as server:
        yield server, server.url.replace("127.0.0.1", "0.0.0.0")


@pytest.fixture
def become(mocker: MockerFixture) -> Iterator[Any]:
    """`os.execvpe`, which here ends the launch with status 42; signals are put back after."""
    before = {sign: signal.getsignal(sign) for sign in (signal.SIGTERM, signal.SIGPIPE)}
    yield mocker.patch("os.execvpe", side_effect=SystemExit(42))
    for sign, handler in before.items():
        signal.signal(sign, handler)


def _at_a_terminal(monkeypatch: pytest.MonkeyPatch, types: str, *argv: str) -> tuple[int, str]:
    """Run at a terminal on which a person types this; the status and what was said."""
    screen = _Terminal()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdin", _Terminal(types))
        patch.setattr("sys.stderr", screen)
        patch.setenv("TERM", "dumb")
        try:
            status = main(argv)
        except SystemExit as stop:  # became the agent
            status = int(str(stop.code))
    return status, screen.getvalue()


def _allowed() -> str | None:
    value: str | None = settings.load()["allowed_hosts"].value
    return value


def _document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


# --- where nobody can be asked -------------------------------------------------------------------


@pytest.mark.parametrize("command", [("up", "claude-code"), ("env", "claude-code"), ("bench", "m")])
@pytest.mark.parametrize("more", [(), ("--yes",), ("--no-input",)])
def test_without_a_terminal_the_host_is_refused_and_the_way_out_named(
    command: tuple[str, ...], more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--engine", FAR, *more]) == 8
    said = capsys.readouterr().err
    assert FAR in said
    assert "--allow-remote" in said
    assert f'agentlaunch config set allowed_hosts "{FAR}"' in said


@pytest.mark.parametrize("name", ["openrouter", "anthropic", "https://openrouter.ai/api/v1"])
def test_a_companys_service_needs_the_word_like_any_other_host(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    assert main(["up", "claude-code", "--engine", name, "--model", "m"]) == 8
    assert KEY not in capsys.readouterr().err


def test_a_dry_run_names_the_host_and_what_would_be_asked(
    far: tuple[AnthropicServer, str], capsys: pytest.CaptureFixture[str]
) -> None:
    _server, url = far
    assert main(["up", "claude-code", "--engine", url, "--dry-run", "--json"]) == 0
    document = _document(capsys)
    warnings = {row["code"]: row["message"] for row in document["warnings"]}
    assert url in warnings["remote-engine"]
    assert "--allow-remote" in warnings["needs-your-word"]
    assert "unencrypted" in warnings["code-in-clear"]
    assert document["data"]["model"] == "m"


def test_a_dry_run_sends_no_key_before_the_word_and_says_that_one_is_wanted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTLAUNCH_ENGINE_KEY", KEY)
    with ShapedServer({"GET /v1/models": (200, {"data": []})}, guard=bearer(KEY)) as server:
        url = server.url.replace("127.0.0.1", "0.0.0.0")
        assert main(["up", "claude-code", "--engine", url, "--dry-run"]) == 8
        assert [row.headers.get("authorization") for row in server.requests] == [None]
    said = capsys.readouterr().err
    assert "before your word" in said
    assert "--allow-remote" in said


def test_the_flag_allows_it_once_and_keeps_nothing(
    far: tuple[AnthropicServer, str], become: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    _server, url = far
    with pytest.raises(SystemExit):
        main(["up", "claude-code", "--engine", url, "--allow-remote"])
    assert f"it goes to {url}" in capsys.readouterr().err
    assert become.call_count == 1
    assert _allowed() is None
    assert main(["up", "claude-code", "--engine", url]) == 8


# --- the question --------------------------------------------------------------------------------


def test_the_word_is_asked_once_kept_and_the_host_still_named(
    far: tuple[AnthropicServer, str],
    become: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _server, url = far
    launch = ("up", "claude-code", "--engine", url)
    status, said = _at_a_terminal(monkeypatch, "y\n", *launch)
    assert status == 42
    assert f"to {url}" in said
    assert "[y/N]" in said
    assert _allowed() == url
    status, said = _at_a_terminal(monkeypatch, "", *launch)
    assert status == 42
    assert "[y/N]" not in said
    assert f"it goes to {url}" in said
    assert main(["config"]) == 0
    assert url in capsys.readouterr().out
    assert main(["config", "unset", "allowed_hosts"]) == 0
    assert main(list(launch)) == 8
    assert become.call_count == 2


@pytest.mark.parametrize("types", ["\n", "n\n", "", "yes please\n"])
def test_anything_but_yes_is_no_and_nothing_is_sent(
    types: str, far: tuple[AnthropicServer, str], monkeypatch: pytest.MonkeyPatch, become: Any
) -> None:
    server, url = far
    for more in ((), ("--yes",)):  # `--yes` answers routine questions, and this is none
        status, said = _at_a_terminal(
            monkeypatch, types, "up", "claude-code", "--engine", url, *more
        )
        assert status == 8
        assert "nothing was sent" in said
    assert (server.requests, become.call_count, _allowed()) == ([], 0, None)


def test_the_question_says_what_a_company_does_with_the_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status, said = _at_a_terminal(
        monkeypatch, "n\n", "up", "claude-code", "--engine", "openrouter", "--model", "m"
    )
    assert status == 8
    assert "OpenRouter passes it on" in " ".join(said.split())


# --- who may give it -----------------------------------------------------------------------------


@pytest.mark.parametrize("line", ['allowed_hosts = "{}"', 'vllm_url = "{}"', 'engine = "{}"'])
def test_a_project_may_neither_allow_a_host_nor_move_a_server(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("agentlaunch.toml").write_text(line.format(FAR) + "\n")
    assert main(["up", "claude-code", "--engine", FAR]) == 8
    assert "a project file may not set" in capsys.readouterr().err


def test_the_setting_is_written_in_one_spelling_and_joined(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["config", "set", "allowed_hosts", "https://H.example:443/v1 http://b:1"]) == 0
    assert _allowed() == "https://h.example, http://b:1"
    assert main(["config", "set", "allowed_hosts", "h.example"]) == 2
    assert main(["config", "set", "allowed_hosts", f"https://u:{KEY}@h"]) == 2
    assert KEY not in capsys.readouterr().err


def test_a_server_moved_by_the_settings_is_asked_there(
    far: tuple[AnthropicServer, str], capsys: pytest.CaptureFixture[str]
) -> None:
    server, _url = far
    assert main(["config", "set", "vllm_url", server.url + "/v1"]) == 0
    assert main(["up", "claude-code", "--engine", "VLLM", "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert f"{server.url} was asked for and serves m" in document["data"]["because"]
    assert main(["config", "set", "vllm_url", "http://169.254.169.254"]) == 8


@pytest.fixture
def far_ollama(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    """An Ollama at this machine's own name, which is no loopback by its text, with a key."""
    name = socket.gethostname()
    try:
        here = socket.gethostbyname(name).startswith("127.")
    except OSError:
        here = False
    if not here:
        pytest.skip("this machine's name does not lead to loopback")
    with running(name) as server:
        monkeypatch.setenv("OLLAMA_HOST", f"http://{name}:{server.port}")
        monkeypatch.setenv("AGENTLAUNCH_ENGINE_KEY", KEY)
        monkeypatch.delenv("AGENTLAUNCH_ENGINE")
        server.add("qwen3.5:4b", capabilities=("completion", "tools"))
        yield server


def _sent(server: OllamaServer) -> set[str | None]:
    return {seen.authorization for seen in server.seen}


@pytest.mark.parametrize("more", [(), ("--engine", "ollama"), ("--model", "qwen3.5:4b")])
def test_an_ollama_elsewhere_needs_the_word_and_gets_no_key_before(
    far_ollama: OllamaServer, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["up", "claude-code", "--no-input", *more]) == 8
    assert "--allow-remote" in capsys.readouterr().err
    assert main(["up", "claude-code", "--dry-run", *more]) == 0
    assert main(["models"]) == 0
    assert _sent(far_ollama) == {None}


def test_an_ollama_elsewhere_is_not_asked_where_another_engine_is_named(
    far_ollama: OllamaServer, far: tuple[AnthropicServer, str]
) -> None:
    server, _url = far
    assert main(["up", "claude-code", "--engine", server.url, "--dry-run"]) == 0
    assert main(["up", "claude-code", "--engine", "embedded", "--offline", "--dry-run"]) == 0
    assert far_ollama.seen == []


def test_an_ollama_with_the_word_gets_its_key_and_serves(
    far_ollama: OllamaServer, become: Any
) -> None:
    far_ollama.key = KEY
    far_ollama.trained_tokens = 262_144
    with pytest.raises(SystemExit):
        main(["up", "claude-code", "--allow-remote"])
    assert _sent(far_ollama) == {None, f"Bearer {KEY}"}
    (call,) = become.call_args_list
    assert "qwen3.5:4b-64k-agentlaunch" in call.args[1]


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("vlm", "did you mean vllm?"),
        ("LMStudioo", "did you mean lmstudio?"),
        ("olama", "did you mean ollama?"),
        ("openruoter", "did you mean openrouter?"),
        ("quux", "engines: embedded, ollama, hosted, llama-server"),
    ],
)
def test_a_typing_error_in_an_engine_is_mended(
    typed: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["up", "claude-code", "--engine", typed, "--dry-run"]) == 2
    assert hint in capsys.readouterr().err


def test_every_option_of_a_server_stays_out_of_the_documents(
    far: tuple[AnthropicServer, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server, url = far
    server.token = KEY
    monkeypatch.setenv("AGENTLAUNCH_ENGINE_KEY", KEY)
    asked = ("up", "claude-code", "--engine", url, "--allow-remote", "--dry-run")
    assert main([*asked, "--json", "--debug", "-v"]) == 0
    out, err = capsys.readouterr()
    assert KEY not in out + err
    assert "the key travel" in out
