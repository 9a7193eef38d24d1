"""Headers of models whose layers remember a state of fixed size, alone or between attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from header_parts import (
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
)
from headers_routed import Latent, latent_attention, latent_keys


@dataclass(frozen=True)
class Scan:
    """A recurrent part: the convolution's length, width, values of state, ranks (heads) and
    groups of it."""

    conv: int
    inner: int
    state: int
    rank: int
    groups: int

    @property
    def mixed(self) -> int:
        return self.inner + 2 * self.groups * self.state

    def keys(self) -> dict[str, Any]:
        """The metadata of it."""
        return {
            "ssm__conv_kernel": self.conv,
            "ssm__inner_size": self.inner,
            "ssm__state_size": self.state,
            "ssm__time_step_rank": self.rank,
            "ssm__group_count": self.groups,
        }


def fitted(t: Tensors, p: str, m: Plain, i: int, routed: Routed | None) -> None:
    """The feed-forward part of a layer, routed or dense."""
    if routed and routed.at(i):
        experts(t, p, m.width, routed)
    else:
        feed_forward(t, p, m.width, of(m.ff, i))


def deltanet(
    m: Plain, scan: Scan, routed: Routed | None = None, *, every: int = 4, turned: int = 64
) -> Model:
    """Qwen 3 Next and Qwen 3.5: each n-th layer attends, the others are gated delta nets."""
    joined = m.architecture == "qwen3next"

    def layer(t: Tensors, i: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        t.f32(p + "post_attention_norm.weight", m.width)
        if (i + 1) % every == 0:
            attention(t, p, m, i, norms="head", wide=2)
        else:
            t.matrix(p + "attn_qkv", m.width, scan.mixed)
            t.matrix(p + "attn_gate", m.width, scan.inner)
            t.f32(p + "ssm_conv1d.weight", scan.conv, scan.mixed)
            t.f32(p + "ssm_dt.bias", scan.rank)
            t.f32(p + "ssm_a", scan.rank)
            for name in ("ssm_ba",) if joined else ("ssm_beta", "ssm_alpha"):
                t.matrix(p + name, m.width, scan.rank * (2 if joined else 1))
            t.f32(p + "ssm_norm.weight", scan.inner // scan.rank)
            t.matrix(p + "ssm_out", scan.inner, m.width)
        fitted(t, p, m, i, routed)

    more: dict[str, Any] = {**scan.keys(), "rope__dimension_count": turned}
    if routed:
        more |= routed.keys()
    if not joined:
        more["rope__dimension_sections"] = [turned // 4, turned // 8, turned // 8, 0]
    if every != 4:
        more["full_attention_interval"] = every
    return metadata_of(m, **more), around(m, layer)


def scan_first(t: Tensors, p: str, m: Plain, scan: Scan, *, normed: bool = False) -> None:
    """The recurrent part of a Mamba-1 layer; Jamba has norms inside."""
    t.matrix(p + "ssm_in", m.width, 2 * scan.inner)
    t.f32(p + "ssm_conv1d.weight", scan.conv, scan.inner)
    t.f32(p + "ssm_conv1d.bias", scan.inner)
    t.matrix(p + "ssm_x", scan.inner, scan.rank + 2 * scan.state)
    t.matrix(p + "ssm_dt", scan.rank, scan.inner)
    t.f32(p + "ssm_dt.bias", scan.inner)
    t.f32(p + "ssm_a", scan.state, scan.inner)
    t.f32(p + "ssm_d", scan.inner)
    t.matrix(p + "ssm_out", scan.inner, m.width)
    if normed:
        t.f32(p + "ssm_dt_norm.weight", scan.rank)
        t.f32(p + "ssm_b_norm.weight", scan.state)
        t.f32(p + "ssm_c_norm.weight", scan.state)


def scan_second(t: Tensors, p: str, m: Plain, scan: Scan, *, normed: bool = True) -> None:
    """The recurrent part of a Mamba-2 layer."""
    t.matrix(p + "ssm_in", m.width, scan.inner + scan.mixed + scan.rank)
    t.f32(p + "ssm_conv1d.weight", scan.conv, scan.mixed)
    t.f32(p + "ssm_conv1d.bias", scan.mixed)
    t.f32(p + "ssm_dt.bias", scan.rank)
    t.f32(p + "ssm_a", 1, scan.rank)
    t.f32(p + "ssm_d", 1, scan.rank)
    if normed:
        t.f32(p + "ssm_norm.weight", scan.inner // scan.groups, scan.groups)
    t.matrix(p + "ssm_out", scan.inner, m.width)


def mamba(m: Plain, scan: Scan) -> Model:
    """No attention at all."""
    second = m.architecture == "mamba2"

    def layer(t: Tensors, _: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        (scan_second if second else scan_first)(t, p, m, scan)

    metadata = metadata_of(m, **scan.keys())
    for key in ("attention.key_length", "attention.value_length", "rope.dimension_count"):
        del metadata[f"{m.architecture}.{key}"]
    return metadata, around(m, layer)


def hybrid(m: Plain, scan: Scan, routed: Routed | None = None, **more: Any) -> Model:
    """Jamba and Granite 4 H: a layer without heads for keys is recurrent."""
    second = m.architecture != "jamba"

    def layer(t: Tensors, i: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        if of(m.kv_heads, i):
            attention(t, p, m, i)
        elif second:
            scan_second(t, p, m, scan)
        else:
            scan_first(t, p, m, scan, normed=True)
        t.f32(p + "ffn_norm.weight", m.width)
        fitted(t, p, m, i, routed)

    keys = routed.keys() if routed else {}
    return metadata_of(m, **{**keys, **more}, **scan.keys()), around(m, layer)


def nemotron_h(m: Plain, scan: Scan, pattern: str, routed: Routed | None = None) -> Model:
    """A layer is recurrent (M), or attends (*), or is a feed-forward part (-) without gate."""

    def layer(t: Tensors, i: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        if pattern[i] == "M":
            scan_second(t, p, m, scan)
        elif pattern[i] == "*":
            attention(t, p, m, i)
        elif routed:
            t.f32(p + "ffn_gate_inp.weight", m.width, routed.count)
            t.f32(p + "exp_probs_b.bias", routed.count)
            t.matrix(p + "ffn_up_exps", m.width, routed.ff, routed.count)
            t.matrix(p + "ffn_down_exps", routed.ff, m.width, routed.count)
            t.matrix(p + "ffn_up_shexp", m.width, routed.shared)
            t.matrix(p + "ffn_down_shexp", routed.shared, m.width)
        else:
            t.matrix(p + "ffn_up", m.width, of(m.ff, i))
            t.matrix(p + "ffn_down", of(m.ff, i), m.width)

    return metadata_of(m, **(routed.keys() if routed else {}), **scan.keys()), around(m, layer)


def by(pattern: str, kind: str, number: int) -> tuple[int, ...]:
    """The number where the pattern has this kind of layer, else 0."""
    return tuple(number if letter == kind else 0 for letter in pattern)


def falcon_h1(m: Plain, scan: Scan) -> Model:
    """Every layer attends and is recurrent too."""

    def layer(t: Tensors, i: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        attention(t, p, m, i)
        scan_second(t, p, m, scan, normed=False)
        t.f32(p + "ffn_norm", m.width)  # the loader asks for it without `.weight`
        feed_forward(t, p, m.width, of(m.ff, i))

    return metadata_of(m, **scan.keys()), around(m, layer)


def lfm2(m: Plain, routed: Routed | None = None, *, kept: int = 3) -> Model:
    """Short convolutions between few attention layers."""

    def layer(t: Tensors, i: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        if of(m.kv_heads, i):
            attention(t, p, m, i, norms="head")
        else:
            t.matrix(p + "shortconv.in_proj", m.width, 3 * m.width)
            t.f32(p + "shortconv.conv.weight", kept, m.width)
            t.matrix(p + "shortconv.out_proj", m.width, m.width)
        t.f32(p + "ffn_norm.weight", m.width)
        fitted(t, p, m, i, routed)

    more = {"shortconv__l_cache": kept, **(routed.keys() if routed else {})}
    return metadata_of(m, **more), around(m, layer, last_norm="token_embd_norm.weight")


def plamo2(m: Plain, scan: Scan) -> Model:
    small = max(64, m.width // 16)

    def layer(t: Tensors, i: int, p: str) -> None:
        heads, kv = of(m.heads, i), of(m.kv_heads, i)
        for name in ("attn_norm.weight", "post_attention_norm", "ffn_norm.weight", "post_ffw_norm"):
            t.f32(p + name, m.width)
        if kv:
            t.matrix(p + "attn_qkv", m.width, (heads + kv) * m.head + kv * m.value_length)
            t.f32(p + "attn_q_norm.weight", m.head, heads)
            t.f32(p + "attn_k_norm.weight", m.head, kv)
            t.matrix(p + "attn_output", heads * m.value_length, m.width)
        else:
            t.matrix(p + "ssm_in", m.width, 2 * scan.inner)
            t.f32(p + "ssm_conv1d.weight", scan.conv, scan.inner)
            t.matrix(p + "ssm_x", scan.inner, small + 2 * scan.state)
            t.matrix(p + "ssm_dt", small, scan.rank)
            t.f32(p + "ssm_dt.bias", scan.rank)
            t.f32(p + "ssm_a", scan.rank)
            t.f32(p + "ssm_d", scan.rank)
            t.matrix(p + "ssm_out", scan.inner, m.width)
            for name, size in (("dt", small), ("b", scan.state), ("c", scan.state)):
                t.f32(f"{p}ssm_{name}_norm", size)
        t.matrix(p + "ffn_up", m.width, 2 * of(m.ff, i))
        t.matrix(p + "ffn_down", of(m.ff, i), m.width)

    return metadata_of(m, **scan.keys()), around(m, layer)


def kimi_linear(m: Plain, row: Latent, routed: Routed, *, head: int, conv: int) -> Model:
    """Delta attention with latent attention in each n-th layer."""
    heads = of(m.heads, 0)
    inner = heads * head

    def layer(t: Tensors, i: int, p: str) -> None:
        t.f32(p + "attn_norm.weight", m.width)
        if of(m.kv_heads, i):
            latent_attention(t, p, m, row)
        else:
            for name in "qkv":
                t.matrix(f"{p}attn_{name}", m.width, inner)
                t.f32(f"{p}ssm_conv1d_{name}.weight", conv, 1, inner)
            for name in ("ssm_f", "ssm_g"):
                t.matrix(f"{p}{name}_a", m.width, head)
                t.matrix(f"{p}{name}_b", head, inner)
            t.matrix(p + "ssm_beta", m.width, heads)
            t.f32(p + "ssm_a", 1, heads)
            t.f32(p + "ssm_dt.bias", inner)
            t.f32(p + "ssm_norm.weight", head)
            t.matrix(p + "attn_output", inner, m.width)
        t.f32(p + "ffn_norm.weight", m.width)
        fitted(t, p, m, i, routed)

    more = {"ssm__conv_kernel": conv, "kda__head_dim": head, **routed.keys(), **latent_keys(row)}
    return metadata_of(m, **more), around(m, layer)


def rwkv6(m: Plain, *, head: int, mix: int, decay: int) -> Model:
    def layer(t: Tensors, i: int, p: str) -> None:
        for name in ("attn_norm", "attn_norm_2", "time_mix_ln"):
            t.f32(f"{p}{name}.weight", m.width)
            t.f32(f"{p}{name}.bias", m.width)
        t.matrix(p + "time_mix_w1", m.width, 5 * mix)
        t.f32(p + "time_mix_w2.weight", mix, m.width, 5)
        t.f32(p + "time_mix_lerp_x.weight", m.width, 1, 1)
        t.f32(p + "time_mix_lerp_fused.weight", m.width, 1, 1, 5)
        t.f32(p + "time_mix_first.weight", head, m.width // head)
        t.f32(p + "time_mix_decay.weight", m.width)
        t.matrix(p + "time_mix_decay_w1", m.width, decay)
        t.matrix(p + "time_mix_decay_w2", decay, m.width)
        for name in ("key", "value", "receptance", "gate", "output"):
            t.matrix(f"{p}time_mix_{name}", m.width, m.width)
        for name in ("k", "r"):
            t.f32(f"{p}channel_mix_lerp_{name}.weight", m.width, 1, 1)
        t.matrix(p + "channel_mix_key", m.width, of(m.ff, i))
        t.matrix(p + "channel_mix_value", of(m.ff, i), m.width)
        t.matrix(p + "channel_mix_receptance", m.width, m.width)

    more = {"wkv__head_size": head, "time_mix_extra_dim": mix, "time_decay_extra_dim": decay}
    return without_attention(m, **more), [*around(m, layer), *normed_embedding(m)]


def rwkv7(m: Plain, *, head: int, ranks: tuple[int, int, int, int]) -> Model:
    """`ranks` are those of decay, learning rate, value and gate."""
    decay, learning, value, gate = ranks

    def layer(t: Tensors, i: int, p: str) -> None:
        for name in ("attn_norm", "attn_norm_2", "time_mix_ln"):
            t.f32(f"{p}{name}.weight", m.width)
            t.f32(f"{p}{name}.bias", m.width)
        third = learning if i == 0 else value
        for name, rank in (("w", decay), ("a", learning), ("v", third), ("g", gate)):
            if name != "g":
                t.f32(f"{p}time_mix_{name}0.weight", m.width)
            t.matrix(f"{p}time_mix_{name}1", m.width, rank)
            t.matrix(f"{p}time_mix_{name}2", rank, m.width)
        t.f32(p + "time_mix_lerp_fused.weight", m.width, 1, 1, 6)
        for name in ("k_k", "k_a", "r_k"):
            t.f32(f"{p}time_mix_{name}.weight", m.width)
        for name in ("key", "value", "receptance", "output"):
            t.matrix(f"{p}time_mix_{name}", m.width, m.width)
        t.f32(p + "channel_mix_lerp_k.weight", m.width, 1, 1)
        t.matrix(p + "channel_mix_key", m.width, of(m.ff, i))
        t.matrix(p + "channel_mix_value", of(m.ff, i), m.width)

    names = ("decay", "iclr", "value_residual_mix", "gate")
    more = {f"attention__{key}_lora_rank": rank for key, rank in zip(names, ranks, strict=True)}
    return without_attention(m, wkv__head_size=head, **more), [
        *around(m, layer),
        *normed_embedding(m),
    ]


def without_attention(m: Plain, **more: Any) -> dict[str, Any]:
    """Metadata without the lengths of keys and values."""
    metadata = metadata_of(m, **more)
    for key in ("attention.key_length", "attention.value_length", "rope.dimension_count"):
        del metadata[f"{m.architecture}.{key}"]
    return metadata


def normed_embedding(m: Plain) -> list[Any]:
    """Norms that stand behind the embedding and before the head."""
    names = ("token_embd_norm.weight", "token_embd_norm.bias", "output_norm.bias")
    return [(name, (m.width,), "F32") for name in names]


NANO = "M-M-M-MM-M-M-M*-M-M-M*-M-M-M-M*-M-M-M-M*-M-MM-M-M-M-M-M-"
NANO3 = "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME"
ODD = "M*-MM-*-M-"
LFM = tuple(8 if i in (2, 5, 8, 10, 12, 14) else 0 for i in range(16))
LFM_MOE = tuple(8 if i in (2, 6, 10, 14, 18, 21) else 0 for i in range(24))
GRANITE_H = tuple(4 if i in (5, 15, 25, 35) else 0 for i in range(40))
JAMBA = tuple(2 if i % 14 == 6 else 0 for i in range(28))
KIMI = tuple(1 if i % 4 == 3 else 0 for i in range(27))
SCALES: dict[str, Any] = {
    "attention__scale": 0.0078125,
    "embedding_scale": 12.0,
    "residual_scale": 0.22,
    "logit_scale": 6.0,
}

TRUE: Mapping[str, Callable[[], Model]] = {
    "qwen 3 next 80B-A3B": partial(
        deltanet,
        Plain("qwen3next", 48, 2048, 16, 2, 256, 5120, 151936),
        Scan(4, 4096, 128, 32, 16),
        Routed(512, 10, 512, shared=512, shared_gate=True),
    ),
    "qwen 3.5 9B": partial(
        deltanet,
        Plain("qwen35", 32, 4096, 16, 4, 256, 12288, 248320),
        Scan(4, 4096, 128, 32, 16),
    ),
    "qwen 3.5 0.8B": partial(
        deltanet,
        Plain("qwen35", 24, 1024, 8, 2, 256, 3584, 248320, tied=True),
        Scan(4, 2048, 128, 16, 16),
    ),
    "qwen 3.5 35B-A3B": partial(
        deltanet,
        Plain("qwen35moe", 40, 2048, 16, 2, 256, 512, 248320),
        Scan(4, 4096, 128, 32, 16),
        Routed(256, 8, 512, shared=512, shared_gate=True),
    ),
    "mamba 2.8B": partial(
        mamba, Plain("mamba", 64, 2560, 0, 0, 0, 0, 50280, tied=True), Scan(4, 5120, 16, 160, 0)
    ),
    "mamba 2 2.7B": partial(
        mamba, Plain("mamba2", 64, 2560, 0, 0, 0, 0, 50288, tied=True), Scan(4, 5120, 128, 80, 1)
    ),
    "codestral mamba 7B": partial(
        mamba, Plain("mamba2", 64, 4096, 0, 0, 0, 0, 32768), Scan(4, 8192, 128, 128, 8)
    ),
    "jamba reasoning 3B": partial(
        hybrid,
        Plain("jamba", 28, 2560, 20, JAMBA, 128, 8192, 65536, tied=True),
        Scan(4, 5120, 16, 160, 0),
    ),
    "granite 4 h tiny": partial(
        hybrid,
        Plain("granitehybrid", 40, 1536, 12, GRANITE_H, 128, 512, 100352, tied=True),
        Scan(4, 3072, 128, 48, 1),
        Routed(64, 6, 512, shared=1024),
        **SCALES,
    ),
    "nemotron nano 9B": partial(
        nemotron_h,
        Plain("nemotron_h", 56, 4480, 40, by(NANO, "*", 8), 128, by(NANO, "-", 15680), 131072),
        Scan(4, 10240, 128, 128, 8),
        NANO,
    ),
    "nemotron 3 nano 30B-A3B": partial(
        nemotron_h,
        Plain(
            "nemotron_h_moe",
            len(NANO3),
            2688,
            32,
            by(NANO3, "*", 2),
            128,
            by(NANO3, "E", 1856),
            131072,
        ),
        Scan(4, 4096, 128, 64, 8),
        NANO3,
        Routed(128, 6, 1856, shared=3712, chosen_by_bias=True),
    ),
    "falcon h1 7B": partial(
        falcon_h1,
        Plain("falcon-h1", 44, 3072, 12, 2, 128, 12288, 130048),
        Scan(4, 3072, 256, 24, 1),
    ),
    "lfm2 1.2B": partial(lfm2, Plain("lfm2", 16, 2048, 32, LFM, 64, 8192, 65536, tied=True)),
    "lfm2 8B-A1B": partial(
        lfm2,
        Plain("lfm2moe", 24, 2048, 32, LFM_MOE, 64, 7168, 65536, tied=True),
        Routed(32, 4, 1792, dense=2, chosen_by_bias=True),
    ),
    "plamo 2 8B": partial(
        plamo2,
        Plain(
            "plamo2", 32, 4096, 32, tuple(4 if i % 2 else 0 for i in range(32)), 128, 16384, 100000
        ),
        Scan(4, 8192, 64, 64, 0),
    ),
    "kimi linear 48B-A3B": partial(
        kimi_linear,
        Plain("kimi-linear", 27, 2304, 32, KIMI, 576, 9216, 163840),
        Latent(128, 64, 512, 128),
        Routed(256, 8, 1024, shared=1024, dense=1, chosen_by_bias=True),
        head=128,
        conv=4,
    ),
    "rwkv 6 7B": partial(
        rwkv6, Plain("rwkv6", 32, 4096, 0, 0, 0, 14336, 65536), head=64, mix=64, decay=128
    ),
    "rwkv 7 2.9B": partial(
        rwkv7, Plain("rwkv7", 32, 2560, 0, 0, 0, 10240, 65536), head=64, ranks=(96, 96, 64, 320)
    ),
}
"""A model's name → its header; true sizes as its maker publishes them."""

