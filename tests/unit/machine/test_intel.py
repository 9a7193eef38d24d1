"""Intel cards and integrated graphics."""

from __future__ import annotations

import pytest

from agentlaunch.machine import intel
from agentlaunch.machine.facts import Note, RecordedFacts
from agentlaunch.machine.graphics import Found
from agentlaunch.machine.intel import GIB, Listed


@pytest.mark.parametrize(
    ("name", "discrete"),
    [
        ("Intel(R) Arc(TM) A770 Graphics", True),
        ("Intel Arc B580", True),
        ("Intel Arc Pro A60", True),
        ("Intel(R) Data Center GPU Max 1550", True),
        ("Intel(R) Arc(TM) Graphics", False),
        ("Intel(R) Arc(TM) 140V GPU (16GB)", False),
        ("Intel(R) UHD Graphics 770", False),
        ("Intel(R) Iris(R) Xe Graphics", False),
        ("Intel HD Graphics 620", False),
        ("", None),
        ("Device 56a0", None),
    ],
)
def test_a_name_tells_cards_from_integrated_graphics(name: str, discrete: bool | None) -> None:
    assert intel.is_discrete(name) is discrete


@pytest.mark.parametrize(
    ("name", "window_gib", "memory_gib", "source"),
    [
        ("Arc A770", 16, 16, "sysfs"),
        ("Arc A770", 8, 8, "sysfs"),
        ("Arc B580", 16, 12, "sysfs"),  # the window is a power of two
        ("Arc A380", 8, 6, "sysfs"),
        ("Arc A770", 0.25, 8, "name"),  # resizable BAR is off
        ("Arc B580", None, 12, "name"),
        ("Device 1234", 16, 16, "sysfs"),
        ("Device 1234", None, None, "name"),
    ],
)
def test_memory_is_told_by_window_and_name(
    name: str, window_gib: float | None, memory_gib: int | None, source: str
) -> None:
    window_bytes = None if window_gib is None else int(window_gib * GIB)
    memory_bytes = None if memory_gib is None else memory_gib * GIB
    assert intel.by_window(name, window_bytes) == (memory_bytes, source)


def test_only_prefetchable_memory_counts_as_a_window() -> None:
    text = (
        "0x0000000080000000 0x00000000ffffffff 0x0000000000040200\n"
        "0x0000004000000000 0x000000400fffffff 0x000000000014220c\n"
        "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
        "what is this\n"
    )
    assert intel.largest_window(text) == 256 << 20


def test_tiles_are_added_up() -> None:
    folder = "/sys/class/drm/card0/device"
    files: dict[str, str | None] = {
        f"{folder}/vendor": "0x8086\n",
        f"{folder}/uevent": "DRIVER=xe\nPCI_SLOT_NAME=0000:4d:00.0\n",
        f"{folder}/tile0/physical_vram_size_bytes": "68719476736\n",
        f"{folder}/tile1/physical_vram_size_bytes": "68719476736\n",
    }
    (found,) = intel.detect(RecordedFacts("linux", "x86_64", files=files)).graphics
    assert (found.integrated, found.own_bytes, found.driver) == (False, 128 * GIB, "xe")


def test_memory_of_i915_lies_beside_the_device() -> None:
    files: dict[str, str | None] = {
        "/sys/class/drm/card0/device/vendor": "0x8086\n",
        "/sys/class/drm/card0/lmem_total_bytes": "17112760320\n",
    }
    (found,) = intel.detect(RecordedFacts("linux", "x86_64", files=files)).graphics
    assert (found.integrated, found.own_bytes) == (False, 17112760320)


def test_a_memory_that_only_the_name_tells_is_said_so() -> None:
    text = '{"device_list": [{"device_name": "Intel(R) Arc(TM) A770 Graphics", "device_id": 0}]}'
    assert intel.parse_discovery(text) == (Listed("Intel(R) Arc(TM) A770 Graphics", "", 0),)
    facts = RecordedFacts.from_json(
        '{"platform": "linux", "commands": [{"argv": ["xpu-smi", "discovery", "-j"], "stdout":'
        ' "{\\"device_list\\": [{\\"device_name\\": \\"Intel(R) Arc(TM) A770 Graphics\\"}]}"}]}'
    )
    found = intel.detect(facts)
    assert [card.own_bytes for card in found.graphics] == [8 * GIB]
    assert found.notes == (
        Note(
            "intel",
            "the memory of the Intel(R) Arc(TM) A770 Graphics is taken from its name; "
            "it may have more",
        ),
    )


def test_another_system_is_not_asked() -> None:
    assert intel.detect(RecordedFacts("windows", "x86_64")) == Found()
