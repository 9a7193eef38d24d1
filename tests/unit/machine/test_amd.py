"""AMD cards and APUs: what the tools print, and what of it a ROCm program would use."""

from __future__ import annotations

import pytest

from agentlaunch.machine import amd
from agentlaunch.machine.amd import GIB, MIB, Card
from agentlaunch.machine.facts import RecordedFacts

TWO = (Card("Radeon RX 7900 XTX", 24 * GIB), Card("Radeon RX 7600", 8 * GIB))


@pytest.mark.parametrize(
    ("size", "bytes_"),
    [
        ({"value": 24560, "unit": "MB"}, 24560 * MIB),
        ({"value": "24", "unit": "GB"}, 24 * GIB),
        ("24560 MB", 24560 * MIB),
        ("24560MiB", 24560 * MIB),
        (24560, 24560 * MIB),
        ({"value": 24560.0, "unit": "MB"}, 24560 * MIB),
        ("4096 B", 4096),
        ("N/A", None),
        ("0 MB", None),
        ("-5 MB", None),
        ({"value": None}, None),
        ([], None),
        (None, None),
    ],
)
def test_a_size_is_read_in_every_spelling(size: object, bytes_: int | None) -> None:
    assert amd.parse_size(size) == bytes_


def test_warnings_before_the_json_are_passed_over() -> None:
    text = '[WARN] {low-power}: [1] see\n{"card0": {"VRAM Total Memory (B)": "8573157376"}}\nbye'
    assert amd.parse_rocm_smi(text) == (Card(vram_bytes=8573157376, source="rocm-smi", rocm=True),)


def test_cards_stand_in_the_order_of_their_numbers() -> None:
    text = '{"card10": {"Card series": "B"}, "card2": {"Card series": "A"}, "system": {}}'
    assert [card.name for card in amd.parse_rocm_smi(text)] == ["A", "B"]


@pytest.mark.parametrize("said", ["N/A", "0x744c", "", "unknown"])
def test_what_is_no_name_gives_way_to_the_next(said: str) -> None:
    text = f'{{"card0": {{"Card Series": "{said}", "Card Model": "Radeon RX 7600"}}}}'
    assert [card.name for card in amd.parse_rocm_smi(text)] == ["Radeon RX 7600"]


@pytest.mark.parametrize(
    ("card", "integrated"),
    [
        (Card("Radeon 8060S", 96 * GIB, gtt_bytes=16 * GIB), True),
        (Card("AMD Radeon 780M Graphics", 16 * GIB, gtt_bytes=8 * GIB), True),
        (Card("AMD Radeon(TM) 610M", GIB), True),
        (Card("AMD Radeon(TM) Graphics", GIB), True),
        (Card("AMD Radeon(TM) Vega 8 Graphics"), True),
        (Card("Raphael", 64 * MIB), True),
        (Card("Radeon Vega Series / Radeon Vega Mobile Series", 2 * GIB, gtt_bytes=GIB), True),
        (Card("", 512 * MIB, gfx="gfx1036"), True),
        (Card("", 512 * MIB, gtt_bytes=16 * GIB), True),
        (Card("", 4 * GIB, gtt_bytes=16 * GIB), True),
        (Card("", 4 * GIB, gtt_bytes=16 * GIB - 1), False),
        (Card("", GIB, gtt_bytes=8 * GIB - 1), False),
        (Card("", 5 * GIB, gtt_bytes=64 * GIB), False),
        (Card("Radeon RX 6500 XT", 4 * GIB, gtt_bytes=64 * GIB), False),
        (Card("AMD Radeon RX 6800M", 12 * GIB, gtt_bytes=64 * GIB), False),
        (Card("Radeon RX 7900 XTX", None), False),
        (Card("AMD Instinct MI300X", 192 * GIB), False),
        (Card("AMD Radeon Graphics", 32 * GIB, gfx="gfx906"), False),
        (Card("AMD Radeon Graphics", 16 * GIB, gtt_bytes=32 * GIB), False),
        (Card("AMD Radeon Graphics", 96 * GIB, gfx="gfx1151"), True),
        (Card("", 512 * MIB, gtt_bytes=7 * GIB, in_processor=True), True),
        (Card("", 8 * GIB, gtt_bytes=7 * GIB, in_processor=True), False),
    ],
)
def test_what_is_integrated_is_told_by_name_then_by_sizes(card: Card, integrated: bool) -> None:
    assert amd.is_integrated(card) is integrated


@pytest.mark.parametrize(
    ("env", "names"),
    [
        ({}, ["7900 XTX", "7600"]),
        ({"HIP_VISIBLE_DEVICES": "1"}, ["7600"]),
        ({"HIP_VISIBLE_DEVICES": "1,0"}, ["7600", "7900 XTX"]),
        ({"ROCR_VISIBLE_DEVICES": "1", "HIP_VISIBLE_DEVICES": "0"}, ["7600"]),
        ({"ROCR_VISIBLE_DEVICES": "1", "HIP_VISIBLE_DEVICES": "1"}, []),
        ({"GPU_DEVICE_ORDINAL": "0"}, ["7900 XTX"]),
        ({"HIP_VISIBLE_DEVICES": "-1"}, []),
        ({"ROCR_VISIBLE_DEVICES": ""}, []),
        ({"ROCR_VISIBLE_DEVICES": "0,7,1"}, ["7900 XTX"]),
        ({"ROCR_VISIBLE_DEVICES": "GPU-1234567890abcdef"}, ["7900 XTX", "7600"]),
    ],
)
def test_the_environment_chooses_cards(env: dict[str, str], names: list[str]) -> None:
    shown, notes = amd.select(TWO, env)
    assert [card.name.removeprefix("Radeon RX ") for card in shown] == names
    assert bool(notes) == (len(names) < 2 or "GPU-" in str(env))


def test_the_kernel_and_a_tool_may_number_cards_differently() -> None:
    seen = (Card("", 64 * MIB), Card("", 20 * GIB))
    told = (
        Card("Radeon RX 7900 XT", 20 * GIB - MIB, gfx="gfx1100", rocm=True),
        Card("Raphael", 64 * MIB, gfx="gfx1036", rocm=True),
    )
    assert [card.name for card in amd.joined(seen, told)] == ["Raphael", "Radeon RX 7900 XT"]


def test_names_and_memory_may_be_told_by_two_queries() -> None:
    facts = RecordedFacts.from_json(
        """{"platform": "linux", "commands": [
        {"argv": ["rocm-smi", "--showproductname", "--json"],
         "stdout": "{\\"card0\\": {\\"Card series\\": \\"Radeon RX 7600\\"}}"},
        {"argv": ["/opt/rocm/bin/rocm-smi", "--showmeminfo", "vram", "--json"],
         "stdout": "{\\"card0\\": {\\"VRAM Total Memory (B)\\": \\"8573157376\\"}}"}]}"""
    )
    (found,) = amd.detect(facts).graphics
    assert (found.name, found.own_bytes) == ("Radeon RX 7600", 8573157376)


def test_a_card_for_a_virtual_machine_is_passed_over() -> None:
    folder = "/sys/class/drm/card0/device"
    files = {f"{folder}/vendor": "0x1002\n", f"{folder}/uevent": "DRIVER=vfio-pci\n"}
    assert amd.detect(RecordedFacts("linux", "x86_64", files=files)).graphics == ()
