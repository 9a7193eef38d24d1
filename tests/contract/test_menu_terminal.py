"""The menu on a pseudo-terminal: arrow keys, typed letters, Esc, Ctrl-C, and narrow screens."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest

import launcher
from launcher import Launcher
from shaped_server import WIRES, ShapedServer

DOWN, ESCAPE, CTRL_C, ENTER, BACKSPACE = "\x1b[B", "\x1b", "\x03", "\r", "\x7f"
NAMES = ("apple-7b", "banana-13b", "cherry-30b", "a-name-as-long-as-registries-have-them:30b-q4")


class _Terminal:
    """A child on a terminal of our own; `seen` is all that it wrote."""

    def __init__(self, argv: Sequence[str], env: dict[str, str], cwd: Path, columns: int) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
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
        self._slave = slave
        self.seen = ""

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait_for(self, words: str, timeout_s: float = 30) -> None:
        limit = time.monotonic() + timeout_s
        while words not in self.text:
            assert time.monotonic() < limit, f"{words!r} did not appear in:\n{self.text}"
            self._read()

    def end(self, timeout_s: float = 30) -> int:
        """Read until the child has ended; its status."""
        limit = time.monotonic() + timeout_s
        while self.child.poll() is None:
            assert time.monotonic() < limit, f"it goes on:\n{self.text}"
            self._read()
        while self._read():
            pass
        return self.child.returncode

    def _read(self) -> bool:
        if not select.select([self._master], [], [], 0.05)[0]:
            return False
        self.seen += os.read(self._master, 65536).decode("utf-8", "replace")
        return True

    @property
    def text(self) -> str:
        """What was written, without what moves the cursor and colours."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.seen).replace("\r", "")

    @property
    def cooked(self) -> bool:
        """Does the terminal echo and wait for whole lines, as a shell expects it back?"""
        flags = termios.tcgetattr(self._slave)[3]
        return bool(flags & termios.ECHO and flags & termios.ICANON)

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait(timeout=10)
        os.close(self._master)
        os.close(self._slave)


@pytest.fixture
def server() -> Iterator[ShapedServer]:
    rows = [{"id": name, "owned_by": "vllm", "max_model_len": 131_072} for name in NAMES]
    with ShapedServer({"GET /v1/models": (200, {"data": rows}), **WIRES}) as server:
        yield server


@pytest.fixture
def world(tmp_path: Path, server: ShapedServer) -> Launcher:
    """A Claude Code that prints its arguments, and a server with several models."""
    folder = launcher.fake_agent(tmp_path / "bin", "import sys; print('AGENT', sys.argv[1:])")
    path = f"{folder}:{os.environ['PATH']}"
    return launcher.make_launcher(tmp_path / "world", PATH=path, AGENTLAUNCH_ENGINE=server.url)


@contextlib.contextmanager
def menu_on_a_terminal(
    world: Launcher,
    env: Mapping[str, str] = MappingProxyType({}),
    *,
    columns: int = 100,
    program: Sequence[str] = (str(launcher.PROGRAM),),
) -> Iterator[_Terminal]:
    """`agentlaunch` as a person types it."""
    environ = {**world.env, "TERM": "xterm", **env}
    terminal = _Terminal(program, environ, world.project, columns)
    try:
        yield terminal
    finally:
        terminal.close()


def _at_the_models(terminal: _Terminal) -> None:
    terminal.wait_for("> Claude Code")
    terminal.type(ENTER)
    terminal.wait_for(NAMES[-1][:8])  # the last row


def _model_lines(terminal: _Terminal) -> list[str]:
    return terminal.text.partition("looking at this machine\n")[2].splitlines()


def _command(terminal: _Terminal) -> str:
    return terminal.text.partition("the same as: ")[2].splitlines()[0].strip()


def test_arrow_keys_choose_and_the_command_line_is_said(world: Launcher) -> None:
    with menu_on_a_terminal(world) as terminal:
        _at_the_models(terminal)
        terminal.type(DOWN + ENTER)
        terminal.end()
        assert _command(terminal) == "agentlaunch up claude-code --model banana-13b"
        assert terminal.cooked


