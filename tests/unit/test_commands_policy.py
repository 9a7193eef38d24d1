"""`agentlaunch policy`: what holds here in sentences, and a check of the settings for CI."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

import schemas
from agentlaunch import settings
from agentlaunch.cli import main
from launcher import fake_agent
from places import CHECKOUT

RULES = """
data = "local-only"
[policy]
allowed_engines = ["embedded", "https://llm.example.com"]
allowed_models = ["qwen3.5*"]
allowed_agents = ["claude-code >=2.1.100,<3", "opencode"]
max_spend_per_day = "5 USD"
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without rules; nothing is set, and nobody can be asked anything."""
    monkeypatch.delenv("AGENTLAUNCH_ENGINE")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "etc"))
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(autouse=True)
def no_network(mocker: MockerFixture) -> None:
    mocker.patch("socket.create_connection", side_effect=AssertionError("asked somebody"))
    mocker.patch("socket.socket.connect", side_effect=AssertionError("asked somebody"))


def _write(text: str, place: str = "project") -> Path:
    file = {
        "project": Path.cwd() / "agentlaunch.toml",
        "user": settings.paths().user_file,
        "machine": settings.machine_files()[-1],
    }[place]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def _json(capsys: pytest.CaptureFixture[str], *argv: str, status: int = 0) -> Any:
    assert main(["policy", *argv, "--json"]) == status
    document = json.loads(capsys.readouterr().out)
    schemas.check(document)
    return document


def _refused(capsys: pytest.CaptureFixture[str], *argv: str) -> list[tuple[str, str]]:
    data = _json(capsys, "check", *argv, status=3)["data"]
    rows = [row for row in data["findings"] if row["status"] == "refused"]
    assert all(row["remedy"] for row in rows)
    return [(row["rule"], row["message"]) for row in rows]


# ---- explain --------------------------------------------------------------------------------


@pytest.mark.parametrize("argv", [("policy",), ("policy", "explain"), ("policy", "check")])
def test_without_a_rule_everything_is_allowed_and_how_to_add_one_is_told(
    argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(list(argv)) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "every agent, engine and model may be used" in said
    assert 'data = "local-only"' in said


def test_the_rules_are_told_in_sentences_with_their_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project, machine = _write(RULES), _write("max_spend_per_day = 2\n", "machine")
    _write("data = 'any'\n", "user")
    assert main(["policy"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [
        f"{machine} rules (only whoever administers this machine can change it):",
        "- max_spend_per_day = 2: US dollars a day that calls paid by the token may cost",
        f"{settings.paths().user_file} rules (your own file):",
        '- data = "any": where prompts and code may go; it loosens nothing that another file says',
        f"{project} rules (whoever keeps this project can change it):",
    ]
    text = "\n".join(lines)
    assert "- Nothing leaves this machine: no server elsewhere" in text
    assert "- Agents: claude-code, opencode.\n  Of these, only claude-code >=2.1.100,<3." in text
    assert "- Engines: embedded.\n" in text
    assert "qwen3.5:9b" in text
    assert "- Services that are paid by the token may cost 2 US dollars a day" in text


def test_what_is_left_is_told_to_programs(capsys: pytest.CaptureFixture[str]) -> None:
    origin = str(_write(RULES))
    data = _json(capsys, "explain")["data"]
    assert data["rules"][0] == {
        "name": "data",
        "value": "local-only",
        "source": "project",
        "origin": origin,
    }
    assert (data["local_only"], data["engines"]) == (True, ["embedded"])
    assert data["agents"] == ["claude-code", "opencode"]
    assert data["max_spend_per_day_usd"] == 5.0
    assert {row.partition(":")[0] for row in data["models"]} == {"qwen3.5"}


def test_without_a_rule_programs_get_null_for_no_limit(capsys: pytest.CaptureFixture[str]) -> None:
    assert _json(capsys)["data"] == {
        "rules": [],
        "local_only": False,
        "agents": None,
        "engines": None,
        "models": None,
        "max_spend_per_day_usd": None,
    }


def test_lists_that_leave_nothing_say_none(capsys: pytest.CaptureFixture[str]) -> None:
    _write(
        "allowed_engines = []\nallowed_models = ['no']\nallowed_agents = []\nmax_spend_per_day = 0"
    )
    assert main(["policy"]) == 0
    text = capsys.readouterr().out
    assert "- allowed_engines = []: which engines may serve" in text
    assert "- Agents: none.\n- Engines: none.\n- Models: none of those in the catalog" in text
    assert "- No service that is paid by the token may be used." in text


@pytest.mark.parametrize("argv", [("policy",), ("policy", "check", "claude-code")])
def test_it_can_be_read_at_sixty_columns(
    argv: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(RULES.replace("local-only", "any"))
    monkeypatch.setenv("COLUMNS", "60")
    assert main(list(argv)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all(len(line) <= 60 or " " not in line.strip() for line in lines)


def test_who_has_no_home_is_told_of_the_rules_of_machine_and_project(
    mocker: MockerFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a container of CI that runs under a number which is no user's."""
    _write("allowed_agents = ['codex']\n")
    _write("data = 'local-only'\n", "machine")
    mocker.patch("platformdirs.user_state_path", side_effect=RuntimeError("no home"))
    mocker.patch("pathlib.Path.home", side_effect=RuntimeError("no home"))
    data = _json(capsys, "check", "codex", "--engine", "embedded")["data"]
    assert [row["name"] for row in data["rules"]] == ["data", "allowed_agents"]
    assert [row["status"] for row in data["findings"]] == ["ok", "ok"]
    assert _json(capsys)["data"]["agents"] == ["codex"]


