"""A scripted reply as each of the three wires says it, streamed and whole. Pure but for the ids."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agentlaunch.endpoint import Wire

_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Reply:
    """One answer of the model: a text, a tool call, or an HTTP error."""

    text: str | None = None
    tool: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    error_type: str = "api_error"
    code: str | int | None = None
    document: dict[str, Any] | None = None
    """The whole body of an error, as it is."""
    input_tokens: int | None = None
    """Tokens that `usage` reports; by default a quarter of the request's characters."""
    output_tokens: int | None = None
    recorded: bytes | None = None
    """The whole body as it came from a real server, sent as it stands."""
    content_type: str = "application/json"
    """Of what was recorded."""
    location: str | None = None
    """Where a redirect points."""


def error(reply: Reply, wire: Wire) -> dict[str, Any]:
    """The body of a refusal."""
    told = {"type": reply.error_type, "message": reply.text or ""}
    if wire == "anthropic_messages":
        return {"type": "error", "error": told}
    return {"error": {**told, "code": reply.code, "param": None}}


def whole(reply: Reply, wire: Wire, request: dict[str, Any]) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    if wire == "openai_chat":
        return _chat_whole(reply, request)
    if wire == "openai_responses":
        *_before, (_name, last) = _responses_events(reply, request)
        response: dict[str, Any] = last["response"]
        return response
    return _messages_whole(reply, request)


def stream(reply: Reply, wire: Wire, request: dict[str, Any]) -> Iterator[bytes]:
    """The events of an answer, as they stand on the line."""
    if wire == "openai_chat":
        for row in _chat_chunks(reply, request):
            yield f"data: {json.dumps(row)}\n\n".encode()
        yield b"data: [DONE]\n\n"
        return
    events = _responses_events if wire == "openai_responses" else _messages_events
    for name, data in events(reply, request):
        yield f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


def _usage(reply: Reply, request: dict[str, Any]) -> tuple[int, int]:
    given = reply.input_tokens
    asked = len(json.dumps(request)) // 4 if given is None else given
    return asked, 7 if reply.output_tokens is None else reply.output_tokens


# --- OpenAI's chat completions -------------------------------------------------------------------


def _chat_call(reply: Reply) -> dict[str, Any]:
    function = {"name": reply.tool, "arguments": json.dumps(reply.arguments)}
    return {"id": f"call_{next(_NUMBERS)}", "type": "function", "function": function}


