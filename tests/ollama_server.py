"""A fake Ollama on a free loopback port: real HTTP, the shapes and faults of Ollama 0.33."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import show_replies
from agentlaunch.models.refs import parse_ref
from registry_server import RegistryServer

TRAINED_TOKENS = 8192
WEIGHTS_TYPE = "application/vnd.ollama.image.model"
EXPIRES = "2026-11-22T18:00:00.000000000Z"


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer. Each is used once, in the order given; then all is well."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    lines: tuple[Any, ...] = ()
    """Sent as NDJSON instead of `body`; bytes go as they are."""
    cut: bool = False
    """Promise one byte more than comes, and drop the connection."""
    drip_s: float = 0.0
    """Wait so long after each byte."""
    gzip_zeros: int = 0
    """A body of so many zero bytes, compressed."""


@dataclass(frozen=True)
class Seen:
    """One request as the server saw it."""

    method: str
    path: str
    body: Any
    authorization: str | None


@dataclass(frozen=True)
class FakeModel:
    """A stored model: whose weights, how large, with which parameters."""

    weights: str
    size: int
    parameters: dict[str, Any] = field(default_factory=dict)
    parent: str = ""
    capabilities: tuple[str, ...] = ("completion",)
    remote_host: str = ""


@dataclass
class OllamaServer:
    """Models by full name (`x:latest`); `registry` is the only place that it can pull from."""

    version: str = "0.33.0"
    port: int = 0
    models: dict[str, FakeModel] = field(default_factory=dict)
    loaded: dict[str, int] = field(default_factory=dict)
    """Context by name: one model a weights' file."""
    allocate: int | None = None
    """Allocate so many tokens, whatever is asked."""
    vram_share: float = 0.0
    shapes: dict[str, Any] = field(default_factory=dict)
    """Metadata and tensors by digest of weights, told in a verbose /api/show."""
    registry: RegistryServer | None = None
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fault(self, path: str, *faults: Fault) -> None:
        self.faults.setdefault(path, []).extend(faults)

    def add(self, name: str, **about: Any) -> None:
        digest = hashlib.sha256(name.encode()).hexdigest()
        self.models[full(name)] = FakeModel(**{"weights": digest, "size": 1000, **about})

    def bodies(self, path: str) -> list[Any]:
        return [seen.body for seen in self.seen if seen.path == path]


