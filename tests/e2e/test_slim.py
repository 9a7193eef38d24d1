"""A window of 32k carries the real Claude Code through a task: six tools, and nothing overflows."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent_world import folder, make_world
from agentlaunch.agents.claude_code import AGENT
from agentlaunch.endpoint import Wire
from wire_replies import Reply
from wire_server import call, carries_tools, overflow, say

__all__ = ["folder"]  # the fixture, known to pytest by its name in this module

pytestmark = pytest.mark.needs_network

WINDOW = 32_768
SIX = ["Bash", "Edit", "Glob", "Grep", "Read", "Write"]
WRONG, RIGHT = "return a - b", "return a + b"
CHECK = "from adding import add\nassert add(2, 3) == 5\nprint('the check is gr' + 'een')\n"
TASK = "Make check.py pass"
DONE = "check.py passes now"


@dataclass
class Worker:
    """Works through its steps; counts tokens as an engine would, roughly (four bytes each), and
    refuses a prompt that leaves no room for the longest reply that it allows."""

    steps: list[Reply]
    usage: list[int] = field(default_factory=list)
    refused: int = 0

    def __call__(self, request: dict[str, Any], wire: Wire) -> Reply:
        if not carries_tools(request):
            return say("A title")
        read = ("system", "tools", "messages")
        tokens = len(json.dumps({name: request[name] for name in read})) // 4
        if tokens + request["max_tokens"] > WINDOW:
            self.refused += 1
            return overflow(tokens, WINDOW)
        self.usage.append(tokens)
        step = self.steps[len(self.usage) - 1]
        return Reply(
            tool=step.tool, arguments=step.arguments, text=step.text,
            input_tokens=tokens, output_tokens=20,
        )  # fmt: skip


def results(request: dict[str, Any]) -> str:
    """What the tools answered, as the model is told."""
    parts = [
        part
        for row in request["messages"]
        if isinstance(row["content"], list)
        for part in row["content"]
        if part["type"] == "tool_result"
    ]
    return json.dumps(parts)


def test_a_task_of_several_turns_ends_well_in_a_window_of_32k(folder: Path) -> None:
    with make_world(AGENT.name, folder, context=WINDOW) as world:
        file, check = world.project / "adding.py", world.project / "check.py"
        file.write_text(f"def add(a: int, b: int) -> int:\n    {WRONG}\n")
        check.write_text(CHECK)
        run = f"{sys.executable} check.py"
        worker = Worker(
            [
                call("Read", {"file_path": str(file)}),
                call("Bash", {"command": run, "description": "Run the check"}),
                call("Edit", {"file_path": str(file), "old_string": WRONG, "new_string": RIGHT}),
                call("Bash", {"command": run, "description": "Run the check"}),
                say(DONE),
            ]
        )
        world.engine.answer = worker

        done = world.launch(
            ["-p", TASK, "--permission-mode", "acceptEdits", "--allowedTools", "Bash"],
            context=WINDOW,
        )

        assert done.returncode == 0, done.stdout + done.stderr
        assert (done.stdout.strip(), worker.refused) == (DONE, 0)
        assert len(worker.usage) == len(worker.steps)
        assert worker.usage == sorted(worker.usage)
        told = results(world.engine.turns[-1].json)
        assert WRONG in told  # read
        assert "AssertionError" in told  # red
        assert "the check is green" in told
        assert RIGHT in file.read_text()
        again = subprocess.run([sys.executable, "check.py"], cwd=world.project, check=False)
        assert again.returncode == 0
        offered = [
            sorted(tool["name"] for tool in turn.json["tools"]) for turn in world.engine.turns
        ]
        assert offered == [SIX] * len(worker.steps)
        assert "slim, 6 of 24 tools (Bash, Read, Edit, Write, Glob, Grep)" in done.stderr
        assert "--slim off" in done.stderr


def test_the_full_prompt_is_sent_all_the_same_where_it_is_asked_for(folder: Path) -> None:
    with make_world(AGENT.name, folder, context=WINDOW) as world:
        options = ("--slim", "off", "--model", world.engine.model)
        done = world.launch(["-p", TASK], context=WINDOW, options=options)

        (turn,) = world.engine.turns
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(turn.json["tools"]) == AGENT.tiers[0].tools
        assert "of 24 tools" not in done.stderr
