"""Adapters of Windows, and the trap in AdapterRAM."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentlaunch.machine import windows
from agentlaunch.machine.facts import Answer, RecordedFacts
from agentlaunch.machine.windows import GIB, Adapter, Entry

ADAPTERS = ("powershell.exe", "-Command", "Get-CimInstance Win32_VideoController")
REGISTRY = ("powershell.exe", "-Command", "Get-ItemProperty x | Select qwMemorySize")


def facts(adapters: Any, registry: Any = ()) -> RecordedFacts:
    return RecordedFacts(
        "windows",
        "x86_64",
        (Answer(ADAPTERS, 0, json.dumps(adapters)), Answer(REGISTRY, 0, json.dumps(registry))),
    )


@pytest.mark.parametrize("ram", [4293918720, 4294967296, -1048576, 0, None, "much"])
def test_an_adapter_ram_of_4_gib_or_none_says_nothing(ram: object) -> None:
    (adapter,) = windows.parse_adapters(json.dumps({"Name": "GeForce X", "AdapterRAM": ram}))
    assert adapter == Adapter("GeForce X", "nvidia")


@pytest.mark.parametrize(
    ("name", "ram_gib", "seen_gib"),
    [
        ("NVIDIA GeForce GTX 1060", 3, 3),
        ("NVIDIA GeForce RTX 2060", 2, None),  # 6 GiB, of which 4 were dropped
        ("NVIDIA GeForce GT 710", 2, 2),
    ],
)
def test_without_a_registry_only_a_plausible_size_is_taken(
    name: str, ram_gib: int, seen_gib: int | None
) -> None:
    (found,) = windows.detect(facts({"Name": name, "AdapterRAM": ram_gib * GIB})).graphics
    assert found.own_bytes == (None if seen_gib is None else seen_gib * GIB)


@pytest.mark.parametrize(
    "name",
    [
        "Microsoft Basic Display Adapter",
        "Microsoft Basic Render Driver",
        "Microsoft Remote Display Adapter",
        "Parsec Virtual Display Adapter",
        "Microsoft Hyper-V Video",
        "Citrix Indirect Display Adapter",
        "",
    ],
)
def test_what_is_no_card_is_ignored(name: str) -> None:
    assert windows.parse_adapters(json.dumps([{"Name": name, "AdapterRAM": 1 << 30}])) == ()


@pytest.mark.parametrize(
    "row",
    [
        {"Name": "VirtualBox Graphics Adapter (WDDM)", "PNPDeviceID": "PCI\\VEN_80EE&DEV_BEEF"},
        {"Name": "Red Hat QXL controller", "PNPDeviceID": "PCI\\VEN_1B36&DEV_0100"},
        {"Name": "ASPEED Graphics Family(WDDM)", "PNPDeviceID": "PCI\\VEN_1A03&DEV_2000"},
    ],
)
def test_the_screen_of_a_server_or_a_virtual_machine_is_no_graphics(row: dict[str, str]) -> None:
    assert windows.parse_adapters(json.dumps(row)) == ()
    assert windows.detect(facts(row)).graphics == ()


def test_a_software_device_is_ignored_whatever_it_is_called() -> None:
    row = {"Name": "Super Display", "PNPDeviceID": "ROOT\\DISPLAY\\0000"}
    assert windows.parse_adapters(json.dumps(row)) == ()


@pytest.mark.parametrize(
    ("fields", "memory_bytes"),
    [
        ({"HardwareInformation.qwMemorySize": 12 * GIB}, 12 * GIB),
        ({"qwMemorySize": str(12 * GIB)}, 12 * GIB),
        ({"HardwareInformation.qwMemorySize": [0, 0, 0, 0, 3, 0, 0, 0]}, 12 * GIB),
        ({"HardwareInformation.qwMemorySize": "0 0 0 0 3 0 0 0"}, 12 * GIB),
        ({"HardwareInformation.qwMemorySize": "0x300000000"}, 12 * GIB),
        ({"HardwareInformation.qwMemorySize": {"value": 12 * GIB, "Count": 1}}, 12 * GIB),
        ({"HardwareInformation.qwMemorySize": [12 * GIB]}, 12 * GIB),
        ({"HARDWAREINFORMATION.QWMEMORYSIZE": 12.0 * GIB}, 12 * GIB),
        ({"HardwareInformation.MemorySize": 2 * GIB}, 2 * GIB),
        ({"HardwareInformation.MemorySize": [0, 0, 0, 128]}, 2 * GIB),
        ({"HardwareInformation.MemorySize": {"value": [0, 0, 0, 64], "Count": 4}}, GIB),
        ({"HardwareInformation.MemorySize": -2147483648}, 2 * GIB),
        ({"HardwareInformation.MemorySize": -1048576}, None),
        ({"HardwareInformation.MemorySize": [0, 0, 240, 255]}, None),
        ({"HardwareInformation.qwMemorySize": -5}, None),
        ({}, None),
    ],
)
def test_the_registry_holds_sizes_in_several_forms(
    fields: dict[str, Any], memory_bytes: int | None
) -> None:
    text = json.dumps({"DriverDesc": "NVIDIA GeForce® X(TM)", **fields})
    expected = () if memory_bytes is None else (Entry("nvidia geforce x", memory_bytes),)
    assert windows.parse_registry(text) == expected


def test_two_cards_of_one_kind_have_an_entry_each() -> None:
    name = "NVIDIA GeForce RTX 3090"
    entries = [
        {"DriverDesc": name, "HardwareInformation.qwMemorySize": 24 * GIB},
        {"DriverDesc": "Intel(R) UHD Graphics 770"},
        {"DriverDesc": name, "HardwareInformation.qwMemorySize": 24 * GIB},
    ]
    found = windows.detect(facts([{"Name": name}, {"Name": name}], entries))
    assert [card.own_bytes for card in found.graphics] == [24 * GIB, 24 * GIB]
    assert found.notes == ()


@pytest.mark.parametrize(
    ("rc", "told"), [(-1, "did not list its graphics adapters in time"), (1, "(exit 1)")]
)
def test_a_powershell_that_fails_is_a_note(rc: int, told: str) -> None:
    found = windows.detect(RecordedFacts("windows", "x86_64", (Answer(ADAPTERS, rc, ""),)))
    assert found.graphics == ()
    assert [told in note.message for note in found.notes] == [True]
