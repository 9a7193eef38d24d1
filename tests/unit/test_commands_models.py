"""`agentlaunch models show` and `pull`, without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

from agentlaunch import files
from agentlaunch.cli import main
from agentlaunch.machine import simulate
from agentlaunch.models.refs import parse_ref
from agentlaunch.models.store import Store
from agentlaunch.settings import paths
from gguf_writer import small_llama, write_gguf
from registry_server import digest_of, layer_row


def _put(store: Store, name: str, folder: Path) -> None:
    data = write_gguf(folder / "m.gguf", *small_llama(template="{{ tools }}")).read_bytes()
    files.write_atomic(store.blob_path(digest_of(data)), data)
    manifest = json.dumps({"layers": [layer_row("model", data)]}).encode()
    files.write_atomic(store.manifest_path(parse_ref(name)), manifest)
    (store.root / "manifests").chmod(0o755)


def _json(capsys: pytest.CaptureFixture[str], *argv: str, status: int = 0) -> Any:
    assert main(["--json", "--offline", *argv]) == status
    return json.loads(capsys.readouterr().out)


def test_a_model_says_which_store_it_lies_in(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _put(Store(paths().models, ours=True), "mine:t", tmp_path)
    _put(Store(home / ".ollama" / "models", ours=False), "theirs:t", tmp_path)
    sources = [
        _json(capsys, "models", "show", name)["data"]["source"]
        for name in ("mine:t", "theirs:t", "qwen3.5:9b", str(tmp_path / "m.gguf"))
    ]
    assert sources == ["registry", "ollama", "catalog", "gguf"]


def test_a_model_of_the_catalog_says_what_it_is_good_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "show", "qwen3.5:9b", "--offline"]) == 0
    out = capsys.readouterr().out
    data = _json(capsys, "models", "show", "qwen3.5:9b")["data"]
    assert data["strengths"] in out
    assert f"{data['licence']}, released {data['released']}" in out


def test_a_pull_offline_says_so_and_names_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    error = _json(capsys, "models", "pull", "127.0.0.1:9/ns/m:t", status=7)["error"]
    assert error["code"] == "offline"
    assert error["hint"] == "run the same command once without --offline"


def test_a_pull_offline_of_what_is_here_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _put(Store(paths().models, ours=True), "mine:t", tmp_path)
    assert _json(capsys, "models", "pull", "mine:t")["event"] == "done"


@pytest.mark.parametrize("argv", [("models", "pull"), ("models", "pull", "x", "--nonsense")])
def test_an_error_before_a_pull_begins_is_one_line_too(
    argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*argv, "--json"]) == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["error"]["code"] == "usage"


def _facts(folder: Path, **values: int) -> str:
    gib = 1 << 30
    data = {
        "platform": "linux",
        "machine": "x86_64",
        "commands": [],
        "files": {},
        "env": {},
        "values": {"ram_bytes": 16 * gib, "ram_free_bytes": 16 * gib, "cores": 8} | values,
    }
    file = folder / "facts.json"
    file.write_text(json.dumps(data))
    return str(file)


def test_what_is_short_right_now_is_a_warning_that_names_the_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = _facts(tmp_path, ram_free_bytes=1 << 30)
    for argv in (("models",), ("models", "show", "qwen3.5:4b")):
        (warning,) = _json(capsys, *argv, "--simulate", facts)["warnings"]
        assert warning["code"] == "memory-short-now"
        assert "MiB more are needed free" in warning["message"]


def test_a_context_beyond_the_training_is_sized_as_asked_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = write_gguf(tmp_path / "own.gguf", *small_llama(template="{{ tools }}"))
    found = _json(capsys, "models", "show", str(own), "--context", "100000")
    assert found["data"]["fit"]["context_tokens"] == 100_096
    assert "context-beyond-training" in [row["code"] for row in found["warnings"]]


def test_a_server_of_somebody_else_has_a_machine_that_is_not_known(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTLAUNCH_ENGINE", "http://10.9.9.9:8000")
    found = _json(capsys, "models")
    assert found["data"]["machine"] == {
        "os": None, "arch": None, "cpu": None, "cores": None, "ram_bytes": None,
        "ram_free_bytes": None, "ram_limit_bytes": None, "disk_free_bytes": None,
        "unified_memory": False, "wsl": False, "gpus": [], "notes": [],
    }  # fmt: skip
    assert found["data"]["pick"] is None
    assert {row["verdict"] for row in found["data"]["candidates"]} == {None}
    assert [row["code"] for row in found["warnings"]] == ["remote-engine"]
    shown = _json(capsys, "models", "show", "qwen3.5:4b")["data"]["fit"]
    assert (shown["verdict"], shown["budget_bytes"]) == (None, None)


def test_a_file_that_tells_no_tensors_has_no_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metadata, _tensors = small_llama(template="{{ tools }}")
    empty = write_gguf(tmp_path / "empty.gguf", metadata, [])
    fit = _json(capsys, "models", "show", str(empty))["data"]["fit"]
    names = ("verdict", "weights_bytes", "weights_gpu_bytes", "total_bytes")
    assert [fit[name] for name in names] == [None] * 4


def test_a_simulated_machine_says_what_its_graphics_count_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["models", "--simulate", "ram=32GiB,gpu=RTX 4090:24GiB"]) == 0
    said = capsys.readouterr().err
    assert "counts on an engine that computes on the graphics" in said
    assert "next:" not in said  # what stands here is another machine's


def test_the_next_command_launches_what_the_table_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--offline", "--context", "40960", "--kv-cache", "q8_0"]) == 0
    said = capsys.readouterr().err
    assert "next: agentlaunch up claude-code --context 40960 --kv-cache q8_0" in said


def test_a_card_that_nothing_here_would_use_is_said_with_what_would_use_it(
    capsys: pytest.CaptureFixture[str], mocker: MockerFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AGENTLAUNCH_ENGINE")
    mocker.patch("agentlaunch.survey.seek_ollama", return_value=(None, None))
    machine = simulate.load("ram=32GiB,gpu=RTX 3060:12GiB")
    mocker.patch("agentlaunch.survey.probe.probe", return_value=machine)
    (warning,) = [
        row for row in _json(capsys, "models")["warnings"] if row["code"] == "idle-graphics"
    ]
    assert "leaves the RTX 3060 idle" in warning["message"]
    assert "install it: curl -fsSL https://ollama.com/install.sh | sh" in warning["message"]
