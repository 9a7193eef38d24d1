"""AMD graphics on Linux: sysfs, which needs no ROCm, then rocm-smi or amd-smi (ROCm 6 and 7).

An APU's graphics have a small memory of their own and take the rest from RAM (GTT), unless the
firmware gave them much of it; so the name says what is integrated, and only where it does not the
sizes are asked, with the test that Ollama uses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agentlaunch.machine import cpu, devices, drm
from agentlaunch.machine.facts import Facts, Note, plain
from agentlaunch.machine.graphics import Found, Graphics
from agentlaunch.machine.printed_json import count, first_object, rows, text_of

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

_VENDOR = "0x1002"
_TOOL_TIMEOUT_S = 3.0  # both tools and lspci together stay within the probe's time
_ROCM_SMI = ("rocm-smi", "--showmeminfo", "vram", "gtt", "--showproductname", "--json")
_AMD_SMI = ("amd-smi", "static", "--asic", "--vram", "--json")
_SIZE_KEYS = ("size", "size_mb", "vram_size", "vram_size_mb")  # by version of amd-smi
_SAME_BYTES = 64 * MIB  # a tool that prints whole megabytes and sysfs mean one card

_INTEGRATED = re.compile(
    r"(?<!rx )\b[0-9]{3}m\b|\braphael\b|^(?:amd )?radeon (?:rx )?vega [0-9]{1,2} graphics\b"
    r"|\bradeon vega (?:mobile )?series\b"
)
_NAMELESS = re.compile(r"^(?:amd )?radeon graphics\b|^$")  # APUs, and cards new to their driver
_DISCRETE = re.compile(r"\brx ?[0-9]{3,4}|\bradeon pro\b|\binstinct\b|\bmi[0-9]{2,3}|\bfirepro\b")
# LLVM's AMDGPU table: gfx1036 are the two compute units in desktop processors.
_INTEGRATED_GFX = re.compile(r"gfx(?:902|909|90c|1033|1035|1036|1037|1103|115[0-9])")
_DISCRETE_GFX = re.compile(
    r"gfx(?:8[0-9]{2}|900|906|908|90a|950|101[0-2]|103[0-24]|110[0-2]|120[01])"
)
_ORDERED_ENV = (("ROCR_VISIBLE_DEVICES",), ("HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"))


@dataclass(frozen=True, slots=True)
class Card:
    """One card. Bytes; what is not told is None or empty."""

    name: str = ""
    vram_bytes: int | None = None
    vram_used_bytes: int | None = None
    gtt_bytes: int | None = None
    gtt_used_bytes: int | None = None
    gfx: str = ""
    driver: str | None = None
    slot: str = ""
    source: str = "sysfs"
    rocm: bool = False  # one of ROCm's tools sees it
    in_processor: bool = False  # the only one, and the processor's name says that it has graphics


def detect(facts: Facts) -> Found:
    """The cards that a ROCm program started by us would see."""
    if facts.platform != "linux":
        return Found()
    cards = joined(_from_sysfs(facts), _from_tools(facts))
    cards = _named(facts, cards)
    shown, notes = select(cards, facts.env)
    return Found(tuple(graphics(card) for card in shown), (*notes, *_unknown_memory(shown)))


def graphics(card: Card) -> Graphics:
    """A card as the rest of the room speaks of it."""
    integrated = is_integrated(card)
    device = devices.find(card.name, None if integrated else card.vram_bytes)
    return Graphics(
        name=card.name or ("AMD Radeon Graphics" if integrated else "AMD graphics card"),
        vendor="amd",
        integrated=integrated,
        own_bytes=card.vram_bytes,
        own_used_bytes=card.vram_used_bytes,
        shared_bytes=card.gtt_bytes,
        shared_used_bytes=card.gtt_used_bytes,
        bandwidth_gbs=device.bandwidth_gbs if device and device.vendor == "amd" else None,
        backend="rocm" if card.rocm else "vulkan",
        driver=card.driver,
        source=card.source,
    )


def is_integrated(card: Card) -> bool:
    """By name, since firmware may give an APU 96 GiB of its own; else by the sizes of its pools."""
    name = devices.without_marks(card.name)
    device = devices.find(card.name)
    if device is not None and device.vendor == "amd":
        return device.unified
    if _DISCRETE.search(name):
        return False
    if _INTEGRATED_GFX.fullmatch(card.gfx):
        return True
    if _DISCRETE_GFX.fullmatch(card.gfx):
        return False
    if _INTEGRATED.search(name):
        return True
    vram_bytes, gtt_bytes = card.vram_bytes, card.gtt_bytes
    if vram_bytes is None or gtt_bytes is None:
        return bool(name and _NAMELESS.search(name))
    if vram_bytes > 4 * GIB:
        return False
    ours = card.in_processor and _NAMELESS.search(name) is not None
    return ours or gtt_bytes >= max(8 * GIB, 4 * vram_bytes)


def _from_sysfs(facts: Facts) -> tuple[Card, ...]:
    return tuple(
        Card(
            name=_known_name(facts.file(f"{card.folder}/product_name")),
            vram_bytes=drm.read_count(facts, f"{card.folder}/mem_info_vram_total") or None,
            vram_used_bytes=drm.read_count(facts, f"{card.folder}/mem_info_vram_used"),
            gtt_bytes=drm.read_count(facts, f"{card.folder}/mem_info_gtt_total"),
            gtt_used_bytes=drm.read_count(facts, f"{card.folder}/mem_info_gtt_used"),
            driver=card.driver,
            slot=card.slot,
        )
        for card in drm.cards(facts, _VENDOR)
    )


def _from_tools(facts: Facts) -> tuple[Card, ...]:
    answer = facts.command(_ROCM_SMI, timeout_s=_TOOL_TIMEOUT_S)
    cards = parse_rocm_smi(answer.stdout) if answer else ()
    if cards and not any(card.name for card in cards):
        names = facts.command((_ROCM_SMI[0], *_ROCM_SMI[4:]), timeout_s=_TOOL_TIMEOUT_S)
        named = parse_rocm_smi(names.stdout) if names else ()
        if len(named) == len(cards):
            cards = tuple(
                replace(card, name=more.name, gfx=card.gfx or more.gfx)
                for card, more in zip(cards, named, strict=True)
            )
    if cards or (answer is not None and answer.rc == -1):  # one tool that hangs is enough
        return cards
    answer = facts.command(_AMD_SMI, timeout_s=_TOOL_TIMEOUT_S)
    return parse_amd_smi(answer.stdout) if answer else ()


def parse_rocm_smi(text: str) -> tuple[Card, ...]:
    """The cards in `rocm-smi --json`: numbers are text, the case of keys differs by version."""
    data = first_object(text)
    if not isinstance(data, dict):
        data = _table(text)
    found = [
        (int(number[1]), {str(key).lower(): value for key, value in row.items()})
        for key, row in data.items()
        if isinstance(row, dict) and (number := re.fullmatch(r"card([0-9]{1,4})", str(key), re.A))
    ]
    driver = _driver_version(data.get("system"))
    return tuple(
        _rocm_card(row, driver) for _number, row in sorted(found, key=lambda pair: pair[0])
    )


def _table(text: str) -> Mapping[str, Mapping[str, str]]:
    """What it prints without `--json`: rows `GPU[0] : Card Series: Radeon RX 7900 XTX`."""
    cards: dict[str, dict[str, str]] = {}
    for number, name, value in re.findall(
        r"^GPU\[([0-9]{1,4})\]\s*: ([^:\n]+):[ \t]*(\S.*?)[ \t]*$", text, re.M | re.A
    ):
        cards.setdefault(f"card{number}", {})[name] = value
    return cards


def _rocm_card(row: Mapping[str, Any], driver: str | None) -> Card:
    names = (_known_name(row.get(key)) for key in ("card series", "card model"))
    return Card(
        name=next((name for name in names if name), ""),
        vram_bytes=count(row.get("vram total memory (b)")) or None,
        vram_used_bytes=count(row.get("vram total used memory (b)")),
        gtt_bytes=count(row.get("gtt total memory (b)")),
        gtt_used_bytes=count(row.get("gtt total used memory (b)")),
        gfx=text_of(row, "gfx version").strip().lower(),
        driver=driver,
        source="rocm-smi",
        rocm=True,
    )


def _driver_version(system: Any) -> str | None:
    if not isinstance(system, dict):
        return None
    rows_ = {str(key).lower(): value for key, value in system.items()}
    return plain(text_of(rows_, "driver version")) or None


def parse_amd_smi(text: str) -> tuple[Card, ...]:
    """The cards in `amd-smi static --json`: a list (ROCm 6) or under `gpu_data` (ROCm 7)."""
    data = first_object(text)
    listed: list[Mapping[str, Any]]
    if isinstance(data, dict) and isinstance(data.get("gpu_data"), list):
        listed = [row for row in data["gpu_data"] if isinstance(row, dict)]
    else:
        listed = [row for row in rows(text) if "asic" in row or "vram" in row]
    cards = []
    for row in listed:
        asic, vram, board = (_part(row, name) for name in ("asic", "vram", "board"))
        cards.append(
            Card(
                name=_known_name(asic.get("market_name")) or _known_name(board.get("product_name")),
                vram_bytes=parse_size(next((vram[key] for key in _SIZE_KEYS if key in vram), None)),
                gfx=text_of(asic, "target_graphics_version").strip().lower(),
                source="amd-smi",
                rocm=True,
            )
        )
    return tuple(cards)


def _part(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = row.get(name)
    return part if isinstance(part, dict) else {}


def parse_size(value: Any) -> int | None:
    """Bytes in amd-smi's {"value": 24560, "unit": "MB"}, "24560 MB" or 24560; MB are 2^20."""
    if isinstance(value, dict):
        value = f"{value.get('value')} {value.get('unit', 'MB')}"
    found = re.fullmatch(
        r"([0-9]{1,12})(?:\.0*)?(?: ?([KMG]?)i?B)?", str(value).strip(), re.A | re.I
    )
    if found is None:
        return None
    unit = {"": 1, "K": KIB, "M": MIB, "G": GIB, None: MIB}[found[2] and found[2].upper()]
    return count(int(found[1]) * unit) or None


