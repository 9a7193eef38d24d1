"""mini-swe-agent: the last configuration file routes it."""

from __future__ import annotations

from typing import Any

import pytest

from agentlaunch.agents import find
from agentlaunch.agents.base import UNSET
from agentlaunch.agents.keys import PROVIDER_KEYS
from agentlaunch.agents.mini_swe_agent import AGENT, is_headless, prepare
from agentlaunch.errors import UsageError
from recorded_handover import (
    TOKEN,
    Places,
    target,
)

PLACES = Places()


def launch(*args: str, **changes: Any) -> Any:
    return prepare(target("mini-swe-agent", PLACES, *args, **changes))


def test_no_secret_is_an_argument_and_no_real_key_is_inherited() -> None:
    handover = launch(environ={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "HOME": "/home/u"})
    assert not any(TOKEN in word for word in handover.argv)
    ours = {"OPENAI_API_KEY"}
    assert {handover.env[name] for name in PROVIDER_KEYS if name not in ours} == {UNSET}
    assert handover.env["OTEL_EXPORTER_OTLP_ENDPOINT"] in (UNSET, "")


@pytest.mark.parametrize("word", ["-m", "--model", "--model-class"])
def test_an_argument_that_would_leave_the_launch_is_refused(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        launch(word, "value")
    assert caught.value.code == "reserved-argument"


@pytest.mark.parametrize(
    "args",
    [("-t", "hi", "-y", "--exit-immediately"), ("--task=hi", "--yolo", "--exit-immediately")],
)
def test_one_prompt_is_headless(args: tuple[str, ...]) -> None:
    assert is_headless(args)


@pytest.mark.parametrize("args", [(), ("-t", "hi"), ("-t", "hi", "-y")])
def test_a_session_is_not(args: tuple[str, ...]) -> None:
    assert not is_headless(args)


@pytest.mark.parametrize("name", ["mini-swe-agent", "mini"])
def test_it_is_found_by_its_names(name: str) -> None:
    assert find(name) is AGENT


def test_a_file_of_the_users_is_merged_before_ours_and_takes_the_defaults_place() -> None:
    argv = launch("-c", "own.yaml").argv
    ours = f"{PLACES.runtime}/mini-swe-agent-4711-99.yaml"
    assert argv[1:5] == ("-c", "own.yaml", "-c", ours)


def test_the_users_standing_file_is_read_where_he_named_one() -> None:
    argv = launch(environ={"MSWEA_MINI_CONFIG_PATH": "/home/u/mine.yaml", "HOME": "/home/u"}).argv
    assert argv[1:3] == ("-c", "/home/u/mine.yaml")


def test_the_token_is_in_no_file_since_trajectories_hold_every_parameter() -> None:
    handover = launch()
    assert TOKEN.encode() not in b"".join(file.content for file in handover.files)
    assert handover.env["OPENAI_API_KEY"] == TOKEN


def test_a_clean_home_is_a_folder_of_ours() -> None:
    assert launch(home="clean").env["MSWEA_GLOBAL_CONFIG_DIR"] == "/home/u/clean"
