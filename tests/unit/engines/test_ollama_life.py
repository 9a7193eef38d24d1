"""Finding and starting Ollama: with a fake `ollama` on PATH that really listens."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import ollama_server
from agentlaunch import process
from agentlaunch.engines import ollama_host
from agentlaunch.engines.base import EngineState
from agentlaunch.engines.ollama import life, wsl
from agentlaunch.errors import EngineFailed
from agentlaunch.progress import finish
from agentlaunch.settings import Paths
from agentlaunch.survey import sockets
from ollama_server import Fault
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
print(os.getpid(), file=open({pid!r}, "a"), flush=True)
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
    for line in pid.read_text().splitlines() if pid.exists() else ():
        who = process.identity(int(line))
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


SLEEP = """#!{python}
import os, time
print(os.getpid(), file=open({pid!r}, "a"), flush=True)
time.sleep(60)
"""


def _is_gone(pid: Path) -> bool:
    return process.identity(int(pid.read_text())) is None


@pytest.mark.skipif(os.name == "nt", reason="a script as a program")
def test_a_server_that_never_answers_is_ended_when_the_wait_is_over(
    program: Path, paths: Paths, port: int
) -> None:
    pid = program.parents[1] / "pid"
    program.write_text(SLEEP.format(python=sys.executable, pid=str(pid)))
    with pytest.raises(EngineFailed, match="did not answer within 1 s") as caught:
        finish(life.start(_environ(port), paths, limit_s=1))
    assert caught.value.code == "start-timeout"
    assert _is_gone(pid)


@pytest.mark.skipif(os.name == "nt", reason="a script as a program")
def test_a_start_that_is_given_up_leaves_nothing_behind(
    program: Path, paths: Paths, port: int
) -> None:
    pid = program.parents[1] / "pid"
    program.write_text(SLEEP.format(python=sys.executable, pid=str(pid)))
    work = life.start(_environ(port), paths)
    while not (pid.exists() and pid.read_text().strip()):
        next(work)
    work.close()
    assert _is_gone(pid)


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


def test_the_key_goes_only_to_an_allowed_server_that_is_not_this_machine() -> None:
    key = {"AGENTLAUNCH_ENGINE_KEY": " secret\n"}
    elsewhere = {"OLLAMA_HOST": "https://gpu.example"} | key
    assert life.client_of(elsewhere, keyed=True).key == "secret"
    assert life.client_of(elsewhere).key == ""
    assert life.client_of(key, keyed=True).key == ""


@pytest.mark.skipif(os.name == "nt", reason="a script as a program")
@pytest.mark.filterwarnings("ignore:subprocess .* still running:ResourceWarning")
def test_two_launches_at_once_start_one_server(program: Path, paths: Paths, port: int) -> None:
    environ = _environ(port)
    found: list[life.Found] = []
    threads = [
        threading.Thread(target=lambda: found.append(finish(life.start(environ, paths))))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * 2
    assert len((program.parents[1] / "pid").read_text().splitlines()) == 1


@pytest.mark.skipif(os.name == "nt", reason="a script as a program")
@pytest.mark.filterwarnings("ignore:subprocess .* still running:ResourceWarning")
def test_every_address_of_ipv6_is_served_and_found_on_loopback(program: Path, paths: Paths) -> None:
    """Facts A1: `::` can be listened on, and must be dialled as ::1."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with socket.socket(socket.AF_INET6) as free:
        try:
            free.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 loopback here")
        port = free.getsockname()[1]
    six = "HTTPServer.address_family = __import__('socket').AF_INET6\n"
    text = program.read_text().replace('host, _, port = os.environ["OLLAMA_HOST"]', six + "{}")
    text = text.replace("{}", 'host, _, port = os.environ["OLLAMA_HOST"].replace("[::1]", "::1")')
    program.write_text(text)
    found = finish(life.start(_environ(port, "[::]"), paths))
    assert found.client.url == f"http://[::1]:{port}"
    assert life.state(_environ(port, "[::]")).state == "running"


def test_a_port_that_takes_connections_and_says_nothing_is_another_programs(
    program: Path, paths: Paths
) -> None:
    for fault in (Fault(silent=True), Fault(body=b"{" + b" " * 99, drip_s=0.2)):
        with ollama_server.running() as other:
            other.fault("/api/version", fault)
            with pytest.raises(EngineFailed, match="does not answer as Ollama") as caught:
                finish(life.start({"OLLAMA_HOST": other.url}, paths))
        assert caught.value.code == "not-ollama"
    assert not (program.parents[1] / "pid").exists()


@pytest.mark.parametrize(
    "address", ["https://127.0.0.1:{port}", "127.0.0.1:{port}/prefix", "127.0.0.1:0"]
)
def test_what_a_started_server_would_not_answer_at_is_not_started(
    program: Path, paths: Paths, port: int, address: str
) -> None:
    with pytest.raises(EngineFailed, match="cannot be started just there") as caught:
        finish(life.start({"OLLAMA_HOST": address.format(port=port)}, paths))
    assert caught.value.code == "engine-remote"
    assert not (program.parents[1] / "pid").exists()


def test_a_host_name_that_ollama_does_not_know_itself_by_is_told(paths: Paths) -> None:
    """Facts A2: an empty 403 where it listens on loopback."""
    with ollama_server.running() as server:
        server.fault("/api/version", Fault(status=403))
        with pytest.raises(EngineFailed, match="does not answer to this host name") as caught:
            finish(life.start({"OLLAMA_HOST": server.url}, paths))
    assert caught.value.code == "host-refused"


