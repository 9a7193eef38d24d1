"""What comes in to the gateway, and what does not."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agentlaunch.gateway import door

KEY = "sk-door-4711"
BEARER = [(b"Authorization", b"Bearer sk-door-4711")]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/v1/messages", BEARER, None),
        ("POST", "/v1/messages", [(b"x-api-key", KEY.encode())], None),
        ("POST", "/v1/messages/count_tokens", BEARER, None),
        ("POST", "/v1/responses", BEARER, None),
        ("POST", "/v1/chat/completions", BEARER, None),
        ("GET", "/v1/models", BEARER, None),
        ("GET", "/health/liveliness", [], None),
        ("GET", "/health", BEARER, 404),
        ("POST", "/v1/messages/", BEARER, 404),
        ("POST", "/vllm/v1/chat/completions", BEARER, 404),
        ("POST", "/mcp-rest/test/connection", BEARER, 404),
        ("GET", "/v1/messages", BEARER, 404),
        ("GET", "/openapi.json", [], 401),
        ("POST", "/v1/messages", [], 401),
        ("POST", "/v1/messages", [(b"authorization", b"Bearer sk-door-471")], 401),
        ("POST", "/v1/messages", [(b"authorization", b"Bearer ")], 401),
        ("POST", "/v1/messages", [(b"authorization", b"Bearer \xff\xfe")], 401),
        ("POST", "/v1/messages", [(b"authorization", KEY.encode())], 401),
    ],
)
def test_only_what_agents_ask_comes_in_and_with_the_key(
    method: str, path: str, headers: list[tuple[bytes, bytes]], status: int | None
) -> None:
    assert door.fault(method, path, headers, KEY) == status


def ask(scope: dict[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """Which requests came in, and what was sent."""
    inside: list[str] = []
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        inside.append(scope["type"])

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    asyncio.run(door.Door(app, KEY)(scope, None, send))
    return inside, sent


def test_a_refusal_is_an_error_as_agents_know_it() -> None:
    inside, sent = ask({"type": "http", "method": "GET", "path": "/ui/", "headers": []})
    assert inside == []
    assert sent[0]["status"] == 401
    body = json.loads(sent[1]["body"])
    assert (body["type"], body["error"]["type"]) == ("error", "authentication_error")


def test_its_life_goes_on_and_no_websocket_comes_in() -> None:
    assert ask({"type": "lifespan"}) == (["lifespan"], [])
    assert ask({"type": "websocket", "path": "/v1/realtime"}) == (
        [],
        [{"type": "websocket.close", "code": 1008}],
    )


class App:
    """As Starlette's: its stack is built when it is first asked."""

    middleware_stack: Any = None

    def build_middleware_stack(self) -> str:
        return "stack"


@pytest.mark.parametrize("built", [True, False])
def test_the_door_stands_before_an_application_that_is_built_or_not(built: bool) -> None:
    app = App()
    if built:
        app.middleware_stack = app.build_middleware_stack()
    door.close(app, KEY)
    stack = app.middleware_stack if built else app.build_middleware_stack()
    assert isinstance(stack, door.Door)


def test_a_gateway_without_a_key_is_none() -> None:
    with pytest.raises(ValueError, match="without a key"):
        door.close(App(), "")
