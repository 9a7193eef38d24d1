"""What may come over the wire in Ollama's place, request by request: each ends in an error of ours
that names its way out, soon, and with nothing of it believed."""

from __future__ import annotations

import json
import math
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import ollama_server
from agentlaunch import web
from agentlaunch.cli import main
from agentlaunch.engines.base import Loaded
from agentlaunch.engines.ollama import faults, life
from agentlaunch.engines.ollama.client import LINE_LIMIT_BYTES, Client
from agentlaunch.engines.ollama.pull import pull
from agentlaunch.engines.ollama.replies import Tag, error_text, parse_event, parse_ps, parse_tags
from agentlaunch.errors import (
    AgentlaunchError,
    AuthNeeded,
    EngineFailed,
    ModelUnavailable,
    NotSupported,
)
from agentlaunch.progress import finish
from ollama_server import Fault, OllamaServer

Ask = Callable[[Client], Any]

ASKS: dict[str, tuple[str, Ask]] = {
    "version": ("/api/version", lambda client: client.version()),
    "tags": ("/api/tags", lambda client: client.tags()),
    "loaded": ("/api/ps", lambda client: client.loaded()),
    "show": ("/api/show", lambda client: client.show("m")),
    "load": ("/api/generate", lambda client: finish(client.load("m"))),
    "unload": ("/api/generate", lambda client: client.unload("m")),
    "delete": ("/api/delete", lambda client: client.delete("m")),
    "pull": ("/api/pull", lambda client: finish(pull(client, "m", silence_s=1))),
}

PORTAL = b"<!DOCTYPE html><html><body>please log in</body></html>"

NOT_OLLAMA = {
    "a captive portal": Fault(body=PORTAL),
    "a redirect": Fault(status=302, headers=(("Location", "http://portal.example/"),)),
    "half a document": Fault(body=b'{"models": [{"name": "m'),
    "no text at all": Fault(body=b"\xff\xfe\x00\x01"),
    "absurd nesting": Fault(body=b"[" * 100_000),
    "a number of 5000 digits": Fault(body=b'{"version": ' + b"9" * 5000 + b"}"),
    "a list": Fault(body=b"[1, 2]"),
    "a missing page": Fault(status=404, body=b"404 page not found"),
    "a proxy without its server": Fault(status=502, body=PORTAL),
    "a bomb in a packing": Fault(gzip_zeros=30 << 20),
    "a bomb in two packings": Fault(gzip_zeros=80 << 20, gzip_times=2),
    "a packing nobody knows": Fault(body=b"x" * 50, headers=(("Content-Encoding", "br"),)),
}


@pytest.fixture
def fake() -> Iterator[OllamaServer]:
    with ollama_server.running() as server:
        server.add("m")
        yield server


def _refused(ask: Ask, fake: OllamaServer) -> AgentlaunchError:
    with pytest.raises(AgentlaunchError) as caught:
        ask(Client(fake.url))
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("name", NOT_OLLAMA)
@pytest.mark.parametrize("asked", ASKS)
def test_what_is_not_ollamas_answer_is_never_taken_for_one(
    fake: OllamaServer, asked: str, name: str
) -> None:
    path, ask = ASKS[asked]
    fake.fault(path, NOT_OLLAMA[name])
    error = _refused(ask, fake)
    assert (error.code, error.exit_code) in {
        ("not-ollama", 6), ("pull-stopped", 7),  # a pull that may go on elsewhere
    }  # fmt: skip


@pytest.mark.parametrize("asked", [name for name in ASKS if name != "delete"])
def test_an_empty_answer_is_none(fake: OllamaServer, asked: str) -> None:
    """Only a delete answers with nothing (facts B7)."""
    path, ask = ASKS[asked]
    fake.fault(path, Fault(body=b""))
    assert _refused(ask, fake).code in {"not-ollama", "pull-stopped"}


@pytest.mark.parametrize("asked", ASKS)
def test_a_server_that_hangs_up_is_told_with_a_way_out(fake: OllamaServer, asked: str) -> None:
    path, ask = ASKS[asked]
    fake.fault(path, Fault(body=b'{"models"', cut=True))
    assert _refused(ask, fake).code in {"engine-unreachable", "pull-stopped"}


