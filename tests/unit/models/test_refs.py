"""Model names: what they mean, and that none of them can become a path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlaunch.errors import ModelUnavailable
from agentlaunch.models.refs import Ref, looks_like_path, parse_ref

DEFAULT = "registry.ollama.ai"


@pytest.mark.parametrize(
    ("text", "ref", "shown"),
    [
        ("qwen3.5", Ref(DEFAULT, "library", "qwen3.5", "latest"), "qwen3.5:latest"),
        ("qwen3.5:9b", Ref(DEFAULT, "library", "qwen3.5", "9b"), "qwen3.5:9b"),
        ("me/thing:q4", Ref(DEFAULT, "me", "thing", "q4"), "me/thing:q4"),
        (
            "hf.co/user/repo-GGUF:Q4_K_M",
            Ref("hf.co", "user", "repo-GGUF", "Q4_K_M"),
            "hf.co/user/repo-GGUF:Q4_K_M",
        ),
        ("box:5000/ns/m:t", Ref("box:5000", "ns", "m", "t"), "box:5000/ns/m:t"),
        ("box:5000/ns/m", Ref("box:5000", "ns", "m", "latest"), "box:5000/ns/m:latest"),
        ("https://box/ns/m:t", Ref("box", "ns", "m", "t"), "box/ns/m:t"),
        ("Registry.Ollama.ai/library/m:t", Ref(DEFAULT, "library", "m", "t"), "m:t"),
        ("_x", Ref(DEFAULT, "library", "_x", "latest"), "_x:latest"),
        ("a" * 80, Ref(DEFAULT, "library", "a" * 80, "latest"), "a" * 80 + ":latest"),
    ],
)
def test_a_name_gets_the_defaults_and_is_shown_without_them(
    text: str, ref: Ref, shown: str
) -> None:
    assert parse_ref(text) == ref
    assert str(ref) == shown
    assert parse_ref(shown) == ref


def test_http_in_a_name_is_remembered_and_is_not_part_of_its_identity() -> None:
    plain = parse_ref("http://box:5000/ns/m:t")
    assert plain.insecure
    assert not parse_ref("https://box:5000/ns/m:t").insecure
    assert plain == parse_ref("box:5000/ns/m:t")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "model:",
        ":tag",
        "..",
        "../x",
        "../../etc/passwd",
        "a/../b",
        "ns/..:x",
        "x:..",
        ".hidden",
        "-flag",
        "--help",
        "x:-tag",
        "n.s/model",
        "host/a/b/c/d",
        "a//b",
        "/abs/x",
        "host:0/ns/m",
        "host:65536/ns/m",
        "host:a/ns/m",
        "h:1:2/ns/m",
        "user@host/ns/m",
        "ftp://host/ns/m",
        "http://model",
        "http://ns/model",
        "model@sha256:" + "0" * 64,
        "mo del",
        "modèl",
        "m\n",
        "m\x1b[31m",
        "m?x=1",
        "m%2e",
        "m\x00",
        "a" * 81,
        "b" * 81 + "/m",
        "m:" + "c" * 81,
        "h" * 351 + "/ns/m",
        "x" * 100_000,
    ],
)
def test_a_name_outside_the_grammar_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        parse_ref(text)
    assert caught.value.exit_code == 7
    assert caught.value.code == "bad-model-name"
    assert "qwen3.5:9b" in str(caught.value.hint)
    assert len(caught.value.message) < 150


def test_a_reference_cannot_be_made_of_parts_that_are_paths() -> None:
    with pytest.raises(ModelUnavailable):
        Ref("host", "..", "m", "t")


@given(st.text(alphabet="ab.:/_-@\\~ \x00é", max_size=40) | st.text(max_size=60))
def test_any_text_is_a_name_that_comes_back_or_a_plain_refusal(text: str) -> None:
    try:
        ref = parse_ref(text)
    except ModelUnavailable:
        return
    assert parse_ref(str(ref)) == ref
    for part in (ref.host, ref.namespace, ref.model, ref.tag):
        assert "/" not in part
        assert "\\" not in part
        assert part not in ("", ".", "..")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("model.gguf", True),
        ("MODEL.GGUF", True),
        ("reply.json", True),
        ("./model", True),
        ("../model", True),
        ("/opt/model", True),
        ("~/model", True),
        ("C:\\model", True),
        ("c:/models/x", True),
        ("qwen3.5:9b", False),
        ("hf.co/user/repo-GGUF:Q4_K_M", False),
        ("host:5000/ns/m:t", False),
    ],
)
def test_a_path_is_told_from_a_name_by_its_look(text: str, path: bool) -> None:
    assert looks_like_path(text) is path
