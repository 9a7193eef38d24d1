"""The account of the gateway: what a request used and cost, and what of today's money is spent.

A stand-alone file like `litellm_hooks`, which loads it: standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

Document = dict[str, Any]

MOST_EVENT_BYTES = 32 << 20
"""Of one file; the one before it is kept."""
MOST_USD = 1e9
"""A line that tells of more is no account of ours."""
RESERVED_OUTPUT_TOKENS = 4096
"""What a request under way is thought to answer, where it asks for more."""
LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""How the wires call the most tokens of an answer."""


def usage_of(told: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Tokens of a reply: input, of them cached, of them newly written to a cache, output."""
    details = told.get("prompt_tokens_details")
    details = details if isinstance(details, Mapping) else {}
    cached = count(details.get("cached_tokens")) or count(told.get("cache_read_input_tokens"))
    written = count(told.get("cache_creation_input_tokens")) or count(
        details.get("cache_creation_tokens")
    )
    given = count(told.get("prompt_tokens"))
    return given, min(cached, given), written, count(told.get("completion_tokens"))


def cost_usd(
    hop: Mapping[str, Any], given: int, cached: int, written: int, output: int
) -> float | None:
    """What a call cost at the hop's own prices; 0 for an engine of one's own, None if unknown."""
    if not hop.get("managed"):
        return 0.0
    price = hop.get("price")
    if not isinstance(price, Mapping):
        return None
    input_usd = float(price["input_usd"])
    read_usd = _price(price.get("cached_input_usd"), input_usd)
    write_usd = _price(price.get("cache_write_usd"), input_usd)
    fresh = max(0, given - cached - written)
    total = fresh * input_usd + cached * read_usd + written * write_usd
    return (total + output * float(price["output_usd"])) / 1e6


def estimate_usd(hop: Mapping[str, Any], request: Mapping[str, Any]) -> float:
    """What a request under way may cost: four bytes a token, and an answer of some length."""
    parts = [request.get(name) for name in ("messages", "input", "system", "instructions", "tools")]
    given = sum(len(str(part)) for part in parts if part) // 4
    limits = [count(request.get(name)) for name in LIMITS]
    output = min([limit for limit in limits if limit] + [RESERVED_OUTPUT_TOKENS])
    return cost_usd(hop, given, 0, 0, output) or 0.0


def count(value: object) -> int:
    """A number of tokens; 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _price(value: object, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) else otherwise


def request_row(
    hop: Document | None,
    role: str,
    tokens: tuple[int, int, int],
    spent: float | None,
    took_s: float | None,
    status: int,
) -> Document:
    """The line of one request; `tokens` are input, of them cached, and output."""
    given, cached, output = tokens
    return {
        "kind": "request",
        "at": now(),
        "role": role,
        "hop": hop["name"] if hop else "",
        "model": hop["model"] if hop else "",
        "input_tokens": given,
        "cached_tokens": cached,
        "output_tokens": output,
        "cost_usd": spent,
        "managed": bool(hop and hop["managed"]),
        "local": bool(hop and hop["local"]),
        "took_s": took_s,
        "status": status,
    }


# ---- the file of events -----------------------------------------------------------------------


class Ledger:
    """The events of every gateway of this user, and what of the day's money they tell."""

    def __init__(self, path: Path, today: Callable[[], date] = date.today) -> None:
        self._path = path
        self._today = today
        self._day = today()
        self._spent = 0.0
        self._unwritten = 0.0
        self._read: tuple[int, int] = (0, 0)
        """Number of the file (inode) and up to where it was read."""

    def add(self, row: Document) -> None:
        """Append one line; where that fails, what it cost still counts."""
        line = json.dumps(row, separators=(",", ":")).encode() + b"\n"
        try:
            self._rotate()
            opened = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(opened, line)
            finally:
                os.close(opened)
        except OSError:
            self._unwritten += _cost(row)

    def spent_usd(self) -> float:
        """What managed calls cost today, of all gateways that write here."""
        today = self._today()
        if today != self._day:
            self._day, self._spent, self._unwritten = today, 0.0, 0.0
        with contextlib.suppress(OSError):
            self._catch_up()
        return self._spent + self._unwritten

    def _catch_up(self) -> None:
        status = self._path.stat()
        number, offset = self._read
        if number != status.st_ino or status.st_size < offset:  # the first look, or rotated
            self._spent = _sum(_old(self._path), 0, self._day)[0]
            offset = 0
        elif status.st_size == offset:
            return
        more, end = _sum(self._path, offset, self._day)
        self._spent += more
        self._read = (status.st_ino, end)

    def _rotate(self) -> None:
        if not self._path.exists() or self._path.stat().st_size < MOST_EVENT_BYTES:
            return
        with _locked(self._path.with_suffix(".lock")):
            if self._path.stat().st_size >= MOST_EVENT_BYTES:  # no other gateway did it
                self._path.replace(_old(self._path))


def _old(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


def _sum(path: Path, offset: int, day: date) -> tuple[float, int]:
    """What the managed calls of a day cost from `offset` on, and where the last whole line ends."""
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            data = stream.read()
    except OSError:
        return 0.0, offset
    data = data[: data.rfind(b"\n") + 1]
    total = 0.0
    for line in data.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            row = json.loads(line)
            if isinstance(row, dict) and _cost(row) and _day_of(row) == day:
                total += _cost(row)
    return total, offset + len(data)


def _cost(row: Document) -> float:
    value = row.get("cost_usd")
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or row.get("managed") is not True
    ):
        return 0.0
    return float(value) if 0 <= value < MOST_USD else 0.0  # JSON of Python has NaN, too


def _day_of(row: Document) -> date | None:
    return datetime.fromisoformat(str(row.get("at"))).astimezone().date()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def write_whole(path: Path, value: Document) -> None:
    """A JSON document, whole or not at all, for this user alone."""
    handle, name = tempfile.mkstemp(prefix=".agentlaunch-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(json.dumps(value).encode() + b"\n")
        os.replace(name, path)  # noqa: PTH105 - the system call is the point
    except OSError:  # a full disk
        os.unlink(name)  # noqa: PTH108
        raise


def now() -> str:
    """This moment as the events tell it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
