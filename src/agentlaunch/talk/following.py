"""Slow work, followed: a bar on a terminal, lines in a log, events for a program."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

from agentlaunch.progress import Pace, Progress, T, Work, bar_text, fitted, line
from agentlaunch.talk.text import clean

if TYPE_CHECKING:
    from agentlaunch.talk import Talk

PLAIN_PROGRESS_EVERY_S = 10.0
SILENT_S = 10.5
"""After so long without a report, the last one is said again: a log shows that it goes on."""
EVENT_EVERY_S = 0.5


def follow_live(work: Work[T], stream: TextIO, *, colored: bool) -> T:
    """Run work to its end under a bar."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    name = TextColumn("{task.description}", markup=False)
    figures = TextColumn("{task.fields[figures]}", markup=False)
    console, pace = Console(file=stream, no_color=not colored, highlight=False), Pace()
    bars, shown, task, said = Bars(), ("", False), None, None
    try:
        while True:
            report = next(work)
            pace.feed(time.monotonic(), report)
            done, total = report.done_bytes or 0, report.total_bytes
            text = bar_text(replace(report, activity=clean(report.activity)), pace, console.width)
            # Work that is whole already, but not over (a check), moves and counts the time.
            begun = shown == (report.activity, True)
            kind = (report.activity, total is not None and (begun or done < total))
            if task is None or kind != shown:
                bars.stop()
                bar = BarColumn(text.bar) if text.bar else None
                sized = (name, bar, figures) if bar is not None else (name, figures)
                columns = sized if kind[1] else (name, BarColumn(10), TimeElapsedColumn())
                bars = Bars(*columns, console=console, transient=True)
                bars.start()
                shown, task = kind, bars.add_task("", total=None, figures="")
            if report.detail not in (None, said) and report.done_bytes is not None:
                said = report.detail
                console.print(clean(said or ""), markup=False)
            label = text.name if kind[1] else fitted(clean(report.activity), console.width - 20)
            if report.share is not None:
                bars.update(task, completed=report.share, total=1.0, description=label)
            elif kind[1]:
                bars.update(
                    task, completed=done, total=total, description=label, figures=text.figures
                )
            else:
                bars.update(task, description=label)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        bars.stop()


def follow_plain(work: Work[T], talk: Talk) -> T:
    """Run work to its end in lines, or events where a program reads."""
    lines = _Lines(talk)
    try:
        while True:
            report = next(work)
            lines.take(time.monotonic(), report)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        lines.end()


class _Lines:
    """Reports for a log, a pipe or a program: one at once for each new activity or, as events, when
    all bytes are there; then one by time. While the work itself is silent, the last is said again.
    """

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._every_s = EVENT_EVERY_S if talk.policy.json else PLAIN_PROGRESS_EVERY_S
        self._pace = Pace()
        self._said_s = time.monotonic()
        self._last: Progress | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._new = threading.Event()
        if talk.events or not talk.policy.json:
            threading.Thread(target=self._beat, daemon=True).start()

    def take(self, now_s: float, report: Progress) -> None:
        with self._lock:
            self._pace.feed(now_s, report)
            last, self._last = self._last, report
            new = last is None or report.activity != last.activity
            if self._talk.policy.json:
                new = report.total_bytes is not None and report.done_bytes == report.total_bytes
            if new or now_s - self._said_s >= self._every_s:
                self._said_s = now_s
                self._new.set()
                self._say(report)

    def end(self) -> None:
        self._over.set()
        self._new.set()
        with self._lock:  # a line that is being said is said to its end
            self._last = None

    def _beat(self) -> None:
        while not self._over.is_set():
            if self._new.wait(SILENT_S):
                self._new.clear()
                continue
            with self._lock:
                if self._last is not None:
                    self._say(self._last)

    def _say(self, report: Progress) -> None:
        if not self._talk.policy.json:
            self._talk.say(line(report, self._pace))
        elif self._talk.events:
            rate, left = self._pace.bytes_per_s, self._pace.left_s
            self._talk.event(
                "progress",
                activity=report.activity,
                done_bytes=report.done_bytes,
                total_bytes=report.total_bytes,
                bytes_per_s=None if rate is None else int(rate),
                left_s=None if left is None else round(left, 1),
            )
