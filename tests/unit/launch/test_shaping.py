"""The same world has the same key, and whatever shapes a prompt gives it another one."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.agents import AGENTS
from agentlaunch.context import make_context
from agentlaunch.endpoint import Endpoint
from agentlaunch.launch import shaping
from agentlaunch.plan import LaunchPlan, Places, Wish, handover
from agentlaunch.plan.sizing import Chosen
from agentlaunch.survey import AgentState


@dataclasses.dataclass(frozen=True)
class Setting:
    """A home with a project in it, and a launch of an agent there."""

    home: Path
    name: str = "claude-code"
    changes: tuple[tuple[str, Any], ...] = ()

    @property
    def project(self) -> Path:
        return self.home / "src" / "project"

    def key(self, *, headless: bool = True, run_name: str = "1-1", **changes: Any) -> str:
        agent = AGENTS[self.name]
        environ = {"HOME": str(self.home), "PATH": os.environ["PATH"]}
        where = Places(
            runtime=self.home / "run",
            homes=self.home / "homes",
            run_name=run_name,
            environ=environ | changes.pop("environ", {}),
            project=changes.pop("project", self.project),
        )
        version = changes.pop("version", "1.0")
        state = AgentState(
            agent, Path(changes.pop("path", "/usr/bin/agent")), version, managed=False
        )
        context = make_context(agent.tiers, agent.compaction, changes.pop("window", 65_536))
        model = changes.pop("model", "m")
        endpoint = Endpoint("http://127.0.0.1:9", agent.wires, model, "t")
        wish = Wish(agent, args=(), home=changes.pop("uses", "own"))
        plan = LaunchPlan(
            wish=wish,
            agent=state,
            engine=changes.pop("engine", "embedded"),
            url=changes.pop("url", None),
            model=Chosen(model, None, None),
            remote=None,
            context=context,
            steps=(),
            handover=handover(wish, state, endpoint, context, where),
            because=(),
        )
        assert not changes
        return shaping.key_of(plan, where, headless=headless)

    def write(self, name: str, text: str) -> None:
        file = self.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    for name in ("GIT_DIR", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    made = Setting(tmp_path / "home")
    made.project.mkdir(parents=True)
    made.write("src/project/CLAUDE.md", "Be brief.")
    made.write(".claude/settings.json", "{}")
    made.write(".claude.json", json.dumps({"numStartups": 1}))
    return made


def git(project: Path, *words: str) -> None:
    own = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    subprocess.run(["git", *own, *words], cwd=project, check=True, capture_output=True)


def test_the_same_world_has_the_same_key(setting: Setting) -> None:
    assert setting.key(run_name="1-1") == setting.key(run_name="2-2")


@pytest.mark.parametrize(
    "change",
    [
        {"version": "1.1"},
        {"path": "/opt/agent"},
        {"engine": "remote"},
        {"url": "http://192.0.2.1"},
        {"model": "other"},
        {"model": "qwen3"},
        {"window": 32_768},
        {"uses": "clean"},
        {"headless": False},
    ],
)
def test_another_launch_has_another_key(setting: Setting, change: dict[str, Any]) -> None:
    assert setting.key(**change) != setting.key()


def test_another_folder_has_another_key(setting: Setting, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    assert setting.key(project=other) != setting.key()


def test_another_day_has_another_key(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    before = setting.key()
    monkeypatch.setattr(time, "strftime", lambda form: "2031-02-03")
    assert setting.key() != before


SHAPES = (
    "src/project/CLAUDE.md",
    "src/project/CLAUDE.local.md",
    "src/project/AGENTS.md",
    "src/project/.mcp.json",
    "src/CLAUDE.md",
    "src/project/.claude/settings.local.json",
    "src/project/.claude/agents/reviewer.md",
    "src/project/.claude/commands/ship.md",
    "src/project/.claude/skills/sql/SKILL.md",
    ".claude/CLAUDE.md",
    ".claude/settings.json",
    ".claude/skills/sql/SKILL.md",
    ".claude/output-styles/terse.md",
    ".agents/skills/sql/SKILL.md",
)


@pytest.mark.parametrize("name", SHAPES)
def test_whatever_file_shapes_a_prompt_moves_the_key(setting: Setting, name: str) -> None:
    keys = [setting.key()]
    setting.write(name, "one more thing")
    keys.append(setting.key())
    setting.write(name, "yet another thing")
    keys.append(setting.key())
    (setting.home / name).unlink()
    keys.append(setting.key())

    assert len({*keys[:3]}) == 3
    assert keys[3] not in keys[1:3]


def test_the_agents_own_memory_of_the_project_moves_the_key(setting: Setting) -> None:
    before = setting.key()
    slug = "".join(c if c.isalnum() else "-" for c in str(setting.project))
    setting.write(f".claude/projects/{slug}/memory/MEMORY.md", "He likes tabs.")
    assert setting.key() != before


@pytest.mark.parametrize(
    "name",
    [
        "src/project/main.py",
        "src/project/docs/CLAUDE.md",  # read when a file beside it is
        ".claude/projects/other/session.jsonl",
        ".claude/history.jsonl",
        ".claude/todos/1.json",
        "notes.md",
    ],
)
def test_what_shapes_no_prompt_does_not_move_the_key(setting: Setting, name: str) -> None:
    before = setting.key()
    setting.write(name, "something")
    assert setting.key() == before


def test_what_the_agent_rewrites_at_every_start_does_not_move_the_key(setting: Setting) -> None:
    before = setting.key()
    row = {"lastCost": 1, "hasTrustDialogAccepted": True}
    document = {"numStartups": 2, "projects": {str(setting.project): row}}
    setting.write(".claude.json", json.dumps(document))
    assert setting.key() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda here: {"mcpServers": {"db": {"command": "db"}}},
        lambda here: {"projects": {here: {"mcpServers": {"db": {"command": "db"}}}}},
        lambda here: {"projects": {here: {"enabledMcpjsonServers": ["db"]}}},
        lambda here: {"projects": {here: {"disabledMcpjsonServers": ["db"]}}},
    ],
)
def test_mcp_servers_in_such_a_file_move_the_key(
    setting: Setting, change: Callable[[str], dict[str, Any]]
) -> None:
    before = setting.key()
    setting.write(".claude.json", json.dumps({"numStartups": 1} | change(str(setting.project))))
    assert setting.key() != before


def test_mcp_servers_of_another_folder_do_not(setting: Setting) -> None:
    before = setting.key()
    row = {"mcpServers": {"db": {"command": "db"}}}
    setting.write(".claude.json", json.dumps({"projects": {"/elsewhere": row}}))
    assert setting.key() == before


def test_the_users_folder_is_found_where_he_moved_it(setting: Setting, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    environ = {"CLAUDE_CONFIG_DIR": str(moved)}
    before = setting.key(environ=environ)
    (moved / "settings.json").write_text('{"language": "de"}')
    assert setting.key(environ=environ) != before


def test_a_clean_home_is_not_moved_by_the_users_own(setting: Setting) -> None:
    before = setting.key(uses="clean")
    slug = "".join(c if c.isalnum() else "-" for c in str(setting.project))
    setting.write(f".claude/projects/{slug}/memory/MEMORY.md", "He likes tabs.")
    assert setting.key(uses="clean") == before
    setting.write("homes/claude-code/settings.json", "{}")
    assert setting.key(uses="clean") != before


def test_on_a_terminal_the_state_of_the_repository_counts_where_the_prompt_tells_it(
    setting: Setting,
) -> None:
    (setting.project / "main.py").write_text("1")
    git(setting.project, "init", "-q")
    keys = [setting.key(headless=False)]
    git(setting.project, "add", "main.py")
    keys.append(setting.key(headless=False))
    git(setting.project, "commit", "-q", "-m", "one")
    keys.append(setting.key(headless=False))
    assert len(set(keys)) == 3


@pytest.mark.parametrize(("name", "headless"), [("claude-code", True), ("codex", False)])
def test_elsewhere_it_does_not_count(setting: Setting, name: str, headless: bool) -> None:
    setting = dataclasses.replace(setting, name=name)
    git(setting.project, "init", "-q")
    before = setting.key(headless=headless)
    (setting.project / "main.py").write_text("1")
    git(setting.project, "add", "main.py")
    assert setting.key(headless=headless) == before


def test_looking_at_a_repository_runs_nothing_of_it(setting: Setting, tmp_path: Path) -> None:
    git(setting.project, "init", "-q")
    git(setting.project, "config", "core.fsmonitor", f"touch {tmp_path}/ran; false")
    setting.key(headless=False)
    assert not (tmp_path / "ran").exists()


def test_links_that_lead_in_a_circle_and_files_that_cannot_be_read_do_no_harm(
    setting: Setting,
) -> None:
    (setting.project / ".claude" / "skills").mkdir(parents=True)
    (setting.project / ".claude" / "skills" / "again").symlink_to(setting.project / ".claude")
    (setting.project / "AGENTS.md").mkdir()
    (setting.home / ".claude" / "skills").symlink_to(setting.home / ".claude" / "skills")
    setting.write(".claude.json", "[" * 100_000)
    assert setting.key() == setting.key()
