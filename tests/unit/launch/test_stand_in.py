"""The throwaway server speaks like an engine, to nobody but the agent that it is for."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from agentlaunch.endpoint import Wire
from agentlaunch.launch.stand_in import PATHS, SAYS, StandIn

TOOLS = [{"name": "read"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/messages": {"messages": [{"role": "user", "content": "."}], "tools": TOOLS},
    "/v1/responses": {"input": [{"role": "user", "content": "."}], "tools": TOOLS},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "."}], "tools": TOOLS},
}


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn("m", "token", 65_536) as stand_in:
        yield stand_in


@pytest.fixture
def http(server: StandIn) -> Iterator[httpx.Client]:
    headers = {"authorization": "Bearer token"}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as client:
        yield client


def said(wire: Wire, whole: dict[str, Any]) -> str:
    """The text of a whole reply."""
    if wire == "openai_chat":
        return str(whole["choices"][0]["message"]["content"])
    if wire == "openai_responses":
        return str(whole["output"][0]["content"][0]["text"])
    return str(whole["content"][0]["text"])


def streamed(wire: Wire, text: str) -> str:
    """The text of a streamed reply, put together as an agent does."""
    rows = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    if wire == "openai_chat":
        assert rows.pop() == "[DONE]"
    found = ""
    for row in map(json.loads, rows):
        if wire == "openai_chat" and row["choices"]:
            found += row["choices"][0]["delta"].get("content", "")
        elif wire == "openai_responses" and row["type"] == "response.output_text.delta":
            found += row["delta"]
        elif wire == "anthropic_messages" and row["type"] == "content_block_delta":
            found += row["delta"]["text"]
    return found


@pytest.mark.parametrize("path", PATHS)
def test_every_wire_is_answered_whole(path: str, server: StandIn, http: httpx.Client) -> None:
    reply = http.post(path, json=BODIES[path])

    assert reply.status_code == 200
    assert said(PATHS[path], reply.json()) == SAYS
    assert server.asked == [(PATHS[path], BODIES[path])]
    assert server.first.is_set()


@pytest.mark.parametrize("path", PATHS)
def test_every_wire_is_answered_as_a_stream(path: str, server: StandIn, http: httpx.Client) -> None:
    reply = http.post(f"{path}?beta=true", json=BODIES[path] | {"stream": True})

    assert reply.headers["content-type"] == "text/event-stream"
    assert streamed(PATHS[path], reply.text) == SAYS
    assert server.first.is_set()


def test_a_body_in_chunks_is_read(server: StandIn, http: httpx.Client) -> None:
    data = json.dumps(BODIES["/v1/messages"]).encode()
    parts = (data[at : at + 7] for at in range(0, len(data), 7))

    assert http.post("/v1/messages", content=parts).status_code == 200
    assert server.asked == [("anthropic_messages", BODIES["/v1/messages"])]


def test_a_request_without_tools_is_kept_and_is_no_first_prompt(
    server: StandIn, http: httpx.Client
) -> None:
    title = {"messages": [{"role": "user", "content": "A title?"}]}

    assert http.post("/v1/chat/completions", json=title).status_code == 200
    assert server.asked == [("openai_chat", title)]
    assert not server.first.is_set()


def test_an_agent_that_sends_no_tools_has_asked_with_its_first_request() -> None:
    with StandIn("m", "token", 65_536, has_tools=False) as server:
        body = {"messages": [{"role": "user", "content": "."}]}
        headers = {"x-api-key": "token"}
        url = f"{server.url}/v1/chat/completions"
        assert httpx.post(url, json=body, headers=headers, trust_env=False).status_code == 200
        assert server.first.is_set()


def test_what_an_agent_looks_at_before_it_asks_is_there(http: httpx.Client) -> None:
    assert http.head("/").status_code == 200
    assert http.get("/v1/models").json()["data"] == [
        {"id": "m", "object": "model", "max_model_len": 65_536}
    ]
    assert http.get("/props").json()["default_generation_settings"] == {"n_ctx": 65_536}
    counted = http.post("/v1/messages/count_tokens", json=BODIES["/v1/messages"])
    assert counted.json()["input_tokens"] > 0
    assert http.get("/v1/files").status_code == 404


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens", "/v1/elsewhere"])
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer other"}, {"x-api-key": "other"}])
def test_who_has_not_its_token_is_refused_and_not_kept(
    path: str, headers: dict[str, str], server: StandIn
) -> None:
    body = BODIES["/v1/messages"]
    reply = httpx.post(server.url + path, json=body, headers=headers, trust_env=False)

    assert reply.status_code == 401
    assert httpx.get(f"{server.url}/v1/models", headers=headers, trust_env=False).status_code == 401
    assert server.asked == []


def test_a_wire_that_the_engine_does_not_speak_is_not_there() -> None:
    with StandIn("m", "token", 65_536, wires=("openai_chat",)) as server:
        headers = {"authorization": "Bearer token"}
        for path, body in BODIES.items():
            reply = httpx.post(server.url + path, json=body, headers=headers, trust_env=False)
            assert (path, reply.status_code) == (
                path, 200 if path == "/v1/chat/completions" else 404,
            )  # fmt: skip
        assert [wire for wire, _body in server.asked] == ["openai_chat"]


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"{}", b'{"messages": []}', b"[" * 100_000])
def test_what_is_no_prompt_is_not_kept(data: bytes, server: StandIn, http: httpx.Client) -> None:
    assert http.post("/v1/messages", content=data).status_code == 404
    assert server.asked == []


@pytest.mark.parametrize("size", ["-1", "many", str(1 << 40)])
def test_a_size_that_cannot_be_ends_the_connection(size: str, server: StandIn) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(f"POST /v1/messages HTTP/1.1\r\ncontent-length: {size}\r\n\r\n".encode())
        assert raw.recv(1000) == b""
    assert server.asked == []


def test_two_at_once_have_doors_of_their_own() -> None:
    with StandIn("m", "one", 1) as one, StandIn("m", "two", 1) as two:
        assert one.url != two.url
