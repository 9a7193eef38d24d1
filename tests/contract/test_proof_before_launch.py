"""`up` proves a served model before the agent starts: once, within its budget, and never silently.

The agent is a small program that asks as Claude Code does, with the settings it was launched with.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acting_model import ActingModel, Manner, is_probe, is_warming
from launcher import PROGRAM, Launcher, fake_agent, make_launcher
from terminal import Terminal
from wire_replies import Reply
from wire_server import WireServer, refuse, say

AGENT = """
import json, os, sys, urllib.request
settings = json.load(open(sys.argv[sys.argv.index("--settings") + 1]))["env"]
tools = [{"name": f"tool_{n}", "description": "d" * 900, "input_schema": {"type": "object"}}
         for n in range(20)]
body = {"model": settings["ANTHROPIC_MODEL"], "max_tokens": 1000, "stream": False,
        "system": "You are an agent. " * 500, "tools": tools,
        "messages": [{"role": "user", "content": sys.argv[-1]}]}
request = urllib.request.Request(
    settings["ANTHROPIC_BASE_URL"] + "/v1/messages", json.dumps(body).encode(),
    {"authorization": "Bearer " + settings["ANTHROPIC_AUTH_TOKEN"],
     "content-type": "application/json"})
import time
time.sleep(float(os.environ.get("AGENT_WAITS_S", "0")))
urllib.request.urlopen(request).read()
print("the agent ran", flush=True)
"""


@pytest.fixture
def shell(tmp_path: Path) -> Launcher:
    """A home, a project, and the agent alone on PATH."""
    found = make_launcher(tmp_path)
    folder = fake_agent(tmp_path / "bin", AGENT)
    return Launcher(found.home, found.project, {"PATH": f"{folder}:/usr/bin:/bin"})


def up(shell: Launcher, engine: WireServer, *options: str) -> subprocess.CompletedProcess[str]:
    return shell.run(
        "up", "claude-code", "--engine", engine.url, "--no-input", *options, "--", "-p", "hi"
    )


def probes(engine: WireServer) -> int:
    return sum(1 for row in engine.requests if row.body.startswith(b"{") and is_probe(row.json))


def warmed(engine: WireServer) -> int:
    """Full-size requests of ours."""
    return sum(
        1
        for row in engine.requests
        if row.body.startswith(b"{")
        and row.path.startswith("/v1/messages")
        and "count" not in row.path
        and is_warming(row.json)
        and not is_probe(row.json)
    )


def stored(shell: Launcher) -> dict[str, dict[str, Any]]:
    """The remembered checks of the only proof, by name."""
    file = shell.home / ".local/state/agentlaunch/proofs.json"
    (row,) = json.loads(file.read_text()).values()
    return {check["name"]: check for check in row["checks"]}


def test_it_is_proven_once_and_the_second_launch_measures_nothing(shell: Launcher) -> None:
    with WireServer([say("hello")]) as engine:
        first = up(shell, engine)
        assert (first.returncode, first.stdout) == (0, "the agent ran\n"), first.stderr
        assert "tool calls work" in first.stderr
        assert "nothing is cut" in first.stderr
        before = probes(engine), warmed(engine)
        assert before[0] >= 4
        second = up(shell, engine)
        assert second.returncode == 0, second.stderr
        assert probes(engine) == before[0]
    assert "proven before" in second.stderr
    assert {name: row["status"] for name, row in stored(shell).items()} | {
        "first-word": "any",
        "prefix": "any",
    } == {"tool-call": "ok", "truncation": "ok", "prefix": "any", "first-word": "any"}


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        ("prose", "instead of calling a tool"),
        ("json-in-text", "comes as text"),
        ("ignores-tools", "ignores tools"),
        ("other-argument", "argument"),
        ("other-tool", "not asked for"),
        ("unknown-tool", "does not exist"),
        ("refuses-tools", "does not support tools"),
        ("forgets-the-result", "instead of calling a tool"),
        ("silent", "says nothing"),
    ],
)
def test_a_model_that_cannot_call_tools_never_meets_the_agent(
    shell: Launcher, manner: Manner, words: str
) -> None:
    with WireServer([say("hello")], probes=ActingModel(manner)) as engine:
        done = up(shell, engine)
        assert done.returncode == 3, done.stderr
        assert engine.asked == []
    assert words in done.stderr
    assert "--skip-proof launches anyway" in " ".join(done.stderr.split())
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_what_failed_is_measured_again(shell: Launcher) -> None:
    """Its remedy, a flag of the server, leaves every name and version as it was."""
    with WireServer([say("hello")], probes=ActingModel("prose")) as engine:
        assert up(shell, engine).returncode == 3
        engine.probes = ActingModel()
        assert up(shell, engine).returncode == 0


def test_a_model_that_sometimes_fails_is_launched_with_a_word(shell: Launcher) -> None:
    with WireServer([say("hello")], probes=ActingModel("prose", bad_tries=1)) as engine:
        done = up(shell, engine)
    assert done.returncode == 0, done.stderr
    assert "1 of 2 tries" in " ".join(done.stderr.split())


def test_skip_proof_neither_proves_nor_warms(shell: Launcher) -> None:
    with WireServer([say("hello")], probes=ActingModel("prose")) as engine:
        done = up(shell, engine, "--skip-proof")
        assert (done.returncode, done.stdout) == (0, "the agent ran\n"), done.stderr
        assert (probes(engine), warmed(engine)) == (0, 0)
        assert len(engine.asked) == 1


def test_a_key_that_a_server_says_is_neither_shown_nor_kept(shell: Launcher) -> None:
    engine_key, other_key = "KEYofTheEngine4711", "sk-ant-api03-CANARYcanary"

    def answer(request: dict[str, Any], _wire: Any) -> Reply:
        return refuse(500, f"key {engine_key} and {other_key} AKIAIOSFODNN7EXAMPLE refused")

    keyed = {"AGENTLAUNCH_ENGINE_KEY": engine_key, "ANTHROPIC_API_KEY": other_key}
    known = Launcher(shell.home, shell.project, {**shell.more, **keyed})
    with WireServer([say("hello")], token=engine_key, probes=answer) as engine:
        done = up(known, engine)
        told = known.run("doctor", "claude-code", "--json")
    assert done.returncode == 3, done.stderr
    kept = (shell.home / ".local/state/agentlaunch/proofs.json").read_text()
    for text in (done.stderr, kept, told.stdout, told.stderr):
        for secret in (engine_key, other_key, "AKIAIOSFODNN7EXAMPLE"):
            assert secret not in text
    assert "***" in done.stderr


def test_yes_does_not_launch_what_failed(shell: Launcher) -> None:
    with WireServer([say("hello")], probes=ActingModel("prose")) as engine:
        assert up(shell, engine, "--yes").returncode == 3


def test_a_prompt_that_the_engine_refuses_as_too_long_is_status_6(shell: Launcher) -> None:
    def answer(request: dict[str, Any], wire: Any) -> Reply:
        if is_warming(request) and not is_probe(request):
            text = "request (19000 tokens) exceeds the available context size (4096 tokens)"
            return refuse(400, text, "exceed_context_size_error")
        return ActingModel()(request, wire)

    with WireServer([say("hello")], probes=answer) as engine:
        for _launch in range(2):
            done = up(shell, engine)
            assert done.returncode == 6, done.stderr
            assert "does not fit" in done.stderr
            assert engine.asked == []
        engine.probes = ActingModel()
        assert up(shell, engine).returncode == 0, "mended"


def test_a_gate_that_failed_hides_no_cut_prompt_later(shell: Launcher) -> None:
    def answer(request: dict[str, Any], wire: Any) -> Reply:
        if is_warming(request) and not is_probe(request):
            return refuse(400, "request exceeds the available context size", "x")
        return ActingModel()(request, wire)

    with WireServer([say("hello")], probes=ActingModel("prose")) as engine:
        assert up(shell, engine).returncode == 3
        engine.probes = answer
        assert up(shell, engine).returncode == 6


def test_a_folder_with_far_more_instructions_has_its_prompt_measured_again(
    shell: Launcher,
) -> None:
    with WireServer([say("hello")]) as engine:
        assert up(shell, engine).returncode == 0
        before = warmed(engine)
        (shell.project / "CLAUDE.md").write_text("Remember this. " * 15_000)
        assert up(shell, engine).returncode == 0
        assert warmed(engine) >= before + 2


def test_the_budget_is_kept_and_what_was_not_measured_is_said(shell: Launcher) -> None:
    def slow(request: dict[str, Any], wire: Any) -> Reply:
        time.sleep(20 if not is_warming(request) else 0)
        return ActingModel()(request, wire)

    limited = Launcher(shell.home, shell.project, {**shell.more, "AGENTLAUNCH_PROOF_LIMIT": "2"})
    with WireServer([say("hello")], probes=slow) as engine:
        begun = time.monotonic()
        done = up(limited, engine)
        took_s = time.monotonic() - begun
    assert done.returncode == 0, done.stderr
    assert took_s < 18, "the proof went on beyond its limit"
    assert "tool calls were not proven" in " ".join(done.stderr.split())
    assert "tool-call" not in stored(shell), "the next launch asks again"


def test_the_engine_reads_the_agents_prompt_while_that_starts(shell: Launcher) -> None:
    """Once proven, the first request of the agent's is sent by a process of its own."""
    with WireServer([say("hello")]) as engine:
        assert up(shell, engine).returncode == 0
        before = warmed(engine)
        waiting = Launcher(shell.home, shell.project, {**shell.more, "AGENT_WAITS_S": "6"})
        done = up(waiting, engine)
        assert done.returncode == 0, done.stderr
        assert warmed(engine) == before + 1
        sent = next(row for row in reversed(engine.requests) if "max_tokens" in row.json)
        rows = [row.json for row in engine.requests if b"You are an agent" in row.body]
    assert sent.json["max_tokens"] == 1000, "the agent came last"
    assert {json.dumps([row["system"], row["tools"]]) for row in rows} == {
        json.dumps([rows[0]["system"], rows[0]["tools"]])
    }
    log = shell.home / ".local/state/agentlaunch/logs/warm-start.log"
    assert "truncation: ok" in log.read_text()