def test_a_packing_of_packings_is_not_unpacked(fake: OllamaServer) -> None:
    fake.fault("/api/version", Fault(gzip_zeros=1 << 20, gzip_times=3))
    with pytest.raises(EngineFailed, match="packed as 'gzip, gzip, gzip'"):
        Client(fake.url).version()


def test_an_escape_in_a_header_is_no_answer(fake: OllamaServer) -> None:
    fake.fault("/api/version", Fault(302, headers=(("Location", "/\x1b[2J"),)))
    with pytest.raises(EngineFailed) as caught:
        Client(fake.url).version()
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize("fault", [Fault(body=b'{"v' + b" " * 99, drip_s=0.1), Fault(silent=True)])
def test_an_answer_in_drops_or_none_ends_at_its_deadline(fake: OllamaServer, fault: Fault) -> None:
    fake.fault("/api/version", fault)
    with pytest.raises(EngineFailed) as caught:
        Client(fake.url).version(deadline_s=0.4)
    assert caught.value.code == "engine-unreachable"


# --- error statuses, as facts B0 lists them ------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, {"error": '"m" does not support chat'}, ModelUnavailable, "model-refused"),
        (400, {"error": "invalid model name"}, ModelUnavailable, "model-refused"),
        (401, {"error": "unauthorized", "signin_url": "https://x"}, AuthNeeded, "cloud-signin"),
        (401, {"error": "unauthorized"}, AuthNeeded, "auth-needed"),
        (403, {"error": "ollama cloud is disabled: x"}, NotSupported, "cloud-model"),
        (403, {"error": "forbidden by the proxy"}, AuthNeeded, "auth-needed"),
        (404, {"error": "model 'm' not found"}, ModelUnavailable, "unknown-model"),
        (404, {"error": 'model "m" not found, try pulling it first'}, ModelUnavailable,
         "unknown-model"),
        (499, {"error": "request cancelled"}, EngineFailed, "engine-busy"),
        (502, {"error": "ollama.com cannot be reached"}, EngineFailed, "engine-error"),
        (503, {"error": "server busy, please try again"}, EngineFailed, "engine-busy"),
        (200, {"error": "died in the middle"}, EngineFailed, "engine-error"),
        (500, {"error": {"message": "of OpenAI's shape"}}, EngineFailed, "engine-error"),
    ],
)  # fmt: skip
def test_each_error_status_has_its_words_and_its_way_out(
    fake: OllamaServer, status: int, body: object, kind: type[AgentlaunchError], code: str
) -> None:
    fake.fault("/api/generate", Fault(status, json.dumps(body).encode()))
    error = _refused(ASKS["load"][1], fake)
    assert (type(error), error.code) == (kind, code)


def test_an_error_that_is_no_json_is_told_in_its_own_words(fake: OllamaServer) -> None:
    """Facts B0: a client must take those too."""
    fake.fault("/api/generate", Fault(500, b"llama runner process has terminated\n"))
    error = _refused(ASKS["load"][1], fake)
    assert error.message == "Ollama failed with m: llama runner process has terminated"


def test_a_missing_page_is_no_missing_model(fake: OllamaServer) -> None:
    """An older server, or another program, has no such page; its models are not spoken of."""
    for asked in ("show", "unload", "delete"):
        path, ask = ASKS[asked]
        fake.fault(path, Fault(404, b"404 page not found"))
        assert _refused(ask, fake).code == "not-ollama"


# --- names and numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    ["7", -1, 1e400, math.nan, math.inf, True, None, [7], {"a": 1}, 1 << 60, 7.5],
    ids=repr,
)
def test_a_size_that_is_no_size_is_unknown(fake: OllamaServer, value: object) -> None:
    row = {"name": "m", "size": value, "size_vram": value, "context_length": value}
    body = json.dumps({"models": [row | {"details": {"context_length": value}}]}).encode()
    fake.fault("/api/tags", Fault(body=body))
    fake.fault("/api/ps", Fault(body=body))
    client = Client(fake.url)
    assert client.tags() == (Tag("m", None, None, None, None, None, None, cloud=False),)
    assert client.loaded() == (Loaded("m", None, None, None),)


