"""The status line that a user has already, and whether one of ours is seen at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.agents import AGENTS
from agentlaunch.agents.base import StatusLine
from agentlaunch.survey.status_line import is_shown, own

CLAUDE = AGENTS["claude-code"]
USERS = {"type": "command", "command": "echo user", "padding": 2}
SHARED = {"type": "command", "command": "echo shared"}
ALONE = {"type": "command", "command": "echo alone"}


class World:
    """A user's folder of an agent, and a project."""

    def __init__(self, root: Path) -> None:
        self.config = root / "home" / ".claude"
        self.project = root / "project"
        self.config.mkdir(parents=True)
        self.project.mkdir()

    def user(self, value: object) -> None:
        self._write(self.config / "settings.json", value)

    def shared(self, value: object) -> None:
        self._write(self.project / ".claude" / "settings.json", value)

    def local(self, value: object) -> None:
        self._write(self.project / ".claude" / "settings.local.json", value)

    def trusts(self) -> None:
        row = {str(self.project): {"hasTrustDialogAccepted": True}}
        self._write(self.config / ".claude.json", {"projects": row})

    def _write(self, file: Path, value: object) -> None:
        file.parent.mkdir(exist_ok=True)
        file.write_text(value if isinstance(value, str) else json.dumps(value))

    def own(self, name: str = "claude-code") -> Any:
        return own(AGENTS[name], self.project, self.config)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_without_a_word_there_is_none(world: World) -> None:
    assert world.own() is None


def test_it_is_the_one_of_the_users_settings(world: World) -> None:
    world.user({"statusLine": USERS})
    assert world.own() == USERS


def test_a_project_that_is_not_trusted_has_no_say(world: World) -> None:
    world.user({"statusLine": USERS})
    world.shared({"statusLine": SHARED})
    assert world.own() == USERS


def test_a_trusted_project_outranks_the_user_key_by_key(world: World) -> None:
    world.trusts()
    world.user({"statusLine": USERS})
    world.shared({"statusLine": SHARED})
    assert world.own() == USERS | SHARED
    world.local({"statusLine": ALONE})
    assert world.own() == USERS | ALONE


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        {"statusLine": "echo"},
        {"statusLine": []},
        {"statusLine": {"type": "command"}},
        {"statusLine": {"type": "command", "command": " "}},
        {"statusLine": {"type": "command", "command": ["echo"]}},
        {"statusLine": {"type": "other", "command": "echo"}},
        {"statusLine": {"command": "echo"}},
    ],
)
def test_what_is_none_counts_as_none(world: World, content: object) -> None:
    world.user(content)
    assert world.own() is None


def test_a_broken_file_of_the_project_leaves_the_users(world: World) -> None:
    world.trusts()
    world.user({"statusLine": USERS})
    world.shared("{")
    assert world.own() == USERS


def test_another_agent_has_it_under_another_key(world: World) -> None:
    world.user({"ui": {"statusLine": USERS}})
    assert world.own("qwen") == USERS
    assert world.own() is None


@pytest.mark.parametrize("name", ["codex", "opencode", "pi"])
def test_an_agent_without_such_a_setting_has_none(world: World, name: str) -> None:
    world.user({"statusLine": USERS, "ui": {"statusLine": USERS}})
    assert world.own(name) is None


@pytest.mark.parametrize(("name", "shown"), [("claude-code", True), ("pi", True), ("codex", False)])
def test_ours_is_seen_where_the_agent_has_a_place_for_it(
    world: World, name: str, *, shown: bool
) -> None:
    assert is_shown(AGENTS[name], world.project, world.config) is shown


@pytest.mark.parametrize("where", ["user", "shared", "local"])
def test_who_switches_hooks_off_sees_no_status_line(world: World, where: str) -> None:
    getattr(world, where)({"disableAllHooks": False})
    assert is_shown(CLAUDE, world.project, world.config)
    getattr(world, where)({"disableAllHooks": True})
    assert not is_shown(CLAUDE, world.project, world.config)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"statusLine": USERS}, False),
        ({"allowManagedHooksOnly": True}, False),
        ({"disableAllHooks": True}, False),
        ({"permissions": {}}, True),
    ],
)
def test_an_administrator_may_have_another(
    world: World, tmp_path: Path, said: dict[str, Any], *, shown: bool
) -> None:
    folder = tmp_path / "managed-settings.d"
    folder.mkdir()
    (folder / "10.json").write_text(json.dumps(said))
    line = CLAUDE.status_line
    assert line is not None
    agent = replace(CLAUDE, status_line=replace(line, administrators=(f"{folder}/*.json",)))
    assert is_shown(agent, world.project, world.config) is shown


def test_only_an_administrator_can_allow_his_own_alone(world: World) -> None:
    world.user({"allowManagedHooksOnly": True})
    assert is_shown(CLAUDE, world.project, world.config)


def test_the_places_are_among_those_that_are_looked_at_before_a_launch() -> None:
    for agent in AGENTS.values():
        line = agent.status_line or StatusLine()
        watched = {row.path for row in agent.watched}
        if line.key:
            assert {f"{{config}}/{line.user}", *line.project} <= watched
        assert {place.removesuffix("*.json") for place in line.administrators} <= watched
