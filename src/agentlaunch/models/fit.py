"""Does a model fit? Machine + shape + allocation → bytes by kind, place and verdict. Pure.

What a model needs is the business of `memory`, what a place has that of `budget`. The overheads of
graphics cards are taken from the engine's source and public logs, so a margin stays and the load
itself has the last word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from agentlaunch.machine.facts import Gpu, Machine
from agentlaunch.models import budget
from agentlaunch.models.budget import MARGIN_BYTES
from agentlaunch.models.guess import guessed_weights
from agentlaunch.models.memory import (
    Allocation,
    check_request,
    compute_bytes,
    impossible_cache,
    kv_bytes,
    layer_kv_bytes,
    mask_bytes,
    state_bytes,
)
from agentlaunch.models.shape import ModelShape, Weights
from agentlaunch.units import format_memory

Verdict = Literal["roomy", "tight", "split", "no"]
Placement = Literal["gpu", "split", "cpu"]
Evidence = Literal["exact", "estimated"]

MIB = 1 << 20

DEVICE_CONTEXT_BYTES = 457 * MIB
"""Context and kernels of one device, as Ollama sets aside (0.33)."""
METAL_CONTEXT_BYTES = 512 * MIB
PROCESS_BYTES = 45 * MIB
"""The engine's process beside its buffers: 30 to 45 MiB were measured."""
ROOMY_PERCENT = 85

PIPELINE_COPIES = 4


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
    devices: tuple[Gpu, ...] = ()
    """What computes beside the processor, in the order in which it is filled."""
    gpu_expert_bytes: int = 0
    gpu_cache_bytes: int = 0
    """Routed experts, and cache with state, that lie on these devices."""

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
    asked: Allocation
    kv_bytes: int
    state_bytes: int
    projector_bytes: int

    @property
    def cache_bytes(self) -> int:
        return self.kv_bytes + self.state_bytes

    def on(self, devices: Sequence[Gpu]) -> tuple[_Load, str | None]:
        """The same load with the attention that these devices have, and why it cannot be."""
        old = budget.lacks_flash_attention(devices)
        if old is None or self.asked.flash_attention is False:
            return self, None
        reason = None
        if self.asked.flash_attention or self.asked.quantised:
            what = "a cache in blocks" if self.asked.quantised else "--flash-attention on"
            reason = f"{old.name} has no flash attention, which {what} needs"
        return replace(self, asked=replace(self.asked, flash_attention=False)), reason


def fit(
    machine: Machine,
    shape: ModelShape,
    asked: Allocation,
    *,
    reusable_bytes: int = 0,
    gpu_usable: bool = True,
    published_bytes: int | None = None,
    projector_bytes: int = 0,
) -> Fit:
    """Place a model with what an engine would allocate for it on a machine.

    `reusable_bytes` is what our engine or Ollama would evict. `gpu_usable` says whether the engine
    computes on this machine's graphics at all. `published_bytes` is the download size, used (as
    `estimated`) when tensors are unknown. Raises `UsageError` for an unknown cache type, a
    quantised cache without flash attention, and numbers below one.
    """
    check_request(asked)
    impossible = impossible_cache(shape, asked.kv_cache_type)
    weights = shape.weights or guessed_weights(shape, published_bytes)
    kv, state = kv_bytes(shape, asked), state_bytes(shape, parallel=asked.parallel)
    if weights is None:
        return Fit(
            verdict=None,
            placement="cpu",
            context_tokens=asked.context_tokens,
            kv_cache_type=asked.kv_cache_type,
            weights_bytes=None,
            weights_gpu_bytes=None,
            weights_cpu_bytes=None,
            kv_bytes=kv,
            state_bytes=state,
            compute_bytes=compute_bytes(shape, asked),
            overhead_bytes=PROCESS_BYTES + projector_bytes,
            total_bytes=None,
            budget_bytes=None,
            headroom_bytes=None,
            evidence="estimated",
            because=("the size of its weights is unknown",),
        )
    exact = shape.weights is not None
    load = _Load(shape, weights, exact, asked, kv, state, projector_bytes)
    placed = _place(machine, load, reusable_bytes, gpu_usable=gpu_usable)
    if impossible is not None:
        placed = replace(placed, verdict="no", because=(impossible, *placed.because))
    return placed


