"""One graded task through the real agent: a failing test in a throwaway folder is to be made green.

Graded by files and exit statuses alone; what the agent says of itself counts for nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentlaunch import files, process
from agentlaunch.errors import AgentlaunchError
from agentlaunch.progress import Progress, Work
from agentlaunch.proof import leaks
from agentlaunch.proof.check import Check

LIMIT_S = 300.0
"""How long an agent may work on the task."""
GRADE_S = 20.0
WATCH_S = 0.2
MOST_OUTPUT_BYTES = 64 << 20
LINES, LINE_CHARS = 5, 200
"""Of the agent's last words."""

SOURCE, TEST = "calc.py", "test_calc.py"
SOURCE_TEXT = '''"""Sums for a till."""


def add(first, second):
    """The sum of two numbers."""
    return first - second
'''
TEST_TEXT = '''"""Run it: python3 test_calc.py"""

from calc import add

assert add(2, 3) == 5, f"add(2, 3) is {add(2, 3)}, it should be 5"
assert add(-4, 4) == 0, f"add(-4, 4) is {add(-4, 4)}, it should be 0"
assert add(40, 2) == 42, f"add(40, 2) is {add(40, 2)}, it should be 42"
print("the test is green")
'''
INSTRUCTION = (
    f"The test {TEST} in this folder fails, because {SOURCE} has a bug. Read {SOURCE}, mend the "
    f"bug in it, and run `python3 {TEST}` to see that the test passes. Do not change {TEST}."
)

GREEN = "the test is green"
GRADER = f"""
import importlib.util, sys
found = importlib.util.spec_from_file_location("calc", sys.argv[1])
module = importlib.util.module_from_spec(found)
sys.modules["calc"] = module
found.loader.exec_module(module)
exec({TEST_TEXT!r})
"""
"""The test as we wrote it, whatever else now lies in the folder."""

Verdict = Literal[
    "green", "green-late", "tampered", "time-up", "agent-failed", "leaked", "no-change",
    "other-files", "wrong-change", "not-started",
]  # fmt: skip

OTHER_MODEL = "a model that is better at calling tools: agentlaunch models"


@dataclass(frozen=True, slots=True)
class Ending:
    """How the agent ended: its status, or None where the time was up; and its last output."""

    status: int | None
    seconds: float
    output: str


