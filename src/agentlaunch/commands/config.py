"""`agentlaunch config`: settings with their origin, kept in the user file."""

from __future__ import annotations

import re
from pathlib import Path

from agentlaunch import files, policy, settings
from agentlaunch.agents import find
from agentlaunch.commands import looking
from agentlaunch.commands.result import Result
from agentlaunch.engines import remote
from agentlaunch.errors import Refused
from agentlaunch.talk import Talk

_LINE = (
    r"""^[ \t]*["']?{name}["']?[ \t]*="""
    r"""[ \t]*(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s"'#]+)"""
    r"""(?P<comment>[ \t]*#[^\r\n]*)?[ \t]*(?P<end>\r?\n|\Z)"""
)
"""A setting on a line of its own, and the comment behind it."""


def show(talk: Talk, *, origin: bool) -> Result:
    """Every setting; with `origin` also who decided it."""
    values = settings.load()
    data = {
        "settings": [
            {"name": name, "value": v.value, "source": v.source, "origin": v.origin}
            for name, v in values.items()
        ]
    }

    def draw(talk: Talk) -> None:
        rows = [
            (name, _shown(name, v.value), *([v.origin] if origin else []))
            for name, v in values.items()
        ]
        talk.table(("SETTING", "VALUE", "ORIGIN") if origin else ("SETTING", "VALUE"), rows)

    return Result("agentlaunch/config/1", data, draw)


def _shown(name: str, value: object) -> str:
    if value is not None:
        return str(value)
    kind = settings.setting(name).kind
    return "none" if kind == "addresses" else "default" if kind == "address" else "auto"


def path(talk: Talk) -> Result:
    """The folders that are ours, and the user file."""
    places = settings.paths()
    data = {
        "user_file": str(places.user_file),
        "config": str(places.config),
        "data": str(places.data),
        "state": str(places.state),
        "cache": str(places.cache),
        "runtime": str(places.runtime),
    }

    def draw(talk: Talk) -> None:
        for name, value in data.items():
            talk.answer(f"{name:10} {value}")

    return Result("agentlaunch/config-path/1", data, draw)


def set_value(talk: Talk, name: str, value: str) -> Result:
    """Keep one setting. Raises `UsageError` for an unknown name or a bad value, `Refused` when the
    user file does not parse (it is left alone then)."""
    row = settings.setting(name)
    settings.parse_value(row, value, where=name)
    if name == "agent":
        find(value)
    if name == "engine":
        looking.server_of(value, {})
    if row.kind == "address":
        remote.normalized_url(value)
    if name == policy.SETTING:
        value = policy.joined(policy.hosts(value))
    user_file = settings.paths().user_file
    _write(user_file, name, value)
    return _changed("config-set", f"{name} = {value}", user_file)


def unset(talk: Talk, name: str) -> Result:
    """Drop one setting; dropping an absent one is fine."""
    settings.setting(name)
    user_file = settings.paths().user_file
    _write(user_file, name, None)
    return _changed("config-unset", f"{name} is back to its default", user_file)


def _write(user_file: Path, name: str, value: str | None) -> None:
    """Change one line of the user's file and keep all else: comments, order, mode, a link to it."""
    before = settings.read_toml(user_file)
    if before.get(name) == value:
        return
    after = {key: old for key, old in before.items() if key != name}
    if value is not None:
        after[name] = value
    place, text, mode = user_file.resolve(), "", 0o600
    if place.exists():
        text, mode = place.read_bytes().decode("utf-8-sig"), place.stat().st_mode & 0o777
    data = with_line(text, name, value).encode()
    if not _says(data, after):
        raise Refused(
            f"{user_file} is written in a way that agentlaunch cannot change",
            hint=f"change {name} in it with an editor; nothing was changed",
            code="unparsable-file",
        )
    files.write_atomic(place, data, mode=mode)


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


def _changed(name: str, text: str, user_file: Path) -> Result:
    data = {"path": str(user_file), "changed": text}
    draw = f"{text} ({user_file})"
    return Result(f"agentlaunch/{name}/1", data, lambda talk: talk.say(draw))
