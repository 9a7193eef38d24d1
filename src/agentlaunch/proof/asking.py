"""Ask a model on one of the three wires, streamed or whole, and understand what comes back."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, Generic, TypeVar

from agentlaunch import web
from agentlaunch.endpoint import Endpoint, Wire
from agentlaunch.errors import EngineFailed
from agentlaunch.progress import Progress, Work
from agentlaunch.proof import bodies
from agentlaunch.proof import stream as streams
from agentlaunch.proof.dialogue import Message, Tool, Turn
from agentlaunch.proof.reading import Reader
from agentlaunch.units import format_seconds

T = TypeVar("T")

MARK = "agentlaunch-probe"
"""Stands in the text of every request of ours that is not the agent's own, so that whoever reads a
server's log knows where it came from."""

PATHS: dict[Wire, str] = {
    "anthropic_messages": "/v1/messages",
    "openai_responses": "/v1/responses",
    "openai_chat": "/v1/chat/completions",
}

REPLY_LIMIT_BYTES = 8 << 20
LOOK_S = 0.25


def ask(
    endpoint: Endpoint,
    wire: Wire,
    messages: Sequence[Message],
    tools: Sequence[Tool] = (),
    *,
    stream: bool,
    max_tokens: int,
    deadline_s: float,
) -> Turn:
    """One exchange of at most `deadline_s` seconds. Raises `EngineFailed` (nothing there, no answer
    in time, not this protocol) and `AuthNeeded`; any other status is a `Turn`."""
    request = bodies.body(
        wire, endpoint.model, messages, tools, stream=stream, max_tokens=max_tokens
    )
    return send(endpoint, wire, request, deadline_s=deadline_s)


def send(endpoint: Endpoint, wire: Wire, body: Mapping[str, Any], *, deadline_s: float) -> Turn:
    """A whole request body as it stands (`stream` in it decides); otherwise like `ask`."""
    exchange = _streamed if body.get("stream") else _whole
    begun = time.monotonic()
    try:
        return exchange(endpoint, wire, body, deadline_s)
    except streams.Answered as refused:
        said = refused.said or refused.message
        return Turn(status=refused.status, error=said, took_s=time.monotonic() - begun)


def _streamed(endpoint: Endpoint, wire: Wire, body: Mapping[str, Any], deadline_s: float) -> Turn:
    reader = Reader(wire)
    begun = time.monotonic()
    first_s: float | None = None
    events = streams.events(endpoint, PATHS[wire], body, deadline_s=deadline_s)
    with closing(events):
        for arrived_at, event in events:
            if reader.feed(event) and first_s is None:
                first_s = arrived_at - begun
    if not reader.over:
        raise streams.cut(endpoint)
    return reader.turn(first_s=first_s, took_s=time.monotonic() - begun)


def _whole(endpoint: Endpoint, wire: Wire, body: Mapping[str, Any], deadline_s: float) -> Turn:
    path, begun = PATHS[wire], time.monotonic()
    try:
        reply = web.request(
            "POST",
            endpoint.base_url + path,
            json_body=body,
            headers={"anthropic-version": "2023-06-01"} | endpoint.key_headers,
            deadline_s=max(0.1, deadline_s),
            limit_bytes=REPLY_LIMIT_BYTES,
        )
        if reply.status != 200:
            raise streams.refusal(endpoint, path, reply, reply.body)
        document = reply.json()
    except web.WebFault as fault:
        raise streams.failed(endpoint, fault, deadline_s) from fault
    if not isinstance(document, dict):
        raise EngineFailed(f"{endpoint.base_url} answered with no object", code="reply-broken")
    reader = Reader(wire)
    reader.whole(document)
    return reader.turn(first_s=None, took_s=time.monotonic() - begun)


class _Outcome(Generic[T]):
    """What a thread left behind."""

    value: T
    error: BaseException | None = None


def waiting(activity: str, work: Callable[[], T], *, limit_s: float = math.inf) -> Work[T]:
    """Run something that blocks in a thread, and say every quarter of a second that it goes on and
    for how long; what it raises is raised. Nobody waits for it any more once this is closed, or
    after `limit_s` seconds: a server that drips keeps every limit on silence. Raises `EngineFailed`
    then."""
    outcome: _Outcome[T] = _Outcome()

    def run() -> None:
        try:
            outcome.value = work()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            outcome.error = error

    begun = time.monotonic()
    thread = threading.Thread(target=run, name="proof", daemon=True)
    thread.start()
    yield Progress(activity)
    while thread.is_alive():
        thread.join(LOOK_S)
        if thread.is_alive() and time.monotonic() - begun > limit_s + LOOK_S:
            raise EngineFailed(f"no end of an answer within {limit_s:.0f} s", code="too-slow")
        if thread.is_alive():
            yield Progress(activity, detail=format_seconds(time.monotonic() - begun))
    if outcome.error is not None:
        raise outcome.error
    return outcome.value
