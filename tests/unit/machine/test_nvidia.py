"""What nvidia-smi prints, and what a CUDA program would make of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentlaunch.machine import nvidia, nvidia_failures
from agentlaunch.machine.facts import Answer, LiveFacts, Note, RecordedFacts
from agentlaunch.machine.nvidia import GIB, MIB, Card, Slice

CARDS = (Card("NVIDIA GeForce RTX 3090", 0, "GPU-11aa"), Card("NVIDIA L4", 1, "GPU-22bb"))
A100 = Card("NVIDIA A100-SXM4-40GB", 0, "GPU-5d5b", 40960 * MIB, mig=True)
SLICES = (
    Slice("GPU-5d5b", 0, "3g.20gb", "MIG-c738", 20 * GIB),
    Slice("GPU-5d5b", 0, "2g.10gb", "MIG-a28a", 10 * GIB),
)


def query(stdout: str, columns: str = "name,memory.total,memory.free", rc: int = 0) -> Answer:
    return Answer(("nvidia-smi", f"--query-gpu={columns}", "--format=csv"), rc, stdout)


def names(visible: str | None) -> list[str]:
    return [gpu.name for gpu in nvidia.select(CARDS, (), visible).gpus]


def test_columns_are_those_of_the_query_that_was_asked() -> None:
    answer = query("8.9, NVIDIA L4, 23034 MiB\n", "compute_cap,name,memory.total")
    assert nvidia.parse_cards(answer) == (
        Card("NVIDIA L4", total_bytes=23034 * MIB, capability="8.9"),
    )


def test_the_query_may_be_two_words() -> None:
    answer = Answer(("nvidia-smi", "--query-gpu", "name,memory.free"), 0, "NVIDIA L4, 5\n")
    assert nvidia.parse_cards(answer) == (Card("NVIDIA L4", free_bytes=5 * MIB),)


@pytest.mark.parametrize("field", ["[N/A]", "[Not Supported]", "Insufficient Permissions", ""])
def test_what_is_not_a_number_is_unknown(field: str) -> None:
    assert nvidia.parse_cards(query(f"NVIDIA GB10, {field}, {field}\n")) == (Card("NVIDIA GB10"),)


def test_an_n1x_is_unified_though_it_prints_a_small_memory() -> None:
    found = nvidia.select([Card("NVIDIA N1X", 0, "GPU-1", 8192 * MIB, 8000 * MIB)], (), None)
    assert [(gpu.unified, gpu.vram_bytes) for gpu in found.gpus] == [(True, None)]


def test_a_raw_pci_number_without_memory_is_unified() -> None:
    found = nvidia.select([Card("NVIDIA Device 2E12", 0, "GPU-1")], (), None)
    assert [gpu.unified for gpu in found.gpus] == [True]


def test_a_known_card_that_hides_its_memory_is_not_unified() -> None:
    found = nvidia.select([Card("NVIDIA GeForce RTX 3090", 0, "GPU-1")], (), None)
    assert [(gpu.unified, gpu.vram_bytes) for gpu in found.gpus] == [(False, None)]
    assert found.notes == (
        Note("nvidia", "nvidia-smi does not say how much memory the NVIDIA GeForce RTX 3090 has"),
    )


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        (None, ["NVIDIA GeForce RTX 3090", "NVIDIA L4"]),
        ("1,0", ["NVIDIA L4", "NVIDIA GeForce RTX 3090"]),
        ("1", ["NVIDIA L4"]),
        (" 01 ", ["NVIDIA L4"]),
        ("0,-1,1", ["NVIDIA GeForce RTX 3090"]),
        ("0,7,1", ["NVIDIA GeForce RTX 3090"]),
        ("GPU-22", ["NVIDIA L4"]),
        ("0,0", ["NVIDIA GeForce RTX 3090"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("MIG-c738", []),
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(
    visible: str | None, seen: list[str]
) -> None:
    assert names(visible) == seen


def test_cuda_visible_devices_says_nothing_on_a_machine_without_cards() -> None:
    assert nvidia.select((), (), "0") == nvidia.Found()


def test_a_slice_is_known_by_its_name() -> None:
    text = (
        "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5b)\n"
        "  MIG 3g.20gb     Device  0: (UUID: MIG-c738)\n"
        "  MIG 2g.10gb     Device  1: (UUID: MIG-a28a)\n"
        "GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-ffff)\n"
        "  MIG 1c.3g.20gb  Device  0: (UUID: MIG-1)\n"
        "  MIG 1g.5gb+me   Device  1: (UUID: MIG-2)\n"
    )
    assert nvidia.parse_slices(text) == (
        *SLICES,
        Slice("GPU-ffff", 1, "1c.3g.20gb", "MIG-1", 20 * GIB),
        Slice("GPU-ffff", 1, "1g.5gb+me", "MIG-2", 5 * GIB),
    )


def test_mig_without_a_slice_has_no_gpu_and_says_what_to_do() -> None:
    found = nvidia.select([A100], (), None)
    assert found.gpus == ()
    assert "sudo nvidia-smi -mig 0" in found.notes[0].message


def test_a_card_split_in_slices_gives_way_to_a_whole_one() -> None:
    found = nvidia.select([A100, CARDS[1]], SLICES, None)
    assert [gpu.name for gpu in found.gpus] == ["NVIDIA L4"]
    assert "left out" in found.notes[0].message


def test_a_slice_that_is_asked_for_but_gone_is_not_replaced() -> None:
    assert nvidia.select([A100], SLICES, "MIG-ffff").gpus == ()


@pytest.mark.parametrize(
    ("rc", "text", "told"),
    [
        (9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver", "boot"),
        (18, "Failed to initialize NVML: Driver/library version mismatch", "modprobe nvidia"),
        (6, "No devices were found", "--gpus all"),
        (0, "No devices were found", "--gpus all"),
        (255, "Failed to initialize NVML: GPU access blocked by the operating system", "wsl --up"),
        (4, "Failed to initialize NVML: Insufficient Permissions", "group"),
        (255, "Failed to initialize NVML: Unknown Error", "restart the container"),
        (-1, "", "in time"),
        (3, "something \x1b[31mnew", "exit 3): something [31mnew; run `nvidia-smi`"),
        (0, "", "exit 0); run `nvidia-smi`"),
    ],
)  # fmt: skip
def test_a_failure_is_told_with_the_way_out(rc: int, text: str, told: str) -> None:
    facts = RecordedFacts("linux", "x86_64", (query(text, nvidia._COLUMNS, rc),))
    found = nvidia.detect(facts)
    assert found.gpus == ()
    assert len(found.notes) == 1
    assert told in found.notes[0].message
    assert found.notes[0].message.isprintable()


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("GPU0000:02:00.0: Unknown Error", "0000:02:00.0"),
        ("gpu 0000:0A:00.0: GPU is lost.", "0000:0A:00.0"),
        ("GPU1: 0000:41:00.0: Unknown Error", "0000:41:00.0"),
    ],
)
def test_a_lost_card_is_named_by_its_place(line: str, where: str) -> None:
    text = f"Unable to determine the device handle for {line}"
    notes = nvidia_failures.explain(query(text, rc=255), 1)
    assert [where in note.message for note in notes] == [True]


@pytest.mark.parametrize("field", ["[GPU is lost]", "[Unknown Error]", "[GPU requires reset]"])
def test_a_card_that_prints_that_it_is_lost_is_left_out(field: str) -> None:
    answer = query(f"NVIDIA L4, 23034, 22000\nNVIDIA L4, {field}, {field}\n")
    assert nvidia.parse_cards(answer) == (
        Card("NVIDIA L4", total_bytes=23034 * MIB, free_bytes=22000 * MIB),
    )
    assert len(nvidia_failures.explain(answer, 1)) == 1


def test_a_machine_without_a_card_hears_nothing_of_nvidia() -> None:
    files = {"/sys/class/drm/card0/device/vendor": "0x8086\n"}
    assert nvidia.detect(RecordedFacts("linux", "x86_64", files=files)) == nvidia.Found()
    assert nvidia.detect(RecordedFacts("darwin", "arm64")) == nvidia.Found()


def test_a_card_kept_for_a_virtual_machine_is_said() -> None:
    folder = "/sys/class/drm/card1/device"
    files = {f"{folder}/vendor": "0x10de\n", f"{folder}/uevent": "DRIVER=vfio-pci\n"}
    notes = nvidia.detect(RecordedFacts("linux", "x86_64", files=files)).notes
    assert [note.message for note in notes] == [
        "the NVIDIA card is set aside for a virtual machine, so it cannot be used here"
    ]


@pytest.mark.parametrize("name", ["NVIDIA A16", "Tesla M60", "NVIDIA RTX PRO 4500 Blackwell"])
def test_a_card_that_may_not_be_read_is_not_unified(name: str) -> None:
    answer = query(f"{name}, [Insufficient Permissions], [Insufficient Permissions]\n")
    found = nvidia.select(nvidia.parse_cards(answer), (), None)
    assert [(gpu.unified, gpu.vram_bytes) for gpu in found.gpus] == [(False, None)]


def test_no_more_is_free_than_there_is_and_none_is_not_zero() -> None:
    answer = query("NVIDIA L4, 23034, 99999\nNVIDIA L4, 0, 0\n")
    assert nvidia.parse_cards(answer) == (
        Card("NVIDIA L4", total_bytes=23034 * MIB, free_bytes=23034 * MIB),
        Card("NVIDIA L4", free_bytes=0),
    )


def test_an_old_driver_is_asked_for_what_it_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\n"
        'case "$1" in\n'
        "*compute_cap*) echo 'Field \"compute_cap\" is not a valid field to query.'; exit 2;;\n"
        "*) echo '0, GPU-11, GeForce RTX 2080 Ti, 11019, 10900, 440.33'\n"
        "   echo '1, GPU-22, GeForce GTX 1080, 8119, 8000, 440.33';;\n"
        "esac\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-22")
    found = nvidia.detect(LiveFacts(tmp_path, platform="linux"))
    assert [(gpu.name, gpu.driver) for gpu in found.gpus] == [("GeForce GTX 1080", "440.33")]


def test_a_jetson_whose_card_is_hidden_has_none() -> None:
    facts = RecordedFacts(
        "linux",
        "arm64",
        files={"/proc/device-tree/model": "NVIDIA Jetson AGX Orin Developer Kit\0"},
        env={"CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert nvidia.detect(facts).gpus == ()
