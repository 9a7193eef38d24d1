"""The gateway's process: found by its fingerprint, started when there is none, ended.

One LiteLLM for each `Spec`, with a folder of its own below the runtime folder: configuration,
facts for `litellm_hooks`, state file, leases. It is shared between launches and ends by itself when
no session has needed it for a while (`litellm_hooks`); what one leaves that was killed is swept
here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from agentlaunch import files, managed, process, web
from agentlaunch.engines import llama_cpp_host as host
from agentlaunch.errors import EngineFailed, NotSupported, Refused
from agentlaunch.gateway import config, events, state
from agentlaunch.gateway.package import PACKAGE
from agentlaunch.gateway.spec import Spec
from agentlaunch.gateway.state import Running, log_path
from agentlaunch.progress import Progress, Work
from agentlaunch.settings import Paths
from agentlaunch.units import format_seconds, plural

__all__ = ["START_S", "Running", "current", "find", "fingerprint", "log_path", "serve", "stop"]

START_S = 120.0
"""It took 11 to 57 s until its first answer, the latter on two loaded cores (LiteLLM 1.106.2)."""
ANSWER_S = 5.0
LOOK_S = 1.0
POLL_S = 0.1

_ORPHAN = """
import os, sys
os.umask(0o077)
child = os.fork()
if child == 0:
    os.execv(sys.argv[2], sys.argv[2:])
with open(sys.argv[1], "w") as file:
    file.write(str(child))
os._exit(0)
"""
"""Starts a program as nobody's child: whoever ends an agent with its whole process tree would end
the gateway of every other session too."""
_ORPHAN_S = 20.0


MOST_WORDS = 300
_BROKEN = re.compile(r"\b(FileNotFound|Permission|ModuleNotFound|Import)Error\b")
"""What its last words say where its environment is not whole."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ERRORS = (
    re.compile(r"ERROR: .*\[Errno"),
    re.compile(r"[\w.]*(Error|Exception|Fault)\b"),
    re.compile(r"ERROR"),
)
"""Lines that say why LiteLLM ended, the best first: it goes on to thank for its use."""


