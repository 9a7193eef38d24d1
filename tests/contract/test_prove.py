"""`agentlaunch prove` as it is typed: a scripted engine, a scripted agent, one measured layer each.

The measurements themselves have tests of their own; here they are what a test says they are.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

import schemas
from agentlaunch.agents import find as find_agent
from agentlaunch.agents.base import PROMPT, Rehearsal
from agentlaunch.cli import main
from agentlaunch.launch import proving
from agentlaunch.launch.proving import Proven
from agentlaunch.proof.check import Check
from agentlaunch.settings import paths
from launcher import fake_agent
from wire_server import WireServer

TOKEN = "engine-token-4711"
CANARY = "CANARY-7f3a9c"
MODEL = "local-model"

MEND = """
import os, sys
if os.path.exists("calc.py"):
    text = open("calc.py").read()
    open("calc.py", "w").write(text.replace("first - second", "first + second"))
print("done")
"""
GOOD = (
    Check("tool-call", "ok", "tool calls work", {"verdict": "works"}),
    Check("truncation", "ok", "the prompt arrives whole"),
    Check("prefix", "ok", "the prompt is kept", {"share": 0.97}),
    Check("first-word", "ok", "soon", {"first_word_s": 2.5, "decode_tokens_per_s": 30.0}),
)

Claude = Callable[[str], None]


@pytest.fixture
def engine() -> Iterator[WireServer]:
    with WireServer(model=MODEL, token=TOKEN) as server:
        yield server


@pytest.fixture
def claude(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Claude:
    """Puts a fake Claude Code on PATH; the current folder is a project of the user's."""

    def put(body: str) -> None:
        folder = fake_agent(tmp_path / "bin", body)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")

    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AGENTLAUNCH_ENGINE_KEY", TOKEN)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    put(MEND)
    return put


@pytest.fixture
def measured(mocker: MockerFixture) -> Any:
    """What is measured before the task: all well, if the test does not say otherwise."""
    return mocker.patch.object(proving, "prove", return_value=Proven(GOOD))


def told(
    engine: WireServer, capsys: pytest.CaptureFixture[str], *more: str, status: int = 0
) -> dict[str, Any]:
    """The checks of `prove claude-code --json` by their names."""
    argv = ["prove", "claude-code", "--engine", engine.url, "--json", *more]
    assert main(argv) == status
    document = json.loads(capsys.readouterr().out)
    schemas.check(document)
    if not document["ok"]:
        return dict(document["error"])
    data = document["data"]
    assert (data["model"], data["agent"]) == (MODEL, "claude-code")
    names = [row["name"] for row in data["checks"]]
    assert names == ["tool-call", "truncation", "prefix", "first-word", "task"]
    return {row["name"]: row for row in data["checks"]}


def leftovers() -> list[str]:
    folder = paths().runtime / "launches"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_what_works_is_told_as_working(
    engine: WireServer, claude: Claude, measured: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = told(engine, capsys)
    assert {row["status"] for row in checks.values()} == {"ok"}
    assert checks["task"]["measured"]["verdict"] == "green"
    assert measured.call_args.kwargs["again"] is True
    assert measured.call_args.kwargs["whole"] is True
    assert leftovers() == []


def test_a_person_is_told_the_verdict_and_the_numbers(
    engine: WireServer, claude: Claude, measured: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prove", "claude-code", "--engine", engine.url]) == 0
    said = capsys.readouterr()
    assert "worked: Claude Code on local-model" in said.out
    assert "first word after 2.5 s, 30.0 tokens/s, 97% of the prompt from the cache" in said.out
    assert "Claude Code works on a small task (at most 300 s)" in said.err


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ("print('I mended it')", "no-change"),
        ("raise SystemExit(1)", "agent-failed"),
        ("print('<tool_call>{}</tool_call>')", "leaked"),
        ("open('calc.py', 'w').write('def add(a, b): return 5')", "wrong-change"),
        (MEND + "open('test_calc.py', 'w').write('')", "tampered"),
    ],
)
def test_a_task_that_fails_is_named(
    engine: WireServer,
    claude: Claude,
    measured: Any,
    capsys: pytest.CaptureFixture[str],
    body: str,
    verdict: str,
) -> None:
    claude(body)
    task = told(engine, capsys, status=3)["task"]
    assert (task["status"], task["measured"]["verdict"]) == ("error", verdict)
    assert task["remedy"]
    assert leftovers() == []


