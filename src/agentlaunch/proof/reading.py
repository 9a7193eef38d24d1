"""What a server answered on one of the three wires, as a `Turn`: whatever it sends, nothing breaks.

Events of a stream are fed one by one; a whole reply is fed at once. What has not the shape that it
should have counts as not said.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from agentlaunch.endpoint import Wire
from agentlaunch.proof.dialogue import Call, Turn

MOST_CHARACTERS = 1 << 20
"""Of one text; a server that never ends is cut here."""
THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""Three names that servers have for what a model thinks."""


@dataclass(slots=True)
class _Piece:
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class Reader:
    """What was said so far; `feed` takes an event, `whole` a reply that is not streamed."""

    wire: Wire
    text: str = ""
    thinking: str = ""
    stop: str | None = None
    error: str = ""
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    over: bool = False
    """Did the stream say that it is complete?"""
    _calls: dict[object, _Piece] = field(default_factory=dict)

    def feed(self, event: Mapping[str, Any]) -> bool:
        """Take an event; True when the model said, thought or called something in it."""
        before = self._size()
        _EVENTS[self.wire](self, event)
        return self._size() > before

    def whole(self, reply: Mapping[str, Any]) -> None:
        """Take a whole reply."""
        _WHOLES[self.wire](self, reply)
        self.over = True

    def turn(self, *, first_s: float | None, took_s: float) -> Turn:
        """As a value."""
        return Turn(
            error=self.error,
            text=self.text,
            thinking=self.thinking,
            calls=tuple(
                Call(piece.id or f"call_{number}", piece.name, piece.arguments)
                for number, piece in enumerate(self._calls.values(), 1)
            ),
            stop=self.stop,
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            output_tokens=self.output_tokens,
            first_s=first_s,
            took_s=took_s,
        )

    def _size(self) -> int:
        called = sum(1 + len(piece.arguments) for piece in self._calls.values())
        return len(self.text) + len(self.thinking) + called

    def say(self, value: object) -> None:
        self.text = (self.text + texts(value))[:MOST_CHARACTERS]

    def think(self, value: object) -> None:
        self.thinking = (self.thinking + texts(value))[:MOST_CHARACTERS]

    def call(
        self, key: object, *, name: object = None, id_: object = None, arguments: object = None
    ) -> None:
        """A call, or another piece of it; `arguments` are appended."""
        piece = self._calls.setdefault(_place(key), _Piece())
        piece.id = id_ if isinstance(id_, str) and id_ else piece.id
        piece.name = name if isinstance(name, str) and name else piece.name
        piece.arguments = (piece.arguments + raw(arguments))[:MOST_CHARACTERS]

    def settle(self, key: object, arguments: object) -> None:
        """The whole arguments, told at the end: they take the place of the pieces."""
        if raw(arguments):
            piece = self._calls.setdefault(_place(key), _Piece())
            piece.arguments = raw(arguments)[:MOST_CHARACTERS]

    def begins_anew(self, key: object, id_: object) -> bool:
        """Is this another call under a place that is taken? Then it has an id of its own."""
        piece = self._calls.get(_place(key))
        return piece is not None and isinstance(id_, str) and id_ not in {"", piece.id}

    @property
    def calls(self) -> int:
        return len(self._calls)

    def usage(self, read: object, cached: object, written: object) -> None:
        """Counts as they come; what is no count is passed over."""
        self.prompt_tokens = read if is_count(read) else self.prompt_tokens
        self.cached_tokens = cached if is_count(cached) else self.cached_tokens
        self.output_tokens = written if is_count(written) else self.output_tokens


# --- chat completions ----------------------------------------------------------------------------


