"""The end of a launch: private files, status file, environment, and becoming the agent."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

import schemas
from agentlaunch import launch, plan, process, records
from agentlaunch import settings as our_settings
from agentlaunch.agents import AGENTS
from agentlaunch.agents.base import UNSET, Handover, PrivateFile
from agentlaunch.agents.claude_code import AGENT
from agentlaunch.endpoint import Endpoint
from agentlaunch.engines.base import Served
from agentlaunch.engines.llama_cpp import Timing
from agentlaunch.engines.remote import ALL_WIRES, KEY_VARIABLE, RemoteFacts, RemoteModel, probe
from agentlaunch.errors import AgentlaunchError, EngineFailed, ModelUnavailable, Refused
from agentlaunch.launch import Ready
from agentlaunch.machine.facts import Machine
from agentlaunch.models.catalog import Catalog
from agentlaunch.plan import LaunchPlan, Pull, Wish
from agentlaunch.settings import Paths
from agentlaunch.survey import AgentState, Survey
from agentlaunch.talk import Policy, Talk
from anthropic_server import AnthropicServer
from launcher import fake_agent

TOKEN = "token-of-the-engine"  # a canary
MACHINE = Machine("linux", "x86_64", None, 2, None, None, None, None, False, False)


@pytest.fixture
def paths() -> Paths:
    return our_settings.paths()


@pytest.fixture
def claude(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake Claude Code of a tested version, alone on PATH."""
    folder = fake_agent(tmp_path / "bin", "")
    monkeypatch.setenv("PATH", str(folder))
    return folder / "claude"


@pytest.fixture
def become(mocker: MockerFixture) -> Iterator[Any]:
    """`os.execvpe`, which here ends the launch with SystemExit; signals are put back after."""
    before = {sign: signal.getsignal(sign) for sign in (signal.SIGTERM, signal.SIGPIPE)}
    yield mocker.patch("os.execvpe", side_effect=SystemExit)
    for sign, handler in before.items():
        signal.signal(sign, handler)


def a_talk(**policy: bool) -> Talk:
    return Talk(Policy(**policy), out=io.StringIO(), err=io.StringIO())


def said(talk: Talk) -> str:
    assert isinstance(talk.err, io.StringIO)
    return talk.err.getvalue()


def a_plan(paths: Paths, facts: RemoteFacts, **wish: Any) -> LaunchPlan:
    """A launch with a server that runs already."""
    state = AgentState(AGENT, None, None, managed=False)
    agents = {AGENT.name: replace(state, path=Path("/old/claude"))}
    survey = Survey(MACHINE, (), agents, Catalog(()), (), False, None)
    return plan.make_plan(survey, Wish(AGENT, **wish), launch.places(paths, {}), remote=facts)


def some_facts(context_tokens: int | None = 65_536) -> RemoteFacts:
    return RemoteFacts(
        "http://127.0.0.1:9", "vllm", ALL_WIRES, (RemoteModel("m", context_tokens),), TOKEN
    )


def a_ready(paths: Paths, given: Handover) -> Ready:
    made = a_plan(paths, some_facts())
    served = Served("remote", Endpoint("http://127.0.0.1:9", ALL_WIRES, "m"), 65_536, None, True)
    return Ready(made, served, given)


# --- the environment --------------------------------------------------------------------------


def test_the_child_inherits_everything_but_what_the_hand_over_changes() -> None:
    given = Handover(("a",), {"SET": "new", "ADDED": "1", "GONE": UNSET, "NEVER": UNSET})
    inherited = {"SET": "old", "GONE": "x", "KEPT": "y", KEY_VARIABLE: "key"}
    before = dict(inherited)
    assert launch.child_environment(given, inherited) == {"SET": "new", "ADDED": "1", "KEPT": "y"}
    assert inherited == before


def test_the_launch_is_named_after_this_very_process(paths: Paths) -> None:
    where = launch.places(paths, {"A": "1"})
    assert where.run_name == str(process.identity())
    assert where.runtime == paths.runtime / "launches"
    assert where.environ == {"A": "1"}


# --- hand_over --------------------------------------------------------------------------------


