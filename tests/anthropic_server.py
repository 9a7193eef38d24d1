"""A scripted server that speaks the Anthropic messages wire over real HTTP and keeps every request.

It answers what a local engine answers: `POST /v1/messages` (streamed or whole), `count_tokens`,
`GET /v1/models` and `HEAD /`. The script is a list of replies, one per conversation turn that
carries the agent's tools or none; when it is spent, the last reply is given again.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from acting_model import ActingModel, is_probe, is_warming


@dataclass(frozen=True)
class Reply:
    """One answer of the model: a text, a tool call, or an HTTP error."""

    text: str | None = None
    tool: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    error_type: str = "api_error"
    input_tokens: int | None = None
    """Tokens that `usage` reports; by default a quarter of the request's bytes."""
    output_tokens: int = 7
    headers_after_s: float = 0.0
    """Wait before the first byte, as an engine does that still reads the prompt."""
    words_after_s: float = 0.0
    """Wait between the stream's first event and the first word."""


def text(words: str, **more: Any) -> Reply:
    """The model says something and ends its turn."""
    return Reply(text=words, **more)


def tool(name: str, arguments: dict[str, Any], **more: Any) -> Reply:
    """The model calls a tool."""
    return Reply(tool=name, arguments=arguments, **more)


def error(status: int, message: str, error_type: str = "api_error") -> Reply:
    """The engine refuses."""
    return Reply(text=message, status=status, error_type=error_type)


@dataclass(frozen=True)
class Recorded:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value

    @property
    def everything(self) -> bytes:
        """Request line, headers and body in one, for canary searches."""
        head = f"{self.method} {self.path}\n" + "\n".join(
            f"{name}: {value}" for name, value in self.headers.items()
        )
        return head.encode() + b"\n\n" + self.body


