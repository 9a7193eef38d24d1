"""Who used which engine how much: agents' files and the gateway's events, each request once."""

from __future__ import annotations

import json
import os
import sqlite3
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from agentlaunch import launches
from agentlaunch.gateway import events
from agentlaunch.launches import Launch
from agentlaunch.models import prices
from agentlaunch.settings import Paths
from agentlaunch.survey import usage
from agentlaunch.survey.usage import Request
from places import CHECKOUT, paths_below

DATA = CHECKOUT / "tests" / "data" / "usage"
NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
WEEK = NOW - timedelta(days=7)
ENGINE = Launch(
    at="2026-11-22T10:00:00+00:00",
    agent="claude-code",
    model="local-model",
    model_id="qwen3-coder:30b",
    engine="embedded",
    url=None,
    local=True,
    managed=False,
    project="/home/ada/project",
)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return paths_below(tmp_path / "ours")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home")}


def log(paths: Paths, **more: object) -> None:
    launches.append(paths.state, Launch(**(asdict(ENGINE) | more)))


def lay(environ: dict[str, str], name: str, place: str) -> Path:
    file = Path(environ["HOME"], place)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes((DATA / f"{name}.jsonl").read_bytes())
    return file


def look(paths: Paths, environ: dict[str, str], since: datetime = WEEK) -> list[Request]:
    return list(usage.look(paths, environ, since, now=NOW).requests)


def claude(environ: dict[str, str]) -> Path:
    return lay(environ, "claude-code", ".claude/projects/-home-ada-project/x.jsonl")


def test_a_conversation_is_counted_for_the_engine_of_its_launch(
    paths: Paths, environ: dict[str, str]
) -> None:
    claude(environ)
    log(paths)
    (row,) = look(paths, environ)
    assert (row.engine, row.model) == ("embedded", "qwen3-coder:30b")
    assert (row.input_tokens, row.output_tokens, row.spent_usd) == (1700, 5, 0.0)
    sold = prices.equivalent("qwen3-coder:30b")
    assert sold.same
    assert row.saved_usd == pytest.approx(sold.price.of(1700, 0, 5))


def test_a_conversation_that_no_launch_of_ours_began_is_not_counted(
    paths: Paths, environ: dict[str, str]
) -> None:
    claude(environ)
    assert look(paths, environ) == []
    log(paths, model="another-model")
    assert look(paths, environ) == []
    log(paths, at="2026-11-23T04:00:00+00:00")  # after it
    assert look(paths, environ) == []


def test_the_last_launch_before_a_request_counts(paths: Paths, environ: dict[str, str]) -> None:
    claude(environ)
    log(paths)
    log(paths, at="2026-11-23T03:00:00+00:00", engine="vllm", url="http://gpu.lan:8000")
    log(paths, at="2026-11-23T05:00:00+00:00", engine="ollama")
    (row,) = look(paths, environ)
    assert row.engine == "vllm"


def test_what_went_through_the_gateway_is_counted_there_alone(
    paths: Paths, environ: dict[str, str]
) -> None:
    claude(environ)
    log(paths, engine="gateway")
    place = events.place(paths.state)
    place.parent.mkdir(parents=True)
    row = {
        "kind": "request", "at": "2026-11-23T03:02:39+00:00", "role": "main", "hop": "hosted",
        "model": "big", "input_tokens": 100, "cached_tokens": 10, "output_tokens": 5,
        "cost_usd": 0.0, "managed": False, "local": False, "took_s": 1.0, "status": 200,
    }  # fmt: skip
    failed = row | {"hop": "", "status": 503}
    place.write_text(f"{json.dumps(row)}\n{json.dumps(failed)}\nnonsense\n")
    (found,) = look(paths, environ)
    assert (found.engine, found.model, found.input_tokens) == ("hosted", "big", 100)
    assert found.equivalent is not None
    assert not found.equivalent.same


