"""The ranked models as lines of text, for a terminal of any width: pure, from values to lines."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

from agentlaunch.commands.memory_chart import Ink
from agentlaunch.models.candidate import Candidate
from agentlaunch.models.choose import Choice
from agentlaunch.models.fit import Fit
from agentlaunch.talk import Tone
from agentlaunch.units import format_memory, format_rate, format_span, format_tokens

Paint = Callable[[str, Tone], str]

TONES: dict[str, Tone] = {"roomy": "good", "tight": "fair", "split": "cool", "no": "bad"}
BAR_CELLS = 10
LEAST_WHY = 36
"""Columns below which a reason stands under its row instead of beside it."""
LEAST_NAME = 22
"""Columns for names below which the figures go under the name; a longer name stands alone."""

HEADS = ("MODEL", "FIT", "NEEDS / BUDGET", "CONTEXT", "TOKENS/S", "FIRST WORD")
GAP = "  "
INDENT = " " * 4


def draw(
    choice: Choice, shown: Sequence[Candidate], *, width: int, ink: Ink, paint: Paint
) -> list[str]:
    """A row for each candidate: everything in one line where it fits, the reason beside or below
    it; in a narrow terminal the figures below the name. No line is wider than `width` unless a
    single word is."""
    rows = [_cells(row, ink) for row in shown]
    marks = [_mark(row, choice) for row in shown]
    widths = [max(map(len, column)) for column in zip(HEADS, *rows, strict=True)]
    line = len(GAP) + sum(widths) + len(GAP) * (len(widths) - 1)
    if line > width and widths[0] - (line - width) >= LEAST_NAME:
        widths[0] -= line - width
        line = width
    beside = line + len(GAP) + LEAST_WHY <= width
    lines = []
    if line <= width:
        head = "  " + GAP.join(text.ljust(size) for text, size in zip(HEADS, widths, strict=True))
        lines.append(paint((head + (GAP + "WHY" if beside else "")).rstrip(), "strong"))
    for row, cells, mark in zip(shown, rows, marks, strict=True):
        why = row.because[0] if row.because else ""
        tones = _tones(row)
        if line <= width:
            text = _joined(cells, widths, tones, paint)
            if len(cells[0]) > widths[0]:
                lines.append(f"{mark} {paint(cells[0], tones[0])}")
                text = _joined(("", *cells[1:]), widths, tones, paint)
            lead = " " if len(cells[0]) > widths[0] else mark
            if beside:
                room = width - line - len(GAP)
                first, *rest = textwrap.wrap(why, room) or [""]
                lines.append(f"{lead} {text}{GAP}{first}".rstrip())
                lines += [" " * (line + len(GAP)) + more for more in rest]
                continue
            lines.append(f"{lead} {text}".rstrip())
        else:
            lines += _narrow(mark, cells, tones, width, paint)
        lines += [paint(text, "dim") for text in _under(why, width)]
    return lines


def _cells(row: Candidate, ink: Ink) -> tuple[str, ...]:
    decode, first = row.speed.decode_tokens_per_s, row.speed.first_word_s
    return (
        row.id,
        row.fit.verdict or "?",
        _bar(row.fit, ink),
        format_tokens(row.fit.context_tokens),
        "?" if decode is None else format_rate(decode.low, decode.high),
        "?" if first is None else format_span(first.low, first.high) + _prompt(row),
    )


def _prompt(row: Candidate) -> str:
    """Which of the agent's prompts the time is for, where it is not the full one."""
    return "" if row.request in (None, "full") else f", {row.request}"


def _bar(fit: Fit, ink: Ink) -> str:
    """What it needs of the budget, as figures and as a bar that overflows where it does not fit."""
    text = f"{format_memory(fit.total_bytes)} of {format_memory(fit.budget_bytes)}"
    if fit.total_bytes is None or not fit.budget_bytes:
        return text
    full = round(BAR_CELLS * min(1.0, fit.total_bytes / fit.budget_bytes))
    full = max(1, full)
    end = ink.beyond if fit.total_bytes > fit.budget_bytes else ink.budget
    return f"{ink.weights * full}{ink.other * (BAR_CELLS - full)}{end} {text}"


def _tones(row: Candidate) -> tuple[Tone, ...]:
    tone = TONES.get(row.fit.verdict or "", "dim")
    return ("strong", tone, tone, "plain", "plain", "plain")


def _joined(
    cells: Sequence[str], widths: Sequence[int], tones: Sequence[Tone], paint: Paint
) -> str:
    return GAP.join(
        paint(cell.ljust(size), tone) for cell, size, tone in zip(cells, widths, tones, strict=True)
    )


def _narrow(
    mark: str, cells: Sequence[str], tones: Sequence[Tone], width: int, paint: Paint
) -> list[str]:
    name, verdict, bar, context, decode, first = cells
    head = f"{mark} {paint(name, tones[0])}"
    facts: tuple[tuple[str, Tone], ...] = (
        (bar, tones[2]),
        (f"{context} tokens", tones[3]),
        (f"{decode} tokens/s", tones[4]),
        (f"first word {first}", tones[5]),
    )
    if len(mark) + 1 + len(name) + len(GAP) + len(verdict) <= width:
        head += GAP + paint(verdict, tones[1])
    else:
        facts = ((verdict, tones[1]), *facts)
    lines, line, taken = [head], INDENT, len(INDENT)
    for text, tone in facts:
        if taken > len(INDENT) and taken + len(GAP) + len(text) > width:
            lines.append(line)
            line, taken = INDENT, len(INDENT)
        gap = GAP if taken > len(INDENT) else ""
        line, taken = line + gap + paint(text, tone), taken + len(gap) + len(text)
    return [*lines, line]


def _under(why: str, width: int) -> list[str]:
    return textwrap.wrap(why, max(20, width), initial_indent=INDENT, subsequent_indent=INDENT)


def _mark(row: Candidate, choice: Choice) -> str:
    if choice.pick is not None and row.id == choice.pick.id:
        return "*"
    if choice.smarter is not None and row.id == choice.smarter.id:
        return "+"
    if choice.fast is not None and row.id == choice.fast.id:
        return ">"
    return " "


def choices(choice: Choice) -> list[str]:
    """The pick and two other choices, or why there is none; nothing without a pick."""
    if choice.pick is None:
        return []
    lines = []
    for mark, name, row, otherwise in (
        ("*", "pick", choice.pick, ""),
        (">", "fast", choice.fast, "no good one is clearly faster than the pick"),
        ("+", "smarter", choice.smarter, "no smarter one would run bearably here"),
    ):
        if row is None:
            lines.append(f"  {name:8}{otherwise}")
            continue
        text = f"{mark} {name:8}{row.id}: {row.fit.verdict}"
        if row.speed.first_word_s is not None:
            band = row.speed.first_word_s
            text += f", first word in {format_span(band.low, band.high)}"
            decode = row.speed.decode_tokens_per_s
            if _prompt(row):
                text += f" with the agent's {row.request} prompt"
            if decode is not None:
                text += f", then {format_rate(decode.low, decode.high)} tokens/s"
        if row is choice.pick and row.because:
            text += f"; {row.because[-1]}"
        lines.append(text)
    return lines