def lay_out(folder: Path) -> None:
    """The little project, as a git repository where git is there: agents expect one."""
    folder.mkdir(mode=0o700, parents=True)
    (folder / SOURCE).write_text(SOURCE_TEXT)
    (folder / TEST).write_text(TEST_TEXT)
    git = process.find_program("git")
    if git is None:
        return
    env = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    env |= {"HOME": str(folder), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for words in (
        ("-c", "init.defaultBranch=main", "init", "-q"),
        ("config", "user.name", "agentlaunch"),
        ("config", "user.email", "agentlaunch@localhost"),
        ("add", "-A"),
        ("commit", "-q", "-m", "A sum that is wrong"),
    ):
        with contextlib.suppress(AgentlaunchError):  # without a history the task is the same
            process.run([str(git), *words], timeout_s=GRADE_S, env=env, cwd=folder)


@contextlib.contextmanager
def throwaway(folder: Path) -> Iterator[Path]:
    """A folder of ours that is gone afterwards, whatever was done in it."""
    files.private_dir(folder)
    try:
        yield folder
    finally:
        _remove(folder)


def attempt(
    argv: Sequence[str],
    env: Mapping[str, str],
    folder: Path,
    log: Path,
    *,
    title: str,
    limit_s: float,
    redact: Callable[[str], str],
) -> Work[Check]:
    """Let the agent work in a folder that was laid out, then grade it.

    The agent and its whole process group are killed in the end, whatever ends this. `redact` goes
    over every word of the agent that is kept.
    """
    activity = f"{title} works on a small task (at most {limit_s:g} s)"
    yield Progress(activity)
    begun = time.monotonic()
    try:
        child = process.Background(argv, log=log, env=env, cwd=folder)
    except process.ToolNotFound as error:
        return _check("not-started", f"{title} could not be started: {redact(error.message)}", None)
    try:
        while (status := child.poll()) is None:
            if time.monotonic() - begun >= limit_s or _size(log) > MOST_OUTPUT_BYTES:
                break
            yield Progress(activity)
            time.sleep(WATCH_S)
    finally:
        child.kill()
    ending = Ending(status, time.monotonic() - begun, files.tail(log))
    yield Progress("running the test")
    return grade(folder, ending, title=title, redact=redact)


def grade(folder: Path, ending: Ending, *, title: str, redact: Callable[[str], str]) -> Check:
    """What became of the task, by what lies in the folder now."""
    last = _last_lines(ending.output, redact)
    source, test = _bytes(folder / SOURCE), _bytes(folder / TEST)
    others = [] if source != SOURCE_TEXT.encode() else _others(folder)
    verdict = _verdict(folder, ending, source, test, others)
    said = f": {last[-1]}" if last else ""
    text = {
        "green": f"{title} made a failing test green ({ending.seconds:.0f} s)",
        "green-late": f"{title} made the test green, but did not end: it was stopped after "
        f"{ending.seconds:.0f} s",
        "tampered": f"the model changed the test ({TEST}), which it was told not to",
        "time-up": f"{title} was stopped after {ending.seconds:.0f} s, and the test still fails: "
        "the model goes round in circles, or is too slow",
        "agent-failed": f"{title} ended with status {ending.status} and changed nothing{said}",
        "leaked": "the model wrote its tool call as text "
        f"({leaks.family(ending.output, ())}), so {title} did nothing",
        "no-change": f"{title} ended and had changed no file: the model asked for no change",
        "other-files": f"the model left {SOURCE} as it was and wrote {redact(', '.join(others))}",
        "wrong-change": f"the model changed {SOURCE}, and the test still fails",
    }[verdict]
    return _check(verdict, text, ending, last)


def _verdict(
    folder: Path, ending: Ending, source: bytes | None, test: bytes | None, others: Sequence[str]
) -> Verdict:
    if test != TEST_TEXT.encode():
        return "tampered"
    changed = source != SOURCE_TEXT.encode()
    if changed and source is not None and _is_green(folder / SOURCE):
        return "green" if ending.status is not None else "green-late"
    if ending.status is None:
        return "time-up"
    if changed:
        return "wrong-change"
    if ending.status != 0:
        return "agent-failed"
    if leaks.family(ending.output, ()) is not None:
        return "leaked"
    return "other-files" if others else "no-change"


def _is_green(source: Path) -> bool:
    """Our own copy of the test, in an interpreter that sees nothing else of the folder."""
    argv = [sys.executable, "-I", "-B", "-c", GRADER, str(source)]
    env = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    try:
        done = process.run(argv, timeout_s=GRADE_S, env=env, cwd=source.parent)
    except AgentlaunchError:
        return False
    return done.rc == 0 and done.stdout.rstrip().endswith(GREEN)


_REMEDIES: Mapping[Verdict, str | None] = {
    "green": None,
    "green-late": "look whether it ends by itself when you work with it",
    "tampered": "a stronger model: agentlaunch models",
    "time-up": "a faster or stronger model (agentlaunch models), or --task-limit SECONDS",
    "agent-failed": "run the agent once by hand: agentlaunch up",
    "leaked": OTHER_MODEL,
    "no-change": OTHER_MODEL,
    "other-files": "a stronger model: agentlaunch models",
    "wrong-change": "a stronger model: agentlaunch models",
    "not-started": "agentlaunch doctor",
}


def _check(
    verdict: Verdict,
    message: str,
    ending: Ending | None,
    last: Sequence[str] = (),
) -> Check:
    measured = {
        "verdict": verdict,
        "layer": _layer(verdict),
        "seconds": round(ending.seconds, 1) if ending is not None else None,
        "agent_status": ending.status if ending is not None else None,
        "last_lines": list(last),
    }
    status: Literal["ok", "warning", "error"] = "error"
    if verdict in {"green", "green-late"}:
        status = "ok" if verdict == "green" else "warning"
    return Check("task", status, message, measured, _REMEDIES[verdict])


def _layer(verdict: Verdict) -> str | None:
    if verdict == "green":
        return None
    return "agent" if verdict in {"agent-failed", "not-started"} else "model"


def _last_lines(output: str, redact: Callable[[str], str]) -> list[str]:
    """The end of what the agent said, short; redacted before it is cut, so that no half remains."""
    lines = [line.strip() for line in redact(output).splitlines()]
    return [line[:LINE_CHARS] for line in lines if line][-LINES:]


def _others(folder: Path) -> list[str]:
    """Names of what is new in the folder; nothing hidden, which is the agent's own."""
    names = (path.name for path in folder.iterdir())
    ours = {SOURCE, TEST, "__pycache__"}
    return sorted(name for name in names if name not in ours and not name.startswith("."))[:LINES]


def _bytes(path: Path) -> bytes | None:
    """None for what is gone, or is no plain file any more."""
    try:
        return files.read_plain(path, 1 << 20)
    except OSError:
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        return
    for root, names, _files in os.walk(folder):  # a folder that was closed to us is opened first
        for path in (Path(root), *(Path(root) / name for name in names)):
            with contextlib.suppress(OSError):
                if not path.is_symlink():
                    path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
