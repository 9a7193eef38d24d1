"""Whole machines: recorded ones, broken ones, and the one that runs the tests."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_mock import MockerFixture

from agentlaunch.machine import amd, apple, cgroups, drm, intel, nvidia, probe, windows
from agentlaunch.machine.facts import Answer, Gpu, LiveFacts, Machine, Note, RecordedFacts

MACHINES = Path(__file__).parents[2] / "data" / "machines"
RECORDED = sorted(
    path.stem for path in MACHINES.glob("*.json") if not path.stem.endswith(".expected")
)


def expected(name: str) -> Machine:
    data = json.loads((MACHINES / f"{name}.expected.json").read_bytes())
    gpus = tuple(Gpu(**gpu) for gpu in data.pop("gpus"))
    notes = tuple(Note(**note) for note in data.pop("notes"))
    return Machine(**data, gpus=gpus, notes=notes)


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_machine_is_seen_as_it_is(name: str) -> None:
    facts = RecordedFacts.from_json((MACHINES / f"{name}.json").read_bytes())
    assert probe.probe(facts) == expected(name)


def test_a_machine_that_says_nothing_is_unknown_and_not_zero() -> None:
    assert probe.probe(RecordedFacts("linux", "x86_64")) == Machine(
        os="linux",
        arch="x86_64",
        cpu=None,
        cores=None,
        ram_bytes=None,
        ram_free_bytes=None,
        ram_limit_bytes=None,
        disk_free_bytes=None,
        unified_memory=False,
        wsl=False,
    )


def test_this_machine_is_seen_without_trouble(tmp_path: Path) -> None:
    machine = probe.probe(LiveFacts(tmp_path / "models" / "not" / "there"))
    assert machine.ram_bytes is not None
    assert machine.ram_bytes > 1 << 28
    assert machine.ram_free_bytes is not None
    assert 0 < machine.ram_free_bytes <= machine.ram_bytes
    assert machine.cores is not None
    assert machine.cores >= 1
    assert machine.disk_free_bytes is not None
    assert machine.disk_free_bytes > 0
    assert machine.os in ("linux", "darwin", "windows")
    assert not [note for note in machine.notes if "left out" in note.message]


def test_a_card_is_found_through_the_nvidia_smi_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\n"
        "echo '0, GPU-5a1c, NVIDIA GeForce RTX 4070 Laptop GPU, 8188, 7602, 361, 8.9,"
        " 580.95.05, 8001, [N/A]'\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    facts = LiveFacts(tmp_path, platform="linux")
    assert probe.probe(facts).gpus == expected("rtx-4070-laptop").gpus


class BrokenFacts:
    """Every question fails, each in its own way."""

    platform = "linux"
    machine = "x86_64"
    env: Mapping[str, str] = MappingProxyType({})

    def command(self, argv: Sequence[str], *, timeout_s: float = 5.0) -> Answer | None:
        raise ValueError("embedded null byte")

    def file(self, path: str) -> str | None:
        raise PermissionError(13, "Permission denied", path)

    def value(self, name: str) -> int | None:
        raise RuntimeError("cannot be told")


def test_a_probe_that_fails_becomes_a_note() -> None:
    machine = probe.probe(BrokenFacts())
    assert machine.gpus == ()
    assert machine.ram_bytes is None
    assert {note.source for note in machine.notes} == {
        *("memory", "cpu", "disk", "wsl"),
        *("nvidia", "apple", "amd", "intel"),
    }
    assert all("could not be read" in note.message for note in machine.notes)


def test_a_probe_that_hangs_is_left_out_with_a_note() -> None:
    release = threading.Event()

    def hang(facts: object) -> int:
        release.wait(30)
        return 1

    asked = probe._Question("disk", hang, RecordedFacts("linux", ""), 7, 0.01)
    try:
        assert asked.answer() == 7
        assert asked.notes == (Note("disk", "no answer within 0.01 s; left out"),)
    finally:
        release.set()


def test_without_threads_the_machine_is_seen_all_the_same(mocker: MockerFixture) -> None:
    mocker.patch("threading.Thread.start", side_effect=RuntimeError("can't start new thread"))
    facts = RecordedFacts.from_json((MACHINES / "linux-plain.json").read_bytes())
    assert probe.probe(facts) == expected("linux-plain")


def test_without_nvidia_smi_nothing_is_run_for_it() -> None:
    asked: list[str] = []

    class Counting(RecordedFacts):
        def command(self, argv: Sequence[str], *, timeout_s: float = 5.0) -> Answer | None:
            asked.append(argv[1])
            return None

    assert nvidia.detect(Counting("linux", "x86_64")) == nvidia.Found()
    assert {word.partition("=")[0] for word in asked} == {"--query-gpu"}


# What a garbled machine may say: any text, or real words in the wrong order.
WORDS = (
    "0", "-1", "max", "999999999999999999999", "7602", " ", "\n", ", ", ",", ": ", ":", "/", "..",
    "[N/A]", "[GPU is lost]", "Enabled", "GPU-5a1c", "NVIDIA GB10", "NVIDIA GeForce RTX 3090",
    "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5a1c)", "  MIG 3g.20gb     Device  0: (UUID: MIG-1)",
    "Failed to initialize NVML: Driver/library version mismatch", "{", "}", "\0", "\x1b[2J",
    'Field "x" is not a valid field to query.', "No devices were found", "MemTotal:", " kB",
    "MemAvailable:", "HugePages_Total:", "Hugepagesize:", "processor\t: 0", "core id\t: 1",
    "model name\t: x", "flags\t: fpu", "Cpus_allowed_list:\t", "0-", "5-3", "memory", "0::/a/../..",
    "inactive_file", "Pages free:", "(page size of 16384 bytes)", "Apple M4 Max", "(Virtual)",
    '{"SPDisplaysDataType": [{"sppci_model": "Apple M3 Max", "sppci_cores": "30"}, 1, null]}',
    "0x1002", "0x8086", "0x10de", "DRIVER=nouveau\n", "PCI_SLOT_NAME=0000:03:00.0\n", "8589934592",
    '{"card0": {"VRAM Total Memory (B)": "-5", "Card Series": 7}, "card1": [], "system": 1}',
    '{"card9": {"vram total memory (b)": "68719476736", "Card series": "Radeon RX 7900 XT"}}',
    '[{"asic": {"market_name": "\\u0000"}, "vram": {"size": {"value": {}, "unit": "MB"}}}]',
    '{"gpu_data": [{"asic": 1, "vram": {"size": "9 GB"}}, 3]}', '{"device_list": [{}, 4]}',
    '{"device_id": 0, "device_name": "Intel(R) Arc(TM) A770 Graphics"}', "[[[[", '{"a":' * 50,
    '03:00.0 "VGA compatible controller" "Intel Corporation" "DG2 [Arc A770]"\n',
    '03:00.0 "Display" "Advanced Micro Devices" "Navi 31 [Radeon RX 7900 XT/7900 XTX//]"\n',
    "0x0000006000000000 0x00000063ffffffff 0x000000000014220c\n", "0xffff 0x0 0x2200\n",
    '{"Name": "NVIDIA GeForce RTX 3060", "AdapterRAM": -1, "PNPDeviceID": 5}',
    '[{"Name": "AMD Radeon(TM) Graphics", "AdapterRAM": 1e400}, {"Name": null}]',
    '{"DriverDesc": "NVIDIA GeForce RTX 3060", "HardwareInformation.qwMemorySize": [1, 999]}',
)  # fmt: skip
GARBAGE = st.one_of(st.text(), st.lists(st.sampled_from(WORDS), max_size=40).map("".join))
QUERIES = (
    ("nvidia-smi", f"--query-gpu={nvidia._COLUMNS}", "--format=csv,noheader,nounits"),
    ("nvidia-smi", "--query-gpu=name,memory.total,mig.mode.current", "--format=csv"),
    ("nvidia-smi", "--query-gpu"),
    ("nvidia-smi", "-L"),
    ("lscpu",),
    ("vm_stat",),
    ("system_profiler", "SPDisplaysDataType", "-json"),
    ("sysctl", "-n", "hw.memsize"),
    ("sysctl", "-n", "machdep.cpu.brand_string"),
    ("sysctl", "-n", "hw.optional.arm64"),
    ("sysctl", "-n", "hw.perflevel0.physicalcpu"),
    ("sysctl", "-n", "iogpu.wired_limit_mb"),
    ("sysctl", "-n", "sysctl.proc_translated"),
    ("rocm-smi", "--showmeminfo", "vram", "--json"),
    ("rocm-smi", "--showproductname", "--json"),
    ("amd-smi", "static", "--json"),
    ("xpu-smi", "discovery", "-j"),
    ("xpu-smi", "discovery", "-d", "0", "-j"),
    ("lspci", "-mm"),
    ("powershell", "-Command", "Get-CimInstance Win32_VideoController"),
    ("pwsh", "-Command", "Get-ItemProperty x | Select qwMemorySize"),
)
PATHS = (
    "/proc/meminfo", "/proc/cpuinfo", "/proc/self/cgroup", "/proc/self/status", "/proc/version",
    "/proc/driver/nvidia/version", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current",
    "/sys/fs/cgroup/memory.stat", "/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/a/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.stat",
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us",
    "/sys/class/drm/card0/device/vendor", "/sys/class/drm/card0/device/uevent",
    "/sys/class/drm/card1/device/vendor", "/sys/class/drm/card1/device/uevent",
    "/sys/class/drm/card0/device/product_name", "/sys/class/drm/card0/device/mem_info_vram_total",
    "/sys/class/drm/card0/device/mem_info_vram_used", "/sys/class/drm/card0/device/resource",
    "/sys/class/drm/card0/device/mem_info_gtt_total", "/sys/class/drm/card0/lmem_total_bytes",
    "/sys/class/drm/card0/device/tile0/physical_vram_size_bytes",
)  # fmt: skip
VARIABLES = (
    *("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
    *("GPU_DEVICE_ORDINAL", "PROCESSOR_IDENTIFIER"),
)
ANSWERS = st.builds(
    Answer, st.sampled_from(QUERIES), st.integers(-1, 255), GARBAGE, st.just("") | GARBAGE
)
FACTS = st.builds(
    RecordedFacts,
    platform=st.sampled_from(("linux", "darwin", "windows")),
    machine=st.sampled_from(("x86_64", "arm64", "riscv64")),
    commands=st.lists(ANSWERS, max_size=8).map(tuple),
    files=st.dictionaries(st.sampled_from(PATHS), GARBAGE),
    env=st.dictionaries(st.sampled_from(VARIABLES), GARBAGE),
    values=st.dictionaries(
        st.sampled_from(("ram_bytes", "ram_free_bytes", "cores", "metal_working_set_bytes")),
        st.integers(-(2**70), 2**70),
    ),
)


MUTATIONS = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(("cut", "drop", "double")), GARBAGE), max_size=4
)


def damaged(text: str, mutations: list[tuple[float, str, str]]) -> str:
    for place, kind, garbage in mutations:
        at = int(place * len(text))
        if kind == "cut":
            text = text[:at]
        elif kind == "drop":
            text = text[:at] + garbage + text[at + 5 :]
        else:
            text = text[:at] + text
    return text


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(RECORDED), MUTATIONS, st.integers(0, 40))
def test_a_recorded_machine_whose_answers_are_damaged_breaks_no_probe(
    name: str, mutations: list[tuple[float, str, str]], which: int
) -> None:
    facts = RecordedFacts.from_json((MACHINES / f"{name}.json").read_bytes())
    commands = list(facts.commands)
    files = dict(facts.files)
    keys = [*range(len(commands)), *files]
    if not keys:
        return
    key = keys[which % len(keys)]
    if isinstance(key, int):
        said = commands[key]
        commands[key] = Answer(said.argv, said.rc, damaged(said.stdout, mutations))
    else:
        files[key] = damaged(files[key] or "", mutations)
    check_sanity(dataclasses.replace(facts, commands=tuple(commands), files=files))


@settings(deadline=None, max_examples=150)
@given(FACTS)
def test_no_garbage_breaks_a_probe(facts: RecordedFacts) -> None:
    check_sanity(facts)


def check_sanity(facts: RecordedFacts) -> None:
    machine = probe.probe(facts)
    for note in machine.notes:
        assert "could not be read" not in note.message
        assert note.message.isprintable()
    assert machine.cpu is None or machine.cpu.isprintable()
    for size in (machine.ram_bytes, machine.ram_limit_bytes, machine.cores):
        assert size is None or size > 0
    assert machine.ram_free_bytes is None or machine.ram_free_bytes >= 0
    for gpu in machine.gpus:
        assert gpu.name
        assert gpu.name.isprintable()
        assert gpu.vram_bytes is None or gpu.vram_bytes >= 0
        assert gpu.vram_free_bytes is None or gpu.vram_free_bytes >= 0


@settings(deadline=None)
@given(GARBAGE)
def test_no_garbage_breaks_a_parser(text: str) -> None:
    assert cgroups.own_path(text, "memory").startswith("/")
    assert ".." not in cgroups.own_path(text, "").split("/")
    assert (apple.parse_vm_stat(text) or 0) >= 0
    apple.parse_displays(text)
    nvidia.parse_slices(text)
    nvidia.visible_names(text)
    amd.parse_rocm_smi(text)
    amd.parse_amd_smi(text)
    assert (amd.parse_size(text) or 1) > 0
    intel.parse_discovery(text)
    assert (intel.largest_window(text) or 1) > 0
    drm.parse_lspci(text, "Intel")
    drm.choose_name(text, 8 << 30)
    windows.parse_adapters(text)
    windows.parse_registry(text)
