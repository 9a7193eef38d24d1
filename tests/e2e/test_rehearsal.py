"""The real agents show their own first request to a throwaway server, and nobody else notices.

What is recorded is what the next real launch sends, byte for byte, up to the user's own word.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent_world import ALL_VARIABLE, MODEL, TOKEN, World, folder, installed, make_world
from agentlaunch import managed
from agentlaunch.agents.base import PROMPT, Handover
from agentlaunch.context import make_context
from agentlaunch.endpoint import Endpoint
from agentlaunch.engines.base import Served
from agentlaunch.launch import child_environment, rehearsal, write_files
from agentlaunch.plan import LaunchPlan, Places, Wish, handover
from agentlaunch.plan.sizing import Chosen
from agentlaunch.process import OnTerminal
from agentlaunch.progress import finish
from agentlaunch.proof.recording import WORD, Recording
from agentlaunch.settings import Paths
from agentlaunch.survey import AgentState
from launcher import snapshot
from places import CACHE, paths_below

__all__ = ["folder"]  # the fixture, known to pytest by its name in this module

pytestmark = pytest.mark.needs_network

NAMES = ("claude-code", "codex", "opencode", "pi", "qwen")
SHOWN = {
    "claude-code": (PROMPT,),
    "opencode": ("--prompt", PROMPT),
    "pi": (PROMPT,),
    "qwen": ("-i", PROMPT),
}
"""How each is started on a terminal with a prompt. Codex is not: its dialogs ask first."""
SLOW = ("opencode", "qwen")
KINDS = [
    (name, shown)
    for shown in (False, True)
    for name in (SHOWN if shown else NAMES)
    # OpenCode needs 15 s to its first request.
    if name not in SLOW or os.environ.get(ALL_VARIABLE)
]
NOT_THE_USERS = (
    ".cache/",  # logs of MCP servers
    ".npm/",  # OpenCode's own package for plugins, looked for at each of its starts
    ".local/share/opencode/log/",
    ".claude/backups/",
    ".codex/tmp/",
)
"""Below home: what any start of these agents writes, and nobody reads again."""
DATABASES = (".sqlite", ".db")
COUNTERS = (".claude.json",)
"""Files in which an agent counts its starts."""
SESSIONS = ("jsonl", "opencode.db", "rollout", "history")
WORDS = "What the user really said"


@contextlib.contextmanager
def a_world(name: str, folder: Path) -> Iterator[World]:
    """A home and a project with instructions, skills, MCP servers and hooks, all trusted."""
    with make_world(name, folder) as world:
        world.plant("home-own")
        world.plant("project-own")
        _commit(world.project)
        _trust(world)
        yield world


def _commit(project: Path) -> None:
    for words in (["add", "-A"], ["commit", "-q", "-m", "all of it"]):
        subprocess.run(["git", *words], cwd=project, check=True)


def _trust(world: World) -> None:
    ran = f"touch {world.folder}/ran-hook"
    if world.agent.name == "claude-code":
        row = {"hasTrustDialogAccepted": True}
        _merge(
            world.home / ".claude.json",
            {"hasCompletedOnboarding": True, "projects": {str(world.project): row}},
        )
        hook = [{"hooks": [{"type": "command", "command": ran}]}]
        _merge(
            world.home / ".claude" / "settings.json",
            {
                "enableAllProjectMcpServers": True,
                "hooks": {"SessionStart": hook, "UserPromptSubmit": hook, "Stop": hook},
            },
        )
    if world.agent.name == "codex":
        file = world.home / ".codex" / "config.toml"
        file.parent.mkdir(exist_ok=True)
        rest = file.read_text() if file.exists() else ""
        told = f'notify = ["touch", "{world.folder}/ran-hook"]\n'
        trusted = f'[projects."{world.project}"]\ntrust_level = "trusted"\n'
        file.write_text(told + rest + "\n" + trusted)
    if world.agent.name == "pi":
        # A rehearsal is without extensions, and so without their tools.
        shutil.rmtree(world.home / ".pi" / "agent" / "extensions")
        _merge(world.home / ".pi" / "agent" / "trust.json", {str(world.project): True})
    if world.agent.name == "qwen":
        _merge(world.home / ".qwen" / "trustedFolders.json", {str(world.project): "TRUST_FOLDER"})
        hook = [{"hooks": [{"type": "command", "command": ran}]}]
        hooks = {"SessionStart": hook, "UserPromptSubmit": hook, "Stop": hook}
        _merge(world.home / ".qwen" / "settings.json", {"hooks": hooks})
    if world.agent.name == "opencode":
        plugin = world.home / ".config" / "opencode" / "plugin" / "note.js"
        plugin.parent.mkdir(parents=True, exist_ok=True)
        plugin.write_text(
            "import { writeFileSync } from 'fs'\n"
            "export const Note = async () => ({ event: async () => {\n"
            f"  writeFileSync({json.dumps(str(world.folder / 'ran-hook'))}, '')\n"
            "} })\n"
        )


def _merge(file: Path, more: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    there = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(there | more))


def plan_of(world: World, args: tuple[str, ...], where: Places) -> tuple[LaunchPlan, Served]:
    """A launch of this agent with these arguments, as far as a rehearsal looks at it."""
    agent = world.agent
    package = agent.package
    assert package is not None
    program = installed(agent.name) / dict(package.programs)[agent.binary]
    runner = managed.runner_for(package, program, paths_below(CACHE / "agents"))
    state = AgentState(agent, program, package.version, managed=True, runner=runner)
    context = make_context(agent.tiers, agent.compaction, world.case.context)
    endpoint = Endpoint(world.engine.url, agent.wires, MODEL, TOKEN)
    wish = Wish(agent, args=args)
    plan = LaunchPlan(
        wish=wish,
        agent=state,
        engine="remote",
        url=world.engine.url,
        model=Chosen(MODEL, None, None),
        remote=None,
        context=context,
        steps=(),
        handover=handover(wish, state, endpoint, context, where),
        because=(),
    )
    return plan, Served("remote", endpoint, world.case.context, None, reused=True)


def places_of(world: World, paths: Paths, run_name: str) -> Places:
    return Places(
        runtime=paths.runtime / "launches",
        homes=paths.data / "homes",
        run_name=run_name,
        environ=world.shell(),
        project=world.project,
    )


def sent_by_a_real_start(world: World, given: Handover, paths: Paths, *, shown: bool) -> Any:
    """The first request with tools of a start that is nobody's rehearsal."""
    write_files(given, paths)
    before = len(world.engine.turns)
    env = child_environment(given, world.shell())
    if not shown:
        subprocess.run(
            given.argv, cwd=world.project, env=env, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=120, check=True,
        )  # fmt: skip
        return world.engine.turns[before].json
    child = OnTerminal(given.argv, env=env | {"TERM": "xterm-256color"}, cwd=world.project)
    try:
        limit = time.monotonic() + 60
        while len(world.engine.turns) == before and time.monotonic() < limit:
            time.sleep(0.1)
    finally:
        child.end()
    return world.engine.turns[before].json


