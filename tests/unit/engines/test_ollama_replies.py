"""Ollama's replies and names as values: what is believed of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlaunch.engines.base import Loaded
from agentlaunch.engines.ollama.derive import (
    Derived,
    derived_name,
    ours,
    parse_derived,
)
from agentlaunch.engines.ollama.replies import (
    MAX_TEXT,
    Event,
    Version,
    cpu_share,
    error_text,
    parse_event,
    parse_ps,
    parse_show,
    parse_tags,
    parse_version,
    same_model,
    signin_url,
)
from agentlaunch.errors import ModelUnavailable, NotSupported


@pytest.mark.parametrize(
    ("text", "wires", "secure"),
    [
        ("0.13.2", ("openai_chat",), False),
        ("0.13.3", ("openai_responses", "openai_chat"), False),
        ("0.14.0", ("anthropic_messages", "openai_responses", "openai_chat"), False),
        ("0.17.1", ("anthropic_messages", "openai_responses", "openai_chat"), True),
        ("0.33.0-rc2", ("anthropic_messages", "openai_responses", "openai_chat"), True),
        ("0.0.0", ("anthropic_messages", "openai_responses", "openai_chat"), True),
    ],
)
def test_a_version_tells_which_wires_there_are(
    text: str, wires: tuple[str, ...], secure: bool
) -> None:
    found = parse_version({"version": text})
    assert found is not None
    assert (found.text, found.wires, found.has("security")) == (text, wires, secure)


@pytest.mark.parametrize(
    "reply", [None, [], {}, {"version": 1}, {"version": "x"}, {"version": "1.2.3\n"}, "0.33.0"]
)
def test_what_is_no_version_is_no_ollama(reply: object) -> None:
    assert parse_version(reply) is None


def test_a_version_keeps_its_numbers() -> None:
    assert parse_version({"version": "v0.30.1"}) == Version("v0.30.1", (0, 30, 1))


def test_fields_of_a_wrong_type_are_unknown() -> None:
    row = {"name": "m:1", "size": 1 << 60, "size_vram": -1, "context_length": "8k"}
    assert parse_ps({"models": [row, None]}) == (Loaded("m:1", None, None, None),)
    tags = parse_tags({"models": [{"name": "n" * 9999, "capabilities": [1, "tools"]}]})
    assert tags is not None
    assert (len(tags[0].name), tags[0].capabilities) == (MAX_TEXT, frozenset({"tools"}))
    assert parse_tags({"models": 3}) is None
    assert parse_show([]) is None


def test_the_share_in_main_memory_is_unknown_without_sizes() -> None:
    assert cpu_share(Loaded("m", None, 100, 25)) == 0.75
    assert cpu_share(Loaded("m", None, 100, 200)) == 0
    assert cpu_share(Loaded("m", None, 0, 0)) is None
    assert cpu_share(Loaded("m", None, 100, None)) is None


def test_parameters_and_weights_are_read_from_a_show() -> None:
    weights = "a" * 64
    shown = parse_show(
        {
            "modelfile": f"# FROM x\nFROM C:\\models\\blobs\\sha256-{weights}\nTEMPLATE y",
            "parameters": 'stop    "<a>"\nstop    "<b>"\nnum_ctx    65536\nodd',
        }
    )
    assert shown is not None
    assert shown.weights == {f"sha256:{weights}"}
    assert shown.parameters["stop"] == ('"<a>"', '"<b>"')
    assert (shown.number("num_ctx"), shown.number("stop"), shown.number("none")) == (
        65536, None, None,
    )  # fmt: skip


def test_a_line_of_a_stream_is_read_or_is_none() -> None:
    assert parse_event(b'{"status": "x", "total": 5, "completed": 9}') == Event(
        "x", None, None, 5, 5
    )
    assert parse_event(b'{"error": ""}') == Event(error="an error without words")
    assert parse_event(b"[" * 99_999) is None
    assert parse_event(b"1" * 5000) is None


def test_an_errors_words_are_found_in_each_shape() -> None:
    assert error_text(b'{"error": "a"}') == "a"
    assert error_text(b'{"error": {"message": "b"}}') == "b"
    assert error_text(b"plain\n") == "plain"


def test_names_are_the_same_with_and_without_latest() -> None:
    assert same_model("M", "m:latest")
    assert same_model("h:5/n/m", "h:5/n/m:latest")
    assert not same_model("m:1b", "m")


@pytest.mark.parametrize(
    ("base", "tokens", "name"),
    [
        ("qwen3.5:9b", 65536, "qwen3.5:9b-64k-agentlaunch"),
        ("qwen3.5", 40000, "qwen3.5:latest-40000-agentlaunch"),
        ("hf.co/u/r:Q4_K_M", 1024, "hf.co/u/r:Q4_K_M-1k-agentlaunch"),
        ("127.0.0.1:5000/n/m:t", 131072, "127.0.0.1:5000/n/m:t-128k-agentlaunch"),
    ],
)
def test_a_name_of_ours_says_base_and_context_and_leads_back(
    base: str, tokens: int, name: str
) -> None:
    assert derived_name(base, tokens) == name
    found = parse_derived(name)
    assert found is not None
    assert same_model(found.base, base)
    assert found.context_tokens == tokens


def test_other_names_are_not_ours() -> None:
    names = ["m", "m:1b", "m:9b-agentlaunch", "m:9b-0k-agentlaunch", "agentlaunch/m:9b", "m:-4k-a"]
    assert ours([*names, "m:9b-4k-agentlaunch"]) == (Derived("m:9b-4k-agentlaunch", "m:9b", 4096),)


def test_a_name_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(NotSupported):
        derived_name("m:" + "t" * 75, 65536)
    with pytest.raises(ModelUnavailable):
        derived_name("../m", 65536)


KEYS = st.text(max_size=5) | st.sampled_from(
    ["models", "name", "size", "details", "version", "error", "message", "status", "total",
     "completed", "digest", "parameters", "modelfile", "capabilities", "context_length"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=20,
)


@given(JSON)
def test_whatever_a_server_says_is_read_without_a_crash_and_can_be_written_out(
    said: object,
) -> None:
    tags, loaded = parse_tags(said), parse_ps(said)
    shown, version = parse_show(said), parse_version(said)
    raw = json.dumps(said).encode()
    event, words = parse_event(raw), error_text(raw)
    assert f"{tags} {loaded} {shown} {version} {event} {words}".encode()
    for tag in tags or ():
        assert tag.name.isprintable()
        assert tag.size_bytes is None or tag.size_bytes >= 0


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reading_of_a_line(raw: bytes) -> None:
    event = parse_event(raw)
    assert event is None or raw.strip().startswith(b"{")
    assert "\ufffd" in error_text(raw) or error_text(raw).encode().strip() in raw
    assert signin_url(raw) is None
