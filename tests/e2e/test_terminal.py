"""In a pseudo-terminal: the size, Ctrl-C and the exit status are the agent's own."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import launcher
from anthropic_server import AnthropicServer, text
from launcher import Launcher
from terminal import Terminal

AGENT = """
import os, signal, sys, time
pid = os.getpid()
def say(text):  # in one piece, also from within a signal that comes while something is said
    os.write(1, (text + "\\n").encode())
def size(*_):
    columns, lines = os.get_terminal_size(0)
    say(f"size {columns}x{lines}")
def interrupted(*_):
    say("the agent caught Ctrl-C")
signal.signal(signal.SIGWINCH, size)
signal.signal(signal.SIGINT, interrupted)
size()
say(f"pid {pid} {os.getppid()}")
for line in sys.stdin:
    if line.strip() == "end":
        sys.exit(42)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return launcher.fake_agent(tmp_path / "bin", AGENT)


@pytest.fixture
def world(tmp_path: Path, folder: Path) -> Launcher:
    return launcher.make_launcher(tmp_path / "world", PATH=f"{folder}:{os.environ['PATH']}")


@contextlib.contextmanager
def up_on_a_terminal(world: Launcher, *more: str) -> Iterator[Terminal]:
    """`agentlaunch up claude-code` as a person types it."""
    argv = [str(launcher.PROGRAM), "up", "claude-code", *more]
    terminal = Terminal(argv, {**world.env, "TERM": "xterm"}, world.project)
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