def full(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


@contextlib.contextmanager
def running() -> Iterator[OllamaServer]:
    """A fake that serves until the block ends."""
    state = OllamaServer()

    class Handler(_Handler):
        ollama = state

    with _Server(("127.0.0.1", 0), Handler) as server:
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.stopping.set()
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.stopping = threading.Event()
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what many tests are about."""


class _Handler(BaseHTTPRequestHandler):
    ollama: OllamaServer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def do_GET(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        state = self.ollama
        body: Any = json.loads(raw) if raw else None
        authorization = self.headers.get("authorization")
        state.seen.append(Seen(self.command, self.path, body, authorization))
        waiting = state.faults.get(self.path, [])
        if waiting:
            self._fault(waiting.pop(0))
            return
        routes = {
            ("GET", "/"): lambda: self._text(200, b"Ollama is running", "text/plain"),
            ("GET", "/api/version"): lambda: self._json(200, {"version": state.version}),
            ("GET", "/api/tags"): lambda: self._json(200, {"models": self._tags()}),
            ("GET", "/api/ps"): lambda: self._json(200, {"models": self._ps()}),
            ("POST", "/api/show"): lambda: self._show(body),
            ("POST", "/api/generate"): lambda: self._generate(body),
            ("POST", "/api/pull"): lambda: self._pull(body),
            ("POST", "/api/create"): lambda: self._create(body),
            ("DELETE", "/api/delete"): lambda: self._delete(body),
        }
        answer = routes.get((self.command, self.path))
        if answer is None:
            self._text(404, b"404 page not found", "text/plain")
        elif self.command == "POST" and body is None:
            self._json(400, {"error": "missing request body"})
        else:
            answer()

    def do_POST(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    # --- answers ---------------------------------------------------------------------------

    def _text(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _json(self, status: int, value: object) -> None:
        self._text(status, json.dumps(value).encode(), "application/json; charset=utf-8")

    def _lines(self, *rows: object) -> None:
        body = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        self._text(200, body, "application/x-ndjson")

    def _absent(self, name: object) -> None:
        self._json(404, {"error": f"model '{name}' not found"})

    def _details(self, model: FakeModel) -> dict[str, Any]:
        return {
            "parent_model": model.parent, "format": "gguf", "family": "llama",
            "families": ["llama"], "parameter_size": "135M", "quantization_level": "Q4_1",
        }  # fmt: skip

    def _tags(self) -> list[dict[str, Any]]:
        sizes = {"context_length": TRAINED_TOKENS, "embedding_length": 576}
        rows = []
        for name, model in self.ollama.models.items():
            digest = hashlib.sha256(f"{name}{model.parameters}".encode()).hexdigest()
            row: dict[str, Any] = {
                "name": name, "model": name, "modified_at": EXPIRES, "size": model.size,
                "digest": digest, "details": {**self._details(model), **sizes},
                "capabilities": list(model.capabilities),
            }  # fmt: skip
            if model.remote_host:
                row |= {"remote_host": model.remote_host, "remote_model": name}
            rows.append(row)
        return rows

    def _ps(self) -> list[dict[str, Any]]:
        rows = []
        for name, context in self.ollama.loaded.items():
            size = self.ollama.models[name].size + context * 100
            vram = int(size * self.ollama.vram_share)
            rows.append(
                {
                    "name": name, "model": name, "size": size, "digest": "0" * 64,
                    "details": self._details(self.ollama.models[name]), "expires_at": EXPIRES,
                    "size_vram": vram, "context_length": context,
                }
            )  # fmt: skip
        return rows

    def _show(self, body: Any) -> None:
        model = self.ollama.models.get(full(body["model"]))
        if model is None:
            self._absent(body["model"])
            return
        lines = [f"{key:<30} {value}" for key, value in model.parameters.items()]
        reply = {
            "modelfile": f"# Modelfile\nFROM /m/blobs/sha256-{model.weights}\nTEMPLATE x\n",
            "parameters": "\n".join(lines),
            "template": "{{ .Prompt }}",
            "details": self._details(model),
            "model_info": {"general.architecture": "llama", "llama.context_length": 8192},
            "capabilities": list(model.capabilities),
            "modified_at": EXPIRES,
        }
        if body.get("verbose") and model.weights in self.ollama.shapes:
            whole = show_replies.reply_of(*self.ollama.shapes[model.weights])
            reply |= {"model_info": whole["model_info"], "tensors": whole["tensors"]}
        if model.remote_host:
            reply |= {"remote_host": model.remote_host, "remote_model": body["model"]}
        self._json(200, reply)

    def _generate(self, body: Any) -> None:
        state, name = self.ollama, full(body["model"])
        model = state.models.get(name)
        if model is None:
            self._absent(body["model"])
            return
        held = [n for n in state.loaded if state.models[n].weights == model.weights]
        same = [n for n in held if state.models[n].parameters == model.parameters]
        unload = body.get("keep_alive") == 0
        for other in held:  # one runner for one file of weights; with the same parameters it stays
            if unload or other not in same:
                del state.loaded[other]
        reason = "unload" if unload else "load"
        if not unload and not same:
            asked = model.parameters.get("num_ctx", 4096)
            state.loaded[name] = state.allocate or min(asked, TRAINED_TOKENS)
        reply = {"model": body["model"], "created_at": EXPIRES, "response": "", "done": True}
        self._json(200, {**reply, "done_reason": reason})

    def _pull(self, body: Any) -> None:
        registry, name = self.ollama.registry, full(body["model"])
        ref = parse_ref(name)
        start = {"status": "pulling manifest"}
        raw = None
        if registry is not None and ref.host == registry.host:
            raw = registry.manifests.get(f"{ref.namespace}/{ref.model}:{ref.tag}")
        if raw is None:
            self._lines(start, {"error": "pull model manifest: file does not exist"})
            return
        if not body.get("insecure"):
            said = (
                f'Get "https://{ref.host}/": tls: first record does not look like a TLS handshake'
            )
            self._lines(start, {"error": f"pull model manifest: {said}"})
            return
        document = json.loads(raw)
        layers = [*document["layers"], document["config"]]
        rows: list[dict[str, Any]] = [start]
        for layer in layers:
            about = {"status": f"pulling {layer['digest'][7:19]}", "digest": layer["digest"]}
            about["total"] = layer["size"]
            # A small layer comes without any line, and the last line of a large one may say less
            # than all of it (seen with 0.33).
            if name in self.ollama.models:
                rows.append(about | {"completed": layer["size"]})
            elif layer["size"] > 1000:
                rows += [about, about | {"completed": layer["size"] // 2}]
        (weights,) = (one for one in layers if one["mediaType"] == WEIGHTS_TYPE)
        size = sum(layer["size"] for layer in layers)
        self.ollama.models[name] = FakeModel(weights["digest"][7:], size)
        ending = ("verifying sha256 digest", "writing manifest", "success")
        self._lines(*rows, *({"status": status} for status in ending))

    def _create(self, body: Any) -> None:
        base = self.ollama.models.get(full(body["from"]))
        if base is None:
            self._lines({"status": "pulling manifest"},
                        {"error": "pull model manifest: file does not exist"})  # fmt: skip
            return
        merged = {**base.parameters, **body.get("parameters", {})}
        self.ollama.models[full(body["model"])] = FakeModel(
            base.weights, base.size, merged, full(body["from"]), base.capabilities
        )
        old = {"status": f"using existing layer sha256:{base.weights}"}
        new = {"status": f"creating new layer sha256:{'1' * 64}"}
        self._lines(old, new, {"status": "writing manifest"}, {"status": "success"})

    def _delete(self, body: Any) -> None:
        name = full(body["model"])
        if self.ollama.models.pop(name, None) is None:
            self._absent(body["model"])
            return
        self.ollama.loaded.pop(name, None)
        self._text(200, b"", "text/plain")

    # --- faults ----------------------------------------------------------------------------

    def _fault(self, fault: Fault) -> None:
        body = fault.body
        if fault.lines:
            rows = (r if isinstance(r, bytes) else json.dumps(r).encode() for r in fault.lines)
            body = b"\n".join(rows) + b"\n"
        self.send_response(fault.status)
        if fault.gzip_zeros:
            body = gzip.compress(b"0" * fault.gzip_zeros)
            self.send_header("Content-Encoding", "gzip")
        for name, value in fault.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) + fault.cut))
        self.end_headers()
        stopping = cast(_Server, self.server).stopping
        for at in range(len(body) if fault.drip_s else 0):
            if stopping.is_set():
                return
            self.wfile.write(body[at : at + 1])
            time.sleep(fault.drip_s)
        if not fault.drip_s:
            self.wfile.write(body)
        if fault.cut:
            self.wfile.flush()
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
