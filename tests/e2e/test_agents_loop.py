"""Every first-class agent, the real one, works for a scripted model: it writes a file and replies.

Launched by the real command line in a home with the user's own files, none of which may change.
"""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from agent_world import REPLY, agent_names, folder, make_world
from agentlaunch.endpoint import Wire
from launcher import PROGRAM
from wire_replies import Reply
from wire_server import PATHS, refuse, say

__all__ = ["folder"]  # the fixture, known to pytest by its name in this module

pytestmark = pytest.mark.needs_network

CONTENT = "written by a model\n"
PIPED = "a text that came through the pipe"


@pytest.mark.parametrize("name", agent_names())
def test_a_tool_call_writes_a_file_and_changes_no_other(name: str, folder: Path) -> None:
    with make_world(name, folder) as world:
        world.plant("home-own")
        (world.project / "notes.md").write_text("These are the user's notes.\n")
        world.engine.script = [world.writes("hello.txt", CONTENT), world.ends()]
        before = world.seen()

        done = world.launch(world.case.edit_args)

        assert done.returncode == 0, done.stdout + done.stderr
        assert (world.project / "hello.txt").read_text() == CONTENT
        assert world.changed(before) == []
        assert {PATHS[turn.path.split("?")[0]] for turn in world.engine.turns} == {world.case.wire}
        assert {turn.json["model"] for turn in world.engine.asked} == {world.engine.model}
        assert_replied(world.case.reply_is_stdout, done.stdout)
        assert world.other.requests == []


@pytest.mark.parametrize(
    "name", agent_names(lambda case: case.failed_status is not None, quick=True)
)
def test_the_agents_own_exit_status_is_handed_through(name: str, folder: Path) -> None:
    no = refuse(400, "the model has had enough", "invalid_request_error", "enough")
    with make_world(name, folder, [no]) as world:
        done = world.launch(world.case.prompt_args)

        assert world.engine.asked != [], done.stderr
        assert done.returncode == world.case.failed_status, done.stdout + done.stderr


@pytest.mark.parametrize("name", agent_names(lambda case: case.reads_stdin, quick=True))
def test_what_is_piped_in_reaches_the_model(name: str, folder: Path) -> None:
    with make_world(name, folder) as world:
        done = world.launch(world.case.prompt_args, stdin=PIPED)

        assert done.returncode == 0, done.stdout + done.stderr
        assert PIPED in json.dumps(world.engine.turns[0].json)
        assert_replied(world.case.reply_is_stdout, done.stdout)


@pytest.mark.parametrize("name", agent_names(quick=True))
def test_the_agent_takes_the_launchers_place_so_that_signals_are_its_own(
    name: str, folder: Path
) -> None:
    asked, answered = threading.Event(), threading.Event()

    def never(request: dict[str, Any], wire: Wire) -> Reply:
        asked.set()
        answered.wait(60)
        return say(REPLY)

    with (
        make_world(name, folder, answer=never) as world,
        world.started(world.case.prompt_args) as child,
    ):
        assert asked.wait(60)
        assert str(PROGRAM) not in psutil.Process(child.pid).cmdline()

        child.send_signal(signal.SIGTERM)

        assert child.wait(timeout=30) != 0
        answered.set()


def assert_replied(exactly: bool, stdout: str) -> None:
    if exactly:
        assert stdout.strip() == REPLY
    else:
        assert REPLY in stdout
