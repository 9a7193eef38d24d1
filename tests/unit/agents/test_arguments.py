"""Arguments after `--` that would undo the routing: in every spelling, and no prompt with them."""

from __future__ import annotations

import pytest

from agentlaunch.agents import AGENTS, codex
from agentlaunch.agents.arguments import refuse_reserved
from agentlaunch.errors import UsageError


def _refuse(name: str, line: str) -> None:
    agent = AGENTS[name]
    refuse_reserved(agent.title, agent.reserved, tuple(line.split()), agent.grammar)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("droid", "exec -mgpt hi"),
        ("mini-swe-agent", "-mgpt"),
        ("codex", "exec -pother hi"),
        ("aider", "--openai-api-b http://x"),
        ("aider", "--mod gpt"),
        ("aider", "--set=A=b"),
        ("qwen", "--openaiBaseUrl=http://x hi"),
        ("opencode", "--print-logs serve"),
        ("opencode", "--log-level DEBUG web"),
        ("claude-code", "--debug update"),
        ("claude-code", "--name x mcp list"),
        ("copilot", "--log-level debug login"),
        ("qwen", "--debug mcp"),
        ("codex", "--cd x login"),
        ("droid", "--cwd x search"),
    ],
)
def test_a_reserved_argument_is_refused_however_it_is_spelled(name: str, line: str) -> None:
    with pytest.raises(UsageError):
        _refuse(name, line)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("codex", "exec login"),
        ("claude-code", "-p -- update --model x"),
        ("claude-code", "--name update -p hi"),
        ("copilot", "-p login"),
        ("qwen", "-r mcp hi"),
        ("opencode", "run -- serve"),
        ("opencode", "--agent web run"),
        ("aider", "--editor vim"),
        ("aider", "-m hi"),
        ("qwen", "--modelling hi"),
    ],
)
def test_a_prompt_a_value_and_what_stands_behind_two_dashes_are_left_alone(
    name: str, line: str
) -> None:
    _refuse(name, line)


@pytest.mark.parametrize(
    ("name", "line"),
    [("opencode", "--log-level DEBUG run hi"), ("codex", "--color never exec hi")],
)
def test_a_flag_with_a_value_before_the_subcommand_hides_no_headless_run(
    name: str, line: str
) -> None:
    assert AGENTS[name].is_headless(tuple(line.split()))


@pytest.mark.parametrize("setting", ["features={plugins=true}", 'memories={extract_model="x"}'])
def test_a_table_above_a_reserved_key_of_codex_is_refused_too(setting: str) -> None:
    with pytest.raises(UsageError):
        codex._refuse_overrides(("exec", "-c", setting))
