"""Kimi Code: variables route it, held against what its real binary was given and then sent."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from agent_world import DATA
from agentlaunch.agents.base import UNSET
from agentlaunch.agents.keys import PROVIDER_KEYS
from agentlaunch.agents.kimi import AGENT, is_headless, prepare
from agentlaunch.context import make_context
from agentlaunch.endpoint import Endpoint, Wire
from agentlaunch.errors import UsageError
from recorded_handover import MODEL, TOKEN, Places, as_recorded, prompt_args, recorded, target

PLACES = Places()
URL = PLACES.engine


def launch(*args: str, **changes: Any) -> Any:
    return prepare(target("kimi", PLACES, *args, **changes))


def told_of(window: int) -> Any:
    context = make_context(AGENT.tiers, AGENT.compaction, window)
    return launch(context=context).env["KIMI_MODEL_MAX_CONTEXT_SIZE"]


def test_todays_handover_is_the_one_that_was_recorded_with_the_real_binary() -> None:
    was = recorded("kimi")
    assert AGENT.package is not None
    assert was["version"] == AGENT.package.version
    assert as_recorded(launch(*prompt_args("kimi")), PLACES) == was["handover"]


def test_the_real_binary_asked_the_engine_as_it_was_told() -> None:
    sent = recorded("kimi")["sent"]
    assert sent["path"] == "/v1/chat/completions"
    assert (sent["authorization"], sent["model"]) == (f"Bearer {TOKEN}", MODEL)
    assert sent["max_tokens"] == target("kimi", PLACES).context.max_output_tokens
    assert len(sent["tools"]) == AGENT.tiers[0].tools


@pytest.mark.parametrize(
    ("wire", "kind", "address"),
    [
        ("openai_chat", "openai", f"{URL}/v1"),
        ("openai_responses", "openai_responses", f"{URL}/v1"),
        ("anthropic_messages", "anthropic", URL),
    ],
)
def test_each_wire_has_its_own_word_and_address(wire: Wire, kind: str, address: str) -> None:
    env = launch(endpoint=Endpoint(URL, (wire,), MODEL)).env

    assert (env["KIMI_MODEL_PROVIDER_TYPE"], env["KIMI_MODEL_BASE_URL"]) == (kind, address)
    assert env["KIMI_MODEL_API_KEY"] == "agentlaunch"


def test_no_secret_is_an_argument_and_no_real_key_is_inherited() -> None:
    environ = {"KIMI_API_KEY": "k", "KIMI_MODEL_TEMPERATURE": "2", "KIMI_CODE_HOME": "/k"}
    handover = launch(environ=environ)

    assert not any(TOKEN in word for word in handover.argv)
    unset = {name for name, value in handover.env.items() if value is UNSET}
    assert unset == {*PROVIDER_KEYS, "KIMI_API_KEY", "KIMI_MODEL_TEMPERATURE"}
    assert "KIMI_CODE_HOME" not in handover.env


def test_a_window_whose_reserve_would_leave_less_is_told_smaller() -> None:
    windows = (32_768, 50_000, 65_536, 92_499, 92_500, 131_072)

    told = [told_of(window) for window in windows]

    assert told == ["32768", "50000", "50000", "50000", "92500", "131072"]


def test_a_clean_home_is_a_folder_of_ours() -> None:
    handover = launch(home="clean")

    assert handover.env["KIMI_CODE_HOME"] == f"{PLACES.home}/clean"


@pytest.mark.parametrize("args", [("-m", "x"), ("--model=x",), ("login",), ("web", "--port", "1")])
def test_what_would_leave_the_launch_is_refused(args: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=re.escape(f"`{args[0].split('=')[0]}`")):
        launch(*args)


def test_a_prompt_is_headless() -> None:
    assert is_headless(("-p", "hi"))
    assert is_headless(("--plan", "--prompt=hi"))
    assert not is_headless(("--continue",))
    assert not is_headless(("--", "-p"))


def test_its_case_names_a_tool_that_the_real_one_offered() -> None:
    case = json.loads((DATA / "kimi" / "case.json").read_text())
    assert case["write"]["name"] in recorded("kimi")["sent"]["tools"]
