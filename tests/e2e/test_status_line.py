"""The real Claude Code shows our line below the user's own, and a switch as soon as it happened."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from agentlaunch.agents import AGENTS
from agentlaunch.agents.base import Unset
from agentlaunch.agents.claude_code import prepare
from agentlaunch.endpoint import Endpoint
from agentlaunch.gateway import status_line
from agentlaunch.survey.status_line import own
from anthropic_server import AnthropicServer, text
from real_claude import claude_binary
from recorded_handover import Places, target
from terminal import Terminal

__all__ = ["claude_binary"]  # the fixture, known to pytest by its name in this module

LIKED: dict[str, Any] = {
    "roles": {"main": {"hop": "hosted", "model": "big", "since": None, "liked": True}},
    "last_switch": None,
    "spent_today_usd": 0.0,
    "cap_usd": None,
    "requests": 0,
}


def switched() -> dict[str, Any]:
    """What the gateway writes once `hosted` has refused a request."""
    return LIKED | {
        "roles": {"main": {"hop": "local", "model": "small", "since": None, "liked": False}},
        "last_switch": {
            "at": datetime.now(timezone.utc).isoformat(),
            "role": "main",
            "before": "hosted",
            "after": "local",
            "reason": "refused-4711",
        },
    }


def test_claude_code_shows_our_line_below_the_users_own(
    tmp_path: Path, claude_binary: Path
) -> None:
    root = tmp_path.resolve()
    home, project, run, status = (root / name for name in ("home", "project", "run", "status.json"))
    for folder in (home / ".claude", project / ".claude", run):
        folder.mkdir(parents=True)
    row = {str(project): {"hasTrustDialogAccepted": True}}
    (home / ".claude.json").write_text(
        json.dumps({"hasCompletedOnboarding": True, "projects": row})
    )
    users = {"type": "command", "command": "cat >&2; echo 'USERS  OWN-4711'", "padding": 1}
    (home / ".claude" / "settings.json").write_text(json.dumps({"statusLine": users}))
    status.write_text(json.dumps(LIKED))

    with AnthropicServer([text("word-4711")]) as engine:
        wanted = target(
            "claude-code",
            Places(str(claude_binary), engine.url, str(home), str(project), str(run)),
            endpoint=Endpoint(engine.url, ("anthropic_messages",), "al-main", "engine-token"),
            small_model="al-small",
            status_command=(sys.executable, "-I", status_line.__file__, str(status)),
        )
        config = home / ".claude"
        mine = own(AGENTS["claude-code"], project, config)
        given = prepare(replace(wanted, own_status_line=mine))
        for file in given.files:
            file.path.write_bytes(file.content)
        env = {name: value for name, value in given.env.items() if not isinstance(value, Unset)}
        surroundings = {"HOME": str(home), "PATH": os.environ["PATH"], "TERM": "xterm"}
        terminal = Terminal(list(given.argv), surroundings | env, project, columns=120)
        try:
            terminal.wait_for("OWN-4711")
            terminal.wait_for("agentlaunch:")
            terminal.wait_for("hosted")
            status.write_text(json.dumps(switched()))
            terminal.type("hello")
            terminal.wait_for("hello")
            terminal.type("\r")
            terminal.wait_for("word-4711")
            # Only what differs from the line before is drawn.
            terminal.wait_for("refused-4711,")
        finally:
            terminal.close()
    assert {turn["model"] for turn in engine.turns} == {"al-main"}
