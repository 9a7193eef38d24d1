"""What only a doctor asks: our folders, leftovers, servers that should answer, half models.

Nothing here changes anything, and every part is asked for itself: what fails is a note.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from agentlaunch import files, managed, policy
from agentlaunch.errors import AgentlaunchError
from agentlaunch.machine.facts import Note
from agentlaunch.models import store
from agentlaunch.proven import Proof, read_proof
from agentlaunch.records import Records
from agentlaunch.settings import NOWHERE, Paths, Value
from agentlaunch.survey import halves, leftovers, programs, servers
from agentlaunch.survey.asking import Asking
from agentlaunch.survey.halves import Half
from agentlaunch.survey.programs import Hidden
from agentlaunch.survey.servers import Server

FULL_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """One of our folders and what stands in its way: `culprit` is the file or folder that does."""

    name: str
    path: Path
    culprit: Path | None = None
    problem: Literal["file", "link", "closed", "foreign", "full"] | None = None
    ours: bool = False
    """Does the culprit belong to this user?"""


@dataclass(frozen=True, slots=True)
class Override:
    """A settings file that sends an agent elsewhere. `hint` is the way out where a launch would be
    refused; None where the launch overrides it."""

    agent: str
    text: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """What was found; each tuple is empty where all is well."""

    faults: tuple[AgentlaunchError, ...] = ()
    places: tuple[Place, ...] = ()
    unused_runtime: tuple[Path, Path] | None = None
    """What XDG_RUNTIME_DIR names and cannot be used, and the folder that is used instead."""
    lost_folder: bool = False
    """The current folder is gone."""
    no_path: bool = False
    broken_records: tuple[Path, ...] = ()
    halves: tuple[Half, ...] = ()
    leftovers: tuple[store.Leftover, ...] = ()
    lost_models: tuple[Path, str] | None = None
    """What OLLAMA_MODELS names, and why no model can be read there."""
    dead_engines: tuple[Path, ...] = ()
    dead_files: tuple[Path, ...] = ()
    unfinished: tuple[managed.Installed, ...] = ()
    damaged: tuple[managed.Package, ...] = ()
    ollama: Server | None = None
    remote: Server | None = None
    node_version: tuple[int, ...] | None = None
    hidden: tuple[Hidden, ...] = ()
    overrides: tuple[Override, ...] = ()
    models_folder: Path | None = None
    proofs: tuple[Proof, ...] = ()
    """What was proven before, the newest last."""
    looked_at: datetime | None = field(default=None, compare=False)
    """When, with a zone: ages are told from it."""
    notes: tuple[Note, ...] = ()


def look(
    paths: Paths,
    values: Mapping[str, Value],
    faults: tuple[AgentlaunchError, ...],
    environ: Mapping[str, str],
) -> Health:
    """Everything of it, side by side; never raises."""
    ask = Asking(tolerant=True)
    with ThreadPoolExecutor(max_workers=4, thread_name_prefix="health") as pool:
        ollama = pool.submit(ask, "ollama", lambda: servers.ollama(environ), None)
        url = values["engine"].value
        moved = {name: value.value for name, value in values.items()}
        allowed = values[policy.SETTING].value
        server = pool.submit(
            ask, "engine", lambda: servers.engine(str(url or ""), moved, allowed), None
        )
        node = pool.submit(ask, "node", programs.node_version, None)
        none: tuple[store.Store, ...] = ()
        kept = ask("stores", lambda: store.stores(paths, environ), none)
        return Health(
            faults=faults,
            places=ask("folders", lambda: _places(paths), ()),
            unused_runtime=_unused_runtime(paths, environ),
            lost_folder=ask("folder", lambda: here() is None, False),
            no_path=not environ.get("PATH", "").strip(),
            broken_records=ask("records", lambda: _broken_records(paths), ()),
            halves=ask("stores", lambda: tuple(halves.halves(kept)), ()),
            leftovers=ask(
                "downloads", lambda: store.Store(paths.models, ours=True).leftovers(), ()
            ),
            lost_models=ask("OLLAMA_MODELS", lambda: halves.lost_models(kept, environ), None),
            dead_engines=ask("engines", lambda: tuple(leftovers.dead_engines(paths)), ()),
            dead_files=ask("launches", lambda: tuple(leftovers.dead_files(paths)), ()),
            unfinished=ask("installations", lambda: leftovers.unfinished(paths), ()),
            damaged=ask("installations", lambda: leftovers.damaged(paths), ()),
            hidden=ask("programs", lambda: tuple(programs.hidden(environ)), ()),
            ollama=ollama.result(),
            remote=server.result(),
            node_version=node.result(),
            models_folder=paths.models if paths != NOWHERE else None,
            proofs=ask("proofs", lambda: _proofs(paths), ()),
            looked_at=datetime.now(timezone.utc),
            notes=tuple(ask.notes),
        )


def _proofs(paths: Paths) -> tuple[Proof, ...]:
    rows = (read_proof(row) for row in Records(paths.state).all("proofs").values())
    return tuple(row for row in rows if row is not None)


def here() -> Path | None:
    """The current folder, or None when it is gone or may not be read."""
    try:
        return Path.cwd()
    except OSError:
        return None


# --- folders -----------------------------------------------------------------------------------


def _places(paths: Paths) -> tuple[Place, ...]:
    if paths == NOWHERE:
        return ()
    rows = (
        ("runtime", paths.runtime),
        ("data", paths.data),
        ("state", paths.state),
        ("config", paths.config),
        ("cache", paths.cache),
    )
    return tuple(_place(name, path) for name, path in rows)


def _place(name: str, path: Path) -> Place:
    """What stands in the way of a folder: the first thing above it that is there decides."""
    there = next((p for p in (path, *path.parents) if os.path.lexists(p)), path)
    try:
        mine = not hasattr(os, "getuid") or there.lstat().st_uid == os.getuid()
    except OSError:
        mine = False
    if there.is_symlink() and not os.path.exists(there):  # noqa: PTH110 - never raises
        return Place(name, path, there, "link", mine)
    if not os.path.isdir(there):  # noqa: PTH112 - never raises
        return Place(name, path, there, "file", mine)
    if there == path and name == "runtime" and not files.is_own(path):
        return Place(name, path, there, "foreign", mine)
    if not os.access(there, os.W_OK | os.X_OK):
        return Place(name, path, there, "closed", mine)
    free = files.disk_free_bytes(there)
    if free is not None and free < FULL_BYTES:
        return Place(name, path, there, "full", mine)
    return Place(name, path)


def _unused_runtime(paths: Paths, environ: Mapping[str, str]) -> tuple[Path, Path] | None:
    asked = environ.get("XDG_RUNTIME_DIR", "").strip()
    if not asked or paths == NOWHERE or paths.runtime.is_relative_to(asked):
        return None
    return Path(asked), paths.runtime


def _broken_records(paths: Paths) -> tuple[Path, ...]:
    kinds = ("choices", "measurements", "proofs")
    found = (paths.state / f"{kind}.json" for kind in kinds)
    return tuple(path for path in found if os.path.lexists(path) and files.read_json(path) is None)
