"""One line on where requests go, below the user's own; whatever goes wrong, his own stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psutil
import pytest

from agentlaunch.gateway import status_line
from waiting import wait_until

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
SCRIPT = Path(status_line.__file__)
HOSTED = {"hop": "hosted", "model": "big", "since": "2026-11-23T09:00:00Z", "liked": True}
SILENT = {"since": "2026-11-23T11:58:00Z", "why": "no"}
LOCAL = {"hop": "local", "model": "small", "since": "2026-11-23T11:58:00Z", "liked": False}
AWAY = {
    "at": "2026-11-23T11:58:00+00:00",
    "role": "main",
    "before": "hosted",
    "after": "local",
    "reason": "hosted refused the connection",
}


def status(**changes: Any) -> dict[str, Any]:
    """What the gateway writes while all is well."""
    return {
        "roles": {"main": HOSTED},
        "last_switch": None,
        "spent_today_usd": 0.0,
        "cap_usd": None,
        "requests": 3,
    } | changes


def script(
    place: Path, *command: str, given: bytes = b"{}", **environ: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the script as an agent does."""
    return subprocess.run(
        [sys.executable, "-I", str(SCRIPT), str(place), *command],
        input=given,
        capture_output=True,
        env={"PATH": os.environ["PATH"], **environ},
        timeout=30,
        check=False,
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    file = tmp_path / "status.json"
    file.write_text(json.dumps(status()))
    return file


# ---- what we say --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "hosted"),
        ({"roles": {"main": HOSTED, "small": HOSTED}}, "hosted"),
        ({"roles": {"main": HOSTED, "small": LOCAL | {"liked": True}}}, "hosted, small on local"),
        (
            {
                "roles": {
                    "main": HOSTED | {"silent": {"since": "2026-11-23T11:58:00Z", "why": "no"}}
                }
            },
            "main: nobody answers (2 min ago, no)",
        ),
        ({"roles": {"small": HOSTED}}, "small on hosted"),
        ({"cap_usd": 5, "spent_today_usd": 0.416}, "hosted · $0.42 of $5.00 today"),
        ({"cap_usd": 0, "spent_today_usd": 0}, "hosted · $0.00 of $0.00 today"),
        (
            {"roles": {"main": LOCAL}, "last_switch": AWAY},
            "main → local (hosted refused the connection, 2 min ago)",
        ),
        (
            {"roles": {"main": LOCAL, "small": HOSTED}, "last_switch": AWAY, "cap_usd": 5.0},
            "main → local (hosted refused the connection, 2 min ago) · $0.00 of $5.00 today",
        ),
        # Of another role or endpoint than the last switch only the age is known.
        (
            {"roles": {"main": LOCAL, "small": LOCAL}, "last_switch": AWAY},
            "main → local (hosted refused the connection, 2 min ago) · small → local (2 min ago)",
        ),
        ({"roles": {"main": LOCAL | {"since": None}}}, "main → local"),
    ],
)
def test_it_says_where_the_roles_are(changes: dict[str, Any], words: str) -> None:
    assert status_line.line(status(**changes), NOW) == f"agentlaunch: {words}"


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(seconds=-90), "main → hosted (hosted answers again, just now)"),
        (timedelta(seconds=59), "main → hosted (hosted answers again, just now)"),
        (timedelta(minutes=9, seconds=59), "main → hosted (hosted answers again, 9 min ago)"),
        (timedelta(minutes=10), "hosted"),
    ],
)
def test_a_switch_back_is_told_for_ten_minutes(ago: timedelta, words: str) -> None:
    back = {
        "at": (NOW - ago).isoformat(),
        "role": "main",
        "before": "local",
        "after": "hosted",
        "reason": "hosted answers again",
    }
    assert status_line.line(status(last_switch=back), NOW) == f"agentlaunch: {words}"


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(minutes=59), "59 min ago"),
        (timedelta(hours=47, minutes=59), "47 h ago"),
        (timedelta(days=3), "3 days ago"),
    ],
)
def test_a_role_that_stays_away_is_told_as_long_as_it_does(ago: timedelta, words: str) -> None:
    away = AWAY | {"at": (NOW - ago).isoformat()}
    roles = {"main": LOCAL}
    said = status_line.line(status(roles=roles, last_switch=away), NOW)
    assert said == f"agentlaunch: main → local (hosted refused the connection, {words})"


def test_nothing_in_it_is_obeyed_by_a_terminal() -> None:
    hostile = "a\x1b[2J\x9b31m\r\nb\u202ec\x07\t" + "x" * 500
    roles = {"main": LOCAL | {"hop": hostile}}
    away = AWAY | {"after": hostile, "reason": hostile}
    said = status_line.line(status(roles=roles, last_switch=away), NOW)
    assert said.isprintable()
    assert len(said) < 200


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        {},
        {"roles": []},
        {"roles": {"main": None, "small": 3}},
        {"roles": {"main": {"hop": 7, "liked": False}}},
        {"roles": {"main": {"hop": "", "liked": True}}},
        {"roles": {}, "last_switch": AWAY, "cap_usd": True, "spent_today_usd": "1"},
        {"cap_usd": -1.0, "spent_today_usd": 1.0},
        {"cap_usd": float("nan"), "spent_today_usd": float("inf")},
    ],
)
def test_what_is_no_account_says_nothing(wrong: dict[str, Any] | None) -> None:
    assert status_line.line(wrong, NOW) == ""


