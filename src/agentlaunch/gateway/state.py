"""What lies in the folder of a gateway's process: its state file, the leases of its sessions.

`<runtime>/gateway/<16 letters of its fingerprint>/`, with a lock file beside it that every launch
takes. The process itself knows only the leases and the lock (`litellm_hooks`).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agentlaunch import files, process
from agentlaunch.engines import llama_cpp_host as host
from agentlaunch.errors import Refused
from agentlaunch.gateway.spec import Hop, Spec
from agentlaunch.settings import Paths

FOLDER = "gateway"
"""Below the runtime folder."""
SCHEMA = "agentlaunch/gateway-state/1"
FILE = "state.json"
WORK = "starting this gateway"
"""What the lock is held for."""


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


def lock_of(folder: Path) -> Path:
    """The lock that whoever starts, ends or removes it holds."""
    return folder.with_name(f"{folder.name}.lock")


# ---- the state file ---------------------------------------------------------------------------


def _identity(state: Mapping[str, Any]) -> process.Identity | None:
    pid, started = state.get("pid"), state.get("started")
    if isinstance(pid, int) and pid > 0 and isinstance(started, str):
        return process.Identity(pid, started)
    return None


def read(folder: Path, paths: Paths) -> Running | None:
    """What the state file says, be its process alive or not; None where it is unreadable."""
    state = _state(folder)
    who = _identity(state)
    if who is None:
        return None
    try:
        port = int(state["port"])
        if not 0 < port < 65_536:
            return None
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
            sessions=sessions(folder),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError):
        return None


def former(folder: Path) -> tuple[int, str]:
    """Port and key of one that died under sessions which still live: the next one takes its place,
    so that their agents, which try again, find it. Else no port, and a new key."""
    state = _state(folder)
    port, token = state.get("port"), state.get("token")
    if (
        isinstance(port, int)
        and isinstance(token, str)
        and token
        and sessions(folder, but=os.getpid())
    ):
        return port, token
    return 0, secrets.token_urlsafe(32)


def write(
    spec: Spec, whole: str, folder: Path, who: process.Identity, port: int, token: str
) -> None:
    """The state of one that was just started."""
    files.write_json(
        folder / FILE,
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


def is_ready(folder: Path) -> bool:
    """Did the launch that started it see it answer?"""
    return _state(folder).get("ready") is True


def mark_ready(folder: Path) -> None:
    """It answered."""
    state = _state(folder)
    files.write_json(folder / FILE, {**state, "ready": True})


def _state(folder: Path) -> dict[str, Any]:
    return files.read_json(folder / FILE) or {}


# ---- leases -----------------------------------------------------------------------------------


def sessions(folder: Path, *, but: int | None = None) -> int:
    """How many living processes have a lease, `but` this one."""
    return sum(1 for pid, _mark in host.living_leases(folder / "leases") if pid != but)


def take_lease(folder: Path) -> None:
    """Keep the gateway as long as this very process runs, also as the agent that it becomes."""
    own = process.identity()
    mark = host.start_mark(os.getpid())
    if own is not None and mark is not None:
        row = {"pid": own.pid, "mark": mark}
        files.write_json(files.private_dir(folder / "leases") / str(own), row)


def drop_lease(folder: Path) -> None:
    """This process does not need it after all."""
    own = process.identity()
    if own is not None:
        (folder / "leases" / str(own)).unlink(missing_ok=True)


# ---- what a dead one left ---------------------------------------------------------------------


def sweep(folder: Path) -> None:
    """Remove what a dead gateway left, unless a launch is at work there, or sessions live whose
    next launch starts it again at the same place."""
    with (
        contextlib.suppress(Refused, OSError),
        files.locked(lock_of(folder), timeout_s=0, what=WORK),
    ):
        who = _identity(_state(folder))
        if who is None or not process.is_alive(who):
            clear(folder)


def clear(folder: Path) -> None:
    """Remove the folder of one that ended, but not under sessions: see `former`."""
    if sessions(folder, but=os.getpid()):
        drop_lease(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)
