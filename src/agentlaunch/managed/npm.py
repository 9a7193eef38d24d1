"""Bring a package by npm: a prefix of its own, our cache, the user's registry and proxy."""

from __future__ import annotations

import os
from pathlib import Path

from agentlaunch import files, process
from agentlaunch.errors import AgentlaunchError
from agentlaunch.keys import PROVIDER_KEYS
from agentlaunch.managed.installer import run_installer
from agentlaunch.managed.node import FLOOR, NODE, Node, fitting, version_of
from agentlaunch.managed.package import Package
from agentlaunch.progress import Work
from agentlaunch.settings import Paths


def install_npm(package: Package, paths: Paths, building: Path) -> Work[None]:
    """Install into `building / "env"`; raises `AgentlaunchError` without a fitting Node.js."""
    node = _find_node(package, paths)
    env_root = building / "env"
    env_root.mkdir()
    files.write_json(env_root / "package.json", {"private": True}, mode=0o644)
    argv = [
        *node.npm,
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
    yield from run_installer(package, paths, building, argv, _npm_env(cache, building, node), cache)


def _npm_env(cache: Path, building: Path, node: Node) -> dict[str, str]:
    """The user's environment and npmrc (registry, proxy, certificates) with a cache of our own.

    A package's scripts must not read his keys of model providers.

    What a surrounding `npm run` puts there would point npm at another project.
    """
    surrounding = ("npm_config_prefix", "npm_config_global", "npm_config_local", "npm_package_")
    env = {
        k: v
        for k, v in os.environ.items()
        if not k.lower().startswith(surrounding) and k.upper() not in PROVIDER_KEYS
    }
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
    if node.ours:  # for the scripts of packages; nobody else's PATH is touched
        env["PATH"] = os.pathsep.join([str(node.path.parent), env.get("PATH", "")])
    return env


def _find_node(package: Package, paths: Paths) -> Node:
    """A Node.js that is new enough, and npm with it."""
    found = fitting(package, paths)
    if found is not None:
        return found
    way_out = (
        f"agentlaunch can bring one of its own ({NODE.source}): agentlaunch agents install NAME; "
        "or install Node.js (your system's package manager, or https://nodejs.org)"
    )
    floor = package.min_node or FLOOR
    wanted = f"Node.js >= {floor[0]}" + (f".{floor[1]}" if floor[1] else "")
    node, npm = process.find_program("node"), process.find_program("npm")
    if node is None or npm is None:
        lacking = "Node.js was not found" if node is None else "its `npm` was not found"
        raise AgentlaunchError(
            f"{wanted} with npm is needed to install {package.name}, {lacking}",
            hint=way_out,
            code="node-missing",
        )
    version = ".".join(str(n) for n in version_of(node))
    raise AgentlaunchError(
        f"{wanted} is needed to install {package.name}, found {version} at {node}",
        hint=way_out,
        code="node-too-old",
    )
