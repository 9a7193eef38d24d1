"""Processors: names, usable cores, missing abilities."""

from __future__ import annotations

import pytest

from agentlaunch.machine import cpu
from agentlaunch.machine.cpu import Cpu
from agentlaunch.machine.facts import Answer, RecordedFacts

TWO_CORES_FOUR_THREADS = "\n".join(
    f"processor\t: {n}\nmodel name\t: Some  CPU\nphysical id\t: 0\ncore id\t\t: {n % 2}\n"
    for n in range(4)
)


def linux(**values: int) -> RecordedFacts:
    files = {"/proc/cpuinfo": TWO_CORES_FOUR_THREADS}
    return RecordedFacts("linux", "x86_64", files=files, values=values)


def test_cores_are_physical_ones() -> None:
    assert cpu.detect(linux()) == Cpu("Some CPU", 2)


def test_a_stated_count_goes_before_the_file() -> None:
    assert cpu.detect(linux(cores=8)) == Cpu("Some CPU", 8)


@pytest.mark.parametrize(
    ("quota", "cores"), [("50000", 1), ("100000", 1), ("190000", 1), ("900000", 2), ("max", 2)]
)
def test_a_quota_leaves_whole_cores_and_at_least_one(quota: str, cores: int) -> None:
    files = {
        "/proc/cpuinfo": TWO_CORES_FOUR_THREADS,
        "/sys/fs/cgroup/cpu.max": f"{quota} 100000\n",
    }
    assert cpu.detect(RecordedFacts("linux", "x86_64", files=files)).cores == cores


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Cpus_allowed_list:\t0-3,8\n", 5),
        ("Cpus_allowed_list:\t7\n", 1),
        ("Cpus_allowed_list:\t5-3\n", None),
        ("Cpus_allowed:\tff\n", None),
        ("", None),
    ],
)
def test_an_affinity_is_counted(text: str, count: int | None) -> None:
    assert cpu.count_allowed(text) == count


def test_an_arm_processor_is_named_by_lscpu() -> None:
    facts = RecordedFacts(
        "linux",
        "arm64",
        (Answer(("lscpu",), 0, "CPU(s):  2\nModel name:   Neoverse-N1\n"),),
        {"/proc/cpuinfo": "processor\t: 0\n\nprocessor\t: 1\nFeatures\t: asimd\n"},
    )
    assert cpu.detect(facts) == Cpu("Neoverse-N1", 2)


def test_a_machine_that_lists_no_flags_is_not_blamed() -> None:
    assert not cpu.lacks_avx("processor: 0\n")
    assert not cpu.lacks_avx("flags\t\t: sse avx avx2\n")
    assert cpu.lacks_avx("flags\t\t: sse avx2_not_it\n")
