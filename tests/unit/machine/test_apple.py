"""What a Mac's own tools print."""

from __future__ import annotations

import json

import pytest

from agentlaunch.machine import apple
from agentlaunch.machine.apple import GIB, MIB, Display
from agentlaunch.machine.facts import Answer, RecordedFacts


def mac(*said: tuple[str, str], **values: int) -> RecordedFacts:
    commands = tuple(Answer(("sysctl", "-n", name), 0, f"{text}\n") for name, text in said)
    return RecordedFacts("darwin", "arm64", commands, values=values)


def test_both_forms_of_sysctl_are_understood() -> None:
    long = Answer(("sysctl", "hw.memsize"), 0, "hw.memsize: 17179869184\n")
    assert apple.memory_bytes(RecordedFacts("darwin", "arm64", (long,))) == 16 * GIB
    assert apple.memory_bytes(mac(("hw.memsize", "17179869184"))) == 16 * GIB


def test_an_unknown_name_fails_only_itself() -> None:
    failed = Answer(("sysctl", "-n", "hw.memsize"), 1, "", "sysctl: unknown oid 'hw.memsize'\n")
    assert apple.memory_bytes(RecordedFacts("darwin", "arm64", (failed,))) is None


@pytest.mark.parametrize(("ram", "limit"), [(8, 16 / 3), (36, 24), (48, 36), (128, 96)])
def test_the_safe_rule_is_two_thirds_or_three_quarters(ram: int, limit: float) -> None:
    assert apple.default_limit_bytes(ram * GIB) == int(limit * GIB)


@pytest.mark.parametrize(
    ("wired", "metal", "limit", "source"),
    [
        ("14000", 12 * GIB, 12 * GIB, "metal"),
        ("14000", 0, 14000 * MIB, "iogpu.wired_limit_mb"),
        ("0", 0, 16 * GIB * 2 // 3, "rule"),
        ("0", 99 * GIB, 16 * GIB, "metal"),
    ],
)
def test_who_is_asked_first_for_the_limit(wired: str, metal: int, limit: int, source: str) -> None:
    facts = mac(
        ("machdep.cpu.brand_string", "Apple M2"),
        ("hw.memsize", str(16 * GIB)),
        ("iogpu.wired_limit_mb", wired),
        metal_working_set_bytes=metal,
    )
    gpu = apple.detect(facts).gpus[0]
    assert (gpu.vram_bytes, gpu.source) == (limit, source)


def test_a_plain_chip_does_not_wait_for_the_profiler() -> None:
    asked: list[str] = []

    class Counting(RecordedFacts):
        def command(self, argv: object, *, timeout_s: float = 5.0) -> Answer | None:
            asked.append(str(argv))
            return super().command(argv, timeout_s=timeout_s)  # type: ignore[arg-type]  # as given

    facts = mac(("machdep.cpu.brand_string", "Apple M2"), ("hw.memsize", str(16 * GIB)))
    apple.detect(Counting("darwin", "arm64", facts.commands))
    assert not [words for words in asked if "system_profiler" in words]


def test_free_memory_does_not_count_file_pages_twice() -> None:
    text = (
        "Mach Virtual Memory Statistics: (page size of 16384 bytes)\n"
        "Pages free:              10.\nPages active:            1000.\nPages inactive:   20.\n"
        "Pages speculative:       3.\nPages wired down: 500.\nPages purgeable:  4.\n"
        "File-backed pages:       900.\n"
    )
    assert apple.parse_vm_stat(text) == 37 * 16384


@pytest.mark.parametrize(
    ("rows", "display"),
    [
        ([{"sppci_model": "Apple M4 Max", "sppci_cores": "40"}], Display("Apple M4 Max", 40)),
        ([{"_name": "Apple M3", "sppci_cores": 10}], Display("Apple M3", 10)),
        ([{"sppci_model": "Radeon"}, {"sppci_model": "Apple M1"}], Display("Apple M1", None)),
        ([{"sppci_model": 5}, "x", None], Display()),
        ({}, Display()),
        (None, Display()),
    ],
)
def test_the_profiler_names_the_chip_and_counts_its_cores(rows: object, display: Display) -> None:
    assert apple.parse_displays(json.dumps({"SPDisplaysDataType": rows})) == display


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000])
def test_a_profiler_that_prints_no_json_says_nothing(text: str) -> None:
    assert apple.parse_displays(text) == Display()
