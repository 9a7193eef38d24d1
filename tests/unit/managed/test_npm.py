"""npm: its own prefix, our cache, the user's settings, and a Node.js that is new enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agentlaunch import managed
from agentlaunch.managed import Installed
from agentlaunch.progress import finish
from agentlaunch.settings import Paths
from managed_tool import KEY, TOOL, error_of, folder_names


def test_an_npm_package_lies_in_its_own_prefix(paths: Paths, fake_npm: Callable[..., Path]) -> None:
    notes = fake_npm()
    root = finish(managed.install(TOOL, paths))
    assert root == paths.managed / "npm" / KEY
    assert managed.installed(TOOL, paths) == root
    assert managed.program(TOOL, "tool", paths) == root / "node_modules/@scope/tool/bin/tool"
    assert folder_names(paths) == [KEY]
    (entry,) = managed.installed_all(paths)
    assert entry == Installed("npm", "@scope/tool", "1.2.3", root, entry.size_bytes, True)
    assert entry.size_bytes > 0
    (argv,) = (notes / "argv").read_text().splitlines()
    assert argv.startswith("install @scope/tool@1.2.3 --prefix=")
    assert "--global=false" in argv
    assert "--ignore-scripts=false" in argv


def test_npm_uses_our_cache_and_the_users_own_settings(
    paths: Paths, fake_npm: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_registry", "http://mirror.example")
    monkeypatch.setenv("NPM_CONFIG_PREFIX", "/somewhere/else")
    monkeypatch.setenv("npm_config_local_prefix", "/a/project")
    notes = fake_npm()
    finish(managed.install(TOOL, paths))
    env = dict(line.partition("=")[::2] for line in (notes / "env").read_text().splitlines())
    assert env["npm_config_registry"] == "http://mirror.example"
    assert env["npm_config_cache"] == str(paths.cache / "npm")
    assert (env["npm_config_audit"], env["npm_config_fund"]) == ("false", "false")
    assert (env["npm_config_update_notifier"], env["npm_config_logs_max"]) == ("false", "0")
    assert "NPM_CONFIG_PREFIX" not in env
    assert "npm_config_local_prefix" not in env


def test_install_scripts_run_only_where_the_package_needs_them(
    paths: Paths, fake_npm: Callable[..., Path]
) -> None:
    notes = fake_npm()
    finish(managed.install(replace(TOOL, run_scripts=False), paths))
    assert "--ignore-scripts=true" in (notes / "argv").read_text()


def test_a_missing_node_is_said_with_the_way_out(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    error = error_of(TOOL, paths)
    assert (error.exit_code, error.code) == (1, "node-missing")
    assert error.message == (
        "Node.js >= 18 with npm is needed to install @scope/tool, Node.js was not found"
    )
    assert "https://nodejs.org" in (error.hint or "")


def test_a_node_without_npm_is_said(
    paths: Paths, fake_npm: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm()
    (tmp_path / "bin" / "npm").unlink()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert error_of(TOOL, paths).message.endswith("its `npm` was not found")


def test_a_node_that_is_too_old_is_said(paths: Paths, fake_npm: Callable[..., Path]) -> None:
    fake_npm(node="v16.20.1")
    error = error_of(TOOL, paths)
    assert (error.exit_code, error.code) == (1, "node-too-old")
    assert "Node.js >= 18 is needed to install @scope/tool, found 16.20 at" in error.message
