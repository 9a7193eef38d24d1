"""`agentlaunch engines --watch`: what is loaded and how fast it works, anew each second."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import shutil
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from agentlaunch import errors, settings
from agentlaunch.commands import ruling
from agentlaunch.commands.engine_looks import EVERY_S, Picture, Seen, askers
from agentlaunch.commands.result import Result
from agentlaunch.engines import live
from agentlaunch.engines.live import Figure, Live
from agentlaunch.talk import Talk, clean
from agentlaunch.talk.text import is_terminal

RESIZE_S = 0.1
LONGEST_NAME = 60
LONGEST_NOTE = 200

HEADERS = ("MODEL", "STATE", "CONTEXT", "PROMPT/S", "REPLY/S", "CACHED", "REQUESTS", "ENGINE")
LEGEND = {
    "last": "last: measured before, nothing new came since",
    "mean": "mean: since the engine started",
}
MARKS: dict[live.When, str] = {"now": "", "last": " last", "mean": " mean"}

ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
"""A screen of its own, without a cursor, on which a long line is cut and not folded."""
LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[2K", "\x1b[J"


def watch(talk: Talk) -> Result:
    """Show live numbers until Ctrl-C (130) or SIGTERM (143), without a word at the end.

    Raises `UsageError` with --json.
    """
    if talk.policy.json:
        hint = "for one look: agentlaunch engines --json"
        raise errors.UsageError("--watch has no single JSON document", hint=hint)
    picture = Picture(askers(ruling.kept_home(settings.load())[0]))
    try:
        if is_terminal(talk.out) and os.environ.get("TERM", "dumb") not in {"dumb", "unknown"}:
            _on_terminal(talk, picture)
        else:
            _in_lines(talk, picture)
    except KeyboardInterrupt:
        return _ended(errors.INTERRUPTED_EXIT)
    except errors.Terminated:
        return _ended(errors.TERMINATED_EXIT)


def _ended(status: int) -> Result:
    return Result("agentlaunch/engines/1", {}, lambda _talk: None, status)


def _in_lines(talk: Talk, picture: Picture) -> NoReturn:
    while True:
        began = time.monotonic()
        picture.look()
        talk.answer(line(picture))
        time.sleep(max(0.0, EVERY_S - (time.monotonic() - began)))


# ---- words --------------------------------------------------------------------------------


def line(picture: Picture) -> str:
    """Everything in one line, for a log: engines that are not there are left out."""
    rows = list(picture.rows())
    shown = [(row, figures) for row, figures in rows if row.state not in {"missing", "installed"}]
    texts = [_words(row, figures) for row, figures in shown]
    return f"{time.strftime('%H:%M:%S')} {' | '.join(texts) or 'no engine runs'}"


def _words(row: Seen, figures: Live | None) -> str:
    model, state, context, prompt, reply, cached, requests, engine, note = cells(row, figures)
    parts = [" ".join(word for word in (engine, model, state) if word)]
    if context:
        parts.append(f"context {context}")
    if prompt:
        parts += [f"prompt {prompt} tokens/s" if prompt == "?" else f"prompt {_unit(prompt)}"]
        parts += [f"reply {reply} tokens/s" if reply == "?" else f"reply {_unit(reply)}"]
        parts += [f"cached {cached}", f"requests {requests}"]
    return ", ".join(parts) + (f", {note}" if note else "")


def _unit(text: str) -> str:
    number, _, mark = text.partition(" ")
    return f"{number} tokens/s {mark}".rstrip()


def cells(row: Seen, figures: Live | None) -> tuple[str, ...]:
    """A row in words: the model, then as in `HEADERS`, the engine, what else is known. "?" is what
    was not told or not yet measured; nothing stands where a kind of server never tells it."""
    look = row.look
    counts = look.counts if look is not None else live.Counts()
    notes = list(row.notes)
    if counts.cache_full is not None:
        notes.insert(0, f"{_percent(counts.cache_full)} of the context memory in use")
    told = ("", "", "", "")
    if look is not None:
        known = figures or Live(look)
        told = (
            _figure(known.prompt, _number),
            _figure(known.reply, _number),
            _figure(known.cached, _percent),
            _requests(counts),
        )
    found = (
        row.model[:LONGEST_NAME],
        row.state,
        _context(row, figures),
        *told,
        row.engine[:LONGEST_NAME],
        ", ".join(notes)[:LONGEST_NOTE],
    )
    return tuple(clean(" ".join(cell.split())) for cell in found)


def _context(row: Seen, figures: Live | None) -> str:
    whole = f"{row.context_tokens:,}" if row.context_tokens is not None else ""
    if row.look is None or row.look.asleep:
        return whole
    used = _figure(figures.context if figures is not None else None, "{:,.0f}".format)
    number, _, mark = used.partition(" ")
    return " ".join(word for word in (number, f"of {whole}" if whole else "", mark) if word)


def _figure(figure: Figure | None, text: Callable[[float], str]) -> str:
    return "?" if figure is None else text(figure.value) + MARKS[figure.when]


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def _percent(share: float) -> str:
    """Only what is whole is 100 %, only nothing is 0 %."""
    return f"{round(100 * share) if share in (0, 1) else min(99, max(1, round(100 * share)))} %"


def _requests(counts: live.Counts) -> str:
    if counts.running is None:
        return "?"
    return f"{counts.running}" + (f" ({counts.waiting} waiting)" if counts.waiting else "")


# ---- a terminal ---------------------------------------------------------------------------


class _Frame(io.StringIO):
    """A picture that is drawn whole before it is shown, as if it were the terminal."""

    def isatty(self) -> bool:
        return True


def drawn(talk: Talk, picture: Picture) -> list[str]:
    """The lines of one picture, at the terminal's width."""
    frame = _Frame()
    on_frame = dataclasses.replace(talk, out=frame)
    rows = list(picture.rows())
    table = [cells(row, known) for row, known in rows]
    on_frame.answer(f"{time.strftime('%H:%M:%S')}  tokens a second; Ctrl-C ends\n")
    joined = [
        [row[0] or "-", *row[1:-2], ", ".join(cell for cell in row[-2:] if cell)] for row in table
    ]
    on_frame.table(HEADERS, joined)
    figures = [cell for row in table for cell in row[2:6]]
    for mark, text in LEGEND.items():
        if any(cell.endswith(f" {mark}") for cell in figures):
            on_frame.answer(text)
    return frame.getvalue().splitlines()


