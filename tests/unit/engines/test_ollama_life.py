"""Finding and starting Ollama: with a fake `ollama` on PATH that really listens."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ollama_server
from agentlaunch import process
from agentlaunch.engines.base import EngineState
from agentlaunch.engines.ollama import life
from agentlaunch.errors import EngineFailed
from agentlaunch.progress import finish
from agentlaunch.settings import Paths
from places import paths_below

SERVE = """#!{python}
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
assert sys.argv[1:] == ["serve"], sys.argv
print("canary" in str(os.environ), "listening on", os.environ["OLLAMA_HOST"], flush=True)
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        models = {{"models": []}}
        body = json.dumps({{"version": "0.33.0"}} if "version" in self.path else models).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
host, _, port = os.environ["OLLAMA_HOST"].rpartition(":")
open({pid!r}, "w").write(str(os.getpid()))
HTTPServer((host, int(port)), Handler).serve_forever()
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return paths_below(tmp_path)


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The only `ollama` on PATH; what it started is ended with the test."""
    folder = tmp_path / "bin"
    folder.mkdir()
    pid = tmp_path / "pid"
    file = folder / "ollama"
    file.write_text(SERVE.format(python=sys.executable, pid=str(pid)))
    file.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    yield file
    if pid.exists():
        who = process.identity(int(pid.read_text()))
        if who is not None:
            process.end(who)


@pytest.fixture
def no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(life, "KNOWN_PLACES", ())


def _environ(port: int, host: str = "127.0.0.1") -> dict[str, str]:
    return {"OLLAMA_HOST": f"{host}:{port}", "PATH": os.environ["PATH"], "SECRET": "canary"}


@pytest.mark.skipif(os.name == "nt", reason="a script as a program")
# It is meant to outlive us, which Python remarks on.
@pytest.mark.filterwarnings("ignore:subprocess .* still running:ResourceWarning")
def test_an_installed_server_is_started_left_running_and_found_again(
    program: Path, paths: Paths, port: int
) -> None:
    environ = _environ(port, "0.0.0.0")
    assert life.state(environ) == EngineState("ollama", "installed", None, None, ())
    found = finish(life.start(environ, paths))
    assert (found.client.url, found.version.text) == (f"http://127.0.0.1:{port}", "0.33.0")
    assert life.log_path(paths).read_text().startswith(f"False listening on 127.0.0.1:{port}")
    assert life.state(environ).state == "running"
    program.unlink()
    assert finish(life.start(environ, paths)) == found


@pytest.mark.skipif(os.name == "nt", reason="a script as a program")
def test_a_server_that_ends_at_once_is_an_error_that_names_its_log(
    program: Path, paths: Paths, port: int
) -> None:
    program.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(EngineFailed) as caught:
        finish(life.start(_environ(port), paths))
    assert (caught.value.code, caught.value.hint) == (
        "engine-died", f"see {life.log_path(paths)}",
    )  # fmt: skip


@pytest.mark.usefixtures("no_program")
def test_without_a_program_the_way_to_install_it_is_told(paths: Paths, port: int) -> None:
    environ = _environ(port)
    assert life.state(environ).state == "missing"
    with pytest.raises(EngineFailed) as caught:
        finish(life.start(environ, paths))
    assert (caught.value.code, caught.value.hint) == ("engine-missing", life.how_to_install())


def test_how_to_install_is_known_for_each_system() -> None:
    told = [life.how_to_install(name) for name in ("linux", "darwin", "win32", "aix")]
    assert len(set(told)) == 4


def test_another_machines_server_is_not_started_here(paths: Paths) -> None:
    with pytest.raises(EngineFailed) as caught:
        finish(life.start({"OLLAMA_HOST": "http://nohost.invalid:9"}, paths))
    assert caught.value.code == "engine-remote"


def test_another_program_on_the_port_is_not_fought_with(paths: Paths) -> None:
    with ollama_server.running() as other:
        other.fault("/api/version", ollama_server.Fault(body=b"<html>"))
        with pytest.raises(EngineFailed) as caught:
            finish(life.start({"OLLAMA_HOST": other.url}, paths))
    assert caught.value.code == "not-ollama"


def test_the_key_goes_only_to_a_server_that_is_not_this_machine() -> None:
    key = {"AGENTLAUNCH_ENGINE_KEY": "k"}
    assert life.client_of(key).key == ""
    assert life.client_of({**key, "OLLAMA_HOST": "https://gpu-box"}).key == "k"


ROUTES = "Iface\tDestination\tGateway\tFlags\n{0}eth0\t00000000\t{1}\t0003\n"


@pytest.mark.parametrize(
    ("kernel", "gateway", "resolv", "found"),
    [
        ("6.6.87-microsoft-standard-WSL2", "01A01BAC", "nameserver 10.255.255.254\n",
         ("172.27.160.1", "10.255.255.254")),
        ("5.10-Microsoft", "01A01BAC", "# x\nnameserver 172.27.160.1\n", ("172.27.160.1",)),
        ("5.10-microsoft", "08080808", "nameserver 8.8.8.8\n", ()),
        ("5.10-microsoft", "zz", "nameserver", ()),
        ("6.1.0-debian", "01A01BAC", "nameserver 172.27.160.1\n", ()),
    ],
)  # fmt: skip
def test_the_windows_host_is_looked_for_only_in_wsl_and_only_nearby(
    tmp_path: Path, kernel: str, gateway: str, resolv: str, found: tuple[str, ...]
) -> None:
    for place, text in (
        ("proc/sys/kernel/osrelease", kernel),
        ("proc/net/route", ROUTES.format("eth0\t00A01BAC\t00000000\t1\n", gateway)),
        ("etc/resolv.conf", resolv),
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    assert life.windows_addresses(tmp_path) == found
