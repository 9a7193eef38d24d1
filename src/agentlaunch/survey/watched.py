"""What stands in settings files of a project, a user or an administrator that could turn a launch.

Files are read and never run. What a project's own files say counts where the agent itself would
look for them: in the current folder and above it, up to the root of its git repository.
"""

from __future__ import annotations

import fnmatch
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentlaunch import settings
from agentlaunch.agents.base import Agent, Watched
from agentlaunch.errors import Refused
from agentlaunch.survey import programs

MOST_BYTES = 1 << 20
"""Of one file: a settings file has no more, and a hostile one must not make us read for long."""
MOST_FILES = 50
SHOWN = 60
"""Characters of a command that are shown."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Runs:
    """Something that the agent would run by itself from this project."""

    file: Path
    what: str
    """The key, and the command where one stands there."""

    def __str__(self) -> str:
        return f"{self.file}: {self.what}" if self.what else str(self.file)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look found: what is overridden, in words, and what would run."""

    overridden: tuple[str, ...] = ()
    runs: tuple[Runs, ...] = ()
    trusted: bool = False
    """Has the user told the agent that he trusts this folder?"""


def look(agent: Agent, project: Path, config: Path) -> Seen:
    """Look at every file that this agent would read in a launch from `project`.

    `config` is the agent's folder in this launch: the user's own, or the clean one.

    Raises `Refused` where a file wins over any launcher: an administrator's, or a key that no flag
    can take back. The launch could not keep its promise there.
    """
    overridden: list[str] = []
    runs: list[Runs] = []
    for row in agent.watched:
        for file in _files(row, project, config):
            document = read_document(file, row.format)
            if document is None:
                continue
            _refuse(file, row, document)
            names = [_name(key) for key, _value in _held(document, row.redirects)]
            if names:
                overridden.append(
                    f"{file} sets {', '.join(dict.fromkeys(names))}: overridden for this launch"
                )
            if _is_of_project(row):
                runs += _runs(file, row, document)
    return Seen(tuple(dict.fromkeys(overridden)), tuple(dict.fromkeys(runs)),
                is_trusted(agent, project, config))  # fmt: skip


def is_trusted(agent: Agent, project: Path, config: Path) -> bool:
    """Has the user told the agent itself that he trusts this folder?"""
    trust = agent.trust
    if trust is None:
        return False
    places = [_place(path, project, config) for path in (trust.path, trust.other_path) if path]
    found = [read_document(Path(os.path.normpath(place)), trust.format) for place in places]
    return any(row is not None and trust.trusts(row, str(project)) for row in found)


