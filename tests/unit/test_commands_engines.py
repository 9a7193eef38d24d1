"""`agentlaunch engines logs`: whose log is shown, without an engine that runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentlaunch.cli import main
from agentlaunch.settings import paths


@pytest.fixture
def logs() -> Path:
    folder = paths().logs
    folder.mkdir(parents=True)
    return folder


def _write(log: Path, at_s: int) -> None:
    log.write_text(f"line of {log.name}\n")
    os.utime(log, (at_s, at_s))


def test_the_newest_log_of_an_engine_is_shown_and_no_installers(
    logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(logs / "engine-b.log", 2_000)
    _write(logs / "engine-a.log.1", 1_000)
    _write(logs / "engine-a.log", 3_000)
    _write(logs / "install-xllamacpp.log", 9_000)
    assert main(["engines", "logs"]) == 0
    assert capsys.readouterr().out == "line of engine-a.log\n"


def test_an_installers_log_is_no_log_of_an_engine(
    logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(logs / "install-xllamacpp.log", 9_000)
    assert main(["engines", "logs"]) == 6
    assert "no engine of ours has run yet" in capsys.readouterr().err


@pytest.mark.parametrize("command", [(), ("logs",)])
def test_watching_has_no_single_document(
    command: tuple[str, ...], logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(logs / "engine-a.log", 1_000)
    assert main(["--json", "engines", *command, "--watch"]) == 2
    assert "--watch has no single JSON document" in capsys.readouterr().out
