"""Headers of models with experts, in the true shape of well-known models and in invented ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from gguf_writer import TensorSpec
from header_parts import (
    ALL_NORMS,
    Model,
    Plain,
    Routed,
    Tensors,
    around,
    attention,
    experts,
    feed_forward,
    metadata_of,
    of,
    transformer,
)

POST_NORM = ("attn_norm", "post_attention_norm")


@dataclass(frozen=True)
class Latent:
    """Latent attention: lengths of a query's two parts, of the row that is kept, of a value;
    `query` 0 where queries have no rank of their own."""

    nope: int
    rope: int
    rank: int
    value: int
    query: int = 0


def gpt_oss(m: Plain, window: int, routed: Routed) -> Model:
    metadata, rows = transformer(
        m, bias=True, around_parts=POST_NORM, routed=routed, attention__sliding_window=window
    )
    t = Tensors()
    for i in range(m.layers):
        p = f"blk.{i}."
        t.f32(p + "attn_output.bias", m.width)
        t.f32(p + "attn_sinks.weight", of(m.heads, i))
        t.f32(p + "ffn_gate_inp.bias", routed.count)
        t.f32(p + "ffn_gate_exps.bias", routed.ff, routed.count)
        t.f32(p + "ffn_up_exps.bias", routed.ff, routed.count)
        t.f32(p + "ffn_down_exps.bias", m.width, routed.count)
    return metadata, [*rows, *t.rows]


def latent_attention(t: Tensors, p: str, m: Plain, row: Latent, *, absorbed: bool = True) -> None:
    """Its projections; `absorbed` as newer converters write them, else in one tensor."""
    heads = of(m.heads, 0)
    if row.query:
        t.matrix(p + "attn_q_a", m.width, row.query)
        t.f32(p + "attn_q_a_norm.weight", row.query)
    start = ("attn_q_b", row.query) if row.query else ("attn_q", m.width)
    t.matrix(p + start[0], start[1], heads * (row.nope + row.rope))
    t.matrix(p + "attn_kv_a_mqa", m.width, row.rank + row.rope)
    t.f32(p + "attn_kv_a_norm.weight", row.rank)
    if absorbed:
        t.matrix(p + "attn_k_b", row.nope, row.rank, heads)
        t.matrix(p + "attn_v_b", row.rank, row.value, heads)
    else:
        t.matrix(p + "attn_kv_b", row.rank, heads * (row.nope + row.value))
    t.matrix(p + "attn_output", heads * row.value, m.width)


def latent_keys(row: Latent, *, absorbed: bool = True) -> dict[str, Any]:
    """The metadata of latent attention."""
    keys = {"attention__kv_lora_rank": row.rank, "rope__dimension_count": row.rope}
    if row.query:
        keys["attention__q_lora_rank"] = row.query
    length = row.nope + row.rope
    if not absorbed:
        return {
            **keys,
            "attention__key_length": length,
            "attention__value_length": row.value,
        }
    return {
        **keys,
        "attention__key_length": row.rank + row.rope,
        "attention__value_length": row.rank,
        "attention__key_length_mla": length,
        "attention__value_length_mla": row.value,
    }


def deepseek2(m: Plain, row: Latent, routed: Routed, *, absorbed: bool = True) -> Model:
    def layer(t: Tensors, i: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        latent_attention(t, p, m, row, absorbed=absorbed)
        t.f32(p + "ffn_norm.weight", m.width)
        if routed.at(i):
            experts(t, p, m.width, routed)
        else:
            feed_forward(t, p, m.width, of(m.ff, i))

    more = {**routed.keys(), **latent_keys(row, absorbed=absorbed), "expert_weights_scale": 1.5}
    return metadata_of(m, **more), around(m, layer)


def cohere2moe(m: Plain, window: int, routed: Routed) -> Model:
    """Attention and experts start from the same norm."""
    return transformer(
        m,
        around_parts=("attn_norm",),
        routed=routed,
        attention__sliding_window=window,
        logit_scale=0.25,
    )


def step35(m: Plain, window: int, routed: Routed, *, period: int) -> Model:
    return transformer(
        m,
        norms="head",
        gate="head",
        routed=routed,
        attention__sliding_window=window,
        attention__sliding_window_pattern=[i % period != 0 for i in range(m.layers)],
    )


def laguna(m: Plain, window: int, routed: Routed) -> Model:
    return transformer(
        m, norms="head", gate="head", routed=routed, attention__sliding_window=window
    )


def mimo2(m: Plain, window: int, routed: Routed, *, period: int) -> Model:
    """Full layers have fewer heads for keys than windowed ones; a value is shorter than a key."""
    metadata, rows = transformer(
        m,
        routed=routed,
        attention__sliding_window=window,
        attention__sliding_window_pattern=[i % period != 0 for i in range(m.layers)],
        rope__dimension_count=m.head // 3 // 2 * 2,
    )
    sinks: list[TensorSpec] = [
        (f"blk.{i}.attn_sinks.weight", (of(m.heads, i),), "F32")
        for i in range(m.layers)
        if i % period
    ]
    return metadata, [*rows, *sinks]


def predicting_layer(model: Model, m: Plain, routed: Routed) -> Model:
    """A further layer that predicts several tokens: in the file, not in an ordinary run."""
    metadata, rows = model
    t, p = Tensors(), f"blk.{m.layers}."
    for name in (*POST_NORM, "nextn.enorm", "nextn.hnorm", "nextn.shared_head_norm"):
        t.f32(f"{p}{name}.weight", m.width)
    attention(t, p, m, m.layers - 1, bias=True)
    experts(t, p, m.width, routed)
    t.matrix(p + "nextn.eh_proj", 2 * m.width, m.width)
    more = {"block_count": m.layers + 1, "nextn_predict_layers": 1}
    keys = {f"{m.architecture}.{key}": value for key, value in more.items()}
    return {**metadata, **keys}, [*rows, *t.rows]


def glm4moe(m: Plain, routed: Routed, *, predicts: bool = False) -> Model:
    model = transformer(
        m,
        bias=True,
        around_parts=POST_NORM,
        routed=routed,
        rope__dimension_count=m.head // 2,
    )
    return predicting_layer(model, m, routed) if predicts else model


AIR = Plain("glm4moe", 46, 4096, 96, 8, 128, 10944, 151552)
AIR_EXPERTS = Routed(128, 8, 1408, shared=1408, dense=1, chosen_by_bias=True)
LITE = Plain("deepseek2", 27, 2048, 16, 1, 576, 10944, 102400)
LITE_ROW = Latent(128, 64, 512, 128)
LITE_EXPERTS = Routed(64, 6, 1408, shared=2816, dense=1)


def uneven(layers: int, period: int, full: int, windowed: int) -> tuple[int, ...]:
    """Heads of layers of which each n-th from the first on sees everything."""
    return tuple(windowed if i % period else full for i in range(layers))


TRUE: Mapping[str, Callable[[], Model]] = {
    "mixtral 8x7B": partial(
        transformer,
        Plain("llama", 32, 4096, 32, 8, 128, 14336, 32000),
        routed=Routed(8, 2, 14336),
    ),
    "qwen 3 30B-A3B": partial(
        transformer,
        Plain("qwen3moe", 48, 2048, 32, 4, 128, 6144, 151936),
        norms="head",
        routed=Routed(128, 8, 768),
    ),
    "qwen 2 57B-A14B": partial(
        transformer,
        Plain("qwen2moe", 28, 3584, 28, 4, 128, 18944, 151936),
        bias=True,
        routed=Routed(64, 8, 2560, shared=20480, shared_gate=True),
    ),
    "gpt-oss 20B": partial(
        gpt_oss, Plain("gpt-oss", 24, 2880, 64, 8, 64, 2880, 201088), 128, Routed(32, 4, 2880)
    ),
    "deepseek 2 lite": partial(deepseek2, LITE, LITE_ROW, LITE_EXPERTS),
    "deepseek 2 lite, old": partial(
        deepseek2,
        Plain("deepseek2", 27, 2048, 16, 16, 192, 10944, 102400),
        LITE_ROW,
        LITE_EXPERTS,
        absorbed=False,
    ),
    "deepseek 3 671B": partial(
        deepseek2,
        Plain("deepseek2", 61, 7168, 128, 1, 576, 18432, 129280),
        Latent(128, 64, 512, 128, 1536),
        Routed(256, 8, 2048, shared=2048, dense=3, chosen_by_bias=True),
    ),
    "glm 4.7 flash": partial(
        deepseek2,
        Plain("deepseek2", 47, 2048, 20, 1, 576, 10240, 154880),
        Latent(192, 64, 512, 256, 768),
        Routed(64, 4, 1536, shared=1536, dense=1, chosen_by_bias=True),
    ),
    "glm 4.5 air": partial(glm4moe, AIR, AIR_EXPERTS),
    "glm 4.5 air, predicting": partial(glm4moe, AIR, AIR_EXPERTS, predicts=True),
    "llama 4 scout": partial(
        transformer,
        Plain("llama4", 48, 5120, 40, 8, 128, 16384, 202048),
        routed=Routed(16, 1, 8192, shared=8192),
    ),
    "llama 4 maverick": partial(
        transformer,
        Plain("llama4", 48, 5120, 40, 8, 128, 16384, 202048),
        routed=Routed(128, 1, 8192, shared=8192, step=2),
    ),
    "command A mini": partial(
        cohere2moe,
        Plain("cohere2moe", 32, 3072, 32, 4, 128, 12288, 256000, tied=True),
        4096,
        Routed(128, 8, 768, dense=1),
    ),
    "laguna": partial(
        laguna,
        Plain("laguna", 40, 2048, uneven(40, 4, 48, 64), 8, 128, 8192, 100352),
        512,
        Routed(256, 8, 512, shared=512, dense=1, chosen_by_bias=True),
    ),
    "step 3.5 flash": partial(
        step35,
        Plain("step35", 45, 4096, uneven(45, 4, 64, 96), 8, 128, 11264, 128896),
        512,
        Routed(288, 8, 1280, shared=1280, dense=3, chosen_by_bias=True),
        period=4,
    ),
    "mimo 2 flash": partial(
        mimo2,
        Plain("mimo2", 48, 4096, 64, uneven(48, 6, 4, 8), 192, 16384, 152576, value=128),
        128,
        Routed(256, 8, 2048, dense=1, chosen_by_bias=True),
        period=6,
    ),
    "minimax m2": partial(
        transformer,
        Plain("minimax-m2", 62, 3072, 48, 8, 128, 1536, 200064),
        norms="whole",
        routed=Routed(256, 8, 1536, chosen_by_bias=True),
        rope__dimension_count=64,
    ),
    "dots 1": partial(
        transformer,
        Plain("dots1", 62, 4096, 32, 32, 128, 10944, 152064),
        norms="head",
        routed=Routed(128, 6, 1408, shared=2816, dense=1, chosen_by_bias=True),
    ),
    "ernie 4.5 21B-A3B": partial(
        transformer,
        Plain("ernie4_5-moe", 28, 2560, 20, 4, 128, 12288, 103424, tied=True),
        routed=Routed(64, 6, 1536, shared=3072, dense=1, chosen_by_bias=True),
        interleave_moe_layer_step=1,
    ),
    "hunyuan A13B": partial(
        transformer,
        Plain("hunyuan-moe", 32, 4096, 32, 8, 128, 3072, 128167, tied=True),
        norms="head",
        routed=Routed(64, 8, 3072, shared=3072),
    ),
    "granite 3 3B-A800M": partial(
        transformer,
        Plain("granitemoe", 32, 1536, 24, 8, 64, 512, 49155, tied=True),
        routed=Routed(40, 8, 512),
        attention__scale=0.015625,
        embedding_scale=12.0,
        residual_scale=0.22,
        logit_scale=6.0,
    ),
    "trinity mini": partial(
        transformer,
        Plain("afmoe", 32, 2048, 32, 4, 128, 6144, 200192),
        norms="head",
        around_parts=ALL_NORMS,
        gate="value",
        routed=Routed(128, 8, 1024, shared=1024, dense=2, chosen_by_bias=True),
        attention__sliding_window=2048,
    ),
}
"""A model's name → its header; true sizes as its maker publishes them."""

