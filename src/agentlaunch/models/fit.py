"""Does a model fit? Machine + shape + context → bytes by kind, place and verdict. Pure.

What a model needs is the business of `memory`. The overheads of graphics cards are taken from the
engine's source and public logs, so a margin stays and the load itself has the last word.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from agentlaunch.machine.facts import Gpu, Machine
from agentlaunch.models.memory import (
    check_request,
    compute_bytes,
    impossible_cache,
    kv_bytes,
    layer_kv_bytes,
    mask_bytes,
    state_bytes,
)
from agentlaunch.models.shape import LayerCache, ModelShape, Weights
from agentlaunch.units import format_memory

Verdict = Literal["roomy", "tight", "split", "no"]
Placement = Literal["gpu", "split", "cpu"]
Evidence = Literal["exact", "estimated"]

MIB = 1 << 20
GIB = 1 << 30

MARGIN_BYTES = GIB
"""What the engine's own fitting keeps free on each graphics card (`--fit-target`)."""
DEVICE_CONTEXT_BYTES = 457 * MIB
"""Context and kernels of one device, as Ollama sets aside (0.33)."""
METAL_CONTEXT_BYTES = 512 * MIB
PROCESS_BYTES = 45 * MIB
"""The engine's process beside its buffers: 30 to 45 MiB were measured."""
UNIFIED_RESERVE_BYTES = 4 * GIB
"""What a system whose graphics share its memory keeps for itself and its programs."""
RAM_RESERVE_SHARE = 4
MIN_RAM_RESERVE_BYTES = GIB
MAX_RAM_RESERVE_BYTES = 4 * GIB
ROOMY_PERCENT = 85

PIPELINE_COPIES = 4
EXPERT_PERCENT = 90
"""Experts in a routed model whose tensors are unknown: 90 to 95 % in those that were read."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The memory side of a candidate (CONTRACT: candidate). Unknown is None; bytes are integers.

    `total_bytes` is what must lie in `budget_bytes`: on the GPU for `gpu`, on both for `split`, in
    RAM for `cpu`. `shortage_bytes` is what would have to be freed right now on RAM or unified
    memory; it is a warning and does not change the verdict.
    """

    verdict: Verdict | None
    placement: Placement
    context_tokens: int
    kv_cache_type: str
    weights_bytes: int | None
    weights_gpu_bytes: int | None
    weights_cpu_bytes: int | None
    kv_bytes: int
    state_bytes: int
    compute_bytes: int
    overhead_bytes: int
    total_bytes: int | None
    budget_bytes: int | None
    headroom_bytes: int | None
    evidence: Evidence
    because: tuple[str, ...] = ()
    shortage_bytes: int = 0

    @property
    def fits(self) -> bool:
        """Can it run here at all?"""
        return self.verdict in ("roomy", "tight", "split")


@dataclass(frozen=True, slots=True)
class _Load:
    """What has to be placed."""

    shape: ModelShape
    weights: Weights
    exact: bool
    context_tokens: int
    kv_cache_type: str
    parallel: int
    batch: int
    kv_bytes: int
    state_bytes: int
    compute_bytes: int
    mask_bytes: int
    projector_bytes: int

    def layer_cache_bytes(self, layer: LayerCache) -> int:
        kv = layer_kv_bytes(
            layer, self.context_tokens, self.kv_cache_type, self.parallel, self.batch
        )
        return kv + layer.state_bytes * self.parallel


