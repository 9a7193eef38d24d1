"""Macs: one memory for processor and GPU, of which Metal lets the GPU use a part.

Facts on limits and tools as seen on macOS 13 to 26.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from agentlaunch.machine import devices
from agentlaunch.machine.facts import Facts, Gpu, Note, plain
from agentlaunch.machine.printed_json import first_object

GIB = 1 << 30
MIB = 1 << 20

_PROFILER_TIMEOUT_S = 4.0  # it takes 1 to 3 s


@dataclass(frozen=True, slots=True)
class Found:
    """What a Mac says of itself; `chip` is None on an Intel Mac."""

    chip: str | None = None
    gpus: tuple[Gpu, ...] = ()
    notes: tuple[Note, ...] = ()


def detect(facts: Facts) -> Found:
    """Chip, GPU (its free memory is not known here) and what stands in the way."""
    if facts.platform == "linux":
        return Found(notes=_asahi(facts))
    if facts.platform != "darwin":
        return Found()
    if facts.machine != "arm64" and sysctl(facts, "hw.optional.arm64") != "1":
        note = "the graphics card of an Intel Mac is not used: models run on the processor"
        return Found(notes=(Note("apple", note),))
    notes = _rosetta(facts)
    chip = brand(facts) or ""
    if "(Virtual)" in chip:
        note = (
            "this macOS runs in a virtual machine, which has no Metal graphics device: "
            "models run on the processor"
        )
        return Found(chip, notes=(*notes, Note("apple", note)))
    cores: int | None = None
    if not chip.startswith("Apple ") or devices.has_bins(chip):
        display = _ask_profiler(facts)
        cores = display.cores
        # A translated process is told "VirtualApple @ 2.50GHz processor" instead of the chip.
        chip = chip if chip.startswith("Apple ") else display.model or chip
        if cores is None and devices.has_bins(chip):
            note = (
                f"system_profiler did not say how many GPU cores this {chip} has; "
                "its speed is taken from its memory size"
            )
            notes = (*notes, Note("apple", note))
    name = chip if chip.startswith("Apple ") else "Apple GPU"
    return Found(chip or name, (_gpu(facts, name, cores),), notes)


def _asahi(facts: Facts) -> tuple[Note, ...]:
    """Linux on a Mac: its GPU driver has no Metal, so what this room says of Macs does not hold."""
    model = plain(facts.file("/proc/device-tree/model") or "")
    if not model.startswith("Apple "):
        return ()
    note = (
        f"this is Linux on an {model}, where only engines with Vulkan reach the GPU: "
        "models run on the processor"
    )
    return (Note("apple", note),)


def _gpu(facts: Facts, chip: str, cores: int | None) -> Gpu:
    ram_bytes = memory_bytes(facts) or max(0, facts.value("ram_bytes") or 0) or None
    limit_bytes, source = _limit(facts, ram_bytes)
    device = devices.find(chip, gpu_cores=cores, ram_bytes=ram_bytes)
    return Gpu(
        name=chip,
        vendor="apple",
        vram_bytes=limit_bytes,
        vram_free_bytes=None,
        unified=True,
        bandwidth_gbs=device.bandwidth_gbs if device else None,
        backend="metal",
        driver=None,
        source=source,
    )


def _limit(facts: Facts, ram_bytes: int | None) -> tuple[int | None, str]:
    """The GPU's share in bytes and who said so: Metal, the user's own limit, or a safe rule."""
    metal_bytes = facts.value("metal_working_set_bytes") or 0
    if metal_bytes > 0:
        return min(metal_bytes, ram_bytes or metal_bytes), "metal"
    wired_bytes = (_whole(sysctl(facts, "iogpu.wired_limit_mb")) or 0) * MIB
    if wired_bytes > 0:
        return min(wired_bytes, ram_bytes or wired_bytes), "iogpu.wired_limit_mb"
    return (default_limit_bytes(ram_bytes) if ram_bytes else None), "rule"


def default_limit_bytes(ram_bytes: int) -> int:
    """What every macOS since 13 lets the GPU use at least: 2/3 up to 36 GiB, above it 3/4."""
    return ram_bytes * 2 // 3 if ram_bytes <= 36 * GIB else ram_bytes * 3 // 4


def _rosetta(facts: Facts) -> tuple[Note, ...]:
    if facts.machine == "arm64" or sysctl(facts, "sysctl.proc_translated") != "1":
        return ()
    note = (
        "this Python is built for Intel and runs translated by Rosetta, where the embedded engine "
        "cannot use the GPU; install an arm64 Python and install agentlaunch with that"
    )
    return (Note("apple", note),)


def sysctl(facts: Facts, name: str) -> str | None:
    """One kernel value as text; names are asked one by one, as an unknown one fails only itself."""
    answer = facts.command(["/usr/sbin/sysctl", "-n", name])
    if answer is None or answer.rc != 0:
        return None
    text = answer.stdout.strip()
    return re.sub(rf"^{re.escape(name)}\s*[:=]\s*", "", text) or None


def memory_bytes(facts: Facts) -> int | None:
    """Bytes of memory fitted, or None."""
    return _whole(sysctl(facts, "hw.memsize"))


def brand(facts: Facts) -> str | None:
    """The chip's or processor's name."""
    text = sysctl(facts, "machdep.cpu.brand_string")
    return (plain(text) or None) if text else None


def performance_cores(facts: Facts) -> int | None:
    """The fast cores, which is what an engine uses."""
    return _whole(sysctl(facts, "hw.perflevel0.physicalcpu"))


def parse_vm_stat(text: str) -> int | None:
    """Bytes that programs can have without swapping, from `vm_stat`.

    File-backed pages are not added: they lie among the active and inactive ones already.
    """
    page = re.search(r"page size of ([0-9]{1,7}) bytes", text, re.ASCII)
    rows = dict(re.findall(r"^Pages ([a-z ]+):\s+([0-9]{1,12})\.?\s*$", text, re.M | re.A))
    if page is None or "free" not in rows:
        return None
    kinds = ("free", "inactive", "speculative", "purgeable")
    return int(page[1]) * sum(int(rows.get(kind, 0)) for kind in kinds)


@dataclass(frozen=True, slots=True)
class Display:
    """The GPU as system_profiler shows it."""

    model: str | None = None
    cores: int | None = None


def _ask_profiler(facts: Facts) -> Display:
    answer = facts.command(
        ["/usr/sbin/system_profiler", "SPDisplaysDataType", "-json"], timeout_s=_PROFILER_TIMEOUT_S
    )
    return parse_displays(answer.stdout) if answer else Display()


def parse_displays(text: str) -> Display:
    """The first Apple GPU in `system_profiler SPDisplaysDataType`, with or without `-json`."""
    data: Any = first_object(text)
    if data is None:
        model = re.search(r"^\s*Chipset Model: (Apple [^\n]*?)\s*$", text, re.M)
        cores = re.search(r"^\s*Total Number of Cores: ([0-9]{1,3})\b", text, re.M | re.A)
        return Display(plain(model[1]) if model else None, _whole(cores[1]) if cores else None)
    rows = data.get("SPDisplaysDataType") if isinstance(data, dict) else None
    for row in rows if isinstance(rows, list) else []:
        model = row.get("sppci_model") or row.get("_name") if isinstance(row, dict) else None
        if isinstance(model, str) and model.startswith("Apple "):
            return Display(plain(model), _whole(str(row.get("sppci_cores"))))
    return Display()


def _whole(text: str | None) -> int | None:
    found = re.fullmatch(r"[0-9]{1,18}", (text or "").strip(), re.ASCII)
    return int(found[0]) or None if found else None
