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
from agentlaunch.machine.printed_json import count, lower_keys, rows, text_of

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
_MICROSOFT_DRIVER = re.compile(r"10\.0\.[0-9]{5}\.")  # as Windows itself is numbered
_PART_OF_PROCESSOR = re.compile(r"\b(?:qualcomm|adreno|snapdragon)\b")
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
    for row in map(lower_keys, rows(text)):
        name = plain(text_of(row, "name"))
        device = text_of(row, "pnpdeviceid").upper()
        driver = plain(text_of(row, "driverversion")) or None
        spelled = devices.without_marks(name)
        if not name or _NO_CARD.search(spelled) or device.startswith(("ROOT\\", "SWD\\")):
            continue
        vendor = _vendor(device, spelled)
        if _is_basic(row) or (vendor == "unknown" and not _PART_OF_PROCESSOR.search(spelled)):
            continue
        ram_bytes = count(row.get("adapterram"))
        trusted = ram_bytes is not None and 0 < ram_bytes < _TRAP_BYTES
        adapters.append(Adapter(name, vendor, ram_bytes if trusted else None, driver))
    return tuple(adapters)


def _is_basic(row: Mapping[str, Any]) -> bool:
    """Windows' own driver for a card that has none, whose name is translated."""
    name = devices.without_marks(text_of(row, "name"))
    version = text_of(row, "driverversion")
    return bool(_BASIC.search(name) or _MICROSOFT_DRIVER.match(version))


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
        fields = {key.rpartition(".")[2]: value for key, value in lower_keys(row).items()}
        memory_bytes = _quad(fields.get("qwmemorysize")) or _double(fields.get("memorysize"))
        name = text_of(fields, "driverdesc")
        if name and memory_bytes:
            entries.append(Entry(devices.without_marks(name), memory_bytes))
    return tuple(entries)


def _quad(value: Any) -> int | None:
    """The 64-bit size; drivers write it as a number, some as bytes."""
    number = _from_bytes(value)
    return count(_number(value) if number is None else number)


def _double(value: Any) -> int | None:
    """The 32-bit size, which may have been read as a negative number, and has AdapterRAM's trap."""
    number = _from_bytes(value)
    number = _number(value) if number is None else number
    if isinstance(number, int) and -(1 << 31) <= number < 0:
        number += 1 << 32
    size = count(number)
    return size if size is not None and size < _TRAP_BYTES else None


def _number(value: Any) -> Any:
    """A number however it is printed: 12884901888, "0x300000000", {"value": …}, in a list."""
    if isinstance(value, dict):
        value = value.get("value")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"\s*0x[0-9a-f]{1,16}\s*", value, re.A | re.I):
        return int(value, 16)
    return value


def _from_bytes(value: Any) -> int | None:
    """A binary value: a list of bytes, {"value": [...]}, or its bytes as text."""
    if isinstance(value, dict):
        value = value.get("value")
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,3}(?: [0-9]{1,3}){3,7}", value, re.ASCII):
        value = [int(byte) for byte in value.split()]
    if not isinstance(value, list) or not 2 <= len(value) <= 8:
        return None
    if not all(isinstance(byte, int) and 0 <= byte <= 255 for byte in value):
        return None
    return int.from_bytes(bytes(value), "little")


def _take(entries: list[Entry], name: str) -> int | None:
    """The memory of the next entry of this name: two cards of one kind have two entries, but the
    second may hold no size."""
    spelled = devices.without_marks(name)
    named = [entry for entry in entries if entry.name == spelled]
    if len(named) > 1:
        entries.remove(named[0])
    return named[0].memory_bytes if named else None


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
        compute_capability=devices.compute_capability(adapter.name, device) if known else None,
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
    listed = [lower_keys(row) for row in rows(answer.stdout)]
    if any(_is_basic(row) for row in listed):
        message = (
            "Windows runs its basic display driver, so no graphics card can be used; install the "
            "driver of the card's maker"
        )
        return (Note("windows", message),)
    if listed or answer.rc == 0:
        return ()
    why = "in time" if answer.rc == -1 else f"(exit {answer.rc})"
    return (Note("windows", f"Windows did not list its graphics adapters {why}; left out"),)
