"""Cline's handover, held against what its real binary was given and then sent."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent_world import DATA
from agentlaunch.agents.base import UNSET, Target
from agentlaunch.agents.cline import AGENT, is_headless, prepare
from agentlaunch.context import make_context
from agentlaunch.endpoint import Endpoint
from agentlaunch.survey.watched import look

RUNTIME = Path("/run/user/1000/agentlaunch")
CLEAN = Path("/home/u/.local/share/agentlaunch/homes/cline")
URL = "http://127.0.0.1:8080"


def target(*args: str, window: int = 32_768, **changes: Any) -> Target:
    values: dict[str, Any] = {
        "binary": "/opt/bin/cline",
        "endpoint": Endpoint(URL, ("openai_chat",), "local-model", "token-of-the-engine"),
        "context": make_context(AGENT.tiers, AGENT.compaction, window),
        "home": "own",
        "home_folder": CLEAN,
        "runtime_folder": RUNTIME,
        "run_name": "4711",
        "environ": {},
        "args": args,
    }
    return Target(**(values | changes))


def test_it_is_handed_over_as_when_the_real_one_was_recorded() -> None:
    text = (DATA / "cline" / "recorded.json").read_text()
    words = {
        "@URL@": URL,
        "@HOST@": "127.0.0.1:8080",
        "@RUNTIME@": str(RUNTIME),
        "@CLEAN@": str(CLEAN),
        "@BINARY@": "/opt/bin/cline",
    }
    for word, value in words.items():
        text = text.replace(word, value)
    recorded = json.loads(text)

    handover = prepare(target(*recorded["args"], window=recorded["context"]))

    assert list(handover.argv) == recorded["argv"]
    assert {k: v for k, v in handover.env.items() if v is not UNSET} == recorded["env"]
    files = {str(file.path): json.loads(file.content) for file in handover.files}
    assert files == recorded["files"]
    seeds = {str(file.path): json.loads(file.content) for file in handover.seeds}
    assert seeds == recorded["seeds"]
    assert recorded["sent"]["model"] == "local-model"
    assert recorded["sent"]["authorization"] == "Bearer token-of-the-engine"
    assert recorded["sent"]["max_tokens"] < recorded["context"]
    assert recorded["version"] in AGENT.tested_versions


def test_an_engine_without_a_token_gets_a_dummy() -> None:
    handover = prepare(target("hi", endpoint=Endpoint(URL, ("openai_chat",), "local-model")))

    (file,) = handover.files
    settings = json.loads(file.content)["providers"]["openai-compatible"]["settings"]
    assert settings["apiKey"] == "agentlaunch"


def test_what_moves_the_users_own_things_stays() -> None:
    environ = {"CLINE_DATA_DIR": "/data", "CLINE_HUB_ADDRESS": "ws://elsewhere"}

    env = prepare(target("hi", environ=environ)).env

    assert "CLINE_DATA_DIR" not in env
    assert env["CLINE_HUB_ADDRESS"] is UNSET


def test_no_background_hub_answers_in_its_place() -> None:
    assert prepare(target("hi")).env["CLINE_SESSION_BACKEND_MODE"] == "local"


def test_a_clean_home_is_a_folder_of_ours() -> None:
    env = prepare(target("hi", home="clean")).env

    assert (env["CLINE_DIR"], env["CLINE_DATA_DIR"]) == (str(CLEAN), str(CLEAN / "data"))


@pytest.mark.parametrize(
    ("args", "headless"),
    [
        (("fix the tests",), True),
        (("--auto-approve", "true", "fix the tests"), True),
        (("--auto-approve=true", "fix the tests"), True),
        (("--", "fix the tests"), True),
        (("-i", "fix the tests"), False),
        (("--timeout", "60"), False),
        ((), False),
    ],
)
def test_headless_is_a_prompt_without_the_tui(args: tuple[str, ...], headless: bool) -> None:
    assert is_headless(args) is headless


def test_a_variable_of_the_project_that_makes_git_run_something_is_seen(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("NODE_ENV=test\nGIT_CONFIG_VALUE_0='touch it; false'\n")
    found = look(AGENT, tmp_path, tmp_path / "config").runs
    assert [row.what for row in found] == ["GIT_CONFIG_VALUE_0: touch it; false"]
