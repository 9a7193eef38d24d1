"""What was chosen the last time: kept for an agent and a project, used where nothing is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agentlaunch import settings
from agentlaunch.commands import habits
from agentlaunch.commands.habits import Habit
from agentlaunch.machine.facts import UNKNOWN
from agentlaunch.survey import simulated

HERE, ELSEWHERE = Path("/src/here"), Path("/src/elsewhere")


@pytest.fixture(autouse=True)
def _no_engine_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENTLAUNCH_ENGINE")


def _keep(project: Path, agent: str = "codex", **flags: object) -> None:
    habits.remember(settings.paths(), project, agent, settings.load(flags=flags), None)


def _recall(project: Path, agent: str = "codex", **flags: object) -> Habit | None:
    return habits.recall(settings.paths(), project, agent, settings.load(flags=flags))


def test_what_was_named_here_is_used_here_and_elsewhere_until_that_has_its_own() -> None:
    _keep(HERE, model="a:1", engine="ollama", context="32k")
    assert _recall(HERE) == _recall(ELSEWHERE) == Habit("a:1", "ollama", 32_768)
    _keep(ELSEWHERE, model="b:1")
    assert _recall(ELSEWHERE) == Habit("b:1")
    assert _recall(HERE) == Habit("a:1", "ollama", 32_768)
    assert _recall(HERE, agent="opencode") is None


def test_a_model_or_another_engine_named_today_wins_and_a_context_is_only_that() -> None:
    _keep(HERE, model="a:1", engine="ollama")
    assert _recall(HERE, model="b:1") is None
    assert _recall(HERE, engine="vllm") is None
    assert _recall(HERE, engine="ollama") == Habit("a:1", "ollama")
    found = habits.chosen(settings.load(flags={"context": "8192"}), _recall(HERE, context="8192"))
    assert [found[name].value for name in habits.NAMES] == ["a:1", "ollama", 8_192]


def test_an_engine_named_today_is_another_than_one_that_was_never_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _keep(HERE, model="a:1")
    assert _recall(HERE, engine="vllm") is None
    assert _recall(HERE, engine="auto") == Habit("a:1")
    monkeypatch.setenv("AGENTLAUNCH_ENGINE", "ollama")
    assert _recall(HERE) == Habit("a:1")


def test_another_model_does_not_inherit_engine_and_context() -> None:
    values = settings.load(flags={"model": "b:1"})
    habits.remember(settings.paths(), HERE, "codex", values, Habit("a:1", "vllm", 8_192))
    assert _recall(HERE) == Habit("b:1")


def test_auto_forgets_what_was_chosen() -> None:
    _keep(HERE, model="a:1")
    assert _recall(HERE, model="auto") is None
    assert habits.chosen(settings.load(flags={"model": "auto"}), None)["model"].value is None
    _keep(HERE, model="auto")
    assert _recall(HERE) is None


def test_a_launch_that_named_nothing_keeps_the_habit() -> None:
    _keep(HERE, model="a:1")
    values = settings.load()
    habits.remember(settings.paths(), HERE, "codex", values, _recall(HERE))
    assert _recall(HERE) == Habit("a:1")


def test_the_agent_of_the_last_launch_here_comes_again() -> None:
    assert habits.last_agent(settings.paths(), HERE) is None
    _keep(HERE, agent="claude-code")
    assert habits.last_agent(settings.paths(), HERE) == "claude-code"
    assert habits.last_agent(settings.paths(), ELSEWHERE) is None


@pytest.mark.parametrize(
    ("habit", "engine", "holds"),
    [
        (Habit("gone:1"), None, False),
        (Habit("gone:1"), "vllm", True),
        (Habit(None, "ollama"), "ollama", True),
        (Habit("/no/such.gguf"), "embedded", False),
    ],
)
def test_a_model_that_is_gone_is_no_habit(habit: Habit, engine: str | None, holds: bool) -> None:
    assert habits.still_holds(habit, engine, simulated(replace(UNKNOWN))) is holds


def test_a_broken_record_is_no_habit() -> None:
    place = settings.paths().state / "habits.json"
    place.parent.mkdir(parents=True)
    place.write_text('{"codex": {"model": 3, "engine": [], "context": true}}')
    assert _recall(HERE) is None
