"""Talk: streams, colour, cleaning, questions, tables."""

from __future__ import annotations

import io
import itertools
import json
import re
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_mock import MockerFixture

from agentlaunch.errors import Refused, UsageError
from agentlaunch.progress import Progress, Work
from agentlaunch.talk import Policy, Talk, clean, use_color
from waiting import wait_until


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _talk(**policy: bool) -> Talk:
    return Talk(Policy(**policy), out=io.StringIO(), err=io.StringIO())


def _text(stream: object) -> str:
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_the_answer_goes_to_stdout_and_talk_to_stderr() -> None:
    talk = _talk()
    talk.say("a note")
    talk.answer("the answer")
    assert (_text(talk.out), _text(talk.err)) == ("the answer\n", "a note\n")


def test_json_mode_says_nothing_beside_one_document() -> None:
    talk = _talk(json=True)
    talk.say("a note")
    talk.warn("careful", code="careful")
    talk.result("agentlaunch/x/1", {"a": 1})
    assert _text(talk.err) == ""
    assert json.loads(_text(talk.out)) == {
        "schema": "agentlaunch/x/1",
        "ok": True,
        "data": {"a": 1},
        "warnings": [{"code": "careful", "message": "careful"}],
    }


def test_a_failure_in_json_mode_is_an_envelope() -> None:
    talk = _talk(json=True)
    talk.error(Refused("no", hint="do this"), schema="agentlaunch/x/1")
    assert json.loads(_text(talk.out)) == {
        "schema": "agentlaunch/x/1",
        "ok": False,
        "error": {"code": "refused", "message": "no", "hint": "do this", "exit": 8},
    }


def test_a_failure_for_a_person_is_a_fact_and_a_way_out() -> None:
    talk = _talk()
    talk.error(Refused("no", hint="do this"), schema="agentlaunch/x/1")
    assert _text(talk.err) == "error: no\nhint: do this\n"


def test_a_question_without_a_terminal_names_the_flag() -> None:
    with pytest.raises(UsageError) as caught:
        _talk().ask("Do it?", flag="--yes")
    assert caught.value.exit_code == 2
    assert caught.value.hint == "say yes with --yes"


def test_yes_answers_a_question() -> None:
    assert _talk(yes=True).ask("Do it?", flag="--yes")


