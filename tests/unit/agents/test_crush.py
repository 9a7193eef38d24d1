"""Crush is untested with its program: here stands what its documentation asks for."""

import json
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.agents.base import Target
from agentlaunch.agents.crush import AGENT, is_headless, prepare
from agentlaunch.context import make_context
from agentlaunch.endpoint import Endpoint, Wire

RUNTIME = Path("/run/user/1000/agentlaunch")
URL = "http://127.0.0.1:8080"


def target(*args: str, wire: Wire = "openai_chat", **changes: Any) -> Target:
    values: dict[str, Any] = {
        "binary": "/opt/bin/crush",
        "endpoint": Endpoint(URL, (wire,), "local-model", "secret"),
        "context": make_context(AGENT.tiers, AGENT.compaction, 65_536),
        "home": "own",
        "home_folder": Path("/clean"),
        "runtime_folder": RUNTIME,
        "run_name": "4711",
        "environ": {},
        "args": args,
    }
    return Target(**(values | changes))


def test_the_data_folder_whose_settings_are_merged_last_is_ours() -> None:
    handover = prepare(target("run", "hi"))

    assert handover.argv == (
        "/opt/bin/crush",
        "--data-dir",
        str(RUNTIME / "crush-4711"),
        "run",
        "hi",
    )
    assert [file.path for file in handover.files] == [RUNTIME / "crush-4711" / "crush.json"]


def test_both_models_are_ours_and_the_key_goes_by_the_environment() -> None:
    handover = prepare(target())
    settings = json.loads(handover.files[0].content)

    chosen = {"model": "local-model", "provider": "agentlaunch", "max_tokens": 8_192}
    assert settings["models"] == {"large": chosen, "small": chosen}
    assert settings["providers"]["agentlaunch"] == {
        "name": "agentlaunch",
        "type": "openai-compat",
        "base_url": f"{URL}/v1",
        "api_key": "$AGENTLAUNCH_CRUSH_KEY",
        "models": [
            {
                "id": "local-model",
                "name": "local-model",
                "context_window": 65_536,
                "default_max_tokens": 8_192,
            }
        ],
    }
    assert handover.env["AGENTLAUNCH_CRUSH_KEY"] == "secret"


def test_the_messages_wire_has_its_own_type_and_address() -> None:
    settings = json.loads(prepare(target(wire="anthropic_messages")).files[0].content)

    provider = settings["providers"]["agentlaunch"]
    assert (provider["type"], provider["base_url"]) == ("anthropic", URL)


@pytest.mark.parametrize(("args", "headless"), [(("run", "hi"), True), ((), False)])
def test_headless_is_run(args: tuple[str, ...], headless: bool) -> None:
    assert is_headless(args) is headless


def test_it_says_that_it_is_untested() -> None:
    assert (AGENT.support, AGENT.tested_versions) == ("documented", ())
    assert AGENT.notes[0].startswith("Untested")