class AnthropicServer:
    """Listens on a free loopback port while its `with` block runs."""

    def __init__(
        self,
        script: list[Reply] | None = None,
        *,
        model: str = "local-model",
        max_model_len: int = 65_536,
        token: str | None = None,
        count_tokens: bool = True,
    ) -> None:
        self.script = script if script is not None else [text("done")]
        self.model = model
        self.max_model_len = max_model_len
        self.token = token
        self.count_tokens = count_tokens
        self.model_rows: list[dict[str, Any]] = [
            {"id": model, "object": "model", "max_model_len": max_model_len}
        ]
        """What `GET /v1/models` lists; a test may put other rows here."""
        self.requests: list[Recorded] = []
        self._given = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def turns(self) -> list[dict[str, Any]]:
        """Bodies of the requests that asked the model for an answer."""
        return [r.json for r in self.messages]

    @property
    def messages(self) -> list[Recorded]:
        """The requests that asked the model for an answer."""
        with self._lock:
            return [
                r
                for r in self.requests
                if r.method == "POST"
                and r.path.split("?")[0] == "/v1/messages"
                and b'"messages"' in r.body
                and not (is_probe(r.json) or is_warming(r.json))
            ]

    def __enter__(self) -> AnthropicServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(timeout=5)

    def record(self, request: Recorded) -> None:
        with self._lock:
            self.requests.append(request)

    def proven(self, request: dict[str, Any]) -> Reply:
        """What a good model answers to agentlaunch itself; no reply of the script is spent."""
        acted = ActingModel()(request, "anthropic_messages")
        return Reply(
            text=acted.text,
            tool=acted.tool,
            arguments=acted.arguments,
            status=acted.status,
            input_tokens=acted.input_tokens,
        )

    def next_reply(self) -> Reply:
        with self._lock:
            reply = self.script[min(self._given, len(self.script) - 1)]
            self._given += 1
            return reply

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than the server lives."""
        if seconds:
            self._closing.wait(seconds)


def _events(reply: Reply, model: str, input_tokens: int) -> list[tuple[str, dict[str, Any]]]:
    number = time.monotonic_ns()
    start: dict[str, Any] = {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": input_tokens, "output_tokens": 1},
    }
    if reply.tool is not None:
        block = {"type": "tool_use", "id": f"toolu_{number}", "name": reply.tool, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(reply.arguments)}
    else:
        block = {"type": "text", "text": ""}
        delta = {"type": "text_delta", "text": reply.text or ""}
    stop = "tool_use" if reply.tool is not None else "end_turn"
    return [
        ("message_start", {"message": start}),
        ("content_block_start", {"index": 0, "content_block": block}),
        ("content_block_delta", {"index": 0, "delta": delta}),
        ("content_block_stop", {"index": 0}),
        (
            "message_delta",
            {
                "delta": {"stop_reason": stop, "stop_sequence": None},
                "usage": {"input_tokens": input_tokens, "output_tokens": reply.output_tokens},
            },
        ),
        ("message_stop", {}),
    ]


def _whole(reply: Reply, model: str, input_tokens: int) -> dict[str, Any]:
    message: dict[str, Any] = _events(reply, model, input_tokens)[0][1]["message"]
    if reply.tool is not None:
        content: dict[str, Any] = {
            "type": "tool_use",
            "id": f"toolu_{time.monotonic_ns()}",
            "name": reply.tool,
            "input": reply.arguments,
        }
    else:
        content = {"type": "text", "text": reply.text or ""}
    return message | {
        "content": [content],
        "stop_reason": "tool_use" if reply.tool is not None else "end_turn",
        "usage": {"input_tokens": input_tokens, "output_tokens": reply.output_tokens},
    }


def _handler_for(server: AnthropicServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

        def _read(self) -> Recorded:
            size = int(self.headers.get("content-length") or 0)
            recorded = Recorded(
                self.command,
                self.path,
                {name.lower(): value for name, value in self.headers.items()},
                self.rfile.read(size) if size else b"",
            )
            server.record(recorded)
            return recorded

        def _json(self, status: int, value: dict[str, Any]) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def _error(self, status: int, message: str, kind: str) -> None:
            self._json(status, {"type": "error", "error": {"type": kind, "message": message}})

        def _unauthorised(self, request: Recorded) -> bool:
            if server.token is None:
                return False
            given = (request.headers.get("authorization"), request.headers.get("x-api-key"))
            if given[0] == f"Bearer {server.token}" or given[1] == server.token:
                return False
            self._error(401, "invalid token", "authentication_error")
            return True

        def do_HEAD(self) -> None:
            self._read()
            self._json(200, {})

        def do_GET(self) -> None:
            request = self._read()
            if self._unauthorised(request):
                return
            if request.path.split("?")[0] == "/v1/models":
                self._json(200, {"object": "list", "data": server.model_rows})
            else:
                self._error(404, "not here", "not_found_error")

        def do_CONNECT(self) -> None:
            self._read()
            self._error(403, "no", "permission_error")

        def do_POST(self) -> None:
            request = self._read()
            if self._unauthorised(request):
                return
            path = request.path.split("?")[0]
            if path == "/v1/messages/count_tokens" and server.count_tokens:
                self._json(200, {"input_tokens": len(request.body) // 4})
            elif path == "/v1/messages" and b'"messages"' not in request.body:
                self._error(400, "messages: field required", "invalid_request_error")
            elif path == "/v1/messages":
                self._message(request)
            else:
                self._error(404, "not here", "not_found_error")

        def _message(self, request: Recorded) -> None:
            asked = request.json
            ours = is_probe(asked) or is_warming(asked)
            reply = server.proven(asked) if ours else server.next_reply()
            server.pause(reply.headers_after_s)
            if reply.status != 200:
                self._error(reply.status, reply.text or "", reply.error_type)
                return
            tokens = reply.input_tokens
            tokens = len(request.body) // 4 if tokens is None else tokens
            if not request.json.get("stream"):
                self._json(200, _whole(reply, server.model, tokens))
                return
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            self.close_connection = True
            for name, data in _events(reply, server.model, tokens):
                if name == "content_block_delta":
                    server.pause(reply.words_after_s)
                line = json.dumps({"type": name, **data})
                self.wfile.write(f"event: {name}\ndata: {line}\n\n".encode())
                self.wfile.flush()

    return Handler