def _place(machine: Machine, load: _Load, reusable_bytes: int, *, gpu_usable: bool) -> Fit:
    cards, shared = budget.usable_cards(machine), budget.shared_graphics(machine)
    if not gpu_usable or not (cards or shared):
        on_cpu = _on_cpu(machine, load, reusable_bytes)
        return replace(on_cpu, because=(*on_cpu.because, *_unused(machine, gpu_usable)))
    if shared is not None and not cards:
        return _on_unified(machine, shared, load, reusable_bytes)
    groups = [cards[: count + 1] for count in range(len(cards))]
    whole = [_on_cards(group, load, reusable_bytes) for group in groups]
    fitting = [row for row in whole if row.fits]
    with_margin = [row for row in fitting if (row.headroom_bytes or 0) >= 0]
    if fitting:
        return (with_margin or fitting)[0]
    parts = [_on_both(machine, group, load, reusable_bytes) for group in groups]
    return max(parts, key=lambda row: (row.fits, row.weights_gpu_bytes or 0))


def _unused(machine: Machine, gpu_usable: bool) -> list[str]:
    """Why graphics that are there do not count."""
    known = [gpu for gpu in machine.gpus if gpu.vram_bytes or gpu.unified]
    if known:
        text = "this engine computes on the processor" if not gpu_usable else "no engine uses it"
        return [f"{text}: {known[0].name} stays unused"]
    return [
        f"how much memory {gpu.name} has is not known, so it was not counted"
        for gpu in machine.gpus
    ]


def _gpu_weights(weights: Weights) -> int:
    """All tensors on the GPU; an embedding that is not the head as well stays in RAM."""
    return weights.total_bytes - (0 if weights.tied else weights.embedding_bytes)


def _device_costs(load: _Load, cards: int) -> tuple[int, int]:
    """Compute and overhead over several cards: each has its own buffer and context, input is
    copied for the pipeline, and layers cannot be cut."""
    compute = compute_bytes(load.shape, load.asked)
    overhead = DEVICE_CONTEXT_BYTES * cards + load.projector_bytes
    if cards > 1:
        mask = mask_bytes(load.shape, load.asked)
        compute = cards * (compute + PIPELINE_COPIES * mask)
        overhead += cards * max(load.weights.layer_bytes, default=0)
    return compute, overhead


def _on_cards(cards: Sequence[Gpu], asked: _Load, reusable_bytes: int) -> Fit:
    load, impossible = asked.on(cards)
    compute, overhead = _device_costs(load, len(cards))
    margin = len(cards) * MARGIN_BYTES
    placed = _settle(
        load,
        "gpu",
        gpu_bytes=_gpu_weights(load.weights),
        cpu_bytes=load.weights.embedding_bytes if load.exact else None,
        compute=compute,
        overhead=overhead,
        room=budget.of_cards(cards, reusable_bytes),
        most=budget.of_cards(cards, reusable_bytes, margin_bytes=0),
        where=f"on {_names(cards)} beside {format_memory(margin)} kept free",
    )
    if any(gpu.vram_free_bytes is None for gpu in cards):
        remark = "how much graphics memory is free is unknown: all of it was counted"
        placed = replace(placed, because=(*placed.because, remark))
    placed = replace(
        placed,
        devices=tuple(cards),
        gpu_expert_bytes=sum(load.weights.expert_bytes),
        gpu_cache_bytes=load.cache_bytes,
    )
    return _refused(placed, impossible)


def _refused(placed: Fit, reason: str | None) -> Fit:
    if reason is None:
        return placed
    return replace(placed, verdict="no", because=(reason, *placed.because))


