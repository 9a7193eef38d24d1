"""Findings: one row for each thing that can be wrong, with the command that mends it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentlaunch import managed, plan
from agentlaunch.agents.claude_code import AGENT
from agentlaunch.checks import LOW_DISK_BYTES, Finding, Status, check, recommendation
from agentlaunch.engines.base import EngineState, Loaded, StateName
from agentlaunch.engines.ollama.client import Client
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.machine.facts import Gpu, Machine, Note
from agentlaunch.models import catalog
from agentlaunch.models.catalog import Catalog
from agentlaunch.survey import AgentState, Survey
from agentlaunch.survey.health import Health, Override
from agentlaunch.survey.servers import Answered, Server

GIB = 1 << 30
MACHINE = Machine("linux", "x86_64", "cpu", 8, 32 * GIB, 20 * GIB, None, 10**12, False, False)
CLAUDE = AgentState(AGENT, Path("/usr/bin/claude"), "2.1.197", managed=False)
INSTALLED = OllamaFacts(Client("http://127.0.0.1:11434"), None)
ABSENT = AgentState(AGENT, None, None, managed=False)


def _engine(state: StateName, *loaded: str) -> EngineState:
    held = tuple(Loaded(name, 8192, None, None) for name in loaded)
    version = None if state == "missing" else "1"
    return EngineState("embedded", state, version, None, (), held)


WELL = Survey(
    machine=MACHINE,
    engines=(_engine("installed"),),
    agents={"claude-code": CLAUDE},
    catalog=Catalog(()),
    stored=(),
    engine_installed=True,
    ollama=None,
    node=Path("/usr/bin/node"),
)


def _named(name: str, survey: Survey, *wanted: str) -> list[Finding]:
    return [row for row in check(survey, wanted_agents=wanted) if row.name == name]


def _on(**changes: Any) -> Survey:
    return replace(WELL, machine=replace(MACHINE, **changes))


def test_a_machine_on_which_all_is_well() -> None:
    assert check(WELL, wanted_agents=["claude-code"]) == (
        Finding("memory", "ok", "32.0 GiB, 20.0 GiB free"),
        Finding("graphics", "info", "no usable graphics card: models run on the CPU"),
        Finding("disk", "ok", "1.0 TB free where models go"),
        Finding("engine", "ok", "embedded is installed (1)"),
        Finding("claude-code", "ok", "Claude Code 2.1.197 at /usr/bin/claude"),
    )


def test_unknown_memory_is_a_warning_and_a_limit_is_named() -> None:
    (unknown,) = _named("memory", _on(ram_bytes=None))
    assert unknown.status == "warning"
    (limited,) = _named("memory", _on(ram_limit_bytes=4 * GIB))
    assert limited.message == "32.0 GiB, 20.0 GiB free, limited to 4.0 GiB here"
    (part,) = _named("memory", _on(ram_free_bytes=None))
    assert part.message == "32.0 GiB, ? free"


def test_each_card_has_its_row() -> None:
    cards = tuple(
        Gpu(name, "nvidia", 24 * GIB, free, False, None, None, None, "t")
        for name, free in (("A", 20 * GIB), ("B", None))
    )
    assert _named("graphics", _on(gpus=cards)) == [
        Finding("graphics", "ok", "A, 24.0 GiB, 20.0 GiB free"),
        Finding("graphics", "ok", "B, 24.0 GiB, ? free"),
    ]


@pytest.mark.parametrize(
    ("free", "status", "remedy"),
    [
        (None, "warning", None),
        (0, "warning", "agentlaunch clean"),
        (LOW_DISK_BYTES - 1, "warning", "agentlaunch clean"),
        (LOW_DISK_BYTES, "ok", None),
    ],
)
def test_a_disk_that_holds_no_model_is_a_warning(
    free: int | None, status: str, remedy: str | None
) -> None:
    (row,) = _named("disk", _on(disk_free_bytes=free))
    assert (row.status, row.remedy) == (status, remedy)


def test_every_note_of_a_probe_is_told() -> None:
    rows = check(_on(notes=(Note("nvidia-smi", "not found"),)), wanted_agents=())
    assert Finding("nvidia-smi", "info", "not found") in rows


@pytest.mark.parametrize(
    ("engine", "finding"),
    [
        (
            _engine("missing"),
            Finding(
                "engine",
                "info",
                "embedded is missing; a launch installs it after asking",
                "agentlaunch up claude-code",
            ),
        ),
        (
            _engine("running", "a", "b"),
            Finding("engine", "ok", "embedded is running (1) with a, b"),
        ),
        (_engine("asleep", "a"), Finding("engine", "ok", "embedded is asleep (1) with a")),
    ],
)
def test_an_engine_says_its_state_and_what_it_holds(engine: EngineState, finding: Finding) -> None:
    assert _named("engine", replace(WELL, engines=(engine,))) == [finding]


def test_an_installed_ollama_is_named() -> None:
    (row,) = _named("ollama", replace(WELL, ollama=INSTALLED))
    assert row.status == "info"


@pytest.mark.parametrize(
    ("wanted", "status"),
    [((), "info"), (("other",), "info"), (("other", "claude-code"), "error")],
)
def test_a_missing_agent_is_an_error_only_when_it_is_wanted(
    wanted: tuple[str, ...], status: Status
) -> None:
    (row,) = _named("claude-code", replace(WELL, agents={"claude-code": ABSENT}), *wanted)
    assert row == Finding(
        "claude-code",
        status,
        "Claude Code is not installed",
        "agentlaunch agents install claude-code",
    )


def test_an_untested_version_is_told_without_a_remedy_that_would_mend_nothing() -> None:
    """Installing ours would not help: the user's own comes first."""
    newer = {"claude-code": replace(CLAUDE, version="9.0.0")}
    (row,) = _named("claude-code", replace(WELL, agents=newer))
    assert (row.status, row.remedy) == ("info", None)
    assert "9.0.0 at /usr/bin/claude is not a tested version (2.1.197" in row.message
    unknown = {"claude-code": replace(CLAUDE, version=None)}
    assert _named("claude-code", replace(WELL, agents=unknown)) == [
        Finding(
            "claude-code",
            "info",
            "Claude Code at /usr/bin/claude; no package beside it tells its version",
            "/usr/bin/claude --version",
        )
    ]


