"""The table of tested versions names the versions that the program itself calls tested."""

from __future__ import annotations

import json
from pathlib import Path

from agentlaunch.agents import AGENTS
from agentlaunch.engines import llama_cpp

DATA = json.loads(
    (Path(__file__).parents[2] / "scripts" / "data" / "tested_versions.json").read_text()
)


def test_every_tested_version_of_an_agent_and_the_engine_that_is_brought_have_a_row() -> None:
    rows = {(row["what"], row["version"]) for row in DATA["tested"]}
    wanted = {
        (agent.title, version) for agent in AGENTS.values() for version in agent.tested_versions
    }
    assert wanted | {("llama.cpp, embedded (xllamacpp)", llama_cpp.PACKAGE.version)} <= rows


def test_each_row_says_what_by_what_and_where() -> None:
    for row in DATA["tested"]:
        assert set(row) == {"what", "version", "by", "on"}
        assert all(isinstance(text, str) and text for text in row.values())
    for row in DATA["untested"]:
        assert set(row) == {"what", "instead"}
        assert all(isinstance(text, str) and text for text in row.values())
