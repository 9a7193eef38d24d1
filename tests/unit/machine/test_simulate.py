"""Machines that are described in a few words, or in a facts file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlaunch.errors import UsageError
from agentlaunch.machine import probe, simulate
from agentlaunch.machine.facts import Gpu, Machine, RecordedFacts
from agentlaunch.machine.simulate import GIB

MACHINES = Path(__file__).parents[2] / "data" / "machines"


def test_a_spec_names_memory_and_a_card() -> None:
    assert simulate.load("ram=32GiB,gpu=RTX 4060 Laptop:8GiB") == Machine(
        os="linux",
        arch="x86_64",
        cpu=None,
        cores=None,
        ram_bytes=32 * GIB,
        ram_free_bytes=32 * GIB,
        ram_limit_bytes=None,
        disk_free_bytes=None,
        unified_memory=False,
        wsl=False,
        gpus=(
            Gpu(
                name="RTX 4060 Laptop",
                vendor="nvidia",
                vram_bytes=8 * GIB,
                vram_free_bytes=8 * GIB,
                unified=False,
                bandwidth_gbs=256.0,
                backend="cuda",
                driver=None,
                source="spec",
                compute_capability="8.9",
            ),
        ),
    )


def test_a_chip_is_a_mac_and_lets_its_gpu_use_a_part() -> None:
    assert simulate.load(" Chip = m3 max , RAM = 36 gb ") == Machine(
        os="darwin",
        arch="arm64",
        cpu="Apple M3 Max",
        cores=None,
        ram_bytes=36 * GIB,
        ram_free_bytes=36 * GIB,
        ram_limit_bytes=None,
        disk_free_bytes=None,
        unified_memory=True,
        wsl=False,
        gpus=(
            Gpu(
                name="Apple M3 Max",
                vendor="apple",
                vram_bytes=24 * GIB,
                vram_free_bytes=24 * GIB,
                unified=True,
                bandwidth_gbs=300.0,
                backend="metal",
                driver=None,
                source="spec",
            ),
        ),
    )


@pytest.mark.parametrize(
    ("spec", "seen"),
    [
        ("gpu=RTX 3090,gpu=RTX 3090:24GiB", [("nvidia", 24, 936.0, False)] * 2),
        ("gpu=RTX 3060:12GiB", [("nvidia", 12, 360.0, False)]),
        ("gpu=RX 7900 XTX", [("amd", 24, 960.0, False)]),
        ("gpu=Radeon Nova:10GiB", [("amd", 10, None, False)]),
        ("gpu=Arc B580:12GiB", [("intel", 12, 456.0, False)]),
        ("gpu=Mystery:10GiB", [("unknown", 10, None, False)]),
        ("ram=128GiB,gpu=Radeon 8060S", [("amd", 64, 256.0, True)]),
        ("ram=32GiB,gpu=Radeon 8060S:112GiB", [("amd", 112, 256.0, True)]),
        ("ram=128GiB,chip=GB10", [("nvidia", 128, 273.0, True)]),
        ("ram=8GiB", []),
    ],
)
def test_cards_are_known_by_name(
    spec: str, seen: list[tuple[str, int, float | None, bool]]
) -> None:
    machine = simulate.load(spec)
    assert [
        (gpu.vendor, (gpu.vram_bytes or 0) // GIB, gpu.bandwidth_gbs, gpu.unified)
        for gpu in machine.gpus
    ] == seen
    assert all(gpu.vram_free_bytes == gpu.vram_bytes for gpu in machine.gpus)
    assert machine.unified_memory == any(row[3] for row in seen)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no such file"),
        ("nowhere.json", "no such file"),
        ("a\0b", "no such file"),
        ("x" * 5000, "no such file"),
        ("ram=32", "`32` is not a size"),
        ("ram=-5GiB", "`-5GiB` is not a size"),
        ("ram=0GiB", "`0GiB` is not a size"),
        ("ram=1GiB,ram=2GiB", "`ram` stands twice"),
        ("ram=8GiB,", "`` is not `name=value`"),
        ("ram=", "`ram=` is not `name=value`"),
        ("disk=8GiB", "not by `disk`"),
        ("gpu=RTX 3060", "how much memory has the `RTX 3060`?"),
        ("gpu=Mystery", "how much memory has the `Mystery`?"),
        ("gpu=:8GiB", "`gpu=:8GiB` names no card"),
        ("gpu=M3 Max:36GiB", "write `chip=M3 Max`"),
        ("chip=M3", "a chip needs its memory"),
        ("chip=RTX 4090,ram=8GiB", "no such chip is known"),
    ],
)
def test_a_spec_that_says_nothing_is_a_usage_error_with_the_way_out(
    text: str, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        simulate.load(text)
    assert message in caught.value.message
    assert caught.value.hint
    assert caught.value.message.isprintable()


@given(st.text(alphabet="ram=gpuchip,:0123456789.GiBTX M\x1b\0é"))
def test_no_spec_breaks_anything_but_the_rules(text: str) -> None:
    refusal = UsageError("fits", hint="none")
    try:
        simulate.from_spec(text)
    except UsageError as error:
        refusal = error
    assert refusal.hint
    assert refusal.message.isprintable()


def test_a_facts_file_is_probed() -> None:
    path = MACHINES / "windows-rtx-4060.json"
    expected = probe.probe(RecordedFacts.from_json(path.read_bytes()))
    assert simulate.load(str(path)) == expected


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Expecting value"),
        (b'{"platform": "\xff"}', "decode"),
        (b"{}", "no `platform`"),
        (b"[" * 100_000, "nested too deeply"),
        (json.dumps({"platform": "amiga"}).encode(), "`platform` is none of"),
        (json.dumps({"platform": "linux", "files": 5}).encode(), "not a facts file"),
    ],
)
def test_a_broken_facts_file_is_a_usage_error(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "facts.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is not a facts file") as caught:
        simulate.load(str(path))
    assert reason in caught.value.message
    assert "doctor --record" in (caught.value.hint or "")


def test_a_folder_is_no_facts_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        simulate.load(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("ram=32GiB,gpu=RTX 5060 Ti 16GB", [16]),
        ("ram=64GiB,gpu=2x RTX 3090", [24, 24]),
        ("ram=64GiB,gpu=2 x RTX 3090:24GiB,gpu=4090", [24, 24, 24]),
        ("ram=128GiB,gpu=GB10", [128]),
        ("ram=512GiB,gpu=H100", [80]),
    ],
)
def test_what_the_name_says_need_not_be_said_again(text: str, sizes: list[int]) -> None:
    gpus = simulate.from_spec(text).gpus
    assert [gpu.vram_bytes for gpu in gpus] == [gib << 30 for gib in sizes]
    assert {gpu.vendor for gpu in gpus} == {"nvidia"}
