"""Goose is untested with its program: here stands what its documentation asks for."""

from pathlib import Path
from typing import Any

import pytest

from agentlaunch.agents.base import UNSET, Target
from agentlaunch.agents.goose import AGENT, is_headless, prepare
from agentlaunch.context import make_context
from agentlaunch.endpoint import Endpoint

URL = "http://127.0.0.1:8080"


def target(*args: str, **changes: Any) -> Target:
    values: dict[str, Any] = {
        "binary": "/opt/bin/goose",
        "endpoint": Endpoint(URL, ("openai_chat",), "local-model", "secret"),
        "context": make_context(AGENT.tiers, AGENT.compaction, 65_536),
        "home": "own",
        "home_folder": Path("/clean"),
        "runtime_folder": Path("/run/agentlaunch"),
        "run_name": "4711",
        "environ": {},
        "args": args,
    }
    return Target(**(values | changes))


def test_it_is_routed_by_the_variables_that_its_documentation_names() -> None:
    environ = {"NO_PROXY": "intranet.example", "GOOSE_MODE": "approve"}
    handover = prepare(target("run", "-t", "hi", environ=environ))

    direct = "intranet.example,127.0.0.1,localhost,::1,127.0.0.1:8080"
    assert handover.argv == ("/opt/bin/goose", "run", "-t", "hi")
    assert {name: value for name, value in handover.env.items() if value is not UNSET} == {
        "GOOSE_PROVIDER": "openai",
        "GOOSE_MODEL": "local-model",
        "GOOSE_FAST_MODEL": "local-model",
        "GOOSE_SUBAGENT_PROVIDER": "openai",
        "GOOSE_SUBAGENT_MODEL": "local-model",
        "GOOSE_PLANNER_PROVIDER": "openai",
        "GOOSE_PLANNER_MODEL": "local-model",
        "GOOSE_PLANNER_CONTEXT_LIMIT": "65536",
        "GOOSE_CONTEXT_LIMIT": "65536",
        "GOOSE_MAX_TOKENS": "8192",
        "GOOSE_AUTO_COMPACT_THRESHOLD": "0.8",
        "GOOSE_DISABLE_SESSION_NAMING": "true",
        "GOOSE_TELEMETRY_ENABLED": "false",
        "OPENAI_HOST": URL,
        "OPENAI_BASE_PATH": "v1/chat/completions",
        "OPENAI_API_KEY": "secret",
        "OPENAI_TIMEOUT": "1800",
        "OTEL_SDK_DISABLED": "true",
        "NO_PROXY": direct,
        "no_proxy": direct,
    }


def test_a_lead_model_of_the_shell_is_taken_away() -> None:
    assert prepare(target()).env["GOOSE_LEAD_MODEL"] is UNSET


@pytest.mark.parametrize(
    ("args", "headless"),
    [
        (("run", "-t", "hi"), True),
        (("run", "-t", "hi", "-s"), False),
        (("session",), False),
        ((), False),
    ],
)
def test_headless_is_run_that_does_not_go_on(args: tuple[str, ...], headless: bool) -> None:
    assert is_headless(args) is headless


def test_it_says_that_it_is_untested() -> None:
    assert (AGENT.support, AGENT.tested_versions) == ("documented", ())
    assert AGENT.notes[0].startswith("Untested")
