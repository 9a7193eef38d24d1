"""Findings: one row for each thing that can be wrong, with the command that mends it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.agents.claude_code import AGENT
from agentlaunch.checks import LOW_DISK_BYTES, Finding, Status, check
from agentlaunch.engines.base import EngineState, Loaded, StateName
from agentlaunch.machine.facts import Gpu, Machine, Note
from agentlaunch.models.catalog import Catalog
from agentlaunch.survey import AgentState, Survey

GIB = 1 << 30
MACHINE = Machine("linux", "x86_64", "cpu", 8, 32 * GIB, 20 * GIB, None, 10**12, False, False)
CLAUDE = AgentState(AGENT, Path("/usr/bin/claude"), "2.1.197", managed=False)
ABSENT = AgentState(AGENT, None, None, managed=False)


def _engine(state: StateName, *loaded: str) -> EngineState:
    held = tuple(Loaded(name, 8192, None, None) for name in loaded)
    return EngineState("embedded", state, "1", None, (), held)


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
        Finding("engine", "ok", "embedded is installed"),
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
            Finding("engine", "info", "embedded is missing", "agentlaunch up claude-code"),
        ),
        (_engine("running", "a", "b"), Finding("engine", "ok", "embedded is running with a, b")),
        (_engine("asleep", "a"), Finding("engine", "ok", "embedded is asleep with a")),
    ],
)
def test_an_engine_says_its_state_and_what_it_holds(engine: EngineState, finding: Finding) -> None:
    assert _named("engine", replace(WELL, engines=(engine,))) == [finding]


def test_an_installed_ollama_is_named() -> None:
    (row,) = _named("ollama", replace(WELL, ollama=Path("/usr/bin/ollama")))
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
        Finding("claude-code", "ok", "Claude Code at /usr/bin/claude")
    ]


@pytest.mark.parametrize(
    ("node", "wanted", "status"),
    [(None, frozenset(), "warning"), (None, frozenset({"claude-code"}), "error")],
)
def test_a_missing_node_is_told_where_an_agent_must_be_installed(
    node: Path | None, wanted: frozenset[str], status: str
) -> None:
    absent = {"claude-code": AgentState(AGENT, None, None, managed=False)}
    survey = replace(_on(), agents=absent, node=node)
    (row,) = [row for row in check(survey, wanted_agents=wanted) if row.name == "node"]
    assert (row.status, row.remedy) == (status, "https://nodejs.org")
    there = replace(survey, node=Path("/usr/bin/node"))
    assert [row for row in check(there, wanted_agents=wanted) if row.name == "node"] == []
