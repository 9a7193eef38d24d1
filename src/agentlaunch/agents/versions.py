"""Versions of agents as numbers to compare: which were tested, what breaks where. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

Numbers = tuple[int, ...]

_COMPARISON = re.compile(r"\s*(<=|>=|<|>|==)\s*(\S+?)\s*")


def numbers(version: str) -> Numbers | None:
    """The dotted numbers that a version begins with, None where it begins with none."""
    found = re.match(r"v?([0-9]{1,9}(?:\.[0-9]{1,9})*)", version.strip())
    if found is None:
        return None
    rows = [int(word) for word in found[1].split(".")]
    while rows and rows[-1] == 0:  # 1.2 and 1.2.0 are the same
        rows.pop()
    return tuple(rows)


def matches(version: str, comparisons: str) -> bool:
    """Does a version meet all of these (`>=0.80,<0.120`)? One that has no numbers meets none.

    Raises `ValueError` for what is no comparison: these stand in our own files.
    """
    mine = numbers(version)
    if mine is None:
        return False
    for word in comparisons.split(","):
        found = _COMPARISON.fullmatch(word)
        limit = numbers(found[2]) if found is not None else None
        if found is None or limit is None:
            raise ValueError(f"{word!r} is no comparison of versions")
        holds = {
            "<": mine < limit,
            "<=": mine <= limit,
            ">": mine > limit,
            ">=": mine >= limit,
            "==": mine == limit,
        }
        if not holds[found[1]]:
            return False
    return True


def in_tested_range(version: str, tested: Iterable[str]) -> bool:
    """Does a version lie between the oldest and the newest tested one?"""
    mine = numbers(version)
    known = [row for row in map(numbers, tested) if row is not None]
    return mine is not None and bool(known) and min(known) <= mine <= max(known)
