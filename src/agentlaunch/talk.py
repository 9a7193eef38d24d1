"""stderr for people, stdout for data: the only door to rich, questions and the JSON envelope."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TextIO

from agentlaunch.errors import AgentlaunchError, UsageError
from agentlaunch.progress import Progress, T, Work
from agentlaunch.units import format_bytes

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 90
"""Columns from which a progress bar also has room for its speed and its end."""

Tone = Literal["plain", "strong", "good", "fair", "cool", "bad", "dim"]
TONES: dict[Tone, str] = {
    "strong": "1", "good": "32", "fair": "33", "cool": "36", "bad": "31", "dim": "2",
}  # fmt: skip

PLAIN_PROGRESS_EVERY_S = 10.0
EVENT_EVERY_S = 0.5
LONGEST_TEXT = 2_000
NARROWEST_FIRST = 12
BELOW = " " * 4


@dataclass(frozen=True, slots=True)
class Policy:
    """What this run may do without a person: decided once, passed as a value."""

    json: bool = False
    no_input: bool = False
    yes: bool = False
    offline: bool = False
    verbose: bool = False
    debug: bool = False
    color: bool | None = None


@dataclass(slots=True)
class Talk:
    """How one run speaks. Warnings are said and also kept for the JSON envelope."""

    policy: Policy
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)
    warnings: list[dict[str, str]] = field(default_factory=list)
    events: bool = False
    """In JSON mode: one event a line instead of one document (`models pull`)."""

    # ---- people: stderr ------------------------------------------------------------------

    def say(self, text: str) -> None:
        """A line for the person; nothing in JSON mode, whose reader is a program."""
        if not self.policy.json:
            self._line(self._folded(clean(text)))

    def detail(self, text: str) -> None:
        """A line for `-v`."""
        if self.policy.verbose:
            self._line(self._styled(clean(text), "2"))

    def warn(self, message: str, *, code: str) -> None:
        """Something the user should know; also a row of the envelope's `warnings`."""
        self.warnings.append({"code": code, "message": message})
        if not self.policy.json:
            text = self._folded("warning: " + clean(message)).removeprefix("warning:")
            self._line(self._styled("warning:", "33") + text)

    def error(self, error: AgentlaunchError, *, schema: str) -> None:
        """The end of a run that failed: one line, its way out, or the JSON envelope."""
        if self.policy.json:
            failure = {
                "code": error.code,
                "message": error.message,
                "hint": error.hint,
                "exit": error.exit_code,
            }
            self._document({"schema": schema, "ok": False, "error": failure})
            return
        self._line(self._styled("error:", "31;1") + " " + clean(error.message))
        if error.hint:
            self._line(self._styled("hint:", "36") + " " + clean(error.hint))

    def ask(self, question: str, *, flag: str, default: bool = True) -> bool:
        """A yes/no question; Enter takes the default.

        `--yes` answers it. Where nobody can be asked it raises `UsageError` that names the flag.
        """
        if self.policy.yes:
            return True
        if not self.may_ask:
            raise UsageError(
                f"this needs an answer: {question}", hint=f"say yes with {flag}", code="needs-input"
            )
        self.err.write(f"{clean(question)} [{'Y/n' if default else 'y/N'}] ")
        self.err.flush()
        answer = sys.stdin.readline()
        if not answer:  # end of input: nobody is there any more
            self.err.write("\n")
            return False
        word = answer.strip().lower()
        return default if not word else word in {"y", "yes"}

    @property
    def may_ask(self) -> bool:
        """True when a person sits at both ends of the terminal and nothing forbids to ask."""
        policy = self.policy
        if policy.json or policy.no_input or os.environ.get("CI"):
            return False
        return _is_terminal(sys.stdin) and _is_terminal(self.err)

    def follow(self, work: Work[T]) -> T:
        """Run slow work to its end: a bar on a terminal, a line every ten seconds elsewhere.

        Work that is not run to its end, since Ctrl-C came while its report was being shown, is
        closed here and cleans up now: left to the end of the program it could hang (seen).
        """
        with contextlib.closing(work):
            if not self.policy.json and _is_terminal(self.err) and os.environ.get("TERM") != "dumb":
                return self._follow_live(work)
            return self._follow_plain(work)

    def _follow_plain(self, work: Work[T]) -> T:
        said, last_activity = time.monotonic(), ""
        while True:
            try:
                report = next(work)
            except StopIteration as stop:
                result: T = stop.value
                return result
            now = time.monotonic()
            if self.policy.json:
                whole = report.total_bytes is not None and report.done_bytes == report.total_bytes
                if self.events and (whole or now - said >= EVENT_EVERY_S):
                    said = now
                    self.event(
                        "progress",
                        activity=report.activity,
                        done_bytes=report.done_bytes,
                        total_bytes=report.total_bytes,
                    )
            elif report.activity != last_activity or now - said >= PLAIN_PROGRESS_EVERY_S:
                said, last_activity = now, report.activity
                self.say(_progress_text(report))

    def _follow_live(self, work: Work[T]) -> T:
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            ProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.progress import Progress as Bars

        name = TextColumn("{task.description}", markup=False)
        unsized: tuple[ProgressColumn, ...] = (BarColumn(10), TimeElapsedColumn())
        sized: tuple[ProgressColumn, ...] = (BarColumn(10), DownloadColumn())
        if self.width >= WIDE:
            sized = (*sized, TransferSpeedColumn(), TimeRemainingColumn())
        console = self._console(self.err)
        bars, activity, task = Bars(), "", None
        try:
            while True:
                report = next(work)
                if task is None or report.activity != activity:
                    bars.stop()
                    columns = sized if report.total_bytes else unsized
                    bars = Bars(name, *columns, console=console, transient=True)
                    bars.start()
                    activity = report.activity
                    task = bars.add_task(clean(activity), total=report.total_bytes)
                if report.share is not None:
                    bars.update(task, completed=report.share, total=1.0)
                else:
                    bars.update(task, completed=report.done_bytes or 0, total=report.total_bytes)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            bars.stop()

    # ---- programs and pipes: stdout ------------------------------------------------------

    def result(self, schema: str, data: Mapping[str, Any]) -> None:
        """The one JSON document of a `--json` run."""
        self._document(
            {"schema": schema, "ok": True, "data": dict(data), "warnings": self.warnings}
        )

    def event(self, name: str, **fields: object) -> None:
        """One line of a run that reports while it works; only in JSON mode."""
        if self.policy.json:
            self._document({"event": name, **fields})

    def answer(self, text: str) -> None:
        """The answer of a command as text, on stdout."""
        self.out.write(clean(text, limit=None) + "\n")
        self.out.flush()

    def answer_folded(self, text: str, *, indent: int) -> None:
        """A long line of the answer, folded at the terminal's width; a pipe gets it whole."""
        if not _is_terminal(self.out) and "COLUMNS" not in os.environ:
            self.answer(text)
            return
        self.out.write(_wrapped(clean(text, limit=None), self.width, " " * indent) + "\n")
        self.out.flush()

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table on stdout, whose last column may be sentences.

        Where there is no room beside the others, that one stands below its row; on a terminal that
        has no room for the others either, rows become blocks of `key: value`.
        """
        width = self.width
        cells = [[clean(cell) for cell in row] for row in rows]
        widths = [max(len(h), *(len(r[i]) for r in cells), 0) for i, h in enumerate(headers)]
        beside = sum(widths[:-1]) + 2 * len(widths[:-1])
        below = width - beside < min(24, widths[-1])
        if below:
            room = width - (beside - widths[0] - 2)
            if room < min(NARROWEST_FIRST, widths[0]):
                self.answer("\n\n".join(_block(headers, row, width) for row in cells))
                return
            widths[0] = min(widths[0], room)
        lines = []
        for *front, last in (headers, *cells):
            padded = [cell.ljust(size) for cell, size in zip(front, widths, strict=False)]
            if len(padded[0]) > widths[0]:  # a long name stands alone
                padded[0] += "\n" + " " * widths[0]
            start = "  ".join(padded)
            if below:
                lines += [start.rstrip(), _wrapped(BELOW + last, width, BELOW)]
            else:
                lines.append(_wrapped(f"{start}  {last}", width, " " * beside))
        heads = 2 if below else 1
        styled = [self._styled(line, "1", self.out) for line in lines[:heads]]
        self.out.write("\n".join([*styled, *lines[heads:]]) + "\n")
        self.out.flush()

    def paint(self, text: str, tone: Tone) -> str:
        """A part of an answer in a colour, where stdout shows colours."""
        return self._styled(text, TONES[tone], self.out) if tone in TONES else text

    def lines(self, lines: Sequence[str]) -> None:
        """Lines of an answer that were laid out and painted already; they hold nothing foreign."""
        self.out.write("".join(line + "\n" for line in lines))
        self.out.flush()

    @property
    def width(self) -> int:
        """Columns to fill: the terminal's, `COLUMNS`, or 80."""
        return max(20, shutil.get_terminal_size((80, 24)).columns)

    # ---- inside --------------------------------------------------------------------------

    def _document(self, document: Mapping[str, Any]) -> None:
        self.out.write(json.dumps(document, indent=None if self.events else 2) + "\n")
        self.out.flush()

    def _line(self, text: str) -> None:
        try:
            self.err.write(text + "\n")
        except UnicodeEncodeError:
            self.err.write(text.encode("ascii", "replace").decode() + "\n")
        self.err.flush()

    def _folded(self, text: str) -> str:
        """Text folded at the terminal's width, under its own indent; a pipe gets it whole."""
        if not _is_terminal(self.err):
            return text
        indent = " " * (len(text) - len(text.lstrip()) or 9)
        return "\n".join(_wrapped(line, self.width, indent) for line in text.split("\n"))

    def _styled(self, text: str, code: str, stream: TextIO | None = None) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colored(stream or self.err) else text

    def _colored(self, stream: TextIO) -> bool:
        return use_color(self.policy.color, stream)

    def _console(self, stream: TextIO) -> Console:
        from rich.console import Console

        return Console(file=stream, no_color=not self._colored(stream), highlight=False)


