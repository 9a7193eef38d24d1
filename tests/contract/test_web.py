"""The HTTP client against servers that are broken or hostile."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from agentlaunch import web
from agentlaunch.web import WebFault

Talker = Callable[[socket.socket], None]


@contextlib.contextmanager
def _server(talker: Talker) -> Iterator[str]:
    """One connection after another is read up to the blank line, then given to `talker`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    peer, _address = listener.accept()
                except OSError:
                    return
                with peer, contextlib.suppress(OSError):
                    while b"\r\n\r\n" not in peer.recv(65536):
                        pass
                    talker(peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def _says(data: bytes) -> Talker:
    return lambda peer: peer.sendall(data)


def _reply(body: bytes, *headers: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + b"".join(h + b"\r\n" for h in headers)
    return head + b"\r\n" + body


def _fault(url: str, **limits: float) -> WebFault:
    with pytest.raises(WebFault) as caught:
        web.request("GET", url, deadline_s=limits.get("deadline_s", 2.0), limit_bytes=1000).json()
    return caught.value


def test_a_whole_answer_is_a_reply() -> None:
    with _server(_says(_reply(b'{"a": 1}'))) as url:
        reply = web.request("GET", url)
    assert (reply.status, reply.json()) == (200, {"a": 1})


def test_nothing_at_the_address_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert _fault(f"http://127.0.0.1:{port}").kind == "refused"


@pytest.mark.parametrize("where", ["headers", "body"])
def test_a_dripping_answer_ends_at_the_deadline(where: str) -> None:
    ended = threading.Event()

    def drip(peer: socket.socket) -> None:
        if where == "body":
            peer.sendall(_reply(b""))
        else:
            peer.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        with contextlib.suppress(OSError):
            while not ended.wait(0.05):
                peer.sendall(b"x")

    with _server(drip) as url:
        begun = time.monotonic()
        fault = _fault(url, deadline_s=0.5)
        took = time.monotonic() - begun
        ended.set()
    assert fault.kind == "timeout"
    assert "0.5 s" in str(fault)
    assert took < 30  # without the guard it would never end


def test_a_silent_peer_is_a_timeout() -> None:
    with _server(lambda peer: time.sleep(0.6)) as url:
        assert _fault(url, deadline_s=0.2).kind == "timeout"


@pytest.mark.parametrize(
    "body", [b"<html>log in</html>", b'{"half": ', b"[" * 900, b"", b"\xff\xfe"]
)
def test_what_is_not_json_is_said(body: bytes) -> None:
    with _server(_says(_reply(body))) as url:
        assert _fault(url).kind == "not-json"


def test_an_endless_body_is_cut_off() -> None:
    with _server(_says(_reply(b"x" * 100_000))) as url:
        assert _fault(url).kind == "too-large"


def test_a_gzip_bomb_is_cut_off() -> None:
    bomb = gzip.compress(b"x" * 10_000_000)
    with _server(_says(_reply(bomb, b"Content-Encoding: gzip"))) as url:
        assert _fault(url).kind == "too-large"


def test_what_is_no_http_is_broken() -> None:
    with _server(_says(b"SSH-2.0-OpenSSH\r\n\r\n")) as url:
        assert _fault(url).kind == "broken"


def test_a_redirect_is_a_value_and_is_not_followed() -> None:
    asked = []

    def talker(peer: socket.socket) -> None:
        asked.append(1)
        peer.sendall(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n")

    with _server(talker) as url:
        assert web.request("GET", url).status == 302
    assert len(asked) == 1


def test_loopback_never_goes_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with _server(_says(_reply(b"{}"))) as url:
        assert web.request("GET", url).json() == {}


def test_in_wsl_a_private_address_never_goes_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with _server(_says(_reply(b"{}"))) as url:
        private = url.replace("127.0.0.1", "0.0.0.0")
        assert _fault(private).kind == "refused"
        monkeypatch.setattr("platform.release", lambda: "5.15.167.4-microsoft-standard-WSL2")
        assert web.request("GET", private).json() == {}
        assert _fault("http://host.invalid").kind == "refused"  # a name is the proxy's matter


def test_a_url_that_is_none_is_a_fault() -> None:
    assert _fault("http://[::1").kind == "broken"
