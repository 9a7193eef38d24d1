"""A server that somebody else runs: asked what it is, believed only as far as that makes sense."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.endpoint import Endpoint
from agentlaunch.engines.base import EngineState, Loaded, Served, ServeRequest
from agentlaunch.engines.remote import (
    ALL_WIRES,
    Remote,
    RemoteFacts,
    RemoteModel,
    normalized_url,
    probe,
)
from agentlaunch.errors import (
    AgentlaunchError,
    AuthNeeded,
    EngineFailed,
    ModelUnavailable,
    Refused,
    UsageError,
)
from agentlaunch.progress import finish
from anthropic_server import AnthropicServer, Recorded

KEY = "sk-canary-0123456789"


def _rows(*rows: dict[str, Any]) -> tuple[RemoteFacts, list[Recorded]]:
    """What a probe makes of a server that lists these models."""
    with AnthropicServer() as engine:
        engine.model_rows = list(rows)
        facts = probe(engine.url)
        return facts, engine.requests


@contextmanager
def _answering(
    status: int, body: bytes, headers: dict[str, str] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """A server that gives one answer to everything; its URL and the paths that were asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


# --- what a server is -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "kind", "tokens"),
    [
        ({"owned_by": "vllm", "max_model_len": 40_960}, "vllm", 40_960),
        ({"owned_by": "llamacpp", "meta": {"n_ctx": 8_192, "n_ctx_train": 9}}, "llama.cpp", 8_192),
        ({"owned_by": "library"}, "ollama", None),
        ({"context_length": 200_000}, "unknown", 200_000),
        ({"max_model_len": None, "meta": None, "context_length": 5}, "unknown", 5),
        ({}, "unknown", None),
    ],
)
def test_kind_and_context_are_read_from_the_model_list(
    row: dict[str, Any], kind: str, tokens: int | None
) -> None:
    facts, _requests = _rows({"id": "m", **row})
    assert facts.kind == kind
    assert [(model.name, model.context_tokens) for model in facts.models] == [("m", tokens)]


def test_wires_are_tried_out_by_requests_that_ask_no_model_anything() -> None:
    facts, requests = _rows({"id": "m", "owned_by": "vllm"})
    assert facts.wires == ("anthropic_messages",)
    assert sorted(r.path for r in requests if r.method == "POST") == [
        "/v1/chat/completions",
        "/v1/messages",
        "/v1/responses",
    ]
    assert {r.body for r in requests if r.method == "POST"} == {b"{}"}


def test_only_the_wires_worth_knowing_are_tried() -> None:
    with AnthropicServer() as engine:
        assert probe(engine.url, wires=("openai_chat",)).wires == ()
        posts = [r.path for r in engine.requests if r.method == "POST"]
        assert posts == ["/v1/chat/completions"]


@pytest.mark.parametrize("value", ["8192", 8192.0, True, 0, -1, [8192], {"n": 1}, None])
@pytest.mark.parametrize("name", ["max_model_len", "context_length", "n_ctx"])
def test_a_context_of_the_wrong_type_is_no_context(name: str, value: object) -> None:
    row: dict[str, Any] = {"meta": {"n_ctx": value}} if name == "n_ctx" else {name: value}
    facts, _requests = _rows({"id": "m", **row})
    assert facts.models == (RemoteModel("m", None),)


def test_rows_that_name_no_model_are_passed_over() -> None:
    bad: list[Any] = [{}, {"id": None}, {"id": 7}, {"id": ""}, {"id": ["m"]}, "m", None, ["m"],
                      {"id": "--settings=x"}, {"id": "a\0b"}, {"id": "@file"},
                      {"id": "\ud800"},
                      {"id": "x" * 300}]  # fmt: skip
    with AnthropicServer() as engine:
        engine.model_rows = [*bad, {"id": "m", "meta": "text", "owned_by": ["x"]}]
        assert probe(engine.url).models == (RemoteModel("m", None),)


# --- what is no model server ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (
            200,
            b"<html><body>Sign in</body></html>",
            "is no model server: not JSON, it begins with '<h",
        ),
        (200, b"", "not JSON"),
        (200, b'{"data": [', "not JSON"),
        (200, b"[" * 100_000, "not JSON"),
        (200, b'{"data": ' + b"9" * 5_000 + b"}", "not JSON|has no `data`"),
        (200, b"[]", "has no `data`"),
        (200, b'"models"', "has no `data`"),
        (200, b'{"data": {"id": "m"}}', "has no `data`"),
        (200, b'{"data": null}', "has no `data`"),
        (200, b'{"data": [' + b" " * (1 << 20) + b"]}", "sent more than"),
        (404, b"", "answered 404"),
        (500, b'{"data": []}', "cannot say what it serves: its model list answered 500"),
        (429, b"", "cannot say what it serves: its model list answered 429"),
        (204, b"", "answered 204"),
    ],
)
def test_what_is_no_model_server_is_said_as_that(status: int, body: bytes, words: str) -> None:
    with _answering(status, body) as (url, asked):
        with pytest.raises(EngineFailed, match=words) as caught:
            probe(url)
        assert asked[0] == "GET /v1/models"
        assert {row.split()[0] for row in asked} == {"GET"}
    assert caught.value.exit_code == 6
    assert caught.value.hint or "has no `data`" in caught.value.message


def test_nothing_at_the_address_is_said_as_that() -> None:
    with pytest.raises(EngineFailed, match=r"nothing answers at 127\.0\.0\.1:9") as caught:
        probe("http://127.0.0.1:9")
    assert "is the engine running" in (caught.value.hint or "")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_named_and_not_followed(status: int) -> None:
    with (
        AnthropicServer() as elsewhere,
        _answering(status, b"", {"location": elsewhere.url + "/v1/models"}) as (url, _asked),
        pytest.raises(EngineFailed, match=re.escape(f"{url} redirects to {elsewhere.url}")),
    ):
        probe(url, key=KEY)
    assert elsewhere.requests == []


