"""Two engines behind one gateway, under the real agents: one dies, and the session goes on."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import real_litellm
from agent_world import REPLY, TIMEOUT_S, TOKEN, World, agent_names, folder, make_world, read_case
from launcher import PROGRAM
from wire_server import WireServer, say

__all__ = ["folder"]  # the fixture, known to pytest by its name in this module

pytestmark = pytest.mark.needs_network

THREE = [
    name if name == "claude-code" else pytest.param(name, marks=real_litellm.needs_litellm)
    for name in agent_names()
    if name in ("claude-code", "codex", "opencode")
]
"""One in every run, all of them with `nox -s servers`."""
CONTENT = "written by a model\n"


@dataclass(frozen=True)
class Pair:
    """A world whose agent goes through a gateway to two engines, the first liked best."""

    world: World
    near: WireServer

    @property
    def first(self) -> WireServer:
        return self.world.engine

    def launch(self, args: list[str], *options: str) -> subprocess.CompletedProcess[str]:
        argv = [str(PROGRAM), "up", self.world.agent.name, "--no-input", *options]
        return subprocess.run(
            [*argv, "--", *self.world.filled(args)],
            cwd=self.world.project,
            env=self.world.shell() | self.routes(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def routes(self) -> dict[str, str]:
        return {"AGENTLAUNCH_ROUTES_MAIN": f"{self.first.url}, {self.near.url}"}

    def told(self, *words: str) -> dict[str, object]:
        done = subprocess.run(
            [str(PROGRAM), *words, "--json"], cwd=self.world.project, env=self.world.shell(),
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        document: dict[str, object] = json.loads(done.stdout)
        assert document["ok"], document
        data = document["data"]
        assert isinstance(data, dict)
        return data


@contextlib.contextmanager
def pair(name: str, folder: Path) -> Iterator[Pair]:
    real_litellm.installed()
    near = WireServer(model="near-model", token=TOKEN, context=read_case(name).context)
    with make_world(name, folder) as world, near:
        near.script = [world.ends()]
        try:
            yield Pair(world, near)
        finally:
            subprocess.run(
                [str(PROGRAM), "gateway", "stop", "--force"], env=world.shell(),
                cwd=world.project, capture_output=True, timeout=60, check=False,
            )  # fmt: skip


@pytest.mark.parametrize("name", THREE)
def test_a_session_goes_on_where_its_engine_dies_between_two_turns(name: str, folder: Path) -> None:
    with pair(name, folder) as both:
        both.first.script = [both.world.writes("hello.txt", CONTENT), say("never said")]
        both.first.dies_after = 1

        done = both.launch(both.world.case.edit_args)

        assert done.returncode == 0, done.stdout + done.stderr
        assert (both.world.project / "hello.txt").read_text() == CONTENT
        assert REPLY in done.stdout + done.stderr
        assert len(both.first.turns) == 1
        assert len(both.near.turns) == 1
        later = json.dumps(both.near.turns[0].json)
        assert "hello.txt" in later  # the tool's result went along
        switches = both.told("gateway", "status")["switches"]
        assert isinstance(switches, list)
        assert [row["reason"] for row in switches] != []
