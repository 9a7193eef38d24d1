"""A scripted engine over real HTTP that speaks all three wires and keeps every request.

`POST /v1/chat/completions`, `/v1/responses` and `/v1/messages`, streamed or whole; beside them what
a llama.cpp server has and `agentlaunch up --engine URL` looks at. The script is a list of replies,
one for each request that carries tools; when it is spent, the last one is given again.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import wire_replies
from acting_model import ActingModel, is_probe, is_warming
from agentlaunch.endpoint import Wire
from anthropic_server import Recorded
from wire_replies import Reply

PATHS: dict[str, Wire] = {
    "/v1/chat/completions": "openai_chat",
    "/v1/responses": "openai_responses",
    "/v1/messages": "anthropic_messages",
}

Answer = Callable[[dict[str, Any], Wire], Reply]
"""What the model says to this request."""


def say(text: str, *, input_tokens: int | None = None, output_tokens: int | None = None) -> Reply:
    """The model says something and ends its turn; usage is guessed from the bytes if not told."""
    return Reply(text=text, input_tokens=input_tokens, output_tokens=output_tokens)


def call(
    tool: str,
    arguments: dict[str, Any],
    *,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
) -> Reply:
    """The model calls a tool; a freeform tool of the responses wire gets `arguments["input"]`."""
    return Reply(
        tool=tool, arguments=arguments, input_tokens=input_tokens, output_tokens=output_tokens
    )


def refuse(
    status: int, message: str, error_type: str = "api_error", code: str | int | None = None
) -> Reply:
    """The engine refuses."""
    return Reply(text=message, status=status, error_type=error_type, code=code)


def overflow(tokens: int, limit: int) -> Reply:
    """llama.cpp's refusal of a prompt that is too long, byte for byte what it says."""
    return Reply(
        status=400,
        document={
            "error": {
                "code": 400,
                "message": f"request ({tokens} tokens) exceeds the available context size "
                f"({limit} tokens), try increasing it",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": tokens,
                "n_ctx": limit,
            }
        },
    )


def carries_tools(request: dict[str, Any]) -> bool:
    """Does this request offer the model tools?"""
    return bool(request.get("tools"))


def entries(request: dict[str, Any]) -> list[Any]:
    """The conversation of a request, whichever wire it came by."""
    found = request.get("messages") or request.get("input") or []
    return found if isinstance(found, list) else [found]


@dataclass
class Growing:
    """A model that works on and on while its reported usage grows, as that of a long session does.

    It is an `answer` of the server. A request whose end holds `marker` is the agent's own
    compaction and gets a summary; the conversation that comes back shorter starts anew. A request
    that the window cannot hold is refused as llama.cpp refuses it.
    """

    step_tokens: int
    limit_tokens: int
    marker: str
    work: Callable[[int], Reply] = lambda number: say(f"step {number}")
    """The n-th harmless tool call."""
    summary: str = "<summary>The work so far went well.</summary>"
    start_tokens: int = 12_000
    steps_after: int = 2
    """Calls after a compaction, before it says that it is done."""
    most_steps: int = 40
    """A server must not be asked for ever, whatever the agent makes of it."""
    done: str = "all done"
    usage: list[int] = field(default_factory=list)
    """Tokens reported with each turn."""
    compactions: int = 0
    refused: int = 0
    _longest: int = 0
    _since: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: dict[str, Any], wire: Wire) -> Reply:
        with self._lock:
            rows = entries(request)
            if self.marker in json.dumps(rows[-2:], ensure_ascii=False):
                self.compactions += 1
                return say(self.summary)
            if not carries_tools(request):
                return say("A title")
            if len(rows) < self._longest:
                self._longest, self._since = 0, 0
            self._longest = len(rows)
            tokens = self.start_tokens + self._since * self.step_tokens
            if tokens > self.limit_tokens:
                self.refused += 1
                return overflow(tokens, self.limit_tokens)
            self.usage.append(tokens)
            self._since += 1
            rested = self.compactions > 0 and self._since > self.steps_after
            if rested or len(self.usage) > self.most_steps:
                return say(self.done, input_tokens=tokens, output_tokens=5)
            work = self.work(len(self.usage))
            return Reply(
                tool=work.tool, arguments=work.arguments, text=work.text,
                input_tokens=tokens, output_tokens=5,
            )  # fmt: skip


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever left before the answer was whole is no fault of a test."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class WireServer:
    """Listens on a free loopback port while its `with` block runs."""

    def __init__(
        self,
        script: list[Reply] | None = None,
        *,
        model: str = "local-model",
        token: str | None = None,
        context: int = 65_536,
        wires: Iterable[Wire] = ("openai_chat", "openai_responses", "anthropic_messages"),
        answer: Answer | None = None,
        has_tools: bool = True,
        probes: Answer | None = None,
    ) -> None:
        self.script = list(script) if script is not None else [say("done")]
        """What is left of it; a test may put another one here."""
        self.model = model
        self.token = token
        self.context = context
        self.wires = tuple(wires)
        self.answer = answer
        """Answers everything instead of the script."""
        self.has_tools = has_tools
        """False for an agent that never sends tools: then each of its requests is a turn."""
        self.probes = probes if probes is not None else ActingModel()
        """Answers what agentlaunch itself asks; well, if a test does not say otherwise."""
        self.requests: list[Recorded] = []
        self.dies_after: int | None = None
        """Turns after which nothing listens here any more, as after a kill."""
        self.dead = False
        self._lock = threading.Lock()
        self._http = _Http(("127.0.0.1", 0), _handler_for(self))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def asked(self) -> list[Recorded]:
        """The agent's requests that wanted the model to answer, with tools or without."""
        with self._lock:
            prompts = [r for r in self.requests if r.method == "POST" and _is_prompt(r)]
        return [r for r in prompts if not self.is_ours(r.json)]

    @property
    def turns(self) -> list[Recorded]:
        """The requests that wanted an answer and carried tools."""
        return [r for r in self.asked if self.is_turn(r.json)]

    def is_turn(self, request: dict[str, Any]) -> bool:
        return carries_tools(request) or not self.has_tools

    def is_ours(self, request: dict[str, Any]) -> bool:
        """Did agentlaunch send it, to prove the model or to warm the engine?"""
        return is_probe(request) or (self.is_turn(request) and is_warming(request))

    def __enter__(self) -> WireServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.die()

    def die(self) -> None:
        """Nothing listens any more, and no connection is answered."""
        self.dead = True
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(timeout=5)

    def record(self, request: Recorded) -> None:
        with self._lock:
            self.requests.append(request)

    def reply(self, request: dict[str, Any], wire: Wire) -> Reply:
        if self.is_ours(request):
            return self.probes(request, wire)
        if self.answer is not None:
            return self.answer(request, wire)
        if not self.is_turn(request):
            return say("A title")
        with self._lock:
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    def models(self) -> dict[str, Any]:
        """What `GET /v1/models` says, as llama.cpp's server does."""
        row = {
            "id": self.model,
            "object": "model",
            "owned_by": "llamacpp",
            "max_model_len": self.context,
            "meta": {"n_ctx": self.context},
        }
        return {"object": "list", "data": [row] if self.model else []}

    def props(self) -> dict[str, Any]:
        """What `GET /props` says, as llama.cpp's server does."""
        return {
            "default_generation_settings": {"n_ctx": self.context},
            "total_slots": 1,
            "chat_template_caps": {"supports_tools": True},
        }


