"""`config set-key`: a key goes from a pipe into the keyring, and through nothing else."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentlaunch import keys, settings
from agentlaunch.agents.claude_code import AGENT
from agentlaunch.cli import main
from agentlaunch.engines.presets import PRESETS, Target
from agentlaunch.errors import AuthNeeded
from agentlaunch.survey import look_at_remote
from anthropic_server import AnthropicServer
from memory_keyring import MemoryKeyring, in_place, without

KEY = "sk-canary-0123456789"


@pytest.fixture
def memory() -> Iterator[MemoryKeyring]:
    with in_place(MemoryKeyring()) as own:
        yield own


def _pipe(monkeypatch: pytest.MonkeyPatch, text: str, *argv: str) -> int:
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO(text))
        return main(argv)


def _everything_below(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("openrouter", "https://openrouter.ai"),
        ("Claude-API", "https://api.anthropic.com"),
        ("vllm", "http://127.0.0.1:8000"),
        ("https://gpu.example:443/v1", "https://gpu.example"),
    ],
)
def test_a_key_is_kept_for_the_servers_address(
    name: str,
    origin: str,
    memory: MemoryKeyring,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _pipe(monkeypatch, KEY + "\n", "config", "set-key", name, "--json") == 0
    assert memory.held == {("agentlaunch", origin): KEY}
    assert main(["config", "unset-key", name]) == 0
    assert main(["config", "unset-key", name]) == 0
    assert memory.held == {}
    out, err = capsys.readouterr()
    assert KEY not in out + err
    assert KEY.encode() not in _everything_below(home)


def test_a_moved_server_has_a_key_of_its_own(
    memory: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["config", "set", "vllm_url", "https://gpu.example:8000"]) == 0
    assert _pipe(monkeypatch, KEY, "config", "set-key", "vllm") == 0
    assert memory.held == {("agentlaunch", "https://gpu.example:8000"): KEY}


@pytest.mark.parametrize(
    ("text", "name", "status"),
    [
        ("", "vllm", 9),
        (KEY + "\nand more\n", "vllm", 9),
        (KEY, "embedded", 2),
        (KEY, "ollama", 2),
        (KEY, "vlm", 2),
        (KEY, "https://169.254.169.254", 8),
    ],
)
def test_what_cannot_be_kept_is_an_error_that_does_not_show_it(
    text: str,
    name: str,
    status: int,
    memory: MemoryKeyring,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _pipe(monkeypatch, text, "config", "set-key", name, "--debug") == status
    assert memory.held == {}
    assert KEY not in capsys.readouterr().err


def test_without_a_keyring_the_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with in_place(without()):
        assert _pipe(monkeypatch, KEY, "config", "set-key", "openrouter") == 1
    said = capsys.readouterr().err
    assert "AGENTLAUNCH_ENGINE_KEY" in said
    assert KEY not in said


def test_the_key_is_no_argument(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "set-key", "openrouter", KEY]) == 2
    assert main(["config", "set", "openrouter_key", KEY]) == 2


def test_the_keyring_is_asked_only_where_a_server_wants_a_key(memory: MemoryKeyring) -> None:
    with AnthropicServer() as server:
        look_at_remote(Target(server.url), AGENT.wires, {}, watched=False)
        assert memory.asked == []
        server.token = KEY
        environ = {"AGENTLAUNCH_ENGINE_KEY": KEY}
        look_at_remote(Target(server.url), AGENT.wires, environ, watched=False)
        assert memory.asked == []
        with pytest.raises(AuthNeeded, match="wants a key"):
            look_at_remote(Target(server.url), AGENT.wires, {}, watched=False)
        assert memory.asked == [server.url]
        keys.store(server.url, KEY)
        assert look_at_remote(Target(server.url), AGENT.wires, {}, watched=False).key == KEY
        hosted = Target(server.url, PRESETS["openai"])
        facts = look_at_remote(hosted, AGENT.wires, {}, watched=False)
        assert facts.key == KEY


def test_a_key_of_the_keyring_that_is_wrong_is_said_as_that(memory: MemoryKeyring) -> None:
    with AnthropicServer(token=KEY) as server:
        keys.store(server.url, "old")
        with pytest.raises(AuthNeeded, match="rejected the key"):
            look_at_remote(Target(server.url), AGENT.wires, {}, watched=False)


def test_no_file_of_ours_ever_holds_a_key(
    memory: MemoryKeyring, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _pipe(monkeypatch, KEY, "config", "set-key", "litellm") == 0
    assert settings.load()["engine"].value == "embedded"
    assert KEY.encode() not in _everything_below(home)