def test_a_warm_start_can_be_switched_off(shell: Launcher) -> None:
    off = Launcher(shell.home, shell.project, {**shell.more, "AGENTLAUNCH_WARM_START": "off"})
    with WireServer([say("hello")]) as engine:
        assert up(off, engine).returncode == 0
        before = warmed(engine)
        waiting = Launcher(shell.home, shell.project, {**off.more, "AGENT_WAITS_S": "3"})
        assert up(waiting, engine).returncode == 0
        assert warmed(engine) == before


def test_a_warm_start_ends_with_its_agent(shell: Launcher) -> None:
    """Nobody waits for the prompt any more, so the engine is not left at work."""

    def answer(request: dict[str, Any], wire: Any) -> Reply:
        if asked and is_warming(request) and not is_probe(request):
            time.sleep(30)
        return ActingModel()(request, wire)

    asked: list[bool] = []
    with WireServer([say("hello")], probes=answer) as engine:
        assert up(shell, engine).returncode == 0
        asked.append(True)
        waiting = Launcher(shell.home, shell.project, {**shell.more, "AGENT_WAITS_S": "2"})
        assert up(waiting, engine).returncode == 0
        limit = time.monotonic() + 20
        while _warming_processes() and time.monotonic() < limit:
            time.sleep(0.2)
        assert _warming_processes() == []


