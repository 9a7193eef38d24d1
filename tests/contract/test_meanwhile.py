"""While a large model is fetched another one serves: offered, chosen, fetched once, remembered."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

import ollama_server
from agentlaunch import plan, process
from agentlaunch.agents.claude_code import AGENT
from agentlaunch.cli import main
from agentlaunch.engines.ollama.client import Client
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.engines.ollama.replies import Tag, Version
from agentlaunch.launch import meanwhile
from agentlaunch.machine import simulate
from agentlaunch.models import catalog
from agentlaunch.progress import Progress, Work
from agentlaunch.settings import paths
from agentlaunch.survey import AgentState, Survey
from launcher import fake_agent
from ollama_server import OllamaServer
from waiting import wait_until

# A child that is left running on purpose; a launch is gone before anybody could collect it.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* still running:ResourceWarning")

CARD = "ram=32GiB,gpu=RTX 3060:12GiB"
CATALOG = catalog.load()
CLAUDE = AgentState(AGENT, Path("/usr/bin/claude"), "2.1.197", managed=False)


# --- which one (pure) -------------------------------------------------------------------------


def made(*installed: str, spec: str = CARD, model: str | None = None) -> plan.LaunchPlan:
    tags = tuple(Tag(name, None, 10**9, None, None, None, None, cloud=False) for name in installed)
    facts = OllamaFacts(Client("http://127.0.0.1:11434"), Version("0.33.0", (0, 33, 0)), tags)
    world = Survey(
        simulate.load(spec), (), {"claude-code": CLAUDE}, CATALOG, (), engine_installed=False
    )
    places = plan.Places(Path("/run/l"), Path("/data/homes"), "1-2.00", {})
    return plan.make_plan(world, plan.Wish(AGENT, model=model), places, ollama=facts)


def test_an_installed_model_helps_until_the_large_one_is_here() -> None:
    big = made()
    size = next(step.size_bytes for step in big.steps if isinstance(step, plan.Pull))
    assert size is not None
    assert size > 2 * 10**9
    other = plan.meanwhile(made("qwen3.5:4b"))
    assert other == plan.Meanwhile(big.model.id, size, "qwen3.5:4b", 0)


def test_what_is_here_already_needs_no_other() -> None:
    assert plan.meanwhile(made(made().model.id)) is None


def test_a_model_that_takes_a_quarter_of_the_time_helps_too() -> None:
    large = made(spec="ram=128GiB,gpu=RTX 5090:32GiB")
    other = plan.meanwhile(large)
    assert other is not None
    assert 0 < other.model_bytes <= other.fetch_bytes / 4
    (row,) = [row for row in large.choice.candidates if row.id == other.model]  # type: ignore[union-attr]
    assert row.pickable
    assert not row.installed


def test_a_small_download_or_one_asked_for_by_name_needs_no_other() -> None:
    chosen = made("qwen3.5:4b")
    steps = tuple(
        replace(step, size_bytes=10**9) if isinstance(step, plan.Pull) else step
        for step in chosen.steps
    )
    assert plan.meanwhile(replace(chosen, steps=steps)) is None
    assert plan.meanwhile(replace(chosen, choice=None)) is None


# --- in the background ------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """No download of a test goes on after it."""
    yield
    for row in meanwhile.running(paths()):
        process.end(row.who)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A download that only ends when it is told to."""
    argv = [sys.executable, "-c", "import time; print('at it', flush=True); time.sleep(60)"]
    monkeypatch.setattr(meanwhile, "_command", lambda *_args, **_more: argv)


def test_a_model_is_fetched_once_and_known_while_it_is(slow: None) -> None:
    first = meanwhile.start("big", paths(), engine="ollama", size_bytes=9, insecure=False)
    assert (
        meanwhile.start("big:latest", paths(), engine="ollama", size_bytes=9, insecure=False)
        == first
    )
    other = meanwhile.start("other:1", paths(), engine="ollama", size_bytes=9, insecure=False)
    assert set(meanwhile.running(paths())) == {first, other}
    assert meanwhile.find("big", paths()) == first
    wait_until(lambda: first.log.read_text() == "at it\n")
    assert first.log.stat().st_mode & 0o077 == 0
    process.end(first.who)
    assert meanwhile.running(paths()) == (other,)
    assert meanwhile.find("big", paths()) is None


