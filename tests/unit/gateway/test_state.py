"""What lies in the folder of a gateway: its state file, and leases that keep it there."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from agentlaunch import files, process
from agentlaunch.gateway import life
from agentlaunch.gateway.state import Stop
from fake_gateway import lease_of
from places import paths_below

STATE: dict[str, Any] = {
    "pid": 1,
    "started": "1",
    "port": 4321,
    "token": "sk-gateway",
    "fingerprint": "f" * 64,
    "started_at": 1_700_000_000.0,
    "chains": {
        "main": [
            {"name": "hosted", "model": "m", "host": "gpu.lan", "local": False, "managed": False,
             "context_tokens": 4096},
        ]
    },
    "cap_usd": None,
    "cap_origin": "",
    "ready": True,
}  # fmt: skip


def write_state(folder: Path, **other: Any) -> Path:
    """A state file of this very process, which is nobody's gateway."""
    own = process.identity()
    assert own is not None
    paths = paths_below(folder)
    place = files.private_tree(paths.runtime, paths.runtime / "gateway" / ("f" * 16))
    state = STATE | {"pid": own.pid, "started": own.started} | other
    (place / "state.json").write_text(json.dumps(state))
    return place


def test_a_state_file_is_read_whole(tmp_path: Path) -> None:
    folder = write_state(tmp_path, cap_usd=2, cap_origin="/etc/x.toml")
    (found,) = life.find(paths_below(tmp_path), answer_s=0)
    assert (found.url, found.port, found.token) == ("http://127.0.0.1:4321", 4321, "sk-gateway")
    assert (found.cap_usd, found.cap_origin, found.sessions) == (2.0, "/etc/x.toml", 0)
    assert found.chains == {"main": (Stop("hosted", "m", "gpu.lan", False, False, 4096),)}
    assert found.status_file == folder / "status.json"
    assert "sk-gateway" not in repr(found)


@pytest.mark.parametrize(
    "other",
    [
        {"port": None}, {"port": "x"}, {"token": None, "chains": None}, {"chains": []},
        {"chains": {"main": [{}]}}, {"chains": {"main": 1}}, {"chains": {"main": ["x"]}},
        {"started_at": "now"}, {"started_at": 1e30}, {"cap_usd": "much"}, {"pid": True},
    ],
)  # fmt: skip
def test_a_state_that_is_not_understood_is_as_none(tmp_path: Path, other: dict[str, Any]) -> None:
    folder = write_state(tmp_path, **other)
    assert life.current(paths_below(tmp_path), "f" * 64) is None
    assert folder.exists()


def test_what_a_dead_one_left_is_removed_but_not_under_sessions(tmp_path: Path) -> None:
    paths = paths_below(tmp_path)
    folder = write_state(tmp_path, started="0")
    lease = lease_of(folder, os.getppid())
    assert life.find(paths) == ()
    assert folder.exists()
    lease.unlink()
    assert life.find(paths) == ()
    assert not folder.exists()


def test_a_folder_at_which_a_launch_works_is_left(tmp_path: Path) -> None:
    paths = paths_below(tmp_path)
    folder = write_state(tmp_path, started="0")
    with files.locked(folder.with_name(f"{folder.name}.lock"), timeout_s=1, what="a test"):
        assert life.find(paths) == ()
        assert folder.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_folder_that_is_a_link_is_not_believed(tmp_path: Path) -> None:
    write_state(tmp_path)
    paths = paths_below(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    (paths.runtime / "gateway").rename(elsewhere)
    (paths.runtime / "gateway").symlink_to(elsewhere)
    assert life.find(paths, answer_s=0) == ()
    assert life.current(paths, "f" * 64) is None
