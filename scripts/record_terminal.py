#!/usr/bin/env python3
"""Record an interactive start in a real terminal (tmux) as text: docs/recordings/AGENT.txt.

    python scripts/record_terminal.py claude-code [codex opencode …]

A home as its user left it (past the agent's own first questions), an empty repository, and a
scripted engine: the agent's prompt appears, a message is typed, and the engine's words are shown.
Needs tmux, and the agents that the tests install into `.cache/agents`.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import agent_world  # noqa: E402 - lies in tests/
from launcher import PROGRAM  # noqa: E402

RECORDINGS = ROOT / "docs" / "recordings"
QUESTION = "What is in this folder?"
ANSWER = "Nothing yet: it is an empty repository."
COLUMNS, ROWS = 100, 30
LIMIT_S = 90.0

KNOWN_USER: dict[str, Callable[[agent_world.World], dict[str, str]]] = {
    "claude-code": lambda world: {
        ".claude.json": json.dumps(
            {
                "hasCompletedOnboarding": True,
                "projects": {str(world.project): {"hasTrustDialogAccepted": True}},
            }
        )
    },
    "codex": lambda world: {
        ".codex/config.toml": f'[projects."{world.project}"]\ntrust_level = "trusted"\n'
    },
}
"""What the agent's own first questions leave in a home, when the user has answered them."""

READY = {"claude-code": "\u276f", "codex": "\u203a", "opencode": "Ask anything"}
"""What stands on the screen when the agent waits for a message."""


class Terminal:
    """A tmux session of its own server."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "tmux"

    def tmux(self, *words: str) -> str:
        argv = ["tmux", "-S", str(self.socket), "-f", "/dev/null", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p", "-t", "0")

    def wait_for(self, text: str) -> str:
        limit = time.monotonic() + LIMIT_S
        while time.monotonic() < limit:
            screen = self.screen()
            if text in screen:
                return screen
            time.sleep(0.3)
        raise SystemExit(f"{text!r} did not appear:\n{self.screen()}")


def record(name: str) -> None:
    """One agent; raises `SystemExit` with the screen where something is missing."""
    with tempfile.TemporaryDirectory(prefix="w", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        with agent_world.make_world(name, folder) as world:
            world.engine.script = [world.ends(ANSWER)]
            for path, text in KNOWN_USER[name](world).items() if name in KNOWN_USER else ():
                file = world.home / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            command = ["up", name, "--engine", world.engine.url, "--context", "65536"]
            env = [f"{k}={v}" for k, v in (world.shell() | {"TERM": "xterm-256color"}).items()]
            terminal = Terminal(folder)
            size = ("-x", str(COLUMNS), "-y", str(ROWS))
            line = shlex.join(["env", "-i", *env, str(PROGRAM), *command])
            terminal.tmux("new-session", "-d", *size, "-c", str(world.project), line)
            try:
                first = terminal.wait_for(READY[name])
                time.sleep(2.0)  # what is drawn after the prompt
                first = terminal.screen()
                terminal.tmux("send-keys", "-t", "0", "-l", QUESTION)
                terminal.wait_for(QUESTION)
                time.sleep(0.5)
                terminal.tmux("send-keys", "-t", "0", "Enter")
                terminal.wait_for(ANSWER)
                time.sleep(2.0)
                second = terminal.screen()
            finally:
                terminal.tmux("kill-server")
            asked = {str(row.json["model"]) for row in world.engine.turns}
            assert asked == {agent_world.MODEL}, asked
            text = (
                f"Made by `python scripts/record_terminal.py {name}`: a real terminal (tmux, "
                f"{COLUMNS} x {ROWS}),\nthe real {world.agent.title} "
                f"{world.agent.tested_versions[0]}, a scripted engine.\n\n"
                f"$ agentlaunch {' '.join(command)}\n{first}\n"
                f"--- typed: {QUESTION}\n{second}"
            )
    text = text.replace(str(folder), "~").replace(folder.name, "~")
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)
    text = "\n".join(row.rstrip() for row in text.splitlines())
    RECORDINGS.mkdir(exist_ok=True)
    (RECORDINGS / f"{name}.txt").write_text(re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n")
    print(RECORDINGS / f"{name}.txt")


if __name__ == "__main__":
    for agent in sys.argv[1:]:
        record(agent)
