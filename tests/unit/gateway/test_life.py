"""The gateway's process: its name, its last words, what is read of its state."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentlaunch import files, process
from agentlaunch.gateway import life
from agentlaunch.gateway.package import PACKAGE
from fake_gateway import lease_of, spec
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


# ---- which one --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [spec("other", "hosted"), spec(token="sk-2"), spec(cap_usd=1.0), spec(routing="auto")],
    ids=["order", "key", "cap", "routing"],
)
def test_another_order_key_cap_or_routing_is_another_gateway(other: Any) -> None:
    assert life.fingerprint(other) != life.fingerprint(spec())
    assert life.fingerprint(spec()) == life.fingerprint(spec())


def test_another_litellm_or_other_code_in_it_is_another_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = life.fingerprint(spec())
    with monkeypatch.context() as patch:
        patch.setattr(life, "PACKAGE", replace(PACKAGE, version="9.9.9"))
        assert life.fingerprint(spec()) != known
    hooks = tmp_path / "litellm_hooks.py"
    hooks.write_text("instance = None\n")
    monkeypatch.setattr(life, "_hooks", lambda: hooks)
    assert life.fingerprint(spec()) != known


# ---- its last words ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", ""),
        ("one\ntwo\n\n", "two"),
        (
            "Traceback (most recent call last):\n  x\nValueError: no such model\n\n"
            "ERROR:    Application startup failed. Exiting.\n\n"
            "\x1b[1;37m#-----#\x1b[0m\n Thank you for using LiteLLM!\n",
            "ValueError: no such model",
        ),
        ("ERROR:    Application startup failed.\nbye\n", "ERROR:    Application startup failed."),
        (
            "OSError: old\nERROR:    [Errno 98] error while attempting to bind on address\nbye\n",
            "ERROR:    [Errno 98] error while attempting to bind on address",
        ),
        ("litellm.exceptions.BadRequestError: no\nbye", "litellm.exceptions.BadRequestError: no"),
        ("ValueError: " + "x" * 500, "ValueError: " + "x" * 287 + "…"),
    ],
)
def test_its_last_error_is_told_and_not_its_thanks(tmp_path: Path, log: str, words: str) -> None:
    file = tmp_path / "gateway.log"
    file.write_text(log)
    assert life._last_words(file) == words


# ---- its state --------------------------------------------------------------------------------


def test_a_state_file_is_read_whole(tmp_path: Path) -> None:
    folder = write_state(tmp_path, cap_usd=2, cap_origin="/etc/x.toml")
    (found,) = life.find(paths_below(tmp_path), answer_s=0)
    assert (found.url, found.port, found.token) == ("http://127.0.0.1:4321", 4321, "sk-gateway")
    assert (found.cap_usd, found.cap_origin, found.sessions) == (2.0, "/etc/x.toml", 0)
    assert found.chains == {"main": (life.Stop("hosted", "m", "gpu.lan", False, False, 4096),)}
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
