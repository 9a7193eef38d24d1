"""SetKeys, WriteFile: bytes before → bytes after, with everything else kept as it was; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from agentlaunch.changes.text import (
    MISSING,
    KeyPath,
    Unfit,
    decode,
    look_up,
    same,
    shown,
    with_value,
)

Format = Literal["json", "toml", "yaml"]
"""`json` may have comments and trailing commas."""


@dataclass(frozen=True, slots=True)
class SetKeys:
    """Named keys of one file, each by its path of keys; the rest of the file stays as it is."""

    path: Path
    format: Format
    values: Mapping[tuple[str, ...], object] = field(repr=False)
    schema: str | None = None
    """What a new JSON file names as its `$schema`."""
    rather: tuple[Path, ...] = ()
    """Files that are edited in place of `path`, where it is not there and one of them is."""


@dataclass(frozen=True, slots=True)
class WriteFile:
    """A whole file of ours, where none was."""

    path: Path
    content: bytes = field(repr=False)


Edit = SetKeys | WriteFile


@dataclass(frozen=True, slots=True)
class Given:
    """One key that we set, and all that giving it back needs."""

    key: KeyPath
    ours: Any = field(repr=False)
    before: str | None = field(repr=False)
    """The text of the user's own value; None: he had none."""
    existed: int
    """How many of the key's names were there before us: the tables beyond are ours."""


@dataclass(frozen=True, slots=True)
class Edited:
    """A file with our keys in it."""

    after: bytes = field(repr=False)
    given: tuple[Given, ...]


@dataclass(frozen=True, slots=True)
class Undone:
    """A file without our keys, and those that stay because the user changed them since."""

    after: bytes = field(repr=False)
    kept: tuple[KeyPath, ...]


def set_keys(edit: SetKeys, before: bytes | None, known: Sequence[Given] = ()) -> Edited:
    """A file with the keys of an edit. `known` is what an earlier edit of ours set there: such a
    key keeps the first original, and one that is no longer asked for is given back.

    Raises `Unfit` where the file cannot be read, or something else is in the way.
    """
    tongue = _tongue(edit.format)
    text, coding = decode(before or b"")
    wanted = _leaves(edit)
    mine = {row.key: row for row in known}
    old = [row for row in known if row.key not in wanted]
    text, _kept = _give_back(tongue, text, old)
    data = _load(tongue, text)
    if before is None and edit.schema is not None and edit.format == "json":
        text = tongue.put(text, ("$schema",), edit.schema)
        data = _load(tongue, text)
    started, given = data, []
    for key, value in wanted.items():
        now, row = look_up(data, key), mine.get(key)
        if row is not None and same(now, row.ours):
            given.append(replace(row, ours=value))
        else:
            existed = _existed(started, key, known)
            given.append(Given(key, value, tongue.raw(text, key), existed))
        if not same(now, value):
            text = tongue.put(text, key, value)
            data = _checked(tongue, text, with_value(data, key, value), key)
    return Edited(coding.encode(text), tuple(given))


def give_back(format_: Format, now: bytes, given: Sequence[Given]) -> Undone:
    """A file with the user's own values again, key by key, where ours stand unchanged."""
    tongue = _tongue(format_)
    text, coding = decode(now)
    text, kept = _give_back(tongue, text, given)
    return Undone(coding.encode(text), kept)


def holds_ours(format_: Format, now: bytes, given: Sequence[Given]) -> bool:
    """Does a value of ours stand there that the user's own did not?"""
    tongue = _tongue(format_)
    text, _coding = decode(now)
    data = _load(tongue, text)
    return any(
        same(look_up(data, row.key), row.ours)
        and (row.before is None or not same(row.ours, tongue.value(row.before)))
        for row in given
    )


def _give_back(
    tongue: ModuleType, text: str, given: Sequence[Given]
) -> tuple[str, tuple[KeyPath, ...]]:
    kept = []
    for row in reversed(given):
        data = _load(tongue, text)
        now = look_up(data, row.key)
        own = MISSING if row.before is None else tongue.value(row.before)
        if now is not MISSING and same(now, row.ours):
            if row.before is None:
                text = tongue.drop(text, row.key, row.existed)
                _checked(tongue, text, _dropped(data, row.key, row.existed), row.key)
            else:
                text = tongue.splice(text, row.key, row.before)
                _checked(tongue, text, with_value(data, row.key, own), row.key)
        elif not (now is own or same(now, own)):
            kept.append(row.key)
    return text, tuple(reversed(kept))


def _dropped(data: Mapping[str, Any], key: KeyPath, existed: int) -> dict[str, Any]:
    changed = with_value(data, key, MISSING)
    for level in range(len(key) - 1, existed, -1):
        if look_up(changed, key[:level]) == {}:
            changed = with_value(changed, key[:level], MISSING)
    return changed


def _existed(data: Mapping[str, Any], key: KeyPath, known: Sequence[Given]) -> int:
    """How many names of a key lead to tables that are there, and not by us."""
    for count in range(1, len(key)):
        by_us = any(row.key[:count] == key[:count] and row.existed < count for row in known)
        if by_us or look_up(data, key[:count]) is MISSING:
            return count - 1
    return len(key) - 1


def _leaves(edit: SetKeys) -> dict[KeyPath, Any]:
    """Each key with its value; in TOML a table is its keys, since that is how people write it."""
    if edit.format != "toml":
        return dict(edit.values)
    leaves: dict[KeyPath, Any] = {}
    for key, value in edit.values.items():
        _spread(leaves, key, value)
    return leaves


def _spread(leaves: dict[KeyPath, Any], key: KeyPath, value: Any) -> None:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            _spread(leaves, (*key, name), inner)
    else:
        leaves[key] = value


def _load(tongue: ModuleType, text: str) -> dict[str, Any]:
    data: dict[str, Any] = tongue.load(text)
    return data


def _checked(
    tongue: ModuleType, text: str, expected: Mapping[str, Any], key: KeyPath
) -> dict[str, Any]:
    """The data of a text that was just edited. Raises `Unfit` when it does not say what it should:
    then the file is written in a way that we do not know."""
    data = _load(tongue, text)
    if not same(data, expected):
        raise Unfit(f"`{shown(key)}` cannot be changed there alone")
    return data


def _tongue(format_: Format) -> ModuleType:
    """The room that reads and writes a format; imported when it is needed."""
    if format_ == "json":
        from agentlaunch.changes import jsonc

        return jsonc
    if format_ == "toml":
        from agentlaunch.changes import toml

        return toml
    from agentlaunch.changes import yaml

    return yaml
