"""Which conversation the user's arguments resume."""

from __future__ import annotations

import json

import pytest

from agentlaunch.agents.claude_code import AGENT
from agentlaunch.agents.sessions import LATEST, Resume

ID = "599f54b7-4ffd-4ae8-8ad6-1a88205fa9e4"
SESSIONS = AGENT.sessions
assert SESSIONS is not None


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((), None),
        (("-p", "hello"), None),
        (("--continue", "-p", "x"), Resume(LATEST, ("-p", "x"))),
        (("-c",), Resume(LATEST, ())),
        (("-p", "x", "--resume", ID), Resume(ID, ("-p", "x"))),
        ((f"--resume={ID}", "x"), Resume(ID, ("x",))),
        (("-r", ID, "go on"), Resume(ID, ("go on",))),
        (("--resume",), None),
        (("--resume", "a search word"), None),
        (("--", "--continue"), None),
    ],
)
def test_the_arguments_of_claude_code_that_resume(
    args: tuple[str, ...], expected: Resume | None
) -> None:
    assert SESSIONS is not None
    assert SESSIONS.resumed(args) == expected


def _line(kind: str, **more: object) -> bytes:
    return json.dumps({"type": kind, **more}).encode()


def _reply(tokens: int, **more: object) -> bytes:
    usage = {"input_tokens": tokens, "cache_read_input_tokens": 1_000, "output_tokens": 50}
    return _line("assistant", message={"usage": usage}, **more)


@pytest.mark.parametrize(
    ("lines", "tokens"),
    [
        ([], None),
        ([b"{cut", _line("user")], None),
        ([_reply(10), _reply(40_000), _line("user")], 41_050),
        ([_reply(40_000), _reply(7, isSidechain=True)], 41_050),
        ([_reply(40_000), _line("system", subtype="compact_boundary")], None),
        ([_line("system", subtype="compact_boundary"), _reply(5_000)], 6_050),
        ([_line("assistant", message={"usage": {"input_tokens": "many"}})], None),
    ],
)
def test_the_size_of_a_conversation_is_that_of_its_last_reply(
    lines: list[bytes], tokens: int | None
) -> None:
    assert SESSIONS is not None
    assert SESSIONS.tokens(lines) == tokens


def test_a_projects_folder_is_named_after_its_path() -> None:
    assert SESSIONS is not None
    found = SESSIONS.pattern("/src/my.project_1", LATEST)
    assert found == "projects/-src-my-project-1/*.jsonl"
