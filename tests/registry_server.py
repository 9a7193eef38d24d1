"""A small real model registry on a free loopback port, with the faults of the wild on request."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

PREFIX = "application/vnd.ollama.image."
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"

_PIECE_BYTES = 64 << 10


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer. Each is used once, in the order given; then all is well."""

    status: int | None = None
    """Answer with this status and no blob."""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b"{}"
    cut_after: int | None = None
    """Promise the whole body, send this many bytes, drop the connection."""
    drip_s: float = 0.0
    """Wait this long after each piece of `drip_bytes`."""
    drip_bytes: int = 1
    silent: bool = False
    """Send the headers and nothing more, until the client gives up."""
    wrong_bytes: bool = False
    ignore_range: bool = False
    no_length: bool = False
    extra: bytes = b""
    """Sent after the body."""
    less: int = 0
    """Send (and announce) so many bytes less."""
    start_elsewhere: bool = False
    """Answer a range that nobody asked for."""


@dataclass(frozen=True)
class Seen:
    """One request as the server saw it."""

    path: str
    host: str
    range: str | None
    authorization: str | None


@dataclass
class RegistryServer:
    """Models by `ns/model:tag`, blobs by digest, faults by the last part of a path."""

    port: int = 0
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    redirect_blobs_to: str | None = None
    """For example `http://localhost:{port}/cdn/{digest}`; None answers directly with 200."""
    token: str | None = None
    """Anonymous token that every request must carry; got at /token."""
    bytes_per_s: float | None = None
    """How fast all blobs together are sent; None as fast as they go."""
    _due: float = 0.0
    _pacing: threading.Lock = field(default_factory=threading.Lock)

    def pace(self, count: int) -> float:
        """Seconds to wait before so many bytes more are sent, whoever else is sent some."""
        with self._pacing:
            if self.bytes_per_s is None:
                return 0.0
            now = time.monotonic()
            self._due = max(self._due, now) + count / self.bytes_per_s
            return self._due - now

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def add(self, name: str, layers: dict[str, bytes], *, config: bytes = b'{"a": 1}') -> str:
        """Offer a model (`ns/model:tag`; layer kinds such as `model`); gives its full name."""
        for data in (*layers.values(), config):
            self.blobs[digest_of(data)] = data
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": layer_row("config", config),
            "layers": [layer_row(kind, data) for kind, data in layers.items()],
        }
        return self.add_manifest(name, json.dumps(document).encode())

    def add_manifest(self, name: str, raw: bytes) -> str:
        self.manifests[name] = raw
        return f"{self.host}/{name}"

    def fault(self, last_part: str, *faults: Fault) -> None:
        self.faults.setdefault(last_part, []).extend(faults)

    def ranges(self, digest: str) -> list[str | None]:
        """Range headers of the requests for a blob's bytes, in order."""
        way = "/cdn/" if self.redirect_blobs_to else "/blobs/"
        return [seen.range for seen in self.seen if seen.path.endswith(way + digest)]


def layer_row(kind: str, data: bytes, *, size: int | None = None) -> dict[str, object]:
    return {
        "mediaType": PREFIX + kind,
        "digest": digest_of(data),
        "size": len(data) if size is None else size,
    }


@contextlib.contextmanager
def running() -> Iterator[RegistryServer]:
    """A registry that serves until the block ends."""
    state = RegistryServer()

    class Handler(_Handler):
        registry = state

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
    registry: RegistryServer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def do_HEAD(self) -> None:
        """How large a blob is, as Ollama asks before it fetches one."""
        data = self.registry.blobs.get(self.path.rpartition("/")[2])
        self.send_response(404 if data is None else 200)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()

    def do_GET(self) -> None:
        state = self.registry
        state.seen.append(
            Seen(
                self.path,
                self.headers.get("Host", ""),
                self.headers.get("Range"),
                self.headers.get("Authorization"),
            )
        )
        parts = self.path.strip("/").split("/")
        if self.path.startswith("/token?"):
            self._send(200, json.dumps({"token": state.token}).encode())
            return
        wanted = f"Bearer {state.token}"
        if state.token is not None and parts[0] == "v2" and self._not(wanted):
            realm = f'Bearer realm="http://{state.host}/token",service="x",scope="pull"'
            self._send(401, b"{}", (("WWW-Authenticate", realm),))
            return
        waiting = state.faults.get(parts[-1], [])
        redirects = state.redirect_blobs_to is not None and parts[0] == "v2" and "blobs" in parts
        fault = Fault()
        if waiting and not redirects:
            fault = waiting.pop(0)
        if fault.status is not None:
            self._send(fault.status, fault.body, fault.headers)
        elif redirects:
            target = str(state.redirect_blobs_to).format(port=state.port, digest=parts[-1])
            self._send(307, b"", (("Location", target),))
        elif parts[-2] == "manifests":
            raw = state.manifests.get(f"{parts[1]}/{parts[2]}:{parts[4]}")
            self._body(raw, fault)
        else:
            self._body(state.blobs.get(parts[-1]), fault)

    def _not(self, wanted: str) -> bool:
        return self.headers.get("Authorization") != wanted

    def _send(self, status: int, body: bytes, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self, data: bytes | None, fault: Fault) -> None:
        if data is None:
            self._send(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
            return
        if fault.less:
            data = data[: -fault.less]
        start, end, status = 0, len(data) - 1, 200
        asked = self.headers.get("Range")
        if asked and not fault.ignore_range:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last or end), end)
            if start >= len(data):
                self._send(416, b"", (("Content-Range", f"bytes */{len(data)}"),))
                return
            status = 206
        if fault.start_elsewhere:
            start += 1
        body = data[start : end + 1]
        if fault.wrong_bytes:
            body = bytes(byte ^ 1 for byte in body)
        body += fault.extra
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
        if not fault.no_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self._pour(body, fault)

    def _pour(self, body: bytes, fault: Fault) -> None:
        stopping = cast(_Server, self.server).stopping
        if fault.silent:
            self._until_gone()
        elif fault.cut_after is not None:
            self.wfile.write(body[: fault.cut_after])
            self.wfile.flush()
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        elif fault.drip_s:
            for at in range(0, len(body), fault.drip_bytes):
                if stopping.is_set():
                    return
                self.wfile.write(body[at : at + fault.drip_bytes])
                time.sleep(fault.drip_s)
        else:
            view = memoryview(body)
            for at in range(0, len(body), _PIECE_BYTES):
                piece = view[at : at + _PIECE_BYTES]
                if stopping.wait(self.registry.pace(len(piece))):
                    return
                self.wfile.write(piece)

    def _until_gone(self) -> None:
        """Wait until the client closes its end."""
        self.connection.settimeout(5)
        with contextlib.suppress(OSError):
            self.connection.recv(1)
