"""What the formats share: bytes as text and back, values by key, why a file is not edited. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KeyPath = tuple[str, ...]
"""One key by the names that lead to it."""

MOST_BYTES = 10 * 2**20
"""Larger than this is no settings file."""

_BOM = b"\xef\xbb\xbf"
MISSING: Any = object()
"""Stands for the value of a key that is not there."""


class Unfit(ValueError):
    """A document that cannot be edited, with the place (counted from 1) where that shows."""

    def __init__(self, reason: str, line: int = 1, column: int = 1) -> None:
        super().__init__(reason)
        self.reason, self.line, self.column = reason, line, column


def unfit_at(text: str, index: int, reason: str) -> Unfit:
    """`Unfit` for a place in a text."""
    before = text[:index]
    return Unfit(reason, before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)


@dataclass(frozen=True, slots=True)
class Coding:
    """How a text became bytes: with a byte order mark, with CRLF at every line's end."""

    bom: bool = False
    crlf: bool = False

    def encode(self, text: str) -> bytes:
        body = (text.replace("\n", "\r\n") if self.crlf else text).encode()
        return _BOM + body if self.bom else body


def decode(data: bytes) -> tuple[str, Coding]:
    """A document's text with plain line ends, where all of its own are alike. Raises `Unfit`."""
    if len(data) > MOST_BYTES:
        raise Unfit(f"it is larger than {MOST_BYTES >> 20} MiB")
    bom = data.startswith(_BOM)
    body = data[len(_BOM) :] if bom else data
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        head = body[: error.start]
        column = error.start - (head.rfind(b"\n") + 1) + 1
        raise Unfit("it is not UTF-8 text", head.count(b"\n") + 1, column) from error
    crlf = "\r\n" in text and text.count("\n") == text.count("\r\n")
    return (text.replace("\r\n", "\n") if crlf else text), Coding(bom, crlf)


def look_up(data: Any, key: KeyPath) -> Any:
    """The value under a path of keys, or MISSING."""
    for name in key:
        if not isinstance(data, Mapping) or name not in data:
            return MISSING
        data = data[name]
    return data


def same(one: Any, other: Any) -> bool:
    """Equal, and of one kind: true is not 1."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    return bool(one == other)


def with_value(data: Mapping[str, Any], key: KeyPath, value: Any) -> dict[str, Any]:
    """The same data with one key set, or (MISSING) removed; what is empty then stays."""
    name, rest = key[0], key[1:]
    changed = dict(data)
    if rest:
        inner = changed.get(name)
        if value is MISSING and not isinstance(inner, Mapping):
            return changed
        changed[name] = with_value(inner if isinstance(inner, Mapping) else {}, rest, value)
    elif value is MISSING:
        changed.pop(name, None)
    else:
        changed[name] = value
    return changed


def shown(key: KeyPath) -> str:
    """A path of keys for people."""
    return ".".join(key)
