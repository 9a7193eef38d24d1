"""Which conversation the user's arguments resume."""

from __future__ import annotations

import json

import pytest

from agentlaunch.agents import AGENTS
from agentlaunch.agents.claude_code import AGENT
from agentlaunch.agents.sessions import LATEST, Resume, Sessions

ID = "599f54b7-4ffd-4ae8-8ad6-1a88205fa9e4"
USAGE = {"input_tokens": 40_000, "output_tokens": 110, "total_tokens": 40_110}
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
        (("--resume=../../*", "x"), None),
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


def _of(name: str) -> Sessions:
    sessions = AGENTS[name].sessions
    assert sessions is not None
    return sessions


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("codex", ("resume", "--last"), Resume(LATEST, ())),
        ("codex", ("exec", "resume", ID, "go on"), Resume(ID, ("exec", "go on"))),
        ("codex", ("resume",), None),
        ("codex", ("exec", "resume the work"), None),
        ("qwen", ("-c", "-p", "x"), Resume(LATEST, ("-p", "x"))),
        ("copilot", ("--resume", ID, "-p", "x"), Resume(ID, ("-p", "x"))),
        ("copilot", ("--continue",), Resume(LATEST, ())),
    ],
)
def test_what_other_agents_resume(
    name: str, args: tuple[str, ...], expected: Resume | None
) -> None:
    assert _of(name).resumed(args) == expected


@pytest.mark.parametrize(
    ("name", "rows", "tokens"),
    [
        (
            "codex",
            [{"payload": {"type": "token_count", "info": {"last_token_usage": USAGE}}}],
            40_110,
        ),
        ("qwen", [{"usageMetadata": {"totalTokenCount": 8_794}}, {"type": "system"}], 8_794),
        (
            "copilot",
            [
                {
                    "type": "session.usage_record",
                    "data": {"usage": {"inputTokens": 12_164, "outputTokens": 7}},
                },
                {"type": "assistant.turn_end", "data": {}},
            ],
            12_171,
        ),
    ],
)
def test_the_size_of_other_agents_conversations(
    name: str, rows: list[dict[str, object]], tokens: int
) -> None:
    assert _of(name).tokens(json.dumps(row).encode() for row in rows) == tokens
    assert _of(name).tokens([b"{cut", b"[]", b'{"payload": 3, "data": 4}']) is None


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("codex", {"type": "session_meta", "payload": {"cwd": "/src/here"}}),
        ("copilot", {"type": "session.start", "data": {"context": {"cwd": "/src/here"}}}),
    ],
)
def test_a_conversation_knows_its_project(name: str, first: dict[str, object]) -> None:
    project = _of(name).project
    assert project is not None
    assert project(json.dumps(first).encode()) == "/src/here"
    assert project(b"") is None
