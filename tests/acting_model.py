"""A model of the tests that knows what agentlaunch itself asks, and acts well or as badly as told.

`agentlaunch up` proves tool calls before the agent starts, so each scripted server needs a model
that passes. It is no mock of the proof: it reads the conversation that came over the wire, on any
of the three, and finds the nonces in it.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from agentlaunch.endpoint import Wire
from agentlaunch.proof.asking import MARK
from agentlaunch.proof.recording import LIMIT_FIELDS
from agentlaunch.proof.tool_call import NOTE, READ, SEND, TASK
from wire_replies import Reply

Manner = Literal[
    "well",
    "prose",
    "json-in-text",
    "ignores-tools",
    "other-argument",
    "other-tool",
    "unknown-tool",
    "forgets-the-result",
    "refuses-tools",
    "refuses-late-instructions",
    "fails-to-parse",
    "silent",
]
"""`well`, or one bad behaviour."""

_TASK = re.compile(re.escape(TASK).replace(re.escape("{nonce}"), r"(\w+)"))
_NOTE = re.compile(re.escape(NOTE).replace(re.escape("{nonce}"), r"(\w+)"))


def is_probe(request: dict[str, Any]) -> bool:
    """Did agentlaunch ask this, and not the agent?"""
    return MARK in json.dumps(request)


def is_warming(request: dict[str, Any]) -> bool:
    """An agent's own request, sent by agentlaunch so that it is read: one token is asked for."""
    return any(request.get(name) == 1 for name in LIMIT_FIELDS)


Stage = Literal["call", "second", "late", "whole", "without tools"]
"""Where in the gate's conversation a request stands."""


def stage(request: dict[str, Any]) -> Stage:
    """Which of the gate's questions this is."""
    said = list(_spoken(request))
    if not request.get("tools"):
        return "without tools"
    if not request.get("stream"):
        return "whole"
    if any(role == "system" for role, _ in said[1:]):
        return "late"
    return "second" if said[-1][0] == "result" else "call"


def nonce(request: dict[str, Any]) -> str:
    """The nonce that the next call must hold."""
    role, text = list(_spoken(request))[-1]
    return str(next(iter(_wanted(role, text)[1].values()), ""))


@dataclass
class ActingModel:
    """Answers each probe; the first `bad_tries` that carry tools in the way of `manner`."""

    manner: Manner = "well"
    bad_tries: int | None = None
    """None: it behaves so each time."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    """Every probe, as it came."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: dict[str, Any], wire: Wire) -> Reply:
        with self._lock:
            self.asked.append(request)
            tried = sum(1 for each in self.asked if each.get("tools") and not is_warming(each))
            acts_well = self.bad_tries is not None and tried > self.bad_tries
            return _acted(request, "well" if acts_well else self.manner)


def _acted(request: dict[str, Any], manner: Manner) -> Reply:
    tokens = _tokens(request, without=("tools",) if manner == "ignores-tools" else ())
    said = list(_spoken(request))
    role, text = said[-1] if said else ("user", "")
    late = any(role == "system" for role, _ in said[1:])
    if manner == "refuses-late-instructions" and late:
        return Reply(text="System message must be at the beginning.", status=400)
    if not request.get("tools"):
        return Reply(text="Yes.", input_tokens=tokens, output_tokens=2)
    if manner == "refuses-tools":
        return Reply(text="local-model does not support tools", status=400)
    tool, arguments = _wanted(role, text)
    if tool is None:
        return Reply(text="Yes.", input_tokens=tokens, output_tokens=2)
    return _called(manner, tool, arguments, role, tokens)


def _called(manner: Manner, tool: str, arguments: dict[str, Any], role: str, tokens: int) -> Reply:
    others = {READ.name: SEND.name, SEND.name: READ.name}
    if manner == "other-argument":
        arguments = dict.fromkeys(arguments, "something else")
    elif manner == "other-tool":
        tool = others[tool]
    elif manner == "unknown-tool":
        tool = "open_file"
    elif manner == "fails-to-parse":
        said = "error parsing tool call: raw='{\"name\": \"x\"}]', err=invalid character ']'"
        return Reply(text=said, status=500)
    elif manner == "json-in-text":
        text = json.dumps({"name": tool, "arguments": arguments})
        return Reply(text=text, input_tokens=tokens)
    elif manner == "silent":
        return Reply(text="", input_tokens=tokens, output_tokens=0)
    elif manner in {"prose", "ignores-tools"} or (
        manner == "forgets-the-result" and role == "result"
    ):
        return Reply(text="I would look into the note first.", input_tokens=tokens)
    return Reply(tool=tool, arguments=arguments, input_tokens=tokens)


def _wanted(role: str, text: str) -> tuple[str | None, dict[str, Any]]:
    """What a competent model calls now."""
    if role == "user" and (found := _TASK.search(text)):
        return READ.name, {"name": found[1]}
    if role == "result" and (found := _NOTE.search(text)):
        return SEND.name, {"code": found[1]}
    return None, {}


def _tokens(request: dict[str, Any], without: tuple[str, ...]) -> int:
    """A quarter of the characters that the model reads."""
    read = {name: value for name, value in request.items() if name not in without}
    return len(json.dumps(read)) // 4


def _spoken(request: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The conversation as (system, user, assistant, call, result; text), on any wire."""
    if request.get("system"):
        yield "system", json.dumps(request["system"])
    given = request.get("messages") or request.get("input") or []
    for row in given if isinstance(given, list) else [{"role": "user", "content": given}]:
        kind, role = row.get("type"), row.get("role")
        if kind == "function_call_output":
            yield "result", json.dumps(row.get("output"))
        elif kind == "function_call":
            yield "call", json.dumps(row)
        elif role == "tool":
            yield "result", json.dumps(row.get("content"))
        else:
            content = json.dumps(row.get("content"))
            roles = {"developer": "system"}
            is_result = '"tool_result"' in content
            yield "result" if is_result else roles.get(str(role), str(role)), content
