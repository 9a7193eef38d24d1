"""Bring a package from PyPI: a virtual environment of its own, by pip or else by uv."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from agentlaunch import files, process
from agentlaunch.errors import AgentlaunchError
from agentlaunch.keys import PROVIDER_KEYS
from agentlaunch.managed.installer import run_installer
from agentlaunch.managed.interpreter import find_python
from agentlaunch.managed.package import Package, log_path
from agentlaunch.progress import Work
from agentlaunch.settings import Paths

BIN = "Scripts" if os.name == "nt" else "bin"
PYTHON = f"{BIN}/python.exe" if os.name == "nt" else f"{BIN}/python"
"""Path of the Python inside an environment."""


def install_pypi(package: Package, paths: Paths, building: Path, root: Path) -> Work[None]:
    """Install into `building / "env"`, with scripts that will run at `root`."""
    env_root = building / "env"
    python = env_root / PYTHON
    requirements = building / "requirements.txt"
    line = f"{package.name}=={package.version}"
    line += "".join(f" --hash=sha256:{digest}" for digest in package.hashes)
    files.write_atomic(requirements, "\n".join((line, *package.extra, "")).encode())
    only = ["--only-binary=:all:", *(f"--no-binary={name}" for name in package.from_source)]
    only += ["-r", str(requirements)]
    if package.hashes:
        only = ["--no-deps", "--require-hashes", *only]

    uv = yield from _make_venv(package, paths, building)
    if uv is None:
        cache = paths.cache / "pip"
        argv = [str(python), "-I", "-m", "pip", "install", "--no-input", *only]
    else:
        cache = paths.cache / "uv"
        argv = [str(uv), "pip", "install", "--python", str(python), *only]
    yield from run_installer(package, paths, building, argv, _pip_env(paths, building), cache)
    _mend_scripts(env_root, root)


def _make_venv(package: Package, paths: Paths, building: Path) -> Work[Path | None]:
    """Make the virtual environment by a Python's `venv`, else by `uv`, whose path it gives."""
    env = _pip_env(paths, building)
    env_root = building / "env"
    base = str(find_python(package))
    own = [base, "-I", "-m", "venv", str(env_root)]
    cache = paths.cache / "pip"
    try:
        yield from run_installer(package, paths, building, own, env, cache)
    except AgentlaunchError as error:
        written = files.tail(log_path(package, paths))
        if not any(word in written for word in ("ensurepip", "No module named", "python3-venv")):
            raise
        uv = process.find_program("uv")
        if uv is None:
            raise AgentlaunchError(
                f"this Python ({base}) cannot make virtual environments",
                hint="install its `venv` (Debian, Ubuntu: `sudo apt install python3-venv`) "
                "or install uv, then run the same command again",
                code="venv-missing",
            ) from error
    else:
        return None
    shutil.rmtree(env_root, ignore_errors=True)
    by_uv = [str(uv), "venv", "--python", base, str(env_root)]
    yield from run_installer(package, paths, building, by_uv, env, cache)
    return uv


def _pip_env(paths: Paths, building: Path) -> dict[str, str]:
    """The user's environment and pip settings (index, proxy, certificates), our cache and place."""
    elsewhere = {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON", "VIRTUAL_ENV"}
    elsewhere |= set(PROVIDER_KEYS)  # what is built from source must not read them
    elsewhere |= {"PIP_REQUIRE_HASHES", "PIP_REQUIREMENT", "PIP_CONSTRAINT", "PIP_LOG"}
    env = {
        k: v
        for k, v in os.environ.items()
        if k.upper() not in elsewhere and k not in {"PYTHONPATH", "PYTHONHOME"}
    }
    env |= {
        "PIP_CACHE_DIR": str(paths.cache / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_RETRIES": os.environ.get("PIP_RETRIES", "2"),
        "PIP_PROGRESS_BAR": "off",
        "UV_CACHE_DIR": str(paths.cache / "uv"),
        "UV_NO_PROGRESS": "1",
        # pip asks `rustc` for its version; rustup's stand-in would leave a folder in the home
        "RUSTUP_HOME": os.environ.get("RUSTUP_HOME") or str(building / "tmp" / "rustup"),
        "TMPDIR": str(building / "tmp"),
    }
    return env


def _mend_scripts(built_at: Path, root: Path) -> None:
    """Console scripts name their Python by its absolute path: point them at the final place."""
    for script in (built_at / BIN).iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        text = script.read_bytes()
        if text.startswith(b"#!") and os.fsencode(built_at) in text:
            mode = script.stat().st_mode & 0o777
            text = text.replace(os.fsencode(built_at), os.fsencode(root))
            files.write_atomic(script, text, mode=mode)
