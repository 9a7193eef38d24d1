"""The version of a Python program, from the package that it was installed with; nothing is run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

HEAD_BYTES = 1024
"""A script names its Python at its very start."""

SITES = ("lib/python3*/site-packages", "lib64/python3*/site-packages", "lib/python3/dist-packages")

_LONG = re.compile(r"""'''exec' (?:"([^"]+)"|(\S+)) """)
"""How pip and uv write a Python whose path is too long for a first line, or holds a space (seen:
pip 23.2; uv's is the same)."""


def version_of(program: Path, package: str) -> str | None:
    """The version of the PyPI package behind a console script, None where it cannot be told.

    pipx and uv put a link to the script on PATH (pipx: `~/.local/share/pipx/venvs/NAME/bin`, uv:
    `~/.local/share/uv/tools/NAME/bin`): it is followed. What the script's first line names is the
    Python of its environment, and that one is not followed, since it leads out of it.
    """
    try:
        script = program.resolve(strict=True)
        with script.open("rb") as stream:
            head = stream.read(HEAD_BYTES).decode("utf-8", "replace")
    except (OSError, RuntimeError):
        return None
    python = _python(head)
    if python is None:
        return None
    found = {
        version
        for prefix in dict.fromkeys((script.parent.parent, python.parent.parent))
        for version in _versions(prefix, python.name, package)
    }
    return found.pop() if len(found) == 1 else None


def _python(head: str) -> Path | None:
    """The Python that a script runs with; None for what is no script of Python's."""
    lines = head.splitlines()
    if not lines or not lines[0].startswith("#!"):
        return None
    long = _LONG.match(lines[1]) if len(lines) > 1 else None
    text = (long[1] or long[2]) if long else lines[0][2:].strip()
    if not long and not Path(text).is_absolute():
        return None
    path = Path(text) if long else Path(text.split(" -")[0])  # `#!/usr/bin/python3 -sP`
    return path if path.name.startswith(("python", "pypy")) else None


def _versions(prefix: Path, python: str, package: str) -> Iterator[str]:
    wanted = _normal(package)
    own = f"/{python}/" if re.fullmatch(r"python3\.[0-9]+", python) else ""
    for pattern in SITES:
        for site in _glob(prefix, pattern):
            if own and "/python3." in str(site) and own not in f"{site}/":
                continue
            for info in _glob(site, "*.dist-info"):
                name, dash, version = info.name.removesuffix(".dist-info").partition("-")
                if dash and _normal(name) == wanted:
                    yield version


def _glob(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
