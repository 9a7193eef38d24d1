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
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agentlaunch import files, managed, process, web
from agentlaunch.engines import llama_cpp_host as host
from agentlaunch.errors import EngineFailed, NotSupported, Refused
from agentlaunch.gateway import config, events
from agentlaunch.gateway.package import PACKAGE
from agentlaunch.gateway.spec import Hop, Spec
from agentlaunch.progress import Progress, Work
from agentlaunch.settings import Paths
from agentlaunch.units import format_seconds, plural

FOLDER = "gateway"
"""Below the runtime folder: one folder and one lock file for each of these processes."""
SCHEMA = "agentlaunch/gateway-state/1"

START_S = 120.0
"""It took 11 to 57 s until its first answer, the latter on two loaded cores (LiteLLM 1.106.2)."""
ANSWER_S = 5.0
LOOK_S = 1.0
POLL_S = 0.1
PORT_TRIES = 2

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
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ERRORS = (
    re.compile(r"ERROR: .*\[Errno"),
    re.compile(r"[\w.]*(Error|Exception|Fault)\b"),
    re.compile(r"ERROR"),
)
"""Lines that say why LiteLLM ended, the best first: it goes on to thank for its use."""


@dataclass(frozen=True, slots=True)
class Stop:
    """One endpoint of a chain as it is shown: nothing secret, nothing to ask it by."""

    name: str
    model: str
    host: str
    local: bool
    managed: bool
    context_tokens: int


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway of ours that runs, as its state file and one look at it say."""

    url: str
    port: int
    token: str = field(repr=False)
    identity: process.Identity
    fingerprint: str
    folder: Path
    log: Path
    started_at: datetime
    chains: Mapping[str, tuple[Stop, ...]]
    cap_usd: float | None
    cap_origin: str
    answers: bool
    """Did it say just now that it lives? False also while it still starts."""
    sessions: int
    reused: bool = False
    """Did it run before it was asked for (`serve`)?"""

    @property
    def status_file(self) -> Path:
        """Its own account of who answers now and what was spent, written by `litellm_hooks`."""
        return self.folder / "status.json"

    @property
    def config_file(self) -> Path:
        """The configuration that it runs on."""
        return self.folder / "config.yaml"


def log_path(paths: Paths) -> Path:
    """Where the newest gateway writes (the ones before: `.1`, `.2` behind the name)."""
    return paths.logs / "gateway.log"


def fingerprint(spec: Spec) -> str:
    """Which process serves this: also another LiteLLM, or other code of ours in it, is another."""
    parts = (config.fingerprint(spec), PACKAGE.version, _hooks().read_text("utf-8"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


# ---- looking ----------------------------------------------------------------------------------


def find(paths: Paths, *, answer_s: float = LOOK_S) -> tuple[Running, ...]:
    """Every gateway of ours that runs, newest first; what dead ones left is removed."""
    root = paths.runtime / FOLDER
    if not (files.is_own(paths.runtime) and files.is_own(root)):
        return ()  # who else wrote there could name any process and any address
    found = []
    for folder in sorted(root.iterdir()):
        if not files.is_own(folder):
            continue
        running = _look(folder, paths, answer_s=answer_s)
        if running is None:
            _sweep(folder)
        else:
            found.append(running)
    return tuple(sorted(found, key=lambda row: row.started_at, reverse=True))


def current(paths: Paths, fingerprint: str) -> Running | None:
    """The gateway of this fingerprint (`life.fingerprint`) where it runs and answers."""
    folder = paths.runtime / FOLDER / fingerprint[:16]
    if not (files.is_own(paths.runtime) and files.is_own(folder.parent) and files.is_own(folder)):
        return None
    found = _look(folder, paths, answer_s=LOOK_S)
    return found if found is not None and found.answers else None


def _look(folder: Path, paths: Paths, *, answer_s: float) -> Running | None:
    """The living process of a state file, or None: absent, stale or unreadable."""
    state = files.read_json(folder / "state.json")
    running = _read(state, folder, paths) if state is not None else None
    if running is None or not process.is_alive(running.identity):
        return None
    ready = state is not None and state.get("ready") is True
    return replace(running, answers=ready and answer_s > 0 and _answers(running.port, answer_s))


def _identity(state: Mapping[str, Any]) -> process.Identity | None:
    pid, started = state.get("pid"), state.get("started")
    if isinstance(pid, int) and pid > 0 and isinstance(started, str):
        return process.Identity(pid, started)
    return None


def _read(state: Mapping[str, Any], folder: Path, paths: Paths) -> Running | None:
    who = _identity(state)
    if who is None:
        return None
    try:
        port = int(state["port"])
        cap = state["cap_usd"]
        return Running(
            url=f"http://127.0.0.1:{port}",
            port=port,
            token=str(state["token"]),
            identity=who,
            fingerprint=str(state["fingerprint"]),
            folder=folder,
            log=log_path(paths),
            started_at=datetime.fromtimestamp(float(state["started_at"]), timezone.utc),
            chains={
                str(role): tuple(
                    Stop(
                        name=str(row["name"]),
                        model=str(row["model"]),
                        host=str(row["host"]),
                        local=bool(row["local"]),
                        managed=bool(row["managed"]),
                        context_tokens=int(row["context_tokens"]),
                    )
                    for row in rows
                )
                for role, rows in state["chains"].items()
            },
            cap_usd=None if cap is None else float(cap),
            cap_origin=str(state["cap_origin"]),
            answers=False,
            sessions=_sessions(folder),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError):
        return None


def _answers(port: int, answer_s: float) -> bool:
    """Does it say that it lives? That path wants no key, and asks no endpoint."""
    with contextlib.suppress(web.WebFault):
        url = f"http://127.0.0.1:{port}/health/liveliness"
        return web.request("GET", url, deadline_s=answer_s).status == 200
    return False


def _sessions(folder: Path, *, but: int | None = None) -> int:
    return sum(1 for pid, _mark in host.living_leases(folder / "leases") if pid != but)


# ---- leases -----------------------------------------------------------------------------------


def lease(running: Running, paths: Paths) -> None:
    """Keep the gateway as long as this very process runs, also as the agent that it becomes."""
    _take_lease(files.private_tree(paths.runtime, running.folder))


def _take_lease(folder: Path) -> None:
    own = process.identity()
    mark = host.start_mark(os.getpid())
    if own is not None and mark is not None:
        row = {"pid": own.pid, "mark": mark}
        files.write_json(files.private_dir(folder / "leases") / str(own), row)


def _drop_lease(folder: Path) -> None:
    own = process.identity()
    if own is not None:
        (folder / "leases" / str(own)).unlink(missing_ok=True)


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
    root = files.private_tree(paths.runtime, paths.runtime / FOLDER)
    folder = root / whole[:16]
    with contextlib.ExitStack() as held:
        yield from managed.wait_for_lock(held, _lock(folder), what="starting this gateway")
        found = _look(folder, paths, answer_s=0.0)
        if found is not None:
            _take_lease(files.private_dir(folder))  # before it is asked: it may be about to end
            if (yield from _is_well(found, start_s)):
                return replace(found, answers=True, sessions=_sessions(folder), reused=True)
            _end_hanging(found)
        files.private_tree(paths.state, paths.logs)
        running = yield from _start(spec, whole, folder, paths, idle_s, start_s)
    return running


def _is_well(found: Running, start_s: float) -> Work[bool]:
    """Does it answer? One whose launch was stopped while it started is waited for."""
    if _is_ready(found.folder):
        return _answers(found.port, ANSWER_S)
    with contextlib.suppress(EngineFailed):
        yield from _wait(found, start_s)
        _mark_ready(found.folder)
        return True
    return False


def _end_hanging(found: Running) -> None:
    """It may only be slow: it is not ended under others' sessions."""
    others = _sessions(found.folder, but=os.getpid())
    if others:
        _drop_lease(found.folder)
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


