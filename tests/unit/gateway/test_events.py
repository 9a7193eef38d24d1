"""The events of the gateway as they are read back: whole ones, in their order, and no others."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlaunch.gateway import events
from agentlaunch.gateway.events import Request, Switch

AT = datetime(2026, 11, 23, 10, 0, tzinfo=timezone.utc)
REQUEST: dict[str, Any] = {
    "kind": "request",
    "at": "2026-11-23T10:00:00.000+00:00",
    "role": "main",
    "hop": "local",
    "model": "qwen",
    "input_tokens": 10,
    "cached_tokens": 4,
    "output_tokens": 2,
    "cost_usd": 0.0,
    "managed": False,
    "local": True,
    "took_s": 1.5,
    "status": 200,
}
SWITCH: dict[str, Any] = {
    "kind": "switch",
    "at": "2026-11-23T10:00:00.000+00:00",
    "role": "main",
    "before": "hosted",
    "after": "local",
    "reason": "hosted refused the connection",
}


def write(state: Path, *rows: dict[str, Any] | bytes, name: str = "events.jsonl") -> None:
    path = events.place(state).with_name(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(b"\n".join(lines) + b"\n")


def test_requests_and_switches_are_read_back(tmp_path: Path) -> None:
    write(tmp_path, REQUEST, SWITCH)
    assert events.read(tmp_path) == (
        Request(AT, "main", "local", "qwen", 10, 4, 2, 0.0, False, True, 1.5, 200),
        Switch(AT, "main", "hosted", "local", "hosted refused the connection"),
    )


def test_a_moment_that_no_zone_can_tell_is_none(tmp_path: Path) -> None:
    write(tmp_path, {**REQUEST, "at": "9999-12-31T23:59:59-12:00"}, REQUEST)
    assert len(events.read(tmp_path)) == 1


def test_without_a_file_there_are_none(tmp_path: Path) -> None:
    assert events.read(tmp_path) == ()
    events.place(tmp_path).mkdir(parents=True)
    assert events.read(tmp_path) == ()


def test_the_file_before_this_one_comes_first_and_times_decide(tmp_path: Path) -> None:
    times = [AT + timedelta(minutes=number) for number in range(4)]
    rows = [{**SWITCH, "at": time.isoformat()} for time in times]
    write(tmp_path, rows[3], rows[2])
    write(tmp_path, rows[0], rows[1], name="events.jsonl.1")
    assert [row.at for row in events.read(tmp_path)] == times
    assert [row.at for row in events.read(tmp_path, times[2])] == times[2:]


def test_since_may_be_a_time_without_a_zone_and_a_row_one_of_another(tmp_path: Path) -> None:
    write(tmp_path, {**SWITCH, "at": "2026-11-23T12:00:00+02:00"})
    here = AT.astimezone().replace(tzinfo=None)
    assert [row.at for row in events.read(tmp_path, here)] == [AT]
    assert events.read(tmp_path, here + timedelta(seconds=1)) == ()
    write(tmp_path, {**SWITCH, "at": "2026-11-23T10:00:00Z"}, {**SWITCH, "at": "2026-11-23T10:00"})
    assert [row.at for row in events.read(tmp_path)] == [AT, AT]


def test_what_a_newer_version_adds_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, {**SWITCH, "more": 1}, {**SWITCH, "kind": "other"}, {**REQUEST, "more": [1]})
    assert [type(row) for row in events.read(tmp_path)] == [Switch, Request]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        *(
            json.dumps({**REQUEST, name: value}).encode()
            for name, value in (
                ("at", 5), ("at", "noon"), ("at", None), ("role", None), ("hop", 1),
                ("input_tokens", "10"), ("input_tokens", True), ("output_tokens", -1),
                ("cost_usd", "0"), ("cost_usd", float("nan")), ("cost_usd", -1),
                ("took_s", "x"), ("status", None), ("kind", 1), ("model", []),
            )
        ),
        *(
            json.dumps({key: value for key, value in row.items() if key != name}).encode()
            for row in (REQUEST, SWITCH)
            for name in row
            if name not in {"took_s", "status"}
        ),
    ],
)  # fmt: skip
def test_a_line_that_is_no_event_is_passed_over(tmp_path: Path, line: bytes) -> None:
    write(tmp_path, REQUEST, line, SWITCH)
    assert [type(row) for row in events.read(tmp_path)] == [Request, Switch]


def test_a_cost_that_is_not_known_stays_so(tmp_path: Path) -> None:
    write(tmp_path, {**REQUEST, "cost_usd": None, "took_s": None})
    (row,) = events.read(tmp_path)
    assert isinstance(row, Request)
    assert (row.cost_usd, row.took_s) == (None, None)


@given(data=st.binary(max_size=200))
def test_no_bytes_break_the_reading(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:  # fmt: skip
    state = tmp_path_factory.mktemp("state")
    write(state, data, SWITCH)
    assert events.read(state)[-1:] == (
        Switch(AT, "main", "hosted", "local", "hosted refused the connection"),
    )
