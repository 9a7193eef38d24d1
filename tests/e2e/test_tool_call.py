"""A scripted engine asks the real Claude Code to write a file; the file really appears."""

from __future__ import annotations

from pathlib import Path

import pytest

import launcher
from anthropic_server import AnthropicServer, text, tool
from real_claude import claude_binary  # noqa: F401 - a fixture

pytestmark = pytest.mark.needs_network


@pytest.mark.usefixtures("claude_binary")
def test_the_agent_edits_a_file_in_an_empty_home(tmp_path: Path, claude_binary: Path) -> None:  # noqa: F811 - the fixture's value
    world = launcher.make_launcher(
        tmp_path / "world",
        PATH=f"{claude_binary.parent}:{launcher.shell_environment(tmp_path)['PATH']}",
    )
    target = world.project / "hello.txt"
    script = [
        tool("Write", {"file_path": str(target), "content": "written by the agent\n"}),
        text("I wrote hello.txt"),
    ]
    with AnthropicServer(script, token="s3cret-of-the-engine") as engine:
        done = launcher.Launcher(
            world.home, world.project, {**world.more, "AGENTLAUNCH_ENGINE_KEY": engine.token or ""}
        ).run(
            "up", "claude-code", "--engine", engine.url, "--no-input",
            "--", "-p", "write hello.txt", "--permission-mode", "acceptEdits",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "I wrote hello.txt"
    assert target.read_text() == "written by the agent\n"
    assert sorted(file.name for file in world.project.iterdir()) == [".git", "hello.txt"]
    sent = [request.headers.get("authorization") for request in engine.messages]
    assert set(sent) == {"Bearer s3cret-of-the-engine"}
    assert "s3cret" not in done.stderr


def test_without_the_key_the_launch_ends_before_the_agent_starts(tmp_path: Path) -> None:
    world = launcher.make_launcher(tmp_path / "world")
    with AnthropicServer([text("hi")], token="s3cret-of-the-engine") as engine:
        done = world.run("up", "claude-code", "--engine", engine.url, "--no-input")
    assert done.returncode == 9
    assert "AGENTLAUNCH_ENGINE_KEY" in done.stderr
