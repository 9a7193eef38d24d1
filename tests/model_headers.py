"""Headers of well-known models in their true shape, for sparse files that an engine can size.

Only what decides memory is here: the metadata that the loader needs, and every tensor with its
real extent. No vocabulary is written (`no_vocab`), only its size. All matrices are Q8_0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf_writer import TensorSpec, write_gguf


@dataclass(frozen=True)
class Plain:
    """The part that all transformers have in common; `None` for the usual value."""

    architecture: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    head: int
    ff: int
    vocab: int
    tied: bool = False


class Tensors:
    """A list of tensors that grows by short calls."""

    def __init__(self) -> None:
        self.rows: list[TensorSpec] = []

    def matrix(self, name: str, *dims: int) -> None:
        """A weight, Q8_0."""
        self.rows.append((f"{name}.weight", dims, "Q8_0"))

    def f32(self, name: str, *dims: int) -> None:
        """A norm, a bias or another small tensor; `name` is complete."""
        self.rows.append((name, dims, "F32"))


def metadata_of(model: Plain, **more: Any) -> dict[str, Any]:
    """The keys that every architecture needs, and `more` (a double underscore is a dot)."""
    keys = {
        "vocab_size": model.vocab,
        "block_count": model.layers,
        "context_length": 131072,
        "embedding_length": model.width,
        "feed_forward_length": model.ff,
        "attention.head_count": model.heads,
        "attention.head_count_kv": model.kv_heads,
        "attention.key_length": model.head,
        "attention.value_length": model.head,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "attention.layer_norm_epsilon": 1e-5,
        "rope.dimension_count": model.head,
        "rope.freq_base": 10000.0,
        **{key.replace("__", "."): value for key, value in more.items()},
    }
    return {
        "general.architecture": model.architecture,
        "general.file_type": 7,
        "tokenizer.ggml.model": "no_vocab",
        **{f"{model.architecture}.{key}": value for key, value in keys.items()},
    }


def around(model: Plain, each: Callable[[Tensors, int, str], None]) -> list[TensorSpec]:
    """Embedding, every layer by `each(tensors, number, prefix)`, last norm and head."""
    tensors = Tensors()
    tensors.matrix("token_embd", model.width, model.vocab)
    for i in range(model.layers):
        each(tensors, i, f"blk.{i}.")
    tensors.f32("output_norm.weight", model.width)
    if not model.tied:
        tensors.matrix("output", model.width, model.vocab)
    return tensors.rows


def attention(t: Tensors, p: str, m: Plain, *, norms: bool = False, kv_heads: int = 0) -> None:
    """Projections of one attention layer, with norms of queries and keys on demand."""
    kv = (kv_heads or m.kv_heads) * m.head
    t.matrix(p + "attn_q", m.width, m.heads * m.head)
    t.matrix(p + "attn_k", m.width, kv)
    t.matrix(p + "attn_v", m.width, kv)
    t.matrix(p + "attn_output", m.heads * m.head, m.width)
    if norms:
        t.f32(p + "attn_q_norm.weight", m.head)
        t.f32(p + "attn_k_norm.weight", m.head)


def feed_forward(t: Tensors, p: str, width: int, ff: int) -> None:
    """A gated feed-forward part."""
    t.matrix(p + "ffn_gate", width, ff)
    t.matrix(p + "ffn_up", width, ff)
    t.matrix(p + "ffn_down", ff, width)


def experts(t: Tensors, p: str, width: int, ff: int, count: int) -> None:
    """A router and its experts."""
    t.f32(p + "ffn_gate_inp.weight", width, count)
    t.matrix(p + "ffn_gate_exps", width, ff, count)
    t.matrix(p + "ffn_up_exps", width, ff, count)
    t.matrix(p + "ffn_down_exps", ff, width, count)


def shared_expert(t: Tensors, p: str, width: int, ff: int) -> None:
    """An expert that every token uses."""
    t.matrix(p + "ffn_gate_shexp", width, ff)
    t.matrix(p + "ffn_up_shexp", width, ff)
    t.matrix(p + "ffn_down_shexp", ff, width)


Model = tuple[dict[str, Any], list[TensorSpec]]


def plain(
    m: Plain,
    *,
    bias: bool = False,
    norms: bool = False,
    after: bool = False,
    **more: Any,
) -> Model:
    """A dense transformer: `bias` on q, k, v; `norms` of q and k; norms `after` both parts."""

    def layer(t: Tensors, _: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        attention(t, p, m, norms=norms)
        if bias:
            t.f32(p + "attn_q.bias", m.heads * m.head)
            t.f32(p + "attn_k.bias", m.kv_heads * m.head)
            t.f32(p + "attn_v.bias", m.kv_heads * m.head)
        t.f32(p + "ffn_norm.weight", m.width)
        if after:
            t.f32(p + "post_attention_norm.weight", m.width)
            t.f32(p + "post_ffw_norm.weight", m.width)
        feed_forward(t, p, m.width, m.ff)

    return metadata_of(m, **more), around(m, layer)


def llama() -> Model:
    return plain(Plain("llama", 32, 4096, 32, 8, 128, 14336, 128256))


def qwen2() -> Model:
    return plain(Plain("qwen2", 28, 3584, 28, 4, 128, 18944, 152064), bias=True)


def qwen3() -> Model:
    return plain(Plain("qwen3", 36, 2560, 32, 8, 128, 9728, 151936, tied=True), norms=True)


def gemma2() -> Model:
    m = Plain("gemma2", 42, 3584, 16, 8, 256, 14336, 256000, tied=True)
    return plain(
        m,
        after=True,
        attention__sliding_window=4096,
        attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0,
    )


def gemma3() -> Model:
    m = Plain("gemma3", 48, 3840, 16, 8, 256, 15360, 262208, tied=True)
    return plain(m, norms=True, after=True, attention__sliding_window=1024)


def granite() -> Model:
    m = Plain("granite", 40, 4096, 32, 8, 128, 12800, 49155, tied=True)
    return plain(
        m,
        attention__scale=0.0078125,
        embedding_scale=12.0,
        residual_scale=0.22,
        logit_scale=16.0,
    )


def cohere2() -> Model:
    """Command R7B: attention and feed-forward part start from the same norm."""
    m = Plain("cohere2", 32, 4096, 32, 8, 128, 14336, 256000, tied=True)

    def layer(t: Tensors, _: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        attention(t, p, m)
        feed_forward(t, p, m.width, m.ff)

    more = {"attention__sliding_window": 4096, "logit_scale": 0.25}
    return metadata_of(m, **more), around(m, layer)


def phi3() -> Model:
    m = Plain("phi3", 32, 3072, 32, 32, 96, 8192, 32064)

    def layer(t: Tensors, _: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        t.matrix(p + "attn_qkv", m.width, 3 * m.width)
        t.matrix(p + "attn_output", m.width, m.width)
        t.f32(p + "ffn_norm.weight", m.width)
        t.matrix(p + "ffn_up", m.width, 2 * m.ff)
        t.matrix(p + "ffn_down", m.ff, m.width)

    return metadata_of(m, attention__sliding_window=2047), around(m, layer)


def mixtral() -> Model:
    m = Plain("llama", 32, 4096, 32, 8, 128, 14336, 32000)

    def layer(t: Tensors, _: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        attention(t, p, m)
        t.f32(p + "ffn_norm.weight", m.width)
        experts(t, p, m.width, m.ff, 8)

    return metadata_of(m, expert_count=8, expert_used_count=2), around(m, layer)


def qwen3moe() -> Model:
    m = Plain("qwen3moe", 48, 2048, 32, 4, 128, 6144, 151936)

    def layer(t: Tensors, _: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        attention(t, p, m, norms=True)
        t.f32(p + "ffn_norm.weight", m.width)
        experts(t, p, m.width, 768, 128)

    more = {"expert_count": 128, "expert_used_count": 8, "expert_feed_forward_length": 768}
    return metadata_of(m, **more), around(m, layer)


def gpt_oss() -> Model:
    m = Plain("gpt-oss", 24, 2880, 64, 8, 64, 2880, 201088)

    def layer(t: Tensors, _: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        attention(t, p, m)
        for name, size in (("q", 4096), ("k", 512), ("v", 512), ("output", m.width)):
            t.f32(f"{p}attn_{name}.bias", size)
        t.f32(p + "attn_sinks.weight", m.heads)
        t.f32(p + "post_attention_norm.weight", m.width)
        experts(t, p, m.width, m.ff, 32)
        t.f32(p + "ffn_gate_inp.bias", 32)
        for name in ("gate", "up", "down"):
            t.f32(f"{p}ffn_{name}_exps.bias", m.ff, 32)

    more = {"expert_count": 32, "expert_used_count": 4, "expert_feed_forward_length": 2880}
    return metadata_of(m, attention__sliding_window=128, **more), around(m, layer)


def deepseek2() -> Model:
    """DeepSeek-V2-Lite as newer converters write it: one latent row for each token."""
    heads, nope, rope, rank, value, expert = 16, 128, 64, 512, 128, 1408
    m = Plain("deepseek2", 27, 2048, heads, 1, rank + rope, 10944, 102400)

    def layer(t: Tensors, i: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        t.matrix(p + "attn_q", m.width, heads * (nope + rope))
        t.matrix(p + "attn_kv_a_mqa", m.width, rank + rope)
        t.f32(p + "attn_kv_a_norm.weight", rank)
        t.matrix(p + "attn_k_b", nope, rank, heads)
        t.matrix(p + "attn_v_b", rank, value, heads)
        t.matrix(p + "attn_output", heads * value, m.width)
        t.f32(p + "ffn_norm.weight", m.width)
        if i == 0:
            feed_forward(t, p, m.width, m.ff)
        else:
            experts(t, p, m.width, expert, 64)
            shared_expert(t, p, m.width, 2 * expert)

    more = {
        "attention__value_length": rank,
        "attention__key_length_mla": nope + rope,
        "attention__value_length_mla": value,
        "attention__kv_lora_rank": rank,
        "rope__dimension_count": rope,
        "leading_dense_block_count": 1,
        "expert_count": 64,
        "expert_used_count": 6,
        "expert_shared_count": 2,
        "expert_feed_forward_length": expert,
        "expert_weights_scale": 1.0,
        "expert_gating_func": 1,
    }
    return metadata_of(m, **more), around(m, layer)


def deepseek3() -> Model:
    """DeepSeek-V3 without its layer for prediction of several tokens."""
    heads, nope, rope, rank, value, expert, query = 128, 128, 64, 512, 128, 2048, 1536
    m = Plain("deepseek2", 61, 7168, heads, 1, rank + rope, 18432, 129280)

    def layer(t: Tensors, i: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        t.matrix(p + "attn_q_a", m.width, query)
        t.f32(p + "attn_q_a_norm.weight", query)
        t.matrix(p + "attn_q_b", query, heads * (nope + rope))
        t.matrix(p + "attn_kv_a_mqa", m.width, rank + rope)
        t.f32(p + "attn_kv_a_norm.weight", rank)
        t.matrix(p + "attn_k_b", nope, rank, heads)
        t.matrix(p + "attn_v_b", rank, value, heads)
        t.matrix(p + "attn_output", heads * value, m.width)
        t.f32(p + "ffn_norm.weight", m.width)
        if i < 3:
            feed_forward(t, p, m.width, m.ff)
        else:
            experts(t, p, m.width, expert, 256)
            t.f32(p + "exp_probs_b.bias", 256)
            shared_expert(t, p, m.width, expert)

    more = {
        "attention__q_lora_rank": query,
        "attention__value_length": rank,
        "attention__key_length_mla": nope + rope,
        "attention__value_length_mla": value,
        "attention__kv_lora_rank": rank,
        "rope__dimension_count": rope,
        "leading_dense_block_count": 3,
        "expert_count": 256,
        "expert_used_count": 8,
        "expert_shared_count": 1,
        "expert_group_count": 8,
        "expert_group_used_count": 4,
        "expert_feed_forward_length": expert,
        "expert_weights_scale": 2.5,
        "expert_gating_func": 2,
    }
    return metadata_of(m, **more), around(m, layer)


def glm4moe() -> Model:
    """GLM-4.5-Air without its layer for prediction of several tokens."""
    m = Plain("glm4moe", 46, 4096, 96, 8, 128, 10944, 151552)

    def layer(t: Tensors, i: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        attention(t, p, m)
        for name, heads in (("q", 96), ("k", 8), ("v", 8)):
            t.f32(f"{p}attn_{name}.bias", heads * m.head)
        t.f32(p + "post_attention_norm.weight", m.width)
        if i == 0:
            feed_forward(t, p, m.width, m.ff)
        else:
            experts(t, p, m.width, 1408, 128)
            t.f32(p + "exp_probs_b.bias", 128)
            shared_expert(t, p, m.width, 1408)

    more = {
        "rope__dimension_count": 64,
        "leading_dense_block_count": 1,
        "expert_count": 128,
        "expert_used_count": 8,
        "expert_shared_count": 1,
        "expert_feed_forward_length": 1408,
        "expert_gating_func": 2,
    }
    return metadata_of(m, **more), around(m, layer)


def ssm_keys(conv: int, inner: int, state: int, rank: int, groups: int) -> dict[str, Any]:
    """Keys of a recurrent part."""
    return {
        "ssm__conv_kernel": conv,
        "ssm__inner_size": inner,
        "ssm__state_size": state,
        "ssm__time_step_rank": rank,
        "ssm__group_count": groups,
    }


def qwen3next() -> Model:
    m = Plain("qwen3next", 48, 2048, 16, 2, 256, 5120, 151936)
    inner, state, groups, rank = 4096, 128, 16, 32
    mixed = inner + 2 * groups * state

    def layer(t: Tensors, i: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        t.f32(p + "post_attention_norm.weight", m.width)
        if (i + 1) % 4 == 0:
            t.matrix(p + "attn_q", m.width, 2 * m.heads * m.head)
            t.matrix(p + "attn_k", m.width, m.kv_heads * m.head)
            t.matrix(p + "attn_v", m.width, m.kv_heads * m.head)
            t.matrix(p + "attn_output", m.heads * m.head, m.width)
            t.f32(p + "attn_q_norm.weight", m.head)
            t.f32(p + "attn_k_norm.weight", m.head)
        else:
            t.matrix(p + "attn_qkv", m.width, mixed)
            t.matrix(p + "attn_gate", m.width, inner)
            t.f32(p + "ssm_conv1d.weight", 4, mixed)
            t.f32(p + "ssm_dt.bias", rank)
            t.f32(p + "ssm_a", rank)
            t.matrix(p + "ssm_ba", m.width, 2 * rank)
            t.f32(p + "ssm_norm.weight", inner // rank)
            t.matrix(p + "ssm_out", inner, m.width)
        experts(t, p, m.width, 512, 512)
        t.f32(p + "ffn_gate_inp_shexp.weight", m.width)
        shared_expert(t, p, m.width, 512)

    more = {
        "rope__dimension_count": 64,
        "expert_count": 512,
        "expert_used_count": 10,
        "expert_feed_forward_length": 512,
        "expert_shared_feed_forward_length": 512,
    }
    return metadata_of(m, **more, **ssm_keys(4, inner, state, rank, groups)), around(m, layer)


def mamba2_part(
    t: Tensors, p: str, width: int, inner: int, state: int, rank: int, groups: int
) -> None:
    """The recurrent part of a Mamba-2 layer."""
    mixed = inner + 2 * groups * state
    t.matrix(p + "ssm_in", width, inner + mixed + rank)
    t.f32(p + "ssm_conv1d.weight", 4, mixed)
    t.f32(p + "ssm_conv1d.bias", mixed)
    t.f32(p + "ssm_dt.bias", rank)
    t.f32(p + "ssm_a", 1, rank)
    t.f32(p + "ssm_d", 1, rank)
    t.f32(p + "ssm_norm.weight", inner // groups, groups)
    t.matrix(p + "ssm_out", inner, width)


def granitehybrid() -> Model:
    """Granite-4.0-H-Tiny."""
    m = Plain("granitehybrid", 40, 1536, 12, 4, 128, 512, 100352, tied=True)
    attends = (5, 15, 25, 35)
    ssm = (3072, 128, 48, 1)

    def layer(t: Tensors, i: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        if i in attends:
            attention(t, p, m)
        else:
            mamba2_part(t, p, m.width, *ssm)
        t.f32(p + "ffn_norm.weight", m.width)
        experts(t, p, m.width, m.ff, 64)
        shared_expert(t, p, m.width, 1024)

    more = {
        "attention__head_count_kv": [4 if i in attends else 0 for i in range(m.layers)],
        "expert_count": 64,
        "expert_used_count": 6,
        "expert_shared_feed_forward_length": 1024,
        "attention__scale": 0.0078125,
        "embedding_scale": 12.0,
        "residual_scale": 0.22,
        "logit_scale": 6.0,
    }
    return metadata_of(m, **more, **ssm_keys(4, *ssm)), around(m, layer)


def nemotron_h() -> Model:
    """Nemotron-Nano-9B-v2: a layer is recurrent, or attends, or is a feed-forward part."""
    pattern = "M-M-M-MM-M-M-M*-M-M-M*-M-M-M-M*-M-M-M-M*-M-MM-M-M-M-M-M-"
    m = Plain("nemotron_h", len(pattern), 4480, 40, 8, 128, 15680, 131072)
    ssm = (10240, 128, 128, 8)

    def layer(t: Tensors, i: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        if pattern[i] == "M":
            mamba2_part(t, p, m.width, *ssm)
        elif pattern[i] == "*":
            attention(t, p, m)
        else:
            t.matrix(p + "ffn_up", m.width, m.ff)
            t.matrix(p + "ffn_down", m.ff, m.width)

    more = {
        "attention__head_count_kv": [8 if kind == "*" else 0 for kind in pattern],
        "feed_forward_length": [m.ff if kind == "-" else 0 for kind in pattern],
    }
    return metadata_of(m, **more, **ssm_keys(4, *ssm)), around(m, layer)


def falcon_h1() -> Model:
    """Falcon-H1-7B: every layer attends and is recurrent too."""
    m = Plain("falcon-h1", 44, 3072, 12, 2, 128, 12288, 130048)
    inner, state, rank, groups = 3072, 256, 24, 1
    mixed = inner + 2 * groups * state

    def layer(t: Tensors, _: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        attention(t, p, m)
        t.matrix(p + "ssm_in", m.width, inner + mixed + rank)
        t.f32(p + "ssm_conv1d.weight", 4, mixed)
        t.f32(p + "ssm_conv1d.bias", mixed)
        t.f32(p + "ssm_dt.bias", rank)
        t.f32(p + "ssm_a", 1, rank)
        t.f32(p + "ssm_d", 1, rank)
        t.matrix(p + "ssm_out", inner, m.width)
        t.f32(p + "ffn_norm", m.width)  # the loader asks for it without `.weight`
        feed_forward(t, p, m.width, m.ff)

    return metadata_of(m, **ssm_keys(4, inner, state, rank, groups)), around(m, layer)


def mamba() -> Model:
    """Mamba-2.8B: no attention at all."""
    m = Plain("mamba", 64, 2560, 0, 0, 0, 0, 50280, tied=True)
    inner, state, rank = 5120, 16, 160

    def layer(t: Tensors, _: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        t.matrix(p + "ssm_in", m.width, 2 * inner)
        t.f32(p + "ssm_conv1d.weight", 4, inner)
        t.f32(p + "ssm_conv1d.bias", inner)
        t.matrix(p + "ssm_x", inner, rank + 2 * state)
        t.matrix(p + "ssm_dt", rank, inner)
        t.f32(p + "ssm_dt.bias", inner)
        t.f32(p + "ssm_a", state, inner)
        t.f32(p + "ssm_d", inner)
        t.matrix(p + "ssm_out", inner, m.width)

    metadata = metadata_of(m, **ssm_keys(4, inner, state, rank, 0))
    for key in ("attention.key_length", "attention.value_length", "rope.dimension_count"):
        del metadata[f"mamba.{key}"]
    return metadata, around(m, layer)


def lfm2() -> Model:
    """LFM2-1.2B: short convolutions between few attention layers."""
    m = Plain("lfm2", 16, 2048, 32, 8, 64, 8192, 65536, tied=True)
    attends = (2, 5, 8, 10, 12, 14)

    def layer(t: Tensors, i: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        if i in attends:
            attention(t, p, m, norms=True)
        else:
            t.matrix(p + "shortconv.in_proj", m.width, 3 * m.width)
            t.f32(p + "shortconv.conv.weight", 3, m.width)
            t.matrix(p + "shortconv.out_proj", m.width, m.width)
        t.f32(p + "ffn_norm.weight", m.width)
        feed_forward(t, p, m.width, m.ff)

    kv = [8 if i in attends else 0 for i in range(m.layers)]
    metadata = metadata_of(m, attention__head_count_kv=kv, shortconv__l_cache=3)
    rows = [
        ("token_embd_norm.weight", dims, kind)
        if name == "output_norm.weight"
        else (name, dims, kind)
        for name, dims, kind in around(m, layer)
    ]
    return metadata, rows


HEADERS: Mapping[str, Callable[[], Model]] = {
    "llama 3.1 8B": llama,
    "qwen 2.5 7B": qwen2,
    "qwen 3 4B": qwen3,
    "gemma 2 9B": gemma2,
    "gemma 3 12B": gemma3,
    "granite 3.3 8B": granite,
    "command R7B": cohere2,
    "phi 3 mini": phi3,
    "mixtral 8x7B": mixtral,
    "qwen 3 30B-A3B": qwen3moe,
    "gpt-oss 20B": gpt_oss,
    "deepseek 2 lite": deepseek2,
    "deepseek 3 671B": deepseek3,
    "glm 4.5 air": glm4moe,
    "qwen 3 next 80B-A3B": qwen3next,
    "granite 4 h tiny": granitehybrid,
    "nemotron nano 9B": nemotron_h,
    "falcon h1 7B": falcon_h1,
    "mamba 2.8B": mamba,
    "lfm2 1.2B": lfm2,
}
"""A model's name → its header; true sizes as its maker publishes them."""


def write_header(name: str, folder: Path) -> Path:
    """Write one of `HEADERS` as a sparse file."""
    metadata, tensors = HEADERS[name]()
    return write_gguf(folder / f"{name.replace(' ', '-')}.gguf", metadata, tensors)
