"""One HTTP client: time limits, size limits, no redirects, plain error texts. The only door to
httpx.

Whatever stands at an address may be broken or hostile (a captive portal, another program on the
port, a body that drips for ever), so every exchange has a total deadline and a size limit, and a
redirect is a value that the caller must look at, never followed by itself.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from agentlaunch.endpoint import is_loopback

if TYPE_CHECKING:
    import ssl

    import httpx

FaultKind = Literal["refused", "timeout", "tls", "name", "broken", "too-large", "not-json"]

JSON_LIMIT_BYTES = 1 << 20
# How glibc (unknown, then no name server), macOS and Windows word a name that does not resolve.
_NAME_FAULTS = ("Name or service", "name resolution", "No address", "nodename", "getaddrinfo")
_CODINGS = frozenset({"identity", "gzip", "deflate", ""})
"""Packed once, a piece grows a thousandfold at most. Packed twice, 823 bytes took 827 MiB before
the first piece came out (seen with httpx 0.28); some other packings grow as much at once."""


class WebFault(Exception):
    """No usable answer came; `kind` says why, the text names host and cause. The caller turns it
    into an error of its own subject."""

    def __init__(self, kind: FaultKind, text: str) -> None:
        super().__init__(text)
        self.kind: FaultKind = kind


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer within its limits."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; `WebFault("not-json")` for HTML, half documents and absurd nesting."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            start = self.body[:60].decode("utf-8", "replace").strip()
            raise WebFault("not-json", f"not JSON, it begins with {start!r}") from error


def request(
    method: str,
    url: str,
    *,
    json_body: object = None,
    headers: Mapping[str, str] | None = None,
    connect_s: float = 2.0,
    deadline_s: float = 5.0,
    limit_bytes: int = JSON_LIMIT_BYTES,
) -> Reply:
    """One exchange, start to end within `deadline_s` seconds and `limit_bytes`.

    Loopback addresses, and the Windows host of WSL, never go through a proxy. Raises
    `WebFault`; an HTTP error status is a reply.
    """
    head, body = Reply(0, {}, b""), bytearray()
    guard = _Guard(deadline_s)
    exchange = stream(
        method,
        url,
        json_body=json_body,
        headers=headers,
        connect_s=connect_s,
        read_s=deadline_s,
        _trace=guard.trace,
    )
    try:
        with guard, exchange as (head, chunks):
            for chunk in chunks:
                body += chunk
                if len(body) > limit_bytes:
                    raise WebFault("too-large", f"{_host(url)} sent more than {limit_bytes} bytes")
    except WebFault as fault:
        if not guard.expired or fault.kind == "too-large":
            raise
    if guard.expired:  # a body without a length just ends where it was cut
        raise WebFault("timeout", f"{_host(url)} did not finish within {deadline_s:g} s")
    return Reply(head.status, head.headers, bytes(body))


class _Guard:
    """Cuts an exchange at its deadline: a limit on silence alone never ends a peer that drips,
    in the headers or in the body (seen with httpx 0.28: one second lasted eight)."""

    def __init__(self, deadline_s: float) -> None:
        self.expired = False
        self._streams: list[Any] = []
        self._timer = threading.Timer(deadline_s, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_error: object) -> None:
        self._timer.cancel()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """httpx tells every connection that it opens; the newest may wrap the one before."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._streams.append(info["return_value"])

    def _cut(self) -> None:
        self.expired = True
        for stream in self._streams:
            peer = stream.get_extra_info("socket")
            if peer is not None:
                with contextlib.suppress(OSError):
                    peer.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def stream(
    method: str,
    url: str,
    *,
    json_body: object = None,
    headers: Mapping[str, str] | None = None,
    connect_s: float = 5.0,
    read_s: float = 30.0,
    _trace: Callable[[str, Mapping[str, Any]], None] | None = None,
) -> Iterator[tuple[Reply, Iterator[bytes]]]:
    """An exchange whose body is read piece by piece; `read_s` is the longest silence.

    Yields the reply (with an empty body) and the body's chunks as they come over the wire,
    decompressed. Raises `WebFault`.
    """
    import httpx

    try:
        with (
            _client(url, httpx.Timeout(read_s, connect=connect_s)) as client,
            client.stream(
                method,
                url,
                json=json_body,
                headers=dict(headers or {}),
                extensions={"trace": _trace} if _trace is not None else None,
            ) as response,
        ):
            reply = Reply(response.status_code, response.headers, b"")
            coding = response.headers.get("content-encoding", "identity").strip().lower()
            if coding not in _CODINGS:
                raise WebFault("too-large", f"{_host(url)} sent a body packed as {coding[:40]!r}")
            # No chunk size: httpx would hold bytes back until a chunk is full, so a dripping body
            # would never reach the deadline and a cut one would lose its last bytes (httpx 0.28).
            yield reply, response.iter_bytes()
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise _fault(url, error) from error


def _client(url: str, timeout: httpx.Timeout) -> httpx.Client:
    import httpx

    try:
        local = _is_near(url)
        verify = _authorities(url, local=local)
        return httpx.Client(
            headers={"accept-encoding": "gzip, deflate"},
            trust_env=not local,
            verify=verify,
            follow_redirects=False,
            timeout=timeout,
        )
    except (OSError, ValueError, ImportError) as error:
        # Seen with httpx 0.28: SSL_CERT_FILE names no file, a proxy variable of an unknown scheme,
        # a SOCKS proxy without its library.
        raise WebFault("tls", f"the proxy or certificate settings are unusable: {error}") from error


def _is_near(url: str) -> bool:
    """This machine, or in WSL a private address by its number, as the Windows host has one: what a
    proxy elsewhere cannot reach."""
    import ipaddress
    import platform
    from urllib.parse import urlsplit

    if is_loopback(url):
        return True
    if "microsoft" not in platform.release().lower():
        return False
    try:
        return ipaddress.ip_address(urlsplit(url).hostname or "").is_private
    except ValueError:
        return False


def _authorities(url: str, *, local: bool) -> ssl.SSLContext | bool:
    """Whose certificates count: those of SSL_CERT_FILE or SSL_CERT_DIR, else httpx's own. False
    where plain http goes straight to its server and never meets one: loading them takes longer
    than the whole exchange (33 ms of 35, httpx 0.28)."""
    from urllib.request import getproxies

    if url.startswith("http://") and (local or not getproxies()):
        return False
    return _loaded(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@functools.cache
def _loaded(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()


def _fault(url: str, error: Exception) -> WebFault:
    import httpx

    host, text = _host(url), str(error)
    if isinstance(error, httpx.TimeoutException):
        return WebFault("timeout", f"{host} did not answer in time")
    if "CERTIFICATE" in text or "SSL" in text or "certificate" in text:
        return WebFault("tls", f"{host}: the secure connection failed ({text})")
    if isinstance(error, httpx.ConnectError):
        if any(words in text for words in _NAME_FAULTS):
            return WebFault("name", f"{host} is not known (no network, or a typing error)")
        return WebFault("refused", f"nothing answers at {host}")
    return WebFault("broken", f"{host} broke off: {text or type(error).__name__}")


def _host(url: str) -> str:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        return parts.netloc.rpartition("@")[2] or url
    except ValueError:
        return url
