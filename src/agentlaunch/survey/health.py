"""What only a doctor asks: our folders, leftovers, servers that should answer, half models.

Nothing here changes anything, and every part is asked for itself: what fails is a note.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentlaunch import files, managed, process, web
from agentlaunch.agents import AGENTS
from agentlaunch.agents.base import Agent
from agentlaunch.engines import llama_cpp, llama_cpp_host, ollama_host, remote
from agentlaunch.errors import AgentlaunchError
from agentlaunch.machine.facts import Note
from agentlaunch.models import store
from agentlaunch.models.manifest import LIMIT_BYTES, BrokenManifest, parse_manifest
from agentlaunch.settings import NOWHERE, Paths, Value
from agentlaunch.survey.asking import Asking

ENGINES = "engines"
PRIVATE = ("launches", "env")
"""Folders below the runtime folder: engines of ours, private files of launches and of shells."""

ASK_S = 1.0
NODE_S = 2.0
FULL_BYTES = 1 << 20

Answered = Literal["yes", "other", "nothing", "unsafe"]


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
class Half:
    """A name in a store that stands for no whole model."""

    ref: str
    path: Path
    reason: str
    store: store.Store


@dataclass(frozen=True, slots=True)
class Server:
    """An address that should serve models, and who answered there."""

    url: str
    answered: Answered
    version: str | None = None
    detail: str | None = None
    asked: bool = False
    """Was this address chosen by the user, not only looked at?"""


@dataclass(frozen=True, slots=True)
class Hidden:
    """A program that stands on PATH or where its installer puts it, and cannot be used."""

    agent: str
    path: Path
    problem: Literal["broken-link", "not-executable", "open-folder"]


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
        ollama = pool.submit(ask, "ollama", lambda: _ollama(environ), None)
        url = values["engine"].value
        server = pool.submit(ask, "engine", lambda: _remote(str(url or "")), None)
        node = pool.submit(ask, "node", _node_version, None)
        none: tuple[store.Store, ...] = ()
        kept = ask("stores", lambda: store.stores(paths, environ), none)
        return Health(
            faults=faults,
            places=ask("folders", lambda: _places(paths), ()),
            unused_runtime=_unused_runtime(paths, environ),
            lost_folder=ask("folder", lambda: here() is None, False),
            no_path=not environ.get("PATH", "").strip(),
            broken_records=ask("records", lambda: _broken_records(paths), ()),
            halves=ask("stores", lambda: tuple(_halves(kept)), ()),
            leftovers=ask(
                "downloads", lambda: store.Store(paths.models, ours=True).leftovers(), ()
            ),
            lost_models=ask("OLLAMA_MODELS", lambda: _lost_models(kept, environ), None),
            dead_engines=ask("engines", lambda: tuple(dead_engines(paths)), ()),
            dead_files=ask("launches", lambda: tuple(dead_files(paths)), ()),
            unfinished=ask("installations", lambda: unfinished(paths), ()),
            damaged=ask("installations", lambda: _damaged(paths), ()),
            hidden=ask("programs", lambda: tuple(_hidden_all(environ)), ()),
            ollama=ollama.result(),
            remote=server.result(),
            node_version=node.result(),
            models_folder=paths.models if paths != NOWHERE else None,
            notes=tuple(ask.notes),
        )


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
    kinds = ("choices", "measurements")
    found = (paths.state / f"{kind}.json" for kind in kinds)
    return tuple(path for path in found if os.path.lexists(path) and files.read_json(path) is None)


# --- leftovers of ours -------------------------------------------------------------------------


def dead_engines(paths: Paths) -> Iterator[Path]:
    """State files behind which no engine runs. One that living sessions wait for is none of them:
    the next engine takes its address, so that their agents find it again."""
    folder = paths.runtime / ENGINES
    if not (files.is_own(paths.runtime) and files.is_own(folder)):
        return
    for path in sorted(folder.glob("*.json")):
        if not _runs(path) and not _awaited(path.with_suffix(".leases")):
            yield path


def _runs(state_file: Path) -> bool:
    state = files.read_json(state_file) or {}
    pid, mark = state.get("pid"), state.get("mark")
    if not isinstance(pid, int) or isinstance(pid, bool) or not 0 < pid < 1 << 31:
        return False
    return llama_cpp_host.start_mark(pid) == mark


def _awaited(leases: Path) -> bool:
    for path in leases.glob("*") if files.is_own(leases) else ():
        lease = files.read_json(path) or {}
        pid, mark = lease.get("pid"), lease.get("mark")
        if isinstance(pid, int) and 0 < pid < 1 << 31 and llama_cpp_host.start_mark(pid) == mark:
            return True
    return False


def dead_files(paths: Paths) -> Iterator[Path]:
    """Private files of launches and shells whose process is gone (names end in pid-start)."""
    for name in PRIVATE:
        folder = paths.runtime / name
        if not (files.is_own(paths.runtime) and files.is_own(folder)):
            continue
        for path in sorted(folder.iterdir()):
            found = re.fullmatch(r".*-([0-9]{1,9})-([^-]*)", path.stem)
            if found is None or path.is_dir():
                continue
            if not process.is_alive(process.Identity(int(found[1]), found[2])):
                yield path


def unfinished(paths: Paths) -> tuple[managed.Installed, ...]:
    """What killed installations left, or what one at work is building."""
    return tuple(row for row in managed.installed_all(paths) if not row.complete)


def _damaged(paths: Paths) -> tuple[managed.Package, ...]:
    """Packages whose environment says that it is whole and lacks a program."""
    known = [agent.package for agent in AGENTS.values() if agent.package] + [llama_cpp.PACKAGE]
    whole = {(row.name, row.version) for row in managed.installed_all(paths) if row.complete}
    return tuple(
        package
        for package in known
        if (package.name, package.version) in whole and managed.installed(package, paths) is None
    )


# --- stores ------------------------------------------------------------------------------------


def _halves(places: Iterable[store.Store]) -> Iterator[Half]:
    for place in places:
        top = place.root / "manifests"
        for path in sorted(top.glob("*/*/*/*")):
            # Some other file, such as .DS_Store, is no name of a model.
            reason = None if path.name.startswith(".") else _half_reason(place, path)
            if reason is not None:
                yield Half(_shown(path.relative_to(top).parts), path, reason, place)


def _half_reason(place: store.Store, path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            manifest = parse_manifest(stream.read(LIMIT_BYTES + 1))
    except BrokenManifest as error:
        return f"its manifest cannot be read: {error}"
    except OSError as error:
        return f"its manifest cannot be read: {error.strerror}"
    for layer in manifest.blobs:
        if place.has(layer):
            continue
        size = _size(place.blob_path(layer.digest))
        if size is None:
            return f"{layer.file_name[:19]}… is missing"
        return f"{layer.file_name[:19]}… has {size:,} bytes of {layer.size_bytes:,}"
    return None


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _shown(parts: tuple[str, ...]) -> str:
    """A stored name as people type it: the registry and the library are left out."""
    host, namespace, model, tag = parts
    shown = [] if host == "registry.ollama.ai" else [host]
    shown += [] if (host, namespace) == ("registry.ollama.ai", "library") else [namespace]
    return "/".join([*shown, f"{model}:{tag}"])


def _lost_models(
    kept: Iterable[store.Store], environ: Mapping[str, str]
) -> tuple[Path, str] | None:
    asked = environ.get("OLLAMA_MODELS", "").strip().strip("\"'").strip()
    if not asked:
        return None
    root = Path(asked)
    if any(_same(root, one.root) for one in kept):
        return None
    if not os.path.exists(root):  # noqa: PTH110 - never raises
        return root, "does not exist"
    if not os.path.isdir(root):  # noqa: PTH112 - never raises
        return root, "is not a folder"
    if not os.access(root, os.R_OK | os.X_OK):
        return root, "may not be read"
    return root, "holds no models that may be read"


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


# --- servers -----------------------------------------------------------------------------------


def _ollama(environ: Mapping[str, str]) -> Server:
    """Who answers where Ollama should, by its /api/version."""
    named = environ.get("OLLAMA_HOST", "").strip().strip("\"'").strip()
    url = ollama_host.connectable(ollama_host.parse(named))
    asked = bool(named)
    try:
        safe = remote.normalized_url(url)
        reply = web.request("GET", f"{safe}/api/version", connect_s=ASK_S, deadline_s=ASK_S)
        said = reply.json()
    except AgentlaunchError as error:
        if "@" in url:  # a password may stand there
            shown = re.sub(r"//.*@.*", "//***@…", url)
            return Server(shown, "unsafe", detail="a user or key in it is not taken", asked=asked)
        return Server(url, "unsafe", detail=error.message.removeprefix("--engine: "), asked=asked)
    except web.WebFault as fault:
        answered: Answered = "other" if fault.kind in {"not-json", "too-large"} else "nothing"
        return Server(url, answered, detail=str(fault), asked=asked)
    version = said.get("version") if isinstance(said, dict) else None
    if reply.status == 200 and isinstance(version, str):
        return Server(url, "yes", version[:40], asked=asked)
    return Server(url, "other", detail=f"it answered with status {reply.status}", asked=asked)


def _remote(name: str) -> Server | None:
    """Does the engine of the settings answer? None where it is ours, Ollama or no address."""
    url = remote.PRESETS.get(name.lower(), name)
    if "://" not in url:
        return None
    try:
        safe = remote.normalized_url(url)
    except AgentlaunchError:
        return None  # told with the settings
    try:
        web.request("GET", f"{safe}/v1/models", connect_s=ASK_S, deadline_s=2 * ASK_S)
    except web.WebFault as fault:
        if fault.kind == "too-large":
            return Server(safe, "yes", asked=True)
        return Server(safe, "nothing", detail=str(fault), asked=True)
    return Server(safe, "yes", asked=True)  # whatever it said: `up` tells what it is


# --- programs ----------------------------------------------------------------------------------


def _node_version() -> tuple[int, ...] | None:
    """Node's version, where it is needed because an agent is missing that we would install."""
    absent = [a for a in AGENTS.values() if process.find_program(a.binary) is None]
    node = process.find_program("node") if any(a.package for a in absent) else None
    if node is None:
        return None
    try:
        said = process.run([str(node), "--version"], timeout_s=NODE_S).stdout
    except (process.ToolNotFound, process.ToolTimeout):
        return ()
    found = re.match(r"v?([0-9]{1,6})\.([0-9]{1,6})", said.strip())
    return (int(found[1]), int(found[2])) if found else ()


def _hidden_all(environ: Mapping[str, str]) -> Iterator[Hidden]:
    for agent in AGENTS.values():
        yield from _hidden(agent, environ)


def _hidden(agent: Agent, environ: Mapping[str, str]) -> Iterator[Hidden]:
    folders = [Path(word) for word in environ.get("PATH", "").split(os.pathsep) if word]
    known = [expanded(place) for place in agent.known_places]
    found = [folder / agent.binary for folder in folders if folder.is_absolute()]
    for path in dict.fromkeys([*found, *(place for place in known if place is not None)]):
        if not os.path.lexists(path):
            continue
        if not os.path.exists(path):  # noqa: PTH110 - never raises
            yield Hidden(agent.name, path, "broken-link")
        elif path in found and _is_open(path.parent):
            yield Hidden(agent.name, path, "open-folder")
        elif not os.access(path, os.X_OK):
            yield Hidden(agent.name, path, "not-executable")


def expanded(text: str) -> Path | None:
    """A path with `~` in it, or None where no home is known."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return None


def _is_open(folder: Path) -> bool:
    try:
        return os.name == "posix" and bool(folder.stat().st_mode & 0o002)
    except OSError:
        return False
