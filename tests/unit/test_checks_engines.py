"""What the doctor says of a running Ollama: too old, open to the network, open to websites."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentlaunch import survey
from agentlaunch.checks import Finding, check
from agentlaunch.checks.engines import ollama
from agentlaunch.engines.ollama import wsl
from agentlaunch.machine.facts import Machine
from agentlaunch.survey.health import Health
from agentlaunch.survey.servers import Server

GIB = 1 << 30
MACHINE = Machine("linux", "x86_64", "cpu", 8, 32 * GIB, 20 * GIB, None, 10**12, False, False)
SERVER = Server("http://127.0.0.1:11434", "yes", "0.33.0")
OK = Finding(
    "ollama",
    "ok",
    "Ollama 0.33.0 answers at http://127.0.0.1:11434",
    "agentlaunch up claude-code --engine ollama",
)


def _findings(server: Server, os: str = "linux") -> list[Finding]:
    seen = survey.simulated(replace(MACHINE, os=os))
    return ollama(replace(seen, health=Health(ollama=server)), ())


def test_a_new_server_of_this_machine_alone_is_one_good_row() -> None:
    assert _findings(SERVER) == [OK]


@pytest.mark.parametrize(
    ("version", "rows"),
    [
        ("0.17.1", []),
        ("0.0.0", []),
        ("0.17.0", [("warning", "0.17.1 closes a known security hole (CVE-2026-7482)")]),
        ("0.13.5", [("warning", "CVE-2026-7482"), ("info", "0.14.0 brings /v1/messages")]),
        ("0.13.2", [("warning", "0.17.1"), ("info", "0.14.0"), ("info", "0.13.3")]),
    ],
)
def test_a_version_below_a_floor_is_told_with_how_to_update(
    version: str, rows: list[tuple[str, str]]
) -> None:
    first, *found = _findings(replace(SERVER, version=version, update="apt upgrade"))
    assert first.status == "ok"
    assert [row.status for row in found] == [status for status, _ in rows]
    for row, (_, words) in zip(found, rows, strict=True):
        assert words in row.message
        assert (row.name, row.remedy) == ("ollama-version", "apt upgrade")


@pytest.mark.parametrize(
    ("os", "remedy"),
    [
        ("linux", "OLLAMA_HOST=127.0.0.1 ollama serve"),
        ("darwin", "launchctl setenv OLLAMA_HOST 127.0.0.1"),
        ("windows", "setx OLLAMA_HOST 127.0.0.1"),
    ],
)
def test_a_port_that_is_open_to_the_network_is_a_warning(os: str, remedy: str) -> None:
    _, row = _findings(replace(SERVER, open_on=("0.0.0.0", "::")), os)
    assert (row.name, row.status, row.remedy) == ("ollama-exposed", "warning", remedy)
    assert "open on every address of this machine: anyone on the network" in row.message
    _, row = _findings(replace(SERVER, open_on=("192.0.2.7",)), os)
    assert "open on 192.0.2.7: anyone on the network" in row.message


def test_a_server_that_every_website_may_ask_is_a_warning() -> None:
    _, row = _findings(replace(SERVER, any_website=True))
    assert (row.name, row.status) == ("ollama-origins", "warning")


def test_a_server_that_wants_a_key_is_told_how_to_get_one_in() -> None:
    locked = Server("https://box:443", "locked", detail="https://box:443 wants a key", way_out="x")
    assert _findings(locked) == [Finding("ollama", "warning", "https://box:443 wants a key", "x")]


def test_an_ollama_on_windows_that_wsl_cannot_reach_is_told_although_nobody_named_it() -> None:
    away = Server("http://127.0.0.1:11434", "nothing", detail="on Windows", way_out=wsl.HINT)
    assert _findings(away) == [Finding("ollama", "warning", "on Windows", wsl.HINT)]


def test_these_rows_are_among_the_doctors() -> None:
    seen = replace(survey.simulated(MACHINE), health=Health(ollama=SERVER))
    assert OK in check(seen, wanted_agents=())
