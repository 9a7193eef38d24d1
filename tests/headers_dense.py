"""Headers of dense transformers, in the true shape of well-known models and in invented ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from gguf_writer import TensorSpec
from header_parts import (
    ALL_NORMS,
    Model,
    Plain,
    Tensors,
    around,
    attention,
    feed_forward,
    metadata_of,
    of,
    transformer,
)

GRANITE: dict[str, Any] = {
    "attention__scale": 0.0078125,
    "embedding_scale": 12.0,
    "residual_scale": 0.22,
    "logit_scale": 16.0,
}


def gemma2(m: Plain, window: int) -> Model:
    return transformer(
        m,
        around_parts=ALL_NORMS,
        attention__sliding_window=window,
        attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0,
    )


def cohere(m: Plain, **more: Any) -> Model:
    """Command R: attention and feed-forward part start from the same norm."""
    return transformer(m, around_parts=("attn_norm",), logit_scale=0.25, **more)


def after_only(m: Plain, *, norms: str, **more: Any) -> Model:
    """OLMo 2 and EXAONE 4: norms stand behind the parts only."""
    names = ("post_attention_norm", "post_ffw_norm")
    return transformer(m, norms=norms, around_parts=names, **more)


def phi3(m: Plain, window: int) -> Model:
    def layer(t: Tensors, _: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        kv = of(m.kv_heads, 0) * m.head
        t.matrix(p + "attn_qkv", m.width, m.width + 2 * kv)
        t.matrix(p + "attn_output", m.width, m.width)
        t.f32(p + "ffn_norm.weight", m.width)
        t.matrix(p + "ffn_up", m.width, 2 * of(m.ff, 0))
        t.matrix(p + "ffn_down", of(m.ff, 0), m.width)

    return metadata_of(m, attention__sliding_window=window), around(m, layer)


def starcoder2(m: Plain) -> Model:
    """Norms with bias, a feed-forward part without gate."""

    def layer(t: Tensors, i: int, p: str) -> None:
        attention(t, p, m, i, bias=True)
        t.f32(p + "attn_output.bias", m.width)
        for name in ("attn_norm", "ffn_norm"):
            t.f32(f"{p}{name}.weight", m.width)
            t.f32(f"{p}{name}.bias", m.width)
        t.matrix(p + "ffn_up", m.width, of(m.ff, i))
        t.f32(p + "ffn_up.bias", of(m.ff, i))
        t.matrix(p + "ffn_down", of(m.ff, i), m.width)
        t.f32(p + "ffn_down.bias", m.width)

    return metadata_of(m), [*around(m, layer), ("output_norm.bias", (m.width,), "F32")]


def glm4(m: Plain) -> Model:
    def layer(t: Tensors, i: int, p: str) -> None:
        for name in ALL_NORMS:
            t.f32(f"{p}{name}.weight", m.width)
        attention(t, p, m, i)
        t.matrix(p + "ffn_up", m.width, 2 * of(m.ff, i))
        t.matrix(p + "ffn_down", of(m.ff, i), m.width)

    return metadata_of(m, rope__dimension_count=m.head // 2), around(m, layer)


def gemma3n(m: Plain, window: int) -> Model:
    """Four streams side by side, of which one is computed, and an embedding for each layer."""
    streams, small, rank = 4, 256, 64

    def layer(t: Tensors, i: int, p: str) -> None:
        attention(t, p, m, i, norms="head")
        for name in (*ALL_NORMS, "post_norm", "laurel_post_norm", "altup_router_norm"):
            t.f32(f"{p}{name}.weight", m.width)
        t.f32(p + "altup_correct_scale.weight", m.width)
        feed_forward(t, p, m.width, of(m.ff, i))
        t.matrix(p + "inp_gate", m.width, small)
        t.matrix(p + "proj", small, m.width)
        t.f32(p + "altup_correct_coef.weight", streams, streams)
        t.f32(p + "altup_predict_coef.weight", streams, streams * streams)
        t.f32(p + "altup_router.weight", m.width, streams)
        t.matrix(p + "laurel_l", m.width, rank)
        t.matrix(p + "laurel_r", rank, m.width)

    rows: list[TensorSpec] = [
        ("altup_proj.weight", (m.width, m.width, streams - 1), "Q8_0"),
        ("altup_unembd_proj.weight", (m.width, m.width, streams - 1), "Q8_0"),
        ("per_layer_token_embd.weight", (small * m.layers, m.vocab), "Q8_0"),
        ("per_layer_model_proj.weight", (m.width, small * m.layers), "Q8_0"),
        ("per_layer_proj_norm.weight", (small,), "F32"),
    ]
    more = {"attention__sliding_window": window, "attention__shared_kv_layers": m.layers - 20}
    return metadata_of(m, **more), [*rows, *around(m, layer)]


def gemma4(
    m: Plain,
    *,
    window: int,
    window_head: int,
    period: int,
    shared: int = 0,
    small: int = 0,
    routed: tuple[int, int, int] | None = None,
) -> Model:
    """Full layers have longer heads; the last `shared` layers use the cache of earlier ones;
    `small` is the width of an embedding for each layer; `routed` is count, used and width."""
    windowed = [(i + 1) % period != 0 for i in range(m.layers)]

    def layer(t: Tensors, i: int, p: str) -> None:
        head = window_head if windowed[i] else m.head
        heads, kv = of(m.heads, i), of(m.kv_heads, i) * head
        for name in ALL_NORMS:
            t.f32(f"{p}{name}.weight", m.width)
        t.matrix(p + "attn_q", m.width, heads * head)
        t.f32(p + "attn_q_norm.weight", head)
        if i < m.layers - shared:
            t.matrix(p + "attn_k", m.width, kv)
            t.matrix(p + "attn_v", m.width, kv)
            t.f32(p + "attn_k_norm.weight", head)
        t.matrix(p + "attn_output", heads * head, m.width)
        t.f32(p + "layer_output_scale.weight", 1)
        feed_forward(t, p, m.width, of(m.ff, i))
        if small:
            t.matrix(p + "inp_gate", m.width, small)
            t.matrix(p + "proj", small, m.width)
            t.f32(p + "post_norm.weight", m.width)
        if routed:
            count, _, ff = routed
            t.f32(p + "ffn_gate_inp.weight", m.width, count)
            t.f32(p + "ffn_gate_inp.scale", m.width)
            for name in ("pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2"):
                t.f32(f"{p}{name}.weight", m.width)
            t.matrix(p + "ffn_gate_up_exps", m.width, 2 * ff, count)
            t.matrix(p + "ffn_down_exps", ff, m.width, count)

    rows: list[TensorSpec] = [("rope_freqs.weight", (m.head // 2,), "F32")]
    if small:
        rows += [
            ("per_layer_token_embd.weight", (small * m.layers, m.vocab), "Q8_0"),
            ("per_layer_model_proj.weight", (m.width, small * m.layers), "Q8_0"),
            ("per_layer_proj_norm.weight", (small,), "F32"),
        ]
    more: dict[str, Any] = {
        "attention__sliding_window": window,
        "attention__sliding_window_pattern": windowed,
        "attention__shared_kv_layers": shared,
        "attention__key_length_swa": window_head,
        "attention__value_length_swa": window_head,
        "rope__dimension_count_swa": window_head,
        "embedding_length_per_layer_input": small,
        "final_logit_softcapping": 30.0,
    }
    if routed:
        more |= dict(
            zip(
                ("expert_count", "expert_used_count", "expert_feed_forward_length"),
                routed,
                strict=True,
            )
        )
    return metadata_of(m, **more), [*rows, *around(m, layer)]


TRUE: Mapping[str, Callable[[], Model]] = {
    "llama 3.1 8B": partial(transformer, Plain("llama", 32, 4096, 32, 8, 128, 14336, 128256)),
    "qwen 2.5 7B": partial(
        transformer, Plain("qwen2", 28, 3584, 28, 4, 128, 18944, 152064), bias=True
    ),
    "qwen 3 4B": partial(
        transformer, Plain("qwen3", 36, 2560, 32, 8, 128, 9728, 151936, tied=True), norms="head"
    ),
    "gemma 2 9B": partial(
        gemma2, Plain("gemma2", 42, 3584, 16, 8, 256, 14336, 256000, tied=True), 4096
    ),
    "gemma 3 12B": partial(
        transformer,
        Plain("gemma3", 48, 3840, 16, 8, 256, 15360, 262208, tied=True),
        norms="head",
        around_parts=ALL_NORMS,
        attention__sliding_window=1024,
    ),
    "gemma 3n E4B": partial(
        gemma3n, Plain("gemma3n", 35, 2048, 8, 2, 256, 16384, 262144, tied=True), 512
    ),
    "gemma 4 E4B": partial(
        gemma4,
        Plain("gemma4", 42, 2560, 8, 2, 512, 10240, 262144, tied=True),
        window=512,
        window_head=256,
        period=6,
        shared=18,
        small=256,
    ),
    "gemma 4 31B": partial(
        gemma4,
        Plain(
            "gemma4",
            60,
            5376,
            32,
            tuple(4 if i % 6 == 5 else 16 for i in range(60)),
            512,
            21504,
            262144,
            tied=True,
        ),
        window=1024,
        window_head=256,
        period=6,
    ),
    "gemma 4 26B-A4B": partial(
        gemma4,
        Plain(
            "gemma4",
            30,
            2816,
            16,
            tuple(2 if i % 6 == 5 else 8 for i in range(30)),
            512,
            2112,
            262144,
            tied=True,
        ),
        window=1024,
        window_head=256,
        period=6,
        routed=(128, 8, 704),
    ),
    "granite 3.3 8B": partial(
        transformer, Plain("granite", 40, 4096, 32, 8, 128, 12800, 49155, tied=True), **GRANITE
    ),
    "command R7B": partial(
        cohere,
        Plain("cohere2", 32, 4096, 32, 8, 128, 14336, 256000, tied=True),
        attention__sliding_window=4096,
    ),
    "command R 35B": partial(
        cohere, Plain("command-r", 40, 8192, 64, 64, 128, 22528, 256000, tied=True)
    ),
    "phi 3 mini": partial(phi3, Plain("phi3", 32, 3072, 32, 32, 96, 8192, 32064), 2047),
    "olmo 2 7B": partial(
        after_only, Plain("olmo2", 32, 4096, 32, 32, 128, 11008, 100352), norms="whole"
    ),
    "olmo 3 32B": partial(
        after_only,
        Plain("olmo2", 64, 5120, 40, 8, 128, 27648, 100352),
        norms="whole",
        attention__sliding_window=4096,
    ),
    "exaone 4 32B": partial(
        after_only,
        Plain("exaone4", 64, 5120, 40, 8, 128, 27392, 102400),
        norms="head",
        attention__sliding_window=4096,
    ),
    "exaone 4 1.2B": partial(
        after_only, Plain("exaone4", 30, 2048, 32, 8, 64, 4096, 102400, tied=True), norms="head"
    ),
    "ministral 3 8B": partial(
        transformer, Plain("mistral3", 34, 4096, 32, 8, 128, 14336, 131072, tied=True)
    ),
    "smollm 3 3B": partial(
        transformer, Plain("smollm3", 36, 2048, 16, 4, 128, 11008, 128256, tied=True)
    ),
    "seed-oss 36B": partial(
        transformer,
        Plain("seed_oss", 64, 5120, 80, 8, 128, 27648, 155136),
        bias=True,
        around_parts=("attn_norm", "post_attention_norm"),
    ),
    "starcoder 2 15B": partial(starcoder2, Plain("starcoder2", 40, 6144, 48, 4, 128, 24576, 49152)),
    "glm 4 9B": partial(glm4, Plain("glm4", 40, 4096, 32, 2, 128, 13696, 151552)),
    "muse glimmer": partial(
        transformer,
        Plain("muse-glimmer", 32, 3072, 24, 4, 128, 9216, 200000),
        norms="head",
        around_parts=ALL_NORMS,
        gate="value",
        attention__sliding_window=1024,
        logit_scale=0.5,
    ),
}
"""A model's name → its header; true sizes as its maker publishes them."""

