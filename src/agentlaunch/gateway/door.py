"""What of LiteLLM's proxy can be reached: what agents ask, with the key, and whether it lives.

A stand-alone module that `litellm_hooks` puts before LiteLLM's own application (ASGI); standard
library only. LiteLLM 1.106.2 has some 900 paths. With the key, `/health` asks every endpoint past
the day's cap, tests of its tools send a request to any address, and a pass-through reaches an
endpoint past our hooks; without it, `/openapi.json` and `/ui/` are answered, and each refusal is a
trace in the log (all seen).
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]

ALIVE = ("GET", "/health/liveliness")
"""It says that the process lives, and asks nobody."""
OPEN = frozenset(
    {
        ("POST", "/v1/messages"),
        ("POST", "/v1/messages/count_tokens"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/models"),
    }
)


def fault(method: str, path: str, headers: Iterable[tuple[bytes, bytes]], key: str) -> int | None:
    """The status of a refusal; None for what may come in."""
    if (method, path) == ALIVE:
        return None
    if not _has_key(headers, key):
        return 401
    return None if (method, path) in OPEN else 404


def _has_key(headers: Iterable[tuple[bytes, bytes]], key: str) -> bool:
    known = {name.lower(): value for name, value in headers}
    bearer = known.get(b"authorization", b"")
    told = bearer[7:] if bearer[:7].lower() == b"bearer " else known.get(b"x-api-key", b"")
    return hmac.compare_digest(told.strip(), key.encode())


KINDS = {401: "authentication_error", 404: "not_found_error"}
WORDS = {
    401: "agentlaunch: this gateway serves the sessions that agentlaunch launched",
    404: "agentlaunch: this gateway serves chat requests",
}


class Door:
    """An ASGI application before another."""

    def __init__(self, inside: App, key: str) -> None:
        self._inside, self._key = inside, key

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Hand on what may come in; answer the rest."""
        if scope["type"] == "lifespan":
            await self._inside(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        status = fault(scope["method"], scope["path"], scope["headers"], self._key)
        if status is None:
            await self._inside(scope, receive, send)
            return
        body = {"type": "error", "error": {"type": KINDS[status], "message": WORDS[status]}}
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})


def close(app: Any, key: str) -> None:
    """Put the door before a Starlette application, whether it is built already or not."""
    if not key:
        raise ValueError("a gateway without a key")
    if app.middleware_stack is not None:
        app.middleware_stack = Door(app.middleware_stack, key)
        return
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: Door(build(), key)
