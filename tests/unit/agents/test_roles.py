"""Which model each role of an agent asks for, and our line in its footer."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.agents import AGENTS
from agentlaunch.agents.base import UNSET, Handover
from agentlaunch.agents.claude_code import MODEL_VARIABLES
from agentlaunch.agents.opencode import AGENTS as OPENCODE_AGENTS
from agentlaunch.endpoint import Endpoint
from recorded_handover import MODEL, Places, target

PLACES = Places()
LOCAL = [agent.name for agent in AGENTS.values() if agent.local]
ONE_MODEL = [name for name in LOCAL if not AGENTS[name].roles]
WITH_ROLES = [name for name in LOCAL if AGENTS[name].roles]
WITH_STATUS_LINE = [name for name in LOCAL if AGENTS[name].status_line]
STATUS = ("/py thon", "-I", "/al/status_line.py", "/state/status.json")


def handed(name: str, *args: str, **changes: Any) -> Handover:
    return AGENTS[name].prepare(target(name, PLACES, *args, **changes))


def text(handover: Handover) -> str:
    """All that an agent is handed, in one."""
    env = {name: value for name, value in handover.env.items() if value is not UNSET}
    files = [file.content.decode() for file in (*handover.files, *handover.seeds)]
    return "\n".join([*handover.argv, str(env), *files])


def private(handover: Handover, number: int = 0) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(handover.files[number].content)
    return value


def test_these_agents_have_roles_and_a_status_line() -> None:
    assert set(WITH_ROLES) == {"claude-code", "opencode", "qwen", "vibe", "crush", "goose"}
    assert set(WITH_STATUS_LINE) == {"claude-code", "qwen", "pi"}


@pytest.mark.parametrize("name", LOCAL)
def test_the_same_name_again_changes_nothing(name: str) -> None:
    assert handed(name, small_model=MODEL, subagent_model=MODEL) == handed(name)


@pytest.mark.parametrize("name", ONE_MODEL)
def test_an_agent_without_roles_asks_for_one_model(name: str) -> None:
    assert handed(name, small_model="al-small", subagent_model="al-sub") == handed(name)


@pytest.mark.parametrize("name", WITH_ROLES)
def test_an_agent_is_told_of_the_models_of_its_roles_alone(name: str) -> None:
    said = text(handed(name, small_model="al-small", subagent_model="al-sub"))
    said = said.replace("\\\\", "").replace("\\", "")  # one of them writes patterns
    assert ("al-small" in said, "al-sub" in said) == (
        "small" in AGENTS[name].roles,
        "subagent" in AGENTS[name].roles,
    )


@pytest.mark.parametrize("name", [name for name in LOCAL if AGENTS[name].configure])
def test_what_is_configured_for_good_knows_no_roles(name: str) -> None:
    configure = AGENTS[name].configure
    assert configure is not None
    endpoint = Endpoint(PLACES.engine, AGENTS[name].wires, MODEL, "")
    plain = target(name, PLACES, endpoint=endpoint)
    roles = {"small_model": "al-small", "subagent_model": "al-sub", "status_command": STATUS}
    wanted = target(name, PLACES, endpoint=endpoint, **roles)
    assert configure(wanted) == configure(plain)


# ---- Claude Code --------------------------------------------------------------------------


def models_of_claude(**changes: Any) -> dict[str, str]:
    """The variables of its settings that name a model, and what the child's environment has."""
    given = handed("claude-code", **changes)
    env = private(given)["env"]
    names = (*MODEL_VARIABLES, "CLAUDE_CODE_SUBAGENT_MODEL_FORCE")
    seen = {name: env[name] for name in names if name in env}
    assert {name: given.env[name] for name in seen} == {n: v or UNSET for n, v in seen.items()}
    return seen


def test_claude_code_leaves_subagents_to_themselves_beside_a_small_model() -> None:
    assert models_of_claude(small_model="al-small") == {
        **dict.fromkeys(MODEL_VARIABLES, MODEL),
        "ANTHROPIC_SMALL_FAST_MODEL": "al-small",
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": "al-small",
        "CLAUDE_CODE_SUBAGENT_MODEL": "",
        "CLAUDE_CODE_SUBAGENT_MODEL_FORCE": "",
    }


