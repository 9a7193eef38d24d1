"""Memory and its limits, from the kernel's files."""

from __future__ import annotations

import pytest

from agentlaunch.machine import cgroups, memory
from agentlaunch.machine.cgroups import MemoryLimit
from agentlaunch.machine.facts import RecordedFacts
from agentlaunch.machine.memory import Ram

GIB = 1 << 30


def linux(files: dict[str, str | None], **values: int) -> RecordedFacts:
    return RecordedFacts("linux", "x86_64", files=files, values=values)


def test_what_the_files_do_not_say_is_taken_from_the_values() -> None:
    facts = linux({}, ram_bytes=8 * GIB, ram_free_bytes=9 * GIB)
    assert memory.detect(facts) == Ram(8 * GIB, 8 * GIB, None)


def test_the_files_go_before_the_values() -> None:
    facts = linux({"/proc/meminfo": "MemTotal: 4 kB\nMemAvailable: 0 kB\n"}, ram_bytes=1)
    assert memory.detect(facts) == Ram(4096, 0, None)


def test_an_old_kernel_counts_buffers_and_cache_as_free() -> None:
    text = "MemTotal: 100 kB\nMemFree: 10 kB\nBuffers: 5 kB\nCached: 20 kB\n"
    assert memory.parse_meminfo(text) == Ram(100 << 10, 35 << 10)


def test_huge_pages_of_every_size_are_taken_off_the_total() -> None:
    text = "MemTotal: 9000 kB\nHugePages_Total: 2\nHugepagesize: 2048 kB\nHugetlb: 5000 kB\n"
    assert memory.parse_meminfo(text) == Ram(4000 << 10, None)


def test_a_limit_above_the_machine_is_none() -> None:
    limited = memory.within_limit(Ram(8 * GIB, 6 * GIB), MemoryLimit(64 * GIB, 60 * GIB))
    assert limited == Ram(8 * GIB, 6 * GIB, None)


def test_free_is_what_is_left_of_the_limit() -> None:
    limited = memory.within_limit(Ram(64 * GIB, 50 * GIB), MemoryLimit(8 * GIB, 3 * GIB))
    assert limited == Ram(64 * GIB, 3 * GIB, 8 * GIB)


def test_a_limit_without_a_usage_counts_as_all_free() -> None:
    facts = linux({"/sys/fs/cgroup/memory.max": "1000\n"})
    assert cgroups.memory_limit(facts) == MemoryLimit(1000, 1000)


def test_a_limit_that_is_overdrawn_leaves_nothing() -> None:
    facts = linux({"/sys/fs/cgroup/memory.max": "1000", "/sys/fs/cgroup/memory.current": "2000"})
    assert cgroups.memory_limit(facts) == MemoryLimit(1000, 0)


@pytest.mark.parametrize(
    "text", ["max\n", "-1\n", "9223372036854771712\n", "9223372036854775807\n", "0\n", "", "x"]
)
def test_the_many_ways_of_having_no_limit(text: str) -> None:
    files: dict[str, str | None] = {
        "/sys/fs/cgroup/memory.max": text,
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": text,
    }
    assert cgroups.memory_limit(linux(files)) == MemoryLimit()


def test_a_limit_that_a_v1_container_cannot_see_is_read_from_its_statistics() -> None:
    files: dict[str, str | None] = {
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
        "/sys/fs/cgroup/memory/memory.stat": "hierarchical_memory_limit 2000\n",
    }
    assert cgroups.memory_limit(linux(files)) == MemoryLimit(2000, 2000)


@pytest.mark.parametrize(
    ("text", "controller", "path"),
    [
        ("0::/user.slice/a.scope\n", "", "/user.slice/a.scope"),
        ("0::/\n", "", "/"),
        ("0::/../../b\n", "", "/b"),
        ("0::/../..\n", "", "/"),
        ("11:cpu,cpuacct:/docker/1\n0::/x\n", "cpu", "/docker/1"),
        ("11:cpu,cpuacct:/docker/1\n0::/x\n", "memory", "/"),
        ("4:memory:/a:b\n", "memory", "/a:b"),
        ("", "", "/"),
    ],
)
def test_our_own_group_is_found(text: str, controller: str, path: str) -> None:
    assert cgroups.own_path(text, controller) == path


def test_the_tightest_quota_of_all_parents_counts() -> None:
    facts = linux(
        {
            "/proc/self/cgroup": "0::/a/b\n",
            "/sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
            "/sys/fs/cgroup/a/cpu.max": "150000 100000\n",
            "/sys/fs/cgroup/cpu.max": "400000 100000\n",
        }
    )
    assert cgroups.cpu_quota(facts) == 1.5


def test_a_v1_quota_is_read_in_either_place() -> None:
    for mount in ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"):
        files: dict[str, str | None] = {
            f"{mount}/cpu.cfs_quota_us": "50000\n",
            f"{mount}/cpu.cfs_period_us": "100000\n",
        }
        assert cgroups.cpu_quota(linux(files)) == 0.5