def test_a_whole_launch_with_a_server_that_runs(
    paths: Paths, claude: Path, become: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, TOKEN)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "the user's real key")
    talk, status = a_talk(), tmp_path / "out" / "status.json"
    with AnthropicServer(model="m", max_model_len=40_960, token=TOKEN) as engine:
        facts = probe(engine.url, key=TOKEN, wires=AGENT.wires)
        where = launch.places(paths)
        made = a_plan(paths, facts, args=("-p", "hi"))
        ready = launch.prepare(made, talk, paths, where, insecure=False)
        with pytest.raises(SystemExit):
            launch.hand_over(ready, talk, paths, status)
    (file,) = (paths.runtime / "launches").iterdir()
    assert file.name == f"claude-code-{process.identity()}.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    settings = json.loads(file.read_text())
    assert settings["env"]["ANTHROPIC_AUTH_TOKEN"] == TOKEN
    ((program, argv, env),) = (call.args for call in become.call_args_list)
    assert program == argv[0] == str(claude)
    assert argv[-2:] == ["-p", "hi"]
    assert argv[argv.index("--settings") + 1] == str(file)
    assert TOKEN not in " ".join(argv)
    assert env["ANTHROPIC_BASE_URL"] == engine.url
    assert env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "40960"
    assert KEY_VARIABLE not in env
    assert "ANTHROPIC_API_KEY" not in env
    document = json.loads(status.read_text())
    schemas.check(document, "status")
    assert document == {
        "schema": "agentlaunch/status/1",
        "stage": "handed-over",
        "exit": None,
        "pid": os.getpid(),
        "agent": "claude-code",
        "model": "m",
        "engine": "remote",
    }
    assert records.Records(paths.state).recall("choices", "last") == {
        "agent": "claude-code",
        "model": "m",
        "engine": "remote",
    }
    assert TOKEN not in said(talk)
    assert "handing over to Claude Code" in said(talk)


@pytest.mark.usefixtures("become")
def test_private_files_replace_what_lay_there_and_seeds_never_do(paths: Paths) -> None:
    home = paths.data / "homes" / "claude-code"
    private = PrivateFile(paths.runtime / "launches" / "claude-code-x.json", b"new")
    seeds = (PrivateFile(home / ".claude.json", b"seed"), PrivateFile(home / "new", b"seed"))
    for file in (private.path, home / ".claude.json"):
        file.parent.mkdir(parents=True)
        file.write_bytes(b"old")
        file.chmod(0o644)
    given = Handover(("claude",), {}, files=(private,), seeds=seeds)
    with pytest.raises(SystemExit):
        launch.hand_over(a_ready(paths, given), a_talk(), paths, None)
    assert private.path.read_bytes() == b"new"
    assert private.path.stat().st_mode & 0o777 == 0o600
    assert (home / ".claude.json").read_bytes() == b"old"
    assert (home / "new").read_bytes() == b"seed"
    assert (home / "new").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("become")
def test_files_of_dead_launches_are_swept_and_nothing_else(paths: Paths) -> None:
    me = process.identity()
    assert me is not None
    folder = paths.runtime / "launches"
    folder.mkdir(parents=True)
    dead = ["claude-code-999999999-1.00.json", f"claude-code-{me.pid}-1.00.json", "a-1-nan.json"]
    kept = [f"claude-code-{me}.json", "claude-code-env.json", "notes.txt", "x-y-z.json", "-.json"]
    for name in (*dead, *kept):
        (folder / name).write_text("")
    for name in ("openhands-999999999-1.00", f"openhands-{me}"):
        (folder / name).mkdir()
        (folder / name / "settings.json").write_text("")
        (folder / name / "mcp.json").symlink_to(folder / "notes.txt")
    with pytest.raises(SystemExit):
        launch.hand_over(a_ready(paths, Handover(("claude",), {})), a_talk(), paths, None)
    assert sorted(file.name for file in folder.iterdir()) == sorted([*kept, f"openhands-{me}"])
    assert len(list((folder / f"openhands-{me}").iterdir())) == 2


@pytest.mark.usefixtures("become")
def test_a_choice_that_cannot_be_remembered_stops_no_launch(paths: Paths) -> None:
    (paths.state / "records.lock").mkdir(parents=True)
    with pytest.raises(SystemExit):
        launch.hand_over(a_ready(paths, Handover(("claude",), {})), a_talk(), paths, None)


def test_an_agent_that_cannot_be_executed_is_an_error(paths: Paths, become: Any) -> None:
    become.side_effect = OSError(8, "Exec format error")
    with pytest.raises(AgentlaunchError, match="claude could not be started") as caught:
        launch.hand_over(a_ready(paths, Handover(("claude",), {})), a_talk(), paths, None)
    assert caught.value.code == "agent-not-executable"