def _chat_event(reader: Reader, event: Mapping[str, Any]) -> None:
    _chat_usage(reader, event)
    choice = _first(event.get("choices"))
    delta = mapping(choice.get("delta"))
    _chat_said(reader, delta)
    for place, row in enumerate(rows(delta.get("tool_calls"))):
        function = mapping(row.get("function"))
        index = row.get("index")
        key = index if is_count(index) else row.get("id") or place
        if function.get("name") and reader.begins_anew(key, row.get("id")):
            key = row["id"]  # every call of a reply at index 0, as some servers count
        reader.call(
            key,
            name=function.get("name"),
            id_=row.get("id"),
            arguments=function.get("arguments"),
        )
    if isinstance(choice.get("finish_reason"), str):
        reader.stop, reader.over = choice["finish_reason"], True


def _chat_whole(reader: Reader, reply: Mapping[str, Any]) -> None:
    _chat_usage(reader, reply)
    choice = _first(reply.get("choices"))
    message = mapping(choice.get("message"))
    _chat_said(reader, message)
    for place, row in enumerate(rows(message.get("tool_calls"))):
        function = mapping(row.get("function"))
        reader.call(
            place,
            name=function.get("name"),
            id_=row.get("id"),
            arguments=function.get("arguments"),
        )
    reader.stop = _text(choice.get("finish_reason"))


def _chat_said(reader: Reader, message: Mapping[str, Any]) -> None:
    reader.say(message.get("content"))
    for name in THOUGHTS:
        if message.get(name):
            reader.think(message[name])
            break  # some servers tell the same under two names


def _chat_usage(reader: Reader, event: Mapping[str, Any]) -> None:
    usage = mapping(event.get("usage"))
    details = mapping(usage.get("prompt_tokens_details"))
    reader.usage(
        usage.get("prompt_tokens"), details.get("cached_tokens"), usage.get("completion_tokens")
    )


# --- messages ------------------------------------------------------------------------------------


def _messages_event(reader: Reader, event: Mapping[str, Any]) -> None:
    kind = event.get("type")
    if kind == "message_start":
        _messages_usage(reader, mapping(event.get("message")))
    elif kind == "content_block_start":
        _block(reader, event.get("index"), mapping(event.get("content_block")), streamed=True)
    elif kind == "content_block_delta":
        delta = mapping(event.get("delta"))
        if delta.get("type") == "input_json_delta":
            reader.call(event.get("index"), arguments=delta.get("partial_json"))
        reader.say(delta.get("text"))
        reader.think(delta.get("thinking"))
    elif kind == "message_delta":
        _messages_usage(reader, event)
        reader.stop = _text(mapping(event.get("delta")).get("stop_reason")) or reader.stop
    elif kind == "message_stop":
        reader.over = True


def _messages_whole(reader: Reader, reply: Mapping[str, Any]) -> None:
    for number, block in enumerate(rows(reply.get("content"))):
        _block(reader, number, block, streamed=False)
    if isinstance(reply.get("content"), str):
        reader.say(reply["content"])
    reader.stop = _text(reply.get("stop_reason"))
    _messages_usage(reader, reply)


def _block(reader: Reader, key: object, block: Mapping[str, Any], *, streamed: bool) -> None:
    if block.get("type") == "tool_use":
        given = block.get("input")
        # A stream begins a call with an empty object and tells the arguments after it.
        arguments = None if streamed and not given else given
        reader.call(key, name=block.get("name"), id_=block.get("id"), arguments=arguments)
        return
    reader.say(block.get("text"))
    reader.think(block.get("thinking"))


def _messages_usage(reader: Reader, holder: Mapping[str, Any]) -> None:
    """Three counts that partition the prompt; a later event may tell only some of them anew."""
    usage = mapping(holder.get("usage"))
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    told = [usage.get(name) for name in names]
    whole = sum(int(value) for value in told if is_count(value))
    if is_count(told[0]) and whole:
        reader.usage(whole, told[1], None)
    reader.usage(None, None, usage.get("output_tokens"))


# --- responses -----------------------------------------------------------------------------------


