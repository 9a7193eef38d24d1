"""The processor: its name, how many cores a program of ours may really use, what it lacks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agentlaunch.machine import apple, cgroups
from agentlaunch.machine.facts import Facts, Note, plain


@dataclass(frozen=True, slots=True)
class Cpu:
    """`cores` are physical cores, or fewer where an affinity or a container's quota says so."""

    name: str | None = None
    cores: int | None = None
    notes: tuple[Note, ...] = ()


def detect(facts: Facts) -> Cpu:
    """Name, usable cores, and a note on a processor without the instructions engines want."""
    if facts.platform == "linux":
        return _linux(facts)
    cores = _stated_cores(facts)
    if facts.platform == "darwin":
        return Cpu(apple.brand(facts), cores or apple.performance_cores(facts))
    return Cpu(plain(facts.env.get("PROCESSOR_IDENTIFIER", "")) or None, cores)


def _stated_cores(facts: Facts) -> int | None:
    cores = facts.value("cores")
    return cores if cores is not None and cores > 0 else None


def _linux(facts: Facts) -> Cpu:
    text = facts.file("/proc/cpuinfo") or ""
    name = parse_name(text) or _lscpu_name(facts)
    counts = [
        _stated_cores(facts) or count_cores(text),
        count_allowed(facts.file("/proc/self/status") or ""),
        count_listed(cgroups.allowed_processors(facts)),
        _whole(cgroups.cpu_quota(facts)),
    ]
    notes: tuple[Note, ...] = ()
    if facts.machine == "x86_64" and lacks_avx(text):
        notes = (
            Note("cpu", "this processor has no AVX, so models run very slowly; use `--engine URL`"),
        )
    return Cpu(name, min((count for count in counts if count), default=None), notes)


def parse_name(text: str) -> str | None:
    """The processor's name in /proc/cpuinfo; ARM kernels mostly give none."""
    found = re.search(r"^model name[ \t]*:[ \t]*(\S.*?)[ \t]*$", text, re.MULTILINE)
    return (plain(found[1]) or None) if found else None


def _lscpu_name(facts: Facts) -> str | None:
    answer = facts.command(["lscpu"], timeout_s=2.0)
    found = re.search(r"^Model name:[ \t]*(\w.*?)[ \t]*$", answer.stdout if answer else "", re.M)
    return plain(found[1]) if found else None


def count_cores(text: str) -> int | None:
    """Physical cores in /proc/cpuinfo, or processors where it does not tell cores apart."""
    cores: set[tuple[str, str]] = set()
    processors = 0
    for block in re.split(r"\n[ \t]*\n", text):
        rows = dict(re.findall(r"^([\w ]+?)[ \t]*:[ \t]*(.*?)[ \t]*$", block, re.MULTILINE))
        if "processor" in rows:
            processors += 1
            if "core id" in rows:
                cores.add((rows.get("physical id", ""), rows["core id"]))
    return len(cores) or processors or None


def count_allowed(text: str) -> int | None:
    """Processors in `Cpus_allowed_list` of /proc/self/status ("0-3,8")."""
    found = re.search(r"^Cpus_allowed_list:[ \t]*([0-9,-]+)[ \t]*$", text, re.MULTILINE | re.ASCII)
    return count_listed(found[1]) if found else None


def count_listed(text: str) -> int | None:
    """Processors in a list as the kernel writes it: "0-3,8"."""
    total = 0
    for part in text.split(","):
        ends = re.fullmatch(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", part)
        if ends:
            total += max(0, int(ends[2] or ends[1]) - int(ends[1]) + 1)
    return total or None


def lacks_avx(text: str) -> bool:
    """True when /proc/cpuinfo lists the processor's abilities and AVX is not among them."""
    found = re.search(r"^flags[ \t]*:(.*)$", text, re.MULTILINE)
    return found is not None and bool(found[1].split()) and "avx" not in found[1].split()


def _whole(quota: float | None) -> int | None:
    """Threads that a quota keeps busy: one more than it pays for would only be throttled."""
    return None if quota is None else max(1, int(quota))
