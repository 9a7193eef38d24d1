"""Cache, state and compute buffer of a model at a context: the engine's own arithmetic. Pure.

llama.cpp, builds of mid and late 2026: cache and state agree byte for byte with an engine's dry run
over true and invented shapes of 50 architectures, the compute buffer within 5 % or 10 MiB nearly
everywhere (`scripts/bench/fit --all`); the state's copies with four slots are the weakest part.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from agentlaunch.context import padded
from agentlaunch.errors import UsageError
from agentlaunch.models.shape import LayerCache, ModelShape

KV_BLOCKS = {
    "f32": (1, 4),
    "f16": (1, 2),
    "bf16": (1, 2),
    "q8_0": (32, 34),
    "q5_1": (32, 24),
    "q5_0": (32, 22),
    "q4_1": (32, 20),
    "q4_0": (32, 18),
    "iq4_nl": (32, 18),
}
"""Cache type → values in a block, bytes of a block."""

USUAL_WIDTHS = 5
"""So often the model's width lies beside what a part itself needs."""
KEPT_WIDTHS = {"cohere2": 6, "cohere2moe": 7, "cohere2_moe": 7, "gemma3n": 10, "plamo2": 6}
KEPT_WIDTHS_QUANTISED = {"command-r": 6}
"""The same where the engine's graph of an architecture keeps more."""
WEIGHTED_BEFORE = ("llama4",)
"""What goes into the experts is copied for each of them, and what comes out takes its place."""
GATED_QUERIES = ("qwen3next", "qwen3_next", "qwen35", "qwen3_5", "qwen35moe", "qwen3_5_moe")
"""A query brings its own gate, as long as itself (names of the engine and of the catalog)."""
PER_LAYER_TWICE_QUANTISED = ("gemma4",)
"""With a cache in blocks the embedding for each layer lies there twice."""

UNKNOWN_ACTIVATIONS = 150_000
"""Values for each token where nothing is known about a model's width."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """What an engine is asked to allocate: `context_tokens` for each of `parallel` slots.

    `batch` is the micro-batch in tokens. `flash_attention` None means: where the device has it.
    """

    context_tokens: int
    kv_cache_type: str = "f16"
    parallel: int = 1
    batch: int = 512
    flash_attention: bool | None = None

    @property
    def micro_batch(self) -> int:
        """Tokens of one step: never more than the slots can hold."""
        return min(self.batch, padded(self.context_tokens) * self.parallel)

    @property
    def quantised(self) -> bool:
        """Is the cache kept in blocks? Then it needs flash attention."""
        return KV_BLOCKS[self.kv_cache_type][0] > 1


def kv_bytes(shape: ModelShape, asked: Allocation) -> int:
    """Bytes of the key and value cache of all slots."""
    return sum(count * layer_kv_bytes(layer, asked) for layer, count in _kinds(shape.layers))


def state_bytes(shape: ModelShape, *, parallel: int = 1) -> int:
    """Bytes of recurrent state of all slots; it does not grow with the context."""
    return parallel * sum(count * layer.state_bytes for layer, count in _kinds(shape.layers))


def compute_bytes(shape: ModelShape, asked: Allocation) -> int:
    """Bytes of one device's compute buffer, without the output buffer.

    For engines from b10488 on; older ones also reserve logits for the whole micro-batch.
    """
    rows = 4 * asked.micro_batch
    mask = mask_bytes(shape, asked)
    activations = max(rows * _activations(shape, asked), _mixing_bytes(shape, rows, asked.parallel))
    if asked.flash_attention is not False:
        return activations + mask
    return max(activations, rows * (_scores(shape, asked) + _beside_scores(shape, asked))) + mask


def check_request(asked: Allocation) -> None:
    """Raise `UsageError` for what no engine would take."""
    if asked.kv_cache_type not in KV_BLOCKS:
        raise UsageError(
            f"unknown cache type `{asked.kv_cache_type}`",
            hint="choose one of " + ", ".join(f"`{name}`" for name in KV_BLOCKS),
        )
    if asked.flash_attention is False and asked.quantised:
        raise UsageError(
            f"a cache of type {asked.kv_cache_type} needs flash attention",
            hint="use `--kv-cache f16`, or leave flash attention on",
        )
    numbers = {"context": asked.context_tokens, "parallel": asked.parallel, "batch": asked.batch}
    for name, value in numbers.items():
        if value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}")


def _kinds(layers: tuple[LayerCache, ...]) -> list[tuple[LayerCache, int]]:
    """Layers with how often each occurs: the catalog repeats a few objects, and thousands of
    sizings make one ranking."""
    counts = Counter(map(id, layers))
    return [
        (layer, counts[key])
        for key, layer in dict(zip(map(id, layers), layers, strict=True)).items()
    ]


def _cells(window_tokens: int | None, asked: Allocation) -> int:
    cells = padded(asked.context_tokens)
    if window_tokens is None:
        return cells
    return min(cells, padded(window_tokens + asked.micro_batch))


def _row_bytes(values: int, kv_cache_type: str) -> int:
    block, block_bytes = KV_BLOCKS[kv_cache_type]
    return -(-values // block) * block_bytes


def layer_kv_bytes(layer: LayerCache, asked: Allocation) -> int:
    """Bytes of one layer's cache, all slots."""
    if not layer.kv_heads:
        return 0
    row = _row_bytes(layer.kv_heads * layer.key_length, asked.kv_cache_type)
    values = layer.kv_heads * layer.value_length
    if asked.flash_attention is False:
        values = layer.padded_values or values
    row += _row_bytes(values, asked.kv_cache_type)
    return asked.parallel * _cells(layer.window_tokens, asked) * row


