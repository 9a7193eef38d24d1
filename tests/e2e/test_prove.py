"""`agentlaunch prove` with the real Claude Code: a scripted engine that solves, fails, loops, leaks
calls as text, truncates; and the real engine with a model whose template ignores tools."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import schemas
import small_model
from acting_model import ActingModel, is_warming
from agent_world import ALL_VARIABLE, TIMEOUT_S, World, agent_names, folder, installed, make_world
from agentlaunch import managed
from agentlaunch.agents import AGENTS
from agentlaunch.endpoint import Wire
from agentlaunch.engines import llama_cpp
from launcher import PROGRAM, make_launcher
from places import CACHE
from wire_replies import Reply
from wire_server import call, carries_tools, overflow, say

__all__ = ["folder"]  # the fixture, known to pytest by its name in this module

pytestmark = pytest.mark.needs_network

AGENT = "claude-code"
_FOLDER = re.compile(r"/[\w./-]*/prove-[\w.-]+/project")

MENDED = "def add(first, second):\n    return first + second\n"

Step = Callable[[str], Reply]
"""What the model does next in this folder."""


def read(work: str) -> Reply:
    return call("Read", {"file_path": f"{work}/calc.py"})


def read_slowly(work: str) -> Reply:
    """An agent that is answered at once for ever comes to its own limits first."""
    time.sleep(1)
    return read(work)


def edit(text: str) -> Step:
    def step(work: str) -> Reply:
        place = f"{work}/calc.py"
        row = {"file_path": place, "old_string": OLD, "new_string": text}
        return call("Edit", row)

    return step


def run_test(work: str) -> Reply:
    return call("Bash", {"command": "python3 test_calc.py", "description": "Run the test"})


FIRST: dict[str, tuple[Step, ...]] = {
    "opencode": (lambda work: call("read", {"filePath": f"{work}/calc.py"}),),
    "qwen": (lambda work: call("read_file", {"file_path": f"{work}/calc.py"}),),
}
"""Who writes only over a file that was read."""

OLD, NEW = "first - second", "first + second"


def copilot(work: str) -> Reply:
    return call("edit", {"path": f"{work}/calc.py", "old_str": OLD, "new_str": NEW})


def cline(work: str) -> Reply:
    return call("editor", {"path": f"{work}/calc.py", "old_text": OLD, "new_text": NEW})


def openhands(work: str) -> Reply:
    row = {"command": "str_replace", "path": f"{work}/calc.py", "old_str": OLD, "new_str": NEW}
    return call("file_editor", {**row, "security_risk": "LOW", "summary": "mend a sum"})


INSTEAD: dict[str, Step] = {"copilot": copilot, "cline": cline, "openhands": openhands}
"""Whose tool of the case writes only new files."""


def spoken(text: str) -> Step:
    return lambda work: say(text)


class Scripted:
    """A model that takes one step a turn, and the last one again and again."""

    def __init__(self, *steps: Step, has_tools: bool = True) -> None:
        self.steps = list(steps)
        self.has_tools = has_tools

    def __call__(self, request: dict[str, Any], wire: Wire) -> Reply:
        if self.has_tools and not carries_tools(request):
            return say("A title")
        found = _FOLDER.search(json.dumps(request))
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        return step(found[0] if found is not None else ".")


def proven(world: World, *more: str, status: int) -> dict[str, Any]:
    """The checks of `agentlaunch prove` by their names."""
    context = ("--context", str(world.engine.context))
    asked = ("--engine", world.engine.url, *context, "--no-input", "--json", *more)
    done = subprocess.run(
        [str(PROGRAM), "prove", world.agent.name, *asked],
        cwd=world.project,
        env=world.shell(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT_S,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    document = json.loads(done.stdout)
    schemas.check(document)
    return {row["name"]: row for row in document["data"]["checks"]}


def verdict(checks: dict[str, Any]) -> tuple[str, str | None]:
    task = checks["task"]
    return task["status"], task["measured"].get("verdict")


def test_a_model_that_solves_the_task_works(folder: Path) -> None:
    solver = Scripted(read, edit("first + second"), run_test, spoken("It passes."))
    with make_world(AGENT, folder, answer=solver) as world:
        before = world.seen()

        checks = proven(world, "--report", str(folder / "report.md"), status=0)

        assert verdict(checks) == ("ok", "green")
        assert {row["status"] for row in checks.values()} <= {"ok", "warning", "skipped"}
        last = json.dumps(world.engine.turns[-1].json)
        assert "the test is green" in last  # what the agent's own Bash said
        assert world.changed(before) == []
        assert "### task: ok" in (folder / "report.md").read_text()
        assert list(world.folder.rglob("prove-*")) == []


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((spoken("I have mended it."),), "no-change"),
        ((read, edit("first * second"), spoken("Done.")), "wrong-change"),
        (
            (spoken('<tool_call>{"name": "Edit", "arguments": {}}</tool_call>'),),
            "leaked",
        ),
    ],
)
def test_a_model_that_fails_is_named_with_how(
    folder: Path, steps: tuple[Step, ...], expected: str
) -> None:
    with make_world(AGENT, folder, answer=Scripted(*steps)) as world:
        assert verdict(proven(world, status=3)) == ("error", expected)


def test_a_model_that_goes_round_in_circles_is_stopped(folder: Path) -> None:
    with make_world(AGENT, folder, answer=Scripted(read_slowly)) as world:
        checks = proven(world, "--task-limit", "10", status=3)
        assert verdict(checks) == ("error", "time-up")
        assert len(world.engine.turns) > 2


def test_an_engine_that_refuses_the_prompt_of_the_task_is_quoted(folder: Path) -> None:
    def refusing(request: dict[str, Any], wire: Wire) -> Reply:
        return overflow(70_000, 65_536)

    with make_world(AGENT, folder, answer=refusing) as world:
        checks = proven(world, status=3)
        assert checks["task"]["measured"]["layer"] == "agent"
        assert "status 1" in checks["task"]["message"]


def test_an_engine_that_cuts_the_prompt_without_a_word_is_found_out(folder: Path) -> None:
    acting = ActingModel()

    def cutting(request: dict[str, Any], wire: Wire) -> Reply:
        reply = acting(request, wire)
        tokens = min(reply.input_tokens or 0, 16_384)
        return replace(reply, input_tokens=tokens) if is_warming(request) else reply

    with make_world(AGENT, folder, answer=Scripted(read), context=40_000) as world:
        world.engine.probes = cutting
        checks = proven(world, "--slim", "off", status=3)
        assert checks["tool-call"]["status"] == "ok"
        assert checks["truncation"]["status"] == "error", checks["truncation"]
        assert checks["task"]["status"] == "skipped"


ERRANDS = [name for name in agent_names() if name != AGENT]


@pytest.mark.parametrize("name", ERRANDS if os.environ.get(ALL_VARIABLE) else ["codex"])
def test_every_agent_does_its_errand_without_asking(name: str, folder: Path) -> None:
    with make_world(name, folder) as world:

        def write(work: str) -> Reply:
            more = {"PATH": f"{work}/calc.py", "NAME": "calc.py", "CONTENT": MENDED}
            row = world.filled(world.case.write, **more)
            if not world.case.has_tools:
                return say(row["text"])
            return call(row["name"], row["arguments"])

        steps = (*FIRST.get(name, ()), INSTEAD.get(name, write), lambda _: world.ends())
        world.engine.answer = Scripted(*steps, has_tools=world.case.has_tools)
        checks = proven(world, status=0)
        assert verdict(checks) == ("ok", "green"), checks["task"]
        assert list(world.folder.rglob("prove-*")) == []


def test_calls_that_come_out_as_text_stop_at_the_gate(folder: Path) -> None:
    with make_world(AGENT, folder, answer=Scripted(read)) as world:
        world.engine.probes = ActingModel("json-in-text")
        checks = proven(world, status=3)
        assert checks["tool-call"]["status"] == "error"
        assert checks["task"]["status"] == "skipped"
        assert world.engine.turns == []


@pytest.mark.skipif(not os.environ.get(ALL_VARIABLE), reason="minutes: run `nox -s agents`")
def test_the_real_engine_with_a_model_without_tools_ends_at_the_tool_calls(
    tmp_path: Path,
) -> None:
    made = make_launcher(tmp_path)
    for root in (installed(AGENT), managed.installed(llama_cpp.PACKAGE, _shared())):
        assert root is not None
    home = made.home / ".local" / "share" / "agentlaunch" / "managed"
    for kind, place in (("npm", CACHE / "agents"), ("pypi", CACHE / "engine")):
        source = place / "data" / "managed" / kind
        (home / kind).mkdir(parents=True, mode=0o700)
        for each in source.glob("[!.]*"):
            (home / kind / each.name).symlink_to(each)
    done = made.run(
        "prove", AGENT, "--model", str(small_model.small_model()), "--context", "auto", "--json"
    )
    assert done.returncode == 3, done.stdout + done.stderr
    document = json.loads(done.stdout)
    schemas.check(document)
    checks = {row["name"]: row for row in document["data"]["checks"]}
    assert document["data"]["agent"] == AGENTS[AGENT].name
    assert checks["tool-call"]["status"] == "error"
    assert checks["tool-call"]["measured"]["verdict"] == "tools-ignored"
    assert checks["task"]["status"] == "skipped"
    stopped = made.run("engines", "--json")
    rows = json.loads(stopped.stdout)["data"]["engines"]
    assert "running" not in {row["state"] for row in rows if row["name"] == "embedded"}


def _shared() -> Any:
    return small_model.engine_paths(CACHE / "engine")
