"""A window too small for every prompt of an agent: each planner names a lighter one, in figures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from agentlaunch import plan
from agentlaunch.agents import AGENTS
from agentlaunch.agents.claude_code import AGENT
from agentlaunch.engines.ollama.client import Client
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.engines.ollama.replies import Tag, Version
from agentlaunch.engines.remote import ALL_WIRES, RemoteFacts, RemoteModel
from agentlaunch.machine import simulate
from agentlaunch.models import catalog
from agentlaunch.models.refs import parse_ref
from agentlaunch.plan import LaunchPlan, Places, Wish
from agentlaunch.survey import AgentState, Survey, Weights

CATALOG = catalog.load()
CLAUDE = AgentState(AGENT, Path("/usr/bin/claude"), "2.1.197", managed=False)
PLACES = Places(Path("/run/l"), Path("/data/homes"), "1-2", {})
MODEL = "qwen3.5:9b"
TAG = Tag(MODEL, "sha256:1", 6_600_000_000, None, None, None, None, False)
WAY = re.compile(
    r"; a lighter agent: `agentlaunch up (\S+)` works from ([\d,]+) tokens on "
    r"\(its first request takes ([\d,]+)\)"
)


def listed() -> Weights:
    entry = CATALOG.get(MODEL)
    size = entry.variant.size_bytes
    return Weights(MODEL, parse_ref(MODEL), None, None, size, None, entry, "catalog")


def served_by(engine: str, tokens: int) -> dict[str, Any]:
    """What stands for an engine in a plan; Ollama and ours are asked for so many tokens."""
    if engine == "remote":
        model = RemoteModel("m", tokens)
        return {"remote": RemoteFacts("http://127.0.0.1:8000", "vllm", ALL_WIRES, (model,))}
    if engine == "ollama":
        version = Version("0.33.0", (0, 33, 0))
        ollama = OllamaFacts(Client("http://127.0.0.1:11434"), version, (TAG,))
        return {"ollama": ollama, "weights": listed()}
    return {"weights": listed()}


def make(engine: str, tokens: int, **more: Any) -> LaunchPlan:
    machine = simulate.load("ram=32GiB,gpu=RTX 3060:12GiB")
    survey = Survey(machine, (), {AGENT.name: CLAUDE}, CATALOG, (), True, None)
    model = "m" if engine == "remote" else MODEL
    wish = Wish(AGENT, model=model, context_tokens=tokens, **more)
    return plan.make_plan(survey, wish, PLACES, **served_by(engine, tokens))


@pytest.mark.parametrize("engine", ["embedded", "ollama", "remote"])
@pytest.mark.parametrize("tokens", [16_384, AGENT.min_context_tokens - 1_024])
def test_a_window_too_small_for_every_prompt_names_the_lighter_agent(
    engine: str, tokens: int
) -> None:
    text = dict(make(engine, tokens).warnings)["small-context"]
    assert text.startswith(f"a context of {tokens:,} tokens is small for this agent: ")
    found = WAY.search(text)
    assert found is not None, text
    other = AGENTS[found[1]]
    figures = (other.min_context_tokens, other.tiers[-1].interactive_tokens)
    assert found.groups()[1:] == tuple(f"{figure:,}" for figure in figures)
    assert figures[0] <= tokens < AGENT.min_context_tokens


@pytest.mark.parametrize("engine", ["embedded", "ollama", "remote"])
def test_a_window_that_carries_the_slim_prompt_is_no_reason_to_change_the_agent(
    engine: str,
) -> None:
    made = make(engine, AGENT.min_context_tokens)
    assert made.context.tier.name == "slim"
    assert "small-context" not in dict(made.warnings)


@pytest.mark.parametrize("engine", ["embedded", "ollama", "remote"])
def test_where_no_agent_is_light_enough_none_is_named(engine: str) -> None:
    text = dict(make(engine, 4_096).warnings)["small-context"]
    assert "lighter" not in text
