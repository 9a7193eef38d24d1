"""`models show` on a saved reply of /api/show, and the picture that it draws for a person."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import schemas
from agentlaunch.cli import main
from gguf_writer import small_llama, write_gguf
from show_replies import reply_of

CARD = "gpu=RTX 4060 Laptop:8GiB,ram=32GiB"
CAPABILITIES = ("completion", "tools", "vision")


@pytest.fixture
def reply(tmp_path: Path) -> Path:
    path = tmp_path / "reply.json"
    path.write_text(json.dumps(reply_of(*small_llama(context=65536), capabilities=CAPABILITIES)))
    return path


def _json(capsys: pytest.CaptureFixture[str], *argv: str, status: int = 0) -> Any:
    assert main(["--json", *argv]) == status
    document = json.loads(capsys.readouterr().out)
    schemas.check(document)
    return document


def test_a_reply_is_sized_as_its_own_file_is(
    reply: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = write_gguf(tmp_path / "m.gguf", *small_llama(context=65536, template="{{ tools }}"))
    show = ("models", "show", "--simulate", CARD, "--context", "32768")
    told, read = (_json(capsys, *show, str(path))["data"] for path in (reply, header))
    assert (told["source"], read["source"]) == ("show-reply", "gguf")
    assert [told[key] for key in ("tools", "thinking", "vision")] == [True, False, True]
    assert told["fit"]["evidence"] == "exact"
    assert told["fit"]["installed"] is False
    same = [key for key in told["fit"] if key.endswith("_bytes") or key == "verdict"]
    assert {key: told["fit"][key] for key in same} == {key: read["fit"][key] for key in same}


def test_a_reply_without_tensors_is_an_estimate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = reply_of(*small_llama())
    del short["tensors"]
    path = tmp_path / "Short.JSON"
    path.write_text(json.dumps(short))
    data = _json(capsys, "models", "show", "--simulate", CARD, str(path))["data"]
    assert data["fit"]["evidence"] == "estimated"
    assert data["fit"]["total_bytes"] > 0


@pytest.mark.parametrize(
    "argv", [("up", "claude-code", "--dry-run", "--model"), ("models", "pull")]
)
def test_a_description_is_never_run(
    argv: tuple[str, ...],
    reply: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(reply.parent)
    assert main([*argv, reply.name]) == 7
    assert capsys.readouterr().err.splitlines()[0] == (
        "error: reply.json is a description of a model, not its weights"
    )


def test_garbage_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"\x00{")
    error = _json(capsys, "models", "show", str(path), status=1)["error"]
    assert error["code"] == "bad-show-reply"
    assert "verbose" in error["hint"]


@pytest.mark.parametrize("columns", [60, 100])
def test_a_person_sees_memory_against_context(
    columns: int, reply: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    show = ["models", "show", "--simulate", CARD, "--context", "16384", str(reply)]
    assert main(show) == 0
    drawn = capsys.readouterr().out.partition("memory by context:\n")[2].splitlines()
    assert [line.split("k ")[0].strip() for line in drawn[:4]] == ["8", "* 16", "32", "64"]
    assert max(map(len, drawn)) <= columns
    assert "█ weights  ▒ cache  ░ compute and overhead" in "\n".join(drawn)
    assert "memory by context" not in json.dumps(_json(capsys, *show))
