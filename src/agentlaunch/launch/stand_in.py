"""A throwaway server in the place of an engine: it keeps what an agent sends and says one word.

It listens on a loopback port of its own, speaks the wires that the engine speaks, and wants a token
of its own.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from agentlaunch.endpoint import Wire

PATHS: dict[str, Wire] = {
    "/v1/messages": "anthropic_messages",
    "/v1/responses": "openai_responses",
    "/v1/chat/completions": "openai_chat",
}
WIRES = tuple(PATHS.values())
ENTRIES = ("messages", "input")
MOST_BYTES = 64 << 20
"""Of one request: more is no prompt."""
SAYS = "Done."


class StandIn:
    """Listens while its `with` block runs."""

    def __init__(
        self,
        model: str,
        token: str,
        context_tokens: int,
        *,
        port: int = 0,
        wires: tuple[Wire, ...] = WIRES,
        has_tools: bool = True,
    ) -> None:
        self.model = model
        self.token = token
        self.context_tokens = context_tokens
        self.wires = wires
        self.has_tools = has_tools
        """False for an agent that sends none."""
        self.first = threading.Event()
        """Set when the first prompt of a session has come: a title is asked for without tools."""
        self._asked: list[tuple[Wire, dict[str, Any]]] = []
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Its address, without `/v1`."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def asked(self) -> list[tuple[Wire, dict[str, Any]]]:
        """Every prompt so far, in the order in which they came."""
        with self._lock:
            return list(self._asked)

    def keep(self, wire: Wire, body: dict[str, Any]) -> None:
        """A prompt has come."""
        with self._lock:
            self._asked.append((wire, body))
        if body.get("tools") or not self.has_tools:
            self.first.set()

    def __enter__(self) -> StandIn:
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


def _handler(server: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

        def _json(self, status: int, value: object) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def _is_ours(self) -> bool:
            given = (self.headers.get("authorization"), self.headers.get("x-api-key"))
            if given[0] == f"Bearer {server.token}" or given[1] == server.token:
                return True
            self._json(401, {"error": {"type": "authentication_error", "message": "no"}})
            return False

        def do_HEAD(self) -> None:
            self._json(200, {})

        def do_GET(self) -> None:
            path = _plain(self.path)
            if not self._is_ours():
                return
            row = {"id": server.model, "object": "model", "max_model_len": server.context_tokens}
            if path == "/v1/models":
                self._json(200, {"object": "list", "data": [row]})
            elif path == "/props":
                settings = {"n_ctx": server.context_tokens}
                self._json(200, {"default_generation_settings": settings, "total_slots": 1})
            else:
                self._json(404, {"error": {"type": "not_found_error", "message": "not found"}})

        def do_POST(self) -> None:
            data = self._body()
            path = _plain(self.path)
            if data is None:
                self.close_connection = True
                return
            if not self._is_ours():
                return
            wire = PATHS.get(path)
            if path == "/v1/messages/count_tokens":
                self._json(200, {"input_tokens": len(data) // 4})
                return
            body = _object(data)
            if (
                wire not in server.wires
                or body is None
                or not any(body.get(name) for name in ENTRIES)
            ):
                self._json(404, {"error": {"type": "not_found_error", "message": "not found"}})
                return
            server.keep(wire, body)
            if not body.get("stream"):
                self._json(200, _whole(wire, server.model))
                return
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            self.close_connection = True
            for event in _events(wire, server.model):
                self.wfile.write(event)
            self.wfile.flush()

        def _body(self) -> bytes | None:
            try:
                if self.headers.get("transfer-encoding", "").lower() == "chunked":
                    return self._chunks()
                size = int(self.headers.get("content-length") or 0)
            except ValueError:
                return None
            return self.rfile.read(size) if 0 <= size <= MOST_BYTES else None

        def _chunks(self) -> bytes | None:
            parts: list[bytes] = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                if size < 0 or sum(map(len, parts)) + size > MOST_BYTES:
                    return None
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

    return Handler


def _plain(path: str) -> str:
    return path.split("?")[0].rstrip("/")


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


# --- one word, in the forms of the wires ---------------------------------------------------------


def _whole(wire: Wire, model: str) -> dict[str, Any]:
    if wire == "anthropic_messages":
        return {
            "id": "msg_1", "type": "message", "role": "assistant", "model": model,
            "content": [{"type": "text", "text": SAYS}], "stop_reason": "end_turn",
            "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
        }  # fmt: skip
    if wire == "openai_responses":
        return {
            "id": "resp_1", "object": "response", "created_at": 1, "status": "completed",
            "model": model, "output": [_message_item()], "error": None,
            "incomplete_details": None, "instructions": None, "parallel_tool_calls": False,
            "tool_choice": "auto", "tools": [],
            "usage": {
                "input_tokens": 1, "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 1, "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 2,
            },
        }  # fmt: skip
    message = {"role": "assistant", "content": SAYS}
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }  # fmt: skip


def _message_item() -> dict[str, Any]:
    part = {"type": "output_text", "text": SAYS, "annotations": []}
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
        "content": [part],
    }  # fmt: skip


def _events(wire: Wire, model: str) -> Iterator[bytes]:
    if wire == "openai_chat":
        for row in _chat_chunks(model):
            yield f"data: {json.dumps(row)}\n\n".encode()
        yield b"data: [DONE]\n\n"
        return
    rows = _messages_events(model) if wire == "anthropic_messages" else _responses_events(model)
    for name, data in rows:
        yield f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


def _chat_chunks(model: str) -> Iterator[dict[str, Any]]:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    said = {"role": "assistant", "content": SAYS}
    yield base | {"choices": [{"index": 0, "delta": said, "finish_reason": None}]}
    yield base | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    yield base | {"choices": [], "usage": usage}


def _messages_events(model: str) -> Iterator[tuple[str, dict[str, Any]]]:
    whole = _whole("anthropic_messages", model)
    yield "message_start", {"message": whole | {"content": [], "stop_reason": None}}
    empty = {"type": "text", "text": ""}
    yield "content_block_start", {"index": 0, "content_block": empty}
    delta = {"type": "text_delta", "text": SAYS}
    yield "content_block_delta", {"index": 0, "delta": delta}
    yield "content_block_stop", {"index": 0}
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    yield "message_delta", {"delta": stop, "usage": whole["usage"]}
    yield "message_stop", {}


def _responses_events(model: str) -> Iterator[tuple[str, dict[str, Any]]]:
    whole, item = _whole("openai_responses", model), _message_item()
    begun = whole | {"status": "in_progress", "output": [], "usage": None}
    part = {"type": "output_text", "text": SAYS, "annotations": []}
    at: dict[str, Any] = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    rows: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": begun}),
        ("response.output_item.added", {
            "output_index": 0, "item": item | {"content": [], "status": "in_progress"},
        }),
        ("response.content_part.added", at | {"part": part | {"text": ""}}),
        ("response.output_text.delta", at | {"delta": SAYS, "logprobs": []}),
        ("response.output_text.done", at | {"text": SAYS, "logprobs": []}),
        ("response.content_part.done", at | {"part": part}),
        ("response.output_item.done", {"output_index": 0, "item": item}),
        ("response.completed", {"response": whole}),
    ]  # fmt: skip
    for number, (name, data) in enumerate(rows):
        yield name, {"sequence_number": number} | data