@pytest.mark.parametrize("name", ["\x1b[2J", "a\nb", "a\x00", "a\u202eb", "\ud800", "", 7, None])
def test_a_name_that_nobody_could_type_is_no_models_name(name: object) -> None:
    reply = {"models": [{"name": name}, {"name": "good"}]}
    tags, loaded = parse_tags(reply), parse_ps(reply)
    assert tags is not None
    assert loaded is not None
    assert ([row.name for row in tags], [row.model for row in loaded]) == (["good"], ["good"])


def test_a_name_that_is_listed_twice_is_one_model() -> None:
    """Facts B1: `x` and `x:latest` are the same."""
    rows = [{"name": "x", "size": 1}, {"name": "X:latest", "size": 2}, {"name": "x:1b"}]
    tags = parse_tags({"models": rows})
    assert tags is not None
    assert [(row.name, row.size_bytes) for row in tags] == [("x", 1), ("x:1b", None)]


def test_half_characters_in_a_text_can_be_written_out() -> None:
    event = parse_event(b'{"status": "\\ud800", "error": "\\udfff"}')
    assert event is not None
    assert (event.status, event.error) == ("?", "?")
    assert error_text(b'{"error": "\\ud800"}') == "?"


def test_escapes_of_a_server_do_not_reach_the_terminal(
    fake: OllamaServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", fake.url)
    rows = [{"name": "\x1b[2J\x1b]0;x\x07", "context_length": 4}, {"name": "good"}]
    fake.fault("/api/ps", Fault(body=json.dumps({"models": rows}).encode()))
    assert main(["engines"]) == 0
    fake.fault("/api/ps", Fault(500, b'{"error": "\\u001b[31mred"}'))
    assert main(["engines"]) == 0
    said = capsys.readouterr()
    assert "good" in said.out
    assert "\x1b" not in said.out + said.err


def test_a_server_before_0_30_does_not_tell_what_its_models_can(fake: OllamaServer) -> None:
    """Facts A3."""
    fake.version = "0.29.3"
    (tag,) = Client(fake.url).tags()
    assert (tag.capabilities, tag.context_tokens) == (None, None)
    fake.version = "0.30.0"
    (tag,) = Client(fake.url).tags()
    assert (tag.capabilities, tag.context_tokens) == (frozenset({"completion"}), 8192)


# --- streams -------------------------------------------------------------------------------------


def test_safetensors_count_as_one_layer(fake: OllamaServer) -> None:
    """Facts B4: status `pulling model` and a digest that is none."""
    about = {"status": "pulling model", "digest": "sha256:model", "total": 100}
    rows = ({"status": "pulling manifest"}, about | {"completed": 10}, about | {"completed": 100})
    fake.fault("/api/pull", Fault(lines=(*rows, {"status": "success"})))
    done = [report.done_bytes for report in pull(Client(fake.url), "m")]
    assert (done[2:], done) == ([10, 100, 100], sorted(done, key=lambda n: n or 0))


def test_a_line_as_long_as_the_limit_is_read_and_a_longer_one_is_not(fake: OllamaServer) -> None:
    for size, ends in ((LINE_LIMIT_BYTES - 100, True), (LINE_LIMIT_BYTES + 1, False)):
        line = json.dumps({"status": "x" * size}).encode()
        fake.fault("/api/pull", Fault(lines=(line, {"status": "success"})))
        if ends:
            finish(pull(Client(fake.url), "m"))
        else:
            assert _refused(ASKS["pull"][1], fake).code == "pull-stopped"


def test_a_line_without_an_end_is_not_kept_for_ever(fake: OllamaServer) -> None:
    fake.fault("/api/pull", Fault(body=b"x" * (LINE_LIMIT_BYTES * 3)))
    assert _refused(ASKS["pull"][1], fake).code == "pull-stopped"


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        (Fault(401, b'{"error": "x", "signin_url": "https://x"}'), AuthNeeded, "cloud-signin"),
        (Fault(403, b'{"error": "ollama cloud is disabled: x"}'), NotSupported, "cloud-model"),
        (Fault(503, b'{"error": "server busy"}'), EngineFailed, "engine-busy"),
        (Fault(302, headers=(("Location", "/login"),)), EngineFailed, "not-ollama"),
        (Fault(204), EngineFailed, "not-ollama"),
        (Fault(400, b'{"error": "invalid model name"}'), ModelUnavailable, "model-refused"),
    ],
)
def test_a_stream_that_does_not_begin_says_why(
    fake: OllamaServer, fault: Fault, kind: type[AgentlaunchError], code: str
) -> None:
    fake.fault("/api/pull", fault)
    error = _refused(ASKS["pull"][1], fake)
    assert isinstance(error, kind)
    assert error.code == code


