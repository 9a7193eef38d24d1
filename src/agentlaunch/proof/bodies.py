"""A conversation with tools as each of the three wires asks for it, and how long it is. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agentlaunch.endpoint import Wire
from agentlaunch.proof.dialogue import Message, Result, Said, System, Tool, User


def body(
    wire: Wire,
    model: str,
    messages: Sequence[Message],
    tools: Sequence[Tool],
    *,
    stream: bool,
    max_tokens: int,
) -> dict[str, Any]:
    """The request; greedy sampling is left to the server, since some models loop with it."""
    return _BODIES[wire](model, messages, tools, stream, max_tokens)


def _chat(
    model: str, messages: Sequence[Message], tools: Sequence[Tool], stream: bool, max_tokens: int
) -> dict[str, Any]:
    request: dict[str, Any] = {
        "model": model,
        "messages": [_chat_message(message) for message in messages],
        "max_tokens": max_tokens,
        "stream": stream,
    }
    if stream:
        request["stream_options"] = {"include_usage": True}
    if tools:
        request["tools"] = [{"type": "function", "function": _function(tool)} for tool in tools]
    return request


def _chat_message(message: Message) -> dict[str, Any]:
    if isinstance(message, Result):
        return {"role": "tool", "tool_call_id": message.call.id, "content": message.text}
    if isinstance(message, Said):
        calls = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.calls
        ]
        row: dict[str, Any] = {"role": "assistant", "content": message.text or None}
        return row | ({"tool_calls": calls} if calls else {})
    return {"role": _role(message), "content": message.text}


def _messages(
    model: str, messages: Sequence[Message], tools: Sequence[Tool], stream: bool, max_tokens: int
) -> dict[str, Any]:
    first = messages[0]
    rest = messages[1:] if isinstance(first, System) else messages
    request: dict[str, Any] = {
        "model": model,
        "messages": [_anthropic_message(message) for message in rest],
        "max_tokens": max_tokens,
        "stream": stream,
    }
    if isinstance(first, System):
        request["system"] = [{"type": "text", "text": first.text}]
    if tools:
        request["tools"] = [
            {
                "name": tool.name,
                "description": tool.description,
                "input_schema": dict(tool.parameters),
            }
            for tool in tools
        ]
    return request


def _anthropic_message(message: Message) -> dict[str, Any]:
    if isinstance(message, Result):
        block = {"type": "tool_result", "tool_use_id": message.call.id, "content": message.text}
        return {"role": "user", "content": [block]}
    if isinstance(message, Said):
        blocks: list[dict[str, Any]] = [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": _object(call.arguments)}
            for call in message.calls
        ]
        text = [{"type": "text", "text": message.text}] if message.text or not blocks else []
        return {"role": "assistant", "content": [*text, *blocks]}
    # A late instruction stands among the messages, as Claude Code puts it (2.1.197).
    content = [{"type": "text", "text": message.text}]
    return {"role": _role(message), "content": content}


def _responses(
    model: str, messages: Sequence[Message], tools: Sequence[Tool], stream: bool, max_tokens: int
) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    for message in messages:
        items += _items(message)
    request: dict[str, Any] = {
        "model": model,
        "input": items,
        "max_output_tokens": max_tokens,
        "stream": stream,
        "store": False,
    }
    if tools:
        request["tools"] = [
            {"type": "function", **_function(tool), "strict": False} for tool in tools
        ]
    return request


def _items(message: Message) -> list[dict[str, Any]]:
    if isinstance(message, Result):
        output = {"call_id": message.call.id, "output": message.text}
        return [{"type": "function_call_output", **output}]
    if isinstance(message, Said):
        calls = [
            {
                "type": "function_call",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
            }
            for call in message.calls
        ]
        text = {"role": "assistant", "content": [{"type": "output_text", "text": message.text}]}
        return [*([{"type": "message", **text}] if message.text else []), *calls]
    # Codex sends its instructions as `developer` messages (0.169.0).
    role = "developer" if isinstance(message, System) else "user"
    content = [{"type": "input_text", "text": message.text}]
    return [{"type": "message", "role": role, "content": content}]


def _role(message: System | User) -> str:
    return "system" if isinstance(message, System) else "user"


def _function(tool: Tool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }


def _object(arguments: str) -> dict[str, Any]:
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def characters(body: Mapping[str, Any], *, tools_ignored: bool = False) -> int:
    """How long the texts of a request are that a template renders."""
    count = _length(body.get("system")) + _length(body.get("instructions"))
    count += _length(body.get("messages")) + _length(body.get("input"))
    tools = body.get("tools")
    if tools and not tools_ignored:
        count += len(json.dumps(tools, ensure_ascii=False, separators=(",", ":")))
    return count


def _length(value: object) -> int:
    """Characters of every text in a document, keys not counted."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_length(each) for each in value.values())
    if isinstance(value, list):
        return sum(_length(each) for each in value)
    return 0


_BODIES = {
    "openai_chat": _chat,
    "anthropic_messages": _messages,
    "openai_responses": _responses,
}
