"""Memory of the machine: what it has, what is free, and what a container leaves of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agentlaunch.machine import apple, cgroups
from agentlaunch.machine.facts import Facts


@dataclass(frozen=True, slots=True)
class Ram:
    """Bytes. `free_bytes` is what new programs can have, within `limit_bytes` where there is one;
    `limit_bytes` is None where no limit is tighter than the machine itself."""

    total_bytes: int | None = None
    free_bytes: int | None = None
    limit_bytes: int | None = None


def detect(facts: Facts) -> Ram:
    """Ask the kernel's own files and tools first, and `Facts.value` for what they do not say."""
    if facts.platform == "linux":
        ram = parse_meminfo(facts.file("/proc/meminfo") or "")
    elif facts.platform == "darwin":
        answer = facts.command(["/usr/bin/vm_stat"])
        free_bytes = apple.parse_vm_stat(answer.stdout) if answer else None
        ram = Ram(apple.memory_bytes(facts), free_bytes)
    else:
        ram = Ram()
    total_bytes = ram.total_bytes or _stated(facts, "ram_bytes")
    free_bytes = ram.free_bytes
    if free_bytes is None:
        free_bytes = _stated(facts, "ram_free_bytes")
    if total_bytes is not None and free_bytes is not None:
        free_bytes = min(free_bytes, total_bytes)
    limit = cgroups.memory_limit(facts) if facts.platform == "linux" else cgroups.MemoryLimit()
    return within_limit(Ram(total_bytes, free_bytes), limit)


def within_limit(ram: Ram, limit: cgroups.MemoryLimit) -> Ram:
    """The machine's memory as a container may use it; a limit above the machine is none."""
    frees = [bytes_ for bytes_ in (ram.free_bytes, limit.free_bytes) if bytes_ is not None]
    limit_bytes = limit.limit_bytes
    if limit_bytes is not None and ram.total_bytes is not None and limit_bytes >= ram.total_bytes:
        limit_bytes = None
    return Ram(ram.total_bytes, min(frees, default=None), limit_bytes)


def parse_meminfo(text: str) -> Ram:
    """Total and available memory of /proc/meminfo, whose "kB" are 1024 bytes.

    Memory reserved for huge pages is taken off the total, since an engine cannot have it; the
    kernel leaves it out of MemAvailable by itself. Kernels before 3.14 have no MemAvailable.
    """
    rows = {
        name: int(count) * (1024 if unit else 1)
        for name, count, unit in re.findall(
            r"^([\w()]+):[ \t]*([0-9]{1,15})(?: (kB))?[ \t]*$", text, re.MULTILINE | re.ASCII
        )
    }
    total_bytes = rows.get("MemTotal", 0)
    pages = rows.get("HugePages_Total", 0) * rows.get("Hugepagesize", 0)
    reserved = max(pages, rows.get("Hugetlb", 0))  # Hugetlb counts pages of every size
    if reserved < total_bytes:
        total_bytes -= reserved
    free_bytes = rows.get("MemAvailable")
    if free_bytes is None and "MemFree" in rows:
        free_bytes = sum(rows.get(name, 0) for name in ("MemFree", "Buffers", "Cached"))
    return Ram(total_bytes or None, free_bytes)


def _stated(facts: Facts, name: str) -> int | None:
    value = facts.value(name)
    return value if value is not None and value > 0 else None
