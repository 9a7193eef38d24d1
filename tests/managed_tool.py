"""A small npm package for tests of managed environments, and looks at what was left."""

from __future__ import annotations

import pytest

from agentlaunch import managed
from agentlaunch.errors import AgentlaunchError
from agentlaunch.managed import Package
from agentlaunch.progress import finish
from agentlaunch.settings import Paths

TOOL = Package(
    kind="npm",
    name="@scope/tool",
    version="1.2.3",
    size_bytes=1000,
    download_bytes=500,
    source="npm: @scope/tool 1.2.3",
    programs=(("tool", "node_modules/@scope/tool/bin/tool"),),
    min_node=(18, 0),
    run_scripts=True,
)
KEY = "@scope+tool@1.2.3"


def folder_names(paths: Paths, kind: str = "npm") -> list[str]:
    """What lies in the folder of a kind, but for its lock files."""
    names = [path.name for path in (paths.managed / kind).iterdir()]
    return sorted(name for name in names if not name.endswith(".lock"))


def error_of(package: Package, paths: Paths) -> AgentlaunchError:
    """How its installation fails; nothing may be left of it."""
    with pytest.raises(AgentlaunchError) as caught:
        finish(managed.install(package, paths))
    assert managed.installed(package, paths) is None
    assert folder_names(paths, package.kind) == []
    assert "\n" not in caught.value.message
    return caught.value
