"""The command line as scripts see it: streams, exit codes case by case, JSON by its schema."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

import launcher
import schemas
from agentlaunch.cli import main
from anthropic_server import AnthropicServer, text
from gguf_writer import small_llama, write_gguf

TOOLS = "{% if tools %}{{ tools }}{% endif %}"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "tiny.gguf", *small_llama(template=TOOLS))


@pytest.fixture
def claude(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake Claude Code on PATH, as npm installs it: its version stands in a package.json."""
    body = "import sys\nprint('fake', *sys.argv[1:])\nsys.exit(7)\n"
    folder = launcher.fake_agent(tmp_path / "bin", body)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return folder / "claude"


def _json(capsys: pytest.CaptureFixture[str], *argv: str, status: int = 0) -> dict[str, Any]:
    """Run with --json: exactly one document on stdout that fits its schema."""
    assert main(["--json", *argv]) == status
    document = json.loads(capsys.readouterr().out)
    schemas.check(document)
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize(
    ("argv", "status", "code"),
    [
        (("modls",), 2, "usage"),
        (("up", "--foo"), 2, "usage"),
        (("up", "clawd", "--dry-run"), 2, "unknown-agent"),
        (("up", "claude-code", "extra", "--dry-run"), 2, "usage"),
        (("doctor", "nobody"), 2, "unknown-agent"),
        (("agents", "show", "nobody"), 2, "unknown-agent"),
        (("up", "--context", "0", "--dry-run"), 2, "bad-value"),
        (("up", "--kv-cache", "f3", "--dry-run"), 2, "bad-value"),
        (("up", "--engine", "nonsense", "--dry-run"), 2, "unknown-engine"),
        (("up", "--engine", "http://u:p@127.0.0.1:1", "--dry-run"), 2, "usage"),
        (("up",), 2, "usage"),  # --json without --dry-run: the agent owns stdout
        (("up", "--engine", "http://127.0.0.1:1", "--dry-run"), 6, "engine-failed"),
        (("up", "--engine", "http://169.254.169.254", "--dry-run"), 8, "unsafe-address"),
        (("up", "--engine", "ollama", "--dry-run"), 6, "engine-missing"),
        (("up", "--model", "/nowhere/x.gguf", "--dry-run"), 7, "model-unavailable"),
        (("up", "--model", "../../etc/passwd:x y", "--dry-run"), 7, None),
        (("models", "show", "no-such-model", "--offline"), 7, "unknown-model"),
        (("models", "pull", "Bad Name!"), 7, "bad-model-name"),
        (("config", "set", "nonsense", "1"), 2, "usage"),
        (("config", "set", "context", "lots"), 2, "bad-value"),
        (("clean", "nothing-like-this"), 2, "usage"),
        (("engines", "stop", "nothing"), 6, "engine-failed"),
        (("engines", "logs"), 6, "engine-failed"),
        (("env", "claude-code", "--shell", "tcsh"), 2, "usage"),
        (("up", "kiro", "--dry-run"), 5, "agent-not-supported"),
        (("up", "Cursor-Agent", "--dry-run"), 5, "agent-not-supported"),
        (("up", "--model", "~nosuchuser/x.gguf", "--dry-run"), 7, "model-unavailable"),
        (("up", "--context", "9" * 5000, "--dry-run"), 2, "bad-value"),
        (("up", "--model", "a\0b.gguf", "--dry-run"), 2, "bad-value"),
        (("config", "set", "max_download", "1e305TB"), 2, "bad-value"),
    ],
)
def test_every_kind_of_failure_has_its_status_and_an_envelope(
    argv: tuple[str, ...], status: int, code: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    document = _json(capsys, *argv, status=status)
    assert document["error"]["exit"] == status
    assert code in (None, document["error"]["code"])


def test_a_broken_gguf_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\xff" * 100)
    assert main(["up", "claude-code", "--dry-run", "--model", str(broken)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[0].startswith("error: ")
    assert "Traceback" not in captured.err


def test_a_settings_file_that_does_not_parse_is_refused_and_kept(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    user_file = home / ".config" / "agentlaunch" / "config.toml"
    user_file.parent.mkdir(parents=True)
    user_file.write_text("model = \n")
    document = _json(capsys, "up", "--dry-run", status=8)
    assert str(user_file) in document["error"]["message"]
    _json(capsys, "config", "set", "model", "x", status=8)
    assert user_file.read_text() == "model = \n"


def test_a_reserved_argument_names_our_own_way(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "claude-code", "--dry-run", "--", "--settings", "x.json"]) == 2
    error = capsys.readouterr().err
    assert "--settings" in error
    assert "hint: " in error


@pytest.mark.parametrize(
    "argv",
    [
        ("doctor",),
        ("agents",),
        ("agents", "list"),
        ("agents", "show", "CLAUDE"),
        ("engines",),
        ("engines", "stop"),
        ("models", "--offline"),
        ("models", "show", "qwen3.5:9b", "--offline"),
        ("config",),
        ("config", "path"),
        ("config", "set", "context", "32k"),
        ("config", "unset", "context"),
        ("clean",),
        (),
    ],
)
def test_every_report_fits_its_schema(
    argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _json(capsys, *argv)["ok"] is True


def test_the_dry_run_of_a_path_fits_its_schema_and_hides_the_token(
    model: Path, claude: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(home.rglob("*"))
    document = _json(
        capsys, "up", "claude_code", "--dry-run", "--model", str(model), "--", "-p", "hi"
    )
    data = document["data"]
    kinds = [step["kind"] for step in data["steps"]]
    assert kinds == ["install", "start-engine", "load", "prove", "warm", "hand-over"]
    assert data["handover"]["argv"][0] == str(claude)
    assert data["handover"]["argv"][-2:] == ["-p", "hi"]
    assert data["handover"]["env"]["ANTHROPIC_AUTH_TOKEN"] == "***"
    assert data["handover"]["env"]["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:0"
    assert data["context"]["engine_tokens"] == 8192
    assert data["fit"]["evidence"] == "exact"
    assert sorted(home.rglob("*")) == before  # a dry run touches nothing, not even a cache


def test_launch_claude_is_up_claude_code(
    model: Path, claude: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = _json(capsys, "up", "claude-code", "--dry-run", "--model", str(model))
    second = _json(capsys, "launch", "claude", "--dry-run", "--model", str(model))
    assert second["data"]["steps"] == first["data"]["steps"]
    assert second["schema"] == "agentlaunch/up/1"


def test_global_flags_count_before_and_after_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--json", "agents"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "agentlaunch/agents/1"


def test_a_question_without_a_terminal_is_a_usage_error(
    model: Path, claude: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["up", "claude-code", "--model", str(model), "--no-input"]) == 2
    assert "--yes" in capsys.readouterr().err


def test_yes_agrees_only_up_to_the_limit(
    model: Path, claude: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTLAUNCH_MAX_DOWNLOAD", "1MB")
    assert main(["up", "claude-code", "--yes", "--model", str(model)]) == 8
    assert "max_download" in capsys.readouterr().err


def test_offline_installs_nothing(
    model: Path, claude: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["up", "claude-code", "--yes", "--offline", "--model", str(model)]) == 5
    assert "offline" in capsys.readouterr().err


def test_the_status_file_tells_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "status.json"
    argv = ["up", "claude-code", "--engine", "http://127.0.0.1:1", "--status-file", str(place)]
    assert main(argv) == 6
    status = json.loads(place.read_text())
    schemas.check(status, "status")
    assert (status["stage"], status["exit"]) == ("failed", 6)


def test_a_bug_ends_with_seventy_and_a_report(
    home: Path, mocker: MockerFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    mocker.patch("agentlaunch.commands.agents.list_agents", side_effect=ZeroDivisionError("boom"))
    assert main(["agents"]) == 70
    error = capsys.readouterr().err
    report = home / ".local" / "state" / "agentlaunch" / "logs" / "bug.md"
    assert "this is a bug in agentlaunch" in error
    assert str(report) in error
    assert "Traceback" not in error
    assert "ZeroDivisionError: boom" in report.read_text()


def test_a_full_disk_is_one_line(mocker: MockerFixture, capsys: pytest.CaptureFixture[str]) -> None:
    full = OSError(28, "No space left on device", "/somewhere/file")
    mocker.patch("agentlaunch.files.os.fsync", side_effect=full)
    assert main(["config", "set", "context", "32k"]) == 1
    assert "the disk is full" in capsys.readouterr().err


def _start(*argv: str, **settings: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "agentlaunch", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **settings,
    )


@pytest.mark.parametrize(("sign", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_before_the_hand_over_end_quietly(sign: signal.Signals, status: int) -> None:
    """An engine that accepts and never answers: the launch waits for it when the signal comes."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        child = _start("up", "claude-code", "--engine", url)
        silent.settimeout(30)
        peer, _address = silent.accept()
        with peer:
            time.sleep(0.1)  # it has connected; let it reach its wait for the answer
            child.send_signal(sign)
            _out, error = child.communicate(timeout=30)
    assert child.returncode == status
    assert b"Traceback" not in error
    assert b"run the same command to go on" in error


def test_a_reader_that_leaves_is_no_error() -> None:
    child = _start("up", "--help")
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    error = child.stderr.read()
    child.stderr.close()
    assert child.wait(timeout=30) == 141
    assert b"Traceback" not in error
    assert b"BrokenPipe" not in error


def test_a_served_model_is_handed_over_without_a_question(
    claude: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """After hand-over the status is the agent's own."""
    place = tmp_path / "status.json"
    with AnthropicServer([text("hi")], model="m", max_model_len=65536) as engine:
        child = _start(
            "up",
            "claude-code",
            "--engine",
            engine.url,
            "--status-file",
            str(place),
            "--",
            "-p",
            "x",
        )
        out, error = child.communicate(timeout=60)
    assert child.returncode == 7
    assert out.decode().startswith("fake ")
    assert "handing over" in error.decode()
    status = json.loads(place.read_text())
    schemas.check(status, "status")
    assert (status["stage"], status["pid"], status["model"]) == ("handed-over", child.pid, "m")


@pytest.mark.parametrize(
    ("served", "argv", "status"),
    [
        (["a", "b"], (), 2),
        (["a", "b"], ("--model", "c"), 7),
        (["a"], ("--model", "a"), 0),
    ],
)
def test_the_model_of_a_server_is_the_asked_or_the_only_one(
    served: list[str], argv: tuple[str, ...], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[dict[str, Any]] = [{"id": name, "max_model_len": 40960} for name in served]
    with AnthropicServer([text("x")]) as engine:
        engine.model_rows = rows
        _json(capsys, "up", "--engine", engine.url + "/v1", "--dry-run", *argv, status=status)


def test_a_server_that_does_not_tell_its_context_needs_the_flag(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with AnthropicServer([text("x")]) as engine:
        engine.model_rows = [{"id": "a"}]
        document = _json(capsys, "up", "--engine", engine.url, "--dry-run", status=2)
        assert document["error"]["code"] == "needs-context"
        given = _json(capsys, "up", "--engine", engine.url, "--dry-run", "--context", "40960")
        assert given["data"]["context"]["engine_tokens"] == 40960


def test_the_version_is_told_in_every_spelling(capsys: pytest.CaptureFixture[str]) -> None:
    assert _json(capsys, "--version")["data"]["version"]
    for argv in (["--version"], ["-v", "--version"], ["--version", "models"]):
        assert main(argv) == 0
        assert capsys.readouterr().out.startswith("agentlaunch ")


def test_a_closed_stdout_is_no_bug() -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m agentlaunch config >&-"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_status_file_that_cannot_be_written_does_not_hide_the_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = ["up", "--engine", "http://127.0.0.1:1", "--status-file", "/proc/nowhere/s.json"]
    assert main(argv) == 6
    assert "status" not in capsys.readouterr().err.splitlines()[-1]


def test_a_proxy_password_is_hidden_in_the_dry_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with AnthropicServer([text("x")]) as engine:
        port = engine.url.rpartition(":")[2]
        monkeypatch.setenv("HTTPS_PROXY", "http://user:PROXYSECRET@proxy.example:3128")
        monkeypatch.setenv("NO_PROXY", "0.0.0.0")
        _json(capsys, "up", "--engine", f"http://0.0.0.0:{port}", "--dry-run")
        main(["--json", "up", "--engine", f"http://0.0.0.0:{port}", "--dry-run"])
        out = capsys.readouterr().out
    assert "PROXYSECRET" not in out
    assert "http://***@proxy.example:3128" in out


@pytest.mark.parametrize(
    ("argv", "status"), [((), 6), (("--model", "a"), 0), (("--context", "2048"), 0)]
)
def test_a_window_that_is_too_small_is_refused_unless_asked_for(
    argv: tuple[str, ...], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with AnthropicServer([text("x")]) as engine:
        engine.model_rows = [{"id": "a", "max_model_len": 2048}]
        document = _json(capsys, "up", "--engine", engine.url, "--dry-run", *argv, status=status)
    codes = [warning["code"] for warning in document.get("warnings", [])]
    assert ("small-context" in codes) is (status == 0)


@pytest.mark.parametrize("name", ["127.0.0.1:9/ns/m:tag", "hf.co/u/r:Q4", "./model.gguf"])
def test_a_project_file_may_not_name_a_server_or_a_file_for_the_model(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "agentlaunch.toml").write_text(f'model = "{name}"\n')
    monkeypatch.chdir(tmp_path)
    document = _json(capsys, "up", "--dry-run", status=8)
    assert document["error"]["code"] == "project-may-not"


def test_a_project_files_foreign_model_stands_in_the_way_of_nothing_that_takes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "agentlaunch.toml").write_text('model = "./model.gguf"\n')
    monkeypatch.chdir(tmp_path)
    _json(capsys, "models", status=0)
    assert main(["bench", "--engine", "embedded"]) == 8


def test_a_template_without_tools_is_refused_before_anything_is_fetched(
    tmp_path: Path, claude: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deaf = write_gguf(tmp_path / "deaf.gguf", *small_llama(template="{{ messages }}"))
    assert main(["up", "claude-code", "--yes", "--model", str(deaf)]) == 3
    assert "--skip-proof" in capsys.readouterr().err
    assert not (home / ".local" / "share" / "agentlaunch" / "managed").exists()


def test_a_project_that_cannot_be_launched_does_not_stop_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings_file = tmp_path / ".claude" / "settings.json"
    settings_file.parent.mkdir()
    settings_file.write_text('{"env": {"ANTHROPIC_UNIX_SOCKET": "/tmp/s"}}')
    monkeypatch.chdir(tmp_path)
    _json(capsys, "models", "--offline")
    document = _json(capsys, "up", "--dry-run", "--offline", status=8)
    assert document["error"]["code"] == "unroutable-settings"


def test_a_moved_settings_folder_of_the_agent_is_looked_at_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "settings.json").write_text('{"env": {"ANTHROPIC_UNIX_SOCKET": "/tmp/s"}}')
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path))
    _json(capsys, "up", "--dry-run", "--offline", status=8)
    _json(capsys, "up", "--dry-run", "--offline", "--home", "clean")  # it is not in use there


def test_a_remembered_agent_that_is_gone_is_forgotten(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    choices = home / ".local" / "state" / "agentlaunch" / "choices.json"
    choices.parent.mkdir(parents=True)
    choices.write_text('{"last": {"agent": "gone"}}')
    assert _json(capsys, "models", "--offline")["data"]["agent"] == "claude-code"


def test_env_needs_the_agent_so_that_its_function_cannot_call_itself(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with AnthropicServer([text("x")]) as engine:
        document = _json(capsys, "env", "claude-code", "--engine", engine.url, status=5)
    assert "agents install" in document["error"]["hint"]
    assert list(home.rglob("*.json")) == []


def test_env_of_two_engines_writes_two_files(
    claude: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with AnthropicServer([text("x")], model="a") as one, AnthropicServer([], model="b") as two:
        first = _json(capsys, "env", "claude-code", "--engine", one.url)["data"]["argv"]
        second = _json(capsys, "env", "claude-code", "--engine", two.url)["data"]["argv"]
    place = first.index("--settings") + 1
    assert first[place] != second[place]
    assert one.url in Path(first[place]).read_text()


@pytest.mark.parametrize(
    ("spec", "memory"),
    [("ram=32GiB,gpu=RTX 4060 Laptop:8GiB", 8 * 2**30), ("chip=M3 Max,ram=36GiB", None)],
)
def test_another_machine_can_be_simulated(
    spec: str, memory: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    document = _json(capsys, "models", "--simulate", spec, "--agent", "claude")
    (gpu,) = document["data"]["machine"]["gpus"]
    assert memory in (None, gpu["vram_bytes"])
    assert document["data"]["pick"] is not None
    assert not any(row["installed"] for row in document["data"]["candidates"])
    shown = _json(capsys, "models", "show", "qwen3.5:9b", "--offline", "--simulate", spec)
    assert shown["data"]["fit"]["placement"] in {"gpu", "split"}
    seen = _json(capsys, "doctor", "--simulate", spec)["data"]
    assert (seen["engines"], seen["agents"]) == ([], [])


def test_this_machine_can_be_recorded_and_simulated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "facts.json"
    here = _json(capsys, "doctor", "--record", str(place))["data"]["machine"]
    there = _json(capsys, "doctor", "--simulate", str(place))["data"]["machine"]
    assert (there["ram_bytes"], there["cores"]) == (here["ram_bytes"], here["cores"])
    _json(capsys, "doctor", "--record", str(place), status=8)
    _json(capsys, "doctor", "--simulate", "nonsense", status=2)


def test_an_address_that_is_not_ollama_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with AnthropicServer([text("x")]) as other:
        monkeypatch.setenv("OLLAMA_HOST", other.url)
        document = _json(capsys, "up", "--engine", "ollama", "--dry-run", status=6)
    assert "is not Ollama" in document["error"]["message"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (("hosted", "plan"), 2),
        (("hosted", "plan", "--model", "qwen3-coder:30b"), 1),  # longer than a buffer
    ],
)
def test_a_full_disk_under_stdout_leaves_the_status_and_no_trace(
    argv: tuple[str, ...], status: int
) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "agentlaunch", *argv, "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (status, b"")


def test_a_reader_that_left_before_an_error_leaves_the_status_and_no_trace() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-m", "agentlaunch", "hosted", "plan", "--json"],
        stdout=writer, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (2, b"")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("hosted", "--users", "50", "plan"), "--users stands behind 'plan'"),
        (("models", "--context", "8k", "list"), "--context stands behind 'list'"),
        (("config", "--origin", "show"), "--origin stands behind 'show'"),
    ],
)
def test_an_option_before_the_subcommand_is_not_lost_without_a_word(
    argv: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--json", *argv]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["message"] == message


def test_offline_nothing_is_offered_that_would_have_to_be_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with AnthropicServer(model="m", max_model_len=65_536) as server:
        argv = ["up", "claude-code", "--engine", server.url, "--offline"]
        assert main([*argv, "--yes"]) == 5
        said = capsys.readouterr().err
        assert "not installed, and nothing is installed offline: " in said
        assert "@anthropic-ai/claude-code" in said
        assert main([*argv, "--dry-run", "--json"]) == 0
        warnings = json.loads(capsys.readouterr().out)["warnings"]
        assert "offline" in [row["code"] for row in warnings]
