"""Who answers where Ollama should, and to whom else it is open."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ollama_server
from agentlaunch.engines import ollama_host
from agentlaunch.engines.ollama import life, wsl
from agentlaunch.survey import servers, sockets
from agentlaunch.survey.servers import Server
from ollama_server import Fault, OllamaServer


@pytest.fixture
def fake() -> Iterator[OllamaServer]:
    with ollama_server.running() as server:
        yield server


def _environ(fake: OllamaServer) -> dict[str, str]:
    return {"OLLAMA_HOST": f"127.0.0.1:{fake.port}"}


def test_a_server_of_this_machine_alone_is_all_well(fake: OllamaServer) -> None:
    found = servers.ollama(_environ(fake))
    assert found == Server(fake.url, "yes", "0.33.0", asked=True, update=found.update)
    assert found.update


@pytest.mark.skipif(sys.platform != "linux", reason="the table of Linux")
def test_a_server_that_is_reached_by_an_own_address_is_open_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    own = sockets.own_address()
    if own is None:
        pytest.skip("this machine is on no network")
    with ollama_server.running(own) as server:
        found = servers.ollama({"OLLAMA_HOST": f"{own}:{server.port}"})
    assert (found.answered, found.open_on) == ("yes", (own,))


def test_an_open_port_is_read_from_the_socket_and_not_from_the_variable(
    fake: OllamaServer, tmp_path: Path
) -> None:
    table = tmp_path / "proc" / "net" / "tcp"
    table.parent.mkdir(parents=True)
    table.write_text(f"sl\n 0: 00000000:{fake.port:04X} 00000000:0000 0A\n")
    found = servers.ollama(_environ(fake), root=tmp_path)
    assert found.open_on == ("0.0.0.0",)
    with socket.create_server(("0.0.0.0", 0)) as other:
        table.write_text(f"sl\n 0: 00000000:{other.getsockname()[1]:04X} 00000000:0000 0A\n")
    assert servers.ollama(_environ(fake), root=tmp_path).open_on == ()


def test_a_server_that_lets_every_website_ask_is_seen(fake: OllamaServer) -> None:
    fake.origins = "*"
    assert servers.ollama(_environ(fake)).any_website
    assert [seen.path for seen in fake.seen] == ["/api/version"] * 2


@pytest.mark.parametrize(
    ("fault", "answered", "way_out"),
    [
        (Fault(body=b"<html>"), "other", None),
        (Fault(status=403), "other", "name it by its address"),
        (Fault(status=302, headers=(("Location", "/x"),)), "other", None),
        (Fault(status=401, body=b"{}"), "locked", "Ollama itself wants none"),
        (Fault(silent=True), "nothing", None),
    ],
)
def test_what_else_answers_is_told_in_its_own_words(
    fake: OllamaServer, fault: Fault, answered: str, way_out: str | None
) -> None:
    fake.fault("/api/version", fault)
    found = servers.ollama(_environ(fake))
    assert (found.answered, found.version) == (answered, None)
    assert found.detail
    assert (found.way_out or "").partition(way_out or "none")[:2] == ("", way_out or "")


def test_an_ollama_that_only_windows_reaches_is_told_in_wsl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "mnt/c/Program Files/Ollama/ollama.exe"
    kernel = tmp_path / "proc/sys/kernel/osrelease"
    for file in (place, kernel):
        file.parent.mkdir(parents=True)
        file.write_text("6.6-microsoft-standard-WSL2")
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setattr(ollama_host, "DEFAULT_PORT", free.getsockname()[1])
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(life, "KNOWN_PLACES", ())
    found = servers.ollama({}, root=tmp_path)
    assert (found.answered, found.way_out) == ("nothing", wsl.HINT)


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("127.0.0.1:1", "nothing"),
        ("http://user:canary@box:5/x", "unsafe"),
        ("user:canary@box:5", "unsafe"),
        ("169.254.169.254", "unsafe"),
        ("tcp://box", "unsafe"),
        ("box:+1", "unsafe"),
        ("[::1", "nothing"),
    ],
)
def test_an_address_that_is_none_of_ollamas_is_never_a_crash(host: str, answered: str) -> None:
    found = servers.ollama({"OLLAMA_HOST": host})
    assert (found.answered, found.asked) == (answered, True)
    assert "canary" not in str(found)


def test_a_server_elsewhere_is_not_asked_before_the_word() -> None:
    far = "http://192.0.2.1:8000"
    found = servers.engine(far, {})
    way_out = f'agentlaunch config set allowed_hosts "{far}"'
    assert found == Server(far, "not-asked", asked=True, way_out=way_out)
