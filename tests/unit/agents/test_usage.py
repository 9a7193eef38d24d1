"""What agents wrote down of their tokens, read from files that the real ones wrote."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlaunch.agents import AGENTS
from agentlaunch.agents.usage import ACCOUNTS, Used
from places import CHECKOUT

DATA = CHECKOUT / "tests" / "data" / "usage"
HOME = "/home/ada/project"


def read(name: str) -> list[Used]:
    lines = (DATA / f"{name}.jsonl").read_bytes().splitlines()
    return list(ACCOUNTS[name].read(lines))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("name", "used"),
    [
        (
            "claude-code",
            [
                Used(
                    at("2026-11-23T03:02:39.428"),
                    "local-model",
                    1700,
                    0,
                    5,
                    own_id="msg_1",
                    folder=HOME,
                )
            ],
        ),
        (
            "codex",
            [
                Used(
                    at("2026-11-23T02:53:50.988"),
                    "SmolLM2-135M-Instruct.Q4_1",
                    457,
                    0,
                    6,
                    folder=HOME,
                ),
                Used(
                    at("2026-11-23T02:53:52.156"),
                    "SmolLM2-135M-Instruct.Q4_1",
                    479,
                    462,
                    13,
                    folder=HOME,
                ),
            ],
        ),
        ("qwen", [Used(at("2026-11-23T00:16:43.986"), "local-model", 13791, 0, 7, folder=HOME)]),
        ("copilot", [Used(at("2026-11-22T23:31:22.955"), "local-model", 12164, 0, 7)]),
        ("pi", [Used(at("2026-11-23T01:08:58.243"), "local-model", 1513, 0, 7, own_id="79177e90")]),
        (
            "opencode",
            [
                Used(
                    at("2026-11-23T01:08:30.859"), "local-model", 7804, 0, 7, own_id="1795396110859"
                )
            ],
        ),
    ],
)
def test_each_agents_own_file_tells_its_tokens(name: str, used: list[Used]) -> None:
    assert read(name) == used


def test_every_account_is_of_an_agent_that_we_know() -> None:
    assert set(ACCOUNTS) <= set(AGENTS)


def test_a_reply_in_several_parts_counts_once_and_the_last_usage_counts() -> None:
    (line,) = [row for row in (DATA / "claude-code.jsonl").read_bytes().splitlines()
               if b'"assistant"' in row]  # fmt: skip
    first = line.replace(b'"output_tokens": 5', b'"output_tokens": 1')
    assert first != line
    (used,) = ACCOUNTS["claude-code"].read([first, line, line])
    assert used.output_tokens == 5


def test_what_codex_tells_twice_was_used_once() -> None:
    lines = (DATA / "codex.jsonl").read_bytes().splitlines()
    doubled = [line for line in lines for _twice in (1, 2)]
    assert list(ACCOUNTS["codex"].read(doubled)) == read("codex")


@pytest.mark.parametrize("name", sorted(ACCOUNTS))
@pytest.mark.parametrize("value", [b"-1", b'"7"', b"true", b"null", b"1.5", b"[]", b"{}", b"1e400"])
def test_a_number_that_is_none_is_passed_over(name: str, value: bytes) -> None:
    known = {"claude-code": b"5", "codex": b"6", "opencode": b"7"}.get(name, b"7")
    for line in (DATA / f"{name}.jsonl").read_bytes().splitlines():
        for used in ACCOUNTS[name].read([line.replace(b": " + known, b": " + value)]):
            assert used.input_tokens >= used.cached_tokens >= 0
            assert isinstance(used.output_tokens, int)
            assert used.output_tokens >= 0


@given(st.binary(max_size=200))
@pytest.mark.parametrize("name", sorted(ACCOUNTS))
def test_no_file_at_all_is_too_broken(name: str, data: bytes) -> None:
    line = Path(DATA / f"{name}.jsonl").read_bytes().splitlines()[0]
    for used in ACCOUNTS[name].read([data, line[: len(data)], line]):
        assert used.at.tzinfo is not None


def test_what_was_written_to_a_cache_is_told_and_absurd_counts_are_none() -> None:
    data = (DATA / "claude-code.jsonl").read_bytes()
    told = data.replace(b'"cache_creation_input_tokens": 0', b'"cache_creation_input_tokens": 300')
    (used,) = ACCOUNTS["claude-code"].read(told.splitlines())
    assert (used.input_tokens, used.cached_tokens, used.written_tokens) == (2000, 0, 300)
    absurd = data.replace(b'"input_tokens": 1700', b'"input_tokens": 1' + b"0" * 400)
    assert list(ACCOUNTS["claude-code"].read(absurd.splitlines())) == []


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("copilot", {"type": "session.start", "data": {"context": {"cwd": HOME}}}),
        ("pi", {"type": "session", "version": 3, "cwd": HOME}),
    ],
)
def test_the_folder_stands_where_the_conversation_begins(
    name: str, first: dict[str, object]
) -> None:
    """As Copilot 1.0.102 and Pi 0.87.1 write it (seen)."""
    lines = [json.dumps(first).encode(), *(DATA / f"{name}.jsonl").read_bytes().splitlines()]
    assert [used.folder for used in ACCOUNTS[name].read(lines)] == [HOME]


def test_opencode_tells_the_folder_with_each_reply() -> None:
    """As OpenCode 1.18.33 writes it (seen)."""
    rows = [json.loads(line) for line in (DATA / "opencode.jsonl").read_text().splitlines()]
    rows[-1]["path"] = {"cwd": HOME, "root": HOME}
    lines = [json.dumps(row).encode() for row in rows]
    assert [used.folder for used in ACCOUNTS["opencode"].read(lines)] == [HOME]
