"""Where the bytes of a published size lie, when no header says so: guessed from widths. Pure.

The mix of types is llama.cpp's own (llama-quantize, builds of 2026): for Q4_K_M it reproduces
published files within 0.1 %. The total is never guessed: it is the published size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agentlaunch.models.gguf_header import BLOCKS
from agentlaunch.models.shape import ModelShape, Weights

EXPERT_PERCENT = 90
"""Experts in a routed model whose widths are unknown: 90 to 95 % in those that were read."""
MOST_EXPERT_PERCENT = 98
"""Experts never take more than this of what embedding and head leave (the published size is
rounded; 512 narrow experts come to 97 %)."""

F16_BYTES = 2

_BLOCK_BYTES = {name: (values, size) for name, values, size in BLOCKS.values()}


class Mix(NamedTuple):
    """Which type a build gives to what: most matrices, the better half of the down projections,
    the output head, and routed experts where they differ."""

    body: str
    better: str
    head: str
    experts: str | None = None


MIXES = {
    "Q2_K": Mix("Q2_K", "Q3_K", "Q6_K"),
    "Q3_K_M": Mix("Q3_K", "Q4_K", "Q6_K"),
    "Q4_0": Mix("Q4_0", "Q4_0", "Q6_K"),
    "Q4_K_M": Mix("Q4_K", "Q6_K", "Q6_K"),
    "Q5_K_M": Mix("Q5_K", "Q6_K", "Q6_K"),
    "Q6_K": Mix("Q6_K", "Q6_K", "Q6_K"),
    "Q8_0": Mix("Q8_0", "Q8_0", "Q8_0"),
    "BF16": Mix("BF16", "BF16", "BF16"),
    "MXFP4": Mix("BF16", "BF16", "BF16", experts="MXFP4"),
}
"""Build → its types. MXFP4 is gpt-oss as published: only the experts are small."""

_SAME = {"F16": "BF16", "FP16": "BF16", "QAT": "Q4_0"}
_BITS = {
    "Q2_K": 3.0,
    "Q3_K_M": 3.9,
    "Q4_0": 4.6,
    "Q4_K_M": 4.85,
    "Q5_K_M": 5.7,
    "Q6_K": 6.6,
    "Q8_0": 8.5,
    "BF16": 16.0,
}
"""Bits for each parameter of a whole file, to tell a build whose name nobody gave."""

_FALLBACK = {"Q2_K": "IQ4_NL", "Q3_K": "IQ4_NL", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
"""What a row that is no multiple of 256 becomes (llama-quantize)."""


def guessed_weights(shape: ModelShape, published_bytes: int | None) -> Weights | None:
    """A published size in bytes, laid out as a header of this shape would have it.

    Embedding, head and experts follow from their widths and the build's types (`shape.quant`, else
    told by bits for each parameter); the rest goes evenly over the layers, so that everything
    together is exactly `published_bytes`. None when that is None.
    """
    if published_bytes is None:
        return None
    width, vocab, count = shape.embedding_length, shape.vocab_size, len(shape.layers)
    if width is None or vocab is None or not count:
        return _evenly(shape, published_bytes)
    mix = _mix(shape.quant, published_bytes, shape.parameters)
    tied = shape.tied is not False  # unknown: nothing is then taken off the graphics card
    embedding = vocab * _row_bytes(width, mix.head if tied else mix.body)
    head = 0 if tied else vocab * _row_bytes(width, mix.head)
    second = vocab * _row_bytes(shape.per_layer_embedding_length * count, mix.head)
    room = published_bytes - embedding - head - second
    if room <= 0:
        return _evenly(shape, published_bytes)
    others = _other_values(shape, width, vocab, tied=tied)
    experts, widest = _experts(shape, mix, width, room, others)
    layer = (room - sum(experts)) // count
    layers = [layer + part for part in experts]
    down = (shape.feed_forward_length or 0) * _row_bytes(width, mix.better)
    largest = max(widest, down)
    return Weights(published_bytes, embedding, tied, tuple(layers), tuple(experts), largest)


def more_bits(layer: int, layers: int) -> bool:
    """Does the mix give this layer's down projection its better type?"""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _evenly(shape: ModelShape, published_bytes: int) -> Weights:
    """Without widths: the same for every layer and the head."""
    count = len(shape.layers)
    layer = published_bytes // (count + 1)
    experts = layer * EXPERT_PERCENT // 100 if shape.routed else 0
    return Weights(published_bytes, 0, False, (layer,) * count, (experts,) * count, layer // 4)


def _mix(quant: str | None, published_bytes: int, parameters: int | None) -> Mix:
    name = (quant or "").upper()
    if found := MIXES.get(_SAME.get(name, name)):
        return found
    if not parameters:
        return MIXES["Q4_K_M"]
    bits = 8 * published_bytes / parameters
    return MIXES[min(_BITS, key=lambda build: abs(_BITS[build] - bits))]


def _other_values(shape: ModelShape, width: int, vocab: int, *, tied: bool) -> int | None:
    """Values that are neither embedding, head nor experts; None where that is not known."""
    if shape.parameters is None:
        return None
    entering, inner = shape.expert_width or width, shape.expert_feed_forward_length
    each = shape.expert_matrices * entering * inner * shape.experts_total
    words = (1 if tied else 2) * width + shape.per_layer_embedding_length * len(shape.layers)
    left = shape.parameters - each * len(_expert_layers(shape)) - words * vocab
    return left if left > 0 else None


def _expert_layers(shape: ModelShape) -> Sequence[int]:
    """Layers with routed experts: all of them where nothing else is known."""
    return shape.expert_layers or range(len(shape.layers) if shape.experts_total else 0)


def _experts(
    shape: ModelShape, mix: Mix, width: int, room: int, others: int | None
) -> tuple[list[int], int]:
    """Bytes of routed experts of each layer, and the largest tensor among them.

    What is neither embedding, head nor expert has at most 16 bits for each value: a build that
    is larger than that leaves room for has better experts than its name says.
    """
    count, inner, total = len(shape.layers), shape.expert_feed_forward_length, shape.experts_total
    sizes, routed = [0] * count, _expert_layers(shape)
    if not inner:  # an unknown width, or no experts at all
        for i in routed:
            sizes[i] = room // count * EXPERT_PERCENT // 100
        return sizes, max(sizes) // shape.expert_matrices
    entering = shape.expert_width or width
    up = total * inner * _row_bytes(entering, mix.experts or mix.body)
    down, best = (
        total * entering * _row_bytes(inner, mix.experts or part) for part in (mix.body, mix.better)
    )
    for i in routed:
        sizes[i] = (shape.expert_matrices - 1) * up + (best if more_bits(i, count) else down)
    widest, by_types = max(up, down, best), sum(sizes)
    least = 0 if others is None else room - F16_BYTES * others
    wanted = min(max(by_types, least), room * MOST_EXPERT_PERCENT // 100)
    if by_types and wanted != by_types:
        sizes = [size * wanted // by_types for size in sizes]
        widest = widest * wanted // by_types
    return sizes, widest


def _row_bytes(values: int, type_name: str) -> int:
    """One row of a matrix, in the type that its length allows."""
    block, size = _BLOCK_BYTES[type_name]
    if values % block and type_name in _FALLBACK:
        block, size = _BLOCK_BYTES[_FALLBACK[type_name]]
    if values % block:
        block, size = _BLOCK_BYTES["BF16"]
    return values // block * size
