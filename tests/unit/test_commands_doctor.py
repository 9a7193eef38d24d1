"""`agentlaunch doctor`: which agents must be here for it to end well."""

from __future__ import annotations

import pytest
from pytest_mock import MockerFixture

from agentlaunch.cli import main
from agentlaunch.records import Records
from agentlaunch.settings import paths


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


def test_a_missing_agent_that_nobody_wants_is_no_error() -> None:
    assert main(["doctor"]) == 0


def test_an_agent_that_was_asked_for_is_missed() -> None:
    assert main(["doctor", "claude"]) == 3


def test_the_agent_of_the_settings_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTLAUNCH_AGENT", "claude")
    assert main(["doctor"]) == 3


def test_the_agent_of_the_last_launch_is_missed() -> None:
    Records(paths().state).remember("choices", "last", {"agent": "claude-code"})
    assert main(["doctor"]) == 3


def test_a_user_without_a_home_gets_the_rest_of_the_answer(
    mocker: MockerFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a container that runs under a number which is no user's."""
    mocker.patch("platformdirs.user_state_path", side_effect=RuntimeError("no home"))
    mocker.patch("pathlib.Path.home", side_effect=RuntimeError("no home"))
    assert main(["doctor"]) == 3
    out = capsys.readouterr().out
    assert "this user has no home folder" in out
    assert "memory" in out
    assert "folders" not in out
