"""The menu on a terminal: an agent, then a model, then `up` with both."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from agentlaunch.agents import AGENTS
from agentlaunch.cli import main
from agentlaunch.machine.facts import Machine
from agentlaunch.models import catalog
from agentlaunch.settings import paths
from agentlaunch.survey import AgentState, Survey

GIB = 1 << 30


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Person:
    """Somebody at a terminal, who types a text and sees the answer (stdout) and the talk."""

    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def types(self, text: str) -> tuple[str, str]:
        screen = _Terminal()
        with self.monkeypatch.context() as patch:
            patch.setattr("sys.stdin", _Terminal(text))
            patch.setattr("sys.stderr", screen)
            patch.setenv("TERM", "dumb")
            assert main(["--offline"]) == 0
        return self.capsys.readouterr().out, screen.getvalue()


@pytest.fixture
def person(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, mocker: MockerFixture
) -> Person:
    """At a machine with 24 GiB that has everything but the model."""
    machine = Machine("linux", "x86_64", "cpu", 8, 24 * GIB, 20 * GIB, None, 10**12, False, False)
    claude = AgentState(AGENTS["claude-code"], Path("/usr/bin/true"), "2.1.197", managed=False)
    seen = Survey(machine, (), {"claude-code": claude}, catalog.load(), (), True, None)
    mocker.patch("agentlaunch.survey.look", return_value=seen)
    return Person(capsys, monkeypatch)


def _offered(out: str) -> dict[str, str]:
    """The words in brackets and the models that they stand for."""
    lines = out.partition("next: ")[2].splitlines()[1:]
    return {line.split("(")[1].split(";")[0]: line.split()[1] for line in lines}


@pytest.mark.parametrize(
    ("answer", "word"),
    [("", "recommended"), ("1", "recommended"), ("2", "smarter")],
)
def test_the_model_is_chosen_after_the_agent(answer: str, word: str, person: Person) -> None:
    out, talk = person.types(f"\n{answer}\nn\n")
    offered = _offered(out)
    assert list(offered) == ["recommended", "smarter"]  # nothing good is faster here
    assert f"model    {offered[word]}," in talk
    assert talk.endswith("nothing was done\n")


@pytest.mark.parametrize("text", ["q\n", "7\n", "\nq\n", "\n9\n", "", "\n"])
def test_anything_else_does_nothing(text: str, person: Person) -> None:
    _out, talk = person.types(text)
    assert talk.splitlines()[-1].endswith("nothing was done")
    assert "model    " not in talk


def test_a_model_of_the_settings_is_not_asked_for(person: Person) -> None:
    paths().user_file.parent.mkdir(parents=True)
    paths().user_file.write_text('model = "qwen3.5:4b"\n')
    out, talk = person.types("\nn\n")
    assert _offered(out) == {}
    assert "model    qwen3.5:4b," in talk
