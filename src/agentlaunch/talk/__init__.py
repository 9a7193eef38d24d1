"""stderr for people, stdout for data: lines, questions, tables and the JSON envelope."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TextIO

from agentlaunch.errors import AgentlaunchError, UsageError
from agentlaunch.progress import T, Work
from agentlaunch.talk.following import follow_live, follow_plain
from agentlaunch.talk.text import block, clean, is_terminal, use_color, wrapped

__all__ = ["Answer", "Policy", "Talk", "Tone", "clean", "use_color"]

Tone = Literal["plain", "strong", "good", "fair", "cool", "bad", "dim"]
TONES: dict[Tone, str] = {
    "strong": "1", "good": "32", "fair": "33", "cool": "36", "bad": "31", "dim": "2",
}  # fmt: skip

Answer = Literal["yes", "no", "other"]

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
            self._labelled("warning:", "33", message)

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
        self._labelled("error:", "31;1", error.message)
        if error.hint:
            self._labelled("hint:", "36", error.hint)

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
            from agentlaunch.talk.choice import choose_by_keys

            colored = self._colored(self.err)
            return choose_by_keys(
                clean(question), rows, find or rows, stream=self.err, colored=colored
            )
        for number, row in enumerate(rows, 1):
            self._line(f"{number}. {row}")
        numbers = f"1-{len(rows)}, " if len(rows) > 1 else ""
        self.err.write(f"{clean(question)} [{numbers}Enter = 1, q = none] ")
        self.err.flush()
        answer = sys.stdin.readline()
        word = answer.strip() or ("1" if answer else "q")
        return int(word) - 1 if word in map(str, range(1, len(rows) + 1)) else None

    @property
    def may_ask(self) -> bool:
        """True when a person sits at both ends of the terminal and nothing forbids to ask."""
        policy = self.policy
        if policy.json or policy.no_input or os.environ.get("CI"):
            return False
        return is_terminal(sys.stdin) and is_terminal(self.err)

    def follow(self, work: Work[T]) -> T:
        """Run slow work to its end: a bar on a terminal, a line every ten seconds elsewhere.

        Work that is not run to its end, since Ctrl-C came while its report was being shown, is
        closed here and cleans up now: left to the end of the program it could hang (seen).
        """
        with contextlib.closing(work):
            if not self.policy.json and is_terminal(self.err) and os.environ.get("TERM") != "dumb":
                return follow_live(work, self.err, colored=self._colored(self.err))
            return follow_plain(work, self)

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
        if not is_terminal(self.out) and "COLUMNS" not in os.environ:
            self.answer(text)
            return
        self.out.write(wrapped(clean(text, limit=None), self.width, " " * indent) + "\n")
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
                self.answer("\n\n".join(block(headers, row, width) for row in cells))
                return
            widths[0] = min(widths[0], room)
        lines = []
        for *front, last in (headers, *cells):
            padded = [cell.ljust(size) for cell, size in zip(front, widths, strict=False)]
            if len(padded[0]) > widths[0]:  # a long name stands alone
                padded[0] += "\n" + " " * widths[0]
            start = "  ".join(padded)
            if below:
                lines += [start.rstrip(), wrapped(BELOW + last, width, BELOW)]
            else:
                lines.append(wrapped(f"{start}  {last}", width, " " * beside))
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

    def _labelled(self, label: str, code: str, text: str) -> None:
        folded = self._folded(f"{label} {clean(text)}").removeprefix(label)
        self._line(self._styled(label, code) + folded)

    def _folded(self, text: str) -> str:
        """Text folded at the terminal's width, under its own indent; a pipe gets it whole."""
        if not is_terminal(self.err):
            return text
        indent = " " * (len(text) - len(text.lstrip()) or 9)
        return "\n".join(wrapped(line, self.width, indent) for line in text.split("\n"))

    def _styled(self, text: str, code: str, stream: TextIO | None = None) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colored(stream or self.err) else text

    def _colored(self, stream: TextIO) -> bool:
        return use_color(self.policy.color, stream)