def joined(seen: Sequence[Card], told: Sequence[Card]) -> tuple[Card, ...]:
    """The kernel's cards with the names that a tool knows; without a kernel's, the tool's.

    Their numbers need not agree, so one memory size says that two rows are one card. The order
    is the kernel's: ROCm counts cards as the driver found them, rocm-smi by their PCI bus.
    """
    if not seen:
        return tuple(told)
    left = list(told)
    cards = []
    for position, card in enumerate(seen):
        mate = next((other for other in left if _is_same_size(card, other)), None)
        if mate is None and len(seen) == len(told) and card.vram_bytes is None:
            mate = told[position] if told[position] in left else None
        if mate is None:
            cards.append(card)
            continue
        left.remove(mate)
        cards.append(_with_more(card, mate))
    return tuple(cards)


def _is_same_size(card: Card, other: Card) -> bool:
    if card.vram_bytes is None or other.vram_bytes is None:
        return False
    return abs(card.vram_bytes - other.vram_bytes) < _SAME_BYTES


def _with_more(card: Card, mate: Card) -> Card:
    name, driver = card.name or mate.name, mate.driver or card.driver
    if card.vram_bytes is None:
        return replace(mate, name=name, driver=driver, slot=card.slot)
    return replace(card, name=name, driver=driver, gfx=mate.gfx, rocm=True)