def test_a_managed_call_costs_what_the_table_says_or_nobody_knows(
    paths: Paths, environ: dict[str, str]
) -> None:
    file = claude(environ)
    for model in ("claude-haiku-4-5", "claude-of-tomorrow"):
        text = (DATA / "claude-code.jsonl").read_text().replace("local-model", model)
        file.with_name(f"{model}.jsonl").write_text(text)
        log(paths, engine="anthropic", url="https://api.anthropic.com", model=model, managed=True,
            local=False)  # fmt: skip
    price = prices.find("anthropic", "claude-haiku-4-5")
    assert price is not None
    found = {row.model: row for row in look(paths, environ)}
    assert found["claude-haiku-4-5"].spent_usd == pytest.approx(price.of(1700, 0, 5))
    assert found["claude-of-tomorrow"].spent_usd is None
    assert {row.saved_usd for row in found.values()} == {None}


def test_a_database_is_read_while_it_is_in_use(paths: Paths, environ: dict[str, str]) -> None:
    place = Path(environ["HOME"], ".local/share/opencode/opencode.db")
    place.parent.mkdir(parents=True)
    door = sqlite3.connect(place)
    door.execute("CREATE TABLE message (id text, data text)")
    for line in (DATA / "opencode.jsonl").read_text().splitlines():
        door.execute("INSERT INTO message VALUES ('x', ?)", (line,))
    door.commit()
    log(paths, agent="opencode")
    (row,) = look(paths, environ)
    door.close()
    assert row.input_tokens == 7804


@pytest.mark.parametrize(
    "damage", ["no such folder", "a folder", "a loop", "no database", "old", "future"]
)
def test_what_cannot_be_read_is_nothing(damage: str, paths: Paths, environ: dict[str, str]) -> None:
    log(paths)
    log(paths, agent="opencode")
    if damage == "a folder":
        Path(environ["HOME"], ".claude/projects/p/x.jsonl").mkdir(parents=True)
    elif damage == "a loop":
        place = Path(environ["HOME"], ".claude/projects/p/x.jsonl")
        place.parent.mkdir(parents=True)
        place.symlink_to(place)
    elif damage == "no database":
        place = Path(environ["HOME"], ".local/share/opencode/opencode.db")
        place.parent.mkdir(parents=True)
        place.write_bytes(b"SQLite format 3\0" + b"x" * 2000)
    elif damage == "old":
        file = claude(environ)
        os.utime(file, (0, 0))
    elif damage == "future":
        file = claude(environ)
        file.write_text(file.read_text().replace("2026-11-23T", "2126-11-23T"))
    assert look(paths, environ) == []


def test_a_time_limit_leaves_the_rest_out_and_says_so(
    paths: Paths, environ: dict[str, str]
) -> None:
    claude(environ)
    log(paths)
    found = usage.look(paths, environ, WEEK, now=NOW, limit_s=-1.0)
    assert found == usage.Found((), partial=True)


def test_a_broken_log_of_launches_is_read_as_far_as_it_goes(
    paths: Paths, environ: dict[str, str]
) -> None:
    claude(environ)
    place = launches.place(paths.state)
    place.parent.mkdir(parents=True)
    place.write_bytes(b'\xff\n{"at": 1}\n[]\n{"a\n')
    log(paths)
    assert len(look(paths, environ)) == 1
    assert place.stat().st_mode & 0o777 in (0o600, 0o644)


def test_the_log_of_launches_does_not_grow_for_ever(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launches, "MOST_BYTES", 2000)
    for number in range(100):
        log(paths, model=f"m{number}")
    rows = [row.model for row in launches.read(paths.state)]
    assert rows[-1] == "m99"
    assert len(rows) < 30
    assert sum(file.stat().st_size for file in paths.state.iterdir()) < 6000


