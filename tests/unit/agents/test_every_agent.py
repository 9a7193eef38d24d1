"""What holds for every agent that is declared, whoever wrote its file."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_world import DATA, read_case
from agentlaunch.agents import AGENTS, find
from agentlaunch.agents.base import Agent, Handover, Target, Unset
from agentlaunch.agents.keys import PROVIDER_KEYS
from agentlaunch.changes.edit import SetKeys
from agentlaunch.cli import main
from agentlaunch.context import ContextPlan, make_context
from agentlaunch.endpoint import Endpoint, Wire
from agentlaunch.errors import AgentlaunchError, UsageError
from agentlaunch.survey import watched

TOKEN = "token-of-the-engine"
CANARY = "CANARY"
MODEL = "local-model"
USER = Path("/home/u")
CLEAN = USER / ".local/share/agentlaunch/homes/agent"
RUNTIME = Path("/run/user/1000/agentlaunch")
ALL_WIRES: tuple[Wire, ...] = ("openai_chat", "openai_responses", "anthropic_messages")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
NOT_SUPPORTED = 5
"""The exit status for an agent that cannot use a model of one's own."""

LOCAL = [name for name, agent in AGENTS.items() if agent.local]
OTHERS = [name for name, agent in AGENTS.items() if not agent.local]
FOLDERS = sorted(place.name for place in DATA.iterdir() if place.is_dir())


def context_of(agent: Agent, tier: int = 0) -> ContextPlan:
    window = max(agent.wanted_context_tokens, agent.min_context_tokens, 65_536)
    plan = make_context(agent.tiers, agent.compaction, window)
    return dataclasses.replace(plan, tier=agent.tiers[tier], slim=tier > 0)


def target(name: str, *args: str, **changes: Any) -> Target:
    agent = AGENTS[name]
    values: dict[str, Any] = {
        "binary": f"/opt/bin/{agent.binary}",
        "endpoint": Endpoint("http://127.0.0.1:8080", ALL_WIRES, MODEL, TOKEN),
        "context": context_of(agent),
        "home": "own",
        "home_folder": CLEAN,
        "runtime_folder": RUNTIME,
        "run_name": "4711",
        "environ": {"PATH": "/usr/bin", "HOME": str(USER)},
        "args": args,
        "own_folder": USER / ".agent",
        "project": USER / "project",
    }
    return Target(**(values | changes))


def environment(asked: Target, handover: Handover) -> dict[str, str]:
    """What the agent sees."""
    left = dict(asked.environ)
    for variable, value in handover.env.items():
        if isinstance(value, Unset):
            left.pop(variable, None)
        else:
            left[variable] = value
    return left


def contents(handover: Handover) -> bytes:
    return b"\n".join(file.content for file in (*handover.files, *handover.seeds))


_heard: list[str] | None = None


def _listen(event: str, args: tuple[Any, ...]) -> None:
    watched = ("open", "os.listdir", "os.scandir", "subprocess.Popen", "socket.connect")
    if _heard is not None and event in watched:
        _heard.append(f"{event} {args[0]!r}")


sys.addaudithook(_listen)


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """Every file that is opened and program that is started while the test runs."""
    global _heard  # noqa: PLW0603 - an audit hook stays for ever; this one only listens here
    _heard = []
    yield _heard
    _heard = None


