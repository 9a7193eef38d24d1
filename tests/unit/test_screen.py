"""The screen: each step in words, with what it brings and how large that is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentlaunch import plan
from agentlaunch.agents import AGENTS
from agentlaunch.agents.base import Agent
from agentlaunch.agents.claude_code import AGENT
from agentlaunch.commands import screen
from agentlaunch.engines.llama_cpp import PACKAGE
from agentlaunch.engines.remote import ALL_WIRES, RemoteFacts, RemoteModel
from agentlaunch.machine.facts import Machine
from agentlaunch.models.catalog import Catalog
from agentlaunch.plan import (
    HandOver,
    Install,
    LaunchPlan,
    Load,
    Places,
    Pull,
    StartEngine,
    Step,
    Wish,
)
from agentlaunch.survey import AgentState, Survey
from places import CHECKOUT

SMALL = replace(PACKAGE, source="PyPI: x 1", size_bytes=7_000_000, download_bytes=2_000_000)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Install(SMALL), "install PyPI: x 1 (2.0 MB to download, 7.0 MB on disk)"),
        (Pull("a:b", 6_600_000_000), "download a:b (6.6 GB)"),
        (Pull("c:d", None), "download c:d (?)"),
        (StartEngine("embedded", False), "start the embedded engine"),
        (StartEngine("embedded", True), "share the running embedded engine"),
        (Load("m", 8192), "load m with 8,192 tokens of context"),
        (HandOver("claude-code"), "become claude-code"),
    ],
)
def test_a_step_is_said_in_words(step: Step, words: str) -> None:
    assert screen.step_text(step) == words


def made(tokens: int, **wish: Any) -> LaunchPlan:
    """A launch of Claude Code on a server that serves so many tokens."""
    machine = Machine("linux", "x86_64", None, 2, None, None, None, None, False, False)
    here = AgentState(AGENT, Path("/usr/bin/claude"), "2.1.197", managed=False)
    facts = RemoteFacts("http://127.0.0.1:8000", "vllm", ALL_WIRES, (RemoteModel("m", tokens),))
    survey = Survey(machine, (), {AGENT.name: here}, Catalog(()), (), False)
    places = Places(Path("/run/agentlaunch"), Path("/homes"), "1-2", {})
    return plan.make_plan(survey, Wish(AGENT, **wish), places, remote=facts)


SIX = "slim, 6 of 24 tools (Bash, Read, Edit, Write, Glob, Grep), about "


def test_a_prompt_made_smaller_for_its_window_says_what_is_left_and_how_to_get_the_rest() -> None:
    least = AGENT.tiers[0].min_context_tokens(AGENT.compaction)
    interactive = made(32_768)
    assert screen.prompt(interactive) == [
        f"{SIX}6,422 tokens; the full one (21,332) wants a window of {least:,} tokens: "
        "--slim off sends it"
    ]
    assert f"prompt   {screen.prompt(interactive)[0]}" in screen.lines(interactive)
    assert screen.prompt(made(32_768, args=("-p", "hi"))) == [
        f"{SIX}4,997 tokens; the full one (18,182) wants a window of {least:,} tokens: "
        "--slim off sends it"
    ]
    here = replace(interactive, remote=None)  # a window that is ours to make larger
    assert screen.prompt(here)[0].endswith(f"tokens: --context {least} or --slim off sends it")


def test_a_smaller_prompt_that_was_asked_for_or_is_sooner_says_so() -> None:
    asked = made(65_536, slim="on")
    assert screen.prompt(asked) == [
        f"{SIX}6,422 tokens; as asked; --slim off sends the full one (21,332)"
    ]
    sooner = replace(asked, wish=replace(asked.wish, slim="auto"))
    assert screen.prompt(sooner) == [
        f"{SIX}6,422 tokens; the first word comes sooner than with the full one "
        "(21,332: --slim off)"
    ]


def test_the_full_prompt_is_not_spoken_of() -> None:
    assert screen.prompt(made(65_536)) == []
    assert screen.prompt(made(32_768, slim="off", model="m")) == []
    assert not [line for line in screen.lines(made(65_536)) if line.startswith("prompt")]


@pytest.mark.parametrize("agent", [row for row in AGENTS.values() if len(row.tiers) > 1])
def test_every_slim_tier_is_said_with_its_number_of_tools(agent: Agent) -> None:
    slim = replace(made(65_536, slim="on"), wish=Wish(agent, slim="on"))
    slim = replace(slim, context=replace(slim.context, tier=agent.tiers[1]))
    (text,) = screen.prompt(slim)
    assert text.startswith(f"slim, {agent.tiers[1].tools} of {agent.tiers[0].tools} tools")


def test_the_page_about_the_slim_prompt_tells_the_figures_of_every_agent() -> None:
    page = (CHECKOUT / "docs" / "explanation" / "slim.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert rows == sorted(
        f"| `{agent.name}` | "
        + " | ".join(
            f"{tier.tools} | {tier.interactive_tokens:,} "
            f"| {tier.min_context_tokens(agent.compaction):,}"
            for tier in agent.tiers
        )
        + " |"
        for agent in AGENTS.values()
        if len(agent.tiers) > 1
    )