def _names(cards: Sequence[Gpu]) -> str:
    return " + ".join(gpu.name for gpu in cards)


def _on_unified(machine: Machine, gpu: Gpu, asked: _Load, reusable_bytes: int) -> Fit:
    load, impossible = asked.on((gpu,))
    context = METAL_CONTEXT_BYTES if gpu.vendor == "apple" else DEVICE_CONTEXT_BYTES
    room = budget.of_shared(machine, gpu)
    where = "in memory that processor and graphics share"
    if room.size_bytes is not None:
        where += f" ({format_memory(room.reserve_bytes)} or more besides stay with the system)"
    placed = _settle(
        load,
        "gpu",
        gpu_bytes=_gpu_weights(load.weights),
        cpu_bytes=load.weights.embedding_bytes if load.exact else None,
        compute=compute_bytes(load.shape, load.asked),
        overhead=context + PROCESS_BYTES + load.projector_bytes,
        room=room.size_bytes,
        where=where,
    )
    placed = replace(
        placed,
        devices=(gpu,),
        gpu_expert_bytes=sum(load.weights.expert_bytes),
        gpu_cache_bytes=load.cache_bytes,
    )
    placed = _with_shortage(placed, placed.total_bytes, room.free_bytes, reusable_bytes)
    return _refused(placed, impossible)


def _on_cpu(machine: Machine, load: _Load, reusable_bytes: int) -> Fit:
    room = budget.of_ram(machine)
    where = "in RAM"
    if room.size_bytes is not None:
        where += f" ({format_memory(room.reserve_bytes)} more stay with the system)"
    placed = _settle(
        load,
        "cpu",
        gpu_bytes=0,
        cpu_bytes=load.weights.total_bytes,
        compute=compute_bytes(load.shape, load.asked),
        overhead=PROCESS_BYTES + load.projector_bytes,
        room=room.size_bytes,
        where=where,
    )
    placed = _with_shortage(placed, placed.total_bytes, room.free_bytes, reusable_bytes)
    return _with_repacking(placed, load.weights, budget.ram_bytes(machine))


def _with_repacking(placed: Fit, weights: Weights, ram: int | None) -> Fit:
    """While it loads, the processor's own copy of the tensors stands beside the file's pages."""
    if not weights.repacked_bytes or ram is None or not placed.fits:
        return placed
    peak = (placed.total_bytes or 0) + weights.repacked_bytes
    if peak <= ram:
        return placed
    remark = (
        f"while it loads, tensors are arranged anew for the processor: {format_memory(peak)} are "
        "touched for a moment, more than there is, so loading is slow"
    )
    return replace(placed, because=(*placed.because, remark))


def _on_both(machine: Machine, cards: Sequence[Gpu], asked: _Load, reusable_bytes: int) -> Fit:
    """Part on the cards, the rest in RAM: experts of the first layers go to RAM first, else whole
    layers from the first on; cache and state follow their layer."""
    load, impossible = asked.on(cards)
    compute, overhead = _device_costs(load, len(cards))
    compute += load.weights.largest_bytes  # room to bring one tensor over for big batches
    on_cards, in_ram = budget.of_cards(cards, reusable_bytes), budget.of_ram(machine)
    split = _split_weights(load, on_cards - compute - overhead)
    if split is None:
        on_cpu = _on_cpu(machine, asked, 0)
        remark = f"{cards[0].name} has too little free memory to hold a part of it"
        return replace(on_cpu, because=(*on_cpu.because, remark))
    gpu_weights, gpu_cache, gpu_experts = split
    embedding = load.weights.embedding_bytes
    cpu_weights = load.weights.total_bytes - gpu_weights + (embedding if load.weights.tied else 0)
    placed = _settle(
        load,
        "split",
        gpu_bytes=gpu_weights,
        cpu_bytes=cpu_weights,
        compute=compute,
        overhead=overhead + PROCESS_BYTES,
        room=None if in_ram.size_bytes is None else on_cards + in_ram.size_bytes,
        where=f"on {_names(cards)} and in RAM together",
    )
    placed = replace(
        placed,
        devices=tuple(cards),
        gpu_expert_bytes=gpu_experts,
        gpu_cache_bytes=gpu_cache,
    )
    need = cpu_weights + load.cache_bytes - gpu_cache + PROCESS_BYTES
    if in_ram.size_bytes is not None and need > in_ram.size_bytes:
        remark = f"{format_memory(need)} of it would lie in RAM, which is too small for that"
        placed = replace(placed, verdict="no", because=(*placed.because, remark))
    placed = _with_shortage(placed, need, machine.ram_free_bytes, 0)
    return _refused(placed, impossible)


