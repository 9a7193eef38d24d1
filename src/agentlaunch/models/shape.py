"""The shape of a model: everything that its memory and speed depend on. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LayerCache:
    """What one layer remembers for each token, or once for each sequence.

    `kv_heads` 0 means that it keeps no keys and values; `value_length` 0 that it keeps one latent
    row instead (MLA). `window_tokens` limits a sliding layer. `state_bytes` is a recurrent state,
    always f32, which does not grow with the context. `heads` are those of queries where they
    differ from the model's, else 0. `padded_values` is what a row of values has without flash
    attention when that is more than its own (the longest of all layers), else 0.
    """

    kv_heads: int
    key_length: int
    value_length: int
    window_tokens: int | None = None
    state_bytes: int = 0
    heads: int = 0
    padded_values: int = 0


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes of the tensors, unpadded, by where they may lie; exact, since read from a header.

    `layer_bytes` holds each layer whole, `expert_bytes` the part of it that is routed experts.
    What is in no layer and not the embedding (output norm and head) is the rest of the total.
    """

    total_bytes: int
    embedding_bytes: int
    tied: bool
    """The embedding doubles as the output head: it then lies on both sides."""
    layer_bytes: tuple[int, ...]
    expert_bytes: tuple[int, ...]
    largest_bytes: int
    """Of the tensors in the layers: what a card fetches at once from RAM."""
    repacked_bytes: int = 0
    """What a processor with wide vectors copies into an order of its own while it loads."""

    @property
    def head_bytes(self) -> int:
        """Output norm, output head and whatever else stands outside the layers; for a tied
        model the embedding, which is its head."""
        rest = self.total_bytes - self.embedding_bytes - sum(self.layer_bytes)
        return rest + (self.embedding_bytes if self.tied else 0)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A model, seen by `fit` and `speed`. Unknown is None."""

    architecture: str
    layers: tuple[LayerCache, ...]
    head_count: int
    vocab_size: int | None = None
    context_max_tokens: int | None = None
    embedding_length: int | None = None
    feed_forward_length: int | None = None
    """Of the dense layers; 0 when every layer is routed."""
    experts_total: int = 0
    experts_used: int = 0
    expert_feed_forward_length: int = 0
    feed_forward_copies: int = 3
    """How often the width of a feed-forward part counts in computing: 1 where it has no gate."""
    per_layer_values: int = 0
    """Values for each token that lie beside everything: an embedding for each layer."""
    mixing_values: int = 0
    """Most values that anything but a usual feed-forward part needs at once for each token (a
    recurrent layer, latent or very wide attention); 0 where that is never the most."""
    mixing_values_of_many: int = 0
    """The same where several sequences run at once, if that is more."""
    parameters: int | None = None
    active_parameters: int | None = None
    weights: Weights | None = None
    upper_bound: bool = False
    """The layout of the cache is not confirmed; it is counted as the most it can be."""
    quant: str | None = None
    """The build's name for its types, as the catalog has it. This and what follows is only needed
    while `weights` is unknown."""
    tied: bool | None = None
    """Does the embedding double as the output head?"""
    expert_layers: tuple[int, ...] = ()
    """Which layers have routed experts."""
    expert_matrices: int = 3
    """Matrices of one expert: gate, up and down; 2 without a gate."""
    expert_width: int | None = None
    """Width that goes into an expert where it is not the model's own."""
    per_layer_embedding_length: int = 0
    """Values for each word and layer in a second embedding."""

    @property
    def routed(self) -> bool:
        """Does a token use only part of the weights (mixture of experts)?"""
        if self.experts_total:
            return True
        if self.parameters is None or self.active_parameters is None:
            return False
        return self.active_parameters < 0.8 * self.parameters

    @property
    def attention_width(self) -> int:
        """Query width summed over the layers that attend; the work of attention grows with it."""
        return sum(
            (row.heads or self.head_count) * row.key_length for row in self.layers if row.kv_heads
        )
