"""Looking: where an agent is, which settings files would win over a launch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from agentlaunch import settings, survey
from agentlaunch.agents.claude_code import AGENT
from agentlaunch.engines import llama_cpp
from agentlaunch.survey import leftovers


def _write(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def test_the_version_is_read_beside_the_program_without_running_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lib" / "claude"
    _write(package / "package.json", {"version": "2.1.197"})
    program = package / "bin" / "claude.exe"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 99\n")
    program.chmod(0o755)
    link = tmp_path / "bin" / "claude"
    link.parent.mkdir()
    link.symlink_to(program)
    monkeypatch.setenv("PATH", str(link.parent))
    state = survey.find_agent(AGENT, settings.paths())
    assert state == survey.AgentState(AGENT, link, "2.1.197", managed=False)


def test_the_native_installers_version_is_the_name_of_its_file(home: Path) -> None:
    real = home / ".local" / "share" / "claude" / "versions" / "2.1.300"
    real.parent.mkdir(parents=True)
    real.write_text("")
    real.chmod(0o755)
    link = home / ".local" / "bin" / "claude"
    link.parent.mkdir()
    link.symlink_to(real)
    assert survey.version_beside(link) == "2.1.300"


def test_a_package_of_another_name_above_a_program_says_nothing_of_it(home: Path) -> None:
    program = home / ".local" / "bin" / "codex"
    program.parent.mkdir(parents=True)
    program.write_text("")
    _write(home / "package.json", {"name": "my-site", "version": "9.9.9"})
    assert survey.version_beside(program, "@openai/codex") is None
    _write(home / ".local" / "package.json", {"name": "@openai/codex", "version": "0.169.0"})
    assert survey.version_beside(program, "@openai/codex") == "0.169.0"


def test_a_native_program_is_asked_for_its_version_where_ours_is_here_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = settings.paths()
    package = AGENT.package
    assert package is not None
    own = tmp_path / "bin" / "claude"
    own.parent.mkdir()
    own.write_text("#!/bin/sh\necho 0.5.0\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", f"{own.parent}:/usr/bin:/bin")
    assert survey.find_agent(AGENT, paths).path == own
    ours = survey.AgentState(AGENT, tmp_path / "ours", package.version, managed=True)
    monkeypatch.setattr("agentlaunch.survey.agents._ours", lambda *_args, **_more: ours)
    found = survey.find_agent(AGENT, paths)
    assert (found.path, found.passed_over) == (ours.path, (own, "0.5.0"))
    assert survey.find_agent(AGENT, paths, node=False).path == own


def test_a_folder_that_anyone_may_write_to_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "open" / "claude"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    program.parent.chmod(0o777)
    monkeypatch.setenv("PATH", f"{program.parent}:relative:")
    assert survey.find_agent(AGENT, settings.paths()).path is None


def test_a_part_that_fails_ends_a_launch_and_is_a_note_to_the_doctor(
    mocker: MockerFixture,
) -> None:
    mocker.patch.object(llama_cpp.LlamaCpp, "states", side_effect=OSError(5, "bad sector"))
    mocker.patch.object(leftovers, "dead_engines", side_effect=ValueError("odd"))
    paths = settings.paths()
    with pytest.raises(OSError, match="bad sector"):
        survey.look(paths)
    seen = survey.examine(paths, settings.load_readable({}, None, paths.user_file)[0])
    assert seen.engines == ()
    assert seen.health is not None
    assert [(note.source, note.message) for note in seen.health.notes] == [
        ("engines", "could not be looked at (OSError: [Errno 5] bad sector); left out"),
        ("engines", "could not be looked at (ValueError: odd); left out"),
    ]