def test_a_fork_of_a_conversation_counts_its_replies_once(
    paths: Paths, environ: dict[str, str]
) -> None:
    """Claude Code 2.1.197 copies them, with ids and times, into the file of the fork (seen)."""
    claude(environ)
    lay(environ, "claude-code", ".claude/projects/-home-ada-project/fork.jsonl")
    log(paths)
    assert len(look(paths, environ)) == 1


def test_the_helpers_of_an_agent_are_counted(paths: Paths, environ: dict[str, str]) -> None:
    """Claude Code 2.1.197 writes them into a folder beside the conversation (seen)."""
    lay(environ, "claude-code", ".claude/projects/-p/SESSION/subagents/agent-1.jsonl")
    log(paths)
    assert len(look(paths, environ)) == 1


def test_a_link_to_nowhere_hides_no_other_conversation(
    paths: Paths, environ: dict[str, str]
) -> None:
    file = claude(environ)
    for number in range(5):
        (file.parent / f"{number}.jsonl").symlink_to("/no/such/file")
    log(paths)
    assert len(look(paths, environ)) == 1


def test_what_a_company_writes_to_its_cache_costs_more(
    paths: Paths, environ: dict[str, str]
) -> None:
    file = claude(environ)
    text = file.read_text().replace("local-model", "claude-haiku-4-5")
    file.write_text(text.replace('"cache_creation_input_tokens": 0',
                                 '"cache_creation_input_tokens": 1000000'))  # fmt: skip
    log(paths, model="claude-haiku-4-5", engine="anthropic", managed=True, local=False)
    (row,) = look(paths, environ)
    assert row.spent_usd == pytest.approx((1700 * 1.0 + 1e6 * 1.25 + 5 * 5.0) / 1e6)


@pytest.mark.parametrize(
    "more", [{"agent": ["x"]}, {"url": 7}, {"url": "http://[bad"}, {"managed": "yes"}]
)
def test_a_launch_with_a_word_of_another_kind_is_passed_over(
    more: dict[str, object], paths: Paths, environ: dict[str, str]
) -> None:
    claude(environ)
    log(paths)
    log(paths, **more)
    assert len(look(paths, environ)) == 1


def test_a_file_that_is_too_large_is_said(
    paths: Paths, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    claude(environ)
    log(paths)
    monkeypatch.setattr(usage, "MOST_BYTES", 100)
    assert usage.look(paths, environ, WEEK, now=NOW) == usage.Found((), partial=True)


def test_a_database_is_read_whatever_its_size_and_age(
    paths: Paths, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is new lies in the file beside it until OpenCode ends."""
    place = Path(environ["HOME"], ".local/share/opencode/opencode.db")
    place.parent.mkdir(parents=True)
    door = sqlite3.connect(place)
    door.execute("CREATE TABLE message (data TEXT)")
    lines = (DATA / "opencode.jsonl").read_text().splitlines()
    door.executemany("INSERT INTO message VALUES (?)", [(line,) for line in lines])
    door.commit()
    door.close()
    os.utime(place, (0, 0))
    monkeypatch.setattr(usage, "MOST_BYTES", 100)
    log(paths, agent="opencode")
    assert len(look(paths, environ)) == 1


@pytest.mark.parametrize(
    ("project", "count"), [("/home/ada", 1), ("/home/ada/project", 1), ("/home/ada/other", 0)]
)
def test_only_a_conversation_in_the_folder_of_a_launch_is_of_it(
    project: str, count: int, paths: Paths, environ: dict[str, str]
) -> None:
    claude(environ)
    log(paths, project=project)
    assert len(look(paths, environ)) == count


def test_of_two_projects_each_has_its_own_engine(paths: Paths, environ: dict[str, str]) -> None:
    claude(environ)
    log(paths)
    log(paths, project="/home/ada/other", engine="vllm", url="http://gpu.lan:8000", local=False)
    (row,) = look(paths, environ)
    assert (row.engine, row.local) == ("embedded", True)
