"""LiteLLM's proxy for tests and benchmarks: installed once a checkout, as `up` would install it."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

from agentlaunch import managed, progress
from agentlaunch.gateway.package import PACKAGE
from places import CACHE, paths_below

WANTED = "AGENTLAUNCH_TEST_LITELLM"
"""Set it (`nox -s servers` does) for every test with the real proxy; each start takes 10 s."""

needs_litellm = [
    pytest.mark.needs_litellm,
    pytest.mark.skipif(not os.environ.get(WANTED), reason=f"{WANTED} is not set"),
]


@functools.cache
def installed() -> Path:
    """The environment, in the cache that every world shares (`agent_world`)."""
    return progress.finish(managed.install(PACKAGE, paths_below(CACHE / "agents")))


def program() -> Path:
    """The proxy's own program; skips the test where it is not wanted."""
    if not os.environ.get(WANTED):
        pytest.skip(f"{WANTED} is not set: run `nox -s servers`")
    return installed() / dict(PACKAGE.programs)["litellm"]
