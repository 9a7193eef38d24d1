"""How many GPUs a model needs for a team on vLLM: weights, cache of the sessions, layouts. Pure.

Memory of one GPU = weights / (tensor x pipeline parallel) + cache + a tenth of both, within the
share that vLLM may use (`--gpu-memory-utilization`). The cache is the catalog's arithmetic; it
agrees to the last byte with what vLLM's logs say is needed (see tests).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from agentlaunch.hosted.builds import BLOCKS, Build
from agentlaunch.hosted.gpus import Gpu
from agentlaunch.models.memory import Allocation, layer_kv_bytes
from agentlaunch.models.shape import LayerCache

OVERHEAD = 0.1
"""Activations, CUDA graphs and buffers of the exchange between GPUs, as a share of weights and
cache. Seen in public logs: 8 to 16 % of the weights on a GPU."""
UTILIZATION = 0.9
"""`--gpu-memory-utilization` of our manifests; vLLM 0.33.0 itself would take 0.92."""
STEP_TOKENS = 2 * 8192
"""vLLM's default of `--max-num-batched-tokens` on large GPUs, for the two steps that its scheduler
has under way (`max_in_flight_tokens` of 0.33.0): so much of a prompt lies beside a sliding window
at once. GPUs under 70 GiB have 2 x 2048, those of 160 GiB and more 2 x 16,384."""
STATES = 2
"""Of a recurrent layer for each session: with prefix caching vLLM writes the next one beside the
last (`mamba_cache_mode` align, MambaSpec of 0.33.0)."""
CONTEXT_TOKENS = 131_072
CONCURRENCY = 0.5
"""Share of the users whose agent works at the same moment. An assumption: `hosted status` shows
how many requests really run and wait."""
TENSOR_PARALLEL = (1, 2, 4, 8)
MOST_MACHINES = 4
LARGEST_STEP = 2
"""A replica for many users has at most so many times the GPUs of the smallest one: beyond it, the
exchange between the GPUs costs more than it saves, and more replicas do the same."""
ROOMY, TIGHT = 0.25, 0.03
"""Shares of the memory that are left over."""
ENOUGH = 4
"""With so many sessions nothing is tight: a replica that holds one fewer starts all the same."""

KvCache = Literal["auto", "fp8"]
Verdict = Literal["roomy", "fits", "tight"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What has to be held: so many sessions at once, each with the whole context."""

    sessions: int
    context_tokens: int
    kv_cache: KvCache = "auto"
    utilization: float = UTILIZATION


@dataclass(frozen=True, slots=True)
class Split:
    """How one replica is spread."""

    tensor_parallel: int
    """GPUs of one machine that share each layer."""
    pipeline_parallel: int = 1
    """Machines, each with a stage of the layers."""
    expert_parallel: bool = False
    """Experts stay whole, and each GPU has some of them."""

    @property
    def gpus(self) -> int:
        """GPUs of one replica."""
        return self.tensor_parallel * self.pipeline_parallel


@dataclass(frozen=True, slots=True)
class Layout:
    """Replicas of one split on one kind of GPU that hold what is wanted. Bytes are of one GPU."""

    gpu: Gpu
    split: Split
    replicas: int
    sessions: int
    """That one replica holds, each with the whole context."""
    kv_tokens: int
    """Of all sessions of one replica together: vLLM's log calls it `GPU KV cache size`."""
    weights_bytes: int
    kv_bytes: int
    """For the sessions that a replica has to hold."""
    overhead_bytes: int
    budget_bytes: int
    """What vLLM may use."""

    @property
    def gpus(self) -> int:
        """Of all replicas."""
        return self.replicas * self.split.gpus

    @property
    def sold_gb(self) -> int:
        """Of all GPUs: a stand-in for the price."""
        return self.gpus * self.gpu.sold_gb

    @property
    def headroom_bytes(self) -> int:
        """Left over on each GPU."""
        return self.budget_bytes - self.weights_bytes - self.kv_bytes - self.overhead_bytes

    @property
    def verdict(self) -> Verdict:
        """How much room is left; `tight` is where an estimate that is a little off would matter."""
        share = self.headroom_bytes / self.budget_bytes
        if share < TIGHT and self.sessions < ENOUGH:
            return "tight"
        return "roomy" if share >= ROOMY else "fits"


