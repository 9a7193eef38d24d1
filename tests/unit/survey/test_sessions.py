"""How large a resumed conversation is, from its file."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from agentlaunch.agents import AGENTS
from agentlaunch.agents.claude_code import AGENT
from agentlaunch.survey import sessions
from agentlaunch.survey.sessions import Resumed

OLD, NEW = (f"{digit * 8}-4ffd-4ae8-8ad6-1a88205fa9e4" for digit in "12")


def _conversation(config: Path, name: str, tokens: int, age_s: int, *, fill: int = 0) -> None:
    file = config / "projects" / "-src-here" / f"{name}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    reply = {"type": "assistant", "message": {"usage": {"input_tokens": tokens}}}
    rows = [json.dumps({"type": "user", "text": "x" * fill}), json.dumps(reply)]
    file.write_text("\n".join(rows) + "\n")
    os.utime(file, (1_000_000 - age_s, 1_000_000 - age_s))


def _look(config: Path, *args: str) -> Resumed | None:
    return sessions.look(AGENT, args, Path("/src/here"), config)


def test_the_latest_or_the_named_conversation_is_read(tmp_path: Path) -> None:
    _conversation(tmp_path, OLD, 90_000, 60)
    _conversation(tmp_path, NEW, 5_000, 0)
    assert _look(tmp_path, "-c", "-p", "x") == Resumed(5_000, ("-p", "x"))
    assert _look(tmp_path, "--resume", OLD, "x") == Resumed(90_000, ("x",))


def test_only_the_end_of_a_long_file_is_read(tmp_path: Path) -> None:
    _conversation(tmp_path, OLD, 70_000, 0, fill=sessions.TAIL_BYTES + 1_000)
    assert _look(tmp_path, "--continue") == Resumed(70_000, ())


def test_what_is_not_there_or_not_resumed_is_nothing(tmp_path: Path) -> None:
    assert _look(tmp_path, "--continue") is None
    _conversation(tmp_path, OLD, 90_000, 0)
    assert _look(tmp_path, "-p", "x") is None
    assert (
        sessions.look(replace(AGENT, sessions=None), ("-c",), Path("/src/here"), tmp_path) is None
    )


def test_the_latest_of_the_project_is_taken_where_all_lie_together(tmp_path: Path) -> None:
    def rollout(name: str, project: str, tokens: int, age_s: int) -> None:
        file = tmp_path / "sessions" / "2026" / "11" / "22" / f"rollout-{name}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        usage = {"last_token_usage": {"total_tokens": tokens}}
        rows = [
            {"type": "session_meta", "payload": {"cwd": project}},
            {"type": "event_msg", "payload": {"type": "token_count", "info": usage}},
        ]
        file.write_text("\n".join(map(json.dumps, rows)))
        os.utime(file, (1_000_000 - age_s, 1_000_000 - age_s))

    rollout(OLD, "/src/here", 70_000, 60)
    rollout(NEW, "/src/elsewhere", 5_000, 0)
    codex = AGENTS["codex"]
    found = sessions.look(codex, ("resume", "--last"), Path("/src/here"), tmp_path)
    assert found == Resumed(70_000, ())
    assert sessions.look(codex, ("resume", NEW), Path("/src/here"), tmp_path) == Resumed(5_000, ())
