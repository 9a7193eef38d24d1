"""How a model wants to be asked: the shipped table, and what a name finds in it."""

from __future__ import annotations

import json

import pytest

from agentlaunch.models import catalog, sampling
from agentlaunch.models.sampling import UNKNOWN, Sampling, Thinking, Tuning, for_model

CODING = Sampling(
    temperature=0.6, top_p=0.95, top_k=20, min_p=0.0, presence_penalty=0.0, repeat_penalty=1.0
)


def test_every_row_names_its_source_and_a_model_of_the_catalog() -> None:
    rows = json.loads(sampling.DATA_FILE.read_bytes())["models"]
    ids = [model.id for model in catalog.load().models]
    for row in rows:
        assert "sampling" in row or "thinking" in row
        assert row["read"] > "2026-01-01"
        for told in (part for part in (row, row.get("thinking")) if part is not None):
            assert "sampling" not in told or told["source"].startswith("https://"), row["names"]
        if "thinking" in row:
            assert row["thinking"]["source"].startswith("https://")
        for name in row["names"]:
            assert any(model == name or model.startswith(f"{name}:") for model in ids), name
    names = [name for row in rows for name in row["names"]]
    assert len(names) == len(set(names))


def test_values_are_in_the_ranges_of_their_names() -> None:
    for name, tuning in sampling.load().items():
        values = tuning.parameters
        assert 0 < values.get("temperature", 1) <= 2, name  # greedy makes loops worse
        assert 0 < values.get("top_p", 1) <= 1, name
        assert 0 <= values.get("min_p", 0) < 1, name
        assert values.get("top_k", 0) >= 0, name
        assert -2 <= values.get("presence_penalty", 0) <= 2, name
        assert 0.5 <= values.get("repeat_penalty", 1) <= 2, name


@pytest.mark.parametrize(
    "name",
    [
        "qwen3.6:27b",
        "qwen3.6",
        "QWEN3.6:27b-q8_0",
        "library/qwen3.6:35b",
        "qwen3.6:27b-64k-agentlaunch",
    ],
)
def test_a_family_covers_its_builds_and_our_tags(name: str) -> None:
    assert for_model(name).sampling == CODING


@pytest.mark.parametrize(
    "name",
    ["qwen3-vl:8b", "hf.co/unsloth/qwen3.6:27b", "someone/qwen3.6:27b", "qwen3.6.gguf", "../x", ""],
)
def test_who_only_shares_a_name_gets_nothing(name: str) -> None:
    assert for_model(name) == UNKNOWN


def test_the_longest_name_wins() -> None:
    assert for_model("qwen3:4b-instruct-q8_0").parameters["temperature"] == 0.7
    assert for_model("qwen3:4b").parameters["temperature"] == 0.6
    assert for_model("qwen3-coder-next:q4_K_M").parameters["top_k"] == 40
    assert for_model("qwen3-coder:30b").parameters["top_k"] == 20


def test_a_model_that_calls_tools_only_without_thinking_is_not_to_think() -> None:
    tuning = for_model("deepseek-v3.1:671b")
    assert tuning.thinking_off
    assert tuning.reasons[-1].startswith("thinking is switched off: ")
    assert not for_model("gpt-oss:20b").thinking_off
    assert not UNKNOWN.thinking_off


def test_what_is_known_as_data_and_in_words() -> None:
    thinking = Thinking("on", False, None, "https://x")
    tuning = Tuning(Sampling(temperature=0.5, top_k=0), "all uses", "https://y", thinking)
    assert tuning.as_json() == {
        "sampling": {"temperature": 0.5, "top_k": 0, "mode": "all uses", "source": "https://y"},
        "thinking_mode": {
            "default": "on",
            "can_disable": False,
            "off_for_agents": None,
            "source": "https://x",
        },
    }
    assert tuning.reasons == ("sampling advised for it (all uses): temperature 0.5, top_k 0",)
    assert UNKNOWN.as_json() == {"sampling": None, "thinking_mode": None}
    assert UNKNOWN.reasons == ()
