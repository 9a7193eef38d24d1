"""A program on a terminal that nobody looks at."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from agentlaunch import process
from agentlaunch.process import OnTerminal, ToolNotFound

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there are no such terminals elsewhere")


def run(tmp_path: Path, program: str) -> OnTerminal:
    env = {"NOTE": str(tmp_path / "note"), "PATH": os.defpath, "TERM": "xterm-256color"}
    return OnTerminal((sys.executable, "-c", program), env=env, cwd=tmp_path)


def ended(child: OnTerminal) -> int | None:
    limit = time.monotonic() + 20
    while child.poll() is None and time.monotonic() < limit:
        time.sleep(0.02)
    return child.poll()


def noted(tmp_path: Path) -> str:
    limit = time.monotonic() + 20
    file = tmp_path / "note"
    while not (file.exists() and file.read_text()) and time.monotonic() < limit:
        time.sleep(0.02)
    return file.read_text()


def is_gone(pid: int) -> bool:
    limit = time.monotonic() + 10
    while process.identity(pid) is not None and time.monotonic() < limit:
        time.sleep(0.02)
    return process.identity(pid) is None


SAYS = "import os, sys, time\ndef note(text): open(os.environ['NOTE'], 'w').write(str(text))\n"


def test_it_sees_a_terminal_with_room(tmp_path: Path) -> None:
    child = run(
        tmp_path,
        SAYS + "note([os.isatty(0), os.isatty(1), os.isatty(2), *os.get_terminal_size()])",
    )
    try:
        assert ended(child) == 0
    finally:
        child.end()
    assert noted(tmp_path) == "[True, True, True, 120, 40]"


@pytest.mark.parametrize(
    ("question", "answer"), [(r"\x1b[6n", b"\x1b[1;1R"), (r"\x1b[c", b"\x1b[?62;22c")]
)
@pytest.mark.parametrize("pause", ["", "sys.stdout.flush(); time.sleep(0.2); "])
def test_what_it_asks_of_the_terminal_is_answered(
    question: str, answer: bytes, pause: str, tmp_path: Path
) -> None:
    first, rest = question[:4], question[4:]
    child = run(
        tmp_path,
        SAYS + "import tty; tty.setraw(0)\n"
        f"sys.stdout.write('{first}'); {pause}sys.stdout.write('{rest}'); sys.stdout.flush()\n"
        f"note(os.read(0, 100).hex())",
    )
    try:
        assert ended(child) == 0
    finally:
        child.end()
    assert bytes.fromhex(noted(tmp_path)) == answer


def test_what_it_draws_does_not_stop_it(tmp_path: Path) -> None:
    child = run(tmp_path, SAYS + "sys.stdout.write('x' * 5_000_000); sys.stdout.flush(); note(1)")
    try:
        assert ended(child) == 0
    finally:
        child.end()
    assert noted(tmp_path) == "1"


def test_it_may_tidy_up_when_it_is_ended(tmp_path: Path) -> None:
    child = run(
        tmp_path,
        SAYS + "import signal\n"
        "def tidy(*_): note('tidied'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, tidy); note('ready'); time.sleep(600)",
    )
    assert noted(tmp_path) == "ready"
    child.end()
    assert noted(tmp_path) == "tidied"
    assert child.poll() == 0


def test_what_does_not_want_to_end_is_killed_with_its_children(tmp_path: Path) -> None:
    child = run(
        tmp_path,
        SAYS + "import signal, subprocess\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "other = subprocess.Popen([sys.executable, '-c', 'import signal, time; "
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)'])\n"
        "note(other.pid); time.sleep(600)",
    )
    other = int(noted(tmp_path))
    child.end(grace_s=0.2)
    assert child.poll() == -9
    assert is_gone(other)


def test_the_end_of_one_that_has_ended_is_no_fault(tmp_path: Path) -> None:
    child = run(tmp_path, "raise SystemExit(7)")
    assert ended(child) == 7
    child.end()
    assert child.poll() == 7


def test_a_program_that_is_not_there_leaves_no_terminal_open(tmp_path: Path) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(ToolNotFound, match="/nowhere/agent could not be started"):
        OnTerminal(("/nowhere/agent",), env={}, cwd=tmp_path)
    assert len(list(Path("/dev/fd").iterdir())) == before
