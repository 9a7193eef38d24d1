"""`agentlaunch engines`: what is told of each, what is unloaded, and what is never touched."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

import ollama_server
import schemas
from agentlaunch import files, process
from agentlaunch.cli import main
from agentlaunch.commands import engines
from agentlaunch.commands.engines import Row
from agentlaunch.engines.base import EngineState, Loaded
from agentlaunch.engines.ollama import update, wsl
from agentlaunch.errors import EngineFailed
from agentlaunch.settings import load as load_settings
from agentlaunch.settings import paths
from agentlaunch.talk import Policy, Talk
from ollama_server import OllamaServer
from shaped_server import WIRES, ShapedServer, bearer

GIB = 1 << 30
OURS = "qwen3.5:9b-64k-agentlaunch"


@pytest.fixture(autouse=True)
def _no_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("agentlaunch.engines.ollama.life.KNOWN_PLACES", ())


@pytest.fixture
def ollama(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    with ollama_server.running() as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield server


def told(capsys: pytest.CaptureFixture[str], *argv: str, status: int = 0) -> Any:
    assert main([*argv, "--json"]) == status
    document = json.loads(capsys.readouterr().out)
    schemas.check(document)
    return document


def row(capsys: pytest.CaptureFixture[str], name: str) -> Any:
    rows = told(capsys, "engines")["data"]["engines"]
    (found,) = [one for one in rows if one["name"] == name]
    return found


def shown(capsys: pytest.CaptureFixture[str], *argv: str, status: int = 0) -> str:
    assert main(["engines", *argv]) == status
    return capsys.readouterr().out


def load(server: OllamaServer, name: str, context_tokens: int) -> None:
    server.add(name, size=GIB, parameters={"num_ctx": context_tokens})
    server.loaded[ollama_server.full(name)] = context_tokens


# --- what is told --------------------------------------------------------------------------


def test_where_nothing_is_installed_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "")
    monkeypatch.setattr("agentlaunch.engines.ollama_host.DEFAULT_PORT", 9)
    lines = shown(capsys).splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [
        ["embedded", "missing"],
        ["ollama", "missing"],
    ]
    assert lines[3].startswith("to install embedded: a launch brings it")
    assert lines[4].startswith("to install ollama: ")


def test_a_running_ollama_with_what_it_holds(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    load(ollama, OURS, 4096)
    (held,) = row(capsys, "ollama")["loaded"]
    assert held == {
        "model": OURS,
        "context_tokens": 4096,
        "size_bytes": held["size_bytes"],
        "vram_bytes": 0,
        "expires_at": "2026-11-22T18:00:00+00:00",
    }
    assert held["size_bytes"] > GIB
    out = shown(capsys)
    assert f"{OURS}, 4,096 tokens, 1.0 GiB, on the CPU, " in " ".join(out.split())
    assert "\nto update ollama: " in out


@pytest.mark.parametrize(
    ("vram", "words"),
    [
        (None, "m, 1.0 GiB"),
        (0, "m, 1.0 GiB, on the CPU"),
        (GIB, "m, 1.0 GiB, on the GPU"),
        (2 * GIB, "m, 1.0 GiB, on the GPU"),
        (GIB * 92 // 100, "m, 1.0 GiB, 92 % on the GPU"),
        (GIB - 1, "m, 1.0 GiB, 99 % on the GPU"),
        (1, "m, 1.0 GiB, 1 % on the GPU"),
    ],
)
def test_where_a_model_lies(
    vram: int | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    state = EngineState("x", "running", None, None, (), (Loaded("m", None, GIB, vram),))
    engines.draw(Talk(Policy()), [Row(state)])
    assert capsys.readouterr().out.rstrip().endswith(f"  {words}")


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (timedelta(minutes=4, seconds=31), "5 min left"),
        (timedelta(hours=5), "5 h left"),
        (timedelta(seconds=-3), "leaving"),
        (timedelta(days=100_000), "kept"),
    ],
)
def test_how_long_it_stays(left: timedelta, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    held = Loaded("m", None, None, None, expires_at=datetime.now(timezone.utc) + left)
    engines.draw(Talk(Policy()), [Row(EngineState("x", "running", None, None, (), (held,)))])
    assert f"m, {words}\n" in capsys.readouterr().out


def test_a_name_from_a_server_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    held = Loaded("a\x1b[2J\nollama  running\r\u202e", None, None, None)
    engines.draw(Talk(Policy()), [Row(EngineState("x", "remote", "1\n2", None, (), (held,)))])
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 2
    assert r"a\x1b[2J ollama running \u202e" in out


def test_of_a_long_list_a_few_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    held = tuple(Loaded(f"m{number}", None, None, None) for number in range(300))
    engines.draw(Talk(Policy()), [Row(EngineState("x", "remote", None, None, (), held))])
    assert "m0; m1; m2; m3; and 296 more" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("version", "lacking"),
    [
        ("0.13.2", ["security", "anthropic", "responses"]),
        ("0.13.3", ["security", "anthropic"]),
        ("0.17.0", ["security"]),
        ("0.17.1", []),
        ("0.0.0", []),
    ],
)
def test_a_version_below_a_floor_is_named_with_it(
    version: str, lacking: list[str], ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    ollama.version = version
    document = told(capsys, "engines")
    (found,) = [one for one in document["data"]["engines"] if one["name"] == "ollama"]
    assert [lack["floor"] for lack in found["lacks"]] == lacking
    assert [row["code"] for row in document["warnings"]] == ["ollama-old"] * len(lacking)
    out = " ".join(shown(capsys).split())
    assert ("older than 0.17.1, which closes a known security hole" in out) == bool(lacking)


def test_a_server_that_breaks_off_is_a_row_with_its_reason(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    ollama.fault("/api/ps", ollama_server.Fault(status=500, body=b'{"error": "boom"}'))
    found = row(capsys, "ollama")
    assert found["state"] == "running"
    assert "boom" in found["detail"]


def test_an_address_that_nobody_answers_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    assert "127.0.0.1:9" in row(capsys, "ollama")["detail"]


def test_a_password_in_the_address_is_never_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "http://someone:s3cret@127.0.0.1:9")
    assert "s3cret" not in json.dumps(told(capsys, "engines"))
    assert "s3cret" not in shown(capsys)


def test_ollama_on_the_windows_host_is_updated_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wsl, "windows_addresses", lambda: ("172.20.0.1",))
    there = update.how_at("http://172.20.0.1:11434")
    assert there == "on Windows: winget upgrade Ollama.Ollama"
    assert update.how_at("http://172.20.0.2:11434") == update.ELSEWHERE


# --- the server of the settings ------------------------------------------------------------

SERVED = {"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 131_072}]}


def test_the_server_of_the_settings_is_a_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ShapedServer({"GET /v1/models": (200, SERVED), **WIRES}) as server:
        monkeypatch.setenv("AGENTLAUNCH_ENGINE", "vllm")
        monkeypatch.setenv("AGENTLAUNCH_VLLM_URL", server.url)
        found = row(capsys, "vllm")
        assert (found["state"], found["url"], found["reachable"]) == ("remote", server.url, True)
        assert [held["context_tokens"] for held in found["loaded"]] == [131_072]
        assert "anthropic_messages" in found["wires"]
        server.requests.clear()
        assert "m, 131,072 tokens" in shown(capsys)
        assert [line for line in server.asked if line.startswith("POST")] == []


@pytest.mark.parametrize(
    ("status", "words"), [(500, "answered 500"), (302, "redirects"), (503, "not ready")]
)
def test_a_server_that_refuses_is_a_row_with_its_reason(
    status: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ShapedServer({"GET /v1/models": (status, {})}) as server:
        monkeypatch.setenv("AGENTLAUNCH_ENGINE", server.url)
        found = row(capsys, "remote")
        assert (found["state"], found["url"], found["reachable"]) == ("remote", server.url, False)
        assert words in found["detail"]
        assert "remote  unreachable" in " ".join(shown(capsys).split()).replace(" un", "  un")


def test_the_key_goes_along(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ShapedServer({"GET /v1/models": (200, SERVED)}, guard=bearer("k1")) as server:
        monkeypatch.setenv("AGENTLAUNCH_ENGINE", server.url)
        monkeypatch.setenv("AGENTLAUNCH_ENGINE_KEY", "k1")
        assert row(capsys, "remote")["reachable"] is True


def test_a_server_that_wants_a_key_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ShapedServer({"GET /v1/models": (200, SERVED)}, guard=bearer("k1")) as server:
        monkeypatch.setenv("AGENTLAUNCH_ENGINE", server.url)
        found = row(capsys, "remote")
        assert (found["reachable"], "wants a key" in found["detail"]) == (True, True)
        assert "unreachable" not in shown(capsys)


def test_a_companys_service_is_asked_once_however_often_it_is_shown(
    monkeypatch: pytest.MonkeyPatch, mocker: MockerFixture
) -> None:
    monkeypatch.setenv("AGENTLAUNCH_ENGINE", "anthropic")
    monkeypatch.setenv("AGENTLAUNCH_ALLOWED_HOSTS", "https://api.anthropic.com")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k-of-this-test")
    asked = mocker.patch("agentlaunch.engines.remote.probe", side_effect=EngineFailed("away"))
    values = load_settings()
    shown = [engines.look(values)[-1] for _ in range(2)]
    assert (shown[0].reachable, shown[1], asked.call_count) == (False, shown[0], 1)


def test_another_machine_is_asked_nothing_before_the_users_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mocker: MockerFixture
) -> None:
    asked = mocker.patch("agentlaunch.engines.remote.probe")
    monkeypatch.setenv("AGENTLAUNCH_ENGINE", "http://192.0.2.1:8000")
    found = row(capsys, "remote")
    assert (found["reachable"], asked.called) == (None, False)
    assert "not asked" in found["detail"]


@pytest.mark.parametrize("name", ["embedded", "ollama", "Ollama"])
def test_an_engine_of_our_own_is_no_second_row(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTLAUNCH_ENGINE", name)
    assert len(told(capsys, "engines")["data"]["engines"]) == 2


def test_a_name_that_is_no_engine_is_a_row_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTLAUNCH_ENGINE", "nonsense")
    found = row(capsys, "nonsense")
    assert (found["url"], found["reachable"]) == (None, False)


# --- stop ----------------------------------------------------------------------------------


def test_of_ollama_only_our_tags_are_unloaded(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    load(ollama, OURS, 65536)
    load(ollama, "theirs:latest", 4096)
    document = told(capsys, "engines", "stop", "Ollama", "--yes")
    assert document["data"]["stopped"] == [OURS]
    assert list(ollama.loaded) == ["theirs:latest"]
    assert OURS in ollama.models  # nothing was deleted
    assert "holds no model of ours" in shown(capsys, "stop", "ollama")


@pytest.mark.parametrize(
    ("kept", "left", "recent"),
    [
        ("", None, False),
        ("", timedelta(minutes=-1), False),
        ("", timedelta(minutes=104), False),
        ("", timedelta(minutes=106), True),
        ("", timedelta(days=100_000), True),
        ("30m", timedelta(minutes=14), False),
        ("30m", timedelta(minutes=16), True),
    ],
)
def test_what_is_left_of_its_time_tells_when_a_model_was_used(
    kept: str, left: timedelta | None, recent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_KEEP_ALIVE", kept)
    end = None if left is None else datetime.now(timezone.utc) + left
    assert engines.had_a_word(Loaded("m", None, None, None, expires_at=end)) is recent


def test_what_a_session_may_use_is_unloaded_only_by_force(
    ollama: OllamaServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load(ollama, OURS, 65536)
    soon = datetime.now(timezone.utc) + timedelta(hours=2)
    monkeypatch.setattr(ollama_server, "EXPIRES", soon.isoformat())
    error = told(capsys, "engines", "stop", "ollama", "--yes", status=8)["error"]
    assert (error["code"], "--force" in error["hint"]) == ("engine-in-use", True)
    assert OURS in error["message"]
    assert list(ollama.loaded) == [OURS]
    document = told(capsys, "engines", "stop", "ollama", "--yes", "--force")
    assert document["data"]["stopped"] == [OURS]


@pytest.mark.parametrize(("typed", "left"), [("\n", [OURS]), ("n\n", [OURS]), ("y\n", [])])
def test_a_person_is_asked_with_no_for_an_answer_where_it_was_just_used(
    typed: str, left: list[str], ollama: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(ollama, OURS, 65536)
    soon = datetime.now(timezone.utc) + timedelta(hours=2)
    monkeypatch.setattr(ollama_server, "EXPIRES", soon.isoformat())
    screen = Screen()
    monkeypatch.setattr("sys.stdin", Screen(typed))
    monkeypatch.setattr("sys.stderr", screen)
    assert main(["engines", "stop", "ollama", "--yes"]) == 0
    said = " ".join(screen.getvalue().split())
    assert f"{OURS}, 65,536 tokens" in said
    assert "2 h left" in said or "120 min left" in said
    assert "[y/N]" in said
    assert list(ollama.loaded) == left


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_unloaded_unasked(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    load(ollama, OURS, 65536)
    assert "--yes" in told(capsys, "engines", "stop", "ollama", status=2)["error"]["hint"]
    assert list(ollama.loaded) == [OURS]


def test_an_ollama_that_is_not_there_cannot_be_unloaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    told(capsys, "engines", "stop", "ollama", status=6)


def test_a_stop_without_a_name_asks_ollama_nothing(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    load(ollama, OURS, 65536)
    assert shown(capsys, "stop") == "no engine of ours was running\n"
    assert ollama.seen == []


# --- watch ---------------------------------------------------------------------------------


def test_watching_has_no_single_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "engines", "--watch"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["message"] == "--watch has no single JSON document"
    assert error["hint"].endswith("agentlaunch engines --json")


def test_a_download_in_the_background_is_told_with_its_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    me = process.identity()
    assert me is not None
    alive = {"pid": me.pid, "started": me.started, "log": "/logs/pull.log"}
    files.write_json(
        paths().state / "downloads.json",
        {"qwen3.6:35b": alive, "gone:1b": alive | {"started": "1"}},
    )
    data = told(capsys, "engines")["data"]
    assert data["downloads"] == [{"ref": "qwen3.6:35b", "pid": me.pid, "log": "/logs/pull.log"}]
    assert "downloading qwen3.6:35b in the background: /logs/pull.log" in shown(capsys)
