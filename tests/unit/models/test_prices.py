"""Prices: found by name, never guessed, and dated."""

from __future__ import annotations

import importlib.util
import json
from types import ModuleType

import pytest

from agentlaunch.models import prices
from agentlaunch.models.prices import Price
from places import CHECKOUT


def script() -> ModuleType:
    place = CHECKOUT / "scripts" / "refresh_prices.py"
    spec = importlib.util.spec_from_file_location("refresh_prices", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("anthropic", "claude-haiku-4-5"),
        ("anthropic", "claude-haiku-4-5-20251001"),
        ("openai", "gpt-5-mini-2025-08-07"),
        ("openrouter", "anthropic/claude-haiku-4.5"),
        ("openrouter", "openai/gpt-5-mini"),
        ("openrouter", "x/y:free"),
    ],
)
def test_a_model_that_is_known_has_a_price_with_its_source(kind: str, model: str) -> None:
    price = prices.find(kind, model)
    assert price is not None
    assert price.source
    assert 0 <= price.input_usd <= price.output_usd


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("anthropic", "claude-of-tomorrow"),
        ("anthropic", "gpt-5"),
        ("openrouter", "qwen/qwen3-coder"),
        ("vllm", "claude-haiku-4-5"),
        ("openai", ""),
        ("", "x"),
    ],
)
def test_what_is_not_known_has_none(kind: str, model: str) -> None:
    assert prices.find(kind, model) is None


def test_cached_input_costs_less_and_unknown_discounts_count_as_none() -> None:
    assert Price(2.0, 10.0, 0.5).of(1_000_000, 400_000, 100_000) == pytest.approx(1.2 + 0.2 + 1.0)
    assert Price(2.0, 10.0).of(1_000_000, 400_000, 0) == pytest.approx(2.0)
    assert Price(2.0, 10.0).of(0, 5, 0) >= 0


def test_the_same_weights_are_named_and_the_rest_is_said_to_be_a_reference() -> None:
    same, other = prices.equivalent("gpt-oss:120b"), prices.equivalent("lfm2.5:8b")
    assert same.same
    assert "gpt-oss-120b" in same.name
    assert not other.same
    assert other.price == prices.equivalent("qwen3-coder:30b").price


def test_the_reference_is_the_cheapest_coding_model_of_the_table() -> None:
    table = json.loads((CHECKOUT / "src/agentlaunch/models/prices.json").read_text())
    coders = {name: row for name, row in table["sold"].items() if "coder" in name}
    assert min(coders, key=lambda name: coders[name]["output_usd"]) == table["reference"]


def test_the_table_is_sound_and_the_check_finds_what_is_not() -> None:
    module = script()
    table = json.loads((CHECKOUT / "src/agentlaunch/models/prices.json").read_text())
    assert module.faults(table) == []
    table["sold"]["no:model"] = table["sold"].pop("gpt-oss:20b") | {"input_usd": -1.0}
    assert len(module.faults(table)) == 3


def test_a_table_is_made_of_what_agents_can_use() -> None:
    module = script()
    row = {"litellm_provider": "openai", "mode": "chat", "supports_function_calling": True,
           "input_cost_per_token": 1e-6, "output_cost_per_token": 4e-6,
           "cache_read_input_token_cost": 0.0}  # fmt: skip
    given = dict.fromkeys(module.SOLD.values(), row)
    given |= {"gpt-9": row, "gpt-9-audio": row, "ft:gpt-9": row, "gpt-3.5-turbo": row}
    given["gpt-9-dumb"] = row | {"supports_function_calling": False}
    made = module.table(given, "2026-01-01")
    assert made["served"] == {"openai": {"gpt-9": {"input_usd": 1.0, "output_usd": 4.0}}}
    assert set(made["sold"]) == set(module.SOLD)
