"""A machine that is not this one: from a short description, or from a facts file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentlaunch.errors import UsageError
from agentlaunch.machine import apple, devices, probe
from agentlaunch.machine.facts import Gpu, Machine, RecordedFacts, Vendor, plain

GIB = 1 << 30

_UNITS = {"M": 1 << 20, "G": GIB, "T": 1 << 40}
_SIZE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)\s*([MGT])(?:i?B)?", re.ASCII | re.IGNORECASE)
_PLATFORMS = ("linux", "darwin", "windows")
_MOST_BYTES = 64 << 20
_EXAMPLES = (
    "for example `--simulate 'ram=32GiB,gpu=RTX 4060 Laptop:8GiB'` or "
    "`--simulate 'chip=M3 Max,ram=36GiB'`"
)
_BRANDS: Sequence[tuple[str, Vendor]] = (
    (r"nvidia|geforce|quadro|tesla|[rg]tx", "nvidia"),
    (r"amd|radeon|instinct|rx", "amd"),
    (r"intel|arc|iris", "intel"),
)


@dataclass(frozen=True, slots=True)
class _Spec:
    ram_bytes: int | None
    chip: str | None
    gpus: tuple[str, ...]


def load(text_or_path: str) -> Machine:
    """The machine that a spec or a facts file describes; raises `UsageError` when neither does."""
    path = Path(text_or_path)
    try:
        is_there = bool(text_or_path.strip()) and path.exists()
    except (OSError, ValueError):  # too long for a name, or a null byte: no path
        is_there = False
    if is_there:
        return from_file(path)
    if "=" in text_or_path and not text_or_path.endswith(".json"):
        return from_spec(text_or_path)
    raise UsageError(
        f"no such file, and no description of a machine: `{plain(text_or_path)}`",
        hint=f"give a file that `agentlaunch doctor --record FILE` wrote, or {_EXAMPLES}",
    )


def from_file(path: Path) -> Machine:
    """The machine that a facts file recorded; raises `UsageError` when it is not one."""
    hint = "make one on the machine itself: `agentlaunch doctor --record FILE`"
    name = plain(str(path))
    try:
        with path.open("rb") as stream:
            text = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise UsageError(f"cannot read `{name}`: {reason}", hint=hint) from error
    if len(text) > _MOST_BYTES:
        raise UsageError(f"`{name}` is too large for a facts file", hint=hint)
    try:
        facts = RecordedFacts.from_json(text)
    except ValueError as error:
        reason = plain(str(error)).removeprefix("not a facts file: ")
        raise UsageError(f"`{name}` is not a facts file: {reason}", hint=hint) from error
    if facts.platform not in _PLATFORMS:
        message = f"`{name}` is not a facts file: `platform` is none of {', '.join(_PLATFORMS)}"
        raise UsageError(message, hint=hint)
    return probe.probe(facts)


def from_spec(text: str) -> Machine:
    """The machine of `ram=32GiB,gpu=RTX 4060 Laptop:8GiB` (`gpu` repeatable) or
    `chip=M3 Max,ram=36GiB`.

    Free is total, the system is macOS for an Apple chip, else Linux; the rest is unknown. Sizes
    are binary, as memory is sold, so GB means GiB. Raises `UsageError`.
    """
    spec = _parse(text)
    chip = _chip(spec)
    gpus = (*chip, *(_gpu(entry, spec.ram_bytes) for entry in spec.gpus))
    on_mac = any(gpu.vendor == "apple" for gpu in gpus)
    on_arm = on_mac or any(gpu.vendor == "nvidia" for gpu in chip)
    return Machine(
        os="darwin" if on_mac else "linux",
        arch="arm64" if on_arm else "x86_64",
        cpu=(chip[0].name if on_mac else plain(spec.chip)) if spec.chip and chip else None,
        cores=None,
        ram_bytes=spec.ram_bytes,
        ram_free_bytes=spec.ram_bytes,
        ram_limit_bytes=None,
        disk_free_bytes=None,
        unified_memory=any(gpu.unified for gpu in gpus),
        wsl=False,
        gpus=gpus,
    )


def _parse(text: str) -> _Spec:
    ram_bytes: int | None = None
    chip: str | None = None
    gpus: list[str] = []
    for part in text.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals or not value:
            raise UsageError(f"`{plain(part)}` is not `name=value`", hint=_EXAMPLES)
        key = name.lower()
        if key not in ("ram", "chip", "gpu"):
            message = f"a machine is described by ram, gpu and chip, not by `{plain(name)}`"
            raise UsageError(message, hint=_EXAMPLES)
        if (key == "ram" and ram_bytes is not None) or (key == "chip" and chip is not None):
            raise UsageError(f"`{key}` stands twice; only `gpu` may", hint=_EXAMPLES)
        if key == "ram":
            ram_bytes = _size(value)
        elif key == "chip":
            chip = value
        else:
            several = re.match(r"([1-9][0-9]?) ?x (?=.)", value)
            gpus.extend([value[several.end() :]] * int(several[1]) if several else [value])
    return _Spec(ram_bytes, chip, tuple(gpus))


def _size(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
    if not size:
        raise UsageError(f"`{plain(text)}` is not a size", hint="write it as `32GiB` or `512MiB`")
    return size


def _chip(spec: _Spec) -> tuple[Gpu, ...]:
    """The graphics that are part of a chip with one memory."""
    if spec.chip is None:
        return ()
    name = plain(spec.chip)
    device = devices.find(name)
    if device is None or not device.unified:
        hint = f"name one with shared memory, as `M3 Max`, else use `gpu=`; {_EXAMPLES}"
        raise UsageError(f"no such chip is known: `{name}`", hint=hint)
    if spec.ram_bytes is None:
        raise UsageError("a chip needs its memory as well", hint=_EXAMPLES)
    if device.vendor == "apple":
        return (_apple(name, spec.ram_bytes),)
    return (_device(name, device, _share(device, spec.ram_bytes), spec.ram_bytes),)


def _share(device: devices.Device, ram_bytes: int) -> int:
    """What graphics may take of the memory they share; others than NVIDIA's by default half."""
    return ram_bytes if device.vendor == "nvidia" else ram_bytes // 2