INVENTED: Mapping[str, Callable[[], Model]] = {
    "narrow experts": partial(
        transformer,
        Plain("qwen3moe", 7, 2304, 18, 6, 96, 4096, 9000),
        norms="head",
        routed=Routed(48, 11, 160),
    ),
    "wide experts": partial(
        transformer,
        Plain("qwen3moe", 7, 1152, 9, 3, 96, 4096, 9000),
        norms="head",
        routed=Routed(24, 3, 2080),
    ),
    "odd qwen2moe": partial(
        transformer,
        Plain("qwen2moe", 7, 1152, 9, 3, 128, 4096, 9000),
        bias=True,
        routed=Routed(24, 5, 480, shared=5600, shared_gate=True),
    ),
    "odd gpt-oss": partial(
        gpt_oss, Plain("gpt-oss", 9, 1440, 10, 5, 96, 1120, 9000), 333, Routed(24, 5, 1120)
    ),
    "odd deepseek2": partial(
        deepseek2,
        Plain("deepseek2", 9, 1792, 11, 1, 352, 4000, 9000),
        Latent(96, 32, 320, 160, 640),
        Routed(24, 5, 800, shared=800, dense=2, chosen_by_bias=True),
    ),
    "odd old deepseek2": partial(
        deepseek2,
        Plain("deepseek2", 9, 1792, 11, 11, 128, 4000, 9000),
        Latent(96, 32, 320, 160, 640),
        Routed(24, 5, 800, shared=800, dense=2, chosen_by_bias=True),
        absorbed=False,
    ),
    "odd glm4moe": partial(
        glm4moe,
        Plain("glm4moe", 9, 1728, 18, 3, 96, 4000, 9000),
        Routed(24, 5, 800, shared=800, dense=2, chosen_by_bias=True),
        predicts=True,
    ),
    "odd llama4": partial(
        transformer,
        Plain("llama4", 10, 1728, 18, 3, 96, 4000, 9000),
        routed=Routed(12, 2, 2080, shared=2080, step=2),
        attention__sliding_window=1000,
    ),
    "odd cohere2moe": partial(
        cohere2moe,
        Plain("cohere2moe", 10, 1728, 18, 3, 96, 4000, 9000, tied=True),
        900,
        Routed(24, 5, 800, dense=1),
    ),
    "odd laguna": partial(
        laguna,
        Plain("laguna", 10, 1728, uneven(10, 4, 12, 18), 6, 96, 4000, 9000),
        900,
        Routed(24, 5, 800, shared=1600, dense=1, chosen_by_bias=True),
    ),
    "odd step35": partial(
        step35,
        Plain("step35", 10, 1728, uneven(10, 3, 12, 18), uneven(10, 3, 3, 6), 96, 4000, 9000),
        900,
        Routed(24, 5, 800, shared=1600, dense=1, chosen_by_bias=True),
        period=3,
    ),
    "odd mimo2": partial(
        mimo2,
        Plain("mimo2", 10, 1728, 18, uneven(10, 3, 3, 6), 96, 4000, 9000, value=64),
        900,
        Routed(24, 5, 800, dense=1, chosen_by_bias=True),
        period=3,
    ),
    "odd minimax-m2": partial(
        transformer,
        Plain("minimax-m2", 9, 1728, 18, 6, 96, 800, 9000),
        norms="whole",
        routed=Routed(24, 5, 800, chosen_by_bias=True),
        rope__dimension_count=48,
    ),
    "odd ernie": partial(
        transformer,
        Plain("ernie4_5-moe", 9, 1728, 18, 6, 96, 4000, 9000, tied=True),
        routed=Routed(24, 5, 800, shared=3200, dense=2, chosen_by_bias=True),
        interleave_moe_layer_step=1,
    ),
    "odd hunyuan": partial(
        transformer,
        Plain("hunyuan-moe", 9, 1728, 18, 6, 96, 1440, 9000, tied=True),
        norms="head",
        routed=Routed(24, 5, 1440, shared=1440),
    ),
    "odd granitemoe": partial(
        transformer,
        Plain("granitemoe", 9, 1152, 18, 6, 64, 480, 9000, tied=True),
        routed=Routed(24, 7, 480),
        logit_scale=6.0,
        embedding_scale=12.0,
        residual_scale=0.22,
        attention__scale=0.015625,
    ),
    "odd afmoe": partial(
        transformer,
        Plain("afmoe", 10, 1152, 18, 6, 64, 4000, 9000),
        norms="head",
        around_parts=ALL_NORMS,
        gate="value",
        routed=Routed(24, 5, 800, shared=800, dense=2, chosen_by_bias=True),
        attention__sliding_window=700,
    ),
}
"""Shapes that no maker publishes: few wide or many narrow experts, uneven heads, short values."""
