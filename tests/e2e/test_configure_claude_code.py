"""A plain `claude` after `up claude --config` asks the chosen engine; `restore` undoes it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from anthropic_server import AnthropicServer, text
from launcher import Launcher, make_launcher
from real_claude import claude_binary

__all__ = ["claude_binary"]  # the fixture, known to pytest by its name in this module

pytestmark = pytest.mark.needs_network

CANARY = "sk-ant-canary-0123456789"


def plain(launcher: Launcher, binary: Path, **shell: str) -> subprocess.CompletedProcess[str]:
    """What a person types without us, in a shell that still holds another key."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    return subprocess.run(
        [str(binary), "-p", "Say hello"],
        cwd=launcher.project,
        env={**kept, "HOME": str(launcher.home), **shell},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_plain_start_asks_the_engine_and_restore_gives_the_very_bytes_back(
    tmp_path: Path, claude_binary: Path
) -> None:
    launcher = make_launcher(tmp_path, PATH=f"{claude_binary.parent}:{os.environ['PATH']}")
    with (
        AnthropicServer([text("hello from the engine")]) as engine,
        AnthropicServer([text("hello from elsewhere")]) as other,
    ):
        file = launcher.home / ".claude" / "settings.json"
        file.parent.mkdir()
        document = {
            "env": {"ANTHROPIC_BASE_URL": other.url, "ANTHROPIC_API_KEY": CANARY},
            "apiKeyHelper": f"echo {CANARY}",
            "model": "opus",
        }
        file.write_text(json.dumps(document))
        first = plain(launcher, claude_binary, ANTHROPIC_BASE_URL=other.url)
        assert "hello from elsewhere" in first.stdout, first.stderr
        asked_before = len(other.requests)
        # Its first start in a home moves settings of older versions (2.1.197 drops `model: opus`).
        before = file.read_bytes().replace(b"  ", b"\t") + b"\n"
        file.write_bytes(before)

        done = launcher.run(
            "up", "claude", "--config", "--engine", engine.url, "--yes", "--no-input"
        )
        assert done.returncode == 0, done.stderr
        assert CANARY not in done.stdout + done.stderr
        again = plain(
            launcher, claude_binary, ANTHROPIC_BASE_URL=other.url, ANTHROPIC_API_KEY=CANARY
        )
        assert again.stdout == "hello from the engine\n", again.stderr
        assert len(other.requests) == asked_before
        assert {turn["model"] for turn in engine.turns} == {engine.model}
        assert all(CANARY.encode() not in row.everything for row in engine.requests)

        undone = launcher.run("restore", "claude", "--json")
        assert json.loads(undone.stdout)["data"] == {"restored": [str(file)], "kept": []}
        assert file.read_bytes() == before
        last = plain(launcher, claude_binary)
        assert "hello from elsewhere" in last.stdout, last.stderr