@dataclass(frozen=True, slots=True)
class Miss:
    """A kind of GPU that cannot hold one session, with the largest replica that was tried."""

    gpu: Gpu
    split: Split | None
    """None where the model can be split over none of its machines."""
    needs_bytes: int
    budget_bytes: int
    context_tokens: int
    """The longest context that one session could have; 0 where the weights alone are too much."""

    @property
    def short_bytes(self) -> int:
        """What each GPU lacks."""
        return self.needs_bytes - self.budget_bytes


Outcome = Layout | Miss


def sessions(users: int, share: float) -> int:
    """How many sessions are at work at once; at least one."""
    return max(1, math.ceil(round(users * share, 6)))


# --- cache ---------------------------------------------------------------------------------------


def session_bytes(build: Build, wanted: Wanted) -> int:
    """Bytes of the cache of one session at the whole context, on all GPUs of a replica together
    where nothing has to be kept twice."""
    return sum(_layer_bytes(layer, wanted) * count for layer, count in _kinds(build))


def token_bytes(build: Build, wanted: Wanted) -> int:
    """Bytes that one more token adds; layers with a window or a state add none."""
    one = Wanted(1, 256, wanted.kv_cache)
    rows = (row for row in _kinds(build) if row[0].kv_heads and row[0].window_tokens is None)
    return sum(_layer_bytes(layer, one) * count for layer, count in rows) // 256


def _kinds(build: Build) -> list[tuple[LayerCache, int]]:
    return list(Counter(build.shape.layers).items())


