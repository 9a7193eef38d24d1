"""What a model computes with beside its usual feed-forward parts, in values for each token. Pure.

Read off the order of the engine's graphs and fitted to invented shapes (xllamacpp 2026.10.11549).
Nearly everywhere five values for each of the model's width lie beside what a part itself needs.
"""

from __future__ import annotations

from agentlaunch.models.gguf_header import Tensor
from agentlaunch.models.gguf_keys import Keys
from agentlaunch.models.layers import DELTANET, MAMBA_WITHOUT_GROUPS
from agentlaunch.models.shape import LayerCache

KEPT = 5
"""Values for each of the model's width that lie beside a part."""
SHORT_CONVOLUTION = 9
TIME_MIX = {"rwkv6": 15, "rwkv7": 20}
"""Values for each of the model's width while a layer mixes over time."""


def mixing_values(
    keys: Keys, tensors: tuple[Tensor, ...], layers: tuple[LayerCache, ...]
) -> tuple[int, int]:
    """Most values that anything but a usual feed-forward part needs at once for each token, for
    one sequence and for each of several; 0 where that is never the most."""
    width = keys.number("embedding_length", 0)
    most = [_wide_attention(keys, layers, width), _shared_expert(tensors, width)]
    most.append(_latent(keys, width))
    if keys.has("shortconv.l_cache"):
        most.append(SHORT_CONVOLUTION * width)
    if keys.architecture in TIME_MIX:
        most.append(TIME_MIX[keys.architecture] * width)
    one, many = _scan(keys, width)
    return max(*most, one), max(*most, many)


def feed_forward_copies(tensors: tuple[Tensor, ...]) -> int:
    """How often the width of a feed-forward part counts: gate, up and their product, or once
    where there is no gate (the gate may be the other half of a wide `up`)."""
    dims = {row.name.partition(".ffn_")[2]: row.dims for row in tensors if ".ffn_" in row.name}
    up, down = dims.get("up.weight"), dims.get("down.weight")
    if up is None or down is None:
        gated = not dims or "up_exps.weight" not in dims or "gate_exps.weight" in dims
        return 3 if gated else 1
    return 3 if "gate.weight" in dims or up[-1] > down[0] else 1


def per_layer_values(tensors: tuple[Tensor, ...]) -> int:
    """Values of an embedding for each layer, which lies there from the first to the last."""
    rows = (row.dims[0] for row in tensors if row.name == "per_layer_token_embd.weight")
    return max(rows, default=0)


def _wide_attention(keys: Keys, layers: tuple[LayerCache, ...], width: int) -> int:
    """Queries and what attention gives stand side by side; usually narrower than the other parts,
    and then not told."""
    heads = keys.number("attention.head_count", 0)
    rows = [(row.heads or heads, row) for row in layers if row.kv_heads and row.value_length]
    queries = max((count * row.key_length for count, row in rows), default=0)
    given = max((count * row.value_length for count, row in rows), default=0)
    gates = 2 * queries if keys.architecture in DELTANET else 0
    return KEPT * width + queries + given + gates if queries > width else 0


def _shared_expert(tensors: tuple[Tensor, ...], width: int) -> int:
    widths = (row.dims[-1] for row in tensors if row.name.endswith(".ffn_gate_shexp.weight"))
    shared = max(widths, default=0)
    return 3 * shared + KEPT * width if shared else 0


def _latent(keys: Keys, width: int) -> int:
    if not keys.number("attention.key_length_mla", 0):
        return 0
    heads, rotated = keys.number("attention.head_count", 0), keys.number("rope.dimension_count", 0)
    latent = keys.number("attention.kv_lora_rank", 0) + rotated
    values = heads * (keys.number("attention.key_length_mla", 0) + 2 * latent)
    # the rotated part goes into a hole as wide as the model when it fits there
    return KEPT * width + values - (heads * rotated if heads * rotated <= width else 0)


def _scan(keys: Keys, width: int) -> tuple[int, int]:
    inner = keys.number("ssm.inner_size", 0)
    if not inner:
        return 0, 0
    mixed = inner + 2 * keys.number("ssm.group_count", 0) * keys.number("ssm.state_size", 0)
    if keys.architecture in DELTANET:
        one = KEPT * width + 2 * mixed
        return one, max(one, 3 * (width + mixed))
    if keys.architecture in MAMBA_WITHOUT_GROUPS:
        return (KEPT * (width + inner),) * 2
    entering = inner + mixed + keys.number("ssm.time_step_rank", 0)
    return (KEPT * width + entering + 2 * mixed + inner,) * 2
