"""What is remembered between runs: the newest stays, and a broken file costs only comfort."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agentlaunch.records import MOST_ENTRIES, Records


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "state")


def test_what_was_remembered_is_recalled_by_the_next_run(records: Records) -> None:
    records.remember("choices", "last", {"agent": "claude-code", "n": 1})
    assert Records(records.folder).recall("choices", "last") == {"agent": "claude-code", "n": 1}


def test_nothing_is_recalled_where_nothing_was_remembered(records: Records) -> None:
    assert records.recall("choices", "last") is None
    assert not records.folder.exists()


def test_keys_do_not_mix_and_the_newest_value_counts(records: Records) -> None:
    records.remember("choices", "a", {"x": 1})
    records.remember("choices", "b", {"x": 3})
    records.remember("choices", "a", {"x": 2})
    assert records.recall("choices", "a") == {"x": 2}
    assert records.recall("choices", "b") == {"x": 3}
    assert records.recall("choices", "c") is None


def test_the_newest_value_counts(records: Records) -> None:
    for number in (1, 2):
        records.remember("choices", "a", {"x": number})
    assert records.recall("choices", "a") == {"x": 2}


def test_the_oldest_go_when_there_are_too_many_and_a_touched_one_is_young_again(
    records: Records,
) -> None:
    many = {str(n): {"n": n} for n in range(MOST_ENTRIES)}
    records.folder.mkdir()
    (records.folder / "choices.json").write_text(json.dumps(many))
    records.remember("choices", "0", {"n": 0})
    records.remember("choices", "new", {"n": -1})
    kept = json.loads((records.folder / "choices.json").read_text())
    assert list(kept) == [*map(str, range(2, MOST_ENTRIES)), "0", "new"]


@pytest.mark.parametrize(
    "broken",
    [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"last": 3}', b'{"last": []}'],
)
def test_a_broken_file_counts_as_empty_and_is_replaced(broken: bytes, records: Records) -> None:
    records.folder.mkdir()
    file = records.folder / "choices.json"
    file.write_bytes(broken)
    assert records.recall("choices", "last") is None
    records.remember("choices", "last", {"x": 1})
    assert records.recall("choices", "last") == {"x": 1}


def test_the_records_are_private(records: Records) -> None:
    records.remember("choices", "last", {"x": 1})
    assert records.folder.stat().st_mode & 0o777 == 0o700
    assert (records.folder / "choices.json").stat().st_mode & 0o777 == 0o600


def test_two_that_remember_at_once_lose_nothing(records: Records) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(records.remember, "choices", str(n), {"n": n}) for n in range(20)]
    assert [job.exception() for job in done] == [None] * 20
    assert [records.recall("choices", str(n)) for n in range(20)] == [{"n": n} for n in range(20)]
