"""YAML text with comments, from plain values: a text that is not plainly one is quoted, and of a
quoted one everything but printable ASCII is escaped, so none can end where it stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Scalar: TypeAlias = "str | int | float | bool | None"
Value: TypeAlias = "Scalar | Noted | Script | Sequence[Value] | Mapping[str, Value]"


@dataclass(frozen=True, slots=True)
class Noted:
    """A value with the reason for it, written above its key."""

    why: str
    value: Value


@dataclass(frozen=True, slots=True)
class Script:
    """Lines of a shell script, kept as lines."""

    lines: tuple[str, ...]


_PLAIN = re.compile(r"[A-Za-z][\w/-]*(\.[\w/-]+)*", re.ASCII)
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
"""What YAML 1.1 reads as something else than a text."""


def document(head: str, data: Mapping[str, Value]) -> str:
    """One document: comments on top, then the values."""
    return "\n".join([*_remarks(head, ""), *_mapping(data, "")]) + "\n"


def _remarks(text: str, indent: str) -> Iterator[str]:
    for line in text.splitlines():
        yield f"{indent}# {''.join(c if c.isprintable() else ' ' for c in line)}".rstrip()


def _mapping(data: Mapping[str, Value], indent: str) -> Iterator[str]:
    for key, value in data.items():
        while isinstance(value, Noted):
            yield from _remarks(value.why, indent)
            value = value.value  # noqa: PLW2901 - a note is peeled off, whatever is below stays
        name = f"{indent}{_scalar(key)}:"
        if isinstance(value, Script):
            yield f"{name} |"
            yield from (f"{indent}  {line}".rstrip() for line in value.lines)
        elif isinstance(value, Mapping):
            yield name if value else f"{name} {{}}"
            yield from _mapping(value, indent + "  ")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield name if value else f"{name} []"
            yield from _items(value, indent + "  ")
        else:
            yield f"{name} {_scalar(value)}"


def _items(values: Sequence[Value], indent: str) -> Iterator[str]:
    for value in values:
        while isinstance(value, Noted):
            yield from _remarks(value.why, indent)
            value = value.value  # noqa: PLW2901 - as above
        if isinstance(value, Mapping) and value:
            lines = list(_mapping(value, indent + "  "))
            first = next(at for at, line in enumerate(lines) if line.lstrip()[0] != "#")
            yield from (line.replace(indent + "  ", indent, 1) for line in lines[:first])
            yield f"{indent}- {lines[first].lstrip()}"
            yield from lines[first + 1 :]
        elif isinstance(value, str | int | float | None):
            yield f"{indent}- {_scalar(value)}"
        else:
            raise TypeError(f"a list holds texts, numbers and mappings, not {type(value).__name__}")


def _scalar(value: Scalar) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    if isinstance(value, str):
        return '"' + "".join(map(_character, value)) + '"'
    return json.dumps(value)


def _character(one: str) -> str:
    if one in '"\\':
        return f"\\{one}"
    return one if one.isascii() and one.isprintable() else f"\\U{ord(one):08x}"
