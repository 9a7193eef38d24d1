"""What slow work says while it runs: values, printed by whoever watches, never by the worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TypeVar

from agentlaunch.units import format_bytes, format_clock, format_seconds

T = TypeVar("T")

WIDE, NARROW = 90, 60
"""Columns of a terminal: from `WIDE` on a bar has room for a long name, below `NARROW` it says no
rate and draws no bar."""
_BAR = {True: 20, False: 8}
_NAME = 12


@dataclass(frozen=True, slots=True)
class Progress:
    """One report of a running activity.

    `done_bytes` and `total_bytes` are null when the work has no size; `kept_bytes` says how many of
    the done ones an earlier run had brought. `share` (0 to 1) is for work that is known to advance
    but not in bytes. `detail` is a short text that may come from another program and is cleaned
    before it is shown.
    """

    activity: str
    done_bytes: int | None = None
    total_bytes: int | None = None
    detail: str | None = None
    share: float | None = None
    kept_bytes: int = 0


Work = Generator[Progress, None, T]
"""Slow work: yields `Progress`, returns its result; `talk.follow` runs it to the end."""


def finish(work: Work[T]) -> T:
    """Run work to its end without watching it, and give its result back."""
    while True:
        try:
            next(work)
        except StopIteration as stop:
            result: T = stop.value
            return result


def noting(work: Work[T], note: Callable[[Progress], None]) -> Work[T]:
    """The same work; each report is noted before it is passed on."""
    try:
        while True:
            report = next(work)
            note(report)
            yield report
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        work.close()


@dataclass(slots=True)
class Pace:
    """How fast bytes came lately, and how long the rest takes. What an earlier run had brought, or
    what was found there, is no speed."""

    window_s: float = 15.0
    _seen: deque[tuple[float, int]] = field(default_factory=deque)
    _activity: str = ""
    _missing: int | None = None

    def feed(self, now_s: float, report: Progress) -> None:
        """Take a report that came at `now_s`, of any clock that only goes forward."""
        fetched = max(0, (report.done_bytes or 0) - report.kept_bytes)
        if report.activity != self._activity or (self._seen and fetched < self._seen[-1][1]):
            self._seen.clear()
        self._activity = report.activity
        self._seen.append((now_s, fetched))
        while now_s - self._seen[0][0] > self.window_s and len(self._seen) > 2:
            self._seen.popleft()
        total = report.total_bytes
        self._missing = None if total is None else total - (report.done_bytes or 0)

    @property
    def bytes_per_s(self) -> float | None:
        """None before a second has passed, and while nothing comes."""
        if len(self._seen) < 2:
            return None
        (begun, first), (now, last) = self._seen[0], self._seen[-1]
        return (last - first) / (now - begun) if now - begun >= 1 and last > first else None

    @property
    def left_s(self) -> float | None:
        """Seconds until all is here at this rate; None where that cannot be told."""
        rate = self.bytes_per_s
        return self._missing / rate if rate and self._missing else None


def line(report: Progress, pace: Pace | None = None) -> str:
    """A report in one line, for a log or a pipe."""
    parts = [report.activity]
    if report.done_bytes is not None and report.total_bytes:
        share = share_text(report.done_bytes, report.total_bytes)
        done, total = format_bytes(report.done_bytes), format_bytes(report.total_bytes)
        parts.append(f"{done} of {total} ({share})")
    elif report.done_bytes:
        parts.append(format_bytes(report.done_bytes))
    elif report.share is not None:
        parts.append(f"{report.share:.0%}")
    if pace is not None and pace.bytes_per_s is not None:
        parts.append(f"{format_bytes(int(pace.bytes_per_s))}/s")
        if pace.left_s is not None:
            parts.append(f"{format_seconds(pace.left_s)} left")
    if report.detail:
        parts.append(report.detail)
    return " · ".join(parts)


def share_text(done_bytes: int, total_bytes: int) -> str:
    """48 %, and never 100 % before the last byte."""
    return f"{min(100, 100 * done_bytes // total_bytes)} %"


@dataclass(frozen=True, slots=True)
class BarText:
    """What stands beside a bar of `bar` columns; all of it fits into the terminal's width."""

    name: str
    bar: int
    figures: str


def bar_text(report: Progress, pace: Pace, columns: int) -> BarText:
    """Name, bar and figures of work with a size, for a terminal of so many columns.

    What there is no room for goes in this order: the length of the bar, the verb and the beginning
    of a long name, the rate, the bar itself. The figures keep their width while the work goes on.
    """
    total = report.total_bytes or 0
    bar = _BAR[columns >= WIDE] if columns >= NARROW else 0
    done_text, total_text = format_bytes(report.done_bytes or 0), format_bytes(total)
    number, _, unit = done_text.partition(" ")
    sizes = f"{number if total_text.endswith(' ' + unit) else done_text}/{total_text}"
    figures = [sizes.rjust(len("999 MB/99.9 GB"))]
    if columns >= NARROW:
        rate = pace.bytes_per_s
        figures.append((f"{format_bytes(int(rate))}/s" if rate else "").rjust(len("99.9 MB/s")))
    left = format_clock(pace.left_s) if pace.left_s is not None else ""
    figures.append((f"{left} left" if left else "").rjust(len("59:59 left")))
    text = " ".join(figures)
    room = max(_NAME, columns - len(text) - (bar + 1 if bar else 0) - 1)
    return BarText(fitted(report.activity, room), bar, text)


def fitted(activity: str, room: int) -> str:
    """An activity in so many columns: without its verb, then without the name's beginning."""
    if len(activity) <= room:
        return activity
    name = activity.partition(" ")[2] or activity
    return name if len(name) <= room else "…" + name[len(name) - room + 1 :]