@pytest.mark.parametrize("stage", ["failed", "handed-over"])
def test_the_status_file_is_whole_and_readable_by_a_script(stage: str, tmp_path: Path) -> None:
    place = tmp_path / "new" / "status.json"
    code = 6 if stage == "failed" else None
    launch.write_status(place, stage, code, agent=None, model=None, plan=None)
    document = json.loads(place.read_text())
    schemas.check(document, "status")
    assert (document["stage"], document["exit"], document["engine"]) == (stage, code, None)
    assert place.stat().st_mode & 0o777 == 0o644
    assert list(place.parent.iterdir()) == [place]


@pytest.mark.usefixtures("become")
def test_nothing_is_swept_through_a_link_in_place_of_our_folder(
    paths: Paths, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs" / "notes-1-2.txt"
    theirs.parent.mkdir()
    theirs.write_text("")
    paths.runtime.mkdir()
    (paths.runtime / "launches").symlink_to(theirs.parent)
    given = Handover(
        ("claude",), {}, files=(PrivateFile(paths.runtime / "launches" / "x.json", b"x"),)
    )
    with pytest.raises(Refused):
        launch.hand_over(a_ready(paths, given), a_talk(), paths, None)
    assert [file.name for file in theirs.parent.iterdir()] == ["notes-1-2.txt"]


@pytest.mark.usefixtures("become")
def test_private_files_are_not_written_below_a_link(paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    paths.runtime.symlink_to(tmp_path / "theirs")
    place = paths.runtime / "launches" / "x.json"
    given = Handover(("claude",), {}, files=(PrivateFile(place, b"x"),))
    with pytest.raises(Refused):
        launch.hand_over(a_ready(paths, given), a_talk(), paths, None)
    assert list((tmp_path / "theirs").iterdir()) == []


# --- prepare ----------------------------------------------------------------------------------


def test_an_untested_version_is_warned_about(paths: Paths, claude: Path, tmp_path: Path) -> None:
    (claude.parent / "package.json").write_text('{"version": "99.0.0"}')
    talk = a_talk()
    made = a_plan(paths, some_facts())
    ready = launch.prepare(made, talk, paths, launch.places(paths), insecure=False)
    assert [row["code"] for row in talk.warnings] == ["untested-version"]
    assert (ready.plan.agent.path, ready.plan.agent.version) == (claude, "99.0.0")


def test_the_users_own_agent_under_a_node_that_is_too_old_is_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = AGENTS["pi"]
    assert agent.package is not None
    assert agent.package.min_node is not None
    needed = ".".join(str(part) for part in agent.package.min_node)
    program, node = tmp_path / "pi", tmp_path / "node"
    program.write_text("#!/usr/bin/env node\n")
    node.write_text("#!/bin/sh\necho v12.1.0\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    state = AgentState(agent, program, agent.tested_versions[-1], managed=False)
    (row,) = launch.version_remarks(state)
    assert row[0] == "node-too-old"
    assert f"12.1 at {node}, it needs {needed}: agentlaunch agents install pi" in row[1]
    assert launch.version_remarks(replace(state, runner=("/ours/node",))) == []
    program.write_text("native")
    assert launch.version_remarks(state) == []


def test_an_agent_that_vanished_is_an_error(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AgentlaunchError, match="still missing"):
        launch.prepare(
            a_plan(paths, some_facts()), a_talk(), paths, launch.places(paths), insecure=False
        )


@pytest.mark.usefixtures("claude")
def test_an_engine_of_ours_ends_after_the_users_idle_minutes(
    paths: Paths, mocker: MockerFixture
) -> None:
    mocker.patch("agentlaunch.launch.serving._request")
    made = mocker.patch("agentlaunch.engines.llama_cpp.LlamaCpp")
    made.return_value.serve.side_effect = EngineFailed("enough seen")
    embedded = replace(a_plan(paths, some_facts()), remote=None, steps=())
    where = launch.places(paths)
    with pytest.raises(EngineFailed, match="enough seen"):
        launch.prepare(embedded, a_talk(), paths, where, insecure=False, idle_minutes=40)
    made.assert_called_once_with(paths, Timing(idle_s=2400.0), None)


def test_a_pull_offline_is_refused_with_the_way_out(paths: Paths) -> None:
    made = replace(a_plan(paths, some_facts()), steps=(Pull("qwen3.5:9b", 5),))
    with pytest.raises(ModelUnavailable) as caught:
        launch.prepare(made, a_talk(offline=True), paths, launch.places(paths), insecure=False)
    assert caught.value.code == "offline"
    assert "--offline" in (caught.value.hint or "")
