"""stderr for people, stdout for data: the only door to rich, questions and the JSON envelope."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
import time
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TextIO

from agentlaunch.errors import AgentlaunchError, UsageError
from agentlaunch.progress import Pace, Progress, T, Work, bar_text, fitted, line

if TYPE_CHECKING:
    from rich.console import Console

Tone = Literal["plain", "strong", "good", "fair", "cool", "bad", "dim"]
TONES: dict[Tone, str] = {
    "strong": "1", "good": "32", "fair": "33", "cool": "36", "bad": "31", "dim": "2",
}  # fmt: skip

Answer = Literal["yes", "no", "other"]

PLAIN_PROGRESS_EVERY_S = 10.0
SILENT_S = 10.5
"""After so long without a report, the last one is said again: a log shows that it goes on."""
EVENT_EVERY_S = 0.5
LONGEST_TEXT = 2_000
NARROWEST_FIRST = 12
BELOW = " " * 4
MOST_ROWS = 12
"""Of a list to choose from that are seen at a time."""
ESCAPE_S = 0.1
"""How long Esc waits for the rest of an arrow key."""


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

    def say(self, text: str, *, whole: bool = False) -> None:
        """A line for the person; nothing in JSON mode, whose reader is a program. A `whole` one is
        not folded, so that a command in it can be copied."""
        if not self.policy.json:
            self._line(clean(text) if whole else self._folded(clean(text)))

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
        word = self._answer(f"{question} [{'Y/n' if default else 'y/N'}]", question, flag)
        return default if word == "" else word in {"y", "yes"}

    def ask_or(self, question: str, other: str, *, key: str, flag: str) -> Answer:
        """A question that Enter says yes to, with a third answer: `key`, which means `other`.

        `--yes` never takes the third. Raises `UsageError` as `ask` does.
        """
        if self.policy.yes:
            return "yes"
        word = self._answer(f"{question} [Y/n, {key} = {other}]", question, flag)
        return "other" if word == key else "yes" if word in {"", "y", "yes"} else "no"

    def _answer(self, prompt: str, question: str, flag: str) -> str | None:
        """What a person types, None at the end of input: nobody is there any more."""
        if not self.may_ask:
            raise UsageError(
                f"this needs an answer: {question}", hint=f"say yes with {flag}", code="needs-input"
            )
        self.err.write(f"{self._folded(clean(prompt))} ")
        self.err.flush()
        answer = sys.stdin.readline()
        if not answer:
            self.err.write("\n")
            return None
        return answer.strip().lower()

    def choose(self, question: str, rows: Sequence[str], *, find: Sequence[str] = ()) -> int | None:
        """Which of these rows, counted from 0; the first is preselected, None is for no row.

        Arrow keys and letters that narrow the list down; a number on a terminal without them. What
        is typed is looked for in `find`, a text for each row. Only where `may_ask` is True. Raises
        `KeyboardInterrupt`.
        """
        rows = [clean(" ".join(row.split("\n"))).rstrip() for row in rows]
        if os.environ.get("TERM", "" if os.name == "nt" else "dumb") not in {"dumb", "unknown"}:
            return self._choose_by_keys(clean(question), rows, find or rows)
        for number, row in enumerate(rows, 1):
            self._line(f"{number}. {row}")
        numbers = f"1-{len(rows)}, " if len(rows) > 1 else ""
        self.err.write(f"{clean(question)} [{numbers}Enter = 1, q = none] ")
        self.err.flush()
        answer = sys.stdin.readline()
        word = answer.strip() or ("1" if answer else "q")
        return int(word) - 1 if word in map(str, range(1, len(rows) + 1)) else None

    def _choose_by_keys(
        self, question: str, rows: Sequence[str], find: Sequence[str]
    ) -> int | None:
        import questionary
        from prompt_toolkit.filters import to_filter
        from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent, merge_key_bindings
        from prompt_toolkit.layout.dimension import Dimension
        from prompt_toolkit.output import ColorDepth, create_output
        from prompt_toolkit.output.vt100 import Vt100_Output
        from questionary.prompts.common import InquirerControl

        depth = None if self._colored(self.err) else ColorDepth.DEPTH_1_BIT
        output = create_output(self.err)
        if isinstance(output, Vt100_Output):  # not every terminal says where its cursor is
            output.enable_cpr = False
        app = questionary.select(
            question,
            [
                questionary.Choice(_Row(row, words), number)
                for number, (row, words) in enumerate(zip(rows, find, strict=True))
            ],
            pointer=">",
            style=questionary.Style([("pointer", "bold"), ("highlighted", "bold")]),
            instruction="(type to filter, Esc leaves)",
            use_jk_keys=False,
            use_search_filter=True,
            output=output,
            color_depth=depth,
        ).application
        app.erase_when_done = True
        app.ttimeoutlen = ESCAPE_S
        (window,) = (
            w for w in app.layout.find_all_windows() if isinstance(w.content, InquirerControl)
        )
        window.height = Dimension(max=MOST_ROWS)
        window.dont_extend_height = to_filter(True)  # else a narrowed list leaves a hole
        control = window.content
        assert isinstance(control, InquirerControl)
        keys = KeyBindings()

        def enter(event: KeyPressEvent) -> None:
            """Choose, but not while nothing matches: all rows are shown then (questionary 2.1)."""
            rows = control.filtered_choices
            if control.search_filter and not control.found_in_search:
                control.search_filter, control.pointed_at = None, 0
            else:
                event.app.exit(result=rows[control.pointed_at].value)

        keys.add("enter", eager=True)(enter)
        keys.add("escape", eager=True)(lambda event: event.app.exit())
        keys.add("<sigint>")(lambda event: event.app.exit(exception=KeyboardInterrupt))
        app.key_bindings = merge_key_bindings([app.key_bindings or KeyBindings(), keys])
        try:
            chosen = app.run()
        except EOFError:  # the terminal is gone
            return None
        return chosen if isinstance(chosen, int) else None

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
        lines = _Lines(self)
        try:
            while True:
                report = next(work)
                lines.take(time.monotonic(), report)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            lines.end()

    def _follow_live(self, work: Work[T]) -> T:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        name = TextColumn("{task.description}", markup=False)
        figures = TextColumn("{task.fields[figures]}", markup=False)
        console, pace = self._console(self.err), Pace()
        bars, shown, task, said = Bars(), ("", False), None, None
        try:
            while True:
                report = next(work)
                pace.feed(time.monotonic(), report)
                done, total = report.done_bytes or 0, report.total_bytes
                text = bar_text(
                    replace(report, activity=clean(report.activity)), pace, console.width
                )
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


class _Row(str):
    """A row of a list to choose from. The list looks for what was typed in its `lower()`
    (questionary 2.1): words that the row may have no room for, and no others."""

    __slots__ = ("_words",)
    _words: str

    def __new__(cls, row: str, words: str) -> _Row:
        made = super().__new__(cls, row)
        made._words = words
        return made

    def lower(self) -> str:
        return self._words.lower()


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