def read_document(file: Path, kind: str) -> Document | None:
    """A settings file as keys and values; None when it is absent, broken or far too long.

    `kind` is a `Watched.format`. JSON may have comments, `env` is a file of NAME=value lines, and
    code is a document with nothing in it.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
        if kind == "code":
            return {}
        text = data.decode("utf-8-sig")
        if len(data) > MOST_BYTES:
            return None
        value = _PARSERS[kind](text)
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        from agentlaunch.changes import jsonc  # comments, trailing commas

        return jsonc.load(text)


def _yaml(text: str) -> object:
    from agentlaunch.changes import yaml

    return yaml.load(text)


def _env(text: str) -> object:
    rows = (line.strip().removeprefix("export ").partition("=") for line in text.splitlines())
    return {
        name.strip(): value.strip().strip("\"'")
        for name, equals, value in rows
        if equals and not name.startswith("#")
    }


_PARSERS: dict[str, Callable[[str], object]] = {
    "json": _json,
    "toml": lambda text: settings.parse_toml(text.encode()),
    "yaml": _yaml,
    "env": _env,
}


# ---- where --------------------------------------------------------------------------------


def _is_of_project(row: Watched) -> bool:
    return not (row.path.startswith(("{config}", "~")) or _is_absolute(row.path))


def _is_absolute(path: str) -> bool:
    return path.startswith("/") or path[1:3] == ":/"


def _files(row: Watched, project: Path, config: Path) -> Iterator[Path]:
    """The files of a row that are there, at most `MOST_FILES`."""
    found = 0
    for folder in _folders(project) if _is_of_project(row) else [project]:
        place = _place(row.path, folder, config)
        if _is_of_project(row) and place.parent.resolve() == config.resolve():
            continue  # the user's own folder, met from his home
        for file in _matching(place, row):
            yield file
            found += 1
            if found == MOST_FILES:
                return


def _folders(project: Path) -> list[Path]:
    """The current folder and those above it, up to the root of its repository; outside of one up
    to the root of the disk, as some agents look (OpenCode 1.18.33, seen)."""
    above = [project, *project.parents]
    roots = (n for n, folder in enumerate(above) if os.path.lexists(folder / ".git"))
    return above[: next(roots, len(above)) + 1]


def _place(path: str, project: Path, config: Path) -> Path:
    text = path.replace("{config}", str(config))
    return project / (programs.expanded(text) or Path(text) if text.startswith("~") else text)


def _matching(place: Path, row: Watched) -> list[Path]:
    try:
        if "*" in row.path:
            root = Path(place.anchor)
            pattern = str(place.relative_to(root))
            fixed = pattern.split("*")[0].rpartition("/")[0]
            rest = pattern[len(fixed) :].lstrip("/")
            return sorted(file for file in (root / fixed).glob(rest) if file.is_file())
        if place.is_dir():
            files = place.rglob("*") if row.format == "code" else place.glob(f"*.{row.format}")
            return sorted(file for file in files if file.is_file())
        return [place] if place.is_file() else []
    except (OSError, ValueError):
        return []


# ---- what ---------------------------------------------------------------------------------


def _refuse(file: Path, row: Watched, document: Document) -> None:
    redirecting = _held(document, row.redirects) if row.outranks else []
    if redirecting:
        names = ", ".join(_name(key) for key, _value in redirecting)
        raise Refused(
            f"{file} sets {names} and outranks every launcher",
            hint="ask the administrator of this machine; agentlaunch cannot route around it",
            code="administrator-settings",
        )
    # A variable that is set to nothing takes ours away all the same.
    empty = row.format == "env"
    held = [_name(key) for key, _value in _held(document, row.beyond_us, empty=empty)]
    if held:
        raise Refused(
            f"{file} sets {', '.join(held)}, which no launcher can override",
            hint=f"remove it from {file}",
            code="unroutable-settings",
        )


def _runs(file: Path, row: Watched, document: Document) -> Iterator[Runs]:
    if row.format == "code":
        yield Runs(file, "")
        return
    for key, value in _held(document, row.runs):
        command = _command(value)
        yield Runs(file, ".".join(key) + (f": {command}" if command else ""))


def _held(
    document: Document, patterns: tuple[str, ...], *, empty: bool = False
) -> list[tuple[tuple[str, ...], object]]:
    """Keys that match a pattern and hold anything (`empty`: or ""), each with its value."""
    found = []
    for pattern in patterns:
        keys, _colon, wanted = pattern.partition(":")
        for key, value in _match(document, keys.split("."), ()):
            holds = value not in ([], {}, None, False) and (empty or value != "")
            if holds and (not wanted or fnmatch.fnmatchcase(str(value), wanted)):
                found.append((key, value))
    return found


def _match(
    value: object, words: list[str], key: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], object]]:
    if not words:
        yield key, value
        return
    if isinstance(value, list):
        rows: list[tuple[str, object]] = [(str(n), item) for n, item in enumerate(value)]
    elif isinstance(value, dict):
        rows = [(str(name), item) for name, item in value.items()]
    else:
        return
    for name, item in rows:
        if fnmatch.fnmatchcase(name, words[0]):
            yield from _match(item, words[1:], (*key, name))


def _name(key: tuple[str, ...]) -> str:
    """A key as a person knows it: a variable by its name alone."""
    return key[1] if key[0] == "env" and len(key) == 2 else ".".join(key)


def _command(value: object) -> str:
    """The first command in a value, shortened; "" where none stands there."""
    if isinstance(value, str):
        return value if len(value) <= SHOWN else value[: SHOWN - 1] + "…"
    if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
        return _command(" ".join(value))
    rows: list[object] = []
    if isinstance(value, dict):
        rows = [value[name] for name in ("command", "cmd", "run", "bash") if name in value]
        rows += [item for item in value.values() if isinstance(item, dict | list)]
    elif isinstance(value, list):
        rows = [item for item in value if isinstance(item, dict | list)]
    return next((found for found in map(_command, rows) if found), "")
