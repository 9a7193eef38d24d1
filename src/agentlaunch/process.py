"""Other programs: run one, start one in the background, become one. The only door to subprocess
and exec."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar, NoReturn

from agentlaunch.errors import AgentlaunchError


class ToolNotFound(AgentlaunchError):
    """A program that we wanted to run is not there."""

    code = "tool-missing"


class ToolTimeout(AgentlaunchError):
    """A program took longer than it may."""

    code = "tool-timeout"


@dataclass(frozen=True, slots=True)
class Completed:
    """What a finished program left: exit status and both outputs as text."""

    rc: int
    stdout: str
    stderr: str


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Completed:
    """Run a program to its end with no input; its failure is a value, not an exception.

    Raises `ToolNotFound` and `ToolTimeout` (the whole process group is killed then).
    """
    child = _spawn(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(env) if env is not None else None,
        cwd=cwd,
    )
    try:
        out, err = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        _kill_group(child)
        raise ToolTimeout(f"{argv[0]} did not answer within {timeout_s:g} s") from error
    except BaseException:
        _kill_group(child)
        raise
    return Completed(
        child.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
    )


def _spawn(argv: Sequence[str], **settings: Any) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own; a signal that comes meanwhile waits until it can be
    killed, since one inside `Popen` would leave it running with nobody who knows of it (seen)."""
    arrived: list[int] = []
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for sign in (signal.SIGINT, signal.SIGTERM):
            if callable(signal.getsignal(sign)):
                before[sign] = signal.signal(sign, lambda number, _frame: arrived.append(number))
    try:
        child = subprocess.Popen(list(argv), start_new_session=os.name == "posix", **settings)
    except OSError as error:
        raise ToolNotFound(f"{argv[0]} could not be started: {error.strerror}") from error
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
    if arrived:
        _kill_group(child)
        before[signal.Signals(arrived[0])](arrived[0], None)
    return child


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        if os.name == "posix":
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.communicate(timeout=5)


_OWN_GROUP_WITHOUT_CONSOLE = 0x200 | 0x8
"""CREATE_NEW_PROCESS_GROUP and DETACHED_PROCESS: names that `subprocess` has on Windows alone."""


def background_flags(platform: str = sys.platform) -> int:
    """What keeps a child running when the console closes: on Windows; elsewhere a session does."""
    return _OWN_GROUP_WITHOUT_CONSOLE if platform == "win32" else 0


class Background:
    """A child with its output in a log file; ours to wait for or to kill, or to leave running."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        cwd: Path | None = None,
    ) -> None:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._child = _spawn(
                argv,
                stdin=subprocess.PIPE,
                stdout=handle,
                stderr=handle,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                creationflags=background_flags(),
            )
        finally:
            os.close(handle)
        self.pid = self._child.pid
        pipe: IO[bytes] | None = self._child.stdin
        if pipe is not None:
            with contextlib.suppress(OSError), pipe:  # a child that died at once is seen by `poll`
                pipe.write(stdin)
            self._child.stdin = None  # `communicate` in `_kill_group` would flush the closed pipe

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._child.poll()

    def leave(self) -> None:
        """It goes on when we end: nobody waits for it, and Python need not remark on that."""
        self._child.returncode = 0

    def kill(self) -> None:
        """End it and its whole group, now."""
        _kill_group(self._child)


class OnTerminal:
    """A child on a terminal that nobody looks at: what it draws is thrown away, what it asks of a
    terminal is answered. Not on Windows, where it raises `ToolNotFound`."""

    ANSWERS: ClassVar = {b"\x1b[6n": b"\x1b[1;1R", b"\x1b[c": b"\x1b[?62;22c"}
    """Questions for the place of the cursor and the kind of terminal; some wait for them."""

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> None:
        if os.name != "posix":
            raise ToolNotFound(f"{argv[0]} needs a terminal, and none can be made here")
        import fcntl  # none of these is there on Windows
        import pty
        import termios

        self._master, slave = pty.openpty()
        try:
            size = struct.pack("HHHH", 40, 120, 0, 0)
            fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
            self._child = _spawn(
                argv, stdin=slave, stdout=slave, stderr=slave, env=dict(env), cwd=cwd
            )
        except BaseException:
            os.close(self._master)
            raise
        finally:
            os.close(slave)
        self._reader = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        questions = re.compile(b"|".join(map(re.escape, self.ANSWERS)))
        longest = max(map(len, self.ANSWERS))
        seen = b""  # a question may come in two parts
        with contextlib.suppress(OSError):  # the other side is closed
            while data := os.read(self._master, 65_536):
                seen, end = seen + data, 0
                for found in questions.finditer(seen):
                    os.write(self._master, self.ANSWERS[found[0]])
                    end = found.end()
                seen = seen[max(end, len(seen) - longest + 1) :]

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._child.poll()

    def end(self, *, grace_s: float = 3.0) -> None:
        """Ask it and its group to end, so that it tidies up, then kill what is left of them."""
        with contextlib.suppress(OSError):
            os.killpg(self._child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(timeout=grace_s)
        _kill_group(self._child)
        self._reader.join(timeout=1)  # the last of the group has closed its side
        os.close(self._master)


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    started: str
    """A text to compare, not a time: it stays the same when the clock is set."""

    def __str__(self) -> str:
        return f"{self.pid}-{self.started}"


def identity(pid: int | None = None) -> Identity | None:
    """Number and start mark of a running process, or None (a zombie does not run)."""
    number = os.getpid() if pid is None else pid
    started = _ticks(number) if sys.platform == "linux" else _start_time(number)
    return None if started is None else Identity(number, started)


def _ticks(pid: int) -> str | None:
    """Clock ticks from boot to start. psutil adds the time of boot, which moves with the clock."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else fields[19]


