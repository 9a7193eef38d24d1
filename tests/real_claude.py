"""The real Claude Code for end-to-end tests: a given one, or the pinned package of ours.

`AGENTLAUNCH_TEST_CLAUDE` names a binary; without it the pinned package is installed once into
`.cache/agents` of the checkout, by the same code that installs it for users.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentlaunch import managed, progress
from agentlaunch.agents.claude_code import AGENT
from places import CACHE, paths_below


def find_or_install() -> Path:
    """Path of a real Claude Code; installs the pinned one when none was named."""
    given = os.environ.get("AGENTLAUNCH_TEST_CLAUDE")
    if given:
        path = Path(given).absolute()
        assert path.is_file(), f"AGENTLAUNCH_TEST_CLAUDE: there is no {path}"
        return path
    package = AGENT.package
    assert package is not None
    paths = paths_below(CACHE / "agents")
    progress.finish(managed.install(package, paths))
    binary = managed.program(package, AGENT.binary, paths)
    assert binary is not None
    return binary


@pytest.fixture(scope="session")
def claude_binary() -> Path:
    """The real binary, found or installed once a session."""
    return find_or_install()
