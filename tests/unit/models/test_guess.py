"""Where a published size lies, guessed from widths: held against true headers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlaunch.models import catalog, gguf
from agentlaunch.models.guess import guessed_weights, more_bits
from agentlaunch.models.memory import Allocation, compute_bytes
from agentlaunch.models.shape import LayerCache, ModelShape, Weights
from gguf_writer import write_gguf
from model_headers import HEADERS

PAIRS = {
    "qwen2.5-coder:7b": "qwen 2.5 7B",
    "qwen3:4b-instruct": "qwen 3 4B",
    "lfm2.5-thinking:1.2b": "lfm2 1.2B",
    "qwen3-coder:30b": "qwen 3 30B-A3B",
    "gpt-oss:20b": "gpt-oss 20B",
    "deepseek-coder-v2:16b": "deepseek 2 lite",
    "deepseek-v3.1:671b": "deepseek 3 671B",
    "qwen3-coder-next:q4_K_M": "qwen 3 next 80B-A3B",
}
"""Entries of the catalog whose true header the tests have: model → header."""


def retyped(name: str, build: str, folder: Path) -> ModelShape:
    """A true header in the types of a build, as llama-quantize chooses them."""
    metadata, rows = HEADERS[name]()
    layers = metadata[f"{metadata['general.architecture']}.block_count"]
    tied = all(row[0] != "output.weight" for row in rows)
    specs = [(row, dims, type_of(row, dims, kind, build, layers, tied)) for row, dims, kind in rows]
    return gguf.read_model(write_gguf(folder / "model.gguf", metadata, specs)).shape


def type_of(
    name: str, dims: object, kind: str | int, build: str, layers: int, tied: bool
) -> str | int:
    if kind != "Q8_0" or build == "Q8_0":
        return kind
    if build == "MXFP4":
        return "MXFP4" if "_exps" in name else "BF16"
    down = "attn_v." in name or "ffn_down" in name
    head = name == "output.weight" or (tied and name == "token_embd.weight")
    better = head or (down and more_bits(int(name.split(".")[1]), layers))
    assert isinstance(dims, tuple)
    if dims[0] % 256:
        return "Q8_0" if better else "Q5_0"
    return "Q6_K" if better else "Q4_K"


def share(weights: Weights) -> float:
    return sum(weights.expert_bytes) / weights.total_bytes


@pytest.mark.parametrize("tag", PAIRS)
@pytest.mark.parametrize("build", ["Q8_0", "Q4_K_M"])
def test_embedding_head_and_experts_are_where_the_header_has_them(
    tag: str, build: str, tmp_path: Path
) -> None:
    exact = retyped(PAIRS[tag], build, tmp_path).weights
    assert exact is not None
    model = catalog.load().get(tag).model
    guess = guessed_weights(replace(model.shape, quant=build), exact.total_bytes)
    assert guess is not None
    assert (guess.total_bytes, guess.tied) == (exact.total_bytes, exact.tied)
    assert guess.embedding_bytes == exact.embedding_bytes
    assert guess.head_bytes == pytest.approx(exact.head_bytes, rel=0.001, abs=100_000)
    assert guess.largest_bytes == exact.largest_bytes
    assert share(guess) == pytest.approx(share(exact), rel=0.01)


def test_gpt_oss_as_published_weighs_what_its_header_says(tmp_path: Path) -> None:
    """The registry's manifest of August 2025 gives 13,780,154,624 bytes with the vocabulary."""
    exact = retyped("gpt-oss 20B", "MXFP4", tmp_path).weights
    assert exact is not None
    assert exact.total_bytes == pytest.approx(13_780_154_624, rel=0.001)
    entry = catalog.load().get("gpt-oss:20b")
    guess = guessed_weights(entry.model.shape_of(entry.variant), 13_780_154_624)
    assert guess is not None
    assert guess.embedding_bytes == exact.embedding_bytes
    assert share(guess) == pytest.approx(share(exact), rel=0.01)


@pytest.mark.parametrize("tag", PAIRS)
def test_the_rounded_published_size_moves_the_experts_by_little(tag: str, tmp_path: Path) -> None:
    entry = catalog.load().get(tag)
    build = {"gpt-oss:20b": "MXFP4"}.get(tag, "Q4_K_M")
    exact = retyped(PAIRS[tag], build, tmp_path).weights
    guess = guessed_weights(entry.model.shape_of(entry.variant), entry.variant.size_bytes)
    assert exact is not None
    assert guess is not None
    assert share(guess) == pytest.approx(share(exact), abs=0.05)


