"""A fast start: what must not be imported before a command needs it. Exact, never timed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "httpx", "rich", "psutil", "pydantic", "filelock", "platformdirs", "asyncio", "ssl", "keyring",
    "questionary",
)  # fmt: skip

LISTS_MODULES = """
import sys
from agentlaunch.cli import main
status = main(sys.argv[1:])
sys.stderr.write("\\nMODULES " + " ".join(sys.modules))
sys.exit(status)
"""


def _modules(home: Path, *argv: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-I", "-c", LISTS_MODULES, *argv],
        capture_output=True,
        text=True,
        check=True,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
    )
    return set(done.stderr.rpartition("MODULES ")[2].split())


@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_nothing_heavy_is_imported(flag: str, tmp_path: Path) -> None:
    loaded = _modules(tmp_path, flag)
    assert {name for name in HEAVY if name in loaded} == set()


def test_the_version_needs_no_argument_parser(tmp_path: Path) -> None:
    assert "typer" not in _modules(tmp_path, "--version")


@pytest.mark.parametrize("command", ["up", "models", "agents", "engines", "doctor", "config"])
def test_help_of_a_command_imports_no_command(command: str, tmp_path: Path) -> None:
    loaded = _modules(tmp_path, command, "--help")
    assert {name for name in HEAVY if name in loaded} == set()
    assert "agentlaunch.survey" not in loaded


def test_a_look_at_what_restore_would_do_imports_nothing_heavy(tmp_path: Path) -> None:
    loaded = _modules(tmp_path, "restore", "--dry-run")
    heavy = {"httpx", "rich", "psutil", "pydantic", "filelock", "ruamel", "keyring", "questionary"}
    assert heavy & loaded == set()