INVENTED: Mapping[str, Callable[[], Model]] = {
    "odd llama": partial(transformer, Plain("llama", 13, 1760, 11, 11, 160, 3808, 9001)),
    "wide heads qwen3": partial(
        transformer, Plain("qwen3", 11, 1024, 24, 3, 192, 1536, 30011), norms="head"
    ),
    "odd gemma3": partial(
        transformer,
        Plain("gemma3", 17, 1184, 7, 1, 96, 3616, 20001, tied=True),
        norms="head",
        around_parts=ALL_NORMS,
        attention__sliding_window=777,
    ),
    "odd gemma2": partial(gemma2, Plain("gemma2", 9, 1280, 10, 5, 64, 2080, 9000, tied=True), 300),
    "odd gemma3n": partial(
        gemma3n, Plain("gemma3n", 23, 1280, 5, 1, 128, 3200, 9000, tied=True), 600
    ),
    "odd gemma4": partial(
        gemma4,
        Plain(
            "gemma4", 14, 1536, 6, (3,) * 7 + (1,) * 7, 384, (3072,) * 7 + (6144,) * 7, 9000, True
        ),
        window=900,
        window_head=96,
        period=5,
        shared=4,
        small=64,
    ),
    "odd cohere2": partial(
        cohere,
        Plain("cohere2", 10, 2240, 14, 7, 160, 4800, 9000, tied=True),
        attention__sliding_window=1111,
        attention__sliding_window_pattern=3,
    ),
    "odd olmo2": partial(
        after_only,
        Plain("olmo2", 10, 1440, 9, 3, 160, 2912, 9000),
        norms="whole",
        attention__sliding_window=500,
        attention__sliding_window_pattern=[True, False] * 5,
    ),
    "odd exaone4": partial(
        after_only,
        Plain("exaone4", 12, 1152, 9, 3, 128, 2912, 9000),
        norms="head",
        attention__sliding_window=500,
    ),
    "odd starcoder2": partial(
        starcoder2, Plain("starcoder2", 9, 1152, 9, 3, 128, 4000, 9000, tied=True)
    ),
    "odd muse": partial(
        transformer,
        Plain("muse-glimmer", 10, 1152, 12, 3, 128, 2912, 9000),
        norms="head",
        around_parts=ALL_NORMS,
        gate="value",
        attention__sliding_window=700,
        logit_scale=0.5,
    ),
    "odd granite": partial(
        transformer, Plain("granite", 9, 1152, 18, 6, 64, 3008, 9000), **GRANITE
    ),
    "odd phi3": partial(phi3, Plain("phi3", 9, 1152, 18, 6, 64, 3008, 9000), 700),
}
"""Shapes that no maker publishes: odd head counts, windows beside any padding, uneven layers."""