@pytest.mark.parametrize("tag", PAIRS)
@pytest.mark.parametrize("flash", [True, False])
def test_computing_takes_what_the_header_says(tag: str, flash: bool, tmp_path: Path) -> None:
    header = retyped(PAIRS[tag], "Q8_0", tmp_path)
    sourced = catalog.load().get(tag).model.shape
    for asked in (
        Allocation(32_768, flash_attention=flash),
        Allocation(131_072, batch=2048, flash_attention=flash),
        Allocation(8_192, parallel=4, flash_attention=flash),
    ):
        assert compute_bytes(sourced, asked) == compute_bytes(header, asked)


def test_every_build_of_the_catalog_can_be_placed() -> None:
    for model in catalog.load().models:
        for variant in model.variants:
            weights = guessed_weights(model.shape_of(variant), variant.size_bytes)
            assert weights is not None
            parts = (weights.embedding_bytes, weights.head_bytes, weights.largest_bytes)
            assert min(*parts, *weights.layer_bytes) > 0, variant.tag
            assert weights.total_bytes == variant.size_bytes
            assert bool(sum(weights.expert_bytes)) == bool(model.shape.experts_total)


PLAIN = ModelShape("x", (LayerCache(8, 128, 128),) * 32, 32, vocab_size=1000, embedding_length=256)
ROUTED = replace(
    PLAIN,
    experts_total=64,
    experts_used=4,
    expert_feed_forward_length=128,
    expert_layers=tuple(range(1, 32)),
)


@given(
    shape=st.sampled_from([PLAIN, ROUTED, replace(ROUTED, parameters=10**9)]),
    published=st.integers(0, 1 << 40),
    quant=st.sampled_from([None, "q4_K_M", "q8_0", "bf16", "mxfp4", "qat", "never-heard"]),
    tied=st.sampled_from([None, True, False]),
)
def test_all_parts_together_are_the_published_size(
    shape: ModelShape, published: int, quant: str | None, tied: bool | None
) -> None:
    weights = guessed_weights(replace(shape, quant=quant, tied=tied), published)
    assert weights is not None
    head = weights.head_bytes - (weights.embedding_bytes if weights.tied else 0)
    assert weights.embedding_bytes + sum(weights.layer_bytes) + head == published
    assert min(head, *weights.layer_bytes, *weights.expert_bytes) >= 0
    assert all(
        part <= layer for part, layer in zip(weights.expert_bytes, weights.layer_bytes, strict=True)
    )


def test_without_widths_every_layer_and_the_head_weigh_the_same() -> None:
    shape = ModelShape("x", (LayerCache(8, 128, 128),) * 3, 8)
    assert guessed_weights(shape, 4_000) == Weights(4_000, 0, False, (1_000,) * 3, (0,) * 3, 250)
    assert guessed_weights(shape, None) is None


def test_routed_models_have_experts_even_where_little_is_known() -> None:
    everywhere = guessed_weights(replace(ROUTED, expert_layers=()), 1 << 30)
    by_share = guessed_weights(replace(ROUTED, expert_feed_forward_length=0), 1 << 30)
    assert everywhere is not None
    assert by_share is not None
    assert min(everywhere.expert_bytes) > 0
    assert share(by_share) == pytest.approx(0.9 * 31 / 32, abs=0.01)


def test_an_embedding_that_may_be_the_head_is_not_taken_off_the_graphics_card() -> None:
    weights = guessed_weights(replace(PLAIN, quant="Q8_0"), 1_000_000)
    assert weights is not None
    assert (weights.tied, weights.embedding_bytes) == (True, 272_000)


def test_a_build_without_a_name_is_told_by_its_bits() -> None:
    shape = catalog.load().get("qwen2.5-coder:7b").model.shape
    named = guessed_weights(replace(shape, quant="q8_0"), 8_100_000_000)
    assert guessed_weights(replace(shape, quant=None), 8_100_000_000) == named


def test_the_mix_gives_half_of_the_layers_better_types() -> None:
    assert [more_bits(i, 16) for i in range(16)].count(True) == 8
    assert [i for i in range(8) if more_bits(i, 8)] == [0, 3, 6, 7]
