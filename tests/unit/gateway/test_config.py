"""LiteLLM's configuration as a value: groups, chains, keys by name, and what it may contact."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentlaunch.endpoint import is_loopback
from agentlaunch.engines.presets import Kind
from agentlaunch.gateway import config
from agentlaunch.gateway.spec import Hop, Role, Spec
from agentlaunch.models.prices import Price

LOCAL = Hop("local", "http://127.0.0.1:11434", "qwen", "ollama", 32_768)
HOSTED = Hop("hosted", "http://gpu.lan:8000", "big", "vllm", 131_072, token="sk-hosted")
ROUTED = Hop(
    "openrouter",
    "https://openrouter.ai/api",
    "qwen/qwen3-coder",
    "openrouter",
    262_144,
    token="sk-or",
    price=Price(0.3, 1.2),
    managed=True,
)
BOTH = Spec({"main": (HOSTED, LOCAL, ROUTED), "small": (LOCAL, HOSTED)})


def groups(spec: Spec) -> dict[str, dict[str, Any]]:
    rows = config.document(spec)["model_list"]
    found = {row["model_name"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def routing(spec: Spec) -> dict[str, Any]:
    settings = config.document(spec)["router_settings"]
    assert isinstance(settings, dict)
    return settings


def test_each_endpoint_has_a_group_of_its_own_and_the_first_one_the_names_of_the_role() -> None:
    assert {name: row["model_info"]["id"] for name, row in groups(BOTH).items()} == {
        "al-main": "main.1.hosted",
        "al-main-1": "main.1.hosted.alone",
        "al-main-2": "main.2.local",
        "al-main-3": "main.3.openrouter",
        "al-small": "small.1.local",
        "al-small-1": "small.1.local.alone",
        "al-small-2": "small.2.hosted",
    }


def test_a_deployment_names_its_key_and_waits_as_long_as_its_endpoint_may_be_silent() -> None:
    assert groups(BOTH)["al-main"] == {
        "model_name": "al-main",
        "litellm_params": {
            "model": "hosted_vllm/big",
            "api_base": "http://gpu.lan:8000/v1",
            "api_key": "os.environ/AL_KEY_1",
            "timeout": 600,
            "stream_timeout": 60,
            "use_chat_completions_api": True,
        },
        "model_info": {"id": "main.1.hosted"},
    }
    patient = dataclasses.replace(HOSTED, limit_s=900)
    params = groups(Spec({"main": (patient,)}))["al-main"]["litellm_params"]
    assert (params["timeout"], params["stream_timeout"]) == (900, 900)


def test_a_failure_goes_along_the_chain_and_a_long_prompt_to_the_smallest_that_is_larger() -> None:
    assert routing(BOTH) == {
        "enable_pre_call_checks": True,  # of LOCAL, an Ollama
        "num_retries": 0,
        "allowed_fails": 0,
        "cooldown_time": 20,
        "fallbacks": [
            {"al-main": ["al-main-2", "al-main-3"]},
            {"al-small": ["al-small-2"]},
            {"claude-haiku-4-5-20251001": ["al-small-2"]},
        ],
        "context_window_fallbacks": [
            {"al-main": ["al-main-3"]},
            {"al-small": ["al-small-2"]},
            {"claude-haiku-4-5-20251001": ["al-small-2"]},
        ],
        "model_group_alias": {"claude-haiku-4-5-20251001": "al-small"},
    }


def test_a_long_prompt_tries_the_larger_ones_in_the_order_of_their_size() -> None:
    spec = Spec({"main": (LOCAL, ROUTED, HOSTED), "small": (HOSTED, LOCAL)})
    assert routing(spec)["context_window_fallbacks"] == [{"al-main": ["al-main-3", "al-main-2"]}]


def test_one_endpoint_alone_has_no_fallback_and_nothing_is_a_fallback_for_everything() -> None:
    settings = routing(Spec({"main": (LOCAL,)}))
    assert (settings["fallbacks"], settings["context_window_fallbacks"]) == ([], [])
    assert "default_fallbacks" not in config.text(BOTH)
    asked = {name for row in routing(BOTH)["fallbacks"] for name in row}
    assert not asked & {"al-main-1", "al-main-2", "al-main-3", "al-small-1", "al-small-2"}


def test_small_work_goes_along_the_main_chain_where_it_has_none() -> None:
    found = groups(Spec({"main": (HOSTED, LOCAL)}))
    assert found["al-small"]["litellm_params"] == found["al-main"]["litellm_params"]
    assert found["al-small-2"]["model_info"]["id"] == "small.2.local"


@pytest.mark.parametrize(
    ("kind", "base_url", "model", "api_base"),
    [
        ("llama.cpp", "http://h:1", "hosted_vllm/m", "http://h:1/v1"),
        ("vllm", "http://h:1", "hosted_vllm/m", "http://h:1/v1"),
        ("ollama", "http://h:1", "hosted_vllm/m", "http://h:1/v1"),
        ("lm-studio", "http://h:1", "hosted_vllm/m", "http://h:1/v1"),
        ("llama-swap", "http://h:1", "hosted_vllm/m", "http://h:1/v1"),
        ("litellm", "http://h:1", "hosted_vllm/m", "http://h:1/v1"),
        ("unknown", "http://h:1", "hosted_vllm/m", "http://h:1/v1"),
        ("docker-model-runner", "http://h:1", "hosted_vllm/m", "http://h:1/engines/v1"),
        ("docker-model-runner", "http://h:1/engines", "hosted_vllm/m", "http://h:1/engines/v1"),
        ("openrouter", "https://h/api", "openrouter/m", "https://h/api/v1"),
        ("openai", "https://h", "openai/m", "https://h/v1"),
        ("anthropic", "https://h", "anthropic/m", "https://h"),
    ],
)
def test_each_kind_of_server_is_asked_in_its_own_way(
    kind: Kind, base_url: str, model: str, api_base: str
) -> None:
    row = groups(Spec({"main": (Hop("h", base_url, "m", kind, 8_192),)}))["al-main"]
    assert (row["litellm_params"]["model"], row["litellm_params"]["api_base"]) == (model, api_base)
    assert ("use_chat_completions_api" in row["litellm_params"]) == (kind != "anthropic")


def test_a_server_that_has_the_messages_wire_alone_is_asked_by_it() -> None:
    hop = Hop("h", "http://h:1", "m", "unknown", 8_192, wires=("anthropic_messages",))
    params = groups(Spec({"main": (hop,)}))["al-main"]["litellm_params"]
    assert (params["model"], params["api_base"]) == ("anthropic/m", "http://h:1")


def test_no_secret_is_in_the_file_and_each_one_has_one_variable() -> None:
    assert "sk-" not in config.text(BOTH)
    found = config.environment(BOTH)
    keys = {name: value for name, value in found.items() if name.startswith("AL_KEY")}
    assert keys == {"AL_KEY_1": "sk-hosted", "AL_KEY_2": "sk-or"}
    assert groups(BOTH)["al-small-2"]["litellm_params"]["api_key"] == "os.environ/AL_KEY_1"
    assert groups(BOTH)["al-main-2"]["litellm_params"]["api_key"] == "none"


def test_litellm_gets_little_of_the_users_environment_and_no_proxy_before_this_machine() -> None:
    given = {
        "PATH": "/bin", "HOME": "/home/u", "DATABASE_URL": "", "HOST": "0.0.0.0", "PORT": "1",
        "OPENAI_API_KEY": "sk-user", "ANTHROPIC_BASE_URL": "http://x", "LITELLM_LOG": "DEBUG",
        "HTTPS_PROXY": "http://proxy:3128", "no_proxy": "intern.lan, localhost",
    }  # fmt: skip
    around = "intern.lan,localhost,127.0.0.1,::1"
    assert config.child_environment(BOTH, given) == {
        "PATH": "/bin",
        "HOME": "/home/u",
        "HTTPS_PROXY": "http://proxy:3128",
        "NO_PROXY": around,
        "no_proxy": around,
        **config.OFFLINE,
        "AL_KEY_1": "sk-hosted",
        "AL_KEY_2": "sk-or",
    }


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(BOTH, cap_usd=5.0),
        dataclasses.replace(BOTH, cap_usd=5.0, cap_origin="/etc/x"),
        dataclasses.replace(BOTH, routing="auto"),
        Spec({"main": (HOSTED, LOCAL), "small": (LOCAL, HOSTED)}),
        Spec({**BOTH.chains, "small": (HOSTED, LOCAL)}),
        Spec({**BOTH.chains, "small": (LOCAL, dataclasses.replace(HOSTED, token="sk-2"))}),
        Spec({**BOTH.chains, "small": (LOCAL, dataclasses.replace(HOSTED, limit_s=5))}),
        Spec({**BOTH.chains, "small": (dataclasses.replace(LOCAL, price=Price(1, 2)), HOSTED)}),
        Spec({**BOTH.chains, "small": (dataclasses.replace(LOCAL, managed=True), HOSTED)}),
    ],
)
def test_whatever_changes_is_another_gateway(other: Spec) -> None:
    assert config.fingerprint(other) != config.fingerprint(BOTH)
    again = Spec(dict(reversed(list(BOTH.chains.items()))))
    assert config.fingerprint(again) == config.fingerprint(BOTH)


def test_every_host_of_the_file_is_told_and_a_local_chain_has_this_machine_alone() -> None:
    assert config.hosts(config.document(BOTH)) == ("127.0.0.1", "gpu.lan", "openrouter.ai")
    local = config.document(Spec({"main": (LOCAL, dataclasses.replace(LOCAL, name="embedded"))}))
    assert all(is_loopback(f"http://{host}") for host in config.hosts(local))
    addresses = [part for part in json.dumps(local).split('"') if "://" in part]
    assert addresses
    assert all(is_loopback(address) for address in addresses)


def test_automatic_routing_puts_litellms_router_in_the_place_of_the_main_group() -> None:
    spec = dataclasses.replace(BOTH, routing="auto")
    found = groups(spec)
    assert found["al-main"]["litellm_params"] == {
        "model": "auto_router/complexity_router",
        "complexity_router_default_model": "al-main-1",
        "complexity_router_config": {
            "tiers": {
                "SIMPLE": "al-small",
                "MEDIUM": "al-main-1",
                "COMPLEX": "al-main-1",
                "REASONING": "al-main-1",
            },
            "session_affinity": True,
        },
    }
    assert found["al-main-1"]["model_info"]["id"] == "main.1.hosted"
    behind = {row: names for each in routing(spec)["fallbacks"] for row, names in each.items()}
    main = [f"al-main-{at}" for at in range(1, len(BOTH.chains["main"]) + 1)]
    assert behind["al-main"] == main
    assert behind["al-small"] == ["al-small-2", *main]
    assert set(found) == set(groups(BOTH))


def test_the_hooks_are_told_every_deployment_and_every_name() -> None:
    place = Path("/state")
    facts = config.facts(
        dataclasses.replace(BOTH, cap_usd=5.0, cap_origin="/etc/x"),
        events=place / "events.jsonl",
        status=place / "status.json",
        leases=place / "leases",
        idle_s=60.0,
    )
    ids = {row["model_info"]["id"] for row in config.document(BOTH)["model_list"]}
    assert set(facts["hops"]) == ids
    assert set(facts["alone"].values()) <= ids
    assert facts["hops"]["main.3.openrouter"] == {
        "name": "openrouter",
        "model": "qwen/qwen3-coder",
        "role": "main",
        "position": 3,
        "managed": True,
        "local": False,
        "context_tokens": 262_144,
        "max_output_tokens": None,
        "silence_s": 60,
        "price": {
            "input_usd": 0.3,
            "output_usd": 1.2,
            "cached_input_usd": None,
            "cache_write_usd": None,
        },
    }
    assert facts["names"] == {
        "al-main": "main",
        "al-small": "small",
        "claude-haiku-4-5-20251001": "small",
    }
    assert facts["alone"]["al-main-1"] == "main.1.hosted.alone"
    assert (facts["cap_usd"], facts["cap_origin"], facts["idle_s"]) == (5.0, "/etc/x", 60.0)
    assert "sk-" not in json.dumps(facts)


def test_two_of_one_name_are_told_apart_and_an_address_as_a_name_hides_its_password() -> None:
    other = dataclasses.replace(LOCAL, model="small")
    url = dataclasses.replace(LOCAL, name="http://u:secret@gpu.lan:8000")
    spec = Spec({"main": (LOCAL, other, url)})
    facts = config.facts(
        spec, events=Path("e"), status=Path("s"), leases=Path("l"), idle_s=1.0
    )  # fmt: skip
    names = [row["name"] for row in facts["hops"].values() if row["role"] == "main"]
    assert names == ["local#qwen", "local#qwen", "local#small", "http://***@gpu.lan:8000"]
    assert "secret" not in json.dumps(facts) + config.text(spec)
    assert all(key.isascii() and " " not in key for key in facts["hops"])


# ---- YAML -------------------------------------------------------------------------------------


def loaded(text: str) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(text)


ODD = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("\x85\u2028\ufeff\x7f\"\\'#:\n\t%{"),
    max_size=20,
)


@settings(max_examples=25)
@given(model=ODD, name=ODD)
def test_the_file_says_what_the_document_says(model: str, name: str) -> None:
    hop = dataclasses.replace(HOSTED, model=model, name=name, max_output_tokens=4_096)
    spec = Spec({"main": (hop,)}, routing="auto")
    assert loaded(config.text(spec)) == config.document(spec)


@pytest.mark.parametrize("role", ["main", "small"])
def test_the_file_can_be_read_by_people(role: Role) -> None:
    lines = config.text(BOTH).splitlines()
    assert lines[0].startswith("# Written by agentlaunch")
    assert f"  - model_name: al-{role}" in lines
    assert '      api_base: "http://gpu.lan:8000/v1"' in lines


def test_what_cuts_a_prompt_is_not_asked_with_one_that_is_too_long() -> None:
    cuts = dataclasses.replace(LOCAL, kind="ollama", context_tokens=16_384)
    spec = Spec({"main": (cuts, HOSTED)})
    assert routing(spec)["enable_pre_call_checks"] is True
    rows = config.document(spec)["model_list"]
    told = {row["model_info"].get("max_input_tokens") for row in rows}
    assert told == {16_384, None}
    assert routing(Spec({"main": (HOSTED,)}))["enable_pre_call_checks"] is False
