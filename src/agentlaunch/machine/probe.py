"""Ask every detector at once, each within its own time; what fails becomes a note."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from agentlaunch.machine import (
    amd,
    apple,
    cpu,
    devices,
    graphics,
    intel,
    memory,
    nvidia,
    windows,
)
from agentlaunch.machine.facts import Facts, Gpu, Machine, Note, plain

T = TypeVar("T")

_QUICK_S = 3.0
_GPU_S = 8.0  # above the time limit of each command, so that those speak first


def probe(facts: Facts) -> Machine:
    """Look at this machine or a recorded one; never raises, changes nothing.

    Waits for the slowest detector only, and for none of them longer than its time.
    """
    ram_asked = _Question("memory", memory.detect, facts, memory.Ram(), _QUICK_S)
    cpu_asked = _Question("cpu", cpu.detect, facts, cpu.Cpu(), _QUICK_S)
    disk_asked = _Question("disk", _disk_free_bytes, facts, None, _QUICK_S)
    wsl_asked = _Question("wsl", _is_wsl, facts, False, _QUICK_S)
    nvidia_asked = _Question("nvidia", nvidia.detect, facts, nvidia.Found(), _GPU_S)
    apple_asked = _Question("apple", apple.detect, facts, apple.Found(), _GPU_S)
    amd_asked = _Question("amd", amd.detect, facts, graphics.Found(), _GPU_S)
    intel_asked = _Question("intel", intel.detect, facts, graphics.Found(), _GPU_S)
    windows_asked = _Question("windows", windows.detect, facts, graphics.Found(), _GPU_S)

    ram, processor, wsl = ram_asked.answer(), cpu_asked.answer(), wsl_asked.answer()
    disk_free_bytes = disk_asked.answer()
    cards, mac = nvidia_asked.answer(), apple_asked.answer()
    others = [asked.answer() for asked in (amd_asked, intel_asked, windows_asked)]
    questions = (
        *(ram_asked, cpu_asked, disk_asked, wsl_asked),
        *(nvidia_asked, apple_asked, amd_asked, intel_asked, windows_asked),
    )
    failures = [note for asked in questions for note in asked.notes]
    gpus = tuple(_with_shared_memory(gpu, ram) for gpu in (*cards.gpus, *mac.gpus))
    more, remarks = graphics.settle(_not_seen_twice(others, cards), ram, gpus)
    gpus = (*gpus, *more)
    return Machine(
        os=facts.platform,
        arch="arm64" if mac.chip else facts.machine,
        cpu=mac.chip or processor.name,
        cores=processor.cores,
        ram_bytes=ram.total_bytes,
        ram_free_bytes=ram.free_bytes,
        ram_limit_bytes=ram.limit_bytes,
        disk_free_bytes=disk_free_bytes,
        unified_memory=any(gpu.unified for gpu in gpus),
        wsl=wsl,
        gpus=gpus,
        notes=(
            *failures,
            *processor.notes,
            *_wsl_notes(wsl),
            *cards.notes,
            *mac.notes,
            *(note for found in others for note in found.notes),
            *remarks,
        ),
    )


def _not_seen_twice(
    found: Sequence[graphics.Found], cards: nvidia.Found
) -> list[graphics.Graphics]:
    """What the detectors found, without NVIDIA cards of which nvidia-smi spoke, if only to say
    that they are hidden or broken."""
    known = bool(cards.gpus or cards.notes)
    return [
        one for part in found for one in part.graphics if not (known and one.vendor == "nvidia")
    ]


class _Question(Generic[T]):
    """One detector at work in a thread of its own.

    A daemon thread: one that hangs (a dead network disk) must not keep the program from ending.
    """

    def __init__(
        self, name: str, ask: Callable[[Facts], T], facts: Facts, fallback: T, limit_s: float
    ) -> None:
        self.notes: tuple[Note, ...] = ()
        self._name = name
        self._result = fallback
        self._fallback = fallback
        self._failure: str | None = None
        self._deadline_s = time.monotonic() + limit_s
        self._limit_s = limit_s
        self._thread = threading.Thread(
            target=self._run, args=(ask, facts), name=f"probe-{name}", daemon=True
        )
        self._started = True
        try:
            self._thread.start()
        except RuntimeError:  # no thread to be had, as under a tight process limit: ask here
            self._started = False
            self._run(ask, facts)

    def _run(self, ask: Callable[[Facts], T], facts: Facts) -> None:
        try:
            self._result = ask(facts)
        except Exception as error:  # noqa: BLE001 - a probe that fails is a fact, whatever it was
            self._failure = plain(f"{type(error).__name__}: {error}")

    def answer(self) -> T:
        """The detector's result, or the fallback with a note on what went wrong."""
        if self._started:
            self._thread.join(max(0.0, self._deadline_s - time.monotonic()))
        if self._thread.is_alive():
            self.notes = (Note(self._name, f"no answer within {self._limit_s:g} s; left out"),)
            return self._fallback
        if self._failure is not None:
            self.notes = (Note(self._name, f"could not be read ({self._failure}); left out"),)
        return self._result


def _with_shared_memory(gpu: Gpu, ram: memory.Ram) -> Gpu:
    """Fill in what a GPU shares with the machine: its free memory, and its size if it has none."""
    if not gpu.unified:
        return gpu
    whole = _smallest(gpu.vram_bytes or ram.total_bytes, ram.limit_bytes)
    free = None if ram.free_bytes is None else _smallest(whole, ram.free_bytes)
    bandwidth_gbs = gpu.bandwidth_gbs
    if gpu.vendor == "nvidia":  # the Jetsons of one name differ by their memory
        device = devices.find(gpu.name, ram.total_bytes)
        bandwidth_gbs = device.bandwidth_gbs if device else None
    return dataclasses.replace(
        gpu, vram_bytes=whole, vram_free_bytes=free, bandwidth_gbs=bandwidth_gbs
    )


def _smallest(*sizes: int | None) -> int | None:
    return min((size for size in sizes if size is not None), default=None)


def _disk_free_bytes(facts: Facts) -> int | None:
    free_bytes = facts.value("disk_free_bytes")
    return free_bytes if free_bytes is not None and free_bytes >= 0 else None


def _is_wsl(facts: Facts) -> bool:
    if facts.platform != "linux":
        return False
    return "microsoft" in (facts.file("/proc/version") or "").lower()


def _wsl_notes(wsl: bool) -> Sequence[Note]:
    if not wsl:
        return ()
    message = (
        "this Linux runs inside Windows (WSL2) and is given a part of its memory, half of it "
        "unless set; more with `memory=` under `[wsl2]` in %UserProfile%\\.wslconfig, then "
        "`wsl --shutdown`"
    )
    return (Note("wsl", message),)
