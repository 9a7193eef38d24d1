"""A fake Ollama on a free loopback port: real HTTP, the shapes and faults of Ollama 0.33."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import show_replies
import wire_replies
from acting_model import ActingModel
from agentlaunch.endpoint import Wire
from agentlaunch.models.refs import parse_ref
from registry_server import RegistryServer, digest_of
from wire_replies import Reply

TRAINED_TOKENS = 8192
EXPIRES = "2026-11-22T18:00:00.000000000Z"
PIECE_BYTES = 10_000


WIRES: dict[str, Wire] = {
    "/v1/messages": "anthropic_messages",
    "/v1/chat/completions": "openai_chat",
    "/v1/responses": "openai_responses",
}
CLOUD = {"disabled": True, "source": "env"}
NAME = re.compile(r"(?:https?://)?[A-Za-z0-9_][\w.:/-]*", re.ASCII)


def _is_own(host: str, address: str) -> bool:
    """The guard against rebound names: addresses of this machine and its near names pass."""
    name = host.rpartition(":")[0] or host
    return name.strip("[]") in ("localhost", "127.0.0.1", "::1", address)


def _namespace(name: str) -> str:
    parts = name.split("/")
    return parts[-2] if len(parts) > 1 else "library"


def _registry_fault(registry: RegistryServer, tag: str) -> str | None:
    """What the real one says (0.33) of a registry that refuses, or keeps other bytes."""
    waiting = registry.faults.get(tag, [])
    if waiting:
        fault = waiting.pop(0)
        return f"pull model manifest: {fault.status}: {fault.body.decode()}"
    if registry.redirect_blobs_to is None:
        return "http: no Location header in response"
    for digest, data in registry.blobs.items():
        if digest_of(data) != digest:
            return f"digest mismatch, file must be downloaded again: want {digest}, got another"
    return None


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
    gzip_times: int = 1
    """How often it is packed: a packing of packings grows without bounds."""
    silent: bool = False
    """Take the request and say nothing until the client gives up."""


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
    projector: str = ""
    template: str = "{{ .Prompt }}"
    system: str = ""
    renderer: str = ""
    detects: str = ""
    """The renderer that a create finds by the kind of the weights, where the base names none."""
    requires: str = ""
    named: bool = True
    """Does a show name the weights? Not those of safetensors."""
    modified_at: str = field(default_factory=lambda: _moment(0.0))


@dataclass
class OllamaServer:
    """Models by full name (`x:latest`); `registry` is the only place that it can pull from."""

    version: str = "0.33.0"
    address: str = "127.0.0.1"
    port: int = 0
    models: dict[str, FakeModel] = field(default_factory=dict)
    loaded: dict[str, int] = field(default_factory=dict)
    """Context by name: one model a weights' file."""
    stays_s: dict[str, float] = field(default_factory=dict)
    """How long each stays after its last word."""
    explicit: set[str] = field(default_factory=set)
    """Which of them were loaded with a context in the request itself."""
    allocate: int | None = None
    """Allocate so many tokens, whatever is asked."""
    vram_share: float = 0.0
    vram_bytes: int | None = None
    """The card takes so many bytes of a model, whatever `vram_share` says."""
    trained_tokens: int = TRAINED_TOKENS
    shapes: dict[str, Any] = field(default_factory=dict)
    """Metadata and tensors by digest of weights, told in a verbose /api/show."""
    registry: RegistryServer | None = None
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    parts: dict[str, int] = field(default_factory=dict)
    """What slow pulls have brought of each blob."""
    verify_s: float = 0.0
    prefix: str = ""
    """All of it stands below this path, as behind a proxy."""
    key: str = ""
    """A proxy in front wants it from everyone."""
    origins: str = ""
    """`*`: OLLAMA_ORIGINS lets every website ask."""
    model: Callable[[dict[str, Any], Wire], Reply] = field(default_factory=ActingModel)
    """Answers on the agents' wires."""

    @property
    def has_capabilities(self) -> bool:
        """Since 0.30 a list of models tells what they can and how far they were trained."""
        return tuple(int(part) for part in self.version.split(".")[:2]) >= (0, 30)

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    def fault(self, path: str, *faults: Fault) -> None:
        self.faults.setdefault(path, []).extend(faults)

    def add(self, name: str, **about: Any) -> None:
        digest = hashlib.sha256(name.encode()).hexdigest()
        self.models[full(name)] = FakeModel(**{"weights": digest, "size": 1000, **about})

    def bodies(self, path: str) -> list[Any]:
        return [seen.body for seen in self.seen if seen.path == path]


