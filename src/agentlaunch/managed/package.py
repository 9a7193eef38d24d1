"""What a package of ours is: a program that we can bring, pinned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentlaunch.settings import Paths

Kind = Literal["npm", "pypi"]
KINDS: tuple[Kind, ...] = ("npm", "pypi")


@dataclass(frozen=True, slots=True)
class Package:
    """A program that we can bring, pinned. `size_bytes` is what it takes when installed.

    A package with `hashes` (sha256 of every file that its version was published with) is installed
    without dependencies and from nothing else.
    """

    kind: Kind
    name: str
    version: str
    size_bytes: int
    download_bytes: int | None
    source: str
    """What a person is told before it is fetched: "npm: @scope/name 1.2.3"."""
    programs: tuple[tuple[str, str], ...]
    """Name of each program and its path inside the environment."""
    min_node: tuple[int, int] | None = None
    run_scripts: bool = False
    """Whether its own install script must run (npm); off unless it cannot work without."""
    hashes: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    """Requirements installed beside it (PyPI), pinned: what it imports and does not ask for."""
    from_source: tuple[str, ...] = ()
    """What it needs that is published as source alone (PyPI): built here; all else is wheels."""
    python: str = ""
    """The Pythons that it runs on (PyPI): `>=3.12,<3.14`; "" for every one that runs us."""


def folder_name(name: str) -> str:
    """A package's name as one word of a path (npm's scoped names have a slash)."""
    return name.replace("/", "+")


def package_name(folder: str) -> str:
    """The package behind a `folder_name`."""
    return folder.replace("+", "/")


def log_path(package: Package, paths: Paths) -> Path:
    """Where its installer's output goes."""
    return paths.logs / f"install-{folder_name(package.name)}.log"