def test_claude_code_sends_every_subagent_where_it_is_told() -> None:
    both = models_of_claude(small_model="al-small", subagent_model="al-sub")
    assert both["CLAUDE_CODE_SUBAGENT_MODEL"] == "al-sub"
    assert both["CLAUDE_CODE_SUBAGENT_MODEL_FORCE"] == "1"
    assert both["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "al-small"
    alone = models_of_claude(subagent_model="al-sub")
    assert alone["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == MODEL
    assert alone["CLAUDE_CODE_SUBAGENT_MODEL"] == "al-sub"


def test_claude_code_may_use_every_model_of_the_launch() -> None:
    given = private(handed("claude-code", small_model="al-small", subagent_model="al-small"))
    assert (given["model"], given["availableModels"]) == (MODEL, [MODEL, "al-small"])


# ---- others -------------------------------------------------------------------------------


def opencode(**changes: Any) -> tuple[dict[str, Any], str]:
    """Its configuration, and our provider's name."""
    content = handed("opencode", **changes).env["OPENCODE_CONFIG_CONTENT"]
    assert isinstance(content, str)
    config: dict[str, Any] = json.loads(content)
    return config, config["enabled_providers"][0]


def test_opencode_asks_the_small_model_for_titles_and_nothing_else() -> None:
    config, provider = opencode(small_model="al-small")
    main, small = f"{provider}/{MODEL}", f"{provider}/al-small"
    assert (config["model"], config["small_model"]) == (main, small)
    assert config["agent"] == {
        name: {"model": small if name == "title" else main} for name in OPENCODE_AGENTS
    }
    rows = config["provider"][provider]["models"]
    assert list(rows) == [MODEL, "al-small"]
    assert rows["al-small"]["limit"] == rows[MODEL]["limit"]


def test_opencode_asks_for_no_title_where_that_costs_the_cache_of_the_main_model() -> None:
    config, _provider = opencode(small_model=MODEL)
    assert config["agent"]["title"]["disable"] is True


def test_opencode_sends_its_own_subagents_where_they_are_told() -> None:
    config, provider = opencode(subagent_model="al-sub")
    names = {name for name, row in config["agent"].items() if row["model"].endswith("al-sub")}
    assert names == {"general", "explore"}
    assert list(config["provider"][provider]["models"]) == [MODEL, "al-sub"]


def test_qwen_has_a_fast_model_that_its_list_knows() -> None:
    given = handed("qwen", small_model="al-small")
    settings = private(given)
    rows = settings["modelProviders"]["openai"]
    assert settings["fastModel"] == "al-small"
    assert [row["id"] for row in rows] == [MODEL, "al-small"]
    assert rows[1] == rows[0] | {"id": "al-small", "name": "al-small"}
    assert given.env["QWEN_DISABLE_AUTO_TITLE"] == ""
    assert handed("qwen").env["QWEN_DISABLE_AUTO_TITLE"] == "1"


def test_vibe_has_a_utility_model_that_it_may_use() -> None:
    env = handed("vibe", small_model="al.small").env
    values = {name: json.loads(str(env[name])) for name in env if name in VIBE}
    assert values["VIBE_UTILITY_MODELS"] == {"title": "al.small", "smart_approve": "al.small"}
    main, small = values["VIBE_MODELS"]
    assert small == main | {"name": "al.small", "alias": "al.small"}
    patterns = [pattern.removeprefix("re:") for pattern in values["VIBE_ALLOWED_MODELS"]]
    assert [bool(re.search(p, "al.small")) for p in patterns] == [False, True]
    assert [bool(re.search(p, "alxsmall")) for p in patterns] == [False, False]
    assert values["VIBE_COMPACTION_MODEL"]["name"] == MODEL


VIBE = ("VIBE_UTILITY_MODELS", "VIBE_MODELS", "VIBE_ALLOWED_MODELS", "VIBE_COMPACTION_MODEL")


def test_crush_has_a_small_model_beside_the_large() -> None:
    settings = private(handed("crush", small_model="al-small"))
    rows = settings["providers"]["agentlaunch"]["models"]
    assert [row["id"] for row in rows] == [MODEL, "al-small"]
    chosen = {size: row["model"] for size, row in settings["models"].items()}
    assert chosen == {"large": MODEL, "small": "al-small"}


def test_goose_has_a_fast_model_and_one_for_subagents() -> None:
    env = handed("goose", small_model="al-small", subagent_model="al-sub").env
    names = ("GOOSE_MODEL", "GOOSE_FAST_MODEL", "GOOSE_SUBAGENT_MODEL", "GOOSE_SUBAGENT_PROVIDER")
    assert [env[name] for name in names] == [MODEL, "al-small", "al-sub", "openai"]


# ---- our line in the footer ----------------------------------------------------------------


@pytest.mark.parametrize("name", LOCAL)
def test_nothing_is_shown_where_nothing_can_change(name: str) -> None:
    own = {"type": "command", "command": "echo MINE-4711", "padding": 2}
    assert handed(name, own_status_line=own) == handed(name)
    assert "tatusLine" not in text(handed(name))


@pytest.mark.parametrize("name", LOCAL)
def test_an_agent_shows_our_line_where_it_can(name: str) -> None:
    assert ("status.json" in text(handed(name, status_command=STATUS))) == (
        name in WITH_STATUS_LINE
    )


def claude_line(own: dict[str, Any] | None) -> dict[str, Any]:
    given = handed("claude-code", status_command=STATUS, own_status_line=own)
    line: dict[str, Any] = private(given)["statusLine"]
    return line


@pytest.mark.parametrize(
    "command", ["echo mine", "printf '%s' \"$(cat)\" | head -1; echo 'it''s'", "a\nb", "~/s.sh"]
)
def test_the_users_own_command_is_one_more_word_for_ours(command: str) -> None:
    own = {"type": "command", "command": command, "padding": 2, "refreshInterval": 5}
    line = claude_line(own)
    assert shlex.split(line.pop("command")) == [*STATUS, command]
    assert line == {"type": "command", "padding": 2, "refreshInterval": 5}


def test_without_one_of_the_users_ours_stands_alone() -> None:
    expected = {"type": "command", "command": shlex.join(STATUS), "refreshInterval": 60}
    assert claude_line(None) == expected


@pytest.mark.parametrize(
    "own",
    [
        {"type": "other", "command": "echo mine"},
        {"type": "command", "command": ["echo"]},
        {"type": "command", "command": "  "},
        {"type": "command", "padding": "2", "refreshInterval": None, "hideVimModeIndicator": 1},
        {"type": "command", "padding": float("nan"), "refreshInterval": float("inf")},
        {"type": "command", "unknown": 1},
    ],
)
def test_what_the_agent_would_refuse_is_not_handed_on(own: dict[str, Any]) -> None:
    assert claude_line(own) == claude_line(None)


def test_qwen_is_told_that_it_shows_two_lines() -> None:
    own = {"type": "command", "command": "echo 'mine'", "refreshInterval": 3, "padding": 1}
    given = handed("qwen", status_command=STATUS, own_status_line=own)
    line = private(given)["ui"]["statusLine"]
    assert shlex.split(line.pop("command")) == [
        "AGENTLAUNCH_STATUS_LINES=2",
        *STATUS,
        "echo 'mine'",
    ]
    assert line == {"type": "command", "refreshInterval": 3}


def test_pi_gets_an_extension_of_its_own_for_it() -> None:
    plain, given = handed("pi"), handed("pi", status_command=STATUS)
    extension, values = given.files[-2:]
    assert given.files[:-2] == plain.files
    assert [word for word in given.argv if word not in plain.argv] == [str(extension.path)]
    assert values.path == extension.path.with_suffix(".json")
    assert json.loads(values.content) == {"command": list(STATUS), "refresh_ms": 60_000}
    assert extension.path.parent == Path(PLACES.runtime)
