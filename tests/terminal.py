"""A child on a terminal of our own: typed to, read from, resized."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from pathlib import Path


class Terminal:
    """A child on a terminal of our own."""

    def __init__(
        self, argv: list[str], env: dict[str, str], cwd: Path, *, columns: int = 100
    ) -> None:
        self._master, slave = pty.openpty()
        self.resize(columns, 30)
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
