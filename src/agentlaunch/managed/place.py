"""Where a package of ours lies, and whether it is whole."""

from __future__ import annotations

from pathlib import Path

from agentlaunch import files
from agentlaunch.managed.package import Package, folder_name
from agentlaunch.settings import Paths

MANIFEST = "agentlaunch.json"


def root_of(package: Package, paths: Paths) -> Path:
    """The folder of this package at this version, there or not."""
    key = f"{folder_name(package.name)}@{package.version}"
    return paths.managed / package.kind / key


def file_in(root: Path, place: str) -> Path:
    """A program's file; a `*` stands for what differs between Pythons."""
    found = sorted(root.glob(place)) if "*" in place else []
    return found[0] if found else root / place


def installed(package: Package, paths: Paths) -> Path | None:
    """The root of the package's environment when it is complete, else None."""
    root = root_of(package, paths)
    manifest = files.read_json(root / MANIFEST)
    if manifest is None or manifest.get("version") != package.version:
        return None
    whole = all(file_in(root, place).exists() for _name, place in package.programs)
    return root if whole else None


def program(package: Package, name: str, paths: Paths) -> Path | None:
    """One program of an installed package; raises `KeyError` for a name it never had."""
    place = dict(package.programs)[name]
    root = installed(package, paths)
    return None if root is None else file_in(root, place)
