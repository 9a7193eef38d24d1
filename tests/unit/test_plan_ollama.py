"""A plan on Ollama: its store, its graphics, the context pinned in a tag of ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentlaunch import plan
from agentlaunch.agents.claude_code import AGENT
from agentlaunch.engines.base import Loaded
from agentlaunch.engines.ollama.client import Client
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.engines.ollama.replies import Tag, Version
from agentlaunch.engines.ollama.store import Store
from agentlaunch.errors import MachineCannot, ModelUnavailable, NotSupported
from agentlaunch.machine import simulate
from agentlaunch.models import catalog
from agentlaunch.models.refs import parse_ref
from agentlaunch.plan import (
    Derive,
    HandOver,
    LaunchPlan,
    Load,
    Places,
    Pull,
    StartEngine,
    Wish,
)
from agentlaunch.plan.ollama import smaller
from agentlaunch.survey import AgentState, Survey, Weights

CATALOG = catalog.load()
CLAUDE = AgentState(AGENT, Path("/usr/bin/claude"), "2.1.197", managed=False)
PLACES = Places(Path("/run/l"), Path("/data/homes"), "1-2.00", {})
LOCAL = Client("http://127.0.0.1:11434")
CODING = {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": 0.0, "presence_penalty": 0.0,
          "repeat_penalty": 1.0}  # fmt: skip


def tag(name: str, *, cloud: bool = False) -> Tag:
    return Tag(name, "sha256:1", 6_600_000_000, None, None, None, None, cloud)


def facts(*tags: Tag, version: str | None = "0.33.0", **changes: Any) -> OllamaFacts:
    numbers = tuple(int(part) for part in (version or "0.0.0").split("."))
    known = Version(version, (numbers[0], numbers[1], numbers[2])) if version else None
    return replace(OllamaFacts(LOCAL, known, tags), **changes)


def world(spec: str = "ram=32GiB,gpu=RTX 3060:12GiB") -> Survey:
    return Survey(simulate.load(spec), (), {"claude-code": CLAUDE}, CATALOG, (), False, None)


def make(seen: OllamaFacts, weights: Weights | None = None, **wish: Any) -> LaunchPlan:
    return plan.make_plan(world(), Wish(AGENT, **wish), PLACES, weights=weights, ollama=seen)


def listed(name: str) -> Weights:
    entry = CATALOG.find(name)
    assert entry is not None
    ref = parse_ref(name)
    return Weights(str(ref), ref, None, None, entry.variant.size_bytes, None, entry, "catalog")


def test_what_is_there_is_used_with_the_context_pinned() -> None:
    made = make(facts(tag("qwen3.5:9b")))
    assert made.model.id == "qwen3.5:9b"
    assert made.fit is not None
    assert made.fit.placement == "gpu"  # Ollama computes on the card, the embedded engine does not
    name = "qwen3.5:9b-64k-agentlaunch"
    assert made.steps == (
        StartEngine("ollama", reuse=True),
        Derive("qwen3.5:9b", name, 65_536, 512, CODING),
        Load(name, 65_536),
        HandOver("claude-code"),
    )
    assert (made.engine, made.url) == ("ollama", "http://127.0.0.1:11434")
    assert name in made.handover.argv
    assert made.warnings == ()


def test_what_is_missing_is_pulled_by_the_server_that_is_started_first() -> None:
    made = make(facts(version=None))
    kinds = [step.kind for step in made.steps]
    assert kinds == ["start-engine", "pull", "derive", "load", "hand-over"]
    assert made.steps[0] == StartEngine("ollama", reuse=False)
    assert isinstance(made.steps[1], Pull)
    assert made.steps[1].ref == made.model.id
    assert made.url is None  # it has no address yet


def test_an_installed_model_that_is_nearly_equal_is_taken() -> None:
    chosen = make(facts(tag("ornith:9b"), tag("qwen3.5:9b"))).model.candidate
    assert chosen is not None
    assert (chosen.id, chosen.installed) == ("qwen3.5:9b", True)


def test_what_ollama_holds_already_counts_as_free() -> None:
    held = Loaded("qwen3.5:9b-64k-agentlaunch", 65_536, 9 << 30, 9 << 30)
    full = world()
    card = replace(full.machine.gpus[0], vram_free_bytes=2 << 30)
    busy = replace(full, machine=replace(full.machine, gpus=(card,)))
    made = plan.make_plan(
        busy, Wish(AGENT), PLACES, ollama=facts(tag("qwen3.5:9b"), loaded=(held,))
    )
    assert made.fit is not None
    assert (made.model.id, made.fit.placement) == ("qwen3.5:9b", "gpu")
    assert any("holds qwen3.5:9b-64k-agentlaunch already" in line for line in made.because)


@pytest.mark.parametrize(
    ("seen", "wish", "weights", "text"),
    [
        (facts(), {"kv_cache": "q8_0"}, None, "setting of the Ollama server"),
        (facts(version="0.13.9"), {}, None, "speaks none of the wires"),
        (facts(tag("qwen3.5:9b", cloud=True)), {}, listed("qwen3.5:9b"), "runs in Ollama's cloud"),
        (facts(), {}, replace(listed("qwen3.5:9b"), ref=None), "does not load a file"),
    ],
)
def test_what_ollama_cannot_is_refused_with_the_way_out(
    seen: OllamaFacts, wish: dict[str, Any], weights: Weights | None, text: str
) -> None:
    with pytest.raises(NotSupported, match=text) as caught:
        make(seen, weights, **wish)
    assert caught.value.hint


def test_an_old_version_and_another_machine_are_warned_about() -> None:
    old = dict(make(facts(tag("qwen3.5:9b"), version="0.16.0")).warnings)
    assert "known security hole" in old["ollama-unsafe"]
    away = facts(tag("qwen3.5:9b"), client=Client("http://10.0.0.7:11434"))
    assert (
        dict(make(away).warnings)["remote-engine"]
        == "your code leaves this machine: it goes to http://10.0.0.7:11434"
    )


def test_less_context_is_tried_by_as_much_as_did_not_fit() -> None:
    made = make(facts(tag("qwen3.5:9b")))
    assert made.fit is not None
    assert made.fit.kv_bytes is not None
    per_token = made.fit.kv_bytes / 65_536
    little = smaller(made, 1)
    much = smaller(made, int(30_000 * per_token))
    assert little is not None
    assert much is not None
    assert (little.context.engine_tokens, much.context.engine_tokens) == (49_152, 32_768)
    assert much.steps[-3:] == (
        Derive("qwen3.5:9b", "qwen3.5:9b-32k-agentlaunch", 32_768, 512, CODING),
        Load("qwen3.5:9b-32k-agentlaunch", 32_768),
        HandOver("claude-code"),
    )
    assert much.context.agent_window_tokens == 32_768  # the agent is told what is true
    assert smaller(made, int(60_000 * per_token)) is None  # no agent works in so little
    assert smaller(made, None) == little


def test_a_context_that_was_asked_for_is_never_made_smaller() -> None:
    assert smaller(make(facts(tag("qwen3.5:9b")), context_tokens=65_536), None) is None


ELSEWHERE = Client("https://gpu.example:443", "key")


def test_on_a_server_elsewhere_nothing_is_sized_and_the_best_that_it_has_is_taken() -> None:
    there = facts(tag("qwen3.5:4b"), tag("qwen3.5:9b"), client=ELSEWHERE)
    made = make(there)
    assert made.model.id == "qwen3.5:9b"
    assert made.fit is not None
    assert (made.fit.verdict, made.fit.budget_bytes) == (None, None)
    assert made.context.engine_tokens == 65_536
    assert not any(isinstance(step, Pull) for step in made.steps)
    assert [code for code, _text in made.warnings] == ["remote-engine"]


def test_a_server_elsewhere_without_any_model_is_said() -> None:
    with pytest.raises(ModelUnavailable) as caught:
        make(facts(client=ELSEWHERE))
    assert caught.value.code == "nothing-served"


def test_ollama_on_the_windows_host_is_this_machine() -> None:
    near = facts(tag("qwen3.5:9b"), client=Client("http://172.20.0.1:11434"), on_windows_host=True)
    made = make(near)
    assert made.fit is not None
    assert made.fit.placement == "gpu"
    assert made.url == "http://172.20.0.1:11434"


def test_offline_the_best_of_what_is_downloaded_is_taken() -> None:
    there = facts(tag("qwen3.5:4b"))
    assert make(there).model.id != "qwen3.5:4b"
    made = make(there, offline=True)
    assert made.model.id == "qwen3.5:4b"
    assert not any(isinstance(step, Pull) for step in made.steps)
    nothing = make(facts(), offline=True)  # then the launch says what it cannot bring
    assert any(isinstance(step, Pull) for step in nothing.steps)


def test_a_model_larger_than_the_servers_disk_is_refused_with_figures_and_place() -> None:
    place = Path("/usr/share/ollama/.ollama/models")
    with pytest.raises(MachineCannot) as caught:
        make(facts(store=Store(place, free_bytes=10**9)), listed("qwen3.5:9b"))
    assert caught.value.code == "no-disk"
    assert f"in Ollama's store {place}, where 1.0 GB are free" in caught.value.message
    # A stopped download left most of it there: how much exactly, the pull itself asks.
    make(facts(store=Store(place, 10**9, partial_bytes=10**10)), listed("qwen3.5:9b"))
    make(facts(store=Store(place, free_bytes=None)), listed("qwen3.5:9b"))
    make(facts(store=None), listed("qwen3.5:9b"))
