"""Asking a model on each wire: the bodies that go out, and the forms in which replies come back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from acting_model import ActingModel
from agentlaunch.endpoint import Endpoint, Wire
from agentlaunch.errors import AuthNeeded, EngineFailed
from agentlaunch.progress import Progress, finish
from agentlaunch.proof import bodies
from agentlaunch.proof.asking import ask, send, waiting
from agentlaunch.proof.dialogue import Call, Message, Result, Said, System, Tool, Turn, User
from agentlaunch.proof.reading import Reader
from wire_replies import Reply
from wire_server import WireServer

WIRES: tuple[Wire, ...] = ("anthropic_messages", "openai_responses", "openai_chat")
ADD = Tool("add", "Add.", {"type": "object", "properties": {"a": {"type": "integer"}}})
CALL = Call("call_1", "add", '{"a": 1}')
TALK: tuple[Message, ...] = (
    System("Be brief."),
    User("Add one."),
    Said("I add.", (CALL,)),
    Result(CALL, "2"),
    System("Late."),
    User("And?"),
)


def body(wire: Wire, *, stream: bool = True) -> dict[str, Any]:
    return bodies.body(wire, "m", TALK, (ADD,), stream=stream, max_tokens=9)


def fed(wire: Wire, *events: dict[str, Any]) -> Turn:
    reader = Reader(wire)
    for event in events:
        reader.feed(event)
    return reader.turn(first_s=None, took_s=0.0)


def whole(wire: Wire, reply: dict[str, Any]) -> Turn:
    reader = Reader(wire)
    reader.whole(reply)
    return reader.turn(first_s=None, took_s=0.0)


# --- what goes out -------------------------------------------------------------------------------


def test_a_conversation_on_chat_completions() -> None:
    called = {"id": "call_1", "type": "function"}
    assert body("openai_chat") == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Add one."},
            {
                "role": "assistant",
                "content": "I add.",
                "tool_calls": [{**called, "function": {"name": "add", "arguments": '{"a": 1}'}}],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "2"},
            {"role": "system", "content": "Late."},
            {"role": "user", "content": "And?"},
        ],
        "max_tokens": 9,
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [
            {
                "type": "function",
                "function": {"name": "add", "description": "Add.", "parameters": ADD.parameters},
            }
        ],
    }


def test_a_conversation_on_messages() -> None:
    def text(value: str) -> list[dict[str, str]]:
        return [{"type": "text", "text": value}]

    assert body("anthropic_messages", stream=False) == {
        "model": "m",
        "system": text("Be brief."),
        "messages": [
            {"role": "user", "content": text("Add one.")},
            {
                "role": "assistant",
                "content": [
                    *text("I add."),
                    {"type": "tool_use", "id": "call_1", "name": "add", "input": {"a": 1}},
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "2"}],
            },
            {"role": "system", "content": text("Late.")},
            {"role": "user", "content": text("And?")},
        ],
        "max_tokens": 9,
        "stream": False,
        "tools": [{"name": "add", "description": "Add.", "input_schema": ADD.parameters}],
    }


def test_a_conversation_on_responses() -> None:
    def row(role: str, text: str, kind: str = "input_text") -> dict[str, Any]:
        return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}

    call = {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": '{"a": 1}'}
    assert body("openai_responses") == {
        "model": "m",
        "input": [
            row("developer", "Be brief."),
            row("user", "Add one."),
            row("assistant", "I add.", "output_text"),
            call,
            {"type": "function_call_output", "call_id": "call_1", "output": "2"},
            row("developer", "Late."),
            row("user", "And?"),
        ],
        "max_output_tokens": 9,
        "stream": True,
        "store": False,
        "tools": [
            {
                "type": "function",
                "name": "add",
                "description": "Add.",
                "parameters": ADD.parameters,
                "strict": False,
            }
        ],
    }


# --- over real HTTP ------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("wire", WIRES)
def test_a_call_a_text_and_the_usage_arrive(wire: Wire, stream: bool) -> None:
    said = Reply(text="I add.", tool="add", arguments={"a": 1}, input_tokens=40, output_tokens=5)
    with WireServer(answer=lambda _request, _wire: said) as server:
        endpoint = Endpoint(server.url, (wire,), server.model)
        turn = ask(endpoint, wire, TALK[:2], (ADD,), stream=stream, max_tokens=9, deadline_s=10)
    (call,) = turn.calls
    assert replace(turn, calls=(), stop=None, cached_tokens=None) == Turn(
        text="I add.", prompt_tokens=40, output_tokens=5
    )
    assert (call.name, json.loads(call.arguments)) == ("add", {"a": 1})
    assert call.id
    assert (turn.first_s is not None) == stream
    assert turn.took_s > 0


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("wire", WIRES)
def test_a_refusal_is_an_answer_with_the_servers_words(wire: Wire, stream: bool) -> None:
    no = Reply(text="local-model does not support tools", status=400)
    with WireServer(answer=lambda _request, _wire: no) as server:
        endpoint = Endpoint(server.url, (wire,), server.model)
        turn = ask(endpoint, wire, TALK[:2], stream=stream, max_tokens=9, deadline_s=10)
    assert turn == Turn(status=400, error="local-model does not support tools")


def test_an_error_among_the_events_is_an_answer_too() -> None:
    data = b'data: {"choices": [{"delta": {"content": "I"}}]}\n\n'
    data += b'data: {"error": {"message": "error parsing tool call", "type": "api_error"}}\n\n'
    said = Reply(recorded=data, content_type="text/event-stream")
    with WireServer(probes=ActingModel(), answer=lambda _request, _wire: said) as server:
        endpoint = Endpoint(server.url, ("openai_chat",), server.model)
        turn = ask(endpoint, "openai_chat", TALK[:2], stream=True, max_tokens=9, deadline_s=10)
    assert turn == Turn(error="error parsing tool call")


@pytest.mark.parametrize("stream", [True, False])
def test_the_key_is_sent_and_a_wrong_one_is_said(stream: bool) -> None:
    with WireServer(token="right") as server:
        endpoint = Endpoint(server.url, WIRES, server.model, "right")
        for each in (endpoint, replace(endpoint, token_header="x-api-key")):
            assert send(each, WIRES[0], body(WIRES[0], stream=stream), deadline_s=10).text == "done"
        with pytest.raises(AuthNeeded):
            send(replace(endpoint, token="wrong"), WIRES[0], body(WIRES[0]), deadline_s=10)


@pytest.mark.parametrize("stream", [True, False])
def test_what_is_no_such_server_is_an_engine_that_failed(stream: bool) -> None:
    page = Reply(recorded=b"<html>Sign in</html>", content_type="text/html")
    with WireServer(answer=lambda _request, _wire: page) as server:
        endpoint = Endpoint(server.url, WIRES, server.model)
        with pytest.raises(EngineFailed):
            send(endpoint, "openai_chat", body("openai_chat", stream=stream), deadline_s=10)
    with pytest.raises(EngineFailed):
        send(endpoint, "openai_chat", body("openai_chat", stream=stream), deadline_s=10)


@pytest.mark.parametrize("wire", WIRES)
def test_a_stream_that_never_says_it_is_over_broke_off(wire: Wire) -> None:
    part = Reply(recorded=b'data: {"type": "ping"}\n\n', content_type="text/event-stream")
    with WireServer(answer=lambda _request, _wire: part) as server:
        endpoint = Endpoint(server.url, WIRES, server.model)
        with pytest.raises(EngineFailed) as caught:
            send(endpoint, wire, body(wire), deadline_s=10)
    assert caught.value.code == "reply-cut"


# --- the forms of replies ------------------------------------------------------------------------


def delta(*calls: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"choices": [{"delta": {**fields, **({"tool_calls": [*calls]} if calls else {})}}]}


def test_pieces_of_two_calls_come_in_any_order() -> None:
    turn = fed(
        "openai_chat",
        delta({"index": 0, "id": "a", "function": {"name": "one", "arguments": ""}}),
        delta({"index": 1, "id": "b", "function": {"name": "two", "arguments": "{"}}),
        delta({"index": 0, "function": {"arguments": '{"x": 1}'}}),
        delta({"index": 1, "function": {"arguments": "}"}}),
    )
    assert turn.calls == (Call("a", "one", '{"x": 1}'), Call("b", "two", "{}"))


def test_whole_calls_that_all_stand_at_index_0_are_two_calls() -> None:
    turn = fed(
        "openai_chat",
        delta({"index": 0, "id": "a", "function": {"name": "one", "arguments": "{}"}}),
        delta({"index": 0, "id": "b", "function": {"name": "two", "arguments": "[]"}}),
    )
    assert turn.calls == (Call("a", "one", "{}"), Call("b", "two", "[]"))


def test_an_id_that_comes_with_every_piece_is_one_call() -> None:
    turn = fed(
        "openai_chat",
        delta({"index": 0, "id": "a", "function": {"name": "one", "arguments": '{"x"'}}),
        delta({"index": 0, "id": "a", "function": {"name": "one", "arguments": ": 1}"}}),
    )
    assert turn.calls == (Call("a", "one", '{"x": 1}'),)


def test_an_error_event_of_responses_is_what_the_server_said() -> None:
    event = {"type": "error", "code": "server_error", "message": "no", "param": None}
    assert fed("openai_responses", event) == Turn(error="no")


def test_a_call_without_an_id_gets_one_and_objects_become_json() -> None:
    turn = fed("openai_chat", delta({"function": {"name": "one", "arguments": {"x": "ä"}}}))
    assert turn.calls == (Call("call_1", "one", '{"x": "ä"}'),)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_thoughts_have_three_names(name: str) -> None:
    turn = fed("openai_chat", delta(**{name: "hm"}), delta(content="yes"))
    assert (turn.thinking, turn.text) == ("hm", "yes")


def test_thoughts_that_are_told_twice_count_once() -> None:
    assert fed("openai_chat", delta(reasoning="hm", reasoning_content="hm")).thinking == "hm"


def test_a_block_that_begins_with_its_whole_input_keeps_it() -> None:
    block = {"type": "tool_use", "id": "a", "name": "one", "input": {"x": 1}}
    start = {"type": "content_block_start", "index": 0, "content_block": block}
    assert fed("anthropic_messages", start).calls == (Call("a", "one", '{"x": 1}'),)


def test_the_three_counts_of_messages_are_one_prompt() -> None:
    usage = {
        "input_tokens": 7,
        "cache_read_input_tokens": 90,
        "cache_creation_input_tokens": 3,
        "output_tokens": 2,
    }
    turn = whole("anthropic_messages", {"content": [], "usage": usage})
    assert (turn.prompt_tokens, turn.cached_tokens, turn.output_tokens) == (100, 90, 2)


def test_cached_tokens_of_the_other_wires_are_part_of_the_prompt() -> None:
    usage = {"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 90}}
    chat = whole("openai_chat", {"choices": [], "usage": usage})
    usage = {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 90}}
    responses = whole("openai_responses", {"output": [], "usage": usage})
    assert (chat.prompt_tokens, chat.cached_tokens) == (100, 90)
    assert (responses.prompt_tokens, responses.cached_tokens) == (100, 90)


@pytest.mark.parametrize("wire", WIRES)
def test_what_is_not_told_is_not_known(wire: Wire) -> None:
    assert whole(wire, {}) == Turn()


NONSENSE: list[dict[str, Any]] = [
    {"choices": None, "usage": []},
    {"choices": [None, 3], "usage": {"prompt_tokens": "many"}},
    {"choices": [{"delta": [], "message": "x", "finish_reason": 3}]},
    {"choices": [{"delta": {"tool_calls": {"index": 0}}}]},
    {"choices": [{"delta": {"tool_calls": [{"index": -1, "function": None}]}}]},
    {"type": "content_block_delta", "index": {}, "delta": 3},
    {"type": "content_block_start", "content_block": {"type": "tool_use", "input": [1]}},
    {"type": "message_delta", "usage": {"output_tokens": True}, "delta": None},
    {"type": "response.completed", "response": None},
    {"type": "response.output_item.added", "item": {"type": "function_call"}},
    {"type": "response.output_item.done", "output_index": [], "item": {"type": "function_call"}},
    {"type": "response.function_call_arguments.delta", "delta": 3},
    {"output": [{"type": "reasoning", "content": 3}, {"content": [{"text": None}]}, 5]},
    {"content": [{"type": "tool_use", "input": None, "name": 3}, {"text": {}}]},
    {"choices": [{"delta": {"tool_calls": [{"id": [1], "function": {"name": "x"}}]}}]},
]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("value", NONSENSE, ids=json.dumps)
def test_nothing_that_a_server_sends_breaks_the_reader(value: dict[str, Any], wire: Wire) -> None:
    streamed, complete = fed(wire, value), whole(wire, value)
    assert isinstance(streamed, Turn)
    assert (streamed.prompt_tokens, complete.prompt_tokens) == (None, None)


# --- waiting -------------------------------------------------------------------------------------


def test_waiting_gives_back_what_the_work_gives_and_raises_what_it_raises() -> None:
    assert finish(waiting("thinking", lambda: 3)) == 3
    assert next(waiting("thinking", lambda: 3)) == Progress("thinking")

    def broken() -> int:
        raise EngineFailed("no")

    with pytest.raises(EngineFailed, match="no"):
        finish(waiting("thinking", broken))