def test_who_listens_is_asked_without_http(port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert life.listens(f"http://127.0.0.1:{server.getsockname()[1]}/x")
        assert life.listens(f"https://localhost:{server.getsockname()[1]}")
    assert not life.listens(f"http://127.0.0.1:{port}")
    for nonsense in ("", "http://", "http://127.0.0.1:port", "http://[::1", "tcp://a b:1", "//:0"):
        assert not life.listens(nonsense)


def test_a_closed_port_costs_no_http_library(port: int) -> None:
    code = (
        "import sys; from agentlaunch.engines.ollama import life\n"
        "print(life.state({'OLLAMA_HOST': sys.argv[1]}).state, 'httpx' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"127.0.0.1:{port}"],
        capture_output=True, text=True, check=True, env={**os.environ, "PATH": "/nowhere"},
    )  # fmt: skip
    state, imported = done.stdout.split()
    assert state in ("missing", "installed")
    assert imported == "False"


def test_where_installers_put_the_command_is_known_for_each_system() -> None:
    """Facts A2; the desktop app itself is not among them."""
    found = [place.as_posix() for place in life.known_places({"LOCALAPPDATA": "C:/Local"})]
    assert "C:/Local/Programs/Ollama/ollama.exe" in found
    assert "/Applications/Ollama.app/Contents/Resources/ollama" in found
    assert not [place for place in found if "ollama app" in place]
    assert life.known_places({}) == tuple(p for p in life.known_places({}) if p.is_absolute())


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
    assert wsl.windows_addresses(tmp_path) == found


def _wsl(root: Path, gateway: str = "0100007F", *, networking: str | None = None) -> Path:
    """A root as WSL2 has it, with the given gateway; loopback is no gateway that we would take.
    `networking` is what `wslinfo` says, None where it is too old to be there."""
    if networking is not None:
        program = root / "usr/bin/wslinfo"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\n[ $1 = --networking-mode ] && echo {networking}\n")
        program.chmod(0o755)
    for place, text in (
        ("proc/sys/kernel/osrelease", "6.6.87-microsoft-standard-WSL2"),
        ("proc/net/route", ROUTES.format("", gateway)),
    ):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text)
    return root


@pytest.fixture
def default_port(port: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Ollama's default port, moved to where nobody listens."""
    monkeypatch.setattr(ollama_host, "DEFAULT_PORT", port)
    return port


@pytest.mark.usefixtures("no_program")
def test_with_mirrored_networking_loopback_is_windows_and_used_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ollama_server.running() as server:
        monkeypatch.setattr(ollama_host, "DEFAULT_PORT", server.port)
        found = life.find({}, root=_wsl(tmp_path, "01A01BAC"))
    assert (found.client.url, found.on_windows_host) == (server.url, False)


@pytest.mark.usefixtures("no_program")
def test_an_ollama_on_windows_is_found_at_its_real_address(
    tmp_path: Path, default_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = sockets.own_address()
    if own is None or wsl.name_server_of(f"nameserver {own}") is None:
        pytest.skip("this machine has no private address that could stand for the gateway")
    monkeypatch.setenv("NO_PROXY", "*")
    gateway = bytes(int(part) for part in reversed(own.split("."))).hex().upper()
    root = _wsl(tmp_path, gateway, networking="nat")
    with ollama_server.running(own, default_port) as server:
        found = life.find({}, root=root)
        state = life.state({}, root=root)
    assert server.seen
    assert (found.client.url, found.on_windows_host) == (f"http://{own}:{default_port}", True)
    assert (state.state, state.url) == ("running", found.client.url)


@pytest.mark.parametrize(
    ("gateway", "networking", "found"),
    [
        ("01A01BAC", None, ("172.27.160.1",)),
        ("0101A8C0", None, ()),  # 192.168.1.1: the router of whatever network this is
        ("0101A8C0", "nat", ("192.168.1.1",)),
        ("01A01BAC", "mirrored", ()),
        ("01A01BAC", "bridged", ()),
    ],
)
def test_a_gateway_is_windows_only_behind_the_nat_of_wsl(
    tmp_path: Path, gateway: str, networking: str | None, found: tuple[str, ...]
) -> None:
    assert wsl.windows_addresses(_wsl(tmp_path, gateway, networking=networking)) == found


@pytest.mark.usefixtures("no_program", "default_port")
@pytest.mark.parametrize("installed", [True, False])
def test_an_ollama_that_listens_for_windows_alone_is_told_with_the_way_out(
    tmp_path: Path, installed: bool
) -> None:
    root = _wsl(tmp_path)
    if installed:
        place = root / "mnt/c/Users/Ada/AppData/Local/Programs/Ollama/ollama.exe"
        place.parent.mkdir(parents=True)
        place.write_bytes(b"MZ")
    with pytest.raises(EngineFailed) as caught:
        life.find({}, root=root)
    if installed:
        assert (caught.value.code, caught.value.hint) == ("engine-on-windows", wsl.HINT)
    else:
        assert caught.value.code == "engine-unreachable"


@pytest.mark.usefixtures("default_port")
def test_an_ollama_within_wsl_is_started_although_windows_has_one(
    tmp_path: Path, program: Path
) -> None:
    root = _wsl(tmp_path)
    place = root / "mnt/c/Program Files/Ollama/ollama.exe"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"MZ")
    assert program.exists()
    with pytest.raises(EngineFailed) as caught:
        life.find({}, root=root)
    assert caught.value.code == "engine-unreachable"


def test_a_service_of_the_system_is_not_started_by_hand(tmp_path: Path) -> None:
    assert not life.stopped_service({}, root=tmp_path)
    for place in ("run/systemd/system", "etc/systemd/system"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / life.SERVICE).write_text("[Unit]")
    assert life.stopped_service({}, root=tmp_path)
    assert not life.stopped_service({"OLLAMA_HOST": "127.0.0.1:11500"}, root=tmp_path)
