"""`agentlaunch usage`: tokens by engine, what was spent, and what the same would have cost."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

from agentlaunch import settings
from agentlaunch.commands.memory_chart import Ink, ink_for
from agentlaunch.commands.result import Result
from agentlaunch.errors import UsageError
from agentlaunch.models import prices
from agentlaunch.survey import usage as survey
from agentlaunch.survey.usage import Found, Request
from agentlaunch.talk import Talk
from agentlaunch.units import format_tokens

SCHEMA = "agentlaunch/usage/1"
DEFAULT = "7d"
EXAMPLES = "--since today, 24h, 7d, 4w, 2026-11-01"
MOST_DAYS = 3650
BAR_DAYS = 14
"""Days that the chart shows, the newest."""
WIDEST_BAR = 60
_SPAN = re.compile(r"([0-9]{1,5})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True, slots=True)
class Row:
    """Requests of one kind, added up."""

    name: str
    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    spent_usd: float | None
    """None where a paid one has no known price."""
    equivalent_usd: float
    """What those that cost nothing by the token would have cost."""
    managed: bool
    local: bool

    @property
    def tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens


def run(talk: Talk, since: str | None) -> Result:
    """The report. Raises `UsageError` for what is no moment."""
    now = datetime.now(timezone.utc)
    begin = moment(since or DEFAULT, now)
    found = survey.look(settings.paths(), os.environ, begin, now=now)
    data = as_json(found, begin)
    if found.partial:
        talk.warn(
            "not everything was read: there are too many conversations, or one is too large",
            code="partial",
        )
    return Result(SCHEMA, data, lambda t: _draw(t, found, begin))


def moment(text: str, now: datetime) -> datetime:
    """`today`, `24h`, `7d`, `2w`, a date, or a time, as a moment with its zone; days begin as they
    do here. Raises `UsageError`."""
    word = text.strip().lower()
    if word == "today":
        return _midnight(now.astimezone().date())
    span = _SPAN.fullmatch(word)
    try:
        if span is not None:
            found = now - int(span[1]) * _UNITS[span[2]]
        elif re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", word):
            found = _midnight(date.fromisoformat(word))
        else:
            found = datetime.fromisoformat(text.strip().replace("Z", "+00:00")).astimezone()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"--since: {text!r} is no moment", hint=EXAMPLES, code="bad-value"
        ) from None
    if not now - timedelta(days=MOST_DAYS) <= found <= now:
        raise UsageError(
            f"--since: {text!r} is not in the last ten years", hint=EXAMPLES, code="bad-value"
        )
    return found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time()).astimezone()


# ---- adding up --------------------------------------------------------------------------------


def by_engine(requests: Iterable[Request]) -> tuple[Row, ...]:
    """One row for each engine and model, the most used first."""
    groups: dict[tuple[str, str], list[Request]] = {}
    for row in requests:
        groups.setdefault((row.engine, row.model), []).append(row)
    rows = [added(f"{engine} {model}", rows) for (engine, model), rows in groups.items()]
    return tuple(sorted(rows, key=lambda row: (-row.tokens, row.name)))


def by_day(requests: Iterable[Request]) -> dict[date, tuple[Row, Row]]:
    """For each day what engines of one's own did, and what managed ones did."""
    groups: dict[date, tuple[list[Request], list[Request]]] = {}
    for row in requests:
        pair = groups.setdefault(row.at.astimezone().date(), ([], []))
        pair[row.managed].append(row)
    return {
        day: (added("own", own), added("managed", managed))
        for day, (own, managed) in sorted(groups.items())
    }


def added(name: str, rows: Sequence[Request]) -> Row:
    """The sum of some requests."""
    spent = [row.spent_usd for row in rows]
    return Row(
        name=name,
        requests=len(rows),
        input_tokens=sum(row.input_tokens for row in rows),
        cached_tokens=sum(row.cached_tokens for row in rows),
        output_tokens=sum(row.output_tokens for row in rows),
        spent_usd=None if None in spent else sum(value or 0.0 for value in spent),
        equivalent_usd=sum(row.saved_usd or 0.0 for row in rows),
        managed=any(row.managed for row in rows),
        local=all(row.local for row in rows),
    )


# ---- for programs -----------------------------------------------------------------------------


def as_json(found: Found, since: datetime) -> dict[str, Any]:
    """CONTRACT 3; money in US dollars, null where it is not known."""
    groups: dict[tuple[str, str], list[Request]] = {}
    for row in found.requests:
        groups.setdefault((row.engine, row.model), []).append(row)
    return {
        "since": since.isoformat(timespec="seconds"),
        "partial": found.partial,
        "by_engine": [
            {"engine": engine, "model": model, **_counts(added("", rows)), **_sold(rows)}
            for (engine, model), rows in sorted(groups.items())
        ],
        "by_day": [
            {"day": day.isoformat(), "own": _counts(own), "managed": _counts(managed)}
            for day, (own, managed) in by_day(found.requests).items()
        ],
        "total": _counts(added("", found.requests)),
        "prices": {"source": prices.source()},
    }