def _split_weights(load: _Load, room: int) -> tuple[int, int, int] | None:
    """Bytes of weights, of cache, and of the experts among the weights that a GPU with so much
    room takes; None for nothing."""
    weights, cache = load.weights, load.cache_bytes
    resident = _gpu_weights(weights) + cache
    moved = 0
    for experts in weights.expert_bytes:
        if resident - moved <= room:
            break
        moved += experts
    if moved and resident - moved <= room:
        return resident - cache - moved, cache, sum(weights.expert_bytes) - moved
    taken, taken_cache = weights.head_bytes, 0
    if taken > room:
        return None
    layers = zip(reversed(weights.layer_bytes), reversed(load.shape.layers), strict=True)
    count = 0
    for size, layer in layers:
        state = layer.state_bytes * load.asked.parallel
        layer_cache = layer_kv_bytes(layer, load.asked) + state
        if taken + taken_cache + size + layer_cache > room:
            break
        taken, taken_cache, count = taken + size, taken_cache + layer_cache, count + 1
    if not count:
        return None
    return taken, taken_cache, sum(weights.expert_bytes[-count:])


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
    room: int | None,
    where: str,
    most: int | None = None,
) -> Fit:
    """Add up, compare with the room there is, and say why; `most` is the room without margin."""
    counted = {"gpu": gpu_bytes, "cpu": cpu_bytes or 0, "split": gpu_bytes + (cpu_bytes or 0)}
    resident = counted[placement]
    total = resident + load.cache_bytes + compute + overhead
    verdict: Verdict | None = None
    if room is not None:
        if total > max(room, most or 0):
            verdict = "no"
        elif placement == "split":
            verdict = "split"
        else:
            verdict = "roomy" if total * 100 <= room * ROOMY_PERCENT else "tight"
    has = "an unknown amount" if room is None else format_memory(room)
    because = [
        f"needs {format_memory(total)} of {has} {where}: weights "
        f"{format_memory(resident)}, cache {format_memory(load.cache_bytes)} for "
        f"{load.asked.context_tokens:,} tokens at {load.asked.kv_cache_type}, "
        "the rest for computing"
    ]
    if room is not None and verdict == "tight" and total > room:
        because.append("fits only without the free margin that the engine likes to keep")
    attends = any(layer.kv_heads for layer in load.shape.layers)
    if load.asked.flash_attention is False and attends:
        because.append("without flash attention computing takes far more memory")
    if not load.exact:
        because.append("weights taken from the published download size")
    if load.shape.upper_bound:
        because.append("the layout of its cache is not confirmed")
    return Fit(
        verdict=verdict,
        placement=placement,
        context_tokens=load.asked.context_tokens,
        kv_cache_type=load.asked.kv_cache_type,
        weights_bytes=load.weights.total_bytes if load.exact else None,
        weights_gpu_bytes=gpu_bytes,
        weights_cpu_bytes=cpu_bytes,
        kv_bytes=load.kv_bytes,
        state_bytes=load.state_bytes,
        compute_bytes=compute,
        overhead_bytes=overhead,
        total_bytes=total,
        budget_bytes=room,
        headroom_bytes=None if room is None else room - total,
        evidence="exact" if load.exact and not load.shape.upper_bound else "estimated",
        because=tuple(because),
    )
