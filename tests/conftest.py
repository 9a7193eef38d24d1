"""Every test has a home of its own: nothing of the person who runs the tests is read or written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

LONG = "AGENTLAUNCH_TEST_LONG"

# Tests run side by side: threads of the real engine that spin while they wait for one another
# take the cores from those they wait for (seen: 338 s instead of 14 s on two busy cores).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """More of the same kind runs in the long matrix alone."""
    if os.environ.get(LONG):
        return
    skip = pytest.mark.skip(reason="long: run `nox -s full`")
    for item in items:
        if item.get_closest_marker("long") is not None:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HOME; settings of the person's environment are forgotten."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    for name in (
        "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "CI",
        "AGENTLAUNCH_AGENT", "AGENTLAUNCH_MODEL", "AGENTLAUNCH_ENGINE", "AGENTLAUNCH_ENGINE_KEY",
        "OLLAMA_MODELS", "OLLAMA_HOST", "NO_COLOR", "FORCE_COLOR", "COLUMNS",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    # An Ollama of the person's own would be chosen before the embedded engine.
    monkeypatch.setenv("AGENTLAUNCH_ENGINE", "embedded")
    # No keyring of the person's: it may hold keys, or ask for a password.
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    return folder
