"""`agentlaunch models show` and `pull`, without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentlaunch import files
from agentlaunch.cli import main
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
