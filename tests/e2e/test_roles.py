"""Real agents ask for the model of each role by its name: that is all a gateway goes by."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent_world import installed
from agentlaunch.agents import AGENTS
from agentlaunch.agents.base import Unset
from agentlaunch.endpoint import Endpoint, Wire
from recorded_handover import Places, target
from wire_replies import Reply
from wire_server import WireServer, call, carries_tools, entries, say

HELP = "HELP-4711"


@dataclass
class Delegating:
    """A model that gives work to helpers, one after the other, before it ends."""

    helpers: list[Reply]
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Who asked, and which model."""

    def __call__(self, request: dict[str, Any], _wire: Wire) -> Reply:
        said = json.dumps(entries(request))
        who = "main" if "Say hello" in said else "helper"
        who = who if carries_tools(request) else "title"
        self.asked.append((who, request["model"]))
        return self.helpers.pop(0) if who == "main" and self.helpers else say("done")


def claude(kind: str, **more: str) -> Reply:
    words = {"description": "look", "prompt": HELP, "subagent_type": kind}
    return call("Agent", {**words, "run_in_background": False, **more})


def opencode(kind: str) -> Reply:
    return call("task", {"description": "look", "prompt": HELP, "subagent_type": kind})


def asked(name: str, root: Path, helpers: list[Reply], **models: str) -> set[tuple[str, str]]:
    """One headless run of the real agent against a scripted engine."""
    model = Delegating(helpers)
    agent = AGENTS[name]
    assert agent.package is not None
    home, project, run = (root / part for part in ("home", "project", "run"))
    for folder in (home, project, run):
        folder.mkdir()
    with WireServer(answer=model, model="al-main") as engine:
        binary = installed(name) / dict(agent.package.programs)[agent.binary]
        given = agent.prepare(
            target(
                name,
                Places(str(binary), engine.url, str(home), str(project), str(run)),
                *(word.replace("{prompt}", "Say hello") for word in agent.errand),
                endpoint=Endpoint(engine.url, agent.wires, "al-main", "engine-token"),
                **models,
            )
        )
        for file in given.files:
            file.path.write_bytes(file.content)
        env = {key: value for key, value in given.env.items() if not isinstance(value, Unset)}
        done = subprocess.run(
            given.argv,
            cwd=project,
            env={"HOME": str(home), "PATH": os.environ["PATH"], "TERM": "dumb"} | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert helpers == []
    return set(model.asked)


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (
            {"small_model": "al-small"},
            {("main", "al-main"), ("helper", "al-main"), ("helper", "al-small")},
        ),
        (
            {"small_model": "al-small", "subagent_model": "al-helper"},
            {("main", "al-main"), ("helper", "al-helper")},
        ),
    ],
)
def test_claude_code_asks_by_role(
    tmp_path: Path, models: dict[str, str], expected: set[tuple[str, str]]
) -> None:
    helpers = [claude("general-purpose"), claude("general-purpose", model="haiku")]
    assert asked("claude-code", tmp_path, helpers, **models) == expected


def test_opencode_asks_by_role(tmp_path: Path) -> None:
    helpers = [opencode("general"), opencode("explore")]
    models = {"small_model": "al-small", "subagent_model": "al-helper"}
    assert asked("opencode", tmp_path, helpers, **models) == {
        ("title", "al-small"),
        ("main", "al-main"),
        ("helper", "al-helper"),
    }
