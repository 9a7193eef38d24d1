"""A scripted model server for measurements: llama.cpp's own routes, or the wires of others.

Every reply is a list of pieces that go over the wire as they are, so that a test can cut them, hold
them back or make nonsense of them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """A status and pieces of a body; `cut` closes the connection before the body is whole."""

    pieces: tuple[bytes, ...]
    status: int = 200
    kind: str = "text/event-stream"
    cut: bool = False
    location: str | None = None


def events(*values: Body | str) -> tuple[bytes, ...]:
    """One server-sent event a piece."""
    texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
    return tuple(f"data: {text}\n\n".encode() for text in texts)


def llama_cpp(body: Body, **timings: Any) -> Answer:
    """What `/completion` streams (xllamacpp 2026.10.11549): progress, tokens, the end."""
    count = len(body["prompt"])
    written = body["n_predict"]
    told = {
        "cache_n": 0,
        "prompt_n": count,
        "prompt_per_second": 400.0 if count < 1000 else 200.0,
        "predicted_n": written,
        "predicted_per_second": 40.0 if count < 1000 else 20.0,
    } | timings
    token = {"content": "a", "tokens": [1], "stop": False}
    return Answer(
        events(
            {"stop": False, "prompt_progress": {"total": count, "cache": 0, "processed": count}},
            *({**token, "tokens_predicted": n + 1} for n in range(written)),
            {"stop": True, "tokens_predicted": told["predicted_n"], "timings": told},
        )
    )


def chat(body: Body, *, words: int = 16, **usage: Any) -> Answer:
    """What an OpenAI-like server streams; a token for each word of the prompt."""
    text = body["messages"][0]["content"]
    counted = {"prompt_tokens": len(text.split()), "completion_tokens": words} | usage
    pieces = [{"choices": [{"delta": {"content": "a "}}]} for _ in range(words)]
    end = {"choices": [], "usage": counted}
    return Answer(events({"choices": [{"delta": {"role": "assistant"}}]}, *pieces, end, "[DONE]"))


def messages(body: Body, *, words: int = 16, cached: int = 0) -> Answer:
    """What an Anthropic-like server streams."""
    count = len(body["messages"][0]["content"].split())
    read = {"input_tokens": count - cached, "cache_read_input_tokens": cached, "output_tokens": 1}
    delta = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a "}}
    return Answer(
        events(
            {"type": "message_start", "message": {"usage": read}},
            *(delta for _ in range(words)),
            {"type": "message_delta", "usage": {"output_tokens": words}},
            {"type": "message_stop"},
        )
    )


class BenchServer:
    """Listens on a free loopback port while its `with` block runs; `routes` answer POSTs."""

    def __init__(
        self,
        routes: dict[str, Callable[[Body], Answer]],
        *,
        owner: str = "llamacpp",
        token: str | None = None,
        context_tokens: int = 4096,
    ) -> None:
        self.routes = {"/tokenize": _tokens} | routes
        row = {"id": "served", "owned_by": owner, "max_model_len": context_tokens}
        self.models: dict[str, Any] = {"object": "list", "data": [row]}
        self.token = token
        self.bodies: list[tuple[str, Body]] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> BenchServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(timeout=5)


def _tokens(body: Body) -> Answer:
    tokens = [len(word) for word in body["content"].split()]
    return Answer((json.dumps({"tokens": tokens}).encode(),), kind="application/json")


def _handler_for(server: BenchServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

        def do_GET(self) -> None:
            found = self.path == "/v1/models"
            value = server.models if found else {"error": {"message": "not here"}}
            self._send(_json(value, 200 if found else 404))

        def do_POST(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(size) or b"{}")
            if server.token and self.headers.get("authorization") != f"Bearer {server.token}":
                self._send(_json({"error": {"message": "invalid key"}}, 401))
                return
            route = server.routes.get(self.path)
            if route is None:
                self._send(_json({"error": {"message": "not here"}}, 404))
            elif not body:  # an empty request asks whether the route is there
                self._send(_json({"error": "empty"}, 400))
            else:
                server.bodies.append((self.path, body))
                self._send(route(body))

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            self.send_header("content-type", answer.kind)
            if answer.location is not None:
                self.send_header("location", answer.location)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for piece in answer.pieces:
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                self.wfile.flush()
            if answer.cut:
                self.close_connection = True
                self.connection.close()
                return
            self.wfile.write(b"0\r\n\r\n")

    return Handler


def _json(value: object, status: int) -> Answer:
    return Answer((json.dumps(value).encode(),), status, "application/json")
