"""The word for a host: where it is kept, and where it would be kept in vain."""

from __future__ import annotations

import io

import pytest

from agentlaunch import settings
from agentlaunch.commands import permission
from agentlaunch.errors import Refused
from agentlaunch.talk import Policy, Talk

NEW = "https://new.example"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch) -> Talk:
    """A person who says yes to what is asked."""
    monkeypatch.setattr("sys.stdin", _Terminal("y\n"))
    return Talk(Policy(), err=_Terminal())


def _write(text: str) -> None:
    settings.paths().user_file.parent.mkdir(parents=True)
    settings.paths().user_file.write_text(text)


def _allowed() -> str | None:
    value: str | None = settings.load()["allowed_hosts"].value
    return value


def test_a_word_is_joined_to_the_files_own(talk: Talk) -> None:
    _write('allowed_hosts = "http://a:1"\n')
    permission.permit(talk, NEW, allowed=_allowed())
    assert _allowed() == f"http://a:1, {NEW}"


def test_what_a_variable_allows_is_not_written_into_the_file(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'allowed_hosts = "http://a:1"\n'
    _write(text)
    monkeypatch.setenv("AGENTLAUNCH_ALLOWED_HOSTS", "http://b:1")
    permission.permit(talk, NEW, allowed=_allowed())
    assert settings.paths().user_file.read_text() == text
    said = " ".join(talk.err.getvalue().split())  # type: ignore[attr-defined] # a StringIO
    assert f"allowed {NEW} for this launch; AGENTLAUNCH_ALLOWED_HOSTS decides" in said


def test_where_a_variable_decides_the_way_out_is_the_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AGENTLAUNCH_ALLOWED_HOSTS", "http://b:1")
    with pytest.raises(Refused) as refusal:
        permission.permit(Talk(Policy(no_input=True)), NEW, allowed="http://b:1")
    assert refusal.value.hint == (
        f"allow it once with --allow-remote, or add {NEW} to AGENTLAUNCH_ALLOWED_HOSTS"
    )


def test_a_file_that_does_not_parse_stops_no_launch(talk: Talk) -> None:
    _write("allowed_hosts = ")
    permission.permit(talk, NEW, allowed=None)
    assert [row["code"] for row in talk.warnings] == ["not-kept"]