def fit(
    machine: Machine,
    shape: ModelShape,
    *,
    context_tokens: int,
    kv_cache_type: str = "f16",
    parallel: int = 1,
    batch: int = 512,
    flash_attention: bool = True,
    reusable_bytes: int = 0,
    gpu_usable: bool = True,
    published_bytes: int | None = None,
    projector_bytes: int = 0,
) -> Fit:
    """Place a model with `context_tokens` for each of `parallel` slots on a machine.

    `batch` is the engine's micro-batch. `reusable_bytes` is what our engine or Ollama would evict.
    `gpu_usable` says whether the engine computes on this machine's graphics at all.
    `published_bytes` is the download size, used (as `estimated`) when tensors are unknown.
    Raises `UsageError` for an unknown cache type, a quantised cache without flash attention, and
    numbers below one.
    """
    check_request(context_tokens, kv_cache_type, parallel, batch, flash_attention)
    engine = {"context_tokens": context_tokens, "parallel": parallel, "batch": batch}
    kv = kv_bytes(shape, **engine, kv_cache_type=kv_cache_type)
    state = state_bytes(shape, parallel=parallel)
    compute = compute_bytes(shape, **engine, flash_attention=flash_attention)
    weights = shape.weights or _guessed_weights(shape, published_bytes)
    if weights is None:
        return Fit(
            verdict=None,
            placement="cpu",
            context_tokens=context_tokens,
            kv_cache_type=kv_cache_type,
            weights_bytes=None,
            weights_gpu_bytes=None,
            weights_cpu_bytes=None,
            kv_bytes=kv,
            state_bytes=state,
            compute_bytes=compute,
            overhead_bytes=PROCESS_BYTES + projector_bytes,
            total_bytes=None,
            budget_bytes=None,
            headroom_bytes=None,
            evidence="estimated",
            because=("the size of its weights is unknown",),
        )
    load = _Load(
        shape,
        weights,
        shape.weights is not None,
        context_tokens,
        kv_cache_type,
        parallel,
        batch,
        kv,
        state,
        compute,
        mask_bytes(shape, context_tokens, parallel, batch, flash_attention),
        projector_bytes,
    )
    placed = _place(machine, load, reusable_bytes, gpu_usable=gpu_usable)
    impossible = impossible_cache(shape, kv_cache_type)
    if impossible is not None:
        placed = replace(placed, verdict="no", because=(impossible, *placed.because))
    return placed


