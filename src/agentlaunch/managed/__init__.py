"""Isolated environments that we own: npm prefixes and virtual environments, pinned and removable.

One folder per package and version under `paths.managed`. It is built in a folder beside its place
and moved there by one rename, so what lies there is whole; what a killed install leaves is swept by
the next one. Never global, never with rights that the user does not have.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agentlaunch import files
from agentlaunch.errors import AgentlaunchError, NotSupported, Refused
from agentlaunch.managed.faults import no_space
from agentlaunch.managed.installer import end_orphan
from agentlaunch.managed.node import FLOOR as NODE_FLOOR
from agentlaunch.managed.node import NODE, needs_node, runner_for, too_old, version_of
from agentlaunch.managed.npm import install_npm
from agentlaunch.managed.package import KINDS, Kind, Package, log_path, package_name
from agentlaunch.managed.place import MANIFEST, file_in, installed, program, root_of
from agentlaunch.managed.pypi import install_pypi
from agentlaunch.progress import Progress, Work
from agentlaunch.settings import Paths

__all__ = [
    "KINDS",
    "MANIFEST",
    "NODE",
    "NODE_FLOOR",
    "Installed",
    "Kind",
    "Package",
    "install",
    "installed",
    "installed_all",
    "needs_node",
    "program",
    "remove",
    "runner_for",
    "too_old",
    "version_of",
    "wait_for_lock",
]

BUILDING = ".installing-"
REMOVING = ".removing-"
LOCK_WAIT_S = 1800.0


@dataclass(frozen=True, slots=True)
class Installed:
    """A folder of ours: a complete environment, or what a crash left of one."""

    kind: Kind
    name: str
    version: str
    path: Path
    size_bytes: int
    complete: bool


def install(package: Package, paths: Paths, *, offline: bool = False) -> Work[Path]:
    """Bring a package, or find it there; gives the root of its environment.

    Two at once: the second waits, then finds what the first built. Raises `NotSupported` when
    offline, `AgentlaunchError` when npm or pip failed (with the last lines they wrote).
    """
    found = installed(package, paths)
    if found is not None:
        return found
    if offline:
        raise NotSupported(
            f"{package.name} {package.version} is not installed, and nothing is installed offline",
            hint="run the same command once without --offline",
            code="offline",
        )
    root = root_of(package, paths)
    for folder in (paths.managed, root.parent, paths.cache, paths.logs):
        files.private_dir(folder)
    with contextlib.ExitStack() as held:
        lock = _lock(root.parent, root.name)
        yield from wait_for_lock(held, lock, what=f"installing {package.name}")
        found = installed(package, paths)
        if found is None:
            _sweep(root.parent, root.name)
            _check_disk(package, paths)
            yield from _build(package, paths, root)
    return root


def installed_all(paths: Paths) -> tuple[Installed, ...]:
    """Every environment of ours with its size, and the leftovers of crashed installs."""
    return tuple(
        entry
        for kind in KINDS
        for path in _folders(paths.managed / kind)
        for entry in (_describe(kind, path),)
    )


def remove(entry: Installed) -> None:
    """Remove an environment or a leftover; that nothing runs from it is the caller's concern.

    Raises `Refused` while an install of the same package runs.
    """
    folder = entry.path.parent
    key = _key_of(entry.path)
    with files.locked(_lock(folder, key), timeout_s=0.2, what=f"installing {entry.name}"):
        end_orphan(entry.path)
        doomed = entry.path
        if not doomed.name.startswith((BUILDING, REMOVING)):
            doomed = Path(tempfile.mkdtemp(prefix=f"{REMOVING}{key}-", dir=folder)) / "env"
            entry.path.rename(doomed)
            doomed = doomed.parent
        try:
            shutil.rmtree(doomed)
        except OSError as error:
            raise AgentlaunchError(
                f"{entry.name} {entry.version} could not be removed: {error}",
                hint=f"remove the folder yourself: {doomed}",
                code="not-removed",
            ) from error


def wait_for_lock(
    held: contextlib.ExitStack, path: Path, *, what: str, timeout_s: float = LOCK_WAIT_S
) -> Work[None]:
    """Take a lock into `held`, saying so while another has it; `Refused` after `timeout_s`."""
    limit = time.monotonic() + timeout_s
    while True:
        try:
            held.enter_context(files.locked(path, timeout_s=0.2, what=what))
        except Refused as error:
            if error.code != "locked" or time.monotonic() > limit:
                raise
            yield Progress(f"waiting for another agentlaunch that is {what}")
        else:
            return


# --- places ------------------------------------------------------------------------------------


def _lock(folder: Path, key: str) -> Path:
    return folder / f".{key}.lock"


def _key_of(path: Path) -> str:
    """The environment's own folder name, also for a leftover of it."""
    for prefix in (BUILDING, REMOVING):
        if path.name.startswith(prefix):
            return path.name.removeprefix(prefix).rpartition("-")[0]
    return path.name


def _folders(folder: Path) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    yield from (path for path in entries if path.is_dir() and not path.is_symlink())


def _describe(kind: Kind, path: Path) -> Installed:
    name, _at, version = _key_of(path).rpartition("@")
    manifest = files.read_json(path / MANIFEST) or {}
    size = manifest.get("size_bytes")
    complete = path.name == _key_of(path) and manifest.get("version") == version
    return Installed(
        kind=kind,
        name=package_name(name),
        version=version,
        path=path,
        size_bytes=size if complete and isinstance(size, int) else files.tree_bytes(path),
        complete=complete,
    )


# --- leftovers ---------------------------------------------------------------------------------


def _sweep(folder: Path, own_key: str) -> None:
    """Remove what killed installs left, ours (we hold its lock) and that of others not at work."""
    for path in _folders(folder):
        if not path.name.startswith((BUILDING, REMOVING)):
            continue
        key = _key_of(path)
        with contextlib.ExitStack() as held:
            if key != own_key:
                try:
                    held.enter_context(files.locked(_lock(folder, key), timeout_s=0, what=key))
                except Refused:
                    continue
            end_orphan(path)
            shutil.rmtree(path, ignore_errors=True)


def _check_disk(package: Package, paths: Paths) -> None:
    need = int(package.size_bytes * 1.1) + 2 * (package.download_bytes or 0)
    free = files.disk_free_bytes(paths.managed)
    if free is not None and free < need:
        raise no_space(package, paths)


# --- building ----------------------------------------------------------------------------------


def _build(package: Package, paths: Paths, root: Path) -> Work[None]:
    """Build the environment beside its place and move it there; leaves nothing when it fails."""
    building = Path(tempfile.mkdtemp(prefix=f"{BUILDING}{root.name}-", dir=root.parent))
    env_root = building / "env"
    try:
        (building / "tmp").mkdir()
        if package.kind == "npm":
            yield from install_npm(package, paths, building)
        else:
            yield from install_pypi(package, paths, building, root)
        missing = [
            name for name, place in package.programs if not file_in(env_root, place).exists()
        ]
        if missing:
            raise AgentlaunchError(
                f"{package.source} was installed, but has no {', '.join(missing)} for this system",
                hint=f"see what was written: {log_path(package, paths)}",
                code="install-incomplete",
            )
        manifest = {
            "kind": package.kind,
            "name": package.name,
            "version": package.version,
            "size_bytes": files.tree_bytes(env_root),
        }
        files.write_json(env_root / MANIFEST, manifest)
        if root.exists():  # damaged since: `installed` did not take it
            root.rename(building / "damaged")
        env_root.rename(root)
    except OSError as error:
        raise AgentlaunchError(
            f"{package.name} could not be installed: {error}", code="install-failed"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
