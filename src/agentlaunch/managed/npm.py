"""Bring a package by npm: a prefix of its own, our cache, the user's registry and proxy."""

from __future__ import annotations

import os
from pathlib import Path

from agentlaunch import files, process
from agentlaunch.errors import AgentlaunchError
from agentlaunch.managed.installer import run_installer
from agentlaunch.managed.package import Package
from agentlaunch.progress import Work
from agentlaunch.settings import Paths


def install_npm(package: Package, paths: Paths, building: Path) -> Work[None]:
    """Install into `building / "env"`; raises `AgentlaunchError` without a fitting Node.js."""
    npm = _find_npm(package)
    env_root = building / "env"
    env_root.mkdir()
    files.write_json(env_root / "package.json", {"private": True}, mode=0o644)
    argv = [
        str(npm),
        "install",
        f"{package.name}@{package.version}",
        f"--prefix={env_root}",
        "--global=false",
        "--save-exact",
        "--omit=dev",
        "--include=optional",
        f"--ignore-scripts={'false' if package.run_scripts else 'true'}",
    ]
    cache = paths.cache / "npm"
    yield from run_installer(package, paths, building, argv, _npm_env(cache, building), cache)


def _npm_env(cache: Path, building: Path) -> dict[str, str]:
    """The user's environment and npmrc (registry, proxy, certificates) with a cache of our own.

    What a surrounding `npm run` puts there would point npm at another project.
    """
    surrounding = ("npm_config_prefix", "npm_config_global", "npm_config_local", "npm_package_")
    env = {k: v for k, v in os.environ.items() if not k.lower().startswith(surrounding)}
    env |= {
        "npm_config_cache": str(cache),
        # The default waits minutes before it says that there is no network
        "npm_config_fetch_retries": "1",
        "npm_config_fetch_retry_mintimeout": "2000",
        "npm_config_update_notifier": "false",
        "npm_config_audit": "false",
        "npm_config_fund": "false",
        "npm_config_loglevel": "error",
        "npm_config_logs_max": "0",
        "npm_config_progress": "false",
        "npm_config_color": "false",
        "TMPDIR": str(building / "tmp"),
    }
    return env


def _find_npm(package: Package) -> Path:
    """Npm, with a Node.js that is new enough for the package."""
    way_out = (
        "install Node.js (your system's package manager, or https://nodejs.org), "
        "then run the same command again"
    )
    floor = package.min_node or (18, 0)
    wanted = f"Node.js >= {floor[0]}" + (f".{floor[1]}" if floor[1] else "")
    node, npm = process.find_program("node"), process.find_program("npm")
    if node is None or npm is None:
        lacking = "Node.js was not found" if node is None else "its `npm` was not found"
        raise AgentlaunchError(
            f"{wanted} with npm is needed to install {package.name}, {lacking}",
            hint=way_out,
            code="node-missing",
        )
    said = process.run([str(node), "--version"], timeout_s=20).stdout.strip()
    numbers = said.removeprefix("v").split(".")[:2]
    found = tuple(int(n) for n in numbers) if all(n.isdecimal() for n in numbers) else ()
    if found and found < floor:
        version = ".".join(str(n) for n in found)
        raise AgentlaunchError(
            f"{wanted} is needed to install {package.name}, found {version} at {node}",
            hint=way_out,
            code="node-too-old",
        )
    return npm
