"""`agentlaunch config`: settings with their origin, kept in the user file."""

from __future__ import annotations

from pathlib import Path

from agentlaunch import policy, settings, user_file
from agentlaunch.agents import find
from agentlaunch.commands import looking
from agentlaunch.commands.result import Result
from agentlaunch.engines import remote
from agentlaunch.engines.presets import HOSTED
from agentlaunch.gateway.routes import parse
from agentlaunch.talk import Talk


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
        looking.server_of(value, settings.load())
    if row.kind == "route":
        for word in parse(value, name):
            if not word.is_here and word.name != HOSTED:
                remote.resolve(word.name)
    if row.kind == "address":
        remote.normalized_url(value)
    if name == policy.SETTING:
        value = policy.joined(policy.hosts(value))
    file = user_file.write(name, value)
    return _changed("config-set", f"{name} = {value}", file)


def unset(talk: Talk, name: str) -> Result:
    """Drop one setting; dropping an absent one is fine."""
    settings.setting(name)
    file = user_file.write(name, None)
    return _changed("config-unset", f"{name} is back to its default", file)


def _changed(name: str, text: str, user_file: Path) -> Result:
    data = {"path": str(user_file), "changed": text}
    draw = f"{text} ({user_file})"
    return Result(f"agentlaunch/{name}/1", data, lambda talk: talk.say(draw))