def use_color(asked: bool | None, stream: TextIO) -> bool:
    """Colour only where a person sees it: `--no-color`, NO_COLOR (non-empty), TERM=dumb and pipes
    say no; FORCE_COLOR says yes, but 0, false and empty mean no."""
    if asked is False or os.environ.get("NO_COLOR"):
        return False
    forced = os.environ.get("FORCE_COLOR", os.environ.get("CLICOLOR_FORCE"))
    if forced is not None:
        return forced.strip().lower() not in {"", "0", "false", "no"}
    return os.environ.get("TERM") != "dumb" and _is_terminal(stream)


def clean(text: str, *, limit: int | None = LONGEST_TEXT) -> str:
    r"""Text that may come from elsewhere, made safe for a terminal.

    Control characters (but newline and tab), DEL, C1, bidirectional overrides and zero-width marks
    become visible (`\x1b`): rich lets them through (seen), and a model name must not move a cursor.
    """
    text = unicodedata.normalize("NFC", text)
    if limit is not None and len(text) > limit:
        text = text[:limit] + " …"
    return "".join(_visible(char) for char in text)


def _visible(char: str) -> str:
    if char in "\n\t" or (char.isprintable() and char not in _INVISIBLE):
        return char
    number = ord(char)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


_INVISIBLE = frozenset(
    map(chr, (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF))
)


def _progress_text(report: Progress) -> str:
    parts = [report.activity]
    if report.done_bytes is not None and report.total_bytes:
        share = min(100, 100 * report.done_bytes // report.total_bytes)
        done, total = format_bytes(report.done_bytes), format_bytes(report.total_bytes)
        parts.append(f"{done} of {total} ({share} %)")
    elif report.done_bytes:
        parts.append(format_bytes(report.done_bytes))
    elif report.share is not None:
        parts.append(f"{report.share:.0%}")
    if report.detail:
        parts.append(report.detail)
    return " · ".join(parts)


def _block(headers: Sequence[str], row: Sequence[str], width: int) -> str:
    pairs = zip(headers, row, strict=True)
    return "\n".join(_wrapped(f"{head}: {cell}", width, "  ") for head, cell in pairs if cell)


def _wrapped(text: str, width: int, indent: str) -> str:
    import textwrap

    return "\n".join(
        textwrap.wrap(
            text, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
        )
        or [""]
    )


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False
