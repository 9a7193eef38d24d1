"""A real terminal (tmux) with a real agent in it, in a home past its own first questions."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_world import World
from launcher import PROGRAM

LIMIT_S = 90.0

KNOWN_USER: dict[str, Callable[[World], dict[str, str]]] = {
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


@dataclass(frozen=True)
class Session:
    """A tmux server of its own, with one window."""

    socket: Path

    def tmux(self, *words: str) -> str:
        argv = ["tmux", "-S", str(self.socket), "-f", "/dev/null", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p", "-t", "0")

    def wait_for(self, text: str, limit_s: float = LIMIT_S) -> str:
        limit = time.monotonic() + limit_s
        while time.monotonic() < limit:
            screen = self.screen()
            if text in screen:
                return screen
            time.sleep(0.3)
        raise SystemExit(f"{text!r} did not appear:\n{self.screen()}")

    def say(self, message: str) -> None:
        """Type a message, see it on the screen, send it."""
        self.tmux("send-keys", "-t", "0", "-l", message)
        self.wait_for(message)
        time.sleep(0.5)  # an Enter at once would be taken for a pasted line
        self.tmux("send-keys", "-t", "0", "Enter")


@contextlib.contextmanager
def launched(
    world: World, command: Sequence[str], env: Mapping[str, str], *, columns: int, rows: int
) -> Iterator[Session]:
    """`agentlaunch COMMAND` in a terminal, in a home that its user has used before."""
    name = world.agent.name
    for path, text in KNOWN_USER[name](world).items() if name in KNOWN_USER else ():
        file = world.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    session = Session(world.folder / "tmux")
    variables = [f"{k}={v}" for k, v in (dict(env) | {"TERM": "xterm-256color"}).items()]
    line = shlex.join(["env", "-i", *variables, str(PROGRAM), *command])
    size = ("-x", str(columns), "-y", str(rows))
    session.tmux("new-session", "-d", *size, "-c", str(world.project), line)
    try:
        yield session
    finally:
        session.tmux("kill-server")
