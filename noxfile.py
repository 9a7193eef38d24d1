"""The project's tasks. `nox` runs what CI runs; `nox -s full` the long matrix; `nox -l` lists."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False
SIDE_BY_SIDE = ("-n", "3", "--dist", "worksteal")
"""Most tests wait for servers and processes; three at a time keep two cores at work."""

nox.options.sessions = ["lint", "types", "unit", "contract", "startup", "e2e"]

PROJECT = nox.project.load_toml("pyproject.toml")
WITH_LITELLM = (
    "tests/contract/test_real_servers.py",
    "tests/contract/test_gateway_litellm.py",
    "tests/contract/test_gateway_real.py",
    "tests/e2e/test_hybrid.py",
)
CHECKED = ("src", "tests", "scripts", "noxfile.py")


def _group(name: str) -> list[str]:
    return list(nox.project.dependency_groups(PROJECT, name))


def _prepare(session: nox.Session, *groups: str) -> None:
    session.install("-e", ".", *(row for group in groups for row in _group(group)))


def _install_wheel(session: nox.Session) -> None:
    """Build the wheel afresh and install it: what a user gets, not the source tree."""
    folder = Path(session.create_tmp()) / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    session.install("build[uv]", *_group("test"))
    built = ("--wheel", "--installer=uv", "-o", str(folder))
    session.run("python", "-m", "build", *built, silent=True)
    (wheel,) = folder.glob("*.whl")
    session.install(str(wheel))
    session.install("--force-reinstall", "--no-deps", str(wheel))  # the version stays, the code not


@nox.session
def lint(session: nox.Session) -> None:
    """Format, lint, spelling, and generated files that must be fresh."""
    _prepare(session, "lint")
    session.run("ruff", "format", "--check", *CHECKED)
    session.run("ruff", "check", *CHECKED)
    session.run("codespell", "src", "tests", "scripts", "docs", "README.md", "CONTRIBUTING.md")
    session.run("python", "scripts/refresh_catalog.py", "--check")
    session.run("python", "scripts/refresh_prices.py", "--check")
    session.run("python", "scripts/build_docs_tables.py", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict, over everything."""
    _prepare(session, "types")
    session.run("mypy")


@nox.session
def unit(session: nox.Session) -> None:
    """Pure rooms on recorded facts: seconds, no network, no engine."""
    _prepare(session, "test")
    session.run("pytest", "tests/unit", *SIDE_BY_SIDE, *session.posargs)


@nox.session
def contract(session: nox.Session) -> None:
    """One suite against fakes with faults and against the real llama.cpp engine."""
    _prepare(session, "test")
    session.run("pytest", "tests/contract", *SIDE_BY_SIDE, *session.posargs)


@nox.session
def servers(session: nox.Session) -> None:
    """Real servers: llama.cpp's, and LiteLLM's proxy as launches bring it (460 MB), with agents."""
    _prepare(session, "test")
    env = {**os.environ, "AGENTLAUNCH_TEST_LITELLM": "1"}
    session.run("pytest", *WITH_LITELLM, *session.posargs, env=env)


@nox.session
def startup(session: nox.Session) -> None:
    """The import rule of a fast start, from the built wheel; prints the times, asserts none."""
    _install_wheel(session)
    session.run("pytest", "tests/startup", *session.posargs)
    session.run("python", "scripts/bench/startup", "--runs", "5")


@nox.session
def e2e(session: nox.Session) -> None:
    """The installed wheel in an empty HOME, with real agents and the real engine."""
    _install_wheel(session)
    session.run("pytest", "tests/e2e", *SIDE_BY_SIDE, *session.posargs)


@nox.session
def agents(session: nox.Session) -> None:
    """Every agent's real program, the second class too (some gigabytes, twenty minutes)."""
    _install_wheel(session)
    env = {**os.environ, "AGENTLAUNCH_TEST_ALL_AGENTS": "1"}
    session.run("pytest", "tests/e2e", *session.posargs, env=env)


@nox.session
def patience(session: nox.Session) -> None:
    """An engine that is silent for six minutes, with three real agents (seven minutes)."""
    _install_wheel(session)
    env = {**os.environ, "AGENTLAUNCH_TEST_SLOW": "1"}
    session.run("pytest", "tests/e2e/test_slow_engine.py", *session.posargs, env=env)


@nox.session
def manifests(session: nox.Session) -> None:
    """Manifests before the validators of Ray and SkyPilot, and the names in vLLM (2 GB)."""
    _prepare(session, "test")
    folder = Path(session.create_tmp()).absolute()
    for name, package in {"ray": "ray[serve]==2.60.0", "sky": "skypilot==0.14.1"}.items():
        session.run("python", "-m", "venv", str(folder / name))
        session.run(str(folder / name / "bin/pip"), "install", "-q", package, external=True)
    wheel = ("--no-deps", "--only-binary=:all:", "--platform=manylinux_2_28_x86_64")
    pip = str(folder / "ray/bin/pip")
    session.run(pip, "download", "-q", *wheel, "-d", str(folder), "vllm==0.33.0", external=True)
    env = {**os.environ, "AGENTLAUNCH_TEST_VALIDATORS": str(folder)}
    session.run("pytest", "tests/contract/test_manifests.py", *session.posargs, env=env)


@nox.session(python=["3.10", "3.11", "3.12", "3.13"])
def full(session: nox.Session) -> None:
    """The long matrix: every Python, every layer, a real `pipx install .`, the long sessions."""
    session.notify("agents")
    session.notify("patience")
    session.notify("servers")
    session.notify("manifests")
    _prepare(session, "test")
    session.install("pipx")
    long = {**os.environ, "AGENTLAUNCH_TEST_LONG": "1"}
    session.run(
        "pytest", "tests/unit", "tests/contract", "tests/startup", *session.posargs, env=long
    )
    home = Path(session.create_tmp()) / "pipx"
    shutil.rmtree(home, ignore_errors=True)
    env = {"PIPX_HOME": str(home / "home"), "PIPX_BIN_DIR": str(home / "bin")}
    session.run("pipx", "install", ".", env={**os.environ, **env})
    session.run(str(home / "bin" / "agentlaunch"), "--version", external=True)
