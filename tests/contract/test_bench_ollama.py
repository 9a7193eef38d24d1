"""`bench` on Ollama: loaded as a launch would, timed by the clock, kept for the estimates."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

import bench_server
import ollama_server
import schemas
from agentlaunch.cli import main
from ollama_server import Fault, OllamaServer

STREAM = b"".join(
    bench_server.chat({"messages": [{"content": ""}]}, words=40, prompt_tokens=600).pieces
)


@pytest.fixture
def ollama(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    """A server with one model, whose chat always says that it read 600 tokens."""
    with ollama_server.running() as fake:
        monkeypatch.setenv("OLLAMA_HOST", fake.url)
        monkeypatch.setenv("AGENTLAUNCH_ENGINE", "ollama")
        fake.add("qwen3.5:2b", size=10**7, capabilities=("completion", "tools"))
        fake.trained_tokens = 262_144
        answer = Fault(body=STREAM, headers=(("content-type", "text/event-stream"),))
        fake.fault("/v1/chat/completions", *[answer] * 100)
        yield fake


def test_a_model_is_loaded_measured_and_reckoned_with(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "qwen3.5:2b", "--context", "32768", "--runs", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    schemas.check(document)
    data = document["data"]
    assert (data["model"], data["engine"]) == ("qwen3.5:2b", "ollama")
    assert (data["engine_version"], data["method"], data["stored"]) == ("0.33.0", "clock", True)
    assert data["memory"]["measured_bytes"] == 10**7 + 32_768 * 100
    assert list(ollama.loaded) == ["qwen3.5:2b-32k-agentlaunch"]
    assert main(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["data"]["candidates"]
    (row,) = [row for row in rows if row["id"] == "qwen3.5:2b"]
    assert "measured on this machine by `agentlaunch bench`" in row["because"]


def test_nothing_is_pulled_to_be_measured(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "qwen3.5:4b", "--context", "32768"]) == 7
    assert "agentlaunch models pull qwen3.5:4b" in capsys.readouterr().err
    assert main(["bench", "qwen3.5:4b", "--offline", "--context", "32768"]) == 7
    assert ollama.bodies("/api/pull") == []
