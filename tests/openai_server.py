"""A scripted server that speaks OpenAI's chat completions over real HTTP and keeps every request.

For what stands behind a gateway. One reply a request that carries tools or not; when the script is
spent, the last reply is given again.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from anthropic_server import Recorded


@dataclass(frozen=True)
class Reply:
    """One answer of the model: a text, or a tool call."""

    text: str | None = None
    tool: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)


def say(words: str) -> Reply:
    """The model says something and ends its turn."""
    return Reply(text=words)


def call(tool: str, arguments: dict[str, Any]) -> Reply:
    """The model calls a tool."""
    return Reply(tool=tool, arguments=arguments)


class OpenAIServer:
    """Listens on a free loopback port while its `with` block runs."""

    def __init__(self, script: list[Reply] | None = None) -> None:
        self.script = script if script is not None else [say("done")]
        self.requests: list[Recorded] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> OpenAIServer:
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

    def next_reply(self) -> Reply:
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


def _chunks(reply: Reply, model: str) -> Iterator[dict[str, Any]]:
    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1,
                "model": model, "choices": [choice]}  # fmt: skip

    yield chunk({"role": "assistant", "content": ""})
    if reply.tool is not None:
        function = {"name": reply.tool, "arguments": json.dumps(reply.arguments)}
        row = {"index": 0, "id": "call_1", "type": "function", "function": function}
        yield chunk({"tool_calls": [row]})
    else:
        yield chunk({"content": reply.text})
    yield chunk({}, "tool_calls" if reply.tool is not None else "stop")
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    yield {**chunk({}), "choices": [], "usage": usage}


def _handler_for(server: OpenAIServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Recorded(self.command, self.path, headers, body)
            server.requests.append(request)
            if not self.path.endswith("/v1/chat/completions"):
                self.send_error(404)
                return
            reply, model = server.next_reply(), str(request.json.get("model"))
            if request.json.get("stream"):
                lines = [f"data: {json.dumps(row)}\n\n" for row in _chunks(reply, model)]
                self._answer("text/event-stream", "".join([*lines, "data: [DONE]\n\n"]))
            else:
                self._answer("application/json", json.dumps(_whole(reply, model)))

        def _answer(self, kind: str, text: str) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

    return Handler


def _whole(reply: Reply, model: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if reply.tool is not None:
        function = {"name": reply.tool, "arguments": json.dumps(reply.arguments)}
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
    reason = "tool_calls" if reply.tool is not None else "stop"
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
            "choices": [choice],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}  # fmt: skip
