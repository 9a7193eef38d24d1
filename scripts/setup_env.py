"""Make the checkout's virtual environment, once: `.venv` with agentlaunch and what is asked for.

Stands alone (standard library). Prints the environment's Python on stdout; steps go to stderr.
A stamp of the project's metadata makes the second run immediate.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"


def main() -> int:
    """Create or reuse `.venv`; extra packages are the arguments."""
    if sys.version_info < (3, 10):  # noqa: UP036 - runs before anything checked the version
        sys.stderr.write("agentlaunch needs Python 3.10 or newer\n")
        return 1
    wanted = sys.argv[1:]
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    text = (ROOT / "pyproject.toml").read_bytes() + repr((sys.version, str(ROOT), wanted)).encode()
    stamp = VENV / f".agentlaunch-{hashlib.sha256(text).hexdigest()[:16]}"
    if not (stamp.exists() and python.exists()):
        if not python.exists():
            shutil.rmtree(VENV, ignore_errors=True)
            sys.stderr.write("making the virtual environment .venv\n")
            if subprocess.call([sys.executable, "-m", "venv", str(VENV)]):
                sys.stderr.write(
                    "hint: install the venv module (Debian, Ubuntu: apt install python3-venv)\n"
                )
                return 1
        sys.stderr.write("installing agentlaunch and its dependencies into it\n")
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        if subprocess.call([*pip, "-e", str(ROOT), *wanted], stdout=sys.stderr):
            return 1
        for old in VENV.glob(".agentlaunch-*"):
            old.unlink()
        stamp.touch()
    sys.stdout.write(f"{python}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
