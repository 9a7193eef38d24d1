"""Headers of .gguf files: true ones, cut ones, hostile ones."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gguf_writer
from agentlaunch.models import gguf
from agentlaunch.models.gguf import BadGguf, Header, NeedMore
from agentlaunch.models.gguf_header import Skipped
from agentlaunch.models.shape import LayerCache, ModelShape, Weights
from gguf_writer import header_bytes, small_llama, write_gguf

SMALL_REAL_MODEL = (
    Path(__file__).parents[3] / ".cache" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
)
COUNTS = struct.Struct("<IQQ")


def shape_from(metadata: dict[str, Any], tensors: list[Any] | None = None) -> ModelShape:
    data, _ = header_bytes(metadata, tensors or [])
    header = gguf.parse_header(data, name="test.gguf")
    assert isinstance(header, Header)
    return gguf.describe(header, name="test.gguf").shape


def test_a_small_model_is_read_whole(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", *small_llama(template="{% if tools %}x{% endif %}"))
    layer = 64 * 4 * 2 + (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128) * 34 // 32
    embedding = 64 * 512 * 34 // 32
    parameters = 64 * 512 + 2 * (128 + 64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128) + 64
    assert gguf.read_model(path) == gguf.ModelFile(
        name="Tiny Test",
        shape=ModelShape(
            architecture="llama",
            layers=(LayerCache(1, 32, 32),) * 2,
            head_count=2,
            vocab_size=512,
            context_max_tokens=8192,
            embedding_length=64,
            feed_forward_length=128,
            parameters=parameters,
            active_parameters=parameters,
            weights=Weights(
                total_bytes=embedding + 2 * layer + 256,
                embedding_bytes=embedding,
                tied=True,
                layer_bytes=(layer, layer),
                expert_bytes=(0, 0),
                largest_bytes=64 * 128 * 34 // 32,
            ),
        ),
        takes_tools=True,
        size_bytes=path.stat().st_size,
        quant="Q8_0",
    )


def test_the_real_small_model_is_read_as_the_engine_reads_it() -> None:
    if not SMALL_REAL_MODEL.is_file():
        pytest.skip("the small model is not in .cache/models: run scripts/try once")
    model = gguf.read_model(SMALL_REAL_MODEL)
    assert model.shape.layers == (LayerCache(3, 64, 64),) * 30
    assert model.shape.weights is not None
    assert model.shape.weights.total_bytes == 96_576_768
    assert model.shape.weights.tied
    assert (model.takes_tools, model.quant, model.size_bytes) == (False, "Q4_1", 98_362_432)


@pytest.mark.parametrize(("template", "takes"), [(None, None), ("{{ messages }}", False)])
def test_a_template_without_tools_is_noticed(template: str | None, takes: bool | None) -> None:
    data, _ = header_bytes(*small_llama(template=template))
    header = gguf.parse_header(data, name="x")
    assert isinstance(header, Header)
    assert gguf.describe(header, name="x").takes_tools is takes


def test_a_download_that_was_cut_is_named(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "half.gguf", *small_llama(), cut_bytes=5000)
    with pytest.raises(BadGguf, match="cut short") as caught:
        gguf.read_header(path)
    assert caught.value.exit_code == 1
    assert "download" in str(caught.value.hint)


def test_a_file_cut_inside_its_header_is_named(tmp_path: Path) -> None:
    data, _ = header_bytes(*small_llama())
    path = tmp_path / "cut.gguf"
    path.write_bytes(data[:1000])
    with pytest.raises(BadGguf, match="inside its header"):
        gguf.read_header(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.gguf"):
        with pytest.raises(BadGguf, match="cannot read"):
            gguf.read_header(path)


def test_the_first_bytes_are_enough_or_more_are_asked_for() -> None:
    data, _ = header_bytes(*small_llama())
    short = gguf.parse_header(data[:2000], name="x")
    assert isinstance(short, NeedMore)
    assert short.at_least_bytes > 2000
    assert gguf.parse_header(data, name="x") == gguf.parse_header(data + b"weights", name="x")


def test_long_vocabularies_are_stepped_over_across_the_edges_of_reading(tmp_path: Path) -> None:
    metadata, tensors = small_llama()
    metadata["tokenizer.ggml.merges"] = ["ab " * (i % 50) for i in range(40_000)]
    metadata["tokenizer.ggml.scores"] = [0.5] * 300_000
    metadata["after"] = "still understood"
    header = gguf.read_header(write_gguf(tmp_path / "long.gguf", metadata, tensors))
    assert header.metadata["after"] == "still understood"
    assert len(header.tensors) == len(tensors)


def raw(version: int, tensors: int, pairs: int, rest: bytes = b"") -> bytes:
    return b"GGUF" + COUNTS.pack(version, tensors, pairs) + rest


KEY = gguf_writer.text("k")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"PK\x03\x04" + b"\0" * 60, "letters GGUF"),
        (b"<html>" + b" " * 60, "letters GGUF"),
        (raw(1, 0, 0), "version 1"),
        (raw(3 << 24, 0, 0), "big-endian"),
        (raw(3, 1 << 60, 0), "tensors"),
        (raw(3, 0, 1 << 60), "metadata entries"),
        (raw(3, 0, 1, struct.pack("<Q", 1 << 62)), "bytes of a metadata key"),
        (raw(3, 0, 1, KEY + struct.pack("<I", 99)), "unknown type 99"),
        (raw(3, 0, 1, KEY + struct.pack("<IQ", 8, 1 << 62)), "bytes of text"),
        (raw(3, 0, 1, KEY + struct.pack("<IIQ", 9, 4, 1 << 62)), "array elements"),
        (raw(3, 0, 1, KEY + struct.pack("<IIQ", 9, 10, 1 << 25)), "does not end"),
        (raw(3, 0, 1, KEY + struct.pack("<IIQ", 9, 9, 1) * 50), "list of arrays"),
        (raw(3, 0, 2, (KEY + struct.pack("<II", 4, 1)) * 2), "twice"),
        (raw(3, 1, 0, KEY + struct.pack("<I", 1 << 30)), "dimensions"),
        (raw(3, 1, 0, KEY + struct.pack("<I", 0)), "no dimensions"),
        (raw(3, 1, 0, KEY + struct.pack("<I3Q", 3, *[1 << 40] * 3)), "elements"),
        (raw(3, 1, 0, KEY + struct.pack("<IQIQ", 1, 33, 8, 0)), "multiple of 32"),
        (raw(3, 2, 0, (KEY + struct.pack("<IQIQ", 1, 32, 8, 0)) * 2), "same name"),
        (raw(3, 0, 1, gguf_writer.text("general.alignment") + struct.pack("<II", 4, 0)), "align"),
    ],
)
def test_a_hostile_header_ends_in_one_clear_error(data: bytes, what: str) -> None:
    with pytest.raises(BadGguf, match=what) as caught:
        gguf.parse_header(data, name="evil.gguf")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"llama.block_count": 0}, "no language model"),
        ({"llama.block_count": 1 << 30}, "block_count"),
        ({"llama.block_count": "many"}, "no number"),
        ({"llama.embedding_length": 0}, "no width"),
        ({"llama.attention.head_count_kv": [1]}, "1 numbers for 2 layers"),
        ({"llama.attention.head_count_kv": -4}, "makes no sense"),
        ({"llama.expert_used_count": 4}, "more experts"),
        ({"general.architecture": "clip"}, "no language model"),
        ({"split.count": 3}, "one of 3 parts"),
    ],
)
def test_metadata_that_makes_no_sense_is_refused(changes: dict[str, Any], what: str) -> None:
    metadata, tensors = small_llama()
    with pytest.raises(BadGguf, match=what):
        shape_from(metadata | changes, tensors)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_damage_ends_in_an_answer_or_in_bad_gguf(data: st.DataObject) -> None:
    whole, _ = header_bytes(*small_llama(layers=1))
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if damaged:
            place = data.draw(st.integers(0, len(damaged) - 1))
            damaged[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadGguf):
        header = gguf.parse_header(bytes(damaged), name="x")
        if isinstance(header, Header):
            gguf.describe(header, name="x")


def metadata_of(architecture: str, **keys: Any) -> dict[str, Any]:
    base = {
        "block_count": 8,
        "embedding_length": 512,
        "attention.head_count": 8,
        "attention.head_count_kv": 2,
    }
    rows = {f"{architecture}.{name}": value for name, value in (base | keys).items()}
    return {"general.architecture": architecture, **rows}


def layers_of(architecture: str, **keys: Any) -> tuple[LayerCache, ...]:
    return shape_from(metadata_of(architecture, **keys)).layers


FULL = LayerCache(2, 64, 64)
NOTHING = LayerCache(0, 0, 0)


def test_sliding_layers_follow_the_header_or_the_habit_of_the_architecture() -> None:
    window = LayerCache(2, 64, 64, 128)
    sliding = {"attention.sliding_window": 128}
    assert layers_of("gpt-oss", **sliding) == (window, FULL) * 4
    assert layers_of("gemma3", **sliding) == (window,) * 5 + (FULL,) + (window,) * 2
    assert layers_of("mistral", **sliding) == (FULL,) * 8
    given_flags = {"attention.sliding_window_pattern": [True, True, True, False] * 2}
    assert layers_of("gemma4", **sliding, **given_flags) == ((window,) * 3 + (FULL,)) * 2
    given_period = {"attention.sliding_window_pattern": 4}
    assert layers_of("cohere2", **sliding, **given_period) == ((window,) * 3 + (FULL,)) * 2


def test_layers_that_share_a_cache_keep_none_and_sizes_may_differ_by_kind() -> None:
    rows = layers_of(
        "gemma4",
        **{
            "attention.sliding_window": 512,
            "attention.sliding_window_pattern": [True, False] * 4,
            "attention.key_length": 512,
            "attention.value_length": 512,
            "attention.key_length_swa": 256,
            "attention.value_length_swa": 256,
            "attention.head_count_kv": [4, 1] * 4,
            "attention.shared_kv_layers": 4,
        },
    )
    one = LayerCache(4, 256, 256, 512)
    other = LayerCache(1, 512, 512, padded_values=1024)
    assert rows == (one, other) * 2 + (NOTHING,) * 4


def test_a_latent_cache_keeps_one_row_and_no_values() -> None:
    latent = {
        "attention.head_count_kv": 1,
        "attention.key_length_mla": 192,
        "attention.kv_lora_rank": 512,
        "rope.dimension_count": 64,
    }
    assert layers_of("deepseek2", **latent) == (LayerCache(1, 576, 0),) * 8


def test_hybrid_models_attend_now_and_then_and_remember_the_rest_in_a_state() -> None:
    ssm = {
        "ssm.conv_kernel": 4,
        "ssm.inner_size": 4096,
        "ssm.state_size": 128,
        "ssm.group_count": 16,
    }
    state = 4 * (3 * (4096 + 2 * 16 * 128) + 128 * 4096)
    recurrent = LayerCache(0, 0, 0, None, state)
    assert layers_of("qwen35", **ssm, full_attention_interval=4) == ((recurrent,) * 3 + (FULL,)) * 2
    heads = {"attention.head_count_kv": [0, 0, 2, 0] * 2}
    wide = {"feed_forward_length": [0, 512, 0, 0] * 2}
    expected = (recurrent, NOTHING, FULL, recurrent) * 2
    assert layers_of("nemotron_h", **ssm, **heads, **wide) == expected
    conv = LayerCache(0, 0, 0, None, 4 * 2 * 512)
    assert layers_of("lfm2", **heads, **{"shortconv.l_cache": 3}) == (conv, conv, FULL, conv) * 2


def test_experts_are_told_apart_and_an_unknown_type_makes_the_bytes_unknown() -> None:
    metadata = metadata_of(
        "qwen3moe", block_count=1, expert_count=8, expert_used_count=2, feed_forward_length=64
    )
    tensors: list[Any] = [
        ("token_embd.weight", (512, 100), "F16"),
        ("output.weight", (512, 100), "F16"),
        ("blk.0.attn_q.weight", (512, 512), "F16"),
        ("blk.0.ffn_up_exps.weight", (512, 64, 8), "F16"),
    ]
    shape = shape_from(metadata, tensors)
    experts = 512 * 64 * 8 * 2
    assert shape.weights == Weights(
        total_bytes=2 * 512 * 100 * 2 + 512 * 512 * 2 + experts,
        embedding_bytes=512 * 100 * 2,
        tied=False,
        layer_bytes=(512 * 512 * 2 + experts,),
        expert_bytes=(experts,),
        largest_bytes=512 * 512 * 2,
    )
    assert shape.weights.head_bytes == 512 * 100 * 2
    assert (shape.feed_forward_length, shape.expert_feed_forward_length) == (0, 64)
    assert shape.parameters is not None
    assert shape.active_parameters == shape.parameters - 512 * 64 * 6
    unknown = shape_from(metadata, [*tensors, ("blk.0.x.weight", (512,), 999)])
    assert unknown.weights is None


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 4001])
@pytest.mark.parametrize("longest", [1, 300, 5000])
def test_a_vocabulary_is_stepped_over_wherever_a_piece_of_the_file_ends(
    count: int, longest: int
) -> None:
    words = ["x" * (number * 7919 % longest) for number in range(count)] or [""]
    data, _ = header_bytes({"words": words, "after": 7}, [])
    header = gguf.parse_header(data, name="test.gguf")
    assert isinstance(header, Header)
    assert header.metadata == {"words": Skipped(len(words)), "after": 7}


@pytest.mark.parametrize("length", [5 << 20, 1 << 62, (1 << 63) - 1, (1 << 64) - 1])
def test_an_impossible_length_in_a_vocabulary_is_refused(length: int) -> None:
    data, _ = header_bytes({"words": ["xy"] * 50}, [])
    one = struct.pack("<Q", 2) + b"xy"
    hostile = data.replace(one * 9, one * 8 + struct.pack("<Q", length) + b"xy", 1)
    assert hostile != data
    with pytest.raises(BadGguf, match="bytes of text"):
        gguf.parse_header(hostile, name="test.gguf")


def test_layers_that_predict_several_tokens_keep_nothing() -> None:
    metadata = metadata_of("glm4moe", nextn_predict_layers=1)
    tensors: list[Any] = [(f"blk.{i}.attn_q.weight", (512, 512), "F16") for i in (0, 6, 7)]
    shape = shape_from(metadata, tensors)
    assert shape.layers == (FULL,) * 7 + (NOTHING,)
    assert shape.weights is not None
    assert shape.weights.total_bytes == 2 * 512 * 512 * 2
    assert shape.weights.layer_bytes[7] == 0


def test_some_architectures_know_better_than_their_header() -> None:
    sliding = {"attention.sliding_window": 1000}
    window = LayerCache(2, 64, 64, 8192)
    assert layers_of("llama4", **sliding) == ((window,) * 3 + (FULL,)) * 2
    assert layers_of("llama4", **{"attention.sliding_window": 0}) == (FULL,) * 8
    assert layers_of("exaone4", **sliding) == (FULL,) * 8
    first = LayerCache(2, 64, 64, 1000)
    assert layers_of("laguna", **sliding) == ((FULL,) + (first,) * 3) * 2
    shared = {"attention.shared_kv_layers": 4}
    assert layers_of("gemma3n", **sliding, **shared) == ((first,) * 4 + (FULL,) + (first,) * 3)


def test_a_delta_layer_remembers_by_its_heads_and_latent_layers_lie_between() -> None:
    rows = layers_of(
        "kimi-linear",
        **{
            "attention.head_count_kv": [0, 0, 0, 1] * 2,
            "attention.key_length": 576,
            "attention.key_length_mla": 192,
            "ssm.conv_kernel": 4,
            "kda.head_dim": 128,
        },
    )
    delta = LayerCache(0, 0, 0, None, 4 * 8 * 128 * (3 * 3 + 128))
    assert rows == ((delta,) * 3 + (LayerCache(1, 576, 0),)) * 2


@pytest.mark.parametrize(
    ("kind", "rows", "tied", "copied"),
    [
        ("Q4_K", 512, True, 2),
        ("Q4_K", 512, False, 1),
        ("Q4_K", 508, True, 1),
        ("MXFP4", 512, True, 2),
        ("Q8_0", 512, True, 0),
        ("Q6_K", 512, False, 0),
    ],
)
def test_what_a_processor_arranges_anew_is_what_the_engine_logged(
    kind: str, rows: int, tied: bool, copied: int
) -> None:
    """Seen in the log of real loads with AVX2: `CPU_REPACK model buffer size`."""
    tensors: list[Any] = [
        ("token_embd.weight", (512, rows), kind),
        ("blk.0.attn_q.weight", (512, 512), kind),
        ("blk.0.attn_norm.weight", (512,), "F32"),
    ]
    if not tied:
        tensors.append(("output.weight", (512, rows), "F16"))
    weights = shape_from(metadata_of("llama", block_count=1), tensors).weights
    assert weights is not None
    size = {"Q4_K": 144 * 1024, "MXFP4": 17 * 8192}.get(kind, 0)
    assert weights.repacked_bytes == copied * size


def test_layouts_that_were_never_held_against_an_engine_are_marked() -> None:
    assert shape_from(metadata_of("deepseek32")).upper_bound
    assert not shape_from(metadata_of("llama")).upper_bound