def _apple(name: str, ram_bytes: int) -> Gpu:
    device = devices.find(name, ram_bytes=ram_bytes)
    limit_bytes = apple.default_limit_bytes(ram_bytes)
    return Gpu(
        name=device.name.partition(" (")[0] if device else name,
        vendor="apple",
        vram_bytes=limit_bytes,
        vram_free_bytes=limit_bytes,
        unified=True,
        bandwidth_gbs=device.bandwidth_gbs if device else None,
        backend="metal",
        driver=None,
        source="spec",
    )


def _gpu(entry: str, ram_bytes: int | None) -> Gpu:
    name, colon, size = entry.rpartition(":")
    name = plain(name if colon else entry)
    if not name:
        raise UsageError(f"`gpu={plain(entry)}` names no card", hint=_EXAMPLES)
    device = devices.find(name)
    if device is not None and device.vendor == "apple":
        raise UsageError(f"`{name}` is a chip: write `chip={name}` and `ram=`", hint=_EXAMPLES)
    if colon:
        return _device(name, device, _size(size), ram_bytes)
    if device is not None and device.unified and ram_bytes is not None:
        return _device(name, device, _share(device, ram_bytes), ram_bytes)
    sizes = devices.sold_gib(name)
    said = re.search(r"\b([0-9]{1,3}) ?gi?b\b", name.lower())  # "RTX 5060 Ti 16GB"
    sizes = tuple(gib for gib in sizes if said and gib == int(said[1])) or sizes
    if len(sizes) == 1:
        return _device(name, device, sizes[0] * GIB, ram_bytes)
    known = " or ".join(f"`gpu={name}:{gib}GiB`" for gib in sizes) or f"`gpu={name}:8GiB`"
    raise UsageError(f"how much memory has the `{name}`?", hint=f"say it: {known}")


def _device(
    name: str, device: devices.Device | None, vram_bytes: int, ram_bytes: int | None
) -> Gpu:
    if device is not None:
        device = devices.find(name, ram_bytes if device.unified else vram_bytes)
    vendor = _vendor(name, device)
    return Gpu(
        name=name,
        vendor=vendor,
        vram_bytes=vram_bytes,
        vram_free_bytes=vram_bytes,
        unified=device is not None and device.unified,
        bandwidth_gbs=device.bandwidth_gbs if device else None,
        backend="cuda" if vendor == "nvidia" else None,
        driver=None,
        source="spec",
        compute_capability=devices.compute_capability(name, device),
    )


def _vendor(name: str, device: devices.Device | None) -> Vendor:
    """By the device that the name means, else by the brand that stands in it."""
    known = device.vendor if device else ""
    for brands, vendor in _BRANDS:
        if known == vendor or (not known and re.search(rf"\b(?:{brands})\b", name.lower())):
            return vendor
    return "unknown"
