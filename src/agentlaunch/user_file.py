"""The user's settings file, changed by one line and all else kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from agentlaunch import files, settings
from agentlaunch.errors import Refused

_LINE = (
    r"""^[ \t]*{name}[ \t]*="""
    r"""[ \t]*(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|\[[^\[\]\n#]*\]|[^\s"'#]+)"""
    r"""(?P<comment>[ \t]*#[^\r\n]*)?[ \t]*(?P<end>\r?\n|\Z)"""
)
"""A setting on a line of its own, and the comment behind it."""
_TABLE = re.compile(r"^[ \t]*\[", re.MULTILINE)


def write(name: str, value: str | None) -> Path:
    """Change one line of the user's file and keep all else: comments, order, mode, a link to it.

    None drops the setting. Raises `Refused` when the file does not parse, or is written in a way
    that one line cannot change; it is left alone then.
    """
    user_file = settings.paths().user_file
    before = settings.read_toml(user_file)
    after = _with_value(before, name, value)
    if after == before:
        return user_file
    place, text, mode = user_file.resolve(), "", 0o600
    if place.exists():
        text, mode = files.read_plain(place).decode("utf-8-sig"), place.stat().st_mode & 0o777
    data = with_line(text, name, value).encode()
    if not _says(data, after):
        raise Refused(
            f"{user_file} is written in a way that agentlaunch cannot change",
            hint=f"change {name} in it with an editor; nothing was changed",
            code="unparsable-file",
        )
    files.write_atomic(place, data, mode=mode)
    return user_file


def _says(data: bytes, values: dict[str, object]) -> bool:
    try:
        return settings.parse_toml(data) == values
    except ValueError:
        return False


def _with_value(before: dict[str, Any], name: str, value: str | None) -> dict[str, Any]:
    """The file's values with one changed; `table.key` is a key of a table."""
    table, dot, key = name.partition(".")
    if dot:
        inner = before.get(table)
        rows = _with_value(inner if isinstance(inner, dict) else {}, key, value)
        return {
            **{k: old for k, old in before.items() if k != table},
            **({table: rows} if rows or inner == {} else {}),
        }
    after = {k: old for k, old in before.items() if k != name}
    return after if value is None else {**after, name: value}


def with_line(text: str, name: str, value: str | None) -> str:
    """A TOML text with one setting changed, added or (None) dropped; `table.key` in its table where
    the text has that, else as a dotted key before every table."""
    table, dot, key = name.partition(".")
    head = re.search(
        rf"^[ \t]*\[[ \t]*{re.escape(table)}[ \t]*\][^\n]*(?:\n|\Z)", text, re.MULTILINE
    )
    if dot and head is not None:
        rest = _TABLE.search(text, head.end())
        end = rest.start() if rest is not None else len(text)
        return text[: head.end()] + _with_line(text[head.end() : end], key, value) + text[end:]
    first = _TABLE.search(text)
    end = first.start() if first is not None else len(text)
    return _with_line(text[:end], name, value) + text[end:]


def _with_line(text: str, name: str, value: str | None) -> str:
    import tomli_w

    line = ""
    if value is not None:
        line = f"{name} = {tomli_w.dumps({'x': value}).partition(' = ')[2]}".rstrip("\n")
    pattern = r"[ \t]*\.[ \t]*".join(
        rf"""["']?{re.escape(word)}["']?""" for word in name.split(".")
    )
    found = re.search(_LINE.format(name=pattern), text, re.MULTILINE)
    if found is None:
        gap = "\n" if text and not text.endswith("\n") else ""
        return f"{text}{gap}{line}\n" if line else text
    end = f"{line}{found['comment'] or ''}{found['end']}" if line else ""
    return text[: found.start()] + end + text[found.end() :]
