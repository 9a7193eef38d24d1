"""The Python of a package: this one where it fits, else one that is on this machine."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agentlaunch.errors import AgentlaunchError
from agentlaunch.managed import Package
from agentlaunch.managed.interpreter import bounds, find_python

PACKAGE = Package(
    kind="pypi",
    name="tool",
    version="1.0",
    size_bytes=1,
    download_bytes=None,
    source="PyPI: tool 1.0",
    programs=(("tool", "bin/tool"),),
)
NEWER = f">=3.{sys.version_info[1] + 1}"


def python_at(place: Path, version: str, rc: int = 0) -> Path:
    """A Python that says its version and can do nothing else."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"#!/bin/sh\necho {version}\nexit {rc}\n")
    place.chmod(0o755)
    return place


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no other Python: an empty home, and a PATH that is one folder of ours."""
    for variable in ("PYENV_ROOT", "UV_PYTHON_INSTALL_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("agentlaunch.managed.interpreter.SYSTEM", ())
    return tmp_path


def test_this_python_is_taken_where_it_fits() -> None:
    assert find_python(PACKAGE) == Path(sys.executable)
    assert find_python(replace(PACKAGE, python=">=3.10")) == Path(sys.executable)


def test_another_on_path_is_taken_where_this_one_is_too_old(alone: Path) -> None:
    version = f"3.{sys.version_info[1] + 1}"
    place = python_at(alone / "bin" / f"python{version}", version)
    assert find_python(replace(PACKAGE, python=NEWER)) == place


@pytest.mark.parametrize(
    "place",
    [
        ".pyenv/versions/{0}.1/bin/python{0}",
        ".local/share/uv/python/cpython-{0}.1-linux-x86_64-gnu/bin/python{0}",
    ],
)
def test_what_pyenv_and_uv_have_is_found(alone: Path, place: str) -> None:
    version = f"3.{sys.version_info[1] + 1}"
    there = python_at(alone / "home" / place.format(version), version)
    assert find_python(replace(PACKAGE, python=NEWER)) == there


def test_a_stand_in_that_does_not_run_is_passed_over(alone: Path) -> None:
    version = f"3.{sys.version_info[1] + 1}"
    python_at(alone / "bin" / f"python{version}", "pyenv: command not found", rc=127)
    there = python_at(
        alone / "home" / ".pyenv" / "versions" / f"{version}.1" / "bin" / f"python{version}",
        version,
    )
    assert find_python(replace(PACKAGE, python=NEWER)) == there


def test_one_that_is_not_what_its_name_says_is_passed_over(alone: Path) -> None:
    python_at(alone / "bin" / f"python3.{sys.version_info[1] + 1}", "3.9")
    python_at(alone / "bin" / "python3", "3.9")
    with pytest.raises(AgentlaunchError) as caught:
        find_python(replace(PACKAGE, python=NEWER))
    assert caught.value.code == "python-missing"


def test_where_none_fits_the_way_out_is_named(alone: Path) -> None:
    assert not (alone / "bin").exists()
    with pytest.raises(AgentlaunchError) as caught:
        find_python(replace(PACKAGE, python=">=3.97,<3.99"))
    assert "Python 3.97 to 3.98 is needed to install tool" in caught.value.message
    assert "uv python install 3.97" in (caught.value.hint or "")


def test_bounds_are_read_and_nonsense_is_refused() -> None:
    assert bounds(">=3.10,<3.13") == ((3, 10), (3, 13))
    assert bounds("") == ((3, 0), (4, 0))
    with pytest.raises(ValueError, match="no comparison"):
        bounds("~=3.10")