INVENTED: Mapping[str, Callable[[], Model]] = {
    "odd qwen3next": partial(
        deltanet,
        Plain("qwen3next", 9, 1152, 9, 3, 96, 4000, 9000),
        Scan(5, 1536, 96, 16, 4),
        Routed(24, 5, 288, shared=800, shared_gate=True),
        every=3,
        turned=32,
    ),
    "odd qwen35": partial(
        deltanet,
        Plain("qwen35", 9, 1152, 9, 3, 96, 1120, 9000),
        Scan(3, 1728, 96, 18, 6),
        every=3,
        turned=32,
    ),
    "odd qwen35moe": partial(
        deltanet,
        Plain("qwen35moe", 8, 1152, 9, 3, 96, 480, 9000),
        Scan(3, 1152, 96, 12, 4),
        Routed(24, 5, 480, shared=480, shared_gate=True),
        turned=32,
    ),
    "odd mamba": partial(
        mamba, Plain("mamba", 9, 1152, 0, 0, 0, 0, 9000), Scan(5, 2304, 24, 72, 0)
    ),
    "odd mamba2": partial(
        mamba, Plain("mamba2", 9, 1152, 0, 0, 0, 0, 9000), Scan(5, 2304, 96, 36, 3)
    ),
    "odd jamba": partial(
        hybrid,
        Plain("jamba", 8, 1152, 9, (0, 3, 0, 0, 3, 0, 0, 0), 128, 2912, 9000),
        Scan(5, 2304, 24, 72, 0),
        Routed(6, 2, 2912, step=2),
    ),
    "odd granitehybrid": partial(
        hybrid,
        Plain("granitehybrid", 8, 1152, 9, (0, 3, 0, 0, 3, 0, 0, 0), 128, 2912, 9000),
        Scan(5, 2304, 96, 36, 3),
        **SCALES,
    ),
    "odd nemotron_h": partial(
        nemotron_h,
        Plain("nemotron_h", 10, 1152, 9, by(ODD, "*", 3), 96, by(ODD, "-", 5024), 9000),
        Scan(5, 1536, 96, 24, 3),
        ODD,
    ),
    "odd nemotron_h_moe": partial(
        nemotron_h,
        Plain("nemotron_h_moe", 10, 1152, 9, by(ODD, "*", 3), 96, by(ODD, "-", 480), 9000),
        Scan(5, 1536, 96, 24, 3),
        ODD,
        Routed(24, 5, 480, shared=2400, chosen_by_bias=True),
    ),
    "odd falcon-h1": partial(
        falcon_h1, Plain("falcon-h1", 9, 1152, 9, 3, 128, 2912, 9000), Scan(5, 1536, 96, 24, 3)
    ),
    "odd lfm2": partial(
        lfm2, Plain("lfm2", 7, 1152, 18, (0, 6, 0, 0, 6, 0, 0), 64, 1120, 9000), kept=5
    ),
    "odd lfm2moe": partial(
        lfm2,
        Plain("lfm2moe", 7, 1152, 18, (0, 6, 0, 0, 6, 0, 0), 64, 2912, 9000),
        Routed(24, 5, 480, dense=1, chosen_by_bias=True),
        kept=5,
    ),
    "odd plamo2": partial(
        plamo2,
        Plain("plamo2", 8, 1280, 9, (0, 3, 0, 3, 0, 3, 0, 3), 96, 2912, 9000, value=96),
        Scan(5, 2304, 32, 36, 0),
    ),
    "odd kimi-linear": partial(
        kimi_linear,
        Plain("kimi-linear", 7, 1152, 9, (0, 0, 1, 0, 0, 1, 0), 352, 2912, 9000),
        Latent(96, 32, 320, 160),
        Routed(24, 5, 480, shared=480, dense=1, chosen_by_bias=True),
        head=96,
        conv=5,
    ),
    "odd rwkv6": partial(
        rwkv6, Plain("rwkv6", 7, 1152, 0, 0, 0, 2912, 9000), head=32, mix=32, decay=64
    ),
    "odd rwkv7": partial(
        rwkv7, Plain("rwkv7", 7, 1152, 0, 0, 0, 2912, 9000), head=32, ranks=(64, 32, 32, 96)
    ),
}
"""Shapes that no maker publishes: long convolutions, odd groups and ranks, uneven patterns."""
