"""A proxy that lets nobody through and keeps what was asked of it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class RefusingProxy:
    """Listens on a free loopback port while its `with` block runs."""

    def __init__(self) -> None:
        self.tunnels: list[str] = []
        """`host:port` of every CONNECT."""
        self.requests: list[str] = []
        """Method and address of every request that came in plain text."""
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that send a program here, as people write them."""
        url = f"http://127.0.0.1:{self._http.server_address[1]}"
        return {name: url for upper in VARIABLES for name in (upper, upper.lower())}

    def __enter__(self) -> RefusingProxy:
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


def _handler_for(proxy: RefusingProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

        def _refuse(self) -> None:
            self.send_response(403)
            self.send_header("content-length", "0")
            self.send_header("connection", "close")
            self.end_headers()
            self.close_connection = True

        def do_CONNECT(self) -> None:
            proxy.tunnels.append(self.path)
            self._refuse()

        def do_GET(self) -> None:
            proxy.requests.append(f"{self.command} {self.path}")
            self._refuse()

        def do_POST(self) -> None:
            self.do_GET()

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_PUT(self) -> None:
            self.do_GET()

    return Handler
