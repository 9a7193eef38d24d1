"""`agentlaunch engines logs`: whose log is shown, without an engine that runs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

import schemas
from agentlaunch.cli import main
from agentlaunch.commands.engine_logs import own_logs
from agentlaunch.settings import paths


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = paths().logs
    folder.mkdir(parents=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    return folder


def _write(log: Path, at_s: int) -> None:
    log.write_text(f"line of {log.name}\n")
    os.utime(log, (at_s, at_s))


def _journalctl(folder: Path, body: str) -> None:
    program = folder / "journalctl"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)


def _failed(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    assert main(["--json", "engines", "logs", *argv]) == 6
    return json.loads(capsys.readouterr().out)["error"]


def test_the_newest_log_of_an_engine_is_shown_and_the_others_named(
    logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(logs / "engine-b.log", 2_000)
    _write(logs / "engine-a.log.1", 1_000)
    _write(logs / "engine-a.log", 3_000)
    _write(logs / "engine-ollama.log", 1_500)
    _write(logs / "install-xllamacpp.log", 9_000)
    assert main(["engines", "logs"]) == 0
    said = capsys.readouterr()
    assert said.out == "line of engine-a.log\n"
    assert said.err.splitlines() == [
        f"also {logs / 'engine-b.log'}",
        f"also {logs / 'engine-ollama.log'}",
        f"{logs / 'engine-a.log'}",
    ]


def test_an_installers_log_is_no_log_of_an_engine(
    logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(logs / "install-xllamacpp.log", 9_000)
    assert main(["engines", "logs"]) == 6
    assert "no engine of ours has run yet" in capsys.readouterr().err


def test_the_log_of_the_ollama_that_we_started(
    logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(logs / "engine-a.log", 3_000)
    _write(logs / "engine-ollama.log", 1_000)
    assert main(["--json", "engines", "logs", "Ollama"]) == 0
    document = json.loads(capsys.readouterr().out)
    schemas.check(document)
    assert document["data"] == {
        "path": str(logs / "engine-ollama.log"),
        "command": None,
        "text": "line of engine-ollama.log\n",
    }


def test_where_ollama_keeps_its_own_log(tmp_path: Path) -> None:
    assert own_logs({}, "darwin", tmp_path) == (tmp_path / ".ollama" / "logs" / "server.log",)
    local = {"LOCALAPPDATA": str(tmp_path)}
    assert own_logs(local, "win32") == (tmp_path / "Ollama" / "server.log",)
    assert own_logs({}, "win32") == ()
    assert own_logs(local, "linux") == ()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the journal")
class TestJournal:
    def test_the_journal_is_read_where_we_did_not_start_it(
        self, logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _journalctl(tmp_path, 'echo "Nov 22 host ollama[1]: asked with $*"')
        assert main(["--json", "engines", "logs", "ollama"]) == 0
        document = json.loads(capsys.readouterr().out)
        schemas.check(document)
        assert document["data"] == {
            "path": None,
            "command": "journalctl -u ollama -n 200 --no-pager",
            "text": "Nov 22 host ollama[1]: asked with -u ollama -n 200 --no-pager",
        }

    @pytest.mark.parametrize("body", ["echo '-- No entries --'", "exit 1", "true"])
    def test_a_journal_that_says_nothing_is_named_with_its_command(
        self, body: str, logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _journalctl(tmp_path, body)
        assert "sudo journalctl -u ollama" in _failed(capsys, "ollama")["hint"]

    def test_the_journal_is_followed_by_its_own_program(
        self, logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _journalctl(tmp_path, "echo x")
        assert main(["engines", "logs", "ollama", "--watch"]) == 2
        assert "journalctl -u ollama -f" in capsys.readouterr().err

    def test_without_a_journal_it_says_where_else_to_look(
        self, logs: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        error = _failed(capsys, "ollama")
        assert error["code"] == "no-log"
        assert "docker logs" in error["hint"]


def test_watching_goes_on_when_a_launch_begins_the_log_anew(
    logs: Path, mocker: MockerFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    log = logs / "engine-a.log"
    _write(log, 1_000)

    def append(text: str) -> None:
        with log.open("a") as stream:
            stream.write(text)

    def rotate() -> None:
        append("old, last\n")
        log.replace(logs / "engine-a.log.1")

    def restart() -> None:
        log.write_text("new, first\n")

    def stop() -> None:
        raise KeyboardInterrupt

    steps = iter([lambda: append("old, more\n"), rotate, restart, lambda: append("new, 2\n"), stop])
    mocker.patch(
        "agentlaunch.commands.engine_logs.time.sleep", side_effect=lambda _s: next(steps)()
    )
    assert main(["engines", "logs", "--watch"]) == 130
    assert capsys.readouterr().out.splitlines() == [
        "line of engine-a.log",
        "old, more",
        "old, last",
        "new, first",
        "new, 2",
    ]


def test_a_model_that_no_engine_runs_has_no_log(
    logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(logs / "engine-a.log", 1_000)
    assert "no engine of ours runs m" in _failed(capsys, "m")["message"]


def test_watching_has_no_single_document(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(logs / "engine-a.log", 1_000)
    assert main(["--json", "engines", "logs", "--watch"]) == 2
    assert "--watch has no single JSON document" in capsys.readouterr().out