def test_an_agent_that_goes_on_for_ever_is_stopped(
    engine: WireServer, claude: Claude, measured: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    claude("import time; time.sleep(600)")
    task = told(engine, capsys, "--task-limit", "1", status=3)["task"]
    assert (task["status"], task["measured"]["verdict"]) == ("error", "time-up")
    assert leftovers() == []


@pytest.mark.parametrize("layer", ["tool-call", "truncation"])
def test_no_task_is_tried_on_a_layer_that_does_not_work(
    engine: WireServer,
    claude: Claude,
    measured: Any,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    layer: str,
) -> None:
    claude(f"open({str(tmp_path / 'ran')!r}, 'w')")
    measured.return_value = Proven(
        tuple(Check(row.name, "error", "it does not") if row.name == layer else row for row in GOOD)
    )
    checks = told(engine, capsys, status=3)
    assert checks["task"]["status"] == "skipped"
    assert checks["task"]["message"] == f"not tried: the layer below, {layer}, does not work"
    assert not (tmp_path / "ran").exists()


def test_the_agent_works_in_a_folder_of_ours_with_the_errands_arguments(
    engine: WireServer,
    claude: Claude,
    measured: Any,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    seen = tmp_path / "seen.json"
    row = "[os.getcwd(), os.environ['PWD'], sys.argv[1:], sys.stdin.read()]"
    claude(f"import json, os, sys\njson.dump({row}, open({str(seen)!r}, 'w'))")
    told(engine, capsys, status=3)
    folder, pwd, argv, stdin = json.loads(seen.read_text())
    assert Path(folder).is_relative_to(paths().runtime)
    assert (pwd, stdin) == (folder, "")
    assert not Path(folder).exists()
    assert "acceptEdits" in argv
    assert list((tmp_path / "project").iterdir()) == []


def test_the_task_leaves_nothing_in_the_history_of_an_agent_that_has_a_way(
    engine: WireServer,
    claude: Claude,
    measured: Any,
    capsys: pytest.CaptureFixture[str],
    mocker: MockerFixture,
    tmp_path: Path,
) -> None:
    way = Rehearsal(("-p", PROMPT), env={"SESSIONS_LIE": "{folder}/sessions", "QUIET": "1"})
    agent = replace(find_agent("claude-code"), rehearsal=way)
    mocker.patch("agentlaunch.commands.looking.find_agent", return_value=agent)
    seen = tmp_path / "seen.json"
    row = "[os.environ['SESSIONS_LIE'], os.environ['QUIET'], os.getcwd()]"
    claude(f"import json, os\njson.dump({row}, open({str(seen)!r}, 'w'))")
    told(engine, capsys, status=3)
    place, quiet, folder = json.loads(seen.read_text())
    assert (place, quiet) == (str(Path(folder).parent / "sessions"), "1")


# --- the report ----------------------------------------------------------------------------------


def test_planted_secrets_are_in_no_report_and_on_no_stream(
    engine: WireServer,
    claude: Claude,
    measured: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("USER", "lovelace")
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("MY_SERVICE_PASSWORD", "lemon-tree")
    engine.model = f"model-{CANARY}"
    settings = Path.home() / ".claude"
    settings.mkdir()
    (settings / "settings.json").write_text('{"env": {"OTHER_API_KEY": "settings-secret"}}')
    claude(
        "import os, pathlib\n"
        "print(pathlib.Path('~/.claude/settings.json').expanduser().read_text())\n"
        "print('https://ada:userinfo-secret@x.example/?key=query-secret', os.getcwd())\n"
        "print('ada@example.org', os.path.expanduser('~'))\n"
        f"print('env', os.environ.get('MY_SERVICE_PASSWORD'), '{CANARY} {TOKEN} lovelace')\n"
        "raise SystemExit(1)\n"
    )
    place = tmp_path / "report.md"
    for more in (("--json",), ()):
        place.unlink(missing_ok=True)
        argv = ["prove", "claude-code", "--engine", engine.url, "--report", str(place), *more]
        assert main(argv) == 3
        said = capsys.readouterr()
        report = place.read_text()
        for secret in (
            CANARY, TOKEN, "lemon-tree", "settings-secret", "userinfo-secret", "query-secret",
        ):  # fmt: skip
            assert secret not in report
            assert secret not in said.out
        for private in ("lovelace", "ada@example.org", str(Path.home()), str(paths().runtime)):
            assert private not in report
        assert '"last_lines"' in report
        assert "### task: error" in report


@pytest.mark.parametrize("place", [".", "there.md", "no/report.md", "-"])
def test_a_report_that_cannot_be_written_is_told_before_any_work(
    engine: WireServer,
    claude: Claude,
    measured: Any,
    capsys: pytest.CaptureFixture[str],
    place: str,
) -> None:
    Path("there.md").write_text("mine")
    status = 2 if place == "-" else 8
    told(engine, capsys, "--report", place, status=status)
    assert engine.requests == []
    assert not measured.called
    assert Path("there.md").read_text() == "mine"


# --- bad inputs, and the middle of things --------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (("nobody",), 2),
        (("gemini",), 5),
        (("claude-code", "--task-limit", "0"), 2),
        (("claude-code", "--task-limit", "soon"), 2),
        (("claude-code", "--context", "many"), 2),
        (("claude-code", "--", "-p", "x"), 2),
    ],
)
def test_what_cannot_be_proven_says_so(
    claude: Claude,
    measured: Any,
    capsys: pytest.CaptureFixture[str],
    argv: tuple[str, ...],
    status: int,
) -> None:
    assert main(["prove", *argv]) == status
    assert "Traceback" not in capsys.readouterr().err
    assert not measured.called


def test_an_agent_without_an_errand_is_measured_and_does_no_task(
    engine: WireServer,
    claude: Claude,
    measured: Any,
    capsys: pytest.CaptureFixture[str],
    mocker: MockerFixture,
) -> None:
    agent = replace(find_agent("claude-code"), errand=())
    mocker.patch("agentlaunch.commands.looking.find_agent", return_value=agent)
    task = told(engine, capsys)["task"]
    assert (task["status"], task["message"]) == (
        "skipped",
        "not tried: Claude Code has no way to do one task without asking",
    )


@pytest.mark.parametrize("stage", ["measuring", "task"])
def test_ctrl_c_leaves_nothing(
    engine: WireServer,
    claude: Claude,
    measured: Any,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    stage: str,
) -> None:
    pid = tmp_path / "pid"
    if stage == "measuring":
        measured.side_effect = KeyboardInterrupt
    else:
        claude(
            "import os, signal, time\n"
            f"open({str(pid)!r}, 'w').write(str(os.getpid()))\n"
            "os.kill(os.getppid(), signal.SIGINT)\n"
            "time.sleep(600)\n"
        )
    before = signal.getsignal(signal.SIGINT)
    assert main(["prove", "claude-code", "--engine", engine.url]) == 130
    assert signal.getsignal(signal.SIGINT) == before
    assert leftovers() == []
    if stage == "task":
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)
