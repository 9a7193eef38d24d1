"""A hostile home, repository and shell: every request still reaches the chosen engine and no other.

No planted secret leaves, no helper runs; what an untrusted project would run stops the launch.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_world import CANARY, DATA, REPLY, TOKEN, World, agent_names, folder, make_world

__all__ = ["folder"]  # the fixture, known to pytest by its name in this module

pytestmark = pytest.mark.needs_network

UNTRUSTED = 8
"""The exit status of a launch that was refused."""


@pytest.mark.parametrize("name", agent_names())
def test_nothing_that_is_planted_turns_a_request_away(name: str, folder: Path) -> None:
    with make_world(name, folder) as world:
        world.plant("home")
        world.plant("project")
        before = world.seen()

        done = world.launch(
            world.case.prompt_args, environment=world.hostile_environment(), proof=True
        )

        assert done.returncode == 0, done.stdout + done.stderr
        assert REPLY in done.stdout
        assert_only_the_engine_was_asked(world)
        assert world.ran == []
        assert [text for text in world.case.redirects if text not in done.stderr] == [], done.stderr
        assert CANARY not in done.stderr
        assert world.changed(before) == []


@pytest.mark.parametrize("name", agent_names(lambda case: bool(case.runs)))
def test_what_an_untrusted_project_would_run_stops_the_launch(name: str, folder: Path) -> None:
    with make_world(name, folder) as world:
        world.plant("project-runs")

        done = world.launch(world.case.prompt_args)

        assert done.returncode == UNTRUSTED, done.stdout + done.stderr
        assert [text for text in world.filled(world.case.runs) if text not in done.stderr] == [], (
            done.stderr
        )
        assert world.engine.asked == []
        assert world.ran == []


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in agent_names(lambda case: not case.runs)
        if (DATA / name / "project-runs").is_dir()
    ],
)
def test_an_agent_that_asks_first_runs_nothing_of_an_untrusted_project(
    name: str, folder: Path
) -> None:
    with make_world(name, folder) as world:
        world.plant("project-runs")

        done = world.launch(world.case.prompt_args)

        assert done.returncode == 0, done.stdout + done.stderr
        assert_only_the_engine_was_asked(world)
        assert world.ran == []


@pytest.mark.parametrize("name", agent_names(lambda case: bool(case.runs), quick=True))
def test_a_project_that_is_trusted_this_once_runs_and_redirects_nothing(
    name: str,
    folder: Path,
) -> None:
    with make_world(name, folder) as world:
        world.plant("project")
        world.plant("project-runs")

        done = world.launch(
            [*world.case.trust_args, *world.case.prompt_args], options=("--trust-project",)
        )

        assert done.returncode == 0, done.stdout + done.stderr
        assert_only_the_engine_was_asked(world)
        assert bool(world.ran) == world.case.really_runs


def assert_only_the_engine_was_asked(world: World) -> None:
    known = {f"CONNECT {host}" for host in world.case.egress}
    asked = [f"{r.method} {r.path}" for r in world.other.requests]
    assert [line for line in asked if line not in known] == []
    assert world.engine.turns != []
    assert {request.json["model"] for request in world.engine.asked} == {world.engine.model}
    for request in world.engine.requests:
        sent = {request.headers.get(name) for name in ("authorization", "x-api-key")} - {None}
        assert sent <= {f"Bearer {TOKEN}", TOKEN}, request.path
    everything = b"\n".join(request.everything for request in world.engine.requests)
    assert CANARY.encode() not in everything
