"""A recorded first request as a first and a second turn, on each wire."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.endpoint import Wire
from agentlaunch.proof import recording
from agentlaunch.proof.recording import MORE, WORD, Recording

TOOL = {"name": "Read", "input_schema": {"type": "object"}}
SECRET = "what the user said"

BODIES: dict[Wire, dict[str, Any]] = {
    "anthropic_messages": {
        "model": "m",
        "max_tokens": 32_000,
        "system": [{"type": "text", "text": "You are an agent."}],
        "tools": [TOOL],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "<reminder>"}, {"type": "text", "text": SECRET},
            ]},
            {"role": "system", "content": "Agents that there are"},
        ],
    },
    "openai_responses": {
        "model": "m",
        "input": [
            {"type": "message", "role": "developer", "content": [
                {"type": "input_text", "text": "You are an agent."},
            ]},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": SECRET},
            ]},
        ],
        "tools": [{"type": "function", "name": "shell"}],
        "store": False,
    },
    "openai_chat": {
        "model": "m",
        "max_completion_tokens": 4_096,
        "messages": [
            {"role": "system", "content": "You are an agent."},
            {"role": "user", "content": f'<context/>\n"{SECRET}"\n'},
        ],
        "tools": [{"type": "function", "function": {"name": "read"}}],
    },
}  # fmt: skip
ENTRIES: dict[Wire, str] = {
    "anthropic_messages": "messages",
    "openai_responses": "input",
    "openai_chat": "messages",
}


def recorded(wire: Wire) -> Recording:
    found = recording.record("agent", "1.0", wire, [BODIES[wire]], SECRET)
    assert found is not None
    return found


@pytest.mark.parametrize("wire", BODIES)
def test_a_recording_holds_all_but_the_users_words(wire: Wire) -> None:
    found = recorded(wire)

    assert SECRET not in str(found)
    assert str(found.body) == str(BODIES[wire]).replace(SECRET, WORD)


@pytest.mark.parametrize(
    ("wire", "limit"),
    [
        ("anthropic_messages", "max_tokens"),
        ("openai_responses", "max_output_tokens"),
        ("openai_chat", "max_completion_tokens"),
    ],
)
def test_a_first_turn_changes_nothing_that_is_read(wire: Wire, limit: str) -> None:
    found = recorded(wire)

    body = found.first_turn("other")

    assert body[limit] == 1
    assert (body.pop("model"), body.pop("stream")) == ("other", False)
    assert body | {limit: 0, "model": "m"} == dict(found.body) | {limit: 0}


@pytest.mark.parametrize("wire", BODIES)
def test_a_second_turn_begins_with_the_first(wire: Wire) -> None:
    found, name = recorded(wire), ENTRIES[wire]

    first, second = found.first_turn("m"), found.second_turn("m", "I see.")

    added = second[name][len(first[name]) :]
    assert second | {name: second[name][: len(first[name])]} == first
    assert [row["role"] for row in added] == ["assistant", "user"]
    assert "I see." in str(added[0])
    assert MORE in str(added[1])


def test_the_request_with_tools_is_the_first_and_a_title_stands_beside_it() -> None:
    title = {"messages": [{"role": "user", "content": f"a title for {SECRET}"}]}
    wire: Wire = "openai_chat"

    found = recording.record("agent", None, wire, [title, BODIES[wire]], SECRET)

    assert found is not None
    assert found.body["tools"] == BODIES[wire]["tools"]
    assert len(found.beside) == 1
    assert SECRET not in str(found)


def test_an_agent_that_asked_nothing_has_no_recording() -> None:
    assert recording.record("agent", None, "openai_chat", [{"messages": []}], "word") is None


def test_a_budget_for_thinking_that_exceeds_the_reply_is_left_out() -> None:
    body = BODIES["anthropic_messages"] | {"thinking": {"type": "enabled", "budget_tokens": 9_000}}
    found = Recording("agent", None, "anthropic_messages", body)

    assert "thinking" not in found.first_turn("m")


def test_what_is_saved_is_loaded_again_and_is_nobody_elses(tmp_path: Path) -> None:
    found, file = recorded("openai_chat"), tmp_path / "prefixes" / "a.json"

    recording.save(found, file)

    assert recording.load(file) == found
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"agent": "a", "wire": "none", "body": {}}'])
def test_what_is_no_recording_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)

    assert recording.load(file) is None