def _moment(later_s: float) -> str:
    """As Go writes it; what is kept for ever ends in centuries."""
    when = datetime.now(timezone.utc) + timedelta(seconds=later_s)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def _span_s(keep_alive: str | int | None) -> float:
    """The forms that the product uses; its own 5 minutes where nothing is asked."""
    if isinstance(keep_alive, str):
        return float(keep_alive[:-1]) * {"s": 1, "m": 60, "h": 3600}[keep_alive[-1]]
    return 300.0 if keep_alive is None else float(keep_alive) if keep_alive >= 0 else 9e9


def full(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


@contextlib.contextmanager
def running(address: str = "127.0.0.1", port: int = 0) -> Iterator[OllamaServer]:
    """A fake that serves until the block ends."""
    state = OllamaServer(address=address)

    class Handler(_Handler):
        ollama = state

    with _Server((address, port), Handler) as server:
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
        try:
            body: Any = json.loads(raw) if raw else None
        except ValueError:
            self._json(400, {"error": "unexpected EOF"})
            return
        authorization = self.headers.get("authorization")
        if state.prefix:
            below = self.path.startswith(state.prefix + "/")
            self.path = self.path.removeprefix(state.prefix) if below else "/nowhere"
        state.seen.append(Seen(self.command, self.path, body, authorization))
        if state.key and authorization != f"Bearer {state.key}":
            self._text(401, b"<html>401 Authorization Required</html>", "text/html")
            return
        if not _is_own(self.headers.get("host", ""), state.address) or not self._may_ask():
            self._text(403, b"", "text/plain")
            return
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
            ("POST", "/api/copy"): lambda: self._copy(body),
            ("GET", "/api/status"): lambda: self._json(200, {"cloud": CLOUD}),
            ("GET", "/v1/models"): self._openai_models,
        }
        if self.path in WIRES and self.command == "POST":
            self._wire(WIRES[self.path], body)
            return
        command = "GET" if self.command == "HEAD" else self.command
        answer = routes.get((command, self.path))
        if answer is None:
            known = self.path in {path for _, path in routes}
            status, text = (405, "405 method not allowed") if known else (404, "404 page not found")
            self._text(status, text.encode(), "text/plain")
        elif self.command in ("POST", "DELETE") and body is None:
            self._json(400, {"error": "missing request body"})
        elif body is not None and not self._names_are_good(body):
            pass
        else:
            answer()

    def _may_ask(self) -> bool:
        """Pages of this machine may, those of a website may not."""
        origin = self.headers.get("origin", "")
        return not origin or self.ollama.origins == "*" or "//localhost" in origin

    def _names_are_good(self, body: Any) -> bool:
        """What the real one says of a name before anything else."""
        names = [body.get(key, "") for key in ("model", "from") if key in body]
        if self.path == "/api/copy":
            return True
        if "model" not in body or (self.path == "/api/show" and not body["model"]):
            self._json(400, {"error": "model is required"})
            return False
        if any(not NAME.fullmatch(name) for name in names):
            self._json(400, {"error": "invalid model name"})
            return False
        if names[0].endswith("-cloud") and self.path in ("/api/show", "/api/generate"):
            what = "remote model details are" if self.path == "/api/show" else "remote model is"
            self._json(403, {"error": f"ollama cloud is disabled: {what} unavailable"})
            return False
        return True

    def do_POST(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def do_HEAD(self) -> None:
        self.do_GET()

    # --- answers ---------------------------------------------------------------------------

    def _text(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.ollama.origins and self.headers.get("origin"):
            self.send_header("Access-Control-Allow-Origin", self.ollama.origins)
        self.end_headers()
        if self.command != "HEAD":
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
                "name": name, "model": name, "modified_at": model.modified_at, "size": model.size,
                "digest": digest, "details": self._details(model),
            }  # fmt: skip
            if self.ollama.has_capabilities:
                row["details"] |= sizes
                row["capabilities"] = list(model.capabilities)
            if model.remote_host:
                row |= {"remote_host": model.remote_host, "remote_model": name}
            rows.append(row)
        return rows

    def _ps(self) -> list[dict[str, Any]]:
        rows = []
        for name, context in self.ollama.loaded.items():
            size = self.ollama.models[name].size + context * 100
            vram = int(size * self.ollama.vram_share)
            if self.ollama.vram_bytes is not None:
                vram = min(size, self.ollama.vram_bytes)
            rows.append(
                {
                    "name": name, "model": name, "size": size, "digest": "0" * 64,
                    "details": self._details(self.ollama.models[name]),
                    "expires_at": self._end(name), "size_vram": vram, "context_length": context,
                }
            )  # fmt: skip
        return rows

    def _end(self, name: str) -> str:
        stays_s = self.ollama.stays_s.get(name)
        return EXPIRES if stays_s is None else _moment(stays_s)

    def _openai_models(self) -> None:
        rows = [
            {"id": name, "object": "model", "created": 1795370400, "owned_by": _namespace(name)}
            for name in self.ollama.models
        ]
        self._json(200, {"object": "list", "data": rows or None})

    def _find(self, name: str) -> str:
        """The stored name: upper and lower case are the same."""
        wanted = full(name)
        return next((n for n in self.ollama.models if n.lower() == wanted.lower()), wanted)

    def _copy(self, body: Any) -> None:
        model = self.ollama.models.get(self._find(body["source"]))
        if model is None:
            self._json(404, {"error": f'model "{body["source"]}" not found'})
            return
        copied = replace(model, modified_at=_moment(0.0))
        self.ollama.models[full(body["destination"])] = copied
        self._text(200, b"", "text/plain")

    def _show(self, body: Any) -> None:
        model = self.ollama.models.get(self._find(body["model"]))
        if model is None:
            self._absent(body["model"])
            return
        lines = [f"{key:<30} {value}" for key, value in model.parameters.items()]
        blobs = [model.weights, model.projector] if model.projector else [model.weights]
        sources = [f"/m/blobs/sha256-{blob}" for blob in blobs] if model.named else [body["model"]]
        modelfile = [f"FROM {source}" for source in sources] + [f"TEMPLATE {model.template}"]
        if model.renderer:
            modelfile += [f"RENDERER {model.renderer}", f"PARSER {model.renderer}"]
        reply = {
            "modelfile": "\n".join(["# Modelfile", *modelfile, ""]),
            "parameters": "\n".join(lines),
            "template": "native" if model.detects and not model.renderer else model.template,
            "details": self._details(model),
            "model_info": {"general.architecture": "llama", "llama.context_length": 8192},
            "capabilities": list(model.capabilities),
            "modified_at": model.modified_at,
        }
        reply |= {key: said for key in ("system", "requires") if (said := getattr(model, key))}
        if model.weights in self.ollama.shapes:
            shape = self.ollama.shapes[model.weights]
            whole = show_replies.reply_of(*shape, verbose=bool(body.get("verbose")))
            reply |= {"model_info": whole["model_info"], "tensors": whole["tensors"]}
        if model.remote_host:
            reply |= {"remote_host": model.remote_host, "remote_model": body["model"]}
        self._json(200, reply)

    def _wire(self, wire: Wire, body: Any) -> None:
        """What a good model answers on one of the agents' wires; None is one that is not here."""
        if self._find(body.get("model", "")) not in self.ollama.models:
            self._absent(body.get("model"))
            return
        reply = self.ollama.model(body, wire)
        if reply.status != 200:
            self._json(reply.status, wire_replies.error(reply, wire))
        elif not body.get("stream"):
            self._json(200, wire_replies.whole(reply, wire, body))
        else:
            events = b"".join(wire_replies.stream(reply, wire, body))
            self._text(200, events, "text/event-stream")

    def _generate(self, body: Any) -> None:
        state, name = self.ollama, self._find(body["model"])
        model = state.models.get(name)
        if model is None:
            self._absent(body["model"])
            return
        held = [n for n in state.loaded if state.models[n].weights == model.weights]
        explicit = (body.get("options") or {}).get("num_ctx")
        same = [n for n in held if state.models[n].parameters == model.parameters]
        if explicit or state.explicit & set(held):  # a context asked for lasts for that request
            same = []
        unload = body.get("keep_alive") == 0
        for other in held:  # one runner for one file of weights; with the same parameters it stays
            if unload or other not in same:
                del state.loaded[other]
        reason = "unload" if unload else "load"
        if not unload and (not same or "keep_alive" in body):
            state.stays_s[same[0] if same else name] = _span_s(body.get("keep_alive"))
        if not unload and not same:
            asked = explicit or model.parameters.get("num_ctx", 4096)
            state.explicit = {name} if explicit else set()
            state.loaded[name] = state.allocate or min(asked, state.trained_tokens)
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
        refused = _registry_fault(registry, ref.tag) if registry is not None else None
        if refused is not None:
            self._lines(start, {"error": refused})
            return
        document = json.loads(raw)
        layers = [*document["layers"], document["config"]]
        if registry is not None and registry.bytes_per_s is not None:
            self._pull_slowly(name, layers, registry)
            return
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
        self._keep(name, layers)
        ending = ("verifying sha256 digest", "writing manifest", "success")
        self._lines(*rows, *({"status": status} for status in ending))

    def _keep(self, name: str, layers: list[Any]) -> None:
        """Store what came: weights, and beside them a projector and a template."""
        size = sum(layer["size"] for layer in layers)
        digests = {layer["mediaType"].rpartition(".")[2]: layer["digest"] for layer in layers}
        registry = self.ollama.registry
        blobs = registry.blobs if registry is not None else {}
        template = blobs.get(digests.get("template", ""))
        self.ollama.models[name] = FakeModel(
            digests["model"][7:],
            size,
            projector=digests.get("projector", "")[7:],
            template=(template or b"{{ .Prompt }}").decode(),
            detects="gemma4" if b"gemma4" in blobs.get(digests["model"], b"") else "",
        )

    def _pull_slowly(self, name: str, layers: list[Any], registry: RegistryServer) -> None:
        """At the registry's pace, a line for each piece; what came stays when the client goes."""
        state, stopping = self.ollama, cast(_Server, self.server).stopping
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.end_headers()

        def tell(**row: object) -> None:
            self.wfile.write(json.dumps(row).encode() + b"\n")

        tell(status="pulling manifest")
        for layer in layers:
            digest, size = layer["digest"], layer["size"]
            here = min(size, state.parts.get(digest, 0))
            while True:
                tell(status=f"pulling {digest[7:19]}", digest=digest, total=size, completed=here)
                if here >= size:
                    break
                piece = min(PIECE_BYTES, size - here)
                if stopping.wait(registry.pace(piece)):
                    return
                here += piece
                state.parts[digest] = here
        tell(status="verifying sha256 digest")
        if stopping.wait(state.verify_s):
            return
        self._keep(name, layers)
        tell(status="writing manifest")
        tell(status="success")

    def _create(self, body: Any) -> None:
        if not body.get("from"):
            self._json(400, {"error": "neither 'from' or 'files' was specified"})
            return
        base = self.ollama.models.get(full(body["from"]))
        if base is None:
            self._lines({"status": "pulling manifest"},
                        {"error": "pull model manifest: file does not exist"})  # fmt: skip
            return
        merged = {**base.parameters, **body.get("parameters", {})}
        keys = ("template", "system", "renderer", "requires")
        given = {key: body[key] for key in keys if body.get(key)}
        renderer = base.renderer or base.detects
        about = {"parent": full(body["from"]), "renderer": renderer, "modified_at": _moment(0.0)}
        made = replace(base, parameters=merged, **(about | given))
        self.ollama.models[full(body["model"])] = made
        old = {"status": f"using existing layer sha256:{base.weights}"}
        new = {"status": f"creating new layer sha256:{'1' * 64}"}
        self._lines(old, new, {"status": "writing manifest"}, {"status": "success"})

    def _delete(self, body: Any) -> None:
        name = self._find(body["model"])
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
        if fault.silent:
            self.connection.settimeout(10)
            with contextlib.suppress(OSError):
                self.connection.recv(1)
            return
        if fault.gzip_zeros:
            body = b"0" * fault.gzip_zeros
            for _ in range(fault.gzip_times):
                body = gzip.compress(body)
            self.send_header("Content-Encoding", ", ".join(["gzip"] * fault.gzip_times))
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
