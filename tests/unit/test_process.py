"""Other programs: found safely, ended with their children, never mistaken for each other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from pytest_mock import MockerFixture

from agentlaunch import process
from agentlaunch.engines import llama_cpp_host
from agentlaunch.process import Background, Completed, Identity, ToolNotFound, ToolTimeout
from waiting import wait_until


def _program(path: Path, body: str = "exit 0") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def _wait_for_the_end_of(pid: int) -> None:
    """A zombie that nobody has waited for yet counts as ended."""
    wait_until(lambda: process.identity(pid) is None, what=f"{pid} still runs")


# --- run --------------------------------------------------------------------------------------


def test_a_failure_of_a_program_is_a_value() -> None:
    done = process.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout_s=10)
    assert done == Completed(3, "out\n", "err\n")


def test_a_program_gets_no_input_and_only_the_environment_that_is_given(tmp_path: Path) -> None:
    script = 'read x || echo "no input"; echo "$ONLY $HOME"; pwd'
    env = {"ONLY": "1", "PATH": os.environ["PATH"]}
    done = process.run(["sh", "-c", script], timeout_s=10, env=env, cwd=tmp_path)
    assert done.stdout == f"no input\n1 \n{tmp_path}\n"


def test_bytes_that_are_no_text_do_not_stop_us() -> None:
    assert process.run(["printf", r"a\377b"], timeout_s=10).stdout == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize("name", ["agentlaunch-no-such-program", "/", "/dev/null"])
def test_what_cannot_be_started_is_not_found(name: str) -> None:
    with pytest.raises(ToolNotFound, match="could not be started"):
        process.run([name], timeout_s=10)


def test_a_time_limit_ends_the_program_and_its_children(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    script = f"sleep 60 & echo $! > {note}; echo $$ >> {note}; wait"
    with pytest.raises(ToolTimeout, match=r"sh did not answer within 0\.5 s"):
        process.run(["sh", "-c", script], timeout_s=0.5)
    child, parent = (int(word) for word in note.read_text().split())
    _wait_for_the_end_of(child)
    _wait_for_the_end_of(parent)


# --- find_program -----------------------------------------------------------------------------


def test_a_program_is_found_on_path_before_its_known_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path, known = _program(tmp_path / "bin" / "tool"), _program(tmp_path / "known" / "tool")
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert process.find_program("tool", [known]) == on_path
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert process.find_program("tool", [tmp_path / "nowhere", known]) == known
    assert process.find_program("tool") is None


def test_a_file_that_cannot_be_run_is_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = _program(tmp_path / "bin" / "tool")
    plain.chmod(0o644)
    (tmp_path / "bin" / "folder").mkdir()
    monkeypatch.setenv("PATH", str(plain.parent))
    assert process.find_program("tool", [plain]) is None
    assert process.find_program("folder", [plain.parent / "folder"]) is None


@pytest.mark.parametrize("path", ["", ":", ".", "bin", "./bin:", None])
def test_the_current_folder_is_never_searched(
    path: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(tmp_path / "tool")
    _program(tmp_path / "bin" / "tool")
    monkeypatch.chdir(tmp_path)
    if path is None:
        monkeypatch.delenv("PATH")
    else:
        monkeypatch.setenv("PATH", path)
    assert process.find_program("tool") is None


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o757])
def test_a_folder_that_anyone_may_write_to_is_passed_over_for_the_next(
    mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_one, own = _program(tmp_path / "open" / "tool"), _program(tmp_path / "own" / "tool")
    open_one.parent.chmod(mode)
    monkeypatch.setenv("PATH", f"{open_one.parent}{os.pathsep}{own.parent}")
    assert process.find_program("tool") == own


# --- identity ---------------------------------------------------------------------------------


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A real child that does nothing for a minute."""
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child
        child.kill()


def test_a_running_process_has_an_identity(sleeper: subprocess.Popen[bytes]) -> None:
    who = process.identity(sleeper.pid)
    assert who is not None
    assert who.pid == sleeper.pid
    assert str(who) == f"{who.pid}-{who.started}"
    assert process.is_alive(who)


@pytest.mark.skipif(sys.platform != "linux", reason="the others write the time down at the start")
def test_a_step_of_the_clock_changes_nobody(
    sleeper: subprocess.Popen[bytes], mocker: MockerFixture
) -> None:
    who = process.identity(sleeper.pid)
    assert who is not None
    real = psutil.Process(sleeper.pid).create_time()
    mocker.patch("psutil.Process.create_time", return_value=real + 3600)
    assert process.identity(sleeper.pid) == who
    assert process.is_alive(who)


@pytest.mark.skipif(sys.platform != "linux", reason="the engine's own Python has no psutil")
def test_the_background_process_of_the_engine_has_the_same_mark(
    sleeper: subprocess.Popen[bytes],
) -> None:
    who = process.identity(sleeper.pid)
    assert who is not None
    assert who.started == llama_cpp_host.start_mark(sleeper.pid)


