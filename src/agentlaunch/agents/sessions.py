"""Conversations that an agent keeps: which one its arguments resume, and how large it is. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

LATEST = ""
"""Stands for the newest conversation of the project."""


@dataclass(frozen=True, slots=True)
class Resume:
    """What the user's arguments go on with, and the same arguments without that."""

    session: str
    """The conversation's id, or `LATEST`."""
    fresh: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sessions:
    """Where an agent keeps its conversations, and how to read them."""

    resumed: Callable[[tuple[str, ...]], Resume | None]
    """None for a new conversation, and for one that the agent lets the user choose himself."""
    pattern: Callable[[str, str], str]
    """(project's absolute path, id) → glob pattern of its files below the user's folder."""
    tokens: Callable[[Iterable[bytes]], int | None]
    """From the lines of a file, oldest first: tokens that its last request and reply took."""
    project: Callable[[bytes], str | None] | None = None
    """From the first line of a file: its project, for an agent that keeps all in one folder."""


def by_flags(
    args: tuple[str, ...], *, latest: tuple[str, ...], by_id: tuple[str, ...]
) -> Resume | None:
    """Flags that resume: `latest` alone, `by_id` with an id (without one the agent asks)."""
    for at, arg in enumerate(args):
        if arg == "--":
            break
        flag, equals, value = arg.partition("=")
        if flag in latest:
            return Resume(LATEST, (*args[:at], *args[at + 1 :]))
        if flag not in by_id:
            continue
        if equals:
            return Resume(value, (*args[:at], *args[at + 1 :])) if is_id(value) else None
        following = args[at + 1] if at + 1 < len(args) else ""
        if is_id(following):
            return Resume(following, (*args[:at], *args[at + 2 :]))
        return None
    return None


def by_word(
    args: tuple[str, ...], word: str, *, latest: tuple[str, ...], before: tuple[str, ...] = ()
) -> Resume | None:
    """A subcommand that resumes: `word ID`, or `word` with one of `latest`; it may stand behind
    one of `before`."""
    at = 1 if args[:1] and args[0] in before else 0
    if args[at : at + 1] != (word,):
        return None
    rest = args[at + 1 :]
    for place, arg in enumerate(rest):
        if arg in latest or is_id(arg):
            session = LATEST if arg in latest else arg
            return Resume(session, (*args[:at], *rest[:place], *rest[place + 1 :]))
    return None


def is_id(word: str) -> bool:
    """Does this look like an id of a conversation, and not like a prompt?"""
    return re.fullmatch(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", word) is not None


def documents(lines: Iterable[bytes]) -> Iterable[dict[str, Any]]:
    """The JSON objects among the lines; a line that was cut is none."""
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value


def total(usage: object, *names: str) -> int | None:
    """The sum of these counts, None where none of them is there."""
    rows = usage if isinstance(usage, dict) else {}
    found = [rows[name] for name in names if isinstance(rows.get(name), int)]
    return sum(found) if found else None