def _counts(row: Row) -> dict[str, Any]:
    return {
        "requests": row.requests,
        "input_tokens": row.input_tokens,
        "cached_tokens": row.cached_tokens,
        "output_tokens": row.output_tokens,
        "spent_usd": None if row.spent_usd is None else round(row.spent_usd, 6),
        "equivalent_usd": round(row.equivalent_usd, 6),
    }


def _sold(rows: Sequence[Request]) -> dict[str, Any]:
    first = rows[0]
    same = first.equivalent
    return {
        "managed": first.managed,
        "local": all(row.local for row in rows),
        "equivalent": None
        if same is None
        else {"seller": same.seller, "model": same.name, "same_weights": same.same},
    }


# ---- for people -------------------------------------------------------------------------------


def _draw(talk: Talk, found: Found, since: datetime) -> None:
    when = since.astimezone().strftime("%Y-%m-%d %H:%M")
    if not found.requests:
        talk.answer(f"nothing was used since {when}")
        talk.say("launches fill this: agentlaunch up claude-code")
        return
    rows = by_engine(found.requests)
    headers = ("REQUESTS", "IN", "CACHED", "OUT", "SPENT", "ENGINE AND MODEL")
    talk.table(
        headers,
        [
            (
                f"{row.requests:,}",
                format_tokens(row.input_tokens),
                format_tokens(row.cached_tokens),
                format_tokens(row.output_tokens),
                dollars(row.spent_usd),
                row.name,
            )
            for row in rows
        ],
    )
    talk.answer("")
    for line in chart(by_day(found.requests), ink_for(talk.out), talk.width):
        talk.answer(line)
    talk.answer("")
    for line in sums(found.requests, when):
        talk.answer_folded(line, indent=0)


def dollars(usd: float | None) -> str:
    """Two places, more for less than a cent, `?` for what is not known."""
    if usd is None:
        return "?"
    if usd == 0:
        return "-"
    return f"${usd:.2f}" if usd >= 0.01 else f"${usd:.4f}"


def sums(requests: Sequence[Request], when: str) -> list[str]:
    """What was spent, and what engines of one's own would have cost, with whose prices."""
    own = [row for row in requests if not row.managed]
    whole = added("", requests)
    lines = [
        f"since {when}: {format_tokens(whole.input_tokens)} tokens in, "
        f"{format_tokens(whole.output_tokens)} out; spent on managed calls: "
        f"{dollars(whole.spent_usd) if whole.spent_usd != 0 else 'nothing'}"
    ]
    if whole.spent_usd is None:
        lines.append("?: a managed model whose price is not known is not in the sum")
    if own:
        sellers = dict.fromkeys(
            str(row.equivalent) for row in own if row.equivalent is not None and row.equivalent.same
        )
        others = dict.fromkeys(
            str(row.equivalent)
            for row in own
            if row.equivalent is not None and not row.equivalent.same
        )
        saved = added("", own).equivalent_usd
        lines.append(
            f"your own engines did what would have cost {dollars(saved)}, at the prices of "
            f"{', '.join((*sellers, *others))} ({prices.source()})"
        )
        if others:
            lines.append(
                f"nobody in that list sells some of these models: they count as {', '.join(others)}"
            )
    return lines


def chart(days: dict[date, tuple[Row, Row]], ink: Ink, width: int) -> list[str]:
    """Tokens by day: engines of one's own, then managed ones; a row also for a day without any."""
    if not days:
        return []
    last = max(days)
    first = max(min(days), last - timedelta(days=BAR_DAYS - 1))
    nothing = (added("own", ()), added("managed", ()))
    every = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    shown = [(day, days.get(day, nothing)) for day in every]
    most = max(own.tokens + managed.tokens for _day, (own, managed) in shown)
    if not most:
        return []
    beside = len("11-23  ") + len("  ") + len(format_tokens(most)) + 1
    room = max(10, min(WIDEST_BAR, width - beside))
    lines = []
    for day, (own, managed) in shown:
        parts = [_length(row.tokens, most, room) for row in (own, managed)]
        bar = ink.weights * parts[0] + ink.cache * parts[1]
        lines.append(
            f"{day:%m-%d}  {bar.ljust(room)}  {format_tokens(own.tokens + managed.tokens)}"
        )
    if any(managed.tokens for _own, managed in days.values()):
        lines.append(f"       {ink.weights} your own engines  {ink.cache} managed")
    if min(days) < first:
        lines.append(f"       from {min(days):%m-%d} on in the sums; bars: {BAR_DAYS} days")
    return lines


def _length(tokens: int, most: int, room: int) -> int:
    """At least one mark for what is there at all."""
    return max(1, round(tokens * room / most)) if tokens else 0
