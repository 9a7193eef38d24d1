"""A server that answers fixed replies by path over real HTTP: other servers' shapes, from their
sources or their docs."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import wire_replies
import wire_server
from acting_model import ActingModel, is_probe, is_warming
from anthropic_server import Recorded

Answer = tuple[int, Any]
"""A status and a body: bytes as they are, anything else as JSON."""

NOT_FOUND: Answer = (404, {"error": "not here"})
REFUSED: Answer = (400, {"error": {"message": "field required"}})
WIRES = {
    "POST /v1/messages": REFUSED,
    "POST /v1/responses": REFUSED,
    "POST /v1/chat/completions": REFUSED,
}


class ShapedServer:
    """Listens on a free loopback port while its `with` block runs."""

    def __init__(
        self,
        answers: Mapping[str, Answer],
        *,
        otherwise: Answer = NOT_FOUND,
        guard: Callable[[Recorded], Answer | None] = lambda _request: None,
    ) -> None:
        self.answers = dict(answers)
        self.otherwise = otherwise
        self.guard = guard
        self.requests: list[Recorded] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def asked(self) -> list[str]:
        """Method and path of every request."""
        return [f"{row.method} {row.path}" for row in self.requests]

    def __enter__(self) -> ShapedServer:
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


def bearer(key: str, *, status: int = 401) -> Callable[[Recorded], Answer | None]:
    """Lets nobody in without this key in `Authorization`."""

    def guard(request: Recorded) -> Answer | None:
        good = request.headers.get("authorization") == f"Bearer {key}"
        return None if good else (status, {"error": "invalid key"})

    return guard


def _acted(request: Recorded) -> Answer | None:
    """What a good model answers to agentlaunch itself; None for what is no prompt of ours."""
    wire = wire_server.PATHS.get(request.path)
    asked = request.json if request.body else {}
    if wire is None or not (is_probe(asked) or is_warming(asked)):
        return None
    reply = ActingModel()(asked, wire)
    if asked.get("stream"):
        return 200, b"".join(wire_replies.stream(reply, wire, asked))
    return 200, wire_replies.whole(reply, wire, asked)


def _handler_for(server: ShapedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

        def do_GET(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Recorded(self.command, self.path, headers, self.rfile.read(size))
            server.requests.append(request)
            known = server.answers.get(f"{self.command} {self.path}", server.otherwise)
            status, body = server.guard(request) or known
            if body is REFUSED[1]:
                status, body = _acted(request) or known
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            with contextlib.suppress(ConnectionError):  # the client may have given up
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def do_POST(self) -> None:
            self.do_GET()

    return Handler
