"""Every agent that can be configured for a plain start: written, and given back byte for byte."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.agents import AGENTS
from agentlaunch.agents.base import Target, own_folder
from agentlaunch.changes.edit import SetKeys
from agentlaunch.changes.journal import Journal
from agentlaunch.changes.text import MISSING, look_up
from agentlaunch.context import make_context
from agentlaunch.endpoint import Endpoint
from launcher import snapshot
from places import CHECKOUT

CONFIGURED = [name for name, agent in AGENTS.items() if agent.configure is not None]


def target(name: str, home: Path) -> Target:
    agent = AGENTS[name]
    environ = {"HOME": str(home), "PATH": ""}
    endpoint = Endpoint("http://127.0.0.1:8080", agent.wires, "m:64k")
    return Target(
        binary=agent.binary,
        endpoint=endpoint,
        context=make_context(agent.tiers, agent.compaction, 65_536),
        home="own",
        home_folder=home / "clean",
        runtime_folder=home / "run",
        run_name="1-2",
        environ=environ,
        own_folder=own_folder(agent, environ),
        project=home / "project",
    )


@pytest.mark.parametrize("name", CONFIGURED)
@pytest.mark.parametrize("has_files", [False, True])
def test_what_is_written_comes_back_byte_for_byte(
    name: str, has_files: bool, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    planted = CHECKOUT / "tests" / "data" / "agents" / name / "home"
    if has_files and planted.is_dir():
        shutil.copytree(planted, home)
    else:
        home.mkdir()
    before = snapshot(home)
    configure = AGENTS[name].configure
    assert configure is not None
    journal = Journal(tmp_path / "state", home)
    edits = configure(target(name, home))
    changes = journal.apply(name, edits)
    assert any(b"127.0.0.1:8080" in change.after for change in changes)
    assert not any(change.changes for change in journal.apply(name, edits))
    other = target(name, home)
    other = replace(other, endpoint=replace(other.endpoint, model="another"))
    again = journal.apply(name, configure(other))
    assert any(b"another" in change.after for change in again)
    for edit in edits:
        assert edit.path.is_relative_to(home)
        if isinstance(edit, SetKeys):
            _has(edit.values)
    assert journal.restore(name).kept == ()
    assert snapshot(home) == before


def _has(values: Mapping[tuple[str, ...], Any]) -> None:
    """No key stands below another: one would take the other's value away."""
    for key in values:
        assert all(look_up(values[other], key[len(other) :]) is MISSING for other in values
                   if other != key and key[: len(other)] == other)  # fmt: skip
