"""Intel graphics on Linux: i915 and xe in sysfs, then xpu-smi, the PCI window, the name.

Only out-of-tree i915 and xe publish how much memory a card has, so several ways are tried.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agentlaunch.machine import devices, drm
from agentlaunch.machine.drm import DrmCard
from agentlaunch.machine.facts import Facts, Note, plain
from agentlaunch.machine.graphics import Found, Graphics
from agentlaunch.machine.printed_json import count, first_object, rows, text_of

GIB = 1 << 30

_VENDOR = "0x8086"
_TOOL_TIMEOUT_S = 3.0
_MOST_TILES = 4
_MEMORY_FILES = (
    ("tile0/vram0/total_bytes", "tile0/vram0/used_bytes"),
    ("tile0/vram0/size", "tile0/vram0/used"),
    ("lmem_total_bytes", ""),
    ("../lmem_total_bytes", ""),
    ("mem_info_vram_total", "mem_info_vram_used"),
)
# Integrated graphics have a window of 256 MiB; no card has less memory than this.
_LEAST_WINDOW_BYTES = 2 * GIB
_PREFETCHABLE_MEMORY = 0x2200  # flags of a PCI resource: memory and prefetchable
_DISCRETE = re.compile(
    # The Arc B390 and B370 are part of a processor (Panther Lake).
    r"\barc (?:pro )?(?!b3[0-9]0\b)[ab][0-9]{2,3}\b"
    r"|\bdg[12]\b|\bbattlemage\b|\b(?:flex|max) [0-9]{3,4}\b"
)


@dataclass(frozen=True, slots=True)
class Listed:
    """One device of `xpu-smi discovery -j`."""

    name: str
    slot: str = ""
    number: int | None = None
    memory_bytes: int | None = None


def detect(facts: Facts) -> Found:
    """Cards with their memory, and integrated graphics, which share the machine's."""
    if facts.platform != "linux":
        return Found()
    cards = drm.cards(facts, _VENDOR)
    listed = _ask_xpu_smi(facts)
    if not cards:
        told = [_from_listed(facts, row) for row in listed]
        return Found(tuple(told), _unknown_memory(told))
    names = drm.listed_names(facts, _VENDOR, [card.slot for card in cards])
    found = [_graphics(facts, card, name, listed) for card, name in zip(cards, names, strict=True)]
    return Found(tuple(found), _unknown_memory(found))


def is_discrete(name: str) -> bool | None:
    """Whether a card of this name has memory of its own; None when the name does not say."""
    spelled = devices.without_marks(name)
    device = devices.find(name)
    if device is not None and device.vendor == "intel":
        return not device.unified
    if _DISCRETE.search(spelled):
        return True
    return False if re.search(r"\bu?hd\b|\biris\b|\bgraphics\b|\bb3[0-9]0\b", spelled) else None


def graphics(
    name: str,
    *,
    discrete: bool,
    memory_bytes: int | None,
    used_bytes: int | None = None,
    driver: str | None = None,
    source: str = "sysfs",
) -> Graphics:
    """A card or integrated graphics of Intel; of the latter only Arc is worth a model's time."""
    own_bytes = memory_bytes if discrete else None
    device = devices.find(name, own_bytes)
    is_arc = "arc" in devices.without_marks(name).split()
    return Graphics(
        name=name or "Intel graphics",
        vendor="intel",
        integrated=not discrete,
        own_bytes=own_bytes,
        own_used_bytes=used_bytes if discrete else None,
        bandwidth_gbs=device.bandwidth_gbs if device and device.vendor == "intel" else None,
        backend="vulkan" if discrete or is_arc else None,
        driver=driver,
        source=source,
    )


def _graphics(facts: Facts, card: DrmCard, pci_name: str, listed: Sequence[Listed]) -> Graphics:
    row = _row_of(card, listed)
    name = row.name if row else _full_name(drm.choose_name(pci_name, None))
    memory_bytes, used_bytes = _memory_files(facts, card.folder)
    source = "sysfs"
    discrete = is_discrete(name)
    window_bytes = largest_window(facts.file(f"{card.folder}/resource") or "")
    if discrete is None:
        own = memory_bytes or (row.memory_bytes if row else None)
        discrete = bool(own) or (window_bytes or 0) >= _LEAST_WINDOW_BYTES
    if discrete and memory_bytes is None and row is not None:
        memory_bytes, source = _listed_memory(facts, row), "xpu-smi"
    if discrete and memory_bytes is None:
        memory_bytes, source = by_window(name, window_bytes)
    return graphics(
        name,
        discrete=discrete,
        memory_bytes=memory_bytes,
        used_bytes=used_bytes,
        driver=card.driver,
        source=source,
    )


