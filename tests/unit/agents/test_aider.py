"""Aider: parameters of every request route it, whatever a `.env` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.agents import find
from agentlaunch.agents.aider import AGENT, is_headless, prepare
from agentlaunch.agents.base import UNSET
from agentlaunch.agents.keys import PROVIDER_KEYS
from agentlaunch.changes.edit import SetKeys
from agentlaunch.endpoint import Endpoint
from agentlaunch.errors import UsageError
from recorded_handover import (
    MODEL,
    TOKEN,
    Places,
    target,
)

PLACES = Places()


def launch(*args: str, **changes: Any) -> Any:
    return prepare(target("aider", PLACES, *args, **changes))


def test_no_secret_is_an_argument_and_no_real_key_is_inherited() -> None:
    handover = launch(environ={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "HOME": "/home/u"})
    assert not any(TOKEN in word for word in handover.argv)
    ours = {"OPENAI_API_KEY"}
    assert {handover.env[name] for name in PROVIDER_KEYS if name not in ours} == {UNSET}
    assert handover.env["OTEL_EXPORTER_OTLP_ENDPOINT"] in (UNSET, "")


@pytest.mark.parametrize(
    "word", ["--model", "--openai-api-base", "--set-env", "--env-file", "--alias"]
)
def test_an_argument_that_would_leave_the_launch_is_refused(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        launch(word, "value")
    assert caught.value.code == "reserved-argument"


@pytest.mark.parametrize(
    "args", [("-m", "hi"), ("--message=hi",), ("-mhi",), ("--lint",), ("-f", "x")]
)
def test_one_prompt_is_headless(args: tuple[str, ...]) -> None:
    assert is_headless(args)


@pytest.mark.parametrize("args", [(), ("a.py",), ("--map-tokens", "1"), ("--", "-m")])
def test_a_session_is_not(args: tuple[str, ...]) -> None:
    assert not is_headless(args)


@pytest.mark.parametrize("name", ["aider", "aider-chat"])
def test_it_is_found_by_its_names(name: str) -> None:
    assert find(name) is AGENT


def test_ours_stand_after_the_users_arguments_and_before_his_operands() -> None:
    argv = launch("--editor", "x", "--", "a.py").argv
    assert argv[1:3] == ("--editor", "x")
    assert argv[3:5] == ("--model", f"openai/{MODEL}")
    assert argv[-2:] == ("--", "a.py")


def test_a_proxy_of_the_shell_stays_and_a_projects_is_overwritten() -> None:
    handover = launch(environ={"HTTPS_PROXY": "http://me:it's@p", "HOME": "/home/u"})
    (variables,) = [file for file in handover.files if file.path.suffix == ".env"]
    lines = variables.content.decode().splitlines()
    assert "HTTPS_PROXY='http://me:it\\'s@p'" in lines
    assert "HTTP_PROXY=''" in lines
    assert "HTTP_PROXY" not in handover.env


def test_variables_of_its_own_that_would_turn_it_are_taken_away() -> None:
    environ = {"AIDER_MODEL": "x", "AIDER_LINT_CMD": "x", "AIDER_DARK_MODE": "1", "HOME": "/h"}
    env = launch(environ=environ).env
    assert (env["AIDER_MODEL"], env["AIDER_LINT_CMD"]) == (UNSET, UNSET)
    assert "AIDER_DARK_MODE" not in env


def test_the_window_is_told_without_what_a_reply_may_take() -> None:
    (metadata,) = [file for file in launch().files if "metadata" in file.path.name]
    row = json.loads(metadata.content)[f"openai/{MODEL}"]
    assert (row["max_input_tokens"], row["max_output_tokens"]) == (57_344, 8_192)


def test_a_clean_home_keeps_what_git_knows_of_the_user() -> None:
    env = launch(home="clean").env
    assert (env["HOME"], env["GIT_CONFIG_GLOBAL"]) == ("/home/u/clean", "/home/u/.gitconfig")


@pytest.mark.parametrize(("token", "key"), [("", {"openai-api-key": "agentlaunch"}), (TOKEN, {})])
def test_a_plain_start_finds_model_and_address_in_the_users_settings_and_no_real_key(
    token: str, key: dict[str, str]
) -> None:
    assert AGENT.configure is not None
    endpoint = Endpoint("http://127.0.0.1:8080", ("openai_chat",), MODEL, token)
    (edit,) = AGENT.configure(target("aider", PLACES, endpoint=endpoint))
    models = dict.fromkeys(("model", "weak-model", "editor-model"), f"openai/{MODEL}")
    wanted = models | {"openai-api-base": "http://127.0.0.1:8080/v1"} | key
    assert edit == SetKeys(
        Path("/home/u/.aider.conf.yml"), "yaml", {(name,): value for name, value in wanted.items()}
    )