def impossible_cache(shape: ModelShape, kv_cache_type: str) -> str | None:
    """Why this cache type cannot hold this model's rows, or None. The engine wants each head to
    fill whole blocks."""
    block = KV_BLOCKS[kv_cache_type][0]
    for layer, _ in _kinds(shape.layers):
        for values in (layer.key_length, layer.value_length):
            if layer.kv_heads and values % block:
                return (
                    f"its heads have rows of {values} values, which {kv_cache_type} cannot hold "
                    f"(a multiple of {block} is needed)"
                )
    return None


def mask_bytes(shape: ModelShape, asked: Allocation) -> int:
    """Bytes of the attention masks, one for each kind of cache."""
    kinds = {layer.window_tokens for layer, _ in _kinds(shape.layers) if layer.kv_heads}
    cells = sum(_cells(window, asked) for window in kinds)
    value_bytes = 4 if asked.flash_attention is False else 2
    return value_bytes * asked.micro_batch * cells


def _mixing_bytes(shape: ModelShape, rows: int, parallel: int) -> int:
    """What recurrent or latent layers compute with, beside a copy of one state for each slot."""
    if not shape.mixing_values:
        return 0
    state = max((layer.state_bytes for layer, _ in _kinds(shape.layers)), default=0)
    values = max(shape.mixing_values, shape.mixing_values_of_many if parallel > 1 else 0)
    return rows * values + parallel * state


def _scores(shape: ModelShape, asked: Allocation) -> int:
    """Values of one token's attention to everything it sees, in all heads of a layer."""
    rows = (
        (layer.heads or shape.head_count) * _cells(layer.window_tokens, asked)
        for layer, _ in _kinds(shape.layers)
        if layer.kv_heads
    )
    return max(rows, default=0)


def _beside_scores(shape: ModelShape, asked: Allocation) -> int:
    """Values that lie beside the scores: queries, what attention gives, a row of each cache."""
    width, layers = shape.embedding_length, [row for row, _ in _kinds(shape.layers) if row.kv_heads]
    if width is None:
        return _guessed_activations(shape)
    if any(not row.value_length for row in layers):  # one latent row
        return max(6 * width, shape.mixing_values)
    kept = _kept(shape, asked) - (1 if shape.architecture in KEPT_WIDTHS else 0)
    heads = [(row.heads or shape.head_count, row) for row in layers]
    queries = max((count * row.key_length for count, row in heads), default=0)
    given = max((count * row.value_length for count, row in heads), default=0)
    row = max((row.kv_heads * (row.key_length + row.value_length) for row in layers), default=0)
    beside = len({layer.window_tokens for layer in layers}) * row + shape.per_layer_values
    if queries > width:
        beside += queries + given
        beside += queries if shape.architecture in GATED_QUERIES else 0
    elif queries == width:  # one of the two fits into a hole as wide as the model
        beside += width
    return kept * width + beside


def _kept(shape: ModelShape, asked: Allocation) -> int:
    usual = KEPT_WIDTHS.get(shape.architecture, USUAL_WIDTHS)
    if asked.quantised:
        return KEPT_WIDTHS_QUANTISED.get(shape.architecture, usual)
    return usual


def _activations(shape: ModelShape, asked: Allocation) -> int:
    """Most values that one token needs at once; coefficients fitted to the engine's logs."""
    width, dense = shape.embedding_length, shape.feed_forward_length
    if width is None or dense is None:
        return _guessed_activations(shape)
    part = shape.feed_forward_copies * dense
    if shape.experts_used:
        part = max(part, _routed_values(shape, width))
    twice = asked.quantised and shape.architecture in PER_LAYER_TWICE_QUANTISED
    return part + _kept(shape, asked) * width + shape.per_layer_values * (2 if twice else 1)


def _routed_values(shape: ModelShape, width: int) -> int:
    """Values of the experts in use for one token, as the engine's allocator places them.

    Gate, up and their product stand side by side; what comes out takes the room that gate and up
    left when it fits there. Narrow experts fit into holes that attention left, so that only what
    comes out counts. Seen with invented shapes on xllamacpp 2026.10.11549.
    """
    out, inner = shape.experts_used * width, shape.experts_used * shape.expert_feed_forward_length
    if shape.architecture in WEIGHTED_BEFORE or shape.feed_forward_copies == 1:
        return shape.feed_forward_copies * inner + out
    if out <= 2 * inner:
        return 3 * inner
    return out if inner <= width else 3 * inner + out


def _guessed_activations(shape: ModelShape) -> int:
    """From parameters in use for each layer, where the widths are not known. A guess:
    compared by hand with a few models whose widths are known, and a little too high there."""
    if shape.active_parameters is None or not shape.layers:
        return UNKNOWN_ACTIVATIONS
    return (6 if shape.routed else 5) * math.isqrt(shape.active_parameters // len(shape.layers))