# ---- check ----------------------------------------------------------------------------------


def test_a_setting_of_the_project_that_breaks_a_rule_is_a_finding(
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = _write("model = 'llama3.2:1b'\nagent = 'codex'\n")
    machine = _write(RULES, "machine")
    rows = _json(capsys, "check", status=3)["data"]["findings"]
    model, agent = f"model (set in {file})", f"agent (set in {file})"
    remedy = (
        "choose what is allowed: agentlaunch policy; "
        f"only whoever administers this machine can change {machine}"
    )
    nothing = "nothing that is set here is its business"
    expected = [
        ("data", "", "ok", nothing, None),
        ("max_spend_per_day", "", "ok", nothing, None),
        ("allowed_engines", "", "ok", nothing, None),
        (
            "allowed_models",
            model,
            "refused",
            f"{model}: llama3.2:1b is not an allowed model",
            remedy,
        ),
        ("allowed_agents", agent, "refused", f"{agent}: codex is not an allowed agent", remedy),
    ]
    names = ("rule", "subject", "status", "message", "remedy")
    by_rule = {row[0]: {**dict(zip(names, row, strict=True)), "origin": str(machine)}
               for row in expected}  # fmt: skip
    assert {row["rule"]: row for row in rows} == by_rule


def test_the_table_names_each_rule_its_file_and_the_way_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = _write("allowed_agents = ['codex']\nallowed_models = ['a']\n")
    assert main(["policy", "check", "claude", "--model", "a"]) == 3
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        f'allowed_models = ["a"] ({file})',
        "  ok       model: a is allowed",
        f'allowed_agents = ["codex"] ({file})',
        "  REFUSED  agent: claude-code is not an allowed agent (choose what is allowed: "
        f"agentlaunch policy; whoever keeps this project can change {file})",
    ]
    assert "1 refused by 2 rules" in captured.err


