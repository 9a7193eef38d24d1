"""Graphics adapters of Windows: Win32_VideoController for what is there, the registry for memory.

AdapterRAM is a 32-bit number: a card with 4 GiB or more shows 4095 MiB there, or what is left of
its size after dropping whole 4 GiB, or nothing. The registry holds the size in 64 bits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentlaunch.machine import amd, devices, intel
from agentlaunch.machine.facts import Answer, Facts, Note, Vendor, plain
from agentlaunch.machine.graphics import Found, Graphics
from agentlaunch.machine.printed_json import count, rows, text_of

GIB = 1 << 30

_TIMEOUT_S = 3.5  # two of them stay within the probe's time
_TRAP_BYTES = 4095 << 20
_POWERSHELL = ("-NoProfile", "-NonInteractive", "-Command")
_ADAPTERS = (
    "Get-CimInstance Win32_VideoController | "
    "Select Name,AdapterRAM,PNPDeviceID,DriverVersion | ConvertTo-Json"
)
_CLASS = r"HKLM:\SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
_REGISTRY = (
    rf"Get-ItemProperty '{_CLASS}\0*' -ErrorAction SilentlyContinue | "
    "Select DriverDesc,'HardwareInformation.qwMemorySize','HardwareInformation.MemorySize' | "
    "ConvertTo-Json"
)
_BASIC = re.compile(r"\bbasic (?:display|render)\b")
_NO_CARD = re.compile(
    r"\bbasic (?:display|render)\b|\bremote display\b|\bparsec\b|virtual|\bindirect display\b"
    r"|\bhyper-v\b|\bvmware\b|\bdisplaylink\b"
)
_VENDORS: Mapping[str, Vendor] = {"10DE": "nvidia", "1002": "amd", "8086": "intel"}
_BRANDS: Mapping[str, Vendor] = {
    "nvidia": "nvidia",
    "geforce": "nvidia",
    "quadro": "nvidia",
    "amd": "amd",
    "radeon": "amd",
    "intel": "intel",
}


@dataclass(frozen=True, slots=True)
class Adapter:
    """One row of Win32_VideoController; `ram_bytes` only where it can be true."""

    name: str
    vendor: Vendor
    ram_bytes: int | None = None
    driver: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One driver's entry in the registry with the memory of its adapter."""

    name: str
    memory_bytes: int


def detect(facts: Facts) -> Found:
    """The adapters that are graphics cards or integrated graphics, with their memory."""
    if facts.platform != "windows":
        return Found()
    answer = _ask(facts, _ADAPTERS)
    if answer is None:
        return Found()
    adapters = parse_adapters(answer.stdout)
    if not adapters:
        return Found(notes=_without_adapter(answer))
    registry = _ask(facts, _REGISTRY)
    entries = list(parse_registry(registry.stdout)) if registry else []
    found = [_graphics(adapter, _take(entries, adapter.name)) for adapter in adapters]
    return Found(tuple(found), _unknown_memory(found))


def _ask(facts: Facts, script: str) -> Answer | None:
    for program in ("powershell", "pwsh"):
        answer = facts.command([program, *_POWERSHELL, script], timeout_s=_TIMEOUT_S)
        if answer is not None:
            return answer
    return None


def parse_adapters(text: str) -> tuple[Adapter, ...]:
    """The rows that are hardware; remote, virtual and basic display adapters are passed over."""
    adapters = []
    for row in rows(text):
        name = plain(text_of(row, "Name"))
        device = text_of(row, "PNPDeviceID").upper()
        spelled = devices.without_marks(name)
        if not name or _NO_CARD.search(spelled) or device.startswith(("ROOT\\", "SWD\\")):
            continue
        ram_bytes = count(row.get("AdapterRAM"))
        trusted = ram_bytes is not None and 0 < ram_bytes < _TRAP_BYTES
        adapters.append(
            Adapter(
                name=name,
                vendor=_vendor(device, spelled),
                ram_bytes=ram_bytes if trusted else None,
                driver=plain(text_of(row, "DriverVersion")) or None,
            )
        )
    return tuple(adapters)


def _vendor(device: str, spelled: str) -> Vendor:
    found = re.search(r"VEN_([0-9A-F]{4})", device)
    if found and found[1] in _VENDORS:
        return _VENDORS[found[1]]
    words = spelled.split()
    return next((vendor for brand, vendor in _BRANDS.items() if brand in words), "unknown")