@pytest.mark.parametrize(
    ("typed", "default", "answer"),
    [("\n", True, True), ("\n", False, False), ("n\n", True, False), ("YES\n", False, True),
     ("", True, False), ("what\n", True, False),
     ("ja\n", True, False), ("o\n", True, False), ("si\n", True, False)],
)  # fmt: skip
def test_a_person_answers_a_question(
    typed: str, default: bool, answer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    keyboard = _Terminal(typed)
    monkeypatch.setattr("sys.stdin", keyboard)
    talk = Talk(Policy(), out=io.StringIO(), err=_Terminal())
    assert talk.ask("Do it?", flag="--yes", default=default) is answer


def test_in_continuous_integration_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr("sys.stdin", _Terminal("y\n"))
    talk = Talk(Policy(), out=io.StringIO(), err=_Terminal())
    assert not talk.may_ask


@pytest.mark.parametrize(
    ("env", "asked", "colored"),
    [
        ({}, None, True),
        ({"NO_COLOR": "1"}, None, False),
        ({"NO_COLOR": ""}, None, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, None, False),
        ({"TERM": "dumb"}, None, False),
        ({"FORCE_COLOR": "0"}, None, False),
        ({"FORCE_COLOR": ""}, None, False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, None, True),
        ({"FORCE_COLOR": "1"}, False, False),
    ],
)
def test_colour_follows_the_conventions(
    env: dict[str, str], asked: bool | None, colored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert use_color(asked, _Terminal()) is colored


def test_a_pipe_gets_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert not use_color(None, io.StringIO())


@given(st.text())
def test_no_text_from_elsewhere_can_move_the_cursor(text: str) -> None:
    shown = clean(text)
    assert all(char in "\n\t" or char.isprintable() for char in shown)
    assert not set(shown) & {"\x1b", "\x9b", "\u202e", "\u200b", "\ufeff"}


def test_an_escape_sequence_becomes_visible() -> None:
    assert clean("a\x1b[31mb\u202ec") == "a\\x1b[31mb\\u202ec"


ROWS = [
    ("short", "ok", "because it is a long story that must be wrapped"),
    ("a-name-that-is-far-too-long", "bad", "no"),
]


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (
            "50",
            "NAME                         STATUS\n    WHY\n"
            "short                        ok\n"
            "    because it is a long story that must be\n    wrapped\n"
            "a-name-that-is-far-too-long  bad\n    no\n",
        ),
        (
            "30",
            "NAME                    STATUS\n    WHY\n"
            "short                   ok\n"
            "    because it is a long story\n    that must be wrapped\n"
            "a-name-that-is-far-too-long\n                        bad\n    no\n",
        ),
    ],
)
def test_on_a_narrow_terminal_the_last_column_stands_below_its_row(
    columns: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    talk = _talk()
    talk.table(("NAME", "STATUS", "WHY"), ROWS)
    assert _text(talk.out) == shown


def test_a_terminal_without_room_for_columns_gets_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    talk = _talk()
    talk.table(("NAME", "A LONG HEAD", "WHY"), [("a-rather-long-name", "ok", "a long story")])
    assert _text(talk.out) == "NAME:\n  a-rather-long-name\nA LONG HEAD: ok\nWHY: a long story\n"


def test_a_wide_terminal_gets_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    talk = _talk()
    talk.table(("NAME", "WHY"), [("a", "short"), ("longer", "text")])
    assert _text(talk.out) == "NAME    WHY\na       short\nlonger  text\n"


def test_work_without_a_terminal_says_each_activity_once() -> None:
    def work() -> Work[int]:
        yield Progress("loading", 5, 10)
        yield Progress("loading", 9, 10)
        yield Progress("ready")
        return 7

    talk = _talk()
    assert talk.follow(work()) == 7
    assert _text(talk.err) == "loading · 5 B of 10 B (50 %)\nready\n"


def test_work_on_a_terminal_draws_and_gives_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")

    def work() -> Work[int]:
        yield Progress("loading\x1b[2J", 5, 10)
        yield Progress("waiting")
        return 7

    talk = Talk(Policy(), out=io.StringIO(), err=_Terminal())
    assert talk.follow(work()) == 7
    assert "loading\\x1b[2J" in _text(talk.err)


class _Interrupted(io.StringIO):
    """Ctrl-C comes while something is written."""

    def write(self, text: str) -> int:
        raise KeyboardInterrupt


def test_work_is_closed_when_ctrl_c_comes_between_two_reports() -> None:
    ended = []

    def work() -> Work[int]:
        try:
            yield Progress("loading")
            yield Progress("ready")
        finally:
            ended.append("cleaned up")
        return 7

    unfinished = work()
    with pytest.raises(KeyboardInterrupt):
        Talk(Policy(), out=io.StringIO(), err=_Interrupted()).follow(unfinished)
    assert ended == ["cleaned up"]


def test_work_that_advances_without_a_size_says_its_share(mocker: MockerFixture) -> None:
    mocker.patch("agentlaunch.talk.following.time.monotonic", side_effect=[0.0, 0.0, 20.0, 40.0])

    def work() -> Work[None]:
        for share in (None, 0.5, 1.0):
            yield Progress("measuring", share=share)

    talk = _talk()
    talk.follow(work())
    assert _text(talk.err) == "measuring\nmeasuring · 50%\nmeasuring · 100%\n"


def test_events_are_one_line_each() -> None:
    talk = _talk(json=True)
    talk.events = True

    def work() -> Work[None]:
        yield Progress("down", 10, 10)

    talk.follow(work())
    talk.event("done", ref="a:b")
    lines = [json.loads(line) for line in _text(talk.out).splitlines()]
    unknown = {"bytes_per_s": None, "left_s": None}
    assert lines == [
        {"event": "progress", "activity": "down", "done_bytes": 10, "total_bytes": 10, **unknown},
        {"event": "done", "ref": "a:b"},
    ]


def test_work_of_unknown_size_is_an_event_by_time_only(mocker: MockerFixture) -> None:
    mocker.patch("agentlaunch.talk.following.time.monotonic", side_effect=[0.0, 0.1, 0.2, 0.7, 0.8])
    talk = _talk(json=True)
    talk.events = True

    def work() -> Work[None]:
        for done_bytes in (None, 1, 2, 3):
            yield Progress("asking", done_bytes)

    talk.follow(work())
    lines = [json.loads(line) for line in _text(talk.out).splitlines()]
    assert [line["done_bytes"] for line in lines] == [2]


def test_a_pull_that_is_not_json_says_a_line_every_ten_seconds(mocker: MockerFixture) -> None:
    mocker.patch("agentlaunch.talk.following.time.monotonic", side_effect=map(float, range(14)))
    talk = _talk()
    talk.events = True

    def work() -> Work[None]:
        for done_bytes in range(13):
            yield Progress("downloading", done_bytes, 100)

    talk.follow(work())
    assert _text(talk.err).splitlines() == [
        "downloading · 0 B of 100 B (0 %)",
        "downloading · 10 B of 100 B (10 %) · 1 B/s · 90 s left",
    ]


def test_work_that_is_silent_goes_on_in_a_log(mocker: MockerFixture) -> None:
    mocker.patch("agentlaunch.talk.following.SILENT_S", 0.02)
    talk, out = _talk(), threading.Event()

    def work() -> Work[None]:
        yield Progress("verifying m", 10, 10)
        wait_until(lambda: _text(talk.err).count("verifying m · 10 B of 10 B (100 %)\n") > 2)
        out.set()

    talk.follow(work())
    assert out.is_set()
    said = _text(talk.err)
    time.sleep(0.1)
    assert _text(talk.err) == said  # nothing speaks once the work is over


@pytest.mark.parametrize(
    ("columns", "last"),
    [
        (40, "…0/ns/small:q4     3.2/6.6 GB  1:15 left"),
        (60, "…00/ns/small:q4 ━━━╸     3.2/6.6 GB 45.3 MB/s  1:15 left"),
        (100, "downloading host:5000/ns/small:q4 ━━━━━━━━━╸"),
    ],
)
def test_a_bar_fits_the_terminal(
    columns: int, last: str, monkeypatch: pytest.MonkeyPatch, mocker: MockerFixture
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    mocker.patch("agentlaunch.talk.following.time.monotonic", side_effect=itertools.count(0.0, 2.0))

    def work() -> Work[None]:
        for done in (3_109_400_000, 3_200_000_000):
            yield Progress("downloading host:5000/ns/small:q4", done, 6_600_000_000)

    talk = Talk(Policy(), out=io.StringIO(), err=_Terminal())
    talk.follow(work())
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", _text(talk.err)).replace("\r", "\n")
    rows = [row.rstrip() for row in shown.split("\n") if row.strip()]
    assert " ".join(last.split()) in " ".join(rows[-1].split()), rows
    assert all(len(row) <= columns for row in rows)


def test_a_bar_that_is_full_but_not_over_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")

    def work() -> Work[None]:
        yield Progress("verifying m", 10, 10)

    talk = Talk(Policy(), out=io.StringIO(), err=_Terminal())
    talk.follow(work())
    assert "verifying m" in _text(talk.err)
    assert "0:00:0" in _text(talk.err)  # the time that it takes, not a full bar that stands still


def test_what_went_wrong_on_the_way_stays_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")

    def work() -> Work[None]:
        for done in range(3):
            yield Progress("downloading m", done, 10, "r broke off; trying again in 1 s")

    talk = Talk(Policy(), out=io.StringIO(), err=_Terminal())
    talk.follow(work())
    assert _text(talk.err).count("r broke off; trying again in 1 s") == 1


@pytest.mark.parametrize(
    ("typed", "answer"),
    [("\n", "yes"), ("Y\n", "yes"), ("s\n", "other"), ("n\n", "no"), ("x\n", "no"), ("", "no")],
)
def test_a_question_may_have_a_third_answer(
    typed: str, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", _Terminal(typed))
    talk = Talk(Policy(), out=io.StringIO(), err=_Terminal())
    assert talk.ask_or("Do it?", "start with m now", key="s", flag="--yes") == answer
    assert "Do it? [Y/n, s = start with m now] " in _text(talk.err)


def test_yes_never_takes_the_third_answer() -> None:
    assert _talk(yes=True).ask_or("Do it?", "another", key="s", flag="--yes") == "yes"
    with pytest.raises(UsageError):
        _talk(no_input=True).ask_or("Do it?", "another", key="s", flag="--yes")
