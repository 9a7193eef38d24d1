"""How much memory a place has for a model: cards, shared memory, RAM. Pure.

What is free counts on a card. RAM and shared memory count whole, less a stated reserve: what is
short there right now can be freed by closing programs, and is told as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentlaunch.machine.facts import Gpu, Machine

GIB = 1 << 30

MARGIN_BYTES = GIB
"""What the engine's own fitting keeps free on each graphics card (`--fit-target`)."""
UNIFIED_RESERVE_BYTES = 4 * GIB
"""What a system whose graphics share its memory keeps for itself and its programs."""
RAM_RESERVE_SHARE = 4
MIN_RAM_RESERVE_BYTES = GIB
MAX_RAM_RESERVE_BYTES = 4 * GIB

OLDEST_FLASH_CAPABILITY = (6, 0)
NO_FLASH_CAPABILITY = (7, 2)
"""NVIDIA: below 6.0, and on 7.2 (Xavier), the engine has no flash attention."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes that a model may take in one place, None where unknown; `reserve_bytes` stay with
    the system, `free_bytes` are free at this moment."""

    size_bytes: int | None
    reserve_bytes: int
    free_bytes: int | None


def usable_cards(machine: Machine) -> tuple[Gpu, ...]:
    """Graphics cards with memory of their own, the one with most free memory first."""
    cards = [gpu for gpu in machine.gpus if not gpu.unified and gpu.vram_bytes]
    return tuple(sorted(cards, key=free_bytes, reverse=True))


def shared_graphics(machine: Machine) -> Gpu | None:
    """Graphics that compute in the machine's own memory and that engines use."""
    vendors = ("apple", "nvidia", "amd")
    return next((gpu for gpu in machine.gpus if gpu.unified and gpu.vendor in vendors), None)


def free_bytes(gpu: Gpu) -> int:
    """What is free on a card; all of it where that is unknown."""
    return gpu.vram_free_bytes if gpu.vram_free_bytes is not None else gpu.vram_bytes or 0


def of_cards(cards: Sequence[Gpu], reusable_bytes: int, *, margin_bytes: int = MARGIN_BYTES) -> int:
    """Free memory of the cards together and what would be evicted, less the margin on each."""
    most = sum(max(0, (gpu.vram_bytes or 0) - margin_bytes) for gpu in cards)
    free = sum(max(0, free_bytes(gpu) - margin_bytes) for gpu in cards)
    return min(free + reusable_bytes, most)


def of_shared(machine: Machine, gpu: Gpu) -> Budget:
    """Memory that processor and graphics share: what the graphics may use, and never all."""
    free = gpu.vram_free_bytes if gpu.vram_free_bytes is not None else machine.ram_free_bytes
    sizes = [size for size in (ram_bytes(machine), gpu.vram_bytes) if size is not None]
    if not sizes:
        return Budget(None, 0, free)
    # A memory carve-out of the firmware is not part of RAM: the larger pool counts (AMD APUs).
    reserve = min(UNIFIED_RESERVE_BYTES, max(sizes) // 2)
    size = max(0, min(gpu.vram_bytes or max(sizes), max(sizes) - reserve))
    return Budget(size, reserve, free)


def of_ram(machine: Machine) -> Budget:
    """RAM within a container's limit, less a quarter of it but 1 GiB at least and 4 at most."""
    ram = ram_bytes(machine)
    share = (ram or 0) // RAM_RESERVE_SHARE
    reserve = max(MIN_RAM_RESERVE_BYTES, min(MAX_RAM_RESERVE_BYTES, share))
    size = None if ram is None else max(0, ram - reserve)
    return Budget(size, reserve, machine.ram_free_bytes)


def ram_bytes(machine: Machine) -> int | None:
    """All RAM that this machine, or its container, may use."""
    sizes = [row for row in (machine.ram_bytes, machine.ram_limit_bytes) if row is not None]
    return min(sizes) if sizes else None


def lacks_flash_attention(gpus: Sequence[Gpu]) -> Gpu | None:
    """The first of these devices that has no flash attention, or None.

    Unknown capabilities count as able: nearly every card in use is.
    """
    for gpu in gpus:
        if gpu.compute_capability is None:
            continue
        major, _, minor = gpu.compute_capability.partition(".")
        if major.isdecimal() and minor.isdecimal():
            capability = (int(major), int(minor))
            if capability < OLDEST_FLASH_CAPABILITY or capability == NO_FLASH_CAPABILITY:
                return gpu
    return None