def _full_name(name: str) -> str:
    return f"Intel {name}" if name and not name.startswith("Intel") else name


def _memory_files(facts: Facts, folder: str) -> tuple[int | None, int | None]:
    """Bytes in all and in use, as far as this kernel says them."""
    tiles = [
        drm.read_count(facts, f"{folder}/tile{number}/physical_vram_size_bytes") or 0
        for number in range(_MOST_TILES)
    ]
    if any(tiles):
        return sum(tiles), None
    for total, used in _MEMORY_FILES:
        path = f"{folder}/{total}".replace("/device/../", "/")
        memory_bytes = drm.read_count(facts, path)
        if memory_bytes:
            return memory_bytes, drm.read_count(facts, f"{folder}/{used}") if used else None
    return None, None


def largest_window(text: str) -> int | None:
    """Bytes of the largest prefetchable memory range in a PCI device's `resource` file.

    With resizable BAR it covers the card's memory, rounded up to a power of two.
    """
    sizes = []
    for line in text.splitlines():
        words = line.split()
        if len(words) != 3 or not all(re.fullmatch(r"0x[0-9a-fA-F]{1,16}", w) for w in words):
            continue
        start, end, flags = (int(word, 16) for word in words)
        if flags & _PREFETCHABLE_MEMORY == _PREFETCHABLE_MEMORY and end > start:
            sizes.append(end - start + 1)
    return count(max(sizes, default=None))


def by_window(name: str, window_bytes: int | None) -> tuple[int | None, str]:
    """A card's memory by the window through which the processor sees it, or by its name: the
    largest size it is sold with that fits the window, without a window the smallest."""
    sizes = sorted(gib * GIB for gib in devices.sold_gib(name))
    if window_bytes is not None and window_bytes >= _LEAST_WINDOW_BYTES:
        fitting = [size for size in sizes if size <= window_bytes]
        return (fitting[-1] if fitting else window_bytes), "sysfs"
    return (sizes[0] if sizes else None), "name"


def _ask_xpu_smi(facts: Facts) -> tuple[Listed, ...]:
    answer = facts.command(["xpu-smi", "discovery", "-j"], timeout_s=_TOOL_TIMEOUT_S)
    if answer is None:  # not found here, or recorded for one device only
        answer = facts.command(["xpu-smi", "discovery", "-d", "0", "-j"])
    return parse_discovery(answer.stdout) if answer else ()


def parse_discovery(text: str) -> tuple[Listed, ...]:
    """The devices in `xpu-smi discovery -j`, of all or (with -d) of one."""
    data = first_object(text)
    listed = data.get("device_list") if isinstance(data, dict) else None
    if not isinstance(listed, list):
        listed = rows(text)
    return tuple(
        Listed(
            name=plain(text_of(row, "device_name")),
            slot=text_of(row, "pci_bdf_address").strip(),
            number=count(row.get("device_id")),
            memory_bytes=count(row.get("memory_physical_size_byte")) or None,
        )
        for row in listed
        if isinstance(row, dict) and text_of(row, "device_name").strip()
    )


def _row_of(card: DrmCard, listed: Sequence[Listed]) -> Listed | None:
    if card.slot:
        return next((row for row in listed if row.slot == card.slot), None)
    return listed[0] if len(listed) == 1 else None


def _listed_memory(facts: Facts, row: Listed) -> int | None:
    """The list leaves the memory out; asked for one device, xpu-smi prints it."""
    if row.memory_bytes is not None or row.number is None:
        return row.memory_bytes
    answer = facts.command(
        ["xpu-smi", "discovery", "-d", str(row.number), "-j"], timeout_s=_TOOL_TIMEOUT_S
    )
    told = parse_discovery(answer.stdout) if answer else ()
    return told[0].memory_bytes if told else None


def _from_listed(facts: Facts, row: Listed) -> Graphics:
    discrete = is_discrete(row.name)
    memory_bytes, source = row.memory_bytes, "xpu-smi"
    if discrete is not False:
        memory_bytes = _listed_memory(facts, row)
        if memory_bytes is None:
            memory_bytes, source = by_window(row.name, None)
    if discrete is None:
        discrete = memory_bytes is not None
    return graphics(row.name, discrete=discrete, memory_bytes=memory_bytes, source=source)


def _unknown_memory(found: Sequence[Graphics]) -> tuple[Note, ...]:
    notes = []
    for card in found:
        if card.integrated:
            continue
        if card.own_bytes is None:
            notes.append(Note("intel", f"how much memory the {card.name} has is not told"))
        elif card.source == "name":
            message = f"the memory of the {card.name} is taken from its name; it may have more"
            notes.append(Note("intel", message))
    return tuple(notes)