def test_it_outlives_the_terminal_of_the_launch(slow: None) -> None:
    row = meanwhile.start("big", paths(), engine="ollama", size_bytes=9, insecure=False)
    assert os.getsid(row.who.pid) == row.who.pid
    assert os.getpgid(row.who.pid) != os.getpgid(0)


def test_a_damaged_record_is_an_empty_one() -> None:
    paths().state.mkdir(parents=True)
    file = paths().state / "downloads.json"
    for text in ("{", "[]", '{"m:1": 5}', '{"m:1": {"pid": "x"}}', '{"m:1": {"pid": 1}}'):
        file.write_text(text)
        assert meanwhile.running(paths()) == ()


def _started(ref: str = "big") -> meanwhile.Download:
    return meanwhile.start(ref, paths(), engine="ollama", size_bytes=9, insecure=False)


@pytest.mark.parametrize("name", ["typer", "queue", "sitecustomize", "agentlaunch"])
def test_what_lies_in_the_project_is_never_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, mark = tmp_path / "project", tmp_path / "was-run"
    project.mkdir()
    (project / f"{name}.py").write_text(f"open({str(mark)!r}, 'w'); raise SystemExit(1)\n")
    monkeypatch.chdir(project)
    monkeypatch.setenv("PYTHONPATH", str(project))
    subprocess.run([sys.executable, "-m", "agentlaunch", "models"], check=False)
    assert mark.exists()  # the trap works
    mark.unlink()
    with ollama_server.running() as fake:
        monkeypatch.setenv("OLLAMA_HOST", fake.url)
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
        row = _started()
        wait_until(lambda: fake.bodies("/api/pull"), what=row.log.read_text())
        wait_until(lambda: not meanwhile.running(paths()))
    assert not mark.exists()


def test_it_is_started_in_a_folder_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    argv = [sys.executable, "-c", "import os; print(os.getcwd())"]
    monkeypatch.setattr(meanwhile, "_command", lambda *_args, **_more: argv)
    row = _started()
    wait_until(row.log.read_text)
    assert Path(row.log.read_text().strip()) == paths().state.resolve()
    assert paths().state.stat().st_mode & 0o077 == 0


def test_it_may_be_a_little_larger_than_a_rounded_size_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    argv = [sys.executable, "-c", "import os; print(os.environ['AGENTLAUNCH_MAX_DOWNLOAD'])"]
    monkeypatch.setattr(meanwhile, "_command", lambda *_args, **_more: argv)
    row = meanwhile.start("big", paths(), engine="ollama", size_bytes=10**10, insecure=False)
    wait_until(row.log.read_text)
    assert row.log.read_text() == "10250000000B\n"


def test_names_that_look_alike_have_logs_of_their_own() -> None:
    names = ("a/b:c", "a-b:c", "a/b-c:c", "a-b-c:c")
    assert len({meanwhile.log_of(name, paths()) for name in names}) == len(names)


def test_a_pull_waits_for_the_same_download_and_then_looks_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ollama_server.running() as fake:
        monkeypatch.setenv("OLLAMA_HOST", fake.url)
        argv = [sys.executable, "-c", "import time; print('5 of 9', flush=True); time.sleep(1)"]
        monkeypatch.setattr(meanwhile, "_command", lambda *_args, **_more: argv)
        row = _started("big:1b")
        fake.fault("/api/tags", ollama_server.Fault(body=b'{"models": []}'))  # not here yet
        fake.add("big:1b")
        assert main(["models", "pull", "big:1b", "--engine", "ollama"]) == 0
        assert fake.bodies("/api/pull") == []
    said = capsys.readouterr().err
    assert f"big:1b is being downloaded in the background: {row.log}" in said
    assert said.endswith("Ollama has big:1b\n")


