"""TOML: one key's text changed, all else as it is.

The standard library says whether a document is right and what it holds; a reader of rows says where
each value stands. The edit is a splice of the text, and what it says is read again afterwards.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentlaunch.changes.text import MISSING, KeyPath, Unfit, look_up, shown, unfit_at

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")
_BLANK = re.compile(r"[ \t\r\n]*(?:#[^\n]*)?")
_QUOTES = ('"""', "'''", '"', "'")


@dataclass(frozen=True, slots=True)
class _Row:
    """`key = value`, or (without a value) the header of a table."""

    path: KeyPath
    table: KeyPath
    start: int
    value: tuple[int, int] | None
    array: bool = False
    """Stands in, or is, a table of a list of tables."""


def load(text: str) -> dict[str, Any]:
    """The data of a document. Raises `Unfit` with line and column."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        data: dict[str, Any] = tomllib.loads(text)
    except RecursionError:
        raise Unfit("it is nested too deep") from None
    except ValueError as error:
        found = _PLACE.search(str(error))
        reason = re.sub(r" \(at [^()]*\)$", "", str(error))
        if found is None:
            raise unfit_at(text, len(text), reason) from error
        raise Unfit(reason, int(found[1]), int(found[2])) from error
    return data


def value(raw: str) -> Any:
    """What the text of one value says."""
    return load(f"x = {raw}")["x"]


def raw(text: str, key: KeyPath) -> str | None:
    """The text of a key's value; None where it is not there. Raises `Unfit` for a table."""
    row = _find(text, key)
    if row is None or row.value is None:
        return None
    return text[row.value[0] : row.value[1]]


def put(text: str, key: KeyPath, value: Any) -> str:
    """The text with a key's value replaced, or the key added to its table. Raises `Unfit`."""
    written = _written(value)
    if _find(text, key) is not None:
        return splice(text, key, written)
    rows, table = list(_rows(text)), key[:-1]
    inside = [row for row in rows if row.table == table and not row.array]
    if inside or not table:
        if not inside:
            return f"{_name(key[-1])} = {written}\n{text}"
        return _behind(text, inside[-1], f"{_indent(text, inside[-1])}{_name(key[-1])} = {written}")
    dotted = [
        row for row in rows if row.path[: len(table)] == table and len(row.table) < len(table)
    ]
    if dotted:
        last = dotted[-1]
        name = ".".join(_name(part) for part in key[len(last.table) :])
        return _behind(text, last, f"{_indent(text, last)}{name} = {written}")
    gap = "" if not text.strip() else "\n" if text.endswith("\n") else "\n\n"
    head = ".".join(_name(name) for name in table)
    return f"{text}{gap}[{head}]\n{_name(key[-1])} = {written}\n"


def splice(text: str, key: KeyPath, raw: str) -> str:
    """The text with the value of a key that is there replaced by this very text."""
    row = _find(text, key)
    if row is None or row.value is None:
        raise Unfit(f"`{shown(key)}` is not there")
    return text[: row.value[0]] + raw + text[row.value[1] :]


def drop(text: str, key: KeyPath, keep: int) -> str:
    """The text without a key, and without the tables that are empty then, down to the first `keep`
    names."""
    row = _find(text, key)
    if row is None:
        return text
    text = _without_line(text, row)
    for level in range(len(key) - 1, keep, -1):
        rows = list(_rows(text))
        head = [row for row in rows if row.value is None and row.path == key[:level]]
        if look_up(load(text), key[:level]) != {} or not head:
            break
        text = _without_line(text, head[0])
        if not text[head[0].start :].strip() and text.endswith("\n\n"):
            text = text[:-1]  # the empty line that we put before it
    return text