# --- prepare -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOCAL)
def test_prepare_is_pure(name: str, heard: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = target(name)
    first = AGENTS[name].prepare(asked)
    del heard[:]  # modules of its own that it imports at first

    monkeypatch.setattr(os, "environ", {})
    again = AGENTS[name].prepare(asked)

    assert again == first
    assert heard == []


@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.parametrize("home", ["own", "clean"])
def test_the_token_reaches_the_agent_but_never_by_its_argument_list(name: str, home: str) -> None:
    asked = target(name, home=home)
    handover = AGENTS[name].prepare(asked)

    assert TOKEN not in " ".join(handover.argv)
    assert TOKEN not in repr(handover)
    sent = json.dumps(environment(asked, handover)).encode() + contents(handover)
    assert TOKEN.encode() in sent


@pytest.mark.parametrize("name", LOCAL)
def test_an_engine_that_wants_no_token_is_sent_a_dummy_in_its_place(name: str) -> None:
    told = []
    for token in (TOKEN, ""):
        endpoint = Endpoint("http://127.0.0.1:8080", ALL_WIRES, MODEL, token)
        asked = target(name, endpoint=endpoint)
        handover = AGENTS[name].prepare(asked)
        variables = json.dumps(environment(asked, handover), sort_keys=True)
        told.append(variables + contents(handover).decode())

    assert told[0].replace(TOKEN, "agentlaunch") == told[1]


@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.parametrize("home", ["own", "clean"])
def test_no_provider_key_of_the_user_is_handed_down(name: str, home: str) -> None:
    keys = {variable: f"{CANARY}-{variable}" for variable in PROVIDER_KEYS}
    asked = target(name, home=home, environ={"PATH": "/usr/bin", "HOME": str(USER), **keys})
    handover = AGENTS[name].prepare(asked)

    left = environment(asked, handover)
    assert {variable: value for variable, value in left.items() if CANARY in value} == {}
    assert CANARY.encode() not in contents(handover)
    assert CANARY not in " ".join(handover.argv)


@pytest.mark.parametrize("name", LOCAL)
def test_telemetry_of_the_shell_is_not_handed_down(name: str) -> None:
    planted = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example",
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={CANARY}",
    }
    asked = target(name, environ={"PATH": "/usr/bin", "HOME": str(USER), **planted})
    left = environment(asked, AGENTS[name].prepare(asked))

    assert {variable: left.get(variable) for variable in planted}.items() & planted.items() == set()


@pytest.mark.parametrize("name", LOCAL)
def test_loopback_goes_past_every_proxy_of_the_shell(name: str) -> None:
    proxies = dict.fromkeys(PROXIES, "http://proxy.example:3128")
    shell = {"PATH": "/usr/bin", "HOME": str(USER), **proxies, "NO_PROXY": "intranet.example"}
    asked = target(name, environ=shell)
    left = environment(asked, AGENTS[name].prepare(asked))

    if left.keys() & proxies.keys():
        for variable in ("NO_PROXY", "no_proxy"):
            entries = left[variable].split(",")
            assert {"127.0.0.1", "localhost", "intranet.example"} <= set(entries), variable


@pytest.mark.parametrize("name", LOCAL)
def test_it_starts_with_the_command_it_was_given_and_keeps_the_users_words(name: str) -> None:
    handover = AGENTS[name].prepare(target(name, "some words", runner=("/opt/bin/node",)))

    binary = f"/opt/bin/{AGENTS[name].binary}"
    assert handover.argv[:2] == ("/opt/bin/node", binary)
    assert "some words" in handover.argv


@pytest.mark.parametrize("name", LOCAL)
def test_the_model_and_the_address_are_told(name: str) -> None:
    asked = target(name)
    handover = AGENTS[name].prepare(asked)

    told = " ".join(handover.argv) + json.dumps(environment(asked, handover))
    told += contents(handover).decode()
    assert MODEL in told
    assert "127.0.0.1:8080" in told


@pytest.mark.parametrize("name", LOCAL)
def test_private_files_are_this_launchs_own_and_seeds_lie_in_a_clean_home(name: str) -> None:
    agent = AGENTS[name]
    own, clean = agent.prepare(target(name)), agent.prepare(target(name, home="clean"))

    for file in (*own.files, *clean.files):
        assert file.path.is_relative_to(RUNTIME)
        assert "4711" in str(file.path.relative_to(RUNTIME))
    for seed in clean.seeds:
        assert seed.path.is_relative_to(CLEAN)
    for link in (*own.links, *clean.links):
        assert link.path.is_relative_to(RUNTIME) or link.path.is_relative_to(CLEAN)
        assert link.to.is_absolute()
        assert not link.to.is_relative_to(RUNTIME)