def test_a_missing_node_is_told_where_an_agent_must_be_installed_and_is_no_fault() -> None:
    absent = {"claude-code": AgentState(AGENT, None, None, managed=False)}
    survey = replace(_on(), agents=absent, node=None)
    (row,) = [row for row in check(survey, wanted_agents=("claude-code",)) if row.name == "node"]
    assert (row.status, row.remedy) == ("info", "https://nodejs.org")
    assert managed.NODE.source in row.message
    there = replace(survey, node=Path("/usr/bin/node"))
    assert [row for row in check(there, wanted_agents=()) if row.name == "node"] == []


def _healthy(**changes: Any) -> Survey:
    return replace(WELL, health=Health(**changes))


def test_a_healthy_machine_has_nothing_more_to_tell() -> None:
    assert check(_healthy(), wanted_agents=()) == check(WELL, wanted_agents=())


ON_OLLAMA = "agentlaunch up claude-code --engine ollama"


def test_the_folder_of_the_models_is_named() -> None:
    (row,) = _named("disk", _healthy(models_folder=Path("/data/models")))
    assert row.message == "1.0 TB free where models go (/data/models)"


@pytest.mark.parametrize(
    ("answered", "asked", "program", "status", "remedy"),
    [
        ("yes", False, None, "ok", ON_OLLAMA),
        ("other", False, None, "info", None),
        ("other", True, None, "warning", "unset OLLAMA_HOST"),
        ("nothing", True, None, "warning", "unset OLLAMA_HOST"),
        ("nothing", True, "/usr/bin/ollama", "warning", "ollama serve"),
        ("nothing", False, "/usr/bin/ollama", "info", ON_OLLAMA),
        ("unsafe", True, "/usr/bin/ollama", "warning", "unset OLLAMA_HOST"),
    ],
)
def test_ollama_is_answering_absent_or_something_else(
    answered: Answered, asked: bool, program: str | None, status: Status, remedy: str | None
) -> None:
    server = Server("http://127.0.0.1:11434", answered, "0.33.0", "why", asked)
    found = INSTALLED if program is not None else None
    (row,) = _named("ollama", replace(_healthy(ollama=server), ollama=found))
    assert (row.status, row.remedy) == (status, remedy)


def test_an_ollama_that_nobody_has_or_named_is_not_spoken_of() -> None:
    server = Server("http://127.0.0.1:11434", "nothing", None, "why")
    assert _named("ollama", _healthy(ollama=server)) == []


@pytest.mark.parametrize(
    ("hint", "agent", "wanted", "status"),
    [
        (None, CLAUDE, ("claude-code",), "warning"),
        ("remove it", CLAUDE, (), "error"),
        ("remove it", ABSENT, ("claude-code",), "error"),
    ],
)
def test_a_redirecting_file_is_an_error_where_it_stops_a_launch(
    hint: str | None, agent: AgentState, wanted: tuple[str, ...], status: Status
) -> None:
    survey = replace(
        _healthy(overrides=(Override("claude-code", "f sets X", hint),)),
        agents={"claude-code": agent},
    )
    assert Finding("claude-code", status, "f sets X", hint) in check(survey, wanted_agents=wanted)


@pytest.mark.parametrize(
    ("version", "status"),
    [((12, 22), "info"), ((), "warning"), (None, None), ((18, 0), None)],
)
def test_a_node_that_is_too_old_is_told_where_an_agent_is_missing(
    version: tuple[int, ...] | None, status: Status | None
) -> None:
    survey = replace(_healthy(node_version=version), agents={"claude-code": ABSENT})
    assert [row.status for row in _named("node", survey)] == ([status] if status else [])


def _recommended(**changes: Any) -> Finding:
    survey = replace(_on(**changes), catalog=catalog.load())
    return recommendation(AGENT, plan.choose_model(survey, plan.Wish(AGENT)))


def test_the_pick_for_this_machine_is_named_with_the_next_command() -> None:
    row = _recommended(ram_free_bytes=31 * GIB)
    assert (row.name, row.status, row.remedy) == ("model", "ok", "agentlaunch up claude-code")
    assert " fits: " in row.message


def test_too_little_free_memory_for_the_pick_is_a_warning_in_numbers() -> None:
    row = _recommended(ram_free_bytes=GIB)
    assert row.status == "warning"
    assert "GiB too little are free now" in row.message


def test_a_machine_for_which_there_is_no_model_is_told_the_nearest_miss() -> None:
    row = _recommended(ram_bytes=2 * GIB, ram_free_bytes=GIB)
    assert (row.status, row.remedy) == ("warning", "agentlaunch models --all")
    assert "GiB are there" in row.message
