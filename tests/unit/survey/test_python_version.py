"""The version of a Python program is read beside it, wherever an installer has put it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentlaunch.survey.python_version import version_of


def environment(root: Path, *versions: str, python: str = "python3.12") -> Path:
    """A virtual environment with these versions of a package; gives its folder of programs."""
    site = root / "lib" / python / "site-packages"
    site.mkdir(parents=True, exist_ok=True)
    for version in versions:
        (site / f"mistral_vibe-{version}.dist-info").mkdir()
    (site / "mistral_vibe_extras-9.9.dist-info").mkdir(exist_ok=True)
    (root / "bin").mkdir(exist_ok=True)
    return root / "bin"


def script(place: Path, *lines: str) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("\n".join((*lines, "from vibe import main", "")))
    place.chmod(0o755)
    return place


def test_a_program_of_a_virtual_environment(tmp_path: Path) -> None:
    programs = environment(tmp_path / "env", "3.0.2")
    (programs / "python").symlink_to("/usr/bin/python3")
    program = script(programs / "vibe", f"#!{programs}/python")
    assert version_of(program, "mistral-vibe") == "3.0.2"
    assert version_of(program, "Mistral.Vibe") == "3.0.2"
    assert version_of(program, "mistral") is None


@pytest.mark.parametrize("place", [".local/share/pipx/venvs", ".local/share/uv/tools"])
def test_the_link_that_pipx_and_uv_put_on_path_is_followed(tmp_path: Path, place: str) -> None:
    programs = environment(tmp_path / place / "mistral-vibe", "3.0.2")
    script(programs / "vibe", f"#!{programs}/python3")
    link = tmp_path / ".local" / "bin" / "vibe"
    link.parent.mkdir(parents=True)
    link.symlink_to(programs / "vibe")
    assert version_of(link, "mistral-vibe") == "3.0.2"


def test_a_python_whose_path_is_long_or_holds_a_space(tmp_path: Path) -> None:
    programs = environment(tmp_path / "my tools" / "env", "3.0.2")
    line = f"""'''exec' "{programs}/python" "$0" "$@\""""
    program = script(tmp_path / "bin" / "vibe", "#!/bin/sh", line, "' '''")
    assert version_of(program, "mistral-vibe") == "3.0.2"


def test_a_program_of_the_users_own_site_beside_a_python_of_the_system(tmp_path: Path) -> None:
    environment(tmp_path / ".local", "3.0.2", python="python3.12")
    environment(tmp_path / ".local", "2.0.0", python="python3.11")
    program = script(tmp_path / ".local" / "bin" / "vibe", "#!/usr/bin/python3.12 -sP")
    assert version_of(program, "mistral-vibe") == "3.0.2"


def test_two_versions_that_may_both_be_meant_are_none(tmp_path: Path) -> None:
    programs = environment(tmp_path / "env", "3.0.2", "3.0.1")
    program = script(programs / "vibe", f"#!{programs}/python")
    assert version_of(program, "mistral-vibe") is None


@pytest.mark.parametrize(
    "first", ["#!/usr/bin/env bash", "#!/usr/bin/env python3", "\x7fELF", "#!node", ""]
)
def test_what_names_no_python_of_its_own_tells_nothing(tmp_path: Path, first: str) -> None:
    program = script(environment(tmp_path / "env") / "vibe", first)
    assert version_of(program, "mistral-vibe") is None


def test_what_is_not_there_tells_nothing(tmp_path: Path) -> None:
    assert version_of(tmp_path / "vibe", "mistral-vibe") is None
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert version_of(loop, "mistral-vibe") is None
