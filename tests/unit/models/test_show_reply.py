"""A saved reply of /api/show tells the same shape as the header of the model's own .gguf."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentlaunch.models import gguf
from agentlaunch.models.shape import LayerCache
from agentlaunch.models.show_reply import BadReply, ShowReply, parse_reply, read_reply
from gguf_writer import TensorSpec, small_llama, write_gguf
from show_replies import reply_of

Model = tuple[dict[str, Any], list[TensorSpec]]


def parsed(reply: Any) -> ShowReply:
    return parse_reply(json.dumps(reply).encode(), name="reply.json")


def model(architecture: str, tensors: list[TensorSpec], **keys: Any) -> Model:
    base: dict[str, Any] = {
        "block_count": 4,
        "context_length": 32768,
        "embedding_length": 512,
        "feed_forward_length": 1024,
        "attention.head_count": 8,
        "attention.head_count_kv": 2,
    }
    rows = {f"{architecture}.{name}": value for name, value in (base | keys).items()}
    metadata = {
        "general.architecture": architecture,
        "general.file_type": 15,
        "tokenizer.ggml.tokens": [f"t{i}" for i in range(300)],
        **rows,
    }
    return metadata, [("token_embd.weight", (512, 300), "Q6_K"), *tensors]


def mixture() -> Model:
    tensors: list[TensorSpec] = [("output.weight", (512, 300), "Q6_K")]
    for i in range(4):
        tensors += [
            (f"blk.{i}.attn_q.weight", (512, 512), "Q4_K"),
            (f"blk.{i}.ffn_up_exps.weight", (512, 256, 8), "MXFP4"),
        ]
    return model(
        "qwen3moe", tensors, expert_count=8, expert_used_count=2, expert_feed_forward_length=256
    )


def sliding() -> Model:
    return model(
        "gemma4",
        [("blk.0.attn_q.weight", (512, 512), "BF16")],
        **{
            "attention.sliding_window": 512,
            "attention.sliding_window_pattern": [True, True, True, False],
            "attention.head_count_kv": [2, 2, 2, 1],
            "attention.key_length": 128,
            "attention.value_length": 128,
        },
    )


def hybrid() -> Model:
    return model(
        "qwen35",
        [("blk.0.ssm_out.weight", (512, 512), "Q5_K")],
        **{
            "ssm.conv_kernel": 4,
            "ssm.inner_size": 1024,
            "ssm.state_size": 64,
            "ssm.group_count": 4,
            "full_attention_interval": 4,
        },
    )


@pytest.mark.parametrize("made", [small_llama(), mixture(), sliding(), hybrid()])
def test_a_verbose_reply_tells_the_shape_of_the_header(made: Model, tmp_path: Path) -> None:
    (tmp_path / "reply.json").write_text(json.dumps(reply_of(*made)))
    reply = read_reply(tmp_path / "reply.json").file
    assert reply.shape == gguf.read_model(write_gguf(tmp_path / "m.gguf", *made)).shape
    assert reply.shape.weights is not None


@pytest.mark.parametrize("made", [small_llama(), mixture(), hybrid()])
def test_without_verbose_the_vocabulary_is_counted_from_the_embedding(made: Model) -> None:
    short, whole = parsed(reply_of(*made, verbose=False)), parsed(reply_of(*made))
    assert short == whole
    assert short.file.shape.vocab_size in (300, 512)


@pytest.mark.parametrize("nothing", [None, []])
def test_a_list_for_each_layer_that_is_left_out_is_an_error_with_the_way_out(nothing: Any) -> None:
    reply = reply_of(*sliding())
    reply["model_info"]["gemma4.attention.head_count_kv"] = nothing
    with pytest.raises(BadReply, match="leaves out the lists") as caught:
        parsed(reply)
    assert "head_count_kv" in caught.value.message
    assert '"verbose":true' in str(caught.value.hint)
    assert (caught.value.exit_code, caught.value.code) == (1, "bad-show-reply")


def test_capabilities_say_what_it_can() -> None:
    reply = reply_of(*small_llama(), capabilities=["completion", "tools", "thinking"])
    said = parsed(reply)
    assert said.capabilities == frozenset({"completion", "tools", "thinking"})
    assert said.file.takes_tools is True
    reply["capabilities"] = ["completion"]
    assert parsed(reply).file.takes_tools is False
    del reply["capabilities"]
    assert parsed(reply).capabilities is None
    assert parsed(reply).file.takes_tools is None


@pytest.mark.parametrize(("quant", "size"), [("Q8_0", 1_062_500), ("Q4_K_M", 618_750)])
def test_without_tensors_the_size_is_an_estimate(quant: str, size: int) -> None:
    reply = reply_of(*small_llama(), quant=quant)
    reply["model_info"]["general.parameter_count"] = 1_000_000
    del reply["tensors"]
    file = parsed(reply).file
    assert (file.shape.weights, file.size_bytes, file.quant) == (None, size, quant)
    assert file.shape.parameters == file.shape.active_parameters == 1_000_000


def test_a_tensor_type_that_ollama_cannot_name_makes_the_size_an_estimate() -> None:
    metadata, tensors = model("llama", [("blk.0.attn_q.weight", (512, 512), "IQ4_XS")])
    metadata["general.file_type"] = 30
    file = parsed(reply_of(metadata, tensors, quant="unknown")).file
    embedding = 512 * 300 * 210 // 256 + 16  # padded to 32 bytes
    assert file.shape.weights is None
    assert file.quant == "IQ4_XS"
    assert file.size_bytes == embedding + 512 * 512 * 136 // 256


def test_numbers_that_another_tool_wrote_as_fractions_are_read() -> None:
    reply = reply_of(*small_llama())
    reply["model_info"]["llama.block_count"] = 2.0
    assert parsed(reply).file.shape.layers == (LayerCache(1, 32, 32),) * 2


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"model_info": {"a": ' + b"9" * 5000 + b"}}", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "no model_info"),
        (b'{"error": "model \'x\' not found"}', "the server said: model 'x' not found"),
        (b'{"model_info": {"a": 1}, "remote_host": "https://ollama.com"}', "in the cloud"),
        (b'{"model_info": {"a": 1}}', "names no architecture"),
        (b'{"model_info": {"a": 1}, "details": {"format": "safetensors"}}', "no GGUF"),
    ],
)
def test_what_is_no_reply_is_named(data: bytes, what: str) -> None:
    with pytest.raises(BadReply, match=what) as caught:
        parse_reply(data, name="x.json")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("tensor", "what"),
    [
        (7, "lacks its name"),
        ({"name": "a", "type": "F32", "shape": []}, "makes no sense"),
        ({"name": "a", "type": "F32", "shape": [-1]}, "makes no sense"),
        ({"name": "a", "type": "F32", "shape": [True]}, "makes no sense"),
        ({"name": "a", "type": "F32", "shape": [1 << 40, 1 << 40]}, "makes no sense"),
        ({"name": "a", "type": "Q8_0", "shape": [33]}, "multiple of 32"),
        ({"name": "token_embd.weight", "type": "F32", "shape": [1]}, "same name"),
    ],
)
def test_tensors_that_make_no_sense_are_refused(tensor: Any, what: str) -> None:
    reply = reply_of(*small_llama())
    reply["tensors"].append(tensor)
    with pytest.raises(BadReply, match=what):
        parsed(reply)


def test_a_reply_that_tells_no_size_says_so() -> None:
    reply = reply_of(*small_llama())
    del reply["tensors"], reply["model_info"]["general.parameter_count"]
    with pytest.raises(BadReply, match="how large it is"):
        parsed(reply)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.json"):
        with pytest.raises(BadReply, match="cannot read"):
            read_reply(path)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_damage_ends_in_an_answer_or_in_bad_reply(data: st.DataObject) -> None:
    reply = reply_of(*data.draw(st.sampled_from([small_llama(), mixture(), sliding(), hybrid()])))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(["model_info", "tensors", "details", "top"]))
        target: Any = reply if place == "top" else reply.get(place)
        if isinstance(target, list) and target:
            target[data.draw(st.integers(0, len(target) - 1))] = data.draw(ANYTHING)
        elif isinstance(target, dict) and target:
            target[data.draw(st.sampled_from(sorted(target)))] = data.draw(ANYTHING)
    with contextlib.suppress(BadReply):
        parsed(reply)


@given(st.binary(max_size=200))
def test_any_bytes_end_in_bad_reply(data: bytes) -> None:
    with pytest.raises(BadReply):
        parse_reply(data, name="x.json")