def _guessed_weights(shape: ModelShape, published_bytes: int | None) -> Weights | None:
    """A published size, spread evenly over the layers and the head."""
    if published_bytes is None:
        return None
    count = len(shape.layers)
    layer = published_bytes // (count + 1)
    experts = layer * EXPERT_PERCENT // 100 if shape.routed else 0
    return Weights(published_bytes, 0, False, (layer,) * count, (experts,) * count, layer // 4)


def _place(machine: Machine, load: _Load, reusable_bytes: int, *, gpu_usable: bool) -> Fit:
    cards = [gpu for gpu in machine.gpus if not gpu.unified and gpu.vram_bytes]
    shared = next(
        (gpu for gpu in machine.gpus if gpu.unified and gpu.vendor in ("apple", "nvidia", "amd")),
        None,
    )
    if not gpu_usable or not (cards or shared):
        on_cpu = _on_cpu(machine, load, reusable_bytes)
        unused = cards[0] if cards else shared
        if unused is None:
            return on_cpu
        remark = f"this engine computes on the processor: {unused.name} stays unused"
        return replace(on_cpu, because=(*on_cpu.because, remark))
    if shared is not None and not cards:
        return _on_unified(machine, shared, load, reusable_bytes)
    cards.sort(key=_free_bytes, reverse=True)
    whole = [_on_cards(cards[:1], load, reusable_bytes)]
    if len(cards) > 1:
        whole.append(_on_cards(cards, load, reusable_bytes))
    fitting = [row for row in whole if row.fits]
    with_margin = [row for row in fitting if (row.headroom_bytes or 0) >= 0]
    if fitting:
        return (with_margin or fitting)[0]
    return _on_both(machine, cards, load, reusable_bytes)


def _free_bytes(gpu: Gpu) -> int:
    return gpu.vram_free_bytes if gpu.vram_free_bytes is not None else gpu.vram_bytes or 0


def _cards_budget(cards: list[Gpu], reusable_bytes: int) -> int:
    most = sum(gpu.vram_bytes or 0 for gpu in cards)
    free = min(sum(_free_bytes(gpu) for gpu in cards) + reusable_bytes, most)
    return max(0, free - len(cards) * MARGIN_BYTES)


def _gpu_weights(weights: Weights) -> int:
    """All tensors on the GPU; an embedding that is not the head as well stays in RAM."""
    return weights.total_bytes - (0 if weights.tied else weights.embedding_bytes)


def _device_costs(load: _Load, cards: int) -> tuple[int, int]:
    """Compute and overhead over several cards: each has its own buffer and context, input is
    copied for the pipeline, and layers cannot be cut."""
    compute = load.compute_bytes
    overhead = DEVICE_CONTEXT_BYTES * cards + load.projector_bytes
    if cards > 1:
        compute = cards * (load.compute_bytes + PIPELINE_COPIES * load.mask_bytes)
        overhead += cards * max(load.weights.layer_bytes, default=0)
    return compute, overhead


def _on_cards(cards: list[Gpu], load: _Load, reusable_bytes: int) -> Fit:
    compute, overhead = _device_costs(load, len(cards))
    budget = _cards_budget(cards, reusable_bytes)
    names = " + ".join(gpu.name for gpu in cards)
    placed = _settle(
        load,
        "gpu",
        gpu_bytes=_gpu_weights(load.weights),
        cpu_bytes=load.weights.embedding_bytes if load.exact else None,
        compute=compute,
        overhead=overhead,
        budget=budget,
        margin=len(cards) * MARGIN_BYTES,
        where=f"on {names} beside {format_memory(len(cards) * MARGIN_BYTES)} kept free",
    )
    if any(gpu.vram_free_bytes is None for gpu in cards):
        remark = "how much graphics memory is free is unknown: all of it was counted"
        placed = replace(placed, because=(*placed.because, remark))
    return placed


def _on_unified(machine: Machine, gpu: Gpu, load: _Load, reusable_bytes: int) -> Fit:
    ram = _ram_bytes(machine)
    context = METAL_CONTEXT_BYTES if gpu.vendor == "apple" else DEVICE_CONTEXT_BYTES
    budget: int | None = None
    where = "in memory that processor and graphics share"
    sizes = [size for size in (ram, gpu.vram_bytes) if size is not None]
    if sizes:
        # A memory carve-out of the firmware is not part of RAM: the larger pool counts (AMD APUs).
        reserve = min(UNIFIED_RESERVE_BYTES, max(sizes) // 2)
        budget = max(0, min(gpu.vram_bytes or max(sizes), max(sizes) - reserve))
        where += f" ({format_memory(reserve)} or more stay with the system)"
    placed = _settle(
        load,
        "gpu",
        gpu_bytes=_gpu_weights(load.weights),
        cpu_bytes=load.weights.embedding_bytes if load.exact else None,
        compute=load.compute_bytes,
        overhead=context + PROCESS_BYTES + load.projector_bytes,
        budget=budget,
        margin=0,
        where=where,
    )
    free = gpu.vram_free_bytes if gpu.vram_free_bytes is not None else machine.ram_free_bytes
    return _with_shortage(placed, placed.total_bytes, free, reusable_bytes)


def _on_cpu(machine: Machine, load: _Load, reusable_bytes: int) -> Fit:
    ram = _ram_bytes(machine)
    reserve = _ram_reserve(ram)
    placed = _settle(
        load,
        "cpu",
        gpu_bytes=0,
        cpu_bytes=load.weights.total_bytes,
        compute=load.compute_bytes,
        overhead=PROCESS_BYTES + load.projector_bytes,
        budget=_ram_budget(machine),
        margin=0,
        where=f"in RAM, of which {format_memory(reserve)} stay with the system",
    )
    return _with_shortage(placed, placed.total_bytes, machine.ram_free_bytes, reusable_bytes)


def _on_both(machine: Machine, cards: list[Gpu], load: _Load, reusable_bytes: int) -> Fit:
    """Part on the cards, the rest in RAM: experts of the first layers go to RAM first, else whole
    layers from the first on; cache and state follow their layer."""
    compute, overhead = _device_costs(load, len(cards))
    compute += load.weights.largest_bytes  # room to bring one tensor over for big batches
    gpu_budget = _cards_budget(cards, reusable_bytes)
    room = gpu_budget - compute - overhead
    split = _split_weights(load, room)
    if split is None:
        on_cpu = _on_cpu(machine, load, 0)
        remark = f"{cards[0].name} has too little free memory to hold a part of it"
        return replace(on_cpu, because=(*on_cpu.because, remark))
    gpu_weights, gpu_cache = split
    embedding = load.weights.embedding_bytes
    cpu_weights = load.weights.total_bytes - gpu_weights + (embedding if load.weights.tied else 0)
    ram_budget = _ram_budget(machine)
    placed = _settle(
        load,
        "split",
        gpu_bytes=gpu_weights,
        cpu_bytes=cpu_weights,
        compute=compute,
        overhead=overhead + PROCESS_BYTES,
        budget=None if ram_budget is None else gpu_budget + ram_budget,
        margin=0,
        where=f"on {cards[0].name} and in RAM together",
    )
    on_ram = cpu_weights + load.kv_bytes + load.state_bytes - gpu_cache + PROCESS_BYTES
    if ram_budget is not None and on_ram > ram_budget:
        placed = replace(placed, verdict="no")
    return _with_shortage(placed, on_ram, machine.ram_free_bytes, 0)


def _split_weights(load: _Load, room: int) -> tuple[int, int] | None:
    """Bytes of weights and of cache that a GPU with so much room takes, or None for nothing."""
    weights, cache = load.weights, load.kv_bytes + load.state_bytes
    resident = _gpu_weights(weights) + cache
    moved = 0
    for experts in weights.expert_bytes:
        if resident - moved <= room:
            break
        moved += experts
    if moved and resident - moved <= room:
        return resident - cache - moved, cache
    taken, taken_cache = weights.head_bytes, 0
    if taken > room:
        return None
    layers = zip(reversed(weights.layer_bytes), reversed(load.shape.layers), strict=True)
    count = 0
    for size, layer in layers:
        layer_cache = load.layer_cache_bytes(layer)
        if taken + taken_cache + size + layer_cache > room:
            break
        taken, taken_cache, count = taken + size, taken_cache + layer_cache, count + 1
    return (taken, taken_cache) if count else None


def _ram_bytes(machine: Machine) -> int | None:
    sizes = [row for row in (machine.ram_bytes, machine.ram_limit_bytes) if row is not None]
    return min(sizes) if sizes else None


def _ram_reserve(ram: int | None) -> int:
    share = (ram or 0) // RAM_RESERVE_SHARE
    return max(MIN_RAM_RESERVE_BYTES, min(MAX_RAM_RESERVE_BYTES, share))


def _ram_budget(machine: Machine) -> int | None:
    ram = _ram_bytes(machine)
    return None if ram is None else max(0, ram - _ram_reserve(ram))


def _with_shortage(
    placed: Fit, need_bytes: int | None, free_bytes: int | None, reusable_bytes: int
) -> Fit:
    if need_bytes is None or free_bytes is None or not placed.fits:
        return placed
    shortage = max(0, need_bytes - free_bytes - reusable_bytes)
    if not shortage:
        return placed
    remark = (
        f"right now only {format_memory(free_bytes + reusable_bytes)} of memory are free: "
        f"close programs that hold {format_memory(shortage)}"
    )
    return replace(placed, because=(*placed.because, remark), shortage_bytes=shortage)


def _settle(
    load: _Load,
    placement: Placement,
    *,
    gpu_bytes: int,
    cpu_bytes: int | None,
    compute: int,
    overhead: int,
    budget: int | None,
    margin: int,
    where: str,
) -> Fit:
    """Add up, compare, and say why."""
    counted = {"gpu": gpu_bytes, "cpu": cpu_bytes or 0, "split": gpu_bytes + (cpu_bytes or 0)}
    resident = counted[placement]
    total = resident + load.kv_bytes + load.state_bytes + compute + overhead
    verdict: Verdict | None = None
    if budget is not None:
        if total > budget + margin:
            verdict = "no"
        elif placement == "split":
            verdict = "split"
        else:
            verdict = "roomy" if total * 100 <= budget * ROOMY_PERCENT else "tight"
    cache = load.kv_bytes + load.state_bytes
    room = "an unknown amount" if budget is None else format_memory(budget)
    because = [
        f"needs {format_memory(total)} of {room} {where}: weights "
        f"{format_memory(resident)}, cache {format_memory(cache)} for "
        f"{load.context_tokens:,} tokens at {load.kv_cache_type}, the rest for computing"
    ]
    if budget is not None and budget < total <= budget + margin:
        because.append("fits only without the free margin that the engine likes to keep")
    if not load.exact:
        because.append("weights taken from the published download size")
    if load.shape.upper_bound:
        because.append("the layout of its cache is not confirmed and was counted at its most")
    return Fit(
        verdict=verdict,
        placement=placement,
        context_tokens=load.context_tokens,
        kv_cache_type=load.kv_cache_type,
        weights_bytes=load.weights.total_bytes if load.exact else None,
        weights_gpu_bytes=gpu_bytes,
        weights_cpu_bytes=cpu_bytes,
        kv_bytes=load.kv_bytes,
        state_bytes=load.state_bytes,
        compute_bytes=compute,
        overhead_bytes=overhead,
        total_bytes=total,
        budget_bytes=budget,
        headroom_bytes=None if budget is None else budget - total,
        evidence="exact" if load.exact else "estimated",
        because=tuple(because),
    )
