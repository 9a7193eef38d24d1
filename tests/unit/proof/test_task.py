"""The graded task: each verdict by what an agent left behind, and nothing of it left over."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agentlaunch.progress import finish
from agentlaunch.proof import task
from agentlaunch.proof.check import Check
from waiting import wait_until

MEND = """
text = open("calc.py").read()
open("calc.py", "w").write(text.replace("first - second", "first + second"))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with task.throwaway(tmp_path / "throwaway") as place:
        task.lay_out(place / "project")
        yield place / "project"
    assert not (tmp_path / "throwaway").exists()


def tried(folder: Path, body: str, *, limit_s: float = 60.0) -> Check:
    return finish(
        task.attempt(
            [sys.executable, "-c", body],
            dict(os.environ),
            folder,
            folder.parent / "agent.log",
            title="The agent",
            limit_s=limit_s,
            redact=lambda text: text.replace("hunter2", "***"),
        )
    )


def told(check: Check) -> tuple[str, str, str | None, str]:
    verdict, layer = check.measured["verdict"], check.measured["layer"]
    return check.status, verdict, layer, check.message


def test_the_task_fails_before_anybody_works_on_it(folder: Path) -> None:
    check = tried(folder, "print('I have mended it')")
    assert told(check) == (
        "error",
        "no-change",
        "model",
        "The agent ended and had changed no file: the model asked for no change",
    )
    assert check.measured["last_lines"] == ["I have mended it"]


def test_a_mended_source_is_green_whatever_the_agent_says_and_returns(folder: Path) -> None:
    check = tried(folder, MEND + "print('I failed'); raise SystemExit(4)")
    seconds = check.measured["seconds"]
    assert check == Check(
        "task",
        "ok",
        f"The agent made a failing test green ({seconds:.0f} s)",
        {
            "verdict": "green",
            "layer": None,
            "seconds": seconds,
            "agent_status": 4,
            "last_lines": ["I failed"],
        },
    )


def test_a_changed_test_is_tampering_even_where_the_source_is_mended(folder: Path) -> None:
    check = tried(folder, MEND + "open('test_calc.py', 'a').write('\\n')")
    assert told(check)[:3] == ("error", "tampered", "model")


def test_a_test_that_is_gone_is_tampering(folder: Path) -> None:
    assert told(tried(folder, "import os; os.unlink('test_calc.py')"))[1] == "tampered"


@pytest.mark.parametrize(
    "source",
    [
        "def add(first, second):\n    return 5\n",
        "this is no Python",
        "import sys\nsys.exit(0)\n",
        "import os\nos._exit(0)\n",
        "while True: pass",
    ],
)
def test_a_wrong_change_is_not_taken_for_a_green_test(
    folder: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "GRADE_S", 2.0)
    check = tried(folder, f"open('calc.py', 'w').write({source!r})")
    assert told(check) == (
        "error",
        "wrong-change",
        "model",
        "the model changed calc.py, and the test still fails",
    )


def test_modules_planted_in_the_folder_do_not_make_the_test_green(folder: Path) -> None:
    check = tried(folder, "open('calc.py', 'a').write('#'); open('sitecustomize.py', 'w')")
    assert told(check)[1] == "wrong-change"


def test_a_source_that_is_a_pipe_keeps_nobody_waiting(folder: Path) -> None:
    check = tried(folder, "import os; os.unlink('calc.py'); os.mkfifo('calc.py')")
    assert told(check)[1] == "wrong-change"


def test_other_files_are_named(folder: Path) -> None:
    check = tried(folder, "open('hunter2.py', 'w'); open('.history', 'w')")
    assert told(check)[1:] == (
        "other-files",
        "model",
        "the model left calc.py as it was and wrote ***.py",
    )


def test_an_agent_that_fails_is_named_with_its_last_redacted_words(folder: Path) -> None:
    check = tried(folder, "print('my key is hunter2'); raise SystemExit(3)")
    assert told(check) == (
        "error",
        "agent-failed",
        "agent",
        "The agent ended with status 3 and changed nothing: my key is ***",
    )


def test_a_call_that_came_out_as_text_is_named(folder: Path) -> None:
    check = tried(folder, 'print(\'<tool_call>{"name": "Edit"}</tool_call>\')')
    assert told(check)[:3] == ("error", "leaked", "model")
    assert "Hermes" in check.message


def test_an_agent_that_is_not_there_could_not_be_started(folder: Path) -> None:
    work = task.attempt(
        [str(folder / "nobody")],
        {},
        folder,
        folder.parent / "agent.log",
        title="The agent",
        limit_s=5,
        redact=str,
    )
    assert told(finish(work))[:3] == ("error", "not-started", "agent")


def test_an_agent_that_never_ends_is_killed_with_all_its_children(folder: Path) -> None:
    body = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path("child.pid").write_text(str(child.pid))
time.sleep(600)
"""
    check = tried(folder, body, limit_s=2.0)
    assert told(check)[:3] == ("error", "time-up", "model")
    assert check.measured["agent_status"] is None
    pid = int((folder / "child.pid").read_text())
    wait_until(lambda: not _runs(pid))


def test_what_an_agent_leaves_running_is_killed_too(folder: Path) -> None:
    body = """
import pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path("child.pid").write_text(str(child.pid))
"""
    assert told(tried(folder, body))[1] == "other-files"
    pid = int((folder / "child.pid").read_text())
    wait_until(lambda: not _runs(pid))


def test_an_agent_that_made_it_green_and_does_not_end_is_a_warning(folder: Path) -> None:
    check = tried(folder, MEND + "import time; time.sleep(600)", limit_s=2.0)
    assert told(check)[:3] == ("warning", "green-late", "model")


def test_endless_output_does_not_fill_the_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "MOST_OUTPUT_BYTES", 1 << 20)
    assert told(tried(folder, "while True: print('y' * 60)", limit_s=600))[1] == "time-up"


def test_work_that_is_left_in_the_middle_leaves_no_process(folder: Path) -> None:
    body = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)"
    work = task.attempt(
        [sys.executable, "-c", body],
        dict(os.environ),
        folder,
        folder.parent / "agent.log",
        title="The agent",
        limit_s=60,
        redact=str,
    )
    next(work)
    wait_until(lambda: next(work) is not None and (folder / "pid").exists())
    wait_until(lambda: (folder / "pid").read_text() != "")
    pid = int((folder / "pid").read_text())
    work.close()
    assert not _runs(pid)


def test_a_folder_that_the_agent_closed_is_removed_all_the_same(tmp_path: Path) -> None:
    with task.throwaway(tmp_path / "throwaway") as place:
        task.lay_out(place / "project")
        (place / "project" / "closed").mkdir()
        (place / "project" / "closed" / "file").touch()
        (place / "project" / "closed").chmod(0)
        (place / "project" / "home").symlink_to(Path.home())
    assert not (tmp_path / "throwaway").exists()
    assert Path.home().is_dir()


def test_the_agent_finds_a_repository_with_nothing_to_commit(folder: Path) -> None:
    assert (folder / ".git" / "HEAD").is_file()
    assert [path.name for path in sorted(folder.iterdir())] == [".git", "calc.py", "test_calc.py"]


def test_without_git_there_is_a_plain_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    task.lay_out(tmp_path / "project")
    names = [path.name for path in sorted((tmp_path / "project").iterdir())]
    assert names == ["calc.py", "test_calc.py"]


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
