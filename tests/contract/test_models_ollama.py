"""`agentlaunch models` on an Ollama: its own store beside the catalog, the cloud told apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import ollama_server
import schemas
from agentlaunch.cli import main
from gguf_writer import small_llama
from ollama_server import OllamaServer

TOOLS = ("completion", "tools")


@pytest.fixture
def ollama(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    with ollama_server.running() as fake:
        monkeypatch.setenv("OLLAMA_HOST", fake.url)
        monkeypatch.setenv("AGENTLAUNCH_ENGINE", "ollama")
        fake.add("own:7b", capabilities=(*TOOLS, "thinking"))
        fake.shapes[fake.models["own:7b"].weights] = small_llama(context=131_072)
        fake.add("qwen3.5:4b", capabilities=TOOLS)
        fake.add("remote:7b", remote_host="https://ollama.com:443", capabilities=TOOLS)
        fake.add("glm-5:cloud", capabilities=TOOLS)
        yield fake


def answer(capsys: pytest.CaptureFixture[str], *argv: str, status: int = 0) -> Any:
    assert main(["--json", "--offline", *argv]) == status
    document = json.loads(capsys.readouterr().out)
    schemas.check(document)
    return document


def test_its_store_is_ranked_with_the_catalog_and_the_cloud_is_told_apart(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    data = answer(capsys, "models")["data"]
    here = {row["id"]: row for row in data["candidates"] if row["installed"]}
    assert sorted(here) == ["own:7b", "qwen3.5:4b"]
    assert (here["own:7b"]["evidence"], here["own:7b"]["score"]) == ("exact", None)
    assert [row["id"] for row in data["cloud"]] == ["remote:7b", "glm-5:cloud"]
    assert data["pick"] not in {"own:7b", "remote:7b", "glm-5:cloud"}


def test_the_table_shows_what_is_here_and_names_the_cloud(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "--offline"]) == 0
    said = capsys.readouterr()
    whole = said.out + said.err
    assert "own:7b" in whole
    assert "in Ollama's cloud, not on this machine, so never chosen: remote:7b, glm-5:cloud" in (
        whole
    )


def test_what_could_not_be_described_is_said(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    del ollama.shapes[ollama.models["own:7b"].weights]
    document = answer(capsys, "models")
    assert [row for row in document["warnings"] if row["code"] == "not-described"] == [
        {
            "code": "not-described",
            "message": "not ranked: what Ollama says of own:7b does not tell a size",
        }
    ]


def test_a_model_that_only_ollama_has_is_shown_from_what_it_says(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    data = answer(capsys, "models", "show", "own:7b")["data"]
    assert (data["source"], data["tools"], data["thinking"], data["vision"]) == (
        "ollama", True, True, False,
    )  # fmt: skip
    assert (data["architecture"], data["context_max_tokens"]) == ("llama", 131_072)
    assert (data["fit"]["installed"], data["fit"]["evidence"]) == (True, "exact")


def test_an_installed_model_of_the_catalog_keeps_its_scores_and_gets_an_exact_size(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    ollama.shapes[ollama.models["qwen3.5:4b"].weights] = small_llama(context=131_072)
    data = answer(capsys, "models", "show", "qwen3.5:4b")["data"]
    assert data["fit"]["evidence"] == "exact"
    assert data["fit"]["score"] is not None
    assert data["problems"]


def test_what_ollama_cannot_tell_of_a_model_of_the_catalog_is_taken_from_there(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    data = answer(capsys, "models", "show", "qwen3.5:4b")["data"]
    assert (data["source"], data["fit"]["evidence"]) == ("catalog", "estimated")


@pytest.mark.parametrize("name", ["glm-5:cloud", "never-heard-of:120b-cloud", "remote:7b"])
@pytest.mark.parametrize("command", [("models", "show"), ("up", "claude-code", "--model")])
def test_a_model_of_the_cloud_is_refused_installed_or_not(
    ollama: OllamaServer,
    name: str,
    command: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    more = ["--dry-run"] if command[0] == "up" else []
    error = answer(capsys, *command, name, *more, status=5)["error"]
    assert error["code"] == "cloud-model"
    assert error["message"] == f"{name} runs in Ollama's cloud, not here"
    assert ollama.bodies("/api/pull") == []
