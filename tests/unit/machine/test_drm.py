"""Names of graphics cards as lspci lists them."""

from __future__ import annotations

import pytest

from agentlaunch.machine import drm
from agentlaunch.machine.devices import GIB

NAVI_31 = "Navi 31 [Radeon RX 7900 XT/7900 XTX/7900 GRE/7900M]"
STRIX_HALO = "Strix Halo [Radeon Graphics / Radeon 8050S Graphics / Radeon 8060S Graphics]"


def test_one_entry_stands_for_several_cards() -> None:
    assert drm.marketing_names(NAVI_31) == [
        "Radeon RX 7900 XT",
        "Radeon RX 7900 XTX",
        "Radeon RX 7900 GRE",
        "Radeon RX 7900M",
    ]


@pytest.mark.parametrize(
    ("listed", "memory_gib", "hint", "name"),
    [
        (NAVI_31, 23.98, "", "Radeon RX 7900 XTX"),
        (NAVI_31, 19.98, "", "Radeon RX 7900 XT"),
        (NAVI_31, 15.98, "", "Radeon RX 7900 GRE"),
        (NAVI_31, 8, "", "Radeon RX 7900 XT/7900 XTX/7900 GRE/7900M"),
        (NAVI_31, None, "", "Radeon RX 7900 XT/7900 XTX/7900 GRE/7900M"),
        ("Navi 21 [Radeon RX 6800/6800 XT]", 16, "", "Radeon RX 6800/6800 XT"),
        (STRIX_HALO, 96, "Radeon 8060S", "Radeon 8060S Graphics"),
        ("Phoenix1", 0.5, "Radeon 780M", "Phoenix1"),
        ("DG2 [Arc A770]", None, "", "Arc A770"),
        ("HD Graphics 620", None, "", "HD Graphics 620"),
        ("", 8, "", ""),
    ],
)
def test_memory_or_the_processor_tells_which_it_is(
    listed: str, memory_gib: float | None, hint: str, name: str
) -> None:
    memory_bytes = None if memory_gib is None else int(memory_gib * GIB)
    assert drm.choose_name(listed, memory_bytes, hint) == name


def test_only_graphics_of_the_maker_are_listed() -> None:
    text = (
        '00:1f.3 "Audio device" "Intel Corporation" "Alder Lake HD Audio" "Dell" "Device 1"\n'
        '00:02.0 "VGA compatible controller [0300]" "Intel Corporation [8086]"'
        ' "Alder Lake-UP3 GT1 [UHD Graphics] [46b3]" -r0c "Dell" "Device 1"\n'
        '0001:01:00.0 "3D controller" "NVIDIA Corporation" "GA107M" "" ""\n'
    )
    assert drm.parse_lspci(text, "Intel") == [("00:02.0", "Alder Lake-UP3 GT1 [UHD Graphics]")]
    assert drm.parse_lspci(text, "NVIDIA") == [("0001:01:00.0", "GA107M")]
