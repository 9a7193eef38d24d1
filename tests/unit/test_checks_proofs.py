"""A doctor tells what was proven, for whom, how long ago, and whether it still counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from agentlaunch import settings, survey
from agentlaunch.checks import Finding
from agentlaunch.checks.proofs import stored
from agentlaunch.engines.base import EngineState
from agentlaunch.machine.facts import Machine
from agentlaunch.models.catalog import Catalog
from agentlaunch.proof.remembered import remember
from agentlaunch.proven import Check, Proof, Subject
from agentlaunch.records import Records
from agentlaunch.survey import Survey
from agentlaunch.survey.health import Health
from agentlaunch.survey.servers import Server

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
MACHINE = Machine("linux", "x86_64", None, 2, None, None, None, None, False, False)
SUBJECT = Subject(
    "qwen3.5:9b", "sha256:1", "embedded", "1", None, "anthropic_messages", "claude-code",
    "2.1.197", "full", 65_536,
)  # fmt: skip
WORKS = Check("tool-call", "ok", "tool calls work")
WHOLE = Check("truncation", "ok", "nothing is cut")
LATE = Check("first-word", "warning", "90 s to the first word", {"first_word_s": 90}, "--slim on")
BROKEN = Check("tool-call", "error", "qwen3.5:9b: it says nothing", {}, "choose another model")
WHO = "Claude Code with qwen3.5:9b on embedded"
AGAIN = "agentlaunch prove claude-code --engine embedded"


def seen(*proofs: Proof, version: str = "1", ollama: str | None = None) -> Survey:
    engine = EngineState("embedded", "installed", version, None, ())
    server = Server("http://127.0.0.1:11434", "yes", ollama) if ollama else None
    health = Health(proofs=proofs, looked_at=NOW, ollama=server)
    return Survey(MACHINE, (engine,), {}, Catalog(()), (), True, None, health=health)


def proof(*checks: Check, age: timedelta = timedelta(hours=3), **about: Any) -> Proof:
    return Proof(replace(SUBJECT, **about), NOW - age, checks)


@pytest.mark.parametrize(
    ("rows", "findings"),
    [
        (
            (proof(WORKS, WHOLE),),
            [Finding("proof", "ok", f"{WHO} was proven 3 h ago: tool call, truncation")],
        ),
        (
            (proof(WORKS, LATE),),
            [
                Finding(
                    "proof",
                    "warning",
                    f"{WHO}, 3 h ago: 90 s to the first word",
                    f"--slim on; then: {AGAIN}",
                )
            ],
        ),
        (
            (proof(BROKEN),),
            [
                Finding(
                    "proof",
                    "error",
                    f"{WHO}, 3 h ago: qwen3.5:9b: it says nothing",
                    f"choose another model; then: {AGAIN}",
                )
            ],
        ),
        (
            (),
            [
                Finding(
                    "proof",
                    "info",
                    "Claude Code was not proven here yet: the first launch does it",
                    "agentlaunch prove claude-code",
                )
            ],
        ),
    ],
)
def test_the_last_proof_of_a_wanted_agent_is_told(
    rows: tuple[Proof, ...], findings: list[Finding]
) -> None:
    assert stored(seen(*rows), {"claude-code"}) == findings


def test_a_failure_on_a_server_of_somebody_elses_is_no_error_for_ever() -> None:
    there = proof(BROKEN, engine="vllm", url="http://u:secret@host:8000")
    (row,) = stored(seen(there), {"claude-code"})
    assert row.status == "error"
    assert (row.remedy or "").endswith("--engine 'http://***@host:8000' --model qwen3.5:9b")
    (row,) = stored(seen(replace(there, at=NOW - timedelta(days=2))), {"claude-code"})
    assert row.status == "warning"


def test_only_the_last_proof_counts() -> None:
    mended = seen(proof(BROKEN, model="small"), proof(WORKS))
    assert [row.status for row in stored(mended, {"claude-code"})] == ["ok"]


def test_what_is_broken_for_an_agent_that_nobody_wants_is_no_error() -> None:
    assert [row.status for row in stored(seen(proof(BROKEN)), set())] == ["warning"]
    assert stored(seen(), set()) == []


@pytest.mark.parametrize(
    ("found", "was"),
    [
        (seen(proof(BROKEN), version="2"), "embedded became 2"),
        (
            seen(proof(BROKEN, engine="ollama", engine_version="0.32.0"), ollama="0.33.0"),
            "ollama became 0.33.0",
        ),
    ],
)
def test_another_version_of_the_engine_makes_an_old_proof_a_word(found: Survey, was: str) -> None:
    (row,) = stored(found, {"claude-code"})
    assert row.status == "info"
    assert (row.remedy or "").startswith("agentlaunch prove claude-code --engine ")
    assert was in row.message


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(seconds=5), "0 min ago"),
        (timedelta(minutes=59), "59 min ago"),
        (timedelta(hours=47), "47 h ago"),
        (timedelta(days=9), "9 days ago"),
    ],
)
def test_an_age_is_told_in_words(age: timedelta, words: str) -> None:
    (row,) = stored(seen(proof(WORKS, age=age)), set())
    assert words in row.message


def test_a_doctor_reads_what_a_launch_remembered_and_passes_over_broken_rows(
    tmp_path: Path,
) -> None:
    paths = settings.paths()
    records = Records(paths.state)
    records.remember("proofs", "broken", {"agent": "claude-code", "checks": 7})
    remember(records, SUBJECT, [WORKS])
    values, faults = settings.load_readable({}, tmp_path, paths.user_file)
    health = survey.examine(paths, values, faults).health
    assert health is not None
    assert [row.subject for row in health.proofs] == [SUBJECT]
    assert health.proofs[0].checks == (WORKS,)
    assert health.looked_at is not None


def test_what_was_proven_behind_a_gateway_is_proven_again_over_the_routes() -> None:
    (row,) = stored(seen(proof(BROKEN, engine="gateway")), {"claude-code"})
    assert (row.remedy or "").endswith("agentlaunch prove claude-code")
