"""Servers by name: every word leads to one, every one can be moved, none is a surprise."""

from __future__ import annotations

import pytest

from agentlaunch import settings
from agentlaunch.endpoint import is_loopback
from agentlaunch.engines import presets
from agentlaunch.engines.presets import ALL, PRESETS, Preset, Target, resolve
from agentlaunch.engines.remote import normalized_url
from agentlaunch.errors import Refused, UsageError


def test_every_preset_has_the_setting_that_moves_it_and_no_setting_is_left_over() -> None:
    rows = {row.name for row in settings.SETTINGS if row.kind == "address"}
    assert rows == {preset.setting for preset in ALL} | {presets.HOSTED_SETTING}
    assert not [row for row in settings.SETTINGS if row.kind == "address" and row.project_may]


def test_no_word_means_two_servers() -> None:
    words = [word for row in ALL for word in (row.name, *row.aliases)]
    assert len(words) == len(set(words))
    assert not set(words) & set(presets.OWN)
    assert all(word == word.lower() for word in words)


@pytest.mark.parametrize("preset", ALL, ids=lambda row: row.name)
def test_a_preset_is_found_by_each_of_its_words_in_any_case(preset: Preset) -> None:
    for word in (preset.name, *preset.aliases):
        assert resolve(f" {word.upper()} ") == Target(preset.address, preset)
    assert normalized_url(preset.address) == preset.address
    assert preset.hosted != is_loopback(preset.address)
    assert preset.hosted == bool(preset.note) == bool(preset.wires)


def test_a_setting_moves_a_preset() -> None:
    moved = resolve("vllm", {"vllm_url": "https://gpu.example/v1/"})
    assert moved == Target("https://gpu.example", PRESETS["vllm"])
    assert resolve("vllm", {"vllm_url": None}).url == "http://127.0.0.1:8000"
    with pytest.raises(Refused):
        resolve("vllm", {"vllm_url": "http://169.254.169.254"})


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("http://127.0.0.1:8000", Target("http://127.0.0.1:8000")),
        ("https://gpu.example/v1/messages", Target("https://gpu.example")),
        ("https://openrouter.ai", Target("https://openrouter.ai/api", PRESETS["openrouter"])),
        ("https://openrouter.ai/api/v1",
         Target("https://openrouter.ai/api", PRESETS["openrouter"])),
        ("https://API.anthropic.com:443/v1/messages",
         Target("https://api.anthropic.com", PRESETS["anthropic"])),
        ("http://api.openai.com", Target("http://api.openai.com", PRESETS["openai"])),
        ("https://openrouter.ai./api", Target("https://openrouter.ai/api", PRESETS["openrouter"])),
        ("https://openrouter\u3002ai", Target("https://openrouter\u3002ai", PRESETS["openrouter"])),
        ("https://openrouter.ai.example", Target("https://openrouter.ai.example")),
    ],
)  # fmt: skip
def test_an_address_is_a_company_only_by_its_very_host(text: str, target: Target) -> None:
    assert resolve(text) == target


@pytest.mark.parametrize("word", ["hosted", "vllm", "openai"])
def test_a_companys_address_is_that_company_under_every_name(word: str) -> None:
    there = {f"{word}_url": "https://openrouter.ai/api"}
    assert resolve(word, there) == Target("https://openrouter.ai/api", PRESETS["openrouter"])


def test_a_company_without_tls_gets_no_key_of_its_own() -> None:
    assert resolve("http://api.openai.com").key_variables == ("AGENTLAUNCH_ENGINE_KEY",)


@pytest.mark.parametrize("text", ["", "vlm", "h:8000", "gpu.example", "//h"])
def test_what_is_neither_a_name_nor_an_address_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(text)
    assert caught.value.exit_code == 2
