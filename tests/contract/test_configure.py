"""`up AGENT --config` and `restore` against a fake Ollama: written, used, given back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

import ollama_server
import schemas
from agentlaunch.changes.edit import SetKeys
from agentlaunch.changes.journal import Journal
from agentlaunch.cli import main
from agentlaunch.commands.configure import _refuse_own_rows, masked
from agentlaunch.errors import Refused
from anthropic_server import AnthropicServer
from launcher import fake_agent, snapshot
from ollama_server import OllamaServer
from wire_server import WireServer

TAG = "qwen3.5:4b-64k-agentlaunch"
SETTINGS = (
    b'{\r\n  // mine\r\n  "apiKeyHelper": "pass show anthropic",\r\n  "theme": "dark",\r\n'
    b'  "env": {"ANTHROPIC_AUTH_TOKEN": "sk-ant-canary-123", "MINE": "1"},\r\n}'
)


@pytest.fixture
def ollama(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mocker: MockerFixture
) -> Iterator[OllamaServer]:
    """A server at OLLAMA_HOST with a model of the catalog; no agent may be started."""
    with ollama_server.running() as fake:
        fake.add("qwen3.5:4b", size=10**7, capabilities=("completion", "tools"))
        monkeypatch.setenv("PATH", str(fake_agent(tmp_path / "bin", "")))
        monkeypatch.setenv("OLLAMA_HOST", fake.url)
        monkeypatch.delenv("AGENTLAUNCH_ENGINE")
        mocker.patch("os.execvpe", side_effect=AssertionError("nothing is launched"))
        yield fake


@pytest.fixture
def settings(home: Path) -> Path:
    file = home / ".claude" / "settings.json"
    file.parent.mkdir()
    file.write_bytes(SETTINGS)
    file.chmod(0o600)
    return file


def configure(*more: str) -> int:
    return main(
        ["up", "claude", "--config", "--engine", "ollama", "--model", "qwen3.5:4b",
         "--context", "65536", *more]
    )  # fmt: skip


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    found = json.loads(capsys.readouterr().out)
    schemas.check(found)
    return found


def test_it_writes_the_named_keys_and_restore_gives_the_very_bytes_back(
    ollama: OllamaServer, settings: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert configure("--yes") == 0
    said = capsys.readouterr()
    assert f"{settings}" in said.out
    assert "undo: agentlaunch restore claude-code" in said.out
    text = settings.read_text()
    assert f'"ANTHROPIC_BASE_URL": "{ollama.url}"' in text
    assert f'"ANTHROPIC_DEFAULT_HAIKU_MODEL": "{TAG}"' in text
    assert f'"model": "{TAG}"' in text
    assert '"apiKeyHelper": ""' in text
    assert '"CLAUDE_CODE_MAX_CONTEXT_TOKENS": "65536"' in text
    assert "// mine" in text
    assert '"MINE": "1"' in text
    assert "canary" not in text
    assert TAG in ollama.models
    assert ollama.loaded == {}
    assert not (home / ".claude.json").exists()
    assert main(["restore"]) == 0
    assert capsys.readouterr().out == f"restored {settings}\n"
    assert settings.read_bytes() == SETTINGS
    assert main(["restore"]) == 0
    assert capsys.readouterr().out == "nothing to restore\n"


def test_a_dry_run_shows_the_difference_without_keys_and_changes_nothing(
    ollama: OllamaServer, settings: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(home)
    assert configure("--dry-run", "--json") == 0
    found = document(capsys)
    assert found["schema"] == "agentlaunch/up-config/1"
    data = found["data"]
    (change,) = data["changes"]
    assert (data["written"], data["model"], change["path"]) == (False, TAG, str(settings))
    assert f'+  "model": "{TAG}"' in change["diff"]
    assert "canary" not in change["diff"]
    assert configure("--dry-run") == 0
    assert "canary" not in capsys.readouterr().out
    assert snapshot(home) | before == before
    assert list(ollama.models) == ["qwen3.5:4b"]


def test_nothing_is_written_where_nobody_can_be_asked(
    ollama: OllamaServer, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert configure("--no-input") == 2
    said = capsys.readouterr().err
    assert "into " + str(settings) in said
    assert "--yes" in said
    assert settings.read_bytes() == SETTINGS
    assert list(ollama.models) == ["qwen3.5:4b"]


def test_again_it_writes_nothing_and_another_model_keeps_the_first_original(
    ollama: OllamaServer, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ollama.add("qwen3.5:2b", size=10**7, capabilities=("completion", "tools"))
    assert configure("--yes") == 0
    first = settings.read_bytes()
    assert configure("--no-input") == 0
    assert settings.read_bytes() == first
    assert "configured so already" in capsys.readouterr().out
    assert configure("--yes", "--model", "qwen3.5:2b") == 0
    assert b"qwen3.5:2b-64k" in settings.read_bytes()
    assert main(["up", "claude", "--restore"]) == 0
    assert settings.read_bytes() == SETTINGS


def test_what_the_user_changed_since_stays_and_is_reported(
    ollama: OllamaServer, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert configure("--yes") == 0
    settings.write_bytes(
        settings.read_bytes().replace(b'"API_TIMEOUT_MS": "1', b'"API_TIMEOUT_MS": "9')
    )
    capsys.readouterr()
    assert main(["restore", "claude", "--json"]) == 0
    data = document(capsys)["data"]
    assert data == {
        "restored": [str(settings)],
        "kept": [{"path": str(settings), "reason": "`env.API_TIMEOUT_MS` was changed since"}],
    }
    assert b"canary" in settings.read_bytes()
    assert b"ANTHROPIC_BASE_URL" not in settings.read_bytes()


def test_the_list_shows_what_is_open_and_restore_needs_no_agent_and_no_engine(
    ollama: OllamaServer,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert configure("--yes") == 0
    file = home / ".claude" / "settings.json"
    assert file.read_bytes().startswith(b'{\n  "$schema": "https://json.schemastore.org/')
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    capsys.readouterr()
    assert main(["restore", "--list", "--json"]) == 0
    (row,) = document(capsys)["data"]["open"]
    assert (row["agent"], row["path"], row["created"]) == ("claude-code", str(file), True)
    assert "env.ANTHROPIC_BASE_URL" in row["keys"]
    assert main(["restore", "--list"]) == 0
    assert str(file) in capsys.readouterr().out
    assert main(["restore", "--dry-run"]) == 0
    assert capsys.readouterr().out == f"would restore {file}\n"
    assert file.exists()
    assert main(["restore", "claude-code"]) == 0
    assert not file.parent.exists()


def test_a_file_that_does_not_parse_is_refused_with_line_and_column(
    ollama: OllamaServer, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.write_bytes(b'{\n  "env": {\n    "A" "b"\n}}')
    assert configure("--yes", "--json") == 8
    failure = document(capsys)["error"]
    assert f"{settings}: line 3, column 9" in failure["message"]
    assert settings.read_bytes() == b'{\n  "env": {\n    "A" "b"\n}}'
    assert list(ollama.models) == ["qwen3.5:4b"]


def test_a_file_that_does_not_parse_any_more_stays_open(
    ollama: OllamaServer, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert configure("--yes") == 0
    settings.write_bytes(b"{")
    assert main(["restore"]) == 8
    assert "line 1" in capsys.readouterr().out
    assert settings.read_bytes() == b"{"


@pytest.mark.parametrize(
    ("argv", "status", "word"),
    [
        (["--engine", "embedded"], 5, "--engine ollama"),
        (["--restore"], 2, "undo each other"),
        (["--model", "ns/nothing:q4"], 7, ""),
        (["--", "-p", "hi"], 2, "launches nothing"),
    ],
)
def test_what_cannot_be_configured_says_why(
    argv: list[str],
    status: int,
    word: str,
    ollama: OllamaServer,
    settings: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine = [] if "--engine" in argv else ["--engine", "ollama"]
    assert main(["up", "claude", "--config", *engine, *argv]) == status
    assert word in capsys.readouterr().err
    assert settings.read_bytes() == SETTINGS


def test_a_key_that_others_may_read_is_warned_of(
    ollama: OllamaServer, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.chmod(0o644)
    assert configure("--yes") == 0
    assert f"chmod 600 {settings}" in capsys.readouterr().err
    assert settings.stat().st_mode & 0o777 == 0o644


def test_a_server_that_wants_a_key_is_refused_and_no_file_holds_it(
    settings: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTLAUNCH_ENGINE_KEY", "sk-engine-canary")
    with AnthropicServer(token="sk-engine-canary") as server:
        status = main(
            ["up", "claude", "--config", "--engine", server.url, "--context", "65536", "--yes"]
        )
    assert status == 5
    assert "plain text" in capsys.readouterr().err
    assert settings.read_bytes() == SETTINGS
    assert all(b"sk-engine-canary" not in data for data in snapshot(home).values())


def test_a_server_without_a_key_is_written_with_a_dummy(
    settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with AnthropicServer() as server:
        status = main(
            ["up", "claude", "--config", "--engine", server.url, "--context", "65536", "--yes"]
        )
        assert status == 0, capsys.readouterr().err
        assert f'"ANTHROPIC_BASE_URL": "{server.url}"' in settings.read_text()
    assert '"ANTHROPIC_AUTH_TOKEN": "agentlaunch"' in settings.read_text()
    assert main(["restore"]) == 0
    assert settings.read_bytes() == SETTINGS


def test_it_goes_where_the_agents_own_variable_says(
    ollama: OllamaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "mine"))
    assert configure("--yes") == 0
    file = tmp_path / "mine" / "settings.json"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert main(["restore"]) == 0
    assert not os.path.lexists(tmp_path / "mine")


@pytest.mark.parametrize("agent", ["codex", "opencode"])
def test_an_agent_that_can_refer_to_a_key_is_given_the_name_of_a_variable(
    agent: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTLAUNCH_ENGINE_KEY", "sk-engine-canary")
    with WireServer(token="sk-engine-canary") as server:
        argv = ["up", agent, "--config", "--engine", server.url, "--context", "65536", "--yes"]
        assert main(argv) == 0, capsys.readouterr().err
    said = capsys.readouterr()
    assert "a plain start needs it in the variable AGENTLAUNCH_" in said.err
    assert "sk-engine-canary" not in said.out + said.err
    assert all(b"sk-engine-canary" not in data for data in snapshot(home).values())


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('"ANTHROPIC_API_KEY": "abc",', '"ANTHROPIC_API_KEY": "***",'),
        ("api_key: abc # mine", "api_key: *** # mine"),
        ("token = 'abc'", "token = '***'"),
        ('"a": "sk-ant-0123456789"', '"a": "***"'),
        ('"a": "AIzaSyA0123456789"', '"a": "***"'),
        ('"apiKeyHelper": "pass show x"', '"apiKeyHelper": "***"'),
        ('"MAX_TOKENS": 4096', '"MAX_TOKENS": 4096'),
        ('"ANTHROPIC_AUTH_TOKEN": "agentlaunch"', '"ANTHROPIC_AUTH_TOKEN": "agentlaunch"'),
        ('"theme": "dark"', '"theme": "dark"'),
    ],
)
def test_a_difference_hides_what_may_be_a_key(line: str, shown: str) -> None:
    assert masked(line) == shown


def test_no_value_of_the_users_stands_in_what_is_shown(
    ollama: OllamaServer, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.write_text('{"model": "plain-canary", "env": {"DATABASE": "pg://u:canary@h"}}')
    assert configure("--dry-run", "--json") == 0
    (change,) = document(capsys)["data"]["changes"]
    assert '-  "model": ***' in change["diff"]
    assert "canary" not in change["diff"]


def test_a_list_of_rows_of_the_users_own_is_not_replaced(
    ollama: OllamaServer, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = SetKeys(home / "x.json", "json", {("rows",): [{"name": "agentlaunch"}]})
    own.path.write_text('{"rows": [{"name": "work"}]}')
    changes = Journal(tmp_path / "journal", home).preview("copilot", [own])
    with pytest.raises(Refused) as caught:
        _refuse_own_rows([own], changes)
    assert (caught.value.code, caught.value.exit_code) == ("own-rows", 8)
    assert caught.value.hint == 'add this row yourself: {"name": "agentlaunch"}'


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (["codex", "--restore", "--model", "x", "--", "foo"], "--model, foo"),
        (["--restore"], "agentlaunch restore"),
    ],
)
def test_up_restore_takes_an_agent_and_nothing_else(
    line: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["up", *line]) == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(("flag", "schema"), [("--config", "up-config"), ("--restore", "restore")])
def test_a_failure_has_the_schema_of_its_success(
    flag: str, schema: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["up", "claude", flag, "--json", "--", "foo"]) == 2
    assert json.loads(capsys.readouterr().out)["schema"] == f"agentlaunch/{schema}/1"


@pytest.mark.parametrize(
    ("there", "written"), [("opencode.json", "opencode.json"), ("", "opencode.jsonc")]
)
def test_the_file_that_the_user_has_is_edited_and_no_second_one_made(
    there: str, written: str, ollama: OllamaServer, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = home / ".config" / "opencode"
    folder.mkdir(parents=True)
    before = b'{\n  // mine\n  "theme": "dark"\n}\n'
    if there:
        (folder / there).write_bytes(before)
    argv = ["up", "opencode", "--config", "--engine", "ollama", "--model", "qwen3.5:4b"]
    assert main([*argv, "--context", "65536", "--yes"]) == 0
    assert [file.name for file in folder.iterdir()] == [written]
    assert f"agentlaunch/{TAG}" in (folder / written).read_text()
    capsys.readouterr()
    assert main(["restore", "opencode"]) == 0
    assert [file.read_bytes() for file in folder.iterdir()] == ([before] if there else [])


def test_what_we_wrote_ourselves_is_not_warned_about_at_the_next_launch(
    ollama: OllamaServer, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["up", "claude", "--engine", "ollama", "--model", "qwen3.5:4b", "--dry-run", "--json"]
    assert main(argv) == 0
    codes = [row["code"] for row in document(capsys)["warnings"]]
    assert "settings-overridden" in codes
    assert configure("--yes") == 0
    capsys.readouterr()
    assert main(argv) == 0
    codes = [row["code"] for row in document(capsys)["warnings"]]
    assert "settings-overridden" not in codes
