"""A streamed reply of a model server, event by event; whatever else comes is an error in words."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

from agentlaunch import web
from agentlaunch.endpoint import Endpoint
from agentlaunch.errors import AgentlaunchError, AuthNeeded, EngineFailed
from agentlaunch.keys import KEY_VARIABLE

LINE_LIMIT_BYTES = 4 << 20
ERROR_LIMIT_BYTES = 64 << 10
SHOWN_CHARACTERS = 300

Event = tuple[float, dict[str, Any]]

_DATA = b"data:"
REALLY_THERE = "is a model server really at this address?"


class Answered(EngineFailed):
    """The server refused this request: another status than 200, or an error among the events."""

    def __init__(self, message: str, *, status: int, said: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, code="engine-error")
        self.status = status
        self.said = said


def events(
    endpoint: Endpoint,
    path: str,
    body: Mapping[str, Any],
    *,
    deadline_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[Event, None, None]:
    """POST a request and give the JSON of each server-sent event, without `[DONE]`, with the time
    (`clock`, in seconds) at which the piece of the body arrived that it ends in.

    Raises `AuthNeeded` (401, 403) and `EngineFailed`: nothing there, another status, no stream, an
    event that says so, a body that breaks off or is not over after `deadline_s` seconds.
    """
    until = time.monotonic() + deadline_s
    url = endpoint.base_url + path
    begun = False
    try:
        exchange = web.stream(
            "POST", url, json_body=body, headers=_headers(endpoint), read_s=deadline_s
        )
        with exchange as (reply, chunks):
            if reply.status != 200:
                raise refusal(endpoint, path, reply, _start(chunks, until))
            held, other = b"", b""
            for arrived_at, line in _lines(endpoint, chunks, until, clock):
                text = line.strip()
                if text.startswith(_DATA):
                    begun = True
                    held += text.removeprefix(_DATA).strip()
                    if held == b"[DONE]":
                        held = b""
                    elif (event := _event(endpoint, held)) is not None:
                        held = b""
                        yield arrived_at, event
                elif not text and held:
                    raise _no_json(endpoint)
                elif not begun and len(other) < ERROR_LIMIT_BYTES:
                    other += line
            if held:
                raise _no_json(endpoint)
            if not begun:
                raise _no_stream(endpoint, reply, other)
    except web.WebFault as fault:
        raise failed(endpoint, fault, deadline_s) from fault


def failed(endpoint: Endpoint, fault: web.WebFault, deadline_s: float) -> EngineFailed:
    """The error that an exchange without a usable answer is."""
    if fault.kind == "timeout":
        return _too_slow(endpoint, deadline_s)
    if fault.kind == "broken":
        return cut(endpoint)
    if fault.kind == "not-json":
        return EngineFailed(f"{endpoint.base_url}: {fault}", code="reply-broken")
    return EngineFailed(str(fault), hint="is the engine running at this address?")


def cut(endpoint: Endpoint) -> EngineFailed:
    """The end for a reply that stops before it is whole."""
    return EngineFailed(
        f"{endpoint.base_url} broke off in the middle of a reply",
        hint="run the same command again; for an engine of ours see `agentlaunch engines logs`",
        code="reply-cut",
    )


def _headers(endpoint: Endpoint) -> dict[str, str]:
    headers = {"accept": "text/event-stream", "anthropic-version": "2023-06-01"}
    return headers | endpoint.key_headers


def _lines(
    endpoint: Endpoint, chunks: Iterator[bytes], until: float, clock: Callable[[], float]
) -> Iterator[tuple[float, bytes]]:
    rest = b""
    for chunk in chunks:
        arrived_at = clock()
        if time.monotonic() > until:
            raise _too_slow(endpoint, None)
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_LIMIT_BYTES:
            text = f"{endpoint.base_url} sent an event without an end"
            raise EngineFailed(text, hint=REALLY_THERE)
        for line in lines:
            yield arrived_at, line


def _no_stream(endpoint: Endpoint, reply: web.Reply, body: bytes) -> EngineFailed:
    """The error that a whole body instead of events is; some servers tell a failure so."""
    with contextlib.suppress(ValueError, RecursionError):
        said = _message(json.loads(body))
        if said:
            return Answered(f"{endpoint.base_url} failed: {said}", status=200, said=said)
    kind = reply.headers.get("content-type", "no type at all")
    return EngineFailed(
        f"{endpoint.base_url} answered with no stream of events ({kind[:SHOWN_CHARACTERS]})",
        hint=REALLY_THERE,
        code="not-a-stream",
    )


def _no_json(endpoint: Endpoint) -> EngineFailed:
    text = f"{endpoint.base_url} sent an event that is not JSON"
    return EngineFailed(text, hint=REALLY_THERE, code="reply-broken")


def _event(endpoint: Endpoint, text: bytes) -> dict[str, Any] | None:
    """An event, None while it is not whole: its JSON may stand on several lines."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        message = f"{endpoint.base_url} sent an event that is no object"
        raise EngineFailed(message, hint=REALLY_THERE)
    if value.get("error"):
        said = _message(value)
        raise Answered(f"{endpoint.base_url} failed: {said}", status=200, said=said)
    return value


def _start(chunks: Iterator[bytes], until: float) -> bytes:
    data = b""
    for chunk in chunks:
        data += chunk
        if len(data) > ERROR_LIMIT_BYTES or time.monotonic() > until:
            break
    return data


def refusal(endpoint: Endpoint, path: str, reply: web.Reply, body: bytes) -> AgentlaunchError:
    """The error that a status other than 200 is, with what the server says about it."""
    url = endpoint.base_url
    if reply.status in {401, 403}:
        return AuthNeeded(
            f"{url} {'rejected the key' if endpoint.token else 'wants a key'} ({reply.status})",
            hint=f"export {KEY_VARIABLE}=… and run the same command again",
        )
    if 300 <= reply.status < 400:
        target = reply.headers.get("location", "elsewhere")[:SHOWN_CHARACTERS]
        return EngineFailed(f"{url} redirects to {target}", hint="use the address it lives at")
    try:
        text = _message(json.loads(body))
    except (ValueError, RecursionError):
        text = ""
    return Answered(
        f"{url}{path} answered {reply.status}" + (f": {text}" if text else ""),
        status=reply.status,
        said=text,
        hint="see the server's own log",
    )


def _message(value: object) -> str:
    """What servers put into an error: a text, or an object with a `message`."""
    error = value.get("error") if isinstance(value, dict) else None
    text = error.get("message") if isinstance(error, dict) else error
    return text[:SHOWN_CHARACTERS] if isinstance(text, str) else ""


def _too_slow(endpoint: Endpoint, deadline_s: float | None) -> EngineFailed:
    within = f" within {deadline_s:.0f} s" if deadline_s is not None else " in time"
    return EngineFailed(
        f"{endpoint.base_url} did not finish a reply{within}",
        hint="try a smaller model, or a smaller --context",
        code="too-slow",
    )
