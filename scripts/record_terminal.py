#!/usr/bin/env python3
"""Record an interactive start in a real terminal (tmux) as text: docs/recordings/AGENT.txt.

    python scripts/record_terminal.py claude-code [codex opencode …]

A home as its user left it (past the agent's own first questions), an empty repository, and a
scripted engine: the agent's prompt appears, a message is typed, and the engine's words are shown.
Needs tmux, and the agents that the tests install into `.cache/agents`.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import agent_world  # noqa: E402 - lies in tests/
import tmux_session  # noqa: E402

RECORDINGS = ROOT / "docs" / "recordings"
QUESTION = "What is in this folder?"
ANSWER = "Nothing yet: it is an empty repository."
COLUMNS, ROWS = 100, 30


def record(name: str) -> None:
    """One agent; raises `SystemExit` with the screen where something is missing."""
    with tempfile.TemporaryDirectory(prefix="w", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        with agent_world.make_world(name, folder) as world:
            world.engine.script = [world.ends(ANSWER)]
            command = ["up", name, "--engine", world.engine.url, "--context", "65536"]
            with tmux_session.launched(
                world, command, world.shell(), columns=COLUMNS, rows=ROWS
            ) as session:
                session.wait_for(tmux_session.READY[name])
                time.sleep(2.0)  # what is drawn after the prompt
                first = session.screen()
                session.say(QUESTION)
                session.wait_for(ANSWER)
                time.sleep(2.0)
                second = session.screen()
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