@pytest.mark.parametrize("at", [7, "", "yesterday", "2026-11-23T11:58:00+99:99", None])
def test_a_time_that_is_none_costs_the_age_alone(at: object) -> None:
    roles = {"main": LOCAL | {"since": at}}
    said = status_line.line(status(roles=roles, last_switch=AWAY | {"at": at}), NOW)
    assert said == "agentlaunch: main → local (hosted refused the connection)"


# ---- together -----------------------------------------------------------------------------


def test_without_a_command_of_the_user_it_prints_one_line(place: Path) -> None:
    done = script(place)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"agentlaunch: hosted\n", b"")


def test_the_users_lines_come_first_and_are_unchanged(place: Path) -> None:
    given = b'{"model": "x"}\n'
    done = script(place, "cat; printf '\\033[1mbold\\033[0m \\377'; echo noise >&2", given=given)
    expected = given + b"\x1b[1mbold\x1b[0m \xff\nagentlaunch: hosted\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")


@pytest.mark.parametrize(
    ("output", "most", "expected"),
    [
        (b"a\n", "", b"a\nours\n"),
        (b"a\nb\nc", "", b"a\nb\nc\nours\n"),
        (b"", "", b"ours\n"),
        (b"\n", "2", b"ours\n"),
        (b"a", "2", b"a\nours\n"),
        (b"a\nb\n", "2", "a\nb · ours\n".encode()),
        (b"a\n\nb\nc\n", "2", "a\nb · ours\n".encode()),
        (b"a", "1", "a · ours\n".encode()),
        (b"a", "0", b"a\nours\n"),
        (b"a", "two", b"a\nours\n"),
    ],
)
def test_ours_has_a_line_of_its_own_where_the_agent_shows_it(
    output: bytes, most: str, expected: bytes
) -> None:
    assert status_line.together(output, "ours", most) == expected


def test_an_agent_tells_by_a_variable_how_many_lines_it_shows(place: Path) -> None:
    done = script(place, "echo a; echo b", AGENTLAUNCH_STATUS_LINES="2")
    assert done.stdout.decode() == "a\nb · agentlaunch: hosted\n"


@pytest.mark.parametrize("command", ["echo no; exit 3", "no-such-command-4711", "kill -9 $$", ")("])
def test_a_command_that_fails_shows_nothing_as_it_would_alone(place: Path, command: str) -> None:
    done = script(place, command)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"agentlaunch: hosted\n", b"")


def test_a_command_that_does_not_read_its_input_is_no_error(place: Path) -> None:
    done = script(place, "echo mine", given=b"x" * 1_000_000)
    assert (done.returncode, done.stdout) == (0, b"mine\nagentlaunch: hosted\n")
    assert done.stderr == b""


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 60_000,
        json.dumps(status(padding="x" * 70_000)).encode(),
    ],
)
def test_without_an_account_the_user_still_sees_his_own(
    tmp_path: Path, content: bytes | None
) -> None:
    place = tmp_path / "status.json"
    if content is not None:
        place.write_bytes(content)
    done = script(place, "echo mine")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"mine\n", b"")


def test_what_is_no_plain_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert status_line.read_status(str(pipe)) is None
    assert status_line.read_status(str(tmp_path)) is None


def test_it_needs_nothing_of_the_package(place: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.py"
    copy.write_text(SCRIPT.read_text())
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(copy), str(place)], capture_output=True, check=True
    )
    assert done.stdout == b"agentlaunch: hosted\n"


# ---- a command without an end --------------------------------------------------------------

ASK = (
    "import sys; from agentlaunch.gateway import status_line;"
    "sys.stdout.buffer.write(status_line.user_output(sys.argv[1], b'', 0.3))"
)


def ended(pid: int) -> bool:
    """Gone, or a zombie that nobody has looked at yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def asked(command: str) -> bytes:
    """What counts of a command that has a third of a second."""
    words = [sys.executable, "-c", ASK, command]
    return subprocess.run(words, capture_output=True, timeout=30, check=True).stdout


def test_a_command_past_its_time_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    assert asked(f"printf half; sleep 60 & echo $! > {pid}; sleep 60") == b"half"
    wait_until(lambda: ended(int(pid.read_text())))


def test_one_that_left_its_group_and_holds_the_output_is_not_waited_for() -> None:
    leaves = "import os, time; os.setsid(); time.sleep(2)"
    assert asked(f"{sys.executable} -c '{leaves}' & echo said") == b"said\n"


def test_one_that_closes_its_output_and_goes_on_is_not_waited_for() -> None:
    assert asked("exec >&-; sleep 60") == b""


def test_one_that_never_stops_printing_is_cut() -> None:
    assert len(asked("yes")) == status_line.MOST_OUTPUT_BYTES


def test_when_the_agent_gives_up_the_users_command_goes_too(place: Path, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    child = subprocess.Popen(
        [sys.executable, "-I", str(SCRIPT), str(place), f"echo $$ > {pid}.new; "
         f"mv {pid}.new {pid}; sleep 60"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(pid.exists)
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=10) == 0
    wait_until(lambda: ended(int(pid.read_text())))


def test_an_agent_that_listens_no_more_is_no_error(place: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-I", str(SCRIPT), str(place)],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")
