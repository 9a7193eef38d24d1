"""What `agentlaunch prove` tells of its checks, and what its report hides."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from agentlaunch.agents import find
from agentlaunch.commands import prove, redaction, report
from agentlaunch.errors import Refused, UsageError
from agentlaunch.proof.check import Check
from agentlaunch.talk import Policy, Talk

FOUND = (
    Check("tool-call", "ok", "tool calls work", {"verdict": "works"}),
    Check("truncation", "ok", "the prompt arrives whole"),
    Check("prefix", "warning", "half of it is read again", {"share": 0.5}, "git config …"),
    Check("first-word", "ok", "soon", {"first_word_s": 12.4, "decode_tokens_per_s": 31.25}),
    Check("task", "ok", "made green", {"verdict": "green"}),
)


def hiding(**environ: str) -> redaction.Redactor:
    return redaction.redactor(environ, folders={Path("/srv/lighthouse"): "<project>"})


def drawn(*checks: Check) -> str:
    talk = Talk(Policy(), out=io.StringIO(), err=io.StringIO())
    proof = prove.Proof("qwen3:8b", "embedded", find("claude"), checks)
    prove.draw(talk, proof, hiding())
    assert isinstance(talk.out, io.StringIO)
    return talk.out.getvalue()


def changed(name: str, status: str) -> tuple[Check, ...]:
    return tuple(
        Check(row.name, status, "so it is", {}, "do this") if row.name == name else row  # type: ignore[arg-type] # one of the statuses
        for row in FOUND
    )


# --- what is told --------------------------------------------------------------------------------


def test_what_worked_is_told_with_the_numbers() -> None:
    lines = drawn(*FOUND).splitlines()
    assert lines[-2:] == [
        "first word after 12 s, 31.2 tokens/s, 50% of the prompt from the cache",
        "worked: Claude Code on qwen3:8b (embedded)",
    ]


@pytest.mark.parametrize("name", ["tool-call", "truncation", "task"])
def test_the_lowest_layer_that_failed_is_named(name: str) -> None:
    text = drawn(*changed(name, "error"))
    assert f"does not work: Claude Code on qwen3:8b (embedded) fails at {name}" in text
    assert "so it is (do this)" in text


def test_a_proof_without_the_task_claims_no_success() -> None:
    text = drawn(*changed("task", "skipped"))
    assert "nothing failed, but no task was done: Claude Code on qwen3:8b (embedded)" in text
    assert "worked:" not in text


def test_numbers_that_were_not_measured_are_not_told() -> None:
    assert "tokens/s" not in drawn(*changed("first-word", "skipped"))


def test_a_narrow_terminal_gets_every_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = drawn(*changed("task", "error"))
    assert max(map(len, text.splitlines())) <= 60
    assert "fails at task" in " ".join(text.split())


# --- where a report may lie ----------------------------------------------------------------------


def test_a_report_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "report.md").touch()
    (tmp_path / "dangling.md").symlink_to(tmp_path / "nowhere")
    for place in (tmp_path / "report.md", tmp_path, tmp_path / "dangling.md"):
        with pytest.raises(Refused) as caught:
            report.refuse_place(place)
        assert caught.value.code == "file-exists"


def test_a_report_needs_a_folder_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "no" / "report.md", tmp_path / "file" / "report.md"):
        with pytest.raises(Refused) as caught:
            report.refuse_place(place)
        assert caught.value.code == "not-writable"


def test_a_report_on_stdout_is_json_instead() -> None:
    with pytest.raises(UsageError, match="wants a file"):
        report.refuse_place(Path("-"))


# --- what is hidden ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "CANARY-7f3a9c",
        "it is CANARY-7f3a9c, in a sentence",
        "http://CANARY-7f3a9c@gpu.example:8080/v1",
        "sk-ant-api03-abcdefCANARY",
        "Authorization: Bearer CANARY",
        '{"x-api-key": "CANARY"}',
        "https://ada:CANARY@proxy.example/",
        "https://engine.example/v1?key=CANARY",
        "https://engine.example/v1#CANARY",
        "export OTHER_API_KEY=CANARY",
        '"apiKey": "CANARY"',
        "password: CANARY",
        '"password": "open CANARY"',
        '{\\"password\\": \\"open CANARY\\"}',
        "SMTP_PASS=CANARY",
        "mysql_pwd: CANARY",
        "Bearer CANARYCANARY",
        "gho_CANARYCANARY",
        "AKIACANARYCANARY",
        "eyJCANARYCANARY.eyJCANARY.CANARY",
        "-----BEGIN RSA PRIVATE KEY-----\nCANARY\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_no_secret_is_told_to_anybody(text: str) -> None:
    hide = hiding(OPENAI_API_KEY="CANARY-7f3a9c")
    assert "CANARY" not in hide.secrets(text)
    assert "CANARY" not in hide.private(text)
    assert "CANARY" not in hide.foreign(text)


@pytest.mark.parametrize(
    "name",
    ["AGENTLAUNCH_ENGINE_KEY", "HF_TOKEN", "MY_SECRET", "DB_PASSWORD", "DB_PASS", "SMTP_PASS",
     "MYSQL_PWD", "PASS", "PGPASS_1"],
)  # fmt: skip
def test_values_of_variables_that_hold_secrets_are_known(name: str) -> None:
    assert hiding(**{name: "lemon-tree"}).secrets("a lemon-tree") == "a ***"


@pytest.mark.parametrize("name", ["PWD", "OLDPWD", "TESTS_PASSED", "EDITOR"])
def test_values_of_other_variables_are_told(name: str) -> None:
    assert hiding(**{name: "lemon-tree"}).secrets("a lemon-tree") == "a lemon-tree"


def test_each_line_of_a_secret_and_its_form_in_an_address_are_known() -> None:
    hide = hiding(GPG_PASSPHRASE="lemon-tree\ncherry tree")
    assert hide.secrets("lemon-tree\\ncherry tree, cherry%20tree") == "***\\n***, ***"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("failed at 10.1.2.3:5432", "failed at <address>:5432"),
        ("203.0.113.7, fe80::1%eth0.", "<address>, <address>."),
        ("db2.internal.corp and printer.local", "<host> and <host>"),
        ("no answer of http://gpu7:8000/v1", "no answer of http://<host>:8000/v1"),
    ],
)
def test_machines_of_the_users_network_are_for_nobody(text: str, told: str) -> None:
    assert hiding().private(text) == told
    assert hiding().secrets(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8080, http://localhost:1 and [::1]:1",
        "version 0.33.1.2, driver 31.0.15.3742, at 12:34:56",
        "std::io and settings.local.json of api.openai.com",
    ],
)
def test_loopback_versions_and_public_hosts_stay(text: str) -> None:
    assert hiding().private(text) == text


def test_the_password_of_a_proxy_is_known_by_its_value() -> None:
    hide = hiding(HTTPS_PROXY="http://ada-l:lemon-tree@proxy:3128")
    assert hide.secrets("ada-l and lemon-tree") == "ada-l and ***"


def test_short_values_hide_no_ordinary_words() -> None:
    assert hiding(SOME_KEY="on").secrets("tool calls go on") == "tool calls go on"


@pytest.mark.parametrize(
    "text",
    ["tool calls work, streamed and whole", "12.4 s", "qwen3-coder:30b-a3b-instruct-q4_K_M", "3/4"],
)
def test_ordinary_words_and_names_of_models_stay(text: str) -> None:
    assert hiding().private(text) == text


def test_names_mail_addresses_and_paths_are_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "lovelace")
    monkeypatch.setenv("HOSTNAME", "engine-room")
    hide = redaction.redactor(
        {}, addresses=["http://gpu-box.lan:1"], folders={Path("/srv/lighthouse"): "<project>"}
    )
    text = (
        "lovelace on engine-room wrote ada@example.org about /srv/lighthouse/calc.py, "
        "/opt/private/notes and /home/lovelace/x, served by http://gpu-box.lan:1/v1"
    )
    told = hide.private(text)
    for word in ("lovelace", "engine-room", "example.org", "lighthouse", "private", "gpu-box"):
        assert word not in told
    assert "<project>/calc.py" in told


def test_what_only_looks_like_a_key_is_hidden_in_foreign_words_alone() -> None:
    text = "token4711abcdefghijklmnop"
    assert hiding().foreign(text) == "***"
    assert hiding().private(text) == text


def test_control_characters_of_an_agent_reach_no_terminal() -> None:
    assert hiding().foreign("a\x1b[31mred") == "a\\x1b[31mred"


def test_the_report_holds_the_checks_and_no_secret_of_them(tmp_path: Path) -> None:
    secret = "lemon-tree"
    hide = hiding(MY_TOKEN=secret)
    check = Check(
        "task", "error", f"ended: {secret}", {"last_lines": [f"```\n{secret}"], secret: 1}, secret
    )
    data = {"model": f"m-{secret}", "engine": "embedded", "agent": "claude-code", "checks": []}
    place = tmp_path / "report.md"
    report.write(place, data, [check], {"agent version": secret}, {"gpu": secret}, hide)
    text = place.read_text()
    assert secret not in text
    assert "### task: error" in text
    assert "- model: m-***" in text
    assert place.stat().st_mode & 0o777 == 0o600
    fences = [line for line in text.splitlines() if line.startswith("```")]
    assert fences == ["```json", "```"] * 2
    with pytest.raises(Refused):
        report.write(place, data, [check], {}, {}, hide)
