"""In a pseudo-terminal: the size, Ctrl-C and the exit status are the agent's own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import launcher
from anthropic_server import AnthropicServer, text
from launcher import Launcher

AGENT = """
import os, signal, sys, time
pid = os.getpid()
def size(*_):
    columns, lines = os.get_terminal_size(0)
    print(f"size {columns}x{lines}", flush=True)
def interrupted(*_):
    print("the agent caught Ctrl-C", flush=True)
signal.signal(signal.SIGWINCH, size)
signal.signal(signal.SIGINT, interrupted)
size()
print("pid", pid, os.getppid(), flush=True)
for line in sys.stdin:
    if line.strip() == "end":
        sys.exit(42)
"""


class _Terminal:
    """A child on a terminal of our own."""

    def __init__(self, argv: list[str], env: dict[str, str], cwd: Path) -> None:
        self._master, slave = pty.openpty()
        self.resize(100, 30)
        self.child = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=env,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one thread
        )
        os.close(slave)
        self.seen = ""

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait_for(self, words: str, timeout_s: float = 60) -> None:
        limit = time.monotonic() + timeout_s
        while words not in self.seen:
            assert time.monotonic() < limit, f"{words!r} did not appear in:\n{self.seen}"
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self._master, 65536).decode("utf-8", "replace")
                except OSError:  # Linux: the other side is closed
                    assert words in self.seen, self.seen
                    return

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait(timeout=10)
        os.close(self._master)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return launcher.fake_agent(tmp_path / "bin", AGENT)


@pytest.fixture
def world(tmp_path: Path, folder: Path) -> Launcher:
    return launcher.make_launcher(tmp_path / "world", PATH=f"{folder}:{os.environ['PATH']}")


@contextlib.contextmanager
def up_on_a_terminal(world: Launcher, *more: str) -> Iterator[_Terminal]:
    """`agentlaunch up claude-code` as a person types it."""
    argv = [str(launcher.PROGRAM), "up", "claude-code", *more]
    terminal = _Terminal(argv, {**world.env, "TERM": "xterm"}, world.project)
    try:
        yield terminal
    finally:
        terminal.close()


def test_the_terminal_belongs_to_the_agent(world: Launcher) -> None:
    with (
        AnthropicServer([text("hi")]) as engine,
        up_on_a_terminal(world, "--engine", engine.url) as terminal,
    ):
        terminal.wait_for("pid ")
        assert "size 100x30" in terminal.seen
        assert f"pid {terminal.child.pid} {os.getpid()}" in terminal.seen  # no parent in between
        terminal.resize(60, 20)
        terminal.wait_for("size 60x20")
        terminal.type("\x03")
        terminal.wait_for("the agent caught Ctrl-C")
        assert terminal.child.poll() is None  # it decided to go on
        terminal.type("end\n")
        assert terminal.child.wait(timeout=30) == 42


def test_a_termination_reaches_the_agent(world: Launcher) -> None:
    with (
        AnthropicServer([text("hi")]) as engine,
        up_on_a_terminal(world, "--engine", engine.url) as terminal,
    ):
        terminal.wait_for("pid ")
        terminal.child.send_signal(signal.SIGTERM)
        assert terminal.child.wait(timeout=30) == -signal.SIGTERM


def test_a_person_who_says_no_has_lost_nothing(tmp_path: Path, world: Launcher) -> None:
    from gguf_writer import small_llama, write_gguf

    model = write_gguf(tmp_path / "tiny.gguf", *small_llama(template="{{ tools }}"))
    with up_on_a_terminal(world, "--model", str(model)) as terminal:
        terminal.wait_for("[Y/n]")
        assert "xllamacpp" in terminal.seen  # name, source and size stand before the question
        terminal.type("n\n")
        terminal.wait_for("nothing was done")
        assert terminal.child.wait(timeout=30) == 0
    assert launcher.snapshot(world.home) == {}
