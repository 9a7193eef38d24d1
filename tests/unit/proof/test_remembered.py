"""What was proven counts for the same engine and agent, and for nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from agentlaunch import files
from agentlaunch.proof.check import Budget, Check, read_check
from agentlaunch.proof.remembered import Subject, broken, recall, remember
from agentlaunch.proven import read_proof
from agentlaunch.records import Records

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
PROBES: list[dict[str, Any]] = [{"name": str(n), "verdict": "works"} for n in range(4)]
GATE = Check("tool-call", "ok", "tool calls work", {"verdict": "works", "probes": PROBES})
WORD = Check("first-word", "warning", "about 90 s to the first word", {"first_word_s": 90.0}, "x")
SUBJECT = Subject(
    model="m",
    model_digest="sha256:1",
    engine="embedded",
    engine_version="1",
    url=None,
    wire="anthropic_messages",
    agent="claude-code",
    agent_version="2.1.197",
    tier="full",
    context_tokens=65_536,
)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path)


def test_what_was_proven_is_remembered_whole(records: Records) -> None:
    remember(records, SUBJECT, [GATE, WORD], NOW)
    assert recall(records, SUBJECT, NOW) == {"tool-call": GATE, "first-word": WORD}


def test_another_agent_on_the_same_engine_has_its_tool_calls_proven_and_no_more(
    records: Records,
) -> None:
    remember(records, SUBJECT, [GATE, WORD], NOW)
    other = replace(SUBJECT, agent="pi", agent_version="0.87.1")
    assert recall(records, other, NOW) == {"tool-call": GATE}


@pytest.mark.parametrize(
    "change",
    [
        {"model_digest": "sha256:2"},
        {"engine": "ollama"},
        {"engine_version": "2"},
        {"engine_version": None},
        {"url": "http://127.0.0.1:8000"},
        {"wire": "openai_chat"},
    ],
)
def test_another_engine_or_model_has_nothing_proven(
    records: Records, change: dict[str, Any]
) -> None:
    remember(records, SUBJECT, [GATE, WORD], NOW)
    assert recall(records, replace(SUBJECT, **change), NOW) == {}


@pytest.mark.parametrize("change", [{"tier": "slim"}, {"context_tokens": 32_768}])
def test_another_prompt_or_window_has_its_own_proof_of_the_prompt(
    records: Records, change: dict[str, Any]
) -> None:
    remember(records, SUBJECT, [GATE, WORD], NOW)
    assert recall(records, replace(SUBJECT, **change), NOW) == {"tool-call": GATE}


@pytest.mark.parametrize("status", ["error", "skipped"])
def test_what_failed_or_was_left_out_is_measured_again(records: Records, status: Any) -> None:
    cut = Check("truncation", status, "cut")
    gate = Check("tool-call", status, "it says nothing", {"verdict": None})
    remember(records, SUBJECT, [gate, cut], NOW)
    assert recall(records, SUBJECT, NOW) == {}
    assert set(broken(records, SUBJECT)) == (
        {"tool-call", "truncation"} if status == "error" else set()
    )


def test_a_gate_that_could_not_be_proven_in_time_is_asked_again(records: Records) -> None:
    remember(records, SUBJECT, [replace(GATE, status="warning", measured={"verdict": None})], NOW)
    assert recall(records, SUBJECT, NOW) == {}


def test_a_gate_of_which_a_part_was_not_measured_is_asked_again(records: Records) -> None:
    for rows in (PROBES[:3], [*PROBES[:3], {"name": "late", "verdict": None}]):
        part = replace(GATE, status="warning", measured={"verdict": "works", "probes": rows})
        remember(records, SUBJECT, [part], NOW)
        assert recall(records, SUBJECT, NOW) == {}


def test_a_speed_that_could_not_be_had_is_not_asked_for_again(records: Records) -> None:
    unknown = Check("first-word", "skipped", "no speed was to be had")
    remember(records, SUBJECT, [unknown, WORD], NOW)
    remember(records, SUBJECT, [unknown], NOW)
    assert recall(records, SUBJECT, NOW) == {"first-word": WORD}, "what is known stays"


def test_what_a_later_run_finds_takes_the_place_of_what_was_found(records: Records) -> None:
    cut = Check("truncation", "error", "cut")
    whole = Check("truncation", "ok", "nothing is cut")
    remember(records, SUBJECT, [GATE, whole], NOW)
    remember(records, SUBJECT, [cut], NOW)
    assert recall(records, SUBJECT, NOW) == {"tool-call": GATE}
    assert broken(records, SUBJECT) == {"truncation": cut}
    remember(records, SUBJECT, [whole], NOW)
    assert broken(records, SUBJECT) == {}


def test_each_check_has_an_age_of_its_own(records: Records) -> None:
    """A proof elsewhere is not made younger by another one beside it."""
    there = replace(SUBJECT, url="http://127.0.0.1:8000")
    remember(records, there, [GATE], NOW)
    remember(records, there, [WORD], NOW + timedelta(hours=20))
    assert recall(records, there, NOW + timedelta(hours=30)) == {"first-word": WORD}


def test_a_server_that_is_not_ours_is_proven_anew_after_a_day(records: Records) -> None:
    there = replace(SUBJECT, url="http://127.0.0.1:8000", engine="vllm")
    remember(records, there, [GATE], NOW)
    assert recall(records, there, NOW + timedelta(hours=23)) == {"tool-call": GATE}
    assert recall(records, there, NOW + timedelta(hours=25)) == {}
    assert recall(records, there, NOW - timedelta(hours=1)) == {}, "a clock that was set back"


def test_ours_stays_proven(records: Records) -> None:
    remember(records, SUBJECT, [GATE], NOW)
    assert recall(records, SUBJECT, NOW + timedelta(days=400)) == {"tool-call": GATE}


@pytest.mark.parametrize(
    "checks",
    [None, 7, [7], [{}], [{"name": "tool-call"}], [{"name": "x", "status": "ok", "message": "m"}]],
)
def test_a_broken_row_is_passed_over(records: Records, checks: Any) -> None:
    remember(records, SUBJECT, [GATE], NOW)
    file = records.folder / "proofs.json"
    rows = files.read_json(file) or {}
    rows[SUBJECT.key]["checks"] = checks
    files.write_json(file, rows)
    assert recall(records, SUBJECT, NOW) == {}


@pytest.mark.parametrize("name", ["url", "engine_version", "agent_version", "model", "wire"])
def test_a_row_that_names_nothing_readable_is_no_proof(records: Records, name: str) -> None:
    remember(records, SUBJECT, [GATE], NOW)
    row = records.all("proofs")[SUBJECT.key]
    assert read_proof(row) is not None
    assert read_proof(row | {name: 7}) is None
    assert read_proof(row | {name: ["x"]}) is None


def test_a_row_of_a_server_without_a_time_counts_for_nothing(records: Records) -> None:
    there = replace(SUBJECT, url="http://127.0.0.1:8000")
    remember(records, there, [GATE], NOW)
    file = records.folder / "proofs.json"
    rows = files.read_json(file) or {}
    for at in (None, 7, "yesterday", "2026-11-23T12:00:00"):  # the last one names no zone
        rows[there.key]["checks"][0]["at"] = at
        files.write_json(file, rows)
        assert recall(records, there, NOW) == {}


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    remember(Records(tmp_path / "state"), SUBJECT, [GATE], NOW)


def test_a_check_is_read_as_it_was_written() -> None:
    assert read_check(WORD.as_json()) == WORD
    assert read_check(WORD.as_json() | {"measured": 7, "remedy": 7}) == replace(
        WORD, measured={}, remedy=None
    )
    assert read_check("no") is None


def test_a_budget_is_what_the_clock_leaves() -> None:
    times = iter([100.0, 103.0, 170.0])
    budget = Budget(60, clock=lambda: next(times))
    assert budget.left_s == 57
    assert budget.left_s == 0