def test_memory_of_a_process_is_told_while_it_runs() -> None:
    assert (process.memory_bytes(os.getpid()) or 0) > 1_000_000
    assert process.memory_bytes(10**30) is None


def test_our_own_identity_needs_no_number() -> None:
    me = process.identity()
    assert me is not None
    assert me == process.identity(os.getpid())


@pytest.mark.parametrize("pid", [-1, 2**31, 10**30])
def test_an_impossible_number_is_nobody(pid: int) -> None:
    assert process.identity(pid) is None
    assert not process.is_alive(Identity(pid, "0"))


def test_a_process_that_ended_is_nobody_even_before_it_was_waited_for() -> None:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process.identity(child.pid) is None


def test_a_recycled_number_is_somebody_else_and_is_never_hit(
    sleeper: subprocess.Popen[bytes],
) -> None:
    who = process.identity(sleeper.pid)
    assert who is not None
    earlier = replace(who, started="1")
    assert not process.is_alive(earlier)
    assert process.end(earlier)
    assert sleeper.poll() is None


def test_a_process_is_asked_to_end(sleeper: subprocess.Popen[bytes]) -> None:
    who = process.identity(sleeper.pid)
    assert who is not None
    assert process.end(who)
    assert sleeper.wait(timeout=10) == -signal.SIGTERM


def test_a_process_that_will_not_end_is_killed() -> None:
    deaf = "trap '' TERM; echo ready; while :; do sleep 60; done"
    with subprocess.Popen(
        ["sh", "-c", deaf], stdout=subprocess.PIPE, start_new_session=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        who = process.identity(child.pid)
        assert who is not None
        assert process.end(who, grace_s=0.2)
        assert child.wait(timeout=10) == -signal.SIGKILL
        os.killpg(child.pid, signal.SIGKILL)  # the `sleep` that it left behind


# --- background -------------------------------------------------------------------------------


def test_a_background_child_writes_into_a_private_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "x.log"
    child = Background(["sh", "-c", "cat; echo err >&2; exit 4"], log=log, stdin=b"given\n")
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert child.poll() == 4
    assert log.read_text() == "given\nerr\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_killing_a_background_child_ends_its_whole_group(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    os.mkfifo(note)
    script = f"sleep 60 & echo $! > {note}; wait"
    child = Background(["sh", "-c", script], log=tmp_path / "log")
    grandchild = int(note.read_text())
    assert child.poll() is None
    child.kill()
    assert child.poll() == -signal.SIGKILL
    _wait_for_the_end_of(grandchild)


def test_a_background_program_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ToolNotFound):
        Background(["agentlaunch-no-such-program"], log=tmp_path / "log")


# --- become -----------------------------------------------------------------------------------


@pytest.fixture
def signals() -> Iterator[None]:
    """`become` gives two signals back to the system: undo that for the tests that follow."""
    before = {sign: signal.getsignal(sign) for sign in (signal.SIGTERM, signal.SIGPIPE)}
    yield
    for sign, handler in before.items():
        signal.signal(sign, handler)


@pytest.mark.usefixtures("signals")
def test_becoming_a_program_gives_it_exactly_argv_and_environment(mocker: MockerFixture) -> None:
    become = mocker.patch("os.execvpe", side_effect=SystemExit)
    with pytest.raises(SystemExit):
        process.become(("/bin/agent", "-p", "two words"), {"A": "1"})
    become.assert_called_once_with("/bin/agent", ["/bin/agent", "-p", "two words"], {"A": "1"})


@pytest.mark.usefixtures("signals")
def test_what_cannot_be_executed_is_an_error_of_ours(tmp_path: Path) -> None:
    broken = tmp_path / "agent"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    with pytest.raises(ToolNotFound, match="could not be started: No such file") as caught:
        process.become([str(broken)], {})
    assert (caught.value.code, caught.value.exit_code) == ("agent-not-executable", 1)


def test_the_exit_status_and_the_signals_are_the_programs_own() -> None:
    script = (
        "import signal, sys; from agentlaunch.process import become;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "become(['sh', '-c', sys.argv[1]], {'PATH': '/usr/bin:/bin', 'X': '5'})"
    )
    for body, status in (("exit $X", 5), ("kill -TERM $$; exit 1", -signal.SIGTERM)):
        done = subprocess.run([sys.executable, "-c", script, body], check=False, timeout=30)
        assert done.returncode == status


def test_on_windows_a_background_child_leaves_console_and_group() -> None:
    new_process_group, detached = 0x200, 0x8  # winbase.h
    assert process.background_flags("win32") == new_process_group | detached
    assert process.background_flags("linux") == process.background_flags("darwin") == 0