def _start(
    spec: Spec, whole: str, folder: Path, paths: Paths, idle_s: float, start_s: float
) -> Work[Running]:
    program = managed.program(PACKAGE, "litellm", paths)
    if program is None:
        raise EngineFailed(
            "the gateway (LiteLLM) is not installed",
            hint="`agentlaunch up` and `agentlaunch gateway start` install it after asking",
            code="gateway-missing",
        )
    port, token = _former(folder)
    for attempt in range(PORT_TRIES):
        _furnish(spec, folder, paths, idle_s)
        number = port if port and _is_free(port) else _free_port()
        try:
            return (
                yield from _start_once(program, spec, whole, folder, paths, number, token, start_s)
            )
        except _PortTaken:
            port = 0
            if attempt == PORT_TRIES - 1:
                raise
    raise AssertionError("unreachable: the last try returns or raises")


class _PortTaken(EngineFailed):
    """Another program was quicker to take the port that was free."""

    code = "gateway-port"


def _start_once(
    program: Path,
    spec: Spec,
    whole: str,
    folder: Path,
    paths: Paths,
    port: int,
    token: str,
    start_s: float,
) -> Work[Running]:
    """Start LiteLLM and wait until it serves; leaves none when that fails."""
    log = log_path(paths)
    _rotate(log)
    environ = config.child_environment(spec, os.environ)
    environ |= {config.GATEWAY_KEY: token, config.FACTS: str(folder / "facts.json")}
    words = ["--config", str(folder / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)]
    who = _launch([str(program), *words], folder, log, environ)
    try:
        _write_state(spec, whole, folder, who, port, token)
        running = _look(folder, paths, answer_s=0.0)
        if running is None:
            raise _died(log, port)
        yield from _wait(running, start_s)
        _mark_ready(folder)
        _take_lease(folder)
    except BaseException:
        process.end(who, grace_s=2.0)
        _clear(folder)
        raise
    return replace(running, answers=True, sessions=_sessions(folder))