def _find(text: str, key: KeyPath) -> _Row | None:
    """Where a key stands; None where it is not there. Raises `Unfit` where something else is in
    the way."""
    data = load(text)
    rows = list(_rows(text))
    for count in range(1, len(key) + 1):
        inner = look_up(data, key[:count])
        if inner is MISSING:
            break
        at = next((row for row in rows if row.path[:count] == key[:count]), None)
        start = at.start if at is not None else 0
        if count < len(key) and not isinstance(inner, Mapping):
            raise unfit_at(text, start, f"`{shown(key[:count])}` is no table there")
        if count < len(key) and any(row.value and row.path == key[:count] for row in rows):
            raise unfit_at(text, start, f"`{shown(key[:count])}` is written in one line there")
    found = [row for row in rows if row.value is not None and row.path == key and not row.array]
    if not found and look_up(data, key) is not MISSING:
        at = next((row for row in rows if row.path[: len(key)] == key), None)
        raise unfit_at(text, at.start if at else 0, f"`{shown(key)}` is a table there")
    return found[0] if found else None


def _rows(text: str) -> Iterator[_Row]:
    """Every row of a document that `load` has taken, in order."""
    at, arrays = 0, set[KeyPath]()
    table: KeyPath = ()
    while True:
        at = _skip(text, at)
        if at >= len(text):
            return
        start = at
        if text[at] == "[":
            double = text.startswith("[[", at)
            path, at = _key(text, at + (2 if double else 1))
            at += 2 if double else 1
            table = path
            if double:
                arrays.add(path)
            yield _Row(path, path, start, None, _within(path, arrays))
        else:
            parts, at = _key(text, at)
            at = _space(text, at + 1)
            end = _value_end(text, at)
            yield _Row((*table, *parts), table, start, (at, end), _within(table, arrays))
            at = end


def _within(table: KeyPath, arrays: set[KeyPath]) -> bool:
    return any(table[:count] in arrays for count in range(1, len(table) + 1))


def _skip(text: str, at: int) -> int:
    """Behind white space and comments."""
    while True:
        found = _BLANK.match(text, at)
        end = found.end() if found else at
        if end == at:
            return at
        at = end


def _space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t":
        at += 1
    return at


def _key(text: str, at: int) -> tuple[KeyPath, int]:
    """The names of a key with dots, and where it ends."""
    names = []
    while True:
        at = _space(text, at)
        if text[at] in "\"'":
            end = _string_end(text, at)
            names.append(str(value(text[at:end])))
        else:
            found = _BARE.match(text, at)
            assert found is not None  # the standard library has read it
            end = found.end()
            names.append(found[0])
        at = _space(text, end)
        if text[at] != ".":
            return tuple(names), at
        at += 1


def _string_end(text: str, at: int) -> int:
    quote = next(quote for quote in _QUOTES if text.startswith(quote, at))
    end = at + len(quote)
    while not text.startswith(quote, end):
        end += 2 if text[end] == "\\" and quote[0] == '"' else 1
    end += len(quote)
    while len(quote) == 3 and end < len(text) and text[end] == quote[0]:
        end += 1  # up to two quotes may stand before the closing ones
    return end


def _value_end(text: str, at: int) -> int:
    depth = 0
    end = at
    while end < len(text):
        char = text[end]
        if char in "\"'":
            end = _string_end(text, end)
            continue
        if char == "#":
            if depth == 0:
                break
            end = text.index("\n", end)
        elif char in "[{":
            depth += 1
        elif char in "]}":
            depth -= 1
        elif char == "\n" and depth == 0:
            break
        end += 1
    return at + len(text[at:end].rstrip())


def _line_end(text: str, row: _Row) -> int:
    end = text.find("\n", row.value[1] if row.value else row.start)
    return len(text) if end < 0 else end


def _indent(text: str, row: _Row) -> str:
    if row.value is None:
        return ""
    return text[text.rfind("\n", 0, row.start) + 1 : row.start]


def _behind(text: str, row: _Row, line: str) -> str:
    end = _line_end(text, row)
    return f"{text[:end]}\n{line}{text[end:]}"


def _without_line(text: str, row: _Row) -> str:
    start, end = text.rfind("\n", 0, row.start) + 1, _line_end(text, row)
    if end == len(text) and start > 0:
        return text[: start - 1]
    return text[:start] + text[end + 1 :]


def _name(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _written(value: Any) -> str:
    if isinstance(value, Mapping):
        rows = (f"{_name(name)} = {_written(inner)}" for name, inner in value.items())
        return "{" + ", ".join(rows) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_written, value)) + "]"
    if value is None:
        raise Unfit("TOML has no value for nothing")
    return json.dumps(value, ensure_ascii=False)