def _named(facts: Facts, cards: Sequence[Card]) -> tuple[Card, ...]:
    """Names for the cards that have none yet, from lspci and from the processor's own name."""
    if not cards:
        return ()
    processor = cpu.parse_name(facts.file("/proc/cpuinfo") or "") or ""
    own = _processor_graphics(processor)
    if len(cards) == 1 and "Radeon" in processor:
        cards = [replace(cards[0], in_processor=True)]
    listed = [""] * len(cards)
    if not all(card.name for card in cards):
        listed = drm.listed_names(facts, _VENDOR, [card.slot for card in cards])
    named = []
    for card, entry in zip(cards, listed, strict=True):
        name = drm.choose_name(card.name or entry, card.vram_bytes, own)
        if not card.name and name.startswith("Radeon"):
            name = f"AMD {name}"
        named.append(_with_processor_name(replace(card, name=name), own, len(cards)))
    return tuple(named)


def _with_processor_name(card: Card, own: str, cards: int) -> Card:
    """A card that bears no known name, where the processor says which graphics it has."""
    if not own or devices.find(card.name) or _DISCRETE.search(devices.without_marks(card.name)):
        return card
    if is_integrated(card) or (not card.name and cards == 1):
        return replace(card, name=f"AMD {own}")
    return card


def _processor_graphics(processor: str) -> str:
    """ "Radeon 8060S" of "AMD RYZEN AI MAX+ 395 w/ Radeon 8060S"; empty when not said."""
    found = re.search(r"\bRadeon [0-9]{3,4}[MS]\b", processor)
    return found[0] if found else ""


def _known_name(value: Any) -> str:
    """A name that says something: tools print N/A or a bare PCI number for an unknown card."""
    name = plain(value) if isinstance(value, str) else ""
    return "" if re.fullmatch(r"n/?a|none|unknown|0x[0-9a-f]+|", name, re.I) else name


def select(
    cards: Sequence[Card], env: Mapping[str, str]
) -> tuple[tuple[Card, ...], tuple[Note, ...]]:
    """What the environment leaves in use: ROCR_VISIBLE_DEVICES first, then HIP's numbers count
    among what that left."""
    shown = tuple(cards)
    notes: list[Note] = []
    for names in _ORDERED_ENV:
        name = next((name for name in names if env.get(name) is not None), None)
        if name is None or not cards:
            continue
        value = env.get(name) or ""
        if re.search(r"\bGPU-", value):
            message = f"{name} names a card by its id, which is not read here: all are counted"
            notes.append(Note("amd", message))
            continue
        left = _numbered(shown, value)
        if len(left) < len(shown):
            message = (
                f"{name}={plain(value)} leaves {len(left)} of {len(shown)} AMD card(s) in use; "
                "unset it to use all"
            )
            notes.append(Note("amd", message))
        shown = left
    return shown, tuple(notes)


def _numbered(cards: Sequence[Card], value: str) -> tuple[Card, ...]:
    """The cards in the order of their numbers, up to the first that is none."""
    shown: dict[int, Card] = {}
    for word in value.split(","):
        number = count(word)
        if number is None or number >= len(cards):
            break
        shown[number] = cards[number]
    return tuple(shown.values())


def _unknown_memory(cards: Sequence[Card]) -> tuple[Note, ...]:
    return tuple(
        Note("amd", f"how much memory the {card.name or 'AMD graphics card'} has is not told")
        for card in cards
        if card.vram_bytes is None and not is_integrated(card)
    )