def _furnish(spec: Spec, folder: Path, paths: Paths, idle_s: float) -> None:
    """The folder with everything that LiteLLM reads; leases that are there stay."""
    leases = files.private_dir(files.private_dir(folder) / "leases")
    place = events.place(paths.state)
    files.private_tree(paths.state, place.parent)
    facts = config.facts(
        spec, events=place, status=folder / "status.json", leases=leases, idle_s=idle_s
    )
    facts |= {"lock": str(_lock(folder))}
    files.write_atomic(folder / "config.yaml", config.text(spec).encode())
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
                raise _PortTaken(
                    f"another program took port {port} before the gateway did",
                    hint="run the same command again",
                )
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
        return _PortTaken(
            f"another program took port {port} before the gateway did",
            hint="run the same command again",
        )
    return EngineFailed(
        f"the gateway (LiteLLM) ended right after its start: {said or 'it said nothing'}",
        hint="agentlaunch gateway logs",
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
        with files.locked(_lock(row.folder), timeout_s=ANSWER_S, what="starting this gateway"):
            if not force and _sessions(row.folder):
                raise Refused(
                    "a session began to use the gateway just now",
                    hint="end it first, or: agentlaunch gateway stop --force",
                    code="in-use",
                )
            _end(row)
            shutil.rmtree(row.folder, ignore_errors=True)
    return rows


# ---- the folder -------------------------------------------------------------------------------


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _hooks() -> Path:
    return Path(config.__file__).with_name("litellm_hooks.py")


def _sweep(folder: Path) -> None:
    """Remove what a dead gateway left, unless a launch is at work there, or sessions live whose
    next launch starts it again at the same place."""
    with (
        contextlib.suppress(Refused, OSError),
        files.locked(_lock(folder), timeout_s=0, what="starting this gateway"),
    ):
        who = _identity(files.read_json(folder / "state.json") or {})
        if who is None or not process.is_alive(who):
            _clear(folder)


def _clear(folder: Path) -> None:
    if _sessions(folder, but=os.getpid()):
        _drop_lease(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _former(folder: Path) -> tuple[int, str]:
    """Port and key of one that died under sessions which still live: the next one takes its place,
    so that their agents, which try again, find it. Else no port, and a new key."""
    state = files.read_json(folder / "state.json") or {}
    port, token = state.get("port"), state.get("token")
    if (
        isinstance(port, int)
        and isinstance(token, str)
        and token
        and _sessions(folder, but=os.getpid())
    ):
        return port, token
    return 0, secrets.token_urlsafe(32)


def _write_state(
    spec: Spec, whole: str, folder: Path, who: process.Identity, port: int, token: str
) -> None:
    files.write_json(
        folder / "state.json",
        {
            "schema": SCHEMA,
            "pid": who.pid,
            "started": who.started,
            "port": port,
            "token": token,
            "fingerprint": whole,
            "started_at": time.time(),
            "chains": {role: [_shown(hop) for hop in chain] for role, chain in spec.chains.items()},
            "cap_usd": spec.cap_usd,
            "cap_origin": spec.cap_origin,
            "ready": False,
        },
    )


def _shown(hop: Hop) -> dict[str, object]:
    return {
        "name": hop.name,
        "model": hop.model,
        "host": urlsplit(hop.base_url).hostname or "",
        "local": hop.is_local,
        "managed": hop.managed,
        "context_tokens": hop.context_tokens,
    }


def _is_ready(folder: Path) -> bool:
    return (files.read_json(folder / "state.json") or {}).get("ready") is True


def _mark_ready(folder: Path) -> None:
    state = files.read_json(folder / "state.json") or {}
    files.write_json(folder / "state.json", {**state, "ready": True})


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _is_free(port: int) -> bool:
    return host.is_free(port)


def _rotate(log: Path) -> None:
    """Keep the logs of the last two gateways beside the new one."""
    for old, new in ((".1", ".2"), ("", ".1")):
        with contextlib.suppress(OSError):
            log.with_name(log.name + old).replace(log.with_name(log.name + new))
