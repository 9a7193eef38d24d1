"""Graphics of any maker whose memory must be worked out: own memory, or a share of the machine's.

Integrated graphics have a pool: what the firmware sets aside for them, which the system does not
count as RAM, and what the driver may take from RAM besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentlaunch.machine.facts import Gpu, Note, Vendor
from agentlaunch.machine.memory import Ram
from agentlaunch.units import format_memory

GIB = 1 << 30

_LARGE_CARVE_OUT_BYTES = 8 * GIB


@dataclass(frozen=True, slots=True)
class Graphics:
    """One device as its driver or tool describes it. Bytes; unknown is None.

    `own_bytes` is memory that is no RAM (of integrated graphics: the firmware's carve-out),
    `shared_bytes` what may be taken from RAM; None there means half of it, the drivers' default.
    """

    name: str
    vendor: Vendor
    integrated: bool
    own_bytes: int | None = None
    own_used_bytes: int | None = None
    shared_bytes: int | None = None
    shared_used_bytes: int | None = None
    bandwidth_gbs: float | None = None
    backend: str | None = None
    driver: str | None = None
    source: str = "sysfs"
    compute_capability: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What one maker's detector found."""

    graphics: tuple[Graphics, ...] = ()
    notes: tuple[Note, ...] = ()


def settle(
    found: Sequence[Graphics], ram: Ram, others: Sequence[Gpu] = ()
) -> tuple[tuple[Gpu, ...], tuple[Note, ...]]:
    """What of these a model could run on, given the machine's memory and its `others`.

    Integrated graphics with less memory of their own than a card give way to the card: an engine
    that took both would be slowed to the pace of the smaller.
    """
    cards = [g.own_bytes or 0 for g in found if not g.integrated]
    cards += [gpu.vram_bytes or 0 for gpu in others if not gpu.unified]
    largest_bytes = max(cards, default=0)
    gpus: list[Gpu] = []
    notes: list[Note] = []
    for graphics in found:
        if not graphics.integrated:
            gpus.append(_card(graphics))
        elif largest_bytes and (graphics.own_bytes or 0) <= largest_bytes:
            message = f"{graphics.name} (integrated) is left out beside the graphics card"
            notes.append(_note(graphics, message))
        else:
            gpus.append(_integrated(graphics, ram))
            notes.extend(_integrated_notes(graphics, ram))
    return tuple(gpus), tuple(notes)


def _card(graphics: Graphics) -> Gpu:
    free_bytes = _free(graphics.own_bytes, graphics.own_used_bytes)
    return _gpu(graphics, graphics.own_bytes, free_bytes)


def _integrated(graphics: Graphics, ram: Ram) -> Gpu:
    own_bytes = graphics.own_bytes or 0
    shared_bytes = graphics.shared_bytes
    if shared_bytes is None and ram.total_bytes is not None:
        shared_bytes = ram.total_bytes // 2
    if shared_bytes is not None and ram.limit_bytes is not None:
        shared_bytes = min(shared_bytes, ram.limit_bytes)
    pool_bytes = own_bytes + (shared_bytes or 0)
    own_free_bytes = max(0, own_bytes - (graphics.own_used_bytes or 0))
    pool_free_bytes = own_free_bytes + max(
        0, (shared_bytes or 0) - (graphics.shared_used_bytes or 0)
    )
    free_bytes = None
    if ram.free_bytes is not None:
        free_bytes = min(pool_free_bytes, ram.free_bytes + own_free_bytes)
    return _gpu(graphics, pool_bytes or None, free_bytes if pool_bytes else None)


def _integrated_notes(graphics: Graphics, ram: Ram) -> list[Note]:
    notes = []
    own_bytes = graphics.own_bytes or 0
    if own_bytes >= _LARGE_CARVE_OUT_BYTES and ram.total_bytes is not None:
        message = (
            f"the firmware sets {format_memory(own_bytes)} of this machine's "
            f"{format_memory(own_bytes + ram.total_bytes)} aside for graphics, so the system "
            f"counts {format_memory(ram.total_bytes)}; its setup can change that"
        )
        notes.append(_note(graphics, message))
    if graphics.backend is None:
        message = (
            f"{graphics.name} shares the processor's memory and is no faster at this: "
            "models run on the processor"
        )
        notes.append(_note(graphics, message))
    return notes


def _note(graphics: Graphics, message: str) -> Note:
    return Note("graphics" if graphics.vendor == "unknown" else graphics.vendor, message)


def _free(total_bytes: int | None, used_bytes: int | None) -> int | None:
    if total_bytes is None or used_bytes is None:
        return None
    return max(0, total_bytes - used_bytes)


def _gpu(graphics: Graphics, vram_bytes: int | None, free_bytes: int | None) -> Gpu:
    return Gpu(
        name=graphics.name,
        vendor=graphics.vendor,
        vram_bytes=vram_bytes,
        vram_free_bytes=free_bytes,
        unified=graphics.integrated,
        bandwidth_gbs=graphics.bandwidth_gbs,
        backend=graphics.backend,
        driver=graphics.driver,
        source=graphics.source,
        compute_capability=graphics.compute_capability,
    )
