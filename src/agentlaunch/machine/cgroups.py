"""Control groups: the limits that a container, a service manager or a batch system sets on Linux.

A limit may stand on any folder between our own group and the root, and what counts is the
tightest. Inside a container the path in /proc/self/cgroup may be the host's, whose folders do not
exist there, while the limit lies at the root of the mount: so the whole walk is tried and what
does not exist is passed over.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

from agentlaunch.machine.facts import Facts

# v1 writes "no limit" as 2^63 rounded down to pages; no real machine has 2^60 bytes.
_UNLIMITED_BYTES = 1 << 60


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """The tightest limit in bytes, and what is left of it; None where there is no limit."""

    limit_bytes: int | None = None
    free_bytes: int | None = None


def memory_limit(facts: Facts) -> MemoryLimit:
    """What this process may still allocate under all its groups' limits."""
    limits: list[int] = []
    frees: list[int] = []
    for limit_bytes, used_bytes in (*_v2_levels(facts), *_v1_levels(facts)):
        limits.append(limit_bytes)
        frees.append(max(0, limit_bytes - used_bytes))
    return MemoryLimit(min(limits, default=None), min(frees, default=None))


def cpu_quota(facts: Facts) -> float | None:
    """Processors' worth of time that this process may use, or None without a limit."""
    quotas: list[float] = []
    for folder in _folders(facts, "", "/sys/fs/cgroup"):
        quota, _, period = (facts.file(f"{folder}/cpu.max") or "").strip().partition(" ")
        quotas.extend(_ratio(quota, period))
    for mount in ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"):
        for folder in _folders(facts, "cpu", mount):
            quota = facts.file(f"{folder}/cpu.cfs_quota_us") or ""
            quotas.extend(_ratio(quota, facts.file(f"{folder}/cpu.cfs_period_us") or ""))
    return min(quotas, default=None)


def allowed_processors(facts: Facts) -> str:
    """The processors that our group may run on, as the list "0-3,8"; empty without a limit."""
    for folder in _folders(facts, "", "/sys/fs/cgroup"):
        text = facts.file(f"{folder}/cpuset.cpus.effective")
        if text and text.strip():
            return text.strip()
    for folder in _folders(facts, "cpuset", "/sys/fs/cgroup/cpuset"):
        text = facts.file(f"{folder}/cpuset.cpus")
        if text and text.strip():
            return text.strip()
    return ""


def _v2_levels(facts: Facts) -> Iterator[tuple[int, int]]:
    places = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")  # the latter beside version 1
    for folder in (folder for place in places for folder in _folders(facts, "", place)):
        found = [number(facts.file(f"{folder}/{name}")) for name in ("memory.max", "memory.high")]
        limits = [limit for limit in found if _is_limit(limit)]
        if limits:
            used = number(facts.file(f"{folder}/memory.current")) or 0
            cache = stat(facts.file(f"{folder}/memory.stat"), "inactive_file") or 0
            yield min(limits), max(0, used - cache)


def _v1_levels(facts: Facts) -> Iterator[tuple[int, int]]:
    for folder in _folders(facts, "memory", "/sys/fs/cgroup/memory"):
        own = number(facts.file(f"{folder}/memory.limit_in_bytes"))
        text = facts.file(f"{folder}/memory.stat")
        # The smallest limit of all parents, also of those that a container cannot see.
        parents = stat(text, "hierarchical_memory_limit")
        limits = [limit for limit in (own, parents) if _is_limit(limit)]
        if limits:
            used = number(facts.file(f"{folder}/memory.usage_in_bytes")) or 0
            cache = stat(text, "total_inactive_file") or stat(text, "inactive_file") or 0
            yield min(limits), max(0, used - cache)


def _is_limit(value: int | None) -> TypeGuard[int]:
    return value is not None and 0 < value < _UNLIMITED_BYTES


def _folders(facts: Facts, controller: str, mount: str) -> Iterator[str]:
    """Our group's folder and all its parents up to the mount itself."""
    path = own_path(facts.file("/proc/self/cgroup") or "", controller)
    while path != "/":
        yield mount + path
        path = posixpath.dirname(path)
    yield mount


def own_path(text: str, controller: str) -> str:
    """Our group in /proc/self/cgroup, as a clean absolute path; "/" when it is not there.

    Lines are `number:controllers:path`; the controllers of version 2 are the empty string.
    """
    for line in text.splitlines():
        _number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if path.startswith("/") and controller in names.split(","):
            # A process outside the namespace's root sees "/../..", which must not leave the mount.
            return posixpath.normpath("/" + path.lstrip("/"))
    return "/"


def number(text: str | None) -> int | None:
    """A file that holds one plain number; None for `max`, -1 and anything else."""
    found = re.fullmatch(r"\s*([0-9]{1,19})\s*", text or "")
    return int(found[1]) if found else None


def stat(text: str | None, key: str) -> int | None:
    """One row `key number` of a memory.stat file."""
    for line in (text or "").splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return number(value)
    return None


def _ratio(quota: str, period: str) -> list[float]:
    microseconds, each = number(quota), number(period)
    return [microseconds / each] if microseconds and each else []
