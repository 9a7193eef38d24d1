"""Parts that headers of models are put together from: attention, feed-forward, experts.

Only what decides memory is here: the metadata that the loader needs, and every tensor with its
real extent. No vocabulary is written (`no_vocab`), only its size. All matrices are Q8_0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gguf_writer import TensorSpec

Model = tuple[dict[str, Any], list[TensorSpec]]
Each = int | tuple[int, ...]
"""One number for all layers, or one for each."""


def of(value: Each, layer: int) -> int:
    """The number of one layer."""
    return value[layer] if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Plain:
    """The part that all transformers have in common; `value` 0 is as long as the key (`head`)."""

    architecture: str
    layers: int
    width: int
    heads: Each
    kv_heads: Each
    head: int
    ff: Each
    vocab: int
    tied: bool = False
    value: int = 0

    @property
    def value_length(self) -> int:
        return self.value or self.head


@dataclass(frozen=True)
class Routed:
    """Experts; `shared` is the width of the part that every token uses, `dense` how many layers
    at the beginning have none, `step` that only each n-th layer has them."""

    count: int
    used: int
    ff: int
    shared: int = 0
    dense: int = 0
    step: int = 1
    chosen_by_bias: bool = False
    shared_gate: bool = False
    fused: bool = False

    def at(self, layer: int) -> bool:
        """Is this layer routed?"""
        return layer >= self.dense and (layer + 1) % self.step == 0

    def keys(self) -> dict[str, Any]:
        """The metadata of it."""
        keys: dict[str, Any] = {
            "expert_count": self.count,
            "expert_used_count": self.used,
            "expert_feed_forward_length": self.ff,
            "leading_dense_block_count": self.dense,
            "interleave_moe_layer_step": self.step,
            "expert_gating_func": 2 if self.chosen_by_bias else 1,
            "expert_shared_count": self.shared // self.ff,
        }
        if self.shared:
            keys["expert_shared_feed_forward_length"] = self.shared
        return keys


class Tensors:
    """A list of tensors that grows by short calls."""

    def __init__(self) -> None:
        self.rows: list[TensorSpec] = []

    def matrix(self, name: str, *dims: int) -> None:
        """A weight, Q8_0, or F32 where its rows do not divide into blocks."""
        self.rows.append((f"{name}.weight", dims, "Q8_0" if dims[0] % 32 == 0 else "F32"))

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
        "attention.value_length": model.value_length,
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


def around(
    model: Plain,
    each: Callable[[Tensors, int, str], None],
    *,
    last_norm: str = "output_norm.weight",
) -> list[TensorSpec]:
    """Embedding, every layer by `each(tensors, number, prefix)`, last norm and head."""
    tensors = Tensors()
    tensors.matrix("token_embd", model.width, model.vocab)
    for i in range(model.layers):
        each(tensors, i, f"blk.{i}.")
    tensors.f32(last_norm, model.width)
    if not model.tied:
        tensors.matrix("output", model.width, model.vocab)
    return tensors.rows


def attention(
    t: Tensors, p: str, m: Plain, i: int = 0, *, norms: str = "", bias: bool = False, wide: int = 1
) -> None:
    """Projections of one attention layer. `norms` of queries and keys are for each `head`, of the
    `whole` row, or one for `every` head; a query `wide` 2 brings its own gate."""
    heads, kv_heads = of(m.heads, i), of(m.kv_heads, i)
    sizes = (wide * heads * m.head, kv_heads * m.head, kv_heads * m.value_length)
    for name, size in zip("qkv", sizes, strict=True):
        t.matrix(f"{p}attn_{name}", m.width, size)
        if bias:
            t.f32(f"{p}attn_{name}.bias", size)
    t.matrix(p + "attn_output", heads * m.value_length, m.width)
    for name, count in (("q", heads), ("k", kv_heads)):
        if norms:
            shapes = {"head": (m.head,), "whole": (count * m.head,), "every": (m.head, count)}
            t.f32(f"{p}attn_{name}_norm.weight", *shapes[norms])


def feed_forward(t: Tensors, p: str, width: int, ff: int) -> None:
    """A gated feed-forward part."""
    t.matrix(p + "ffn_gate", width, ff)
    t.matrix(p + "ffn_up", width, ff)
    t.matrix(p + "ffn_down", ff, width)


def experts(t: Tensors, p: str, width: int, routed: Routed) -> None:
    """A router, its experts and what every token uses beside them."""
    t.f32(p + "ffn_gate_inp.weight", width, routed.count)
    if routed.chosen_by_bias:
        t.f32(p + "exp_probs_b.bias", routed.count)
    if routed.fused:
        t.matrix(p + "ffn_gate_up_exps", width, 2 * routed.ff, routed.count)
    else:
        t.matrix(p + "ffn_gate_exps", width, routed.ff, routed.count)
        t.matrix(p + "ffn_up_exps", width, routed.ff, routed.count)
    t.matrix(p + "ffn_down_exps", routed.ff, width, routed.count)
    if routed.shared:
        t.matrix(p + "ffn_gate_shexp", width, routed.shared)
        t.matrix(p + "ffn_up_shexp", width, routed.shared)
        t.matrix(p + "ffn_down_shexp", routed.shared, width)
    if routed.shared_gate:
        t.f32(p + "ffn_gate_inp_shexp.weight", width)


USUAL_NORMS = ("attn_norm", "ffn_norm")
ALL_NORMS = ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")


def transformer(
    m: Plain,
    *,
    norms: str = "",
    bias: bool = False,
    around_parts: tuple[str, ...] = USUAL_NORMS,
    gate: str = "",
    routed: Routed | None = None,
    **more: Any,
) -> Model:
    """A stack of equal layers: `norms` of queries and keys, `bias` on q, k, v, the norms
    `around_parts`, a `gate` on what attention gives (for each `head` or each `value`)."""

    def layer(t: Tensors, i: int, p: str) -> None:
        for name in around_parts:
            t.f32(f"{p}{name}.weight", m.width)
        attention(t, p, m, i, norms=norms, bias=bias)
        if gate:
            heads = of(m.heads, i)
            t.matrix(p + "attn_gate", m.width, heads * (m.head if gate == "value" else 1))
        if routed and routed.at(i):
            experts(t, p, m.width, routed)
        else:
            feed_forward(t, p, m.width, of(m.ff, i))

    keys = routed.keys() if routed else {}
    return metadata_of(m, **{**keys, **more}), around(m, layer)
