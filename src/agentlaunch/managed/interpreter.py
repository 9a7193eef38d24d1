"""Which Python a package is installed with: this one where it fits, else a newer or older one that
is already on this machine."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from agentlaunch import process
from agentlaunch.errors import AgentlaunchError
from agentlaunch.managed.package import Package

Numbers = tuple[int, int]

ASK = "import sys; print('%d.%d' % sys.version_info[:2])"
ASK_TIMEOUT_S = 20.0
KNOWN_MINORS = range(10, 21)
SYSTEM = ("/opt/homebrew/bin", "/usr/local/bin", "/usr/bin")

_COMPARISON = re.compile(r"(>=|<)3\.([0-9]{1,2})")


def find_python(package: Package) -> Path:
    """A Python that meets `package.python`; raises `AgentlaunchError` where there is none.

    Nothing is downloaded: a Python is the user's to install.
    """
    floor, limit = bounds(package.python)
    own = Path(sys.executable)
    if floor <= (sys.version_info[0], sys.version_info[1]) < limit:
        return own
    for place in _places(floor, limit):
        if _answers(place, floor, limit):
            return place
    wanted = f"Python {floor[0]}.{floor[1]}" + (
        " or newer" if limit[0] > floor[0] else f" to {limit[0]}.{limit[1] - 1}"
    )
    raise AgentlaunchError(
        f"{wanted} is needed to install {package.name}, and only "
        f"{sys.version_info[0]}.{sys.version_info[1]} was found",
        hint=f"install one (`uv python install {floor[0]}.{floor[1]}`, pyenv or your system's "
        "package manager), then run the same command again",
        code="python-missing",
    )


def bounds(comparisons: str) -> tuple[Numbers, Numbers]:
    """`>=3.10,<3.13` as the lowest version that fits and the lowest above it that does not.

    Raises `ValueError` for what is no such comparison: these stand in our own files.
    """
    floor, limit = (3, 0), (4, 0)
    for word in filter(None, comparisons.split(",")):
        found = _COMPARISON.fullmatch(word.strip())
        if found is None:
            raise ValueError(f"{word!r} is no comparison of Python versions")
        if found[1] == ">=":
            floor = (3, int(found[2]))
        else:
            limit = (3, int(found[2]))
    return floor, limit


def _answers(program: Path, floor: Numbers, limit: Numbers) -> bool:
    """Does it run, and is it what its name says? (pyenv's shims are there without their Python.)"""
    try:
        done = process.run([str(program), "-I", "-c", ASK], timeout_s=ASK_TIMEOUT_S)
    except (process.ToolNotFound, process.ToolTimeout):
        return False
    words = done.stdout.strip().split(".")
    if done.rc != 0 or len(words) != 2 or not all(word.isdecimal() for word in words):
        return False
    return floor <= (int(words[0]), int(words[1])) < limit


def _places(floor: Numbers, limit: Numbers) -> Iterator[Path]:
    """Where Pythons lie, the oldest that fits first: it has wheels for everything."""
    for minor in KNOWN_MINORS:
        if floor <= (3, minor) < limit:
            yield from _of_version(f"3.{minor}")
    for name in ("python3", "python"):
        found = process.find_program(name)
        if found is not None:
            yield found


def _of_version(version: str) -> Iterator[Path]:
    name = f"python{version}"
    if os.name == "nt":
        short = version.replace(".", "")
        programs = os.environ.get("LOCALAPPDATA", "")
        if programs:
            yield from _existing(
                [Path(programs) / "Programs" / "Python" / f"Python{short}" / "python.exe"]
            )
        return
    found = process.find_program(name)
    if found is not None:
        yield found
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    uv = Path(
        os.environ.get("UV_PYTHON_INSTALL_DIR")
        or Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "uv" / "python"
    )
    yield from _existing(sorted(pyenv.glob(f"{version}.*/bin/{name}")))
    yield from _existing(sorted(uv.glob(f"cpython-{version}.*/bin/{name}")))
    yield from _existing([Path(folder) / name for folder in SYSTEM])
    frameworks = Path("/Library/Frameworks/Python.framework/Versions")  # python.org's, macOS
    yield from _existing([frameworks / version / "bin" / name])


def _existing(places: list[Path]) -> Iterator[Path]:
    yield from (place for place in places if place.is_file())