def parse_registry(text: str) -> tuple[Entry, ...]:
    """The entries that say how much memory there is."""
    entries = []
    for row in rows(text):
        fields = {str(key).lower().rpartition(".")[2]: value for key, value in row.items()}
        memory_bytes = _quad(fields.get("qwmemorysize")) or _double(fields.get("memorysize"))
        name = text_of(fields, "driverdesc")
        if name and memory_bytes:
            entries.append(Entry(devices.without_marks(name), memory_bytes))
    return tuple(entries)


def _quad(value: Any) -> int | None:
    """The 64-bit size; drivers write it as a number, some as bytes."""
    number = _from_bytes(value)
    return count(value if number is None else number)


def _double(value: Any) -> int | None:
    """The 32-bit size, which may have been read as a negative number, and has AdapterRAM's trap."""
    number = _from_bytes(value)
    number = value if number is None else number
    if isinstance(number, int) and -(1 << 31) <= number < 0:
        number += 1 << 32
    size = count(number)
    return size if size is not None and size < _TRAP_BYTES else None


def _from_bytes(value: Any) -> int | None:
    """A binary value, which PowerShell prints as a list of bytes or as {"value": [...]}."""
    if isinstance(value, dict):
        value = value.get("value")
    if not isinstance(value, list) or not 1 <= len(value) <= 8:
        return None
    if not all(isinstance(byte, int) and 0 <= byte <= 255 for byte in value):
        return None
    return int.from_bytes(bytes(value), "little")


def _take(entries: list[Entry], name: str) -> int | None:
    """The memory of the next entry of this name: two cards of one kind have two entries."""
    spelled = devices.without_marks(name)
    entry = next((entry for entry in entries if entry.name == spelled), None)
    if entry is None:
        return None
    entries.remove(entry)
    return entry.memory_bytes


def _graphics(adapter: Adapter, registry_bytes: int | None) -> Graphics:
    own_bytes, source = registry_bytes, "registry"
    if own_bytes is None:
        own_bytes, source = _plausible(adapter), "Win32_VideoController"
    if adapter.vendor == "amd":
        card = amd.Card(adapter.name, own_bytes, driver=adapter.driver, source=source)
        return amd.graphics(card)
    if adapter.vendor == "intel":
        discrete = intel.is_discrete(adapter.name) or False
        return intel.graphics(
            adapter.name,
            discrete=discrete,
            memory_bytes=own_bytes,
            driver=adapter.driver,
            source=source if discrete else "Win32_VideoController",
        )
    known = adapter.vendor == "nvidia"
    device = devices.find(adapter.name, own_bytes)
    return Graphics(
        name=adapter.name,
        vendor=adapter.vendor,
        # What is no known maker's card (Qualcomm's Adreno) is part of the processor.
        integrated=not known,
        own_bytes=own_bytes if known else None,
        bandwidth_gbs=device.bandwidth_gbs if device else None,
        backend="cuda" if known else None,
        driver=adapter.driver,
        source=source,
    )


def _plausible(adapter: Adapter) -> int | None:
    """AdapterRAM, unless a card of this name is sold with other sizes: 6 GiB may show as 2."""
    sizes = devices.sold_gib(adapter.name)
    near = [gib for gib in sizes if abs(gib * GIB - (adapter.ram_bytes or 0)) < GIB]
    return adapter.ram_bytes if near or not sizes else None


def _unknown_memory(found: Sequence[Graphics]) -> tuple[Note, ...]:
    return tuple(
        Note("windows", f"how much memory the {card.name} has is not told")
        for card in found
        if card.own_bytes is None and not card.integrated
    )


def _without_adapter(answer: Answer) -> tuple[Note, ...]:
    listed = [devices.without_marks(text_of(row, "Name")) for row in rows(answer.stdout)]
    if any(_BASIC.search(name) for name in listed):
        message = (
            "Windows runs its basic display driver, so no graphics card can be used; install the "
            "driver of the card's maker"
        )
        return (Note("windows", message),)
    if listed or answer.rc == 0:
        return ()
    why = "in time" if answer.rc == -1 else f"(exit {answer.rc})"
    return (Note("windows", f"Windows did not list its graphics adapters {why}; left out"),)