def _chat_usage(reply: Reply, request: dict[str, Any]) -> dict[str, int]:
    asked, said = _usage(reply, request)
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def _chat_chunks(reply: Reply, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    name, model = f"chatcmpl-{next(_NUMBERS)}", str(request.get("model"))

    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {"id": name, "object": "chat.completion.chunk", "created": 1, "model": model,
                "choices": [choice]}  # fmt: skip

    yield chunk({"role": "assistant", "content": None if reply.tool else ""})
    if reply.text:
        yield chunk({"content": reply.text})
    if reply.tool is not None:
        row = _chat_call(reply)
        function = row["function"]
        yield chunk(
            {"tool_calls": [{"index": 0, **row, "function": {**function, "arguments": ""}}]}
        )
        more = {"index": 0, "function": {"arguments": function["arguments"]}}
        yield chunk({"tool_calls": [more]})
    yield chunk({}, "tool_calls" if reply.tool is not None else "stop")
    yield {**chunk({}), "choices": [], "usage": _chat_usage(reply, request)}


def _chat_whole(reply: Reply, request: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if reply.tool is not None:
        message["tool_calls"] = [_chat_call(reply)]
    reason = "tool_calls" if reply.tool is not None else "stop"
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {"id": f"chatcmpl-{next(_NUMBERS)}", "object": "chat.completion", "created": 1,
            "model": str(request.get("model")), "choices": [choice],
            "usage": _chat_usage(reply, request)}  # fmt: skip


# --- OpenAI's responses --------------------------------------------------------------------------


def _is_freeform(tool: str, request: dict[str, Any]) -> bool:
    """Codex declares tools that take a text instead of an object (`"type": "custom"`)."""
    rows = [row for row in request.get("tools") or [] if isinstance(row, dict)]
    return any(row.get("type") == "custom" and row.get("name") == tool for row in rows)


def _responses_events(
    reply: Reply, request: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    numbered = itertools.count()
    asked, said = _usage(reply, request)
    response: dict[str, Any] = {
        "id": f"resp_{next(_NUMBERS)}",
        "object": "response",
        "created_at": 1,
        "status": "in_progress",
        "model": str(request.get("model")),
        "output": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
    }
    yield "response.created", {"sequence_number": next(numbered), "response": response}
    yield "response.in_progress", {"sequence_number": next(numbered), "response": response}
    items = []
    if reply.text or reply.tool is None:
        items.append(_message_item(reply.text or ""))
    if reply.tool is not None:
        items.append(_call_item(reply, request))
    for index, (item, parts) in enumerate(items):
        at = {"output_index": index}
        begun = {**item, **_EMPTY[item["type"]], "status": "in_progress"}
        yield "response.output_item.added", {"sequence_number": next(numbered), **at, "item": begun}
        for name, data in parts:
            where = {"sequence_number": next(numbered), "item_id": item["id"], **at}
            yield name, where | data
        yield "response.output_item.done", {"sequence_number": next(numbered), **at, "item": item}
    usage = {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": asked + said,
    }
    done = response | {
        "status": "completed",
        "output": [item for item, _ in items],
        "usage": usage,
    }
    yield "response.completed", {"sequence_number": next(numbered), "response": done}


_EMPTY: dict[str, dict[str, Any]] = {
    "message": {"content": []},
    "function_call": {"arguments": ""},
    "custom_tool_call": {"input": ""},
}
"""What an item holds before its deltas."""

_Parts = list[tuple[str, dict[str, Any]]]


def _message_item(text: str) -> tuple[dict[str, Any], _Parts]:
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {
        "id": f"msg_{next(_NUMBERS)}",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }
    at = {"content_index": 0}
    return item, [
        ("response.content_part.added", at | {"part": {**part, "text": ""}}),
        ("response.output_text.delta", at | {"delta": text, "logprobs": []}),
        ("response.output_text.done", at | {"text": text, "logprobs": []}),
        ("response.content_part.done", at | {"part": part}),
    ]


def _call_item(reply: Reply, request: dict[str, Any]) -> tuple[dict[str, Any], _Parts]:
    number, tool = next(_NUMBERS), str(reply.tool)
    common = {"call_id": f"call_{number}", "name": tool, "status": "completed"}
    if _is_freeform(tool, request):
        text = str(reply.arguments.get("input", ""))
        event = "response.custom_tool_call_input"
        item = {"id": f"ctc_{number}", "type": "custom_tool_call", "input": text, **common}
        return item, [(f"{event}.delta", {"delta": text}), (f"{event}.done", {"input": text})]
    text = json.dumps(reply.arguments)
    event = "response.function_call_arguments"
    item = {"id": f"fc_{number}", "type": "function_call", "arguments": text, **common}
    return item, [
        (f"{event}.delta", {"delta": text}),
        (f"{event}.done", {"name": tool, "arguments": text}),
    ]


# --- Anthropic's messages ------------------------------------------------------------------------


def _messages_blocks(reply: Reply) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if reply.text or reply.tool is None:
        blocks.append({"type": "text", "text": reply.text or ""})
    if reply.tool is not None:
        name = f"toolu_{next(_NUMBERS)}"
        blocks.append(
            {"type": "tool_use", "id": name, "name": reply.tool, "input": reply.arguments}
        )
    return blocks


def _messages_events(reply: Reply, request: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    final = _messages_whole(reply, request)
    asked = final["usage"]["input_tokens"]
    begun = final | {
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": asked, "output_tokens": 1},
    }
    yield "message_start", {"message": begun}
    for index, block in enumerate(final["content"]):
        if block["type"] == "text":
            start: dict[str, Any] = {"type": "text", "text": ""}
            delta = {"type": "text_delta", "text": block["text"]}
        else:
            start = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield "content_block_start", {"index": index, "content_block": start}
        yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    stop = {"stop_reason": final["stop_reason"], "stop_sequence": None}
    yield "message_delta", {"delta": stop, "usage": final["usage"]}
    yield "message_stop", {}


def _messages_whole(reply: Reply, request: dict[str, Any]) -> dict[str, Any]:
    asked, said = _usage(reply, request)
    return {
        "id": f"msg_{next(_NUMBERS)}",
        "type": "message",
        "role": "assistant",
        "model": str(request.get("model")),
        "content": _messages_blocks(reply),
        "stop_reason": "tool_use" if reply.tool is not None else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": asked, "output_tokens": said},
    }
