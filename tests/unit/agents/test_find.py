"""An agent's name as people type it."""

import pytest

from agentlaunch.agents import AGENTS, find
from agentlaunch.errors import NotSupported, UsageError

LOCAL = [name for name, agent in AGENTS.items() if agent.local]
OTHERS = {name: agent for name, agent in AGENTS.items() if not agent.local}


@pytest.mark.parametrize(
    ("typed", "name"),
    [("Claude", "claude-code"), (" DROID ", "droid"), ("goose-cli", "goose")],
)
def test_an_agent_is_found_by_name_alias_and_any_case(typed: str, name: str) -> None:
    assert find(typed) is AGENTS[name]


@pytest.mark.parametrize("typed", ["kiro", "Kiro-CLI", "gemini", "cursor-agent"])
def test_one_that_cannot_be_local_says_why_and_names_those_that_can(typed: str) -> None:
    with pytest.raises(NotSupported) as caught:
        find(typed)

    words = {word: a for a in OTHERS.values() for word in (a.name, *a.aliases)}
    agent = words[typed.lower()]
    assert (caught.value.exit_code, caught.value.code) == (5, "agent-not-supported")
    assert str(caught.value) == (
        f"{agent.title} cannot use a model of your own: {agent.local_reason}"
    )
    assert caught.value.hint == "agents that can: " + ", ".join(LOCAL)


def test_one_that_cannot_be_local_is_declared_without_anything_to_launch() -> None:
    assert set(OTHERS) == {"cursor", "gemini", "kiro"}
    for agent in OTHERS.values():
        assert (agent.tiers, agent.wires, agent.package) == ((), (), None)
        assert (agent.support, agent.min_context_tokens) == ("documented", 0)


def test_a_typo_is_answered_with_a_suggestion() -> None:
    with pytest.raises(UsageError) as caught:
        find("drod")

    assert (caught.value.exit_code, caught.value.hint) == (2, "did you mean `droid`?")


def test_an_unknown_name_is_answered_with_the_list() -> None:
    with pytest.raises(UsageError) as caught:
        find("emacs")

    assert caught.value.hint == "agents: " + ", ".join(LOCAL)
