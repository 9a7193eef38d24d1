"""What is Codex's own: projects that it passes over, another provider's sessions, plain starts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from agent_world import PROMPT, REPLY, TOKEN, World, folder, installed, make_world
from launcher import PROGRAM

__all__ = ["folder"]  # the fixture, known to pytest by its name in this module

pytestmark = pytest.mark.needs_network

ELSEWHERE = """\
model = "other-model"
model_provider = "elsewhere"

[model_providers.elsewhere]
name = "elsewhere"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "ELSEWHERE_KEY"
"""


def plain(world: World, *args: str, **shell: str) -> subprocess.CompletedProcess[str]:
    """What a person types without us."""
    return subprocess.run(
        [str(installed("codex") / "node_modules" / ".bin" / "codex"), *args],
        cwd=world.project,
        env=world.shell() | {"ELSEWHERE_KEY": TOKEN} | shell,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def write_settings(world: World) -> Path:
    file = world.home / ".codex" / "config.toml"
    file.parent.mkdir()
    file.write_text(ELSEWHERE.format(url=world.other.url))
    return file


def test_nothing_of_an_untrusted_project_runs_headless(folder: Path) -> None:
    with make_world("codex", folder) as world:
        world.plant("project-runs")

        done = world.launch(world.case.prompt_args)

        assert done.returncode == 0, done.stderr
        assert "Untrusted project-local configuration is disabled" in done.stderr
        assert world.ran == []


def test_a_trusted_project_runs_its_servers_and_redirects_nothing(folder: Path) -> None:
    with make_world("codex", folder) as world:
        world.plant("project")
        with (world.project / ".codex" / "config.toml").open("a") as file:
            file.write(
                world.filled('\n[mcp_servers.planted]\ncommand = "touch"\nargs = ["@RAN@"]\n')
            )

        done = world.launch([*world.case.trust_args, *world.case.prompt_args])

        assert done.returncode == 0, done.stderr
        assert world.ran == ["ran"]
        assert world.other.requests == []


def test_a_session_of_another_provider_goes_on_as_a_fork_and_never_there(folder: Path) -> None:
    with make_world("codex", folder) as world:
        write_settings(world)
        born = plain(world, "exec", PROMPT)
        assert born.returncode == 0, born.stderr
        sessions = world.home / ".codex" / "sessions"
        (file,) = sessions.rglob("*.jsonl")
        session = file.stem[-36:]
        before = len(world.other.requests)

        resumed = world.launch(["exec", "resume", session, PROMPT])
        forked = world.launch(["exec", "fork", session, PROMPT])

        assert resumed.returncode != 0
        assert "Cannot change this thread's model provider" in resumed.stderr
        assert forked.returncode == 0, forked.stderr
        assert REPLY in forked.stdout
        assert len(world.other.requests) == before


def test_a_plain_start_asks_the_engine_after_config_and_restore_undoes_it(folder: Path) -> None:
    with make_world("codex", folder) as world:
        settings = write_settings(world)
        before = settings.read_bytes()

        done = subprocess.run(
            [str(PROGRAM), "--yes", "up", "codex", "--engine", world.engine.url, "--config"],
            cwd=world.project, env=world.shell(), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        configured = settings.read_bytes()
        asked = plain(world, "exec", PROMPT)
        undone = subprocess.run(
            [str(PROGRAM), "--yes", "restore", "codex"],
            cwd=world.project, env=world.shell(), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

        assert REPLY in asked.stdout, asked.stderr
        assert world.other.requests == []
        assert TOKEN.encode() not in configured
        assert undone.returncode == 0, undone.stderr
        assert settings.read_bytes() == before


def test_a_clean_home_starts_empty_and_leaves_the_users_own_alone(folder: Path) -> None:
    with make_world("codex", folder) as world:
        world.plant("home")
        before = world.seen()

        done = world.launch(world.case.prompt_args, options=("--home", "clean"))

        assert done.returncode == 0, done.stderr
        assert REPLY in done.stdout
        assert world.other.requests == []
        assert world.changed(before) == []
        assert not (world.home / ".codex" / "sessions").exists()
        (session,) = (world.home / ".local").rglob("rollout-*.jsonl")
        assert session.is_relative_to(world.home / ".local" / "share" / "agentlaunch")