def _on_terminal(talk: Talk, picture: Picture) -> NoReturn:
    """Draw in place, again at once when the window's size changes; leave the last picture."""
    lines: list[str] = []
    out = talk.out
    out.write(ENTER)
    try:
        while True:
            began = time.monotonic()
            picture.look()
            lines = drawn(talk, picture)
            size = _show(talk, lines)
            while (left_s := EVERY_S - (time.monotonic() - began)) > 0:
                time.sleep(min(RESIZE_S, left_s))
                if shutil.get_terminal_size() != size:
                    lines = drawn(talk, picture)
                    size = _show(talk, lines, anew=True)
    finally:
        with contextlib.suppress(OSError, ValueError):  # the terminal may be gone
            out.write(LEAVE)
            talk.lines(lines)


def _show(talk: Talk, lines: Sequence[str], *, anew: bool = False) -> os.terminal_size:
    size = shutil.get_terminal_size()
    room = max(2, size.lines)
    shown = list(lines[:room]) if len(lines) <= room else [*lines[: room - 1], "…"]
    start = HOME + ("\x1b[2J" if anew else "")
    below = "\n" + CLEAR_BELOW if len(shown) < room else ""
    talk.out.write(start + "\n".join(CLEAR_LINE + text for text in shown) + below)
    talk.out.flush()
    return size