def _responses_event(reader: Reader, event: Mapping[str, Any]) -> None:
    kind, key = event.get("type"), event.get("output_index", event.get("item_id"))
    if kind == "response.output_text.delta":
        reader.say(event.get("delta"))
    elif kind in {"response.reasoning_text.delta", "response.reasoning_summary_text.delta"}:
        reader.think(event.get("delta"))
    elif kind == "response.output_item.added":
        item = mapping(event.get("item"))
        if item.get("type") in CALLS:
            reader.call(key, name=item.get("name"), id_=item.get("call_id"))
    elif kind == "response.function_call_arguments.delta":
        reader.call(key, arguments=event.get("delta"))
    elif kind == "response.output_item.done":
        item = mapping(event.get("item"))
        if item.get("type") in CALLS:
            reader.call(key, name=item.get("name"), id_=item.get("call_id"))
            reader.settle(key, item.get("arguments"))
    elif kind == "error":
        reader.error = _text(event.get("message")) or "an error without words"
        reader.over = True
    elif kind in {"response.completed", "response.incomplete", "response.failed"}:
        response = mapping(event.get("response"))
        if not reader.text and not reader.calls:  # a server that tells all at its end
            _output(reader, response)
        _responses_end(reader, response)
        reader.over = True


CALLS = frozenset({"function_call", "custom_tool_call"})


def _responses_whole(reader: Reader, reply: Mapping[str, Any]) -> None:
    _output(reader, reply)
    _responses_end(reader, reply)


def _output(reader: Reader, response: Mapping[str, Any]) -> None:
    for number, item in enumerate(rows(response.get("output"))):
        if item.get("type") in CALLS:
            given = item.get("arguments", item.get("input"))
            reader.call(number, name=item.get("name"), id_=item.get("call_id"), arguments=given)
        elif item.get("type") == "reasoning":
            for part in (*rows(item.get("content")), *rows(item.get("summary"))):
                reader.think(part.get("text"))
        else:
            for part in rows(item.get("content")):
                reader.say(part.get("text"))


def _responses_end(reader: Reader, response: Mapping[str, Any]) -> None:
    usage = mapping(response.get("usage"))
    details = mapping(usage.get("input_tokens_details"))
    reader.usage(
        usage.get("input_tokens"), details.get("cached_tokens"), usage.get("output_tokens")
    )
    why = mapping(response.get("incomplete_details")).get("reason")
    reader.stop = _text(why) or _text(response.get("status")) or reader.stop
    message = mapping(response.get("error")).get("message")
    reader.error = _text(message) or reader.error


_EVENTS = {
    "openai_chat": _chat_event,
    "anthropic_messages": _messages_event,
    "openai_responses": _responses_event,
}
_WHOLES = {
    "openai_chat": _chat_whole,
    "anthropic_messages": _messages_whole,
    "openai_responses": _responses_whole,
}


# --- what has no shape ---------------------------------------------------------------------------


def mapping(value: object) -> Mapping[str, Any]:
    """An object, or an empty one."""
    return value if isinstance(value, dict) else {}


def rows(value: object) -> Iterator[Mapping[str, Any]]:
    """The objects of a list."""
    for row in value if isinstance(value, list) else []:
        if isinstance(row, dict):
            yield row


def texts(value: object) -> str:
    """A text, or the texts of a list of parts."""
    if isinstance(value, str):
        return value
    return "".join(texts(row.get("text")) for row in rows(value))


def raw(arguments: object) -> str:
    """Arguments as JSON text, however a server tells them."""
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return json.dumps(arguments, ensure_ascii=False)


def is_count(value: object) -> TypeGuard[int]:
    """A number of tokens; a boolean is none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _place(key: object) -> object:
    """A key for a call that any value gives, also one that no server should send."""
    return key if isinstance(key, int | str) else repr(key)


def _first(value: object) -> Mapping[str, Any]:
    return next(rows(value), {})


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
