"""What this machine says beside its commands and files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agentlaunch.machine import live_values


@pytest.mark.parametrize("name", ["ram_bytes", "ram_free_bytes", "cores", "disk_free_bytes"])
def test_a_machine_knows_its_own_sizes(name: str, tmp_path: Path) -> None:
    value = live_values.read(name, tmp_path / "not" / "there" / "yet")
    assert value is not None
    assert value > 0


def test_an_unknown_name_has_no_value(tmp_path: Path) -> None:
    assert live_values.read("gpu_colour", tmp_path) is None


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac may have a Metal device")
def test_metal_is_not_asked_elsewhere(tmp_path: Path) -> None:
    assert live_values.read("metal_working_set_bytes", tmp_path) is None
