"""Names of devices, and the traps in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentlaunch.machine import devices
from agentlaunch.machine.devices import GIB, Device


@pytest.mark.parametrize(
    ("name", "bandwidth_gbs"),
    [
        ("NVIDIA GeForce RTX 4070 Laptop GPU", 256),
        ("NVIDIA GeForce RTX 4070", 504),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", 672),
        ("NVIDIA GeForce RTX 5060 Ti", 448),
        ("NVIDIA GeForce GTX 1650 SUPER", 192),
        ("NVIDIA RTX A3000 12GB Laptop GPU", 264),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", 1792),
        ("NVIDIA L4", 300),
        ("NVIDIA L40", 864),
        ("Tesla T4", 320),
        ("NVIDIA A10", 600),
        ("NVIDIA A100-SXM4-80GB", 2039),
        ("NVIDIA A100-PCIE-40GB", 1555),
        ("NVIDIA H100 80GB HBM3", 3350),
        ("NVIDIA GB10", 273),
        ("Orin (nvgpu)", 204.8),
        ("AMD Radeon RX 7900 XTX", 960),
        ("Intel(R) Arc(TM) A770 Graphics", 560),
        ("Intel(R) Iris(R) Xe Graphics", 68),
        ("Intel Arc Graphics 130T/140T", 120),  # the number says more than "Arc Graphics"
        ("Apple M4 Pro", 273),
        ("Apple M1 (Virtual)", 68.25),
    ],
)
def test_a_detected_name_finds_its_device(name: str, bandwidth_gbs: float) -> None:
    device = devices.find(name)
    assert device is not None
    assert device.bandwidth_gbs == bandwidth_gbs


@pytest.mark.parametrize(
    "name",
    [
        "Tesla M40 24GB",  # no Apple M4
        "Tesla M4",
        "NVIDIA T400 4GB",  # no T4
        "NVIDIA A1000",  # no A10, no A100
        "Quadro P1000",  # no P100
        "NVIDIA GeForce RTX 2070 with Max-Q Design",  # no desktop card
        "NVIDIA GeForce RTX 2060 Laptop GPU",
        "NVIDIA GeForce RTX 40",
        "NVIDIA GeForce GTX 1650 Ti",  # twice the desktop card's bandwidth
        "NVIDIA GeForce RTX 5090 D v2",
        "NVIDIA H100 NVL",
        "AMD Radeon RX 9070 GRE",
        "Apple M5 Ultra",
        "Apple M10",
        "Microsoft Basic Display Adapter",
        "NVIDIA",
        "",
    ],
)
def test_a_name_that_only_looks_like_a_known_one_finds_nothing(name: str) -> None:
    assert devices.find(name) is None


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("RTX 4060 Laptop", "NVIDIA GeForce RTX 4060 Laptop GPU"),
        ("rtx4060ti", "NVIDIA GeForce RTX 4060 Ti"),
        ("L4", "NVIDIA L4"),
        ("t4", "Tesla T4"),
        ("A10", "NVIDIA A10"),
        ("M3", "Apple M3"),
        ("m4 max", "Apple M4 Max"),
        ("m4max", "Apple M4 Max"),
        ("4090", "NVIDIA GeForce RTX 4090"),
        ("7900 xtx", "AMD Radeon RX 7900 XTX"),
        ("A6000", "NVIDIA RTX A6000"),
        ("H100", "NVIDIA H100 PCIe"),  # of several the slower
    ],
)
def test_a_typed_name_means_what_a_person_means(typed: str, meant: str) -> None:
    assert devices.find(typed) == devices.find(meant) is not None


@pytest.mark.parametrize(
    ("chip", "cores", "ram_gib", "bandwidth_gbs"),
    [
        ("Apple M3 Max", 30, None, 300),
        ("Apple M3 Max", 40, None, 400),
        ("Apple M3 Max", 30, 128, 300),  # the count of cores decides
        ("Apple M4 Max", 32, 36, 410),
        ("Apple M4 Max", 40, 128, 546),
        ("Apple M5 Max", None, 36, 460),
        ("Apple M5 Max", None, 64, 614),
        ("Apple M4 Max", None, None, 410),  # not known: the slower one
        ("Apple M4 Max", 38, 128, 546),
    ],
)
def test_the_bins_of_an_apple_chip_are_told_apart(
    chip: str, cores: int | None, ram_gib: int | None, bandwidth_gbs: float
) -> None:
    ram_bytes = None if ram_gib is None else ram_gib * GIB
    device = devices.find(chip, gpu_cores=cores, ram_bytes=ram_bytes)
    assert device is not None
    assert device.bandwidth_gbs == bandwidth_gbs


def test_only_the_chips_that_have_bins_need_their_cores_counted() -> None:
    assert devices.has_bins("Apple M3 Max")
    assert not devices.has_bins("Apple M2")
    assert not devices.has_bins("Apple M9")


@pytest.mark.parametrize(
    ("name", "vram_gib", "memory_mhz", "bandwidth_gbs"),
    [
        ("NVIDIA GeForce RTX 3060", 12, None, 360),
        ("NVIDIA GeForce RTX 3060", 8, None, 240),
        ("NVIDIA GeForce RTX 3080", 12, None, 912),
        ("NVIDIA GeForce RTX 3080", 10, None, 760),
        ("NVIDIA GeForce RTX 3050", 6, None, 168),
        ("NVIDIA GeForce GTX 1650", 4, 4001, 128),
        ("NVIDIA GeForce GTX 1650", 4, 6001, 192),
        ("Orin (nvgpu)", 61, None, 204.8),
        ("Orin (nvgpu)", 15, None, 102.4),
        ("Orin (nvgpu)", 7, None, 68),
    ],
)
def test_variants_of_one_name_differ_by_memory(
    name: str, vram_gib: int, memory_mhz: int | None, bandwidth_gbs: float
) -> None:
    device = devices.find(name, vram_gib * GIB, memory_mhz=memory_mhz)
    assert device is not None
    assert device.bandwidth_gbs == bandwidth_gbs


def test_a_device_says_all_that_is_known_of_it() -> None:
    assert devices.find("NVIDIA GeForce RTX 3090") == Device(
        name="RTX 3090",
        vendor="nvidia",
        unified=False,
        laptop=False,
        bandwidth_gbs=936.0,
        fp16_tflops=71.2,
        compute_capability="8.6",
    )


def test_every_row_is_found_by_its_own_patterns() -> None:
    data = json.loads(Path(devices.__file__).with_name("devices.json").read_bytes())
    assert len(data["devices"]) > 150
    for row in data["devices"]:
        for pattern in row["match"]:
            found = devices.find(pattern)
            assert found is not None, pattern
            assert found.name.partition(" (")[0] == row["name"].partition(" (")[0]
