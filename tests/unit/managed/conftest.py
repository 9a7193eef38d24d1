"""Places of our own, and an npm that writes files instead of asking a registry."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agentlaunch.settings import Paths
from places import paths_below

# What npm is asked to do, done by a shell script: it notes how it was called, then "installs".
NPM = """#!/bin/sh
for word in "$@"; do case "$word" in --prefix=*) prefix="${word#--prefix=}";; esac; done
echo "$@" >> "$FAKE_NOTES/argv"
env > "$FAKE_NOTES/env"
mkdir -p "$prefix/node_modules/@scope/tool/bin" "$npm_config_cache"
echo half > "$prefix/node_modules/@scope/tool/half"
%s
echo '#!/bin/sh' > "$prefix/node_modules/@scope/tool/bin/tool"
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return paths_below(tmp_path)


@pytest.fixture
def fake_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Put `node` and `npm` of ours on PATH; gives the folder where npm notes its calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "notes").mkdir()
    monkeypatch.setenv("FAKE_NOTES", str(tmp_path / "notes"))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def build(body: str = "", *, node: str = "v20.20.2") -> Path:
        for name, text in (("node", f"#!/bin/sh\necho {node}\n"), ("npm", NPM % body)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        return tmp_path / "notes"

    return build