# --- keys -------------------------------------------------------------------------------------


def test_a_missing_and_a_wrong_key_are_told_apart() -> None:
    with AnthropicServer(token=KEY) as engine:
        with pytest.raises(AuthNeeded, match="wants a key") as missing:
            probe(engine.url)
        with pytest.raises(AuthNeeded, match="rejected the key"):
            probe(engine.url, key="wrong")
        assert probe(engine.url, key=KEY).key == KEY
    assert missing.value.exit_code == 9
    assert "AGENTLAUNCH_ENGINE_KEY" in (missing.value.hint or "")


def test_the_key_travels_in_one_header_and_shows_nowhere() -> None:
    with AnthropicServer(token=KEY) as engine:
        facts = probe(engine.url, key=KEY)
        served = finish(Remote(facts).serve(ServeRequest("local-model", None, 65_536)))
    for request in engine.requests:
        assert KEY not in request.path
        assert KEY.encode() not in request.body
        assert [n for n, v in request.headers.items() if KEY in v] == ["authorization"]
    assert KEY not in repr(facts) + repr(served) + repr(Remote(facts)) + facts.url
    assert served.endpoint.token == KEY
    command_line = Path("/proc/self/cmdline")
    if command_line.exists():
        assert KEY.encode() not in command_line.read_bytes()
    assert KEY not in os.environ.values()


@pytest.mark.parametrize("key", [KEY + "\n", KEY + "\r\nx-evil: 1", KEY + "\0", KEY + "ü"])
def test_a_key_that_no_header_can_hold_is_an_error_that_does_not_show_it(key: str) -> None:
    with AnthropicServer() as engine:
        with pytest.raises(AgentlaunchError) as caught:
            probe(engine.url, key=key)
        assert engine.requests == []
    assert KEY not in caught.value.message + (caught.value.hint or "")


# --- addresses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        (" http://h:1/v1/ ", "http://h:1"),
        ("http://h:1/v1/messages", "http://h:1"),
        ("http://h:1/v1/messages/count_tokens", "http://h:1"),
        ("http://h:1/v1/chat/completions/", "http://h:1"),
        ("http://h:1/v1/responses", "http://h:1"),
        ("http://h:1/v1/models", "http://h:1"),
        ("http://h:1/gateway/messages", "http://h:1/gateway/messages"),
        ("http://h:12434/engines/v1", "http://h:12434"),
        ("http://h:12434/engines/llama.cpp/v1/chat/completions", "http://h:12434"),
        ("https://openrouter.ai/api/v1/chat/completions", "https://openrouter.ai/api"),
        ("https://h/api/v1", "https://h/api"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("HTTP://h", "http://h"),
    ],
)
def test_an_address_is_a_base_without_v1(text: str, url: str) -> None:
    assert normalized_url(text) == url


@pytest.mark.parametrize(
    "text",
    ["", "h:8000", "//h", "http://a b", f"ftp://u:{KEY}@h",
     "http://[::1]evil.example", "http://127.0.0.1\\evil.example", "http://127.0.0.1%2eevil.example",
     "http://h:8000:9", "http://::1", "ftp://h", "file:///etc/passwd", "http://",
     "http://h:x", "http://[::1", "http://h:99999", f"http://{KEY}@h", f"http://u:{KEY}@h"],
)  # fmt: skip
def test_what_is_no_address_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        normalized_url(text)
    assert KEY not in caught.value.message + (caught.value.hint or "")


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.169.254.",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[::ffff:169.254.169.254]",
        "2852039166",
        "0xa9fea9fe",
        "0xa9.254.0251.254",
        "169.16689662",
        "metadata.google.internal",
        "Metadata.Google.Internal.",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "192.0.0.192",
    ],
)
def test_link_local_and_metadata_addresses_are_refused_however_they_are_written(host: str) -> None:
    with pytest.raises(Refused) as caught:
        normalized_url(f"http://{host}:80/latest/meta-data")
    assert (caught.value.code, caught.value.exit_code) == ("unsafe-address", 8)


@pytest.mark.parametrize(
    "host", ["192.168.1.9", "10.0.0.1", "gpu-box", "gpu.example", "2130706433"]
)
def test_other_hosts_are_fine(host: str) -> None:
    assert normalized_url(f"http://{host}:8000") == f"http://{host}:8000"


# --- as an engine -----------------------------------------------------------------------------


def test_a_probed_server_is_an_engine() -> None:
    facts = RemoteFacts("http://h:1", "vllm", ALL_WIRES, (RemoteModel("m:latest", 9),), KEY)
    loaded = (Loaded("m:latest", 9, None, None),)
    assert Remote(facts).states() == (
        EngineState("remote", "remote", None, "http://h:1", ALL_WIRES, loaded),
    )
    assert finish(Remote(facts).serve(ServeRequest("m", None, 9))) == Served(
        engine="remote",
        endpoint=Endpoint("http://h:1", ALL_WIRES, "m:latest", KEY),
        context_tokens=9,
        version=None,
        reused=True,
        tools=None,
    )
    with pytest.raises(ModelUnavailable, match="does not serve 'x'"):
        finish(Remote(facts).serve(ServeRequest("x", None, 9)))


def test_a_very_long_list_of_models_is_read() -> None:
    rows = [{"id": f"model-{n}", "max_model_len": n + 1} for n in range(5_000)]
    assert len(json.dumps(rows)) < 1 << 20
    facts, _requests = _rows(*rows)
    assert len(facts.models) == 5_000
    assert facts.pick("model-4999") == RemoteModel("model-4999", 5_000)
