"""Nothing leaves: behind a proxy that refuses all, an agent asks for no host but those named."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_world import REPLY, agent_names, folder, make_world
from refusing_proxy import RefusingProxy

__all__ = ["folder"]  # the fixture, known to pytest by its name in this module

pytestmark = pytest.mark.needs_network


@pytest.mark.parametrize("name", agent_names(quick=True))
def test_a_proxy_sees_nothing_but_the_hosts_that_are_named(name: str, folder: Path) -> None:
    with make_world(name, folder) as world, RefusingProxy() as proxy:
        done = world.launch(world.case.prompt_args, environment=proxy.environment, proof=True)

        assert done.returncode == 0, done.stdout + done.stderr
        assert REPLY in done.stdout
        assert sorted(set(proxy.tunnels)) == sorted(world.case.egress)
        assert proxy.requests == []