def test_a_message_of_a_model_that_is_gone_within_the_stream_is_its_error(
    fake: OllamaServer,
) -> None:
    """Facts B0: after the first line the status stays 200."""
    fake.fault("/api/pull", Fault(lines=({"status": "pulling manifest"}, {"error": "x\x1b[2J"})))
    assert _refused(ASKS["pull"][1], fake).code == "pull-failed"


# --- in front of it: a proxy with a path, a key, TLS ---------------------------------------------


def test_below_a_path_prefix_everything_is_asked_there(fake: OllamaServer) -> None:
    """Facts A1: what stands behind the host is joined with each path."""
    fake.prefix = "/box/ollama"
    found = life.find({"OLLAMA_HOST": f"127.0.0.1:{fake.port}/box/ollama/"})
    assert found.client.url == f"{fake.url}/box/ollama"
    assert [tag.name for tag in found.client.tags()] == ["m:latest"]
    finish(found.client.load("m"))
    with pytest.raises(EngineFailed, match="is not Ollama"):
        life.find({"OLLAMA_HOST": fake.url})


def test_a_proxy_that_wants_a_key_is_told_apart_from_ollama(fake: OllamaServer) -> None:
    """Facts A2: Ollama itself wants none."""
    fake.key = "canary"
    assert Client(fake.url, "canary").version().text == "0.33.0"
    for key, words in (("", "wants a key"), ("other", "rejected the key")):
        with pytest.raises(AuthNeeded, match=words) as caught:
            Client(fake.url, key).version()
        assert caught.value.hint is not None
        assert caught.value.hint.startswith("Ollama itself wants none")
    away = faults.other(web.Reply(401, {}, b""), "https://box:443", has_key=False)
    assert away.hint == "export AGENTLAUNCH_ENGINE_KEY=… and run the same command again"


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"version": "0.33.0"}'
        self.send_response(200)
        self.send_header("X-Key", self.headers.get("authorization", ""))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


class _TlsServer(HTTPServer):
    def handle_error(self, *_about: object) -> None:
        """A client that does not trust it hangs up."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that is its own authority, with its key behind it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not here")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
            "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout", folder / "key.pem", "-out", folder / "ca.pem",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture
def behind_tls(authority: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "ca.pem", authority / "key.pem")
    with _TlsServer(("127.0.0.1", 0), _Answer) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_server_behind_tls_of_an_authority_of_the_users_own_is_found(
    behind_tls: int, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"OLLAMA_HOST": f"https://localhost:{behind_tls}"}
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    assert life.find(environ).version.text == "0.33.0"


def test_a_certificate_that_nobody_vouches_for_is_refused_with_the_way_out(behind_tls: int) -> None:
    with pytest.raises(EngineFailed, match="secure connection") as caught:
        life.find({"OLLAMA_HOST": f"https://localhost:{behind_tls}"})
    assert caught.value.code == "engine-tls"
    assert caught.value.hint is not None
    assert "SSL_CERT_FILE" in caught.value.hint


def test_the_key_travels_only_within_tls(
    behind_tls: int, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    headers = {"authorization": "Bearer canary"}
    reply = web.request("GET", f"https://localhost:{behind_tls}/api/version", headers=headers)
    assert reply.headers["x-key"] == "Bearer canary"


def test_plain_http_at_a_tls_port_is_no_ollama(behind_tls: int) -> None:
    with pytest.raises(EngineFailed):
        life.find({"OLLAMA_HOST": f"http://localhost:{behind_tls}"})