def test_who_stops_following_a_download_does_not_stop_it(
    slow: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_download: meanwhile.Download) -> Work[None]:
        yield Progress("5 of 9")
        raise KeyboardInterrupt

    monkeypatch.setattr(meanwhile, "wait", interrupted)
    row = _started("big:1b")
    assert main(["models", "pull", "big:1b", "--engine", "embedded"]) == 130
    assert meanwhile.running(paths()) == (row,)
    assert "to stop it: agentlaunch models pull big:1b --stop" in capsys.readouterr().err


def test_a_download_in_the_background_can_be_stopped(
    slow: None, capsys: pytest.CaptureFixture[str]
) -> None:
    row = _started("big:1b")
    other = _started("other:1b")
    assert main(["models", "pull", "big:1b", "--stop"]) == 0
    assert not process.is_alive(row.who)
    assert meanwhile.running(paths()) == (other,)
    assert "agentlaunch models pull big:1b" in capsys.readouterr().err
    assert main(["--json", "models", "pull", "big:1b", "--stop"]) == 7
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "not-downloading"


# --- on a terminal ----------------------------------------------------------------------------


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def ollama(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mocker: MockerFixture
) -> Iterator[OllamaServer]:
    """A server with a small model beside a card that takes a larger one; no registry answers."""
    folder = fake_agent(tmp_path / "bin", "")
    with ollama_server.running() as fake:
        fake.add("qwen3.5:4b", size=10**7, capabilities=("completion", "tools"))
        fake.trained_tokens, fake.vram_share = 262_144, 1.0
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setenv("OLLAMA_HOST", fake.url)
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.delenv("AGENTLAUNCH_ENGINE")
        mocker.patch("agentlaunch.survey.probe.probe", return_value=simulate.load(CARD))
        mocker.patch("os.execvpe", side_effect=SystemExit)
        before = {sign: signal.getsignal(sign) for sign in (signal.SIGTERM, signal.SIGPIPE)}
        yield fake
        for sign, handler in before.items():
            signal.signal(sign, handler)


def up(monkeypatch: pytest.MonkeyPatch, typed: str, *more: str) -> tuple[int, str]:
    screen = _Terminal()
    monkeypatch.setattr("sys.stdin", _Terminal(typed))
    monkeypatch.setattr("sys.stderr", screen)
    try:
        status = main(["up", "claude-code", "--skip-proof", *more])
    except SystemExit:
        status = 0
    return status, " ".join(screen.getvalue().split())


def test_s_starts_with_the_model_that_is_here_and_fetches_the_other(
    ollama: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = made().model.id
    status, said = up(monkeypatch, "s\n")
    assert status == 0, said
    assert "[Y/n, s = start with qwen3.5:4b now and fetch this one meanwhile]" in said
    (held,) = ollama.loaded
    assert held.startswith("qwen3.5:4b-")
    (call,) = os.execvpe.call_args_list  # type: ignore[attr-defined]
    assert held in call.args[1]
    assert f"{big} is being downloaded meanwhile" in said
    wait_until(lambda: [body["model"] for body in ollama.bodies("/api/pull")] == [big])
    wait_until(lambda: not meanwhile.running(paths()))  # the fake has no such model
    log = meanwhile.log_of(big, paths())
    assert "the registry has no model" in log.read_text()


def test_the_next_question_tells_of_a_download_that_goes_on(
    ollama: OllamaServer, slow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = made().model.id
    assert up(monkeypatch, "s\n")[0] == 0
    (row,) = meanwhile.running(paths())
    status, said = up(monkeypatch, "s\n")
    assert status == 0
    assert f"{big} is being downloaded in the background: {row.log}" in said
    assert meanwhile.running(paths()) == (row,)


def test_no_and_yes_never_start_another_model(
    ollama: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, said = up(monkeypatch, "n\n")
    assert (status, said.endswith("nothing was done")) == (0, True)
    assert ollama.bodies("/api/pull") == []
    status, said = up(monkeypatch, "", "--yes")
    assert (status, "s = start" in said) == (7, False)  # it waits for the pull, which fails here
    assert meanwhile.running(paths()) == ()
    assert os.execvpe.call_args_list == []  # type: ignore[attr-defined]