def _start_time(pid: int) -> str | None:
    """The time of the start as the system wrote it down then (macOS, Windows)."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return f"{process.create_time():.2f}"
    except (psutil.Error, OSError, ValueError):
        return None


def is_alive(who: Identity) -> bool:
    """True while exactly that process runs."""
    return identity(who.pid) == who


@dataclass(frozen=True, slots=True)
class Listener:
    """A process that listens on a port. `environ` is None where it may not be read;
    `sees_our_files` is False in a container, whose paths are not ours."""

    pid: int
    environ: Mapping[str, str] | None
    sees_our_files: bool


def listener(port: int, name: str) -> Listener | None:
    """Who listens on a TCP port of this machine, among the processes whose name holds `name`;
    None when that is nobody whose connections we may see."""
    import psutil

    listing = psutil.CONN_LISTEN
    for child in psutil.process_iter(["name"]):
        if name not in str(child.info["name"] or "").lower():
            continue
        try:
            ports = {
                row.laddr.port for row in child.net_connections("tcp") if row.status == listing
            }
        except (psutil.Error, OSError, ValueError):
            continue
        if port not in ports:
            continue
        environ: Mapping[str, str] | None = None
        with contextlib.suppress(psutil.Error, OSError, ValueError):
            environ = child.environ()
        return Listener(child.pid, environ, _same_root(child.pid))
    return None


def _same_root(pid: int) -> bool:
    """Has it the file system that we have? Asked of Linux alone, where containers are processes."""
    if sys.platform != "linux":
        return True
    try:
        mine, other = (Path(f"/proc/{who}/ns/mnt").readlink() for who in ("self", pid))
    except OSError:
        return False
    return mine == other


def memory_bytes(pid: int) -> int | None:
    """Bytes of main memory that a process holds now, or None when that cannot be told."""
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except (psutil.Error, OSError, ValueError):
        return None


def end(who: Identity, *, grace_s: float = 5.0) -> bool:
    """Ask a process to end, then kill it; True when it is gone. Never hits a recycled number."""
    for sign in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        if not is_alive(who):
            return True
        with contextlib.suppress(OSError):
            os.kill(who.pid, sign)
        limit = time.monotonic() + grace_s
        while time.monotonic() < limit and is_alive(who):
            time.sleep(0.05)
    return not is_alive(who)


def find_program(name: str, known_places: Sequence[Path] = ()) -> Path | None:
    """Absolute path of a program: first on PATH, then in its installers' known places.

    PATH entries that are relative or that anyone may write to are passed over: whoever can write
    there could choose what we become (facts: BatBadBut, world-writable PATH entries).
    """
    safe = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if _is_safe(folder)]
    found = shutil.which(name, path=os.pathsep.join(safe)) if safe else None
    if found is not None:
        return Path(found)
    for place in known_places:
        if place.is_file() and os.access(place, os.X_OK):
            return place
    return None


def _is_safe(folder: str) -> bool:
    if not Path(folder).is_absolute():
        return False
    try:
        mode = Path(folder).stat().st_mode
    except OSError:
        return False
    return os.name != "posix" or not mode & 0o002


def become(argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Replace this process by another program: its exit status, its signals, its terminal.

    On Windows exec returns to the shell at once, so there the child is waited for instead.
    """
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    if os.name == "nt":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise SystemExit(subprocess.call(list(argv), env=dict(env)))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvpe(argv[0], list(argv), dict(env))
    except OSError as error:
        raise ToolNotFound(
            f"{argv[0]} could not be started: {error.strerror}", code="agent-not-executable"
        ) from error
