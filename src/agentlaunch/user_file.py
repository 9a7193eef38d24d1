"""The user's settings file, changed by one line and all else kept."""

from __future__ import annotations

import re
from pathlib import Path

from agentlaunch import files, settings
from agentlaunch.errors import Refused

_LINE = (
    r"""^[ \t]*["']?{name}["']?[ \t]*="""
    r"""[ \t]*(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s"'#]+)"""
    r"""(?P<comment>[ \t]*#[^\r\n]*)?[ \t]*(?P<end>\r?\n|\Z)"""
)
"""A setting on a line of its own, and the comment behind it."""


def write(name: str, value: str | None) -> Path:
    """Change one line of the user's file and keep all else: comments, order, mode, a link to it.

    None drops the setting. Raises `Refused` when the file does not parse, or is written in a way
    that one line cannot change; it is left alone then.
    """
    user_file = settings.paths().user_file
    before = settings.read_toml(user_file)
    if before.get(name) == value:
        return user_file
    after = {key: old for key, old in before.items() if key != name}
    if value is not None:
        after[name] = value
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


def with_line(text: str, name: str, value: str | None) -> str:
    """A TOML text with one top-level setting changed, added or (None) dropped."""
    import tomli_w

    line = "" if value is None else tomli_w.dumps({name: value}).rstrip("\n")
    found = re.search(_LINE.format(name=re.escape(name)), text, re.MULTILINE)
    if found is None:
        gap = "\n" if text and not text.endswith("\n") else ""
        return f"{text}{gap}{line}\n" if line else text
    end = f"{line}{found['comment'] or ''}{found['end']}" if line else ""
    return text[: found.start()] + end + text[found.end() :]
