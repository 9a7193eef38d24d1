"""Today's hand-over is the one with which the real program was recorded, and it asked as told."""

from __future__ import annotations

import pytest

from agentlaunch.agents import AGENTS
from recorded_handover import (
    MODEL,
    TOKEN,
    Places,
    as_recorded,
    prompt_args,
    recorded,
    target,
)

PLACES = Places()
NAMES = ("vibe", "aider", "mini-swe-agent", "openhands")


@pytest.mark.parametrize("name", NAMES)
def test_todays_handover_is_the_one_that_was_recorded_with_the_real_program(name: str) -> None:
    was, agent = recorded(name), AGENTS[name]
    assert agent.package is not None
    assert was["version"] == agent.package.version
    handover = agent.prepare(target(name, PLACES, *prompt_args(name)))
    assert as_recorded(handover, PLACES) == was["handover"]


@pytest.mark.parametrize("name", NAMES)
def test_the_real_program_asked_the_engine_as_it_was_told(name: str) -> None:
    sent, agent = recorded(name)["sent"], AGENTS[name]
    context = target(name, PLACES).context
    assert sent["path"] == "/v1/chat/completions"
    assert (sent["authorization"], sent["model"]) == (f"Bearer {TOKEN}", MODEL)
    assert sent["max_tokens"] == context.max_output_tokens
    assert len(sent["tools"]) == agent.tiers[0].tools


@pytest.mark.parametrize("name", NAMES)
def test_loopback_bypasses_the_proxies_that_the_user_has(name: str) -> None:
    environ = {"NO_PROXY": "corp.example", "HOME": "/home/u"}
    env = AGENTS[name].prepare(target(name, PLACES, environ=environ)).env
    assert env["NO_PROXY"] == "corp.example,127.0.0.1,localhost,::1,127.0.0.1:8080"
    assert env["no_proxy"] == env["NO_PROXY"]
