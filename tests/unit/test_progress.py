"""Progress: the pace of bytes, the line of a log, what stands beside a bar."""

from __future__ import annotations

import pytest

from agentlaunch.progress import BarText, Pace, Progress, Work, bar_text, finish, line, noting

GB = 10**9
NAME = "downloading registry.example:5000/team/coder:30b"


def paced(*reports: tuple[float, Progress]) -> Pace:
    pace = Pace()
    for now_s, report in reports:
        pace.feed(now_s, report)
    return pace


def at(done: int, total: int = 1000, kept: int = 0, activity: str = "downloading m") -> Progress:
    return Progress(activity, done, total, kept_bytes=kept)


def test_the_pace_is_that_of_the_last_seconds() -> None:
    slow_then_fast = [(float(s), at(s if s < 20 else 20 + (s - 20) * 10)) for s in range(41)]
    pace = paced(*slow_then_fast)
    assert pace.bytes_per_s == 10
    assert pace.left_s == (1000 - 220) / 10


def test_what_an_earlier_run_brought_is_no_pace() -> None:
    assert paced((0, at(500, kept=500)), (2, at(520, kept=500))).bytes_per_s == 10
    # A server tells of a layer that it has only when its turn comes.
    jump = paced((0, at(100, kept=100)), (2, at(720, kept=700)))
    assert jump.bytes_per_s == 10


@pytest.mark.parametrize(
    "reports",
    [
        [],
        [(0.0, at(0))],
        [(0.0, at(0)), (0.5, at(100))],
        [(0.0, at(10)), (5.0, at(10))],
        [(0.0, at(900)), (5.0, at(10))],
        [(0.0, at(0)), (5.0, at(100, activity="verifying m"))],
        [(0.0, Progress("asking")), (5.0, Progress("asking"))],
    ],
)
def test_without_a_measure_no_pace_is_told(reports: list[tuple[float, Progress]]) -> None:
    pace = paced(*reports)
    assert (pace.bytes_per_s, pace.left_s) == (None, None)


def test_a_line_of_a_log_tells_share_rate_and_time() -> None:
    reports = [(0.0, at(0, 6600 * 10**6)), (10.0, at(660 * 10**6, 6600 * 10**6))]
    assert line(reports[-1][1], paced(*reports)) == (
        "downloading m · 660 MB of 6.6 GB (10 %) · 66.0 MB/s · 90 s left"
    )
    assert line(at(999, 1000)).endswith("(99 %)")


@pytest.mark.parametrize(
    ("columns", "name", "bar", "figures"),
    [
        (40, "…eam/coder:30b", 0, "   3.2/17.4 GB  4:44 left"),
        (60, "…team/coder:30b", 8, "   3.2/17.4 GB 50.0 MB/s  4:44 left"),
        (100, "registry.example:5000/team/coder:30b", 20, "   3.2/17.4 GB 50.0 MB/s  4:44 left"),
        (130, NAME, 20, "   3.2/17.4 GB 50.0 MB/s  4:44 left"),
    ],
)
def test_what_has_no_room_beside_a_bar_goes_in_order(
    columns: int, name: str, bar: int, figures: str
) -> None:
    first, last = (Progress(NAME, done, 17_400_000_000) for done in (3_100_000_000, 3_200_000_000))
    text = bar_text(last, paced((0, first), (2, last)), columns)
    assert text == BarText(name, bar, figures)
    assert len(text.name) + bool(text.bar) + text.bar + 1 + len(text.figures) <= columns


def test_figures_keep_their_width_while_they_change() -> None:
    total = 99_900_000_000
    reports = [
        (float(second), Progress("downloading m", done, total))
        for second, done in enumerate((0, 5, 999_000_000, 1_100_000_000, 98_700_000_000))
    ]
    widths = {
        len(bar_text(reports[n][1], paced(*reports[: n + 1]), 80).figures)
        for n in range(len(reports))
    }
    assert len(widths) == 1


def test_noted_work_gives_the_same_reports_and_result_and_is_closed() -> None:
    closed: list[bool] = []
    noted: list[Progress] = []

    def work() -> Work[int]:
        try:
            yield Progress("a")
            yield Progress("b")
        finally:
            closed.append(True)
        return 7

    assert finish(noting(work(), noted.append)) == 7
    assert noted == [Progress("a"), Progress("b")]
    half = noting(work(), noted.append)
    next(half)
    half.close()
    assert closed == [True, True]
