"""The README's story: an empty HOME, one command, a real agent answered by the real engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import launcher
import schemas
from launcher import Launcher
from small_model import small_model
from waiting import wait_until

pytestmark = pytest.mark.needs_network

AGENTS_OWN = (".claude", ".claude.json", ".npm", ".cache/claude", ".local/share/claude")
"""What Claude Code itself writes in a home, as it always does."""
OURS = (
    ".config/agentlaunch",
    ".local/share/agentlaunch",
    ".local/state/agentlaunch",
    ".cache/agentlaunch",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """One empty home for the whole story; its engine ends with it."""
    made = launcher.make_launcher(tmp_path_factory.mktemp("first"))
    yield made
    made.run("engines", "stop", "--force")


@pytest.fixture(scope="module")
def first(world: Launcher) -> subprocess.CompletedProcess[str]:
    """The command of `scripts/try`, once.

    The short instruction bounds the answer: under the agent's own the tiny model rambles. In about
    one of twelve it still runs past the limit and the agent gives up; then it is asked again.
    """
    model = str(small_model())
    argv = (
        "up", "claude-code", "--yes", "--skip-proof", "--engine", "embedded", "--model", model,
        "--", "-p", "Say hello", "--system-prompt", "Answer with one short sentence.",
    )  # fmt: skip
    done = world.run(*argv, timeout_s=600)
    said = done.stderr
    for _ in range(3):
        if "output token maximum" not in done.stdout:
            break
        done = world.run(*argv, timeout_s=600)
    done.stderr = said  # the first launch is the one whose steps are looked at
    return done


def _state(world: Launcher) -> dict[str, Any]:
    """The state file of the one engine that runs."""
    (file,) = (world.home / ".local/state/agentlaunch/run/engines").glob("*.json")
    assert file.stat().st_mode & 0o777 == 0o600
    state = json.loads(file.read_text())
    assert isinstance(state, dict)
    return state


def test_a_real_agent_is_answered_by_a_real_model(
    first: subprocess.CompletedProcess[str],
) -> None:
    assert first.returncode == 0, first.stderr
    assert first.stdout.strip() != ""
    assert "handing over to Claude Code" in first.stderr


def test_each_step_is_said_as_it_happens(first: subprocess.CompletedProcess[str]) -> None:
    steps = ("installed npm: @anthropic-ai/claude-code", "installed PyPI: xllamacpp", "loaded ")
    places = [first.stderr.find(step) for step in steps]
    assert -1 not in places
    assert places == sorted(places)


def test_new_files_lie_only_in_our_folders_and_the_agents_own(
    world: Launcher, first: subprocess.CompletedProcess[str]
) -> None:
    assert first.returncode == 0
    strange = [
        name for name in launcher.snapshot(world.home) if not name.startswith((*OURS, *AGENTS_OWN))
    ]
    assert strange == []
    assert [file.name for file in world.project.iterdir()] == [".git"]


def test_the_engine_demands_its_token_and_its_log_shows_the_request(
    world: Launcher, first: subprocess.CompletedProcess[str]
) -> None:
    assert first.returncode == 0
    state = _state(world)
    log = world.run("engines", "logs")
    assert log.returncode == 0
    assert "prompt eval time" in log.stdout
    token = str(state["token"])
    assert len(token) >= 20
    everything = launcher.snapshot(world.home)
    holders = [name for name, data in everything.items() if token.encode() in data]
    assert all("/run/" in name for name in holders), holders
    assert token not in log.stdout + first.stdout + first.stderr
    url = f"http://127.0.0.1:{state['port']}"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url + "/v1/models", timeout=10)
    refused.value.close()
    assert refused.value.code == 401


def test_no_process_of_ours_is_left_but_the_engine(
    world: Launcher, first: subprocess.CompletedProcess[str]
) -> None:
    assert first.returncode == 0
    ours = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        env = process.info["environ"] or {}
        if env.get("HOME") == str(world.home):
            ours.append(" ".join(process.info["cmdline"] or []))
    assert len(ours) == 1, ours
    assert "llama_cpp_host" in ours[0]


def test_a_second_launch_shares_the_loaded_model(
    world: Launcher, first: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    """While one session runs, the next finds the model loaded and says so."""
    assert first.returncode == 0
    before = _state(world)
    waits = launcher.fake_agent(tmp_path / "waits", "import sys, time\ntime.sleep(600)\n")
    quick = launcher.fake_agent(tmp_path / "quick", "import sys\nsys.exit(0)\n")
    first_session = _with_agent(world, waits).start(*_up())
    try:
        wait_until(lambda: _sessions(world) == 1, limit_s=60)
        second = _with_agent(world, quick).run(*_up())
        stop = world.run("engines", "stop")
    finally:
        first_session.kill()
        first_session.communicate()
    assert second.returncode == 0, second.stderr
    assert "reused, shared with 1 running" in second.stderr
    assert _state(world) == before
    assert stop.returncode == 8  # a session uses it


def test_a_killed_engine_is_noticed_and_repaired(
    world: Launcher, first: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    assert first.returncode == 0
    old = _state(world)
    os.kill(int(old["pid"]), signal.SIGKILL)
    quick = launcher.fake_agent(tmp_path / "quick", "import sys\nsys.exit(3)\n")
    again = _with_agent(world, quick).run(*_up())
    assert again.returncode == 3, again.stderr
    assert "reused" not in again.stderr
    assert _state(world)["pid"] != old["pid"]


def test_a_dry_run_with_a_running_engine_says_that_it_is_shared(
    world: Launcher, first: subprocess.CompletedProcess[str]
) -> None:
    assert first.returncode == 0
    done = world.run(*_up("--dry-run", "--json"))
    document = json.loads(done.stdout)
    schemas.check(document)
    steps = {step["kind"]: step for step in document["data"]["steps"]}
    assert list(steps) == ["start-engine", "load", "hand-over"]
    assert steps["start-engine"]["reuse"] is True


def test_env_prints_what_a_shell_needs_to_reach_the_running_engine(
    world: Launcher, first: subprocess.CompletedProcess[str]
) -> None:
    assert first.returncode == 0
    model = str(small_model())
    done = world.run("env", "claude-code", "--model", model, "--shell", "json")
    document = json.loads(done.stdout)
    schemas.check(document)
    assert document["data"]["env"]["ANTHROPIC_BASE_URL"].startswith("http://127.0.0.1:")
    text = world.run("env", "claude-code", "--model", model, "--shell", "bash").stdout
    shell = subprocess.run(
        ["bash", "-c", f"{text}\ntype claude >/dev/null && printf '%s' \"$ANTHROPIC_BASE_URL\""],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout == document["data"]["env"]["ANTHROPIC_BASE_URL"]


def test_clean_lists_what_is_ours_and_removes_it(
    world: Launcher, first: subprocess.CompletedProcess[str]
) -> None:
    """Last in the story: afterwards only the agent's own files and our small records are left."""
    assert first.returncode == 0
    listed = json.loads(world.run("clean", "--json").stdout)
    names = {item["name"] for item in listed["data"]["items"]}
    assert {"xllamacpp@2026.10.11549", "@anthropic-ai/claude-code@2.1.197"} <= names
    asked = world.run("clean", "--all", "--no-input")
    assert asked.returncode == 2
    done = world.run("clean", "--all", "--yes")
    assert done.returncode == 0, done.stderr
    left = [name for name in launcher.snapshot(world.home) if not name.startswith(AGENTS_OWN)]
    kept = [name for name in left if not name.startswith(".local/state/agentlaunch")]
    assert all(name.endswith(".lock") for name in kept), kept


def _up(*more: str) -> tuple[str, ...]:
    model = str(small_model())
    return ("up", "claude-code", "--yes", "--skip-proof", "--model", model, *more)


def _with_agent(world: Launcher, folder: Path) -> Launcher:
    return Launcher(world.home, world.project, {"PATH": f"{folder}:{os.environ['PATH']}"})


def _sessions(world: Launcher) -> int:
    found = json.loads(world.run("engines", "--json").stdout)["data"]["engines"]
    return int(found[0]["sessions"])