def fingerprint(spec: Spec) -> str:
    """Which process serves this: also another LiteLLM, or other code of ours in it, is another."""
    parts = (config.fingerprint(spec), PACKAGE.version, _hooks().read_text("utf-8"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


# ---- looking ----------------------------------------------------------------------------------


def find(paths: Paths, *, answer_s: float = LOOK_S) -> tuple[Running, ...]:
    """Every gateway of ours that runs, newest first; what dead ones left is removed."""
    root = paths.runtime / state.FOLDER
    if not (files.is_own(paths.runtime) and files.is_own(root)):
        return ()  # who else wrote there could name any process and any address
    found = []
    for folder in sorted(root.iterdir()):
        if not files.is_own(folder):
            continue
        running = _look(folder, paths, answer_s=answer_s)
        if running is None:
            state.sweep(folder)
        else:
            found.append(running)
    return tuple(sorted(found, key=lambda row: row.started_at, reverse=True))


def current(paths: Paths, fingerprint: str) -> Running | None:
    """The gateway of this fingerprint (`life.fingerprint`) where it runs and answers."""
    folder = paths.runtime / state.FOLDER / fingerprint[:16]
    if not (files.is_own(paths.runtime) and files.is_own(folder.parent) and files.is_own(folder)):
        return None
    found = _look(folder, paths, answer_s=LOOK_S)
    return found if found is not None and found.answers else None


def _look(folder: Path, paths: Paths, *, answer_s: float) -> Running | None:
    """The living process of a state file, or None: absent, stale or unreadable."""
    found = state.read(folder, paths)
    if found is None or not process.is_alive(found.identity):
        return None
    asked = answer_s > 0 and state.is_ready(folder)
    return replace(found, answers=asked and _answers(found.port, answer_s))


def _answers(port: int, answer_s: float) -> bool:
    """Does it say that it lives? That path wants no key, and asks no endpoint."""
    with contextlib.suppress(web.WebFault):
        url = f"http://127.0.0.1:{port}/health/liveliness"
        return web.request("GET", url, deadline_s=answer_s).status == 200
    return False


# ---- serving ----------------------------------------------------------------------------------


def serve(spec: Spec, paths: Paths, *, idle_s: float, start_s: float = START_S) -> Work[Running]:
    """The gateway of this `Spec`: the one that runs, else a new one; this process has a lease.

    A new one is waited for; it ends by itself `idle_s` seconds after its last session and request.
    Raises `EngineFailed` where LiteLLM is missing, dies, or does not answer within `start_s`.
    """
    if os.name != "posix":
        raise NotSupported(
            "the gateway does not run on Windows yet",
            hint="name one endpoint in the routes, or: agentlaunch up --engine NAME",
        )
    whole = fingerprint(spec)
    root = files.private_tree(paths.runtime, paths.runtime / state.FOLDER)
    folder = root / whole[:16]
    with contextlib.ExitStack() as held:
        yield from managed.wait_for_lock(held, state.lock_of(folder), what=state.WORK)
        found = _look(folder, paths, answer_s=0.0)
        if found is not None:
            # Before it is asked: it may be about to end.
            state.take_lease(files.private_dir(folder))
            if (yield from _is_well(found, start_s)):
                return replace(found, answers=True, sessions=state.sessions(folder), reused=True)
            _end_hanging(found)
        new = _New(spec, whole, folder, paths, idle_s, start_s)
        return (yield from _start(new))


def _is_well(found: Running, start_s: float) -> Work[bool]:
    """Does it answer? One whose launch was stopped while it started is waited for."""
    if state.is_ready(found.folder):
        return _answers(found.port, ANSWER_S)
    with contextlib.suppress(EngineFailed):
        yield from _wait(found, start_s)
        state.mark_ready(found.folder)
        return True
    return False


def _end_hanging(found: Running) -> None:
    """It may only be slow: it is not ended under others' sessions."""
    others = state.sessions(found.folder, but=os.getpid())
    if others:
        state.drop_lease(found.folder)
        raise EngineFailed(
            f"the gateway at {found.url} does not answer and is in use by "
            f"{plural(others, 'running session')}",
            hint="try again, or end it under them: agentlaunch gateway stop --force",
            code="gateway-hangs",
        )
    _end(found)


def _end(found: Running) -> None:
    if not process.end(found.identity):
        raise EngineFailed(
            f"the gateway's process {found.identity.pid} does not end",
            hint=f"kill -9 {found.identity.pid}",
        )


@dataclass(frozen=True, slots=True)
class _New:
    """What is to be started, and where."""

    spec: Spec
    fingerprint: str
    folder: Path
    paths: Paths
    idle_s: float
    limit_s: float


def _start(new: _New) -> Work[Running]:
    program = managed.program(PACKAGE, "litellm", new.paths)
    if program is None:
        raise EngineFailed(
            "the gateway (LiteLLM) is not installed",
            hint="`agentlaunch up` and `agentlaunch gateway start` install it after asking",
            code="gateway-missing",
        )
    files.private_tree(new.paths.state, new.paths.logs)
    port, token = state.former(new.folder)
    usual = port if port and host.is_free(port) else _free_port()
    try:
        return (yield from _start_at(program, new, usual, token))
    except _PortTaken:
        return (yield from _start_at(program, new, _free_port(), token))


class _PortTaken(EngineFailed):
    """Another program was quicker to take the port that was free."""

    code = "gateway-port"

    def __init__(self, port: int) -> None:
        super().__init__(
            f"another program took port {port} before the gateway did",
            hint="run the same command again",
        )


def _start_at(program: Path, new: _New, port: int, token: str) -> Work[Running]:
    """Start LiteLLM and wait until it serves; leaves none when that fails."""
    folder, log = new.folder, log_path(new.paths)
    _furnish(new)
    _rotate(log)
    environ = config.child_environment(new.spec, os.environ)
    environ |= {config.GATEWAY_KEY: token, config.FACTS: str(folder / "facts.json")}
    words = ["--config", str(folder / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)]
    who = _launch([str(program), *words], folder, log, environ)
    try:
        state.write(new.spec, new.fingerprint, folder, who, port, token)
        running = _look(folder, new.paths, answer_s=0.0)
        if running is None:
            raise _died(log, port)
        yield from _wait(running, new.limit_s)
        state.mark_ready(folder)
        state.take_lease(folder)
    except BaseException:
        process.end(who, grace_s=2.0)
        state.clear(folder)
        raise
    return replace(running, answers=True, sessions=state.sessions(folder))


def _furnish(new: _New) -> None:
    """The folder with everything that LiteLLM reads; leases that are there stay."""
    folder, place = new.folder, events.place(new.paths.state)
    leases = files.private_dir(files.private_dir(folder) / "leases")
    files.private_tree(new.paths.state, place.parent)
    facts = config.facts(
        new.spec, events=place, status=folder / "status.json", leases=leases, idle_s=new.idle_s
    )
    facts |= {"lock": str(state.lock_of(folder))}
    files.write_atomic(folder / "config.yaml", config.text(new.spec).encode())
    files.write_json(folder / "facts.json", facts)
    files.write_atomic(folder / _hooks().name, _hooks().read_bytes())


def _launch(
    argv: list[str], folder: Path, log: Path, environ: Mapping[str, str]
) -> process.Identity:
    """Start a program in the background as nobody's child; raises `EngineFailed`."""
    note = folder / "pid"
    note.unlink(missing_ok=True)
    child = process.Background(
        [sys.executable, "-I", "-S", "-c", _ORPHAN, str(note), *argv],
        log=log,
        env=environ,
        cwd=folder,
    )
    limit = time.monotonic() + _ORPHAN_S
    while child.poll() is None and time.monotonic() < limit:
        time.sleep(0.01)
    if child.poll() is None:
        child.kill()
    text = note.read_text("utf-8") if note.is_file() else ""
    note.unlink(missing_ok=True)
    who = process.identity(int(text)) if text.isdecimal() else None
    if who is None:
        raise _died(log, None)
    return who


def _wait(running: Running, start_s: float) -> Work[None]:
    """Until it answers on its own port; raises `EngineFailed` where it dies or is too slow."""
    begun = time.monotonic()
    log, port = running.log, running.port
    while True:
        took_s = time.monotonic() - begun
        yield Progress("starting the gateway", detail=format_seconds(took_s))
        if not process.is_alive(running.identity):
            raise _died(log, port)
        if _answers(port, LOOK_S):
            owner = process.listener(port, "")
            if owner is not None and owner.pid == running.identity.pid:
                return
            if owner is not None:
                raise _PortTaken(port)
        if took_s > start_s:
            raise EngineFailed(
                f"the gateway (LiteLLM) did not answer within {start_s:g} s of its start",
                hint="agentlaunch gateway logs",
                code="gateway-timeout",
            )
        time.sleep(POLL_S)


def _died(log: Path, port: int | None) -> EngineFailed:
    said = _last_words(log)
    if port is not None and ("address already in use" in said or "Errno 98" in said):
        return _PortTaken(port)
    hint = "agentlaunch gateway logs"
    if _BROKEN.search(said):
        hint = f"agentlaunch clean {PACKAGE.name}@{PACKAGE.version}: a launch installs it anew then"
    return EngineFailed(
        f"the gateway (LiteLLM) ended right after its start: {said or 'it said nothing'}",
        hint=hint,
        code="gateway-died",
    )


def _last_words(log: Path) -> str:
    """What it died of, as one line: its last error, else its last line."""
    text = _COLOUR.sub("", files.tail(log))
    lines = [line.strip() for line in text.splitlines() if line.strip(" #\t")]
    told = (line for pattern in _ERRORS for line in reversed(lines) if pattern.match(line))
    found = next(told, lines[-1] if lines else "")
    return found if len(found) <= MOST_WORDS else found[: MOST_WORDS - 1] + "…"


# ---- ending -----------------------------------------------------------------------------------


def stop(paths: Paths, *, force: bool = False) -> tuple[Running, ...]:
    """End every gateway; those that ran. Raises `Refused` before the first when a session uses one
    and `force` is False."""
    rows = find(paths, answer_s=0.0)
    sessions = sum(row.sessions for row in rows)
    if sessions and not force:
        raise Refused(
            f"the gateway is in use by {plural(sessions, 'running session')}",
            hint="end them first, or: agentlaunch gateway stop --force",
            code="in-use",
        )
    for row in rows:
        with files.locked(state.lock_of(row.folder), timeout_s=ANSWER_S, what=state.WORK):
            if not force and state.sessions(row.folder):
                raise Refused(
                    "a session began to use the gateway just now",
                    hint="end it first, or: agentlaunch gateway stop --force",
                    code="in-use",
                )
            _end(row)
            shutil.rmtree(row.folder, ignore_errors=True)
    return rows


# ---- the folder -------------------------------------------------------------------------------


def _hooks() -> Path:
    return Path(config.__file__).with_name("litellm_hooks.py")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _rotate(log: Path) -> None:
    """Keep the logs of the last two gateways beside the new one."""
    for old, new in ((".1", ".2"), ("", ".1")):
        with contextlib.suppress(OSError):
            log.with_name(log.name + old).replace(log.with_name(log.name + new))