@pytest.mark.parametrize("name", LOCAL)
def test_a_clean_home_is_named_and_shares_nothing_of_the_users(name: str) -> None:
    asked = target(name, home="clean")
    handover = AGENTS[name].prepare(asked)

    told = " ".join(handover.argv) + json.dumps(environment(asked, handover))
    assert str(CLEAN) in told
    assert [link for link in handover.links if link.to.is_relative_to(USER / ".agent")] == []


@pytest.mark.parametrize(
    ("name", "flag"), [(name, row.flag) for name in LOCAL for row in AGENTS[name].reserved]
)
def test_a_reserved_argument_is_refused_and_says_what_to_do_instead(name: str, flag: str) -> None:
    with pytest.raises(UsageError, match=re.escape(flag)) as caught:
        AGENTS[name].prepare(target(name, flag))

    assert caught.value.code == "reserved-argument"
    assert caught.value.hint
    if flag.startswith("--"):
        with pytest.raises(UsageError):
            AGENTS[name].prepare(target(name, "words", f"{flag}=value"))


# --- declarations --------------------------------------------------------------------------------


def test_no_two_agents_share_a_name() -> None:
    words = [word for agent in AGENTS.values() for word in (agent.name, *agent.aliases)]
    assert len(words) == len(set(words))
    assert [name for name, agent in AGENTS.items() if agent.name != name] == []


@pytest.mark.parametrize("name", LOCAL)
def test_it_is_found_by_each_of_its_names(name: str) -> None:
    for word in (name, *AGENTS[name].aliases, name.upper()):
        assert find(word) is AGENTS[name]


@pytest.mark.parametrize("name", OTHERS)
def test_one_that_cannot_be_pointed_here_says_why(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["up", name, "--no-input"]) == NOT_SUPPORTED
    said = capsys.readouterr().err
    assert "hint:" in said
    if name in OTHERS:
        reason = AGENTS[name].local_reason
        assert reason is not None
        assert reason in said


@pytest.mark.parametrize("name", LOCAL)
def test_its_tiers_go_from_full_to_small(name: str) -> None:
    agent = AGENTS[name]
    assert agent.local_reason is None
    assert agent.wires
    assert set(agent.wires) <= set(ALL_WIRES)
    assert agent.min_context_tokens > 0
    assert len({tier.name for tier in agent.tiers}) == len(agent.tiers)
    for larger, smaller in zip(agent.tiers, agent.tiers[1:], strict=False):
        assert larger.interactive_tokens > smaller.interactive_tokens
        assert larger.headless_tokens > smaller.headless_tokens


@pytest.mark.parametrize(
    ("name", "tier"), [(name, n) for name in LOCAL for n in range(len(AGENTS[name].tiers))]
)
def test_what_makes_a_tier_small_stands_in_the_argument_list(name: str, tier: int) -> None:
    agent = AGENTS[name]
    argv = agent.prepare(target(name, context=context_of(agent, tier))).argv

    assert [word for word in agent.tiers[tier].args if word not in argv] == []


@pytest.mark.parametrize("name", [name for name in AGENTS if AGENTS[name].package is not None])
def test_its_package_is_the_tested_version(name: str) -> None:
    agent = AGENTS[name]
    package = agent.package
    assert package is not None
    assert package.version in agent.tested_versions
    registry = {"npm": "npm", "pypi": "PyPI"}[package.kind]
    assert package.source == f"{registry}: {package.name} {package.version}"
    assert agent.binary in dict(package.programs)
    assert package.size_bytes > 0
    assert (package.min_node is None) == (package.kind == "pypi")


