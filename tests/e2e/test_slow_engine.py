"""An engine that is silent for minutes before its first byte is waited for, and asked once.

`nox -s full` sets AGENTLAUNCH_TEST_SLOW: then it is silent for six minutes, beyond the five after
which agents give up by themselves, with each agent, all at the same time.
"""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agent_world import REPLY, folder, make_world
from agentlaunch.endpoint import Wire
from wire_replies import Reply
from wire_server import carries_tools, say

__all__ = ["folder"]  # the fixture, known to pytest by its name in this module

pytestmark = pytest.mark.needs_network

SLOW = bool(os.environ.get("AGENTLAUNCH_TEST_SLOW"))
SILENCE_S = 360.0 if SLOW else 8.0
NAMES = ("claude-code", "codex", "opencode") if SLOW else ("claude-code",)


def launch(name: str, folder: Path) -> tuple[int, subprocess.CompletedProcess[str]]:
    """How many turns the engine was asked for, and how the launch ended."""

    def answer(request: dict[str, Any], wire: Wire) -> Reply:
        if not carries_tools(request):
            return say("A title")
        time.sleep(SILENCE_S)
        return say(REPLY)

    folder.mkdir()
    with make_world(name, folder, answer=answer) as world:
        done = subprocess.run(
            world.argv(world.case.prompt_args),
            cwd=world.project,
            env=world.shell(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SILENCE_S + 120,
            check=False,
        )
        return len(world.engine.turns), done


def test_an_engine_that_is_silent_for_long_is_waited_for_and_asked_once(folder: Path) -> None:
    with ThreadPoolExecutor(len(NAMES)) as threads:
        ends = list(threads.map(lambda name: launch(name, folder / name), NAMES))
    for name, (turns, done) in zip(NAMES, ends, strict=True):
        assert done.returncode == 0, (name, done.stdout, done.stderr)
        assert REPLY in done.stdout, (name, done.stdout, done.stderr)
        assert turns == 1, name