def _warming_processes() -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        if "agentlaunch.launch.warm" in words:
            found.append(words)
    return found


def test_a_dry_run_asks_nothing_of_the_model(shell: Launcher) -> None:
    with WireServer([say("hello")]) as engine:
        done = up(shell, engine, "--dry-run", "--json")
        assert (probes(engine), warmed(engine)) == (0, 0)
    kinds = [step["kind"] for step in json.loads(done.stdout)["data"]["steps"]]
    assert kinds == ["prove", "warm", "hand-over"]


@pytest.mark.parametrize(("word", "status"), [("y", 0), ("n", 3), ("", 3)])
def test_a_person_may_launch_anyway(shell: Launcher, word: str, status: int) -> None:
    with WireServer([say("hello")], probes=ActingModel("prose")) as engine:
        argv = [str(PROGRAM), "up", "claude-code", "--engine", engine.url, "--", "-p", "hi"]
        env = {**shell.env, "TERM": "xterm"}
        shown = Terminal(argv, env, shell.project, columns=60)
        try:
            shown.wait_for("Launch anyway? [y/N]")
            shown.type(f"{word}\r")
            assert _ended(shown) == status
        finally:
            shown.close()
        assert len(engine.asked) == (1 if status == 0 else 0)


def _ended(shown: Terminal) -> int:
    until: Callable[[], bool] = lambda: shown.child.poll() is not None  # noqa: E731 - short
    limit = time.monotonic() + 60
    while not until() and time.monotonic() < limit:
        time.sleep(0.05)
    assert until(), shown.seen
    return int(shown.child.returncode)