def _is_prompt(request: Recorded) -> bool:
    """A probe sends an empty object to learn whether a wire is there: that is no prompt."""
    if _plain(request.path) not in PATHS or not request.body.startswith(b"{"):
        return False
    return bool(entries(request.json))


def _plain(path: str) -> str:
    return path.split("?")[0].rstrip("/")


def _handler_for(server: WireServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

        def _read(self) -> Recorded:
            size = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(size) if size else b""
            if self.headers.get("transfer-encoding", "").lower() == "chunked":
                body = self._chunks()
            headers = {name.lower(): value for name, value in self.headers.items()}
            recorded = Recorded(self.command, self.path, headers, body)
            server.record(recorded)
            return recorded

        def _chunks(self) -> bytes:
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _json(self, status: int, value: dict[str, Any]) -> None:
            self._body(status, "application/json", json.dumps(value).encode())

        def _body(
            self, status: int, content_type: str, data: bytes, location: str | None = None
        ) -> None:
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(data)))
            if location is not None:
                self.send_header("location", location)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def _refused(self, request: Recorded) -> bool:
            if server.token is None:
                return False
            given = (request.headers.get("authorization"), request.headers.get("x-api-key"))
            if given[0] == f"Bearer {server.token}" or given[1] == server.token:
                return False
            wire = PATHS.get(_plain(request.path), "openai_chat")
            no = refuse(401, "Invalid API Key", "authentication_error")
            self._json(401, wire_replies.error(no, wire))
            return True

        def do_HEAD(self) -> None:
            self._read()
            self._json(200, {})

        def do_GET(self) -> None:
            request = self._read()
            path = _plain(request.path)
            if path == "/health":
                self._json(200, {"status": "ok"})
            elif self._refused(request):
                return
            elif path == "/v1/models":
                self._json(200, server.models())
            elif path == "/props":
                self._json(200, server.props())
            else:
                self._missing()

        def do_POST(self) -> None:
            request = self._read()
            path = _plain(request.path)
            wire = PATHS.get(path)
            if self._refused(request):
                return
            if path == "/v1/messages/count_tokens" and "anthropic_messages" in server.wires:
                self._json(200, {"input_tokens": len(request.body) // 4})
            elif wire is None or wire not in server.wires:
                self._missing()
            elif not _is_prompt(request):
                no = refuse(400, "'messages' is required", "invalid_request_error", 400)
                self._json(400, wire_replies.error(no, wire))
            else:
                self._answer(request, wire)

        def do_CONNECT(self) -> None:
            self._read()
            self._json(403, {})

        def do_PUT(self) -> None:
            self._read()
            self._missing()

        def do_DELETE(self) -> None:
            self.do_PUT()

        def do_OPTIONS(self) -> None:
            self.do_PUT()

        def _missing(self) -> None:
            error = {"code": 404, "message": "File Not Found", "type": "not_found_error"}
            self._json(404, {"error": error})

        def _answer(self, request: Recorded, wire: Wire) -> None:
            if server.dead:  # a connection from before
                self.close_connection = True
                return
            reply = server.reply(request.json, wire)
            if server.dies_after is not None and len(server.turns) >= server.dies_after:
                self.close_connection = True
                threading.Thread(target=server.die, daemon=True).start()
            if reply.recorded is not None:
                self._body(reply.status, reply.content_type, reply.recorded)
                return
            if reply.status != 200:
                told = json.dumps(reply.document or wire_replies.error(reply, wire)).encode()
                self._body(reply.status, "application/json", told, reply.location)
                return
            if not request.json.get("stream"):
                self._json(200, wire_replies.whole(reply, wire, request.json))
                return
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("cache-control", "no-cache")
            self.send_header("connection", "close")
            self.end_headers()
            self.close_connection = True
            for event in wire_replies.stream(reply, wire, request.json):
                self.wfile.write(event)
                self.wfile.flush()

    return Handler