def parts(body: Mapping[str, Any]) -> dict[str, Any]:
    """What of a request an engine reads, as the agent sent it."""
    return {name: body.get(name) for name in ("instructions", "system", "tools")}


def tool_names(body: Mapping[str, Any]) -> list[str]:
    """Said first where two requests differ, since their descriptions are long."""
    return [str(tool.get("name") or tool.get("type")) for tool in body.get("tools") or []]


def texts(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every text of the conversation with who says it."""
    rows = body.get("messages") or body.get("input") or []
    found = []
    for row in rows:
        content = row.get("content")
        rest = content if isinstance(content, list) else [{"text": content}]
        found += [(str(row.get("role")), str(part.get("text"))) for part in rest]
    return found


def recorded(world: World, paths: Paths, args: tuple[str, ...]) -> tuple[Recording, LaunchPlan]:
    where = places_of(world, paths, f"{os.getpid()}-1")
    plan, served = plan_of(world, args, where)
    assert rehearsal.find(plan, paths, where) is None
    found = finish(rehearsal.record(plan, served, paths, where, limit_s=120))
    assert found is not None
    assert rehearsal.find(plan, paths, where) == found
    return found, plan


def kept(root: Path) -> dict[str, bytes]:
    """The user's files below a folder, but for what any start writes; of a database, what it holds:
    a start under load leaves its last pages for the next one to fold in (seen, Codex 0.169.0)."""
    return {
        name: _told(root / name) if name.endswith(DATABASES) else data
        for name, data in snapshot(root).items()
        if not name.startswith(NOT_THE_USERS)
        and name not in COUNTERS
        and not name.endswith(("-wal", "-shm"))
    }


def _told(database: Path) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        for file in (database, database.with_name(f"{database.name}-wal")):
            if file.exists():
                shutil.copy(file, folder)
        with contextlib.closing(sqlite3.connect(Path(folder) / database.name)) as opened:
            return "\n".join(opened.iterdump()).encode()


@pytest.mark.parametrize(("name", "shown"), KINDS)
def test_the_recorded_prompt_is_what_the_next_start_sends(
    name: str, shown: bool, folder: Path
) -> None:
    with a_world(name, folder) as world:
        paths = paths_below(folder / "ours")
        model = SHOWN[name] if shown else tuple(world.case.prompt_args)
        args = tuple(w.replace(PROMPT, WORDS).replace("@PROMPT@", WORDS) for w in model)
        found, plan = recorded(world, paths, args)

        where = places_of(world, paths, f"{os.getpid()}-2")
        served = Endpoint(world.engine.url, world.agent.wires, MODEL, TOKEN)
        given = handover(plan.wish, plan.agent, served, plan.context, where)
        sent = sent_by_a_real_start(world, given, paths, shown=shown)
        for _ in range(2):  # a shown start does not wait for a tool server that is slow to come
            if tool_names(sent) == tool_names(found.body):
                break
            sent = sent_by_a_real_start(world, given, paths, shown=shown)

        assert tool_names(found.body) == tool_names(sent)
        assert parts(found.body) == parts(sent)
        told = [
            (who, WORD if text.strip('"\n') == WORDS else text.replace(WORDS, WORD))
            for who, text in texts(sent)
        ]
        assert [(who, text.strip('"\n') if text.strip('"\n') == WORD else text)
                for who, text in texts(found.body)] == told  # fmt: skip
        assert found.first_turn(MODEL)["model"] == sent["model"] == MODEL


def test_a_changed_repository_leaves_most_of_claude_codes_prompt_as_it_was_recorded(
    folder: Path,
) -> None:
    with a_world("claude-code", folder) as world:
        paths = paths_below(folder / "ours")
        args = ("-p", WORDS)
        found, plan = recorded(world, paths, args)
        (world.project / "more.py").write_text("1\n")
        _commit(world.project)
        (world.project / "still-more.py").write_text("2\n")

        where = places_of(world, paths, f"{os.getpid()}-2")
        assert rehearsal.find(plan, paths, where) == found
        served = Endpoint(world.engine.url, world.agent.wires, MODEL, TOKEN)
        given = handover(plan.wish, plan.agent, served, plan.context, where)
        sent = sent_by_a_real_start(world, given, paths, shown=False)

        assert parts(found.body) == parts(sent)
        assert texts(found.body) != texts(sent)


@pytest.mark.parametrize(("name", "shown"), KINDS)
def test_a_rehearsal_leaves_no_trace_and_runs_no_hook(name: str, shown: bool, folder: Path) -> None:
    with a_world(name, folder) as world:
        paths = paths_below(folder / "ours")
        # What the agent makes of an empty home is not the rehearsal's doing.
        first = world.launch(world.case.prompt_args, options=("--trust-project",))
        assert first.returncode == 0, first.stderr
        for trace in world.folder.glob("ran*"):
            trace.unlink()
        home, project = kept(world.home), snapshot(world.project)
        asked = len(world.engine.requests)

        args = () if shown else tuple(world.case.prompt_args)
        recorded(world, paths, args)

        assert world.ran == []
        assert snapshot(world.project) == project
        changed = {
            file
            for file, data in kept(world.home).items()
            if home.get(file) != data
        }  # fmt: skip
        assert [file for file in changed if any(word in file for word in SESSIONS)] == []
        assert len(world.engine.requests) == asked
        assert list((paths.runtime / "launches").iterdir()) == []
        assert changed == set()


def test_nothing_is_rehearsed_where_the_folder_would_run_something_unasked(folder: Path) -> None:
    with make_world("opencode", folder) as world:
        world.plant("project-runs")
        paths = paths_below(folder / "ours")
        where = places_of(world, paths, f"{os.getpid()}-1")
        plan, served = plan_of(world, ("run", WORDS), where)

        assert finish(rehearsal.record(plan, served, paths, where, allowed=False)) is None
        assert world.ran == []
