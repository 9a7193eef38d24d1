"""Who serves where nobody asked for an engine: running, then installed, then the one we bring."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.agents.claude_code import AGENT
from agentlaunch.engines.base import EngineState, Loaded
from agentlaunch.engines.ollama.client import Client
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.engines.ollama.replies import Tag, Version
from agentlaunch.machine import simulate
from agentlaunch.models import catalog
from agentlaunch.models.refs import parse_ref
from agentlaunch.models.store import Store, StoredModel
from agentlaunch.plan import EngineChoice, Wish, choose_engine
from agentlaunch.survey import OllamaFault, Survey

CATALOG = catalog.load()
URL = "http://127.0.0.1:11434"
NEW = Version("0.33.0", (0, 33, 0))
OLD = Version("0.12.0", (0, 12, 0))
RUNNING, INSTALLED = OllamaFacts(Client(URL), NEW), OllamaFacts(Client(URL), None)
OURS = EngineState("embedded", "running", "1", URL, (), (Loaded("qwen3.5:9b", 65_536, None, None),))


def world(ollama: OllamaFacts | None, spec: str = "ram=32GiB", **more: Any) -> Survey:
    seen = Survey(simulate.load(spec), (), {}, CATALOG, (), False, ollama)
    return replace(seen, **more)


def chosen(survey: Survey, **wish: Any) -> str:
    return choose_engine(survey, Wish(AGENT, **wish)).name


def test_a_server_that_runs_is_taken_and_named() -> None:
    assert choose_engine(world(RUNNING), Wish(AGENT)) == EngineChoice(
        "ollama", f"Ollama 0.33.0 runs at {URL}"
    )


def test_one_that_is_installed_is_started_before_an_engine_is_brought() -> None:
    assert chosen(world(INSTALLED)) == "ollama"
    assert chosen(world(None)) == "embedded"


def test_an_engine_of_ours_that_runs_goes_before_one_that_would_be_started() -> None:
    assert chosen(world(INSTALLED, engines=(OURS,))) == "embedded"
    assert chosen(world(RUNNING, engines=(OURS,))) == "ollama"
    beside_a_card = world(INSTALLED, "ram=32GiB,gpu=RTX 3060:12GiB", engines=(OURS,))
    assert chosen(beside_a_card) == "ollama"  # ours would leave the card idle


@pytest.mark.parametrize("wish", [{"model": "./x.gguf"}, {"kv_cache": "q8_0"}])
def test_what_ollama_cannot_do_is_done_by_ours(wish: dict[str, str]) -> None:
    assert chosen(world(RUNNING), **wish) == "embedded"


def test_what_lies_here_is_not_downloaded_again_for_ollama() -> None:
    ref = parse_ref("qwen3.5:9b")
    stored = (StoredModel(ref, Path("w"), None, 1, Store(Path("s"), ours=True)),)
    assert chosen(world(RUNNING, stored=stored), model="qwen3.5:9b") == "embedded"
    tag = Tag("qwen3.5:9b", None, 1, None, None, None, None, cloud=False)
    there = replace(RUNNING, tags=(tag,))
    assert chosen(world(there, stored=stored), model="qwen3.5:9b") == "ollama"
    card = world(RUNNING, "ram=32GiB,gpu=RTX 3060:12GiB", stored=stored)
    assert chosen(card, model="qwen3.5:9b") == "ollama"


def test_one_without_the_wire_of_the_agent_is_passed_over_and_said() -> None:
    choice = choose_engine(world(replace(RUNNING, version=OLD)), Wish(AGENT))
    assert choice.name == "embedded"
    assert choice.warning is not None
    assert choice.warning[0] == "ollama-too-old"
    assert "0.12.0 is too old for Claude Code" in choice.warning[1]


def test_a_host_that_was_named_and_does_not_answer_is_said() -> None:
    fault = OllamaFault("nothing answers", "start it")
    choice = choose_engine(world(None, ollama_fault=fault), Wish(AGENT))
    assert choice == EngineChoice(
        "embedded",
        "no Ollama can be used here",
        ("ollama-unusable", "Ollama is not used: nothing answers (start it)"),
    )


def test_one_that_answers_and_is_in_trouble_is_no_reason_to_bring_another() -> None:
    fault = OllamaFault("too many requests waiting", answers=True)
    assert chosen(world(None, ollama_fault=fault)) == "ollama"


def test_models_that_we_downloaded_are_used_where_ollama_has_none() -> None:
    stored = (
        StoredModel(parse_ref("qwen3.5:9b"), Path("w"), None, 1, Store(Path("s"), ours=True)),
    )
    tag = Tag("qwen3.5:4b", None, 1, None, None, None, None, cloud=False)
    assert chosen(world(RUNNING, stored=stored)) == "embedded"
    assert chosen(world(replace(RUNNING, tags=(tag,)), stored=stored)) == "ollama"
    assert chosen(world(RUNNING, "ram=32GiB,gpu=RTX 3060:12GiB", stored=stored)) == "ollama"