@pytest.mark.parametrize("name", AGENTS)
def test_what_is_said_of_it_is_whole(name: str) -> None:
    agent = AGENTS[name]
    assert re.fullmatch(r"[a-z][a-z0-9-]*", name)
    for row in agent.watched:
        keys = (*row.redirects, *row.runs, *row.beyond_us)
        assert keys or row.format == "code", row.path
    for host in agent.egress:
        assert re.fullmatch(r"\S.*: \S.*", host)
    for note in agent.notes:
        assert note.strip()
    for known in agent.breaks:
        assert re.fullmatch(r"(([<>]=?|==)\d[\w.]*,?)+", known.versions)


CONFIGURED = [name for name in LOCAL if AGENTS[name].configure is not None]


def written(name: str, token: str) -> str:
    """What `--config` would leave in files of the user's, all of it."""
    configure = AGENTS[name].configure
    assert configure is not None
    asked = target(name, endpoint=Endpoint("http://127.0.0.1:8080", ALL_WIRES, MODEL, token))
    edits = configure(asked)
    assert edits == configure(asked)
    for edit in edits:
        assert edit.path.is_absolute()
        assert edit.path.is_relative_to(USER)
        assert not edit.path.is_relative_to(CLEAN)
    return "".join(
        repr(dict(edit.values)) if isinstance(edit, SetKeys) else edit.content.decode()
        for edit in edits
    )


@pytest.mark.parametrize("name", CONFIGURED)
def test_what_is_written_for_a_plain_start_is_the_users_own_and_names_the_engine(name: str) -> None:
    held = written(name, "")

    assert "127.0.0.1:8080" in held
    assert MODEL in held


@pytest.mark.parametrize("name", CONFIGURED)
def test_no_token_is_ever_written_for_a_plain_start(name: str) -> None:
    held = ""
    with contextlib.suppress(AgentlaunchError):  # an agent that could only keep it in plain text
        held = written(name, TOKEN)

    assert TOKEN not in held


# --- its folder ----------------------------------------------------------------------------------


def test_every_first_class_agent_has_a_folder_and_every_folder_an_agent() -> None:
    assert {name for name in LOCAL if AGENTS[name].support == "tested"} <= set(FOLDERS)
    assert set(FOLDERS) <= set(AGENTS)


@pytest.mark.parametrize("name", [name for name in FOLDERS if name in AGENTS])
def test_its_folder_says_what_the_end_to_end_tests_need(name: str) -> None:
    agent, case = AGENTS[name], read_case(name)
    assert case.wire == agent.wires[0]
    for args in (case.prompt_args, case.edit_args):
        assert any("@PROMPT@" in word for word in args)
        assert agent.is_headless(tuple(args))
    assert not agent.is_headless(())
    assert case.write.keys() in ({"name", "arguments"}, {"text"})
    assert "@CONTENT@" in json.dumps(case.write)
    assert agent.compaction.automatic or case.compaction is None
    assert case.compaction or agent.support != "tested" or not agent.compaction.automatic
    assert agent.egress or not case.egress
    assert (DATA / name / "project-runs").is_dir() or not case.runs
    for part in ("home", "project"):
        planted = _texts(DATA / name / part)
        assert "@OTHER@" in planted or not planted
        assert "@CANARY@" in _texts(DATA / name / "home") + json.dumps(case.environment)


def _texts(folder: Path) -> str:
    return "\n".join(file.read_text() for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    ("name", "file", "key"),
    [
        ("claude-code", ".mcp.json", "url"),
        ("copilot", ".mcp.json", "url"),
        ("droid", ".factory/mcp.json", "url"),
        ("qwen", ".qwen/settings.json", "httpUrl"),
        ("qwen", ".qwen/settings.json", "tcp"),
    ],
)
def test_a_far_mcp_server_of_a_project_is_seen(
    name: str, file: str, key: str, tmp_path: Path
) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"mcpServers": {"x": {key: "http://evil.example"}}}))
    found = watched.look(AGENTS[name], tmp_path, tmp_path / "config").runs
    assert [row.what for row in found] == [f"mcpServers.x.{key}: http://evil.example"]