@pytest.mark.parametrize(
    ("argv", "refused"),
    [
        (("--engine", "embedded"), []),
        (("--engine", "openrouter"), ["data", "allowed_engines"]),
        (("--engine", "https://llm.example.com/v1"), ["data"]),
        (("--engine", "ollama"), ["allowed_engines"]),
        (("--engine", "local"), []),
        (("--engine", "auto", "--model", "auto"), []),
        (("--model", "qwen3.5:9b"), []),
        (("--model", "gpt-oss:20b"), ["allowed_models"]),
        (("--model", "qwen3.5:cloud"), ["data"]),
        (("--model", "qwen3.5:cloud", "--engine", "openrouter"), ["data", "allowed_engines"]),
        (("pi",), ["allowed_agents"]),
        (("claude",), []),
    ],
)
def test_what_is_named_is_judged(
    argv: tuple[str, ...], refused: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _write(RULES)
    document = _json(capsys, "check", *argv, status=3 if refused else 0)
    rows = document["data"]["findings"]
    assert [row["rule"] for row in rows if row["status"] == "refused"] == refused
    assert {row["rule"] for row in rows} == {row["name"] for row in document["data"]["rules"]}


def test_every_endpoint_of_the_routes_is_judged(capsys: pytest.CaptureFixture[str]) -> None:
    user = _write(
        """
        hosted_url = "https://llm.example.com"
        [routes]
        main = "hosted, https://evil.example#big, openrouter#a/b@100k"
        small = "local, embedded#gpt-oss:20b, ollama"
        """,
        "user",
    )
    _write("allowed_engines = ['embedded', 'https://llm.example.com']\nallowed_models = ['big']\n")
    main_, small = f"routes.main (set in {user})", f"routes.small (set in {user})"
    assert _refused(capsys) == [
        ("allowed_engines", f"{main_}: https://evil.example is not an allowed engine"),
        ("allowed_engines", f"{main_}: openrouter is not an allowed engine"),
        ("allowed_engines", f"{small}: ollama is not an allowed engine"),
        ("allowed_models", f"{main_}: a/b is not an allowed model"),
        ("allowed_models", f"{small}: gpt-oss:20b is not an allowed model"),
    ]
    _write("data = 'local-only'\n")
    assert [message.partition(": ")[2].partition(" ")[0] for _, message in _refused(capsys)] == [
        "https://llm.example.com",
        "https://evil.example",
        "openrouter",
        "https://llm.example.com",
    ]


@pytest.mark.parametrize(("host", "status"), [("", 0), ("127.0.0.1", 0), ("10.0.0.1", 3)])
def test_ollama_is_judged_by_where_it_is(
    host: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    _write("data = 'local-only'\n")
    assert main(["policy", "check", "--engine", "ollama"]) == status


@pytest.mark.parametrize(("cap", "status"), [("0", 3), ("5", 0)])
def test_a_cap_judges_services_that_are_paid_by_the_token(
    cap: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(f"max_spend_per_day = {cap}\n")
    data = _json(capsys, "check", "--engine", "openrouter", status=status)["data"]
    (row,) = data["findings"]
    assert ("through a gateway that keeps the cap" in row["message"]) is (status == 0)
    assert main(["policy", "check", "--engine", "embedded"]) == 0


@pytest.mark.parametrize(
    ("versions", "status"), [(">=2.1.100", "ok"), (">=3", "refused"), ("==2.1.197", "ok")]
)
def test_the_version_that_is_here_is_judged(
    versions: str,
    status: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(fake_agent(tmp_path / "bin", "")))
    _write(f"allowed_agents = ['claude-code {versions}']\n")
    data = _json(capsys, "check", "claude", status=0 if status == "ok" else 3)["data"]
    assert [row["status"] for row in data["findings"]] == ["ok", status]


def test_an_agent_whose_version_shows_only_when_it_runs_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = tmp_path / "ran"
    monkeypatch.setenv("PATH", str(fake_agent(tmp_path / "bin", f"open({str(ran)!r}, 'w')\n")))
    (tmp_path / "bin" / "package.json").unlink()
    _write("allowed_agents = ['claude-code >=2']\n")
    data = _json(capsys, "check", "claude")["data"]
    assert [row["status"] for row in data["findings"]] == ["ok", "unknown"]
    assert not ran.exists()


def test_of_an_agent_that_is_not_here_the_version_that_would_be_brought_is_judged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _write("allowed_agents = ['claude-code >=99']\n")
    ((rule, message),) = _refused(capsys, "claude-code")
    assert rule == "allowed_agents"
    assert message.endswith("is not an allowed version")


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (("policy", "check", "nobody"), 2),
        (("policy", "check", "--engine", "nothing"), 2),
        (("policy", "check", "--engine", "hosted"), 2),
        (("policy", "check", "kiro"), 5),
        (("policy", "chek"), 2),
    ],
)
def test_a_name_that_means_nothing_is_no_finding(argv: tuple[str, ...], status: int) -> None:
    _write(RULES)
    assert main(list(argv)) == status


@pytest.mark.parametrize("argv", [("policy",), ("policy", "check")])
@pytest.mark.parametrize(
    "text", ["data = 'local'", "data = ", "[policy]\nx = 1", "colour = 'red'", "[[policy]]"]
)
def test_a_file_that_is_not_understood_ends_it(
    text: str, argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    file = _write(text)
    assert main([*argv, "--json"]) == 8
    document = json.loads(capsys.readouterr().out)
    schemas.check(document)
    assert str(file) in document["error"]["message"]


def test_a_setting_that_a_project_may_not_set_ends_the_check_of_settings() -> None:
    _write("hosted_url = 'https://llm.example.com'")
    assert main(["policy", "check"]) == 8
    assert main(["policy"]) == 0


def test_a_rule_in_a_folder_above_is_told_from_below(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _write("data = 'local-only'\n")
    below = project / "a" / "b"
    below.mkdir(parents=True)
    (below / "agentlaunch.toml").write_text("model = 'x'\n")
    monkeypatch.chdir(below)
    assert _json(capsys)["data"]["local_only"] is True


def test_the_folders_that_were_left_hold_no_rules(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _write("data = 'local-only'\n")
    other = project.parent / "other"
    (other / ".git").mkdir(parents=True)
    monkeypatch.chdir(other)
    assert _json(capsys)["data"]["rules"] == []


def test_the_rules_of_the_guide_are_understood(capsys: pytest.CaptureFixture[str]) -> None:
    guide = (CHECKOUT / "docs" / "how-to" / "policy.md").read_text()
    blocks = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    assert len(blocks) == 3
    for text in blocks:
        _write(text, "machine")
        assert _json(capsys)["data"]["rules"]