def test_typed_letters_narrow_the_list_down(world: Launcher) -> None:
    with menu_on_a_terminal(world) as terminal:
        _at_the_models(terminal)
        terminal.type("30")
        terminal.wait_for("/ 30")
        terminal.type("x")
        terminal.wait_for("/ 30x")
        terminal.type(BACKSPACE + DOWN + ENTER)  # the second of the two with 30
        terminal.end()
        assert _command(terminal) == f"agentlaunch up claude-code --model {NAMES[3]}"


def test_enter_chooses_nothing_while_nothing_matches(world: Launcher) -> None:
    with menu_on_a_terminal(world) as terminal:
        _at_the_models(terminal)
        terminal.type("zzz" + ENTER)  # pasted: in one piece
        terminal.type("ban" + ENTER)  # the list stands anew
        terminal.end()
        assert _command(terminal) == "agentlaunch up claude-code --model banana-13b"


@pytest.mark.parametrize("at_the_models", [False, True])
def test_escape_leaves_at_once(at_the_models: bool, world: Launcher) -> None:
    with menu_on_a_terminal(world) as terminal:
        terminal.wait_for("Which agent?")
        if at_the_models:
            _at_the_models(terminal)
        terminal.type(ESCAPE)
        assert terminal.end() == 0
        assert terminal.text.rstrip().endswith("nothing was done")
        assert "the same as" not in terminal.text
        assert terminal.cooked


@pytest.mark.parametrize("way", ["key", "signal"])
def test_an_interruption_has_its_status_and_no_traceback(way: str, world: Launcher) -> None:
    with menu_on_a_terminal(world) as terminal:
        _at_the_models(terminal)
        if way == "key":
            terminal.type(CTRL_C)
        else:
            terminal.child.send_signal(signal.SIGINT)
        assert terminal.end() == 130
        assert "nothing was done" in terminal.text
        assert "Traceback" not in terminal.text
        assert terminal.cooked


def test_a_termination_gives_the_terminal_back(world: Launcher) -> None:
    with menu_on_a_terminal(world) as terminal:
        _at_the_models(terminal)
        terminal.child.send_signal(signal.SIGTERM)
        assert terminal.end() == 143
        assert "Traceback" not in terminal.text
        assert terminal.cooked


def test_the_menu_is_talk_so_stdout_may_be_a_pipe(world: Launcher, tmp_path: Path) -> None:
    argv = ["/bin/sh", "-c", f"{launcher.PROGRAM} >{tmp_path}/out"]
    with menu_on_a_terminal(world, columns=40, program=argv) as terminal:
        _at_the_models(terminal)
        assert max(map(len, _model_lines(terminal))) <= 40
        terminal.type(ESCAPE)
        assert terminal.end() == 0
    assert (tmp_path / "out").read_text() == ""


@pytest.mark.parametrize("columns", [40, 60])
def test_no_line_is_wider_than_a_narrow_terminal(columns: int, world: Launcher) -> None:
    with menu_on_a_terminal(world, columns=columns) as terminal:
        _at_the_models(terminal)
        assert "\x1b[6n" not in terminal.seen  # a question that some terminals never answer
        lines = _model_lines(terminal)
        assert max(map(len, lines)) <= columns
        rows = [line for line in lines if line.startswith((" > ", "   "))]
        assert len(rows) == len(NAMES)
        assert all("128k tokens" in row for row in rows)
        terminal.type("registries" + ENTER)  # it was cut, and is found
        terminal.end()
        assert NAMES[3] in _command(terminal)


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"TERM": "unknown"}])
def test_without_arrow_keys_a_number_is_asked_for(env: dict[str, str], world: Launcher) -> None:
    with menu_on_a_terminal(world, env) as terminal:
        terminal.wait_for("1. Claude Code")
        terminal.type("\n")
        terminal.wait_for("Which model")
        assert "2. banana-13b" in terminal.text
        terminal.type("2\n")
        terminal.end()
        assert "\x1b" not in terminal.seen
        assert _command(terminal) == "agentlaunch up claude-code --model banana-13b"


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {}])
def test_colours_are_left_away_where_nobody_wants_them(
    env: dict[str, str], world: Launcher
) -> None:
    with menu_on_a_terminal(world, env) as terminal:
        _at_the_models(terminal)
        colours = re.findall(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", terminal.seen)
        assert bool(colours) == (not env)


def test_nobody_is_asked_in_ci(world: Launcher) -> None:
    with menu_on_a_terminal(world, {"CI": "1"}) as terminal:
        assert terminal.end() == 0
        assert "next: agentlaunch up claude-code" in terminal.text