def _layer_bytes(layer: LayerCache, wanted: Wanted) -> int:
    asked = Allocation(wanted.context_tokens, "bf16", batch=STEP_TOKENS)
    size = layer_kv_bytes(layer, asked)
    return (size // 2 if wanted.kv_cache == "fp8" else size) + STATES * layer.state_bytes


def _gpu_session_bytes(build: Build, split: Split, wanted: Wanted) -> int:
    """Of one session on the fullest GPU: a head of keys and values is never cut in two."""
    total = 0.0
    for layer, count in _kinds(build):
        size = _layer_bytes(layer, wanted) * count
        heads = layer.kv_heads
        share = max(1.0, heads / split.tensor_parallel) / heads if heads else 0.0
        state = STATES * layer.state_bytes * count
        total += (size - state) * share + state / split.tensor_parallel
    return math.ceil(total * _stage(build, split))


def _stage(build: Build, split: Split) -> float:
    """Share of the layers that the longest stage has."""
    layers = len(build.shape.layers)
    return math.ceil(layers / split.pipeline_parallel) / layers


# --- splits --------------------------------------------------------------------------------------


def fault(build: Build, split: Split) -> str | None:
    """Why vLLM would not split this build so, or None."""
    tensor, block = split.tensor_parallel, BLOCKS[build.precision]
    shape = build.shape
    if split.pipeline_parallel > len(shape.layers):
        return f"it has only {len(shape.layers)} layers"
    for layer in set(shape.layers):
        heads = layer.heads or shape.head_count
        if not layer.kv_heads:
            continue
        if heads % tensor:
            return f"its {heads} attention heads cannot be divided by {tensor}"
        if layer.kv_heads % tensor and tensor % layer.kv_heads:
            return f"its {layer.kv_heads} heads of keys and values do not go with {tensor} GPUs"
    if tensor == 1:
        return None
    for what, width in _widths(build, split):
        if width % tensor or (width // tensor) % block:
            reason = f"{what}, {width:,} wide, cannot be divided by {tensor}"
            if block > 1:
                reason += f" into multiples of the block of {block} that its weights come in"
            return reason
    return None


def _widths(build: Build, split: Split) -> Iterator[tuple[str, int]]:
    shape = build.shape
    if shape.feed_forward_length:
        yield "its dense part", shape.feed_forward_length
    if build.shared_expert_width:
        yield "its shared expert", build.shared_expert_width
    if (
        shape.expert_feed_forward_length
        and not split.expert_parallel
        and build.precision != "mxfp4"
    ):
        yield "an expert", shape.expert_feed_forward_length


def splits(build: Build, card: Gpu) -> list[Split]:
    """Every split that vLLM takes, smallest first: inside a machine by tensors, and the widest of
    these over several machines by stages of layers; experts whole only where they must be."""
    sizes = (size for size in TENSOR_PARALLEL if size <= card.per_node)
    inside = [row for row in (_split(build, size, 1) for size in sizes) if row is not None]
    if not inside or not card.fast_link:
        return inside
    widest = inside[-1].tensor_parallel
    over = (_split(build, widest, machines) for machines in range(2, MOST_MACHINES + 1))
    return [*inside, *(row for row in over if row is not None)]


def _split(build: Build, tensor: int, stages: int) -> Split | None:
    for whole in (False, True):
        split = Split(tensor, stages, whole)
        if fault(build, split) is None and (build.shape.experts_total or not whole):
            return split
    return None


# --- layouts -------------------------------------------------------------------------------------


def best(build: Build, card: Gpu, wanted: Wanted) -> Outcome:
    """The layout with the fewest GPUs of a kind, the smallest replica among equals."""
    known = splits(build, card)
    fitting = [row for row in (lay_out(build, card, split, wanted) for split in known) if row]
    if not fitting and known:
        return miss_of(build, card, known[-1], wanted)
    if not fitting:
        return Miss(card, None, 0, round(card.memory_bytes * wanted.utilization), 0)
    least = fitting[0].split.gpus
    near = [row for row in fitting if row.split.gpus <= LARGEST_STEP * least]
    return min(near, key=lambda row: (row.gpus, row.split.gpus))


def lay_out(
    build: Build, card: Gpu, split: Split, wanted: Wanted, replicas: int | None = None
) -> Layout | None:
    """Replicas of this split that hold what is wanted, or as many as are said; None where not even
    one session fits."""
    budget = round(card.memory_bytes * wanted.utilization)
    weights = _gpu_weights_bytes(build, split)
    one = _gpu_session_bytes(build, split, wanted)
    room = int(budget / (1 + OVERHEAD)) - weights
    held = room // one
    if held < 1:
        return None
    count = replicas or math.ceil(wanted.sessions / held)
    cache = one * min(held, math.ceil(wanted.sessions / count))
    return Layout(
        gpu=card,
        split=split,
        replicas=count,
        sessions=held,
        kv_tokens=int(room / one * wanted.context_tokens),
        weights_bytes=weights,
        kv_bytes=cache,
        overhead_bytes=math.ceil((weights + cache) * OVERHEAD),
        budget_bytes=budget,
    )


def _gpu_weights_bytes(build: Build, split: Split) -> int:
    return math.ceil(build.weights_bytes / split.tensor_parallel * _stage(build, split))


def miss_of(build: Build, card: Gpu, split: Split, wanted: Wanted) -> Miss:
    """What a split lacks for one session."""
    budget = round(card.memory_bytes * wanted.utilization)
    weights, one = _gpu_weights_bytes(build, split), _gpu_session_bytes(build, split, wanted)
    needs = math.ceil((weights + one) * (1 + OVERHEAD))
    return Miss(card, split, needs, budget, longest_context(build, card, split, wanted))


def longest_context(build: Build, card: Gpu, split: Split, wanted: Wanted) -> int:
    """The longest context, in whole 1,024 tokens, that one session can have; 0 where none can."""
    low, high = 0, wanted.context_tokens // 1024
    while low < high:
        middle = (low + high + 1) // 2
        one = Wanted(1, middle * 1024, wanted.kv_cache, wanted.utilization)
        if lay_out(build, card, split, one) is None:
            high = middle - 1
        else:
            low = middle
    return low * 1024


def recommended(build: Build, outcomes: Sequence[Outcome]) -> Layout | None:
    """The least memory to pay for, on GPUs that compute in the build's precision, that are linked
    fast where more than one has to exchange, and in one machine; None where nothing fits."""
    fitting = [row for row in outcomes if isinstance(row, Layout)]

    def rank(row: Layout) -> tuple[int, int, int]:
        slow = row.split.gpus > 1 and not row.gpu.fast_link
        against = slow + (not row.gpu.computes(build)) + 2 * (row.split.pipeline_parallel > 1)
        against += row.verdict == "tight"
        return against, row.sold_gb, row.gpus

    return min(fitting, key=rank, default=None)


def nearest(outcomes: Sequence[Outcome]) -> Miss | None:
    """Of those that do not fit, the one that lacks the smallest share."""
    misses = [row for row in outcomes if isinstance(row, Miss) and row.split is not None]
    return min(misses, key=lambda row: row.short_bytes / row.budget_bytes, default=None)
