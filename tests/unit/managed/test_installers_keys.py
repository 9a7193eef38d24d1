"""What an installer inherits: the user's settings, and none of his keys of model providers."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentlaunch import settings
from agentlaunch.keys import PROVIDER_KEYS
from agentlaunch.managed.node import Node
from agentlaunch.managed.npm import _npm_env
from agentlaunch.managed.pypi import _pip_env


def test_an_installer_gets_the_users_index_and_none_of_his_provider_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PROVIDER_KEYS:
        monkeypatch.setenv(name, "sk-canary")
    monkeypatch.setenv("npm_config_registry", "http://mirror")
    monkeypatch.setenv("PIP_INDEX_URL", "http://mirror")
    node = Node(tmp_path / "node", ("npm",), ours=False)
    npm = _npm_env(tmp_path, tmp_path, node)
    pip = _pip_env(settings.paths(), tmp_path)
    assert [name for env in (npm, pip) for name in env if env[name] == "sk-canary"] == []
    assert (npm["npm_config_registry"], pip["PIP_INDEX_URL"]) == ("http://mirror", "http://mirror")
