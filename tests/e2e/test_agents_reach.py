"""The agent stays theirs: skills, MCP servers, instructions of user and project reach it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent_world import agent_names, folder, make_world

__all__ = ["folder"]  # the fixture, known to pytest by its name in this module

pytestmark = pytest.mark.needs_network


@pytest.mark.parametrize("name", agent_names(lambda case: bool(case.reaches), quick=True))
def test_what_is_the_users_and_the_projects_is_in_the_first_request(
    name: str,
    folder: Path,
) -> None:
    with make_world(name, folder) as world:
        world.plant("home-own")
        world.plant("project-own")

        done = world.launch(
            [*world.case.trust_args, *world.case.prompt_args], options=("--trust-project",)
        )

        assert done.returncode == 0, done.stdout + done.stderr
        told = json.dumps(world.engine.turns[0].json, ensure_ascii=False)
        missing = {
            whose: [text for text in texts if text not in told]
            for whose, texts in world.case.reaches.items()
        }
        assert missing == {whose: [] for whose in world.case.reaches}, done.stderr
