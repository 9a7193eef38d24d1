"""What stands in settings files of a project, a user or an administrator that could turn a launch.

Files are read and never run. What a project's own files say counts where the agent itself would
look for them: in the current folder and above it, up to the root of its git repository or, where
the row says so, of the disk. A project's file that cannot be read here counts as one that runs
something: the agent's own reader may be more patient than ours.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentlaunch import files, settings
from agentlaunch.agents.base import Agent, Watched
from agentlaunch.errors import Refused
from agentlaunch.survey import programs

MOST_BYTES = 1 << 20
"""Of one file: a settings file has no more, and a hostile one must not make us read for long."""
MOST_FILES = 50
"""Of one row, in a project."""
SHOWN = 60
"""Characters of a command that are shown."""

TOO_MANY = "too many files to look at"
UNREADABLE = "cannot be read by agentlaunch, but maybe by the agent"

Document = dict[str, Any]


class Unreadable(ValueError):
    """A file that is there, but says nothing to us."""


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
        for number, (file, of_project) in enumerate(_files(row, project, config)):
            if number == MOST_FILES and of_project:
                runs += [Runs(file.parent, TOO_MANY)] if _counts(row) else []
                break
            try:
                document = _document(file, row.format)
            except Unreadable:
                if of_project:
                    runs += [Runs(file, UNREADABLE)] if _counts(row) else []
                else:
                    overridden += _unknown(file, row)
                continue
            if document is None:
                continue
            _refuse(file, row, document)
            names = [_name(key) for key, _value in _held(document, row.redirects)]
            if names:
                overridden.append(
                    f"{file} sets {', '.join(dict.fromkeys(names))}: overridden for this launch"
                )
            if of_project:
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
        return _document(file, kind)
    except Unreadable:
        return None


def _document(file: Path, kind: str) -> Document | None:
    """None for a file that is absent or holds no keys. Raises `Unreadable` for one that is there
    and cannot be read: no plain file, too long, not to be opened, not to be parsed."""
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError):
        return None
    if kind == "code":
        return {}
    if not stat.S_ISREG(mode):
        raise Unreadable("no plain file")
    try:
        data = files.read_plain(file, MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise Unreadable("too long")
        # One odd byte in a text must not hide the rest: agents read on past it (seen).
        text = data.decode("utf-8-sig", errors="replace")
        value = _PARSERS[kind](text) if text.strip() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise Unreadable(str(error)) from error
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


_ENV_LINE = re.compile(r"\s*(?:export\s+)?([^\s=:#][^\s=:]*)(?:\s*=|:\s)(.*)")
"""`export` and a colon in the place of `=` are what readers of such files take too (dotenv)."""


def _env(text: str) -> object:
    rows = map(_ENV_LINE.match, text.splitlines())
    return {row[1]: row[2].strip().strip("\"'") for row in rows if row is not None}


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


def _counts(row: Watched) -> bool:
    """Could a file of this row, unread, do what an override does not mend?"""
    return bool(row.runs or row.beyond_us) or row.format == "code"


def _files(row: Watched, project: Path, config: Path) -> Iterator[tuple[Path, bool]]:
    """The files of a row that are there, each with whether it is the project's: what lies in the
    user's home is his own, also where an agent finds it from a folder below."""
    own, home = os.path.realpath(config), os.path.realpath(programs.expanded("~") or config)
    for folder in _folders(project, row) if _is_of_project(row) else [project]:
        place = _place(row.path, folder, config)
        if _is_of_project(row) and os.path.realpath(place.parent) == own:
            continue  # the user's own folder, met from his home
        of_project = _is_of_project(row) and os.path.realpath(folder) != home
        for file in _matching(place, row):
            yield file, of_project


def _folders(project: Path, row: Watched) -> list[Path]:
    """The current folder and those above it, up to the root of its repository; outside of one up
    to the root of the disk, as some agents look (OpenCode 1.18.33, seen)."""
    above = [project, *project.parents]
    if row.upwards:
        return above
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
            return sorted(file for file in (root / fixed).glob(rest) if _is_there(file))
        if place.is_dir():
            found = place.rglob("*") if row.format == "code" else place.glob(f"*.{row.format}")
            return sorted(file for file in found if _is_there(file))
        return [place] if _is_there(place) else []
    except (OSError, ValueError):
        return []


def _is_there(file: Path) -> bool:
    """Anything but a folder: what is no plain file is not passed over."""
    try:
        return not stat.S_ISDIR(file.stat().st_mode)
    except (OSError, ValueError):
        return False


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


def _unknown(file: Path, row: Watched) -> list[str]:
    """What is said of the user's or the administrator's file that cannot be read; the agent itself
    complains about the user's."""
    if row.outranks:
        raise Refused(
            f"{file} cannot be read, and outranks every launcher",
            hint="ask the administrator of this machine; agentlaunch cannot route around it",
            code="administrator-settings",
        )
    return [f"{file} cannot be read, so what it overrides is not known"] if row.beyond_us else []


def _runs(file: Path, row: Watched, document: Document) -> Iterator[Runs]:
    if row.format == "code":
        yield Runs(file, "")
        return
    for key, value in _held(document, row.runs):
        command = _command(_with_arguments(document, key, value))
        yield Runs(file, ".".join(key) + (f": {command}" if command else ""))


def _with_arguments(document: Document, key: tuple[str, ...], value: object) -> object:
    """A command with the arguments that stand beside it (`args`)."""
    parent: object = document
    for word in key[:-1]:
        parent = parent.get(word) if isinstance(parent, dict) else None
    args = parent.get("args") if isinstance(parent, dict) else None
    if key[-1] != "command" or not isinstance(value, str) or not isinstance(args, list):
        return value
    return [value, *(word for word in args if isinstance(word, str))]


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
    """The first command in a value, on one line and shortened; "" where none stands there."""
    if isinstance(value, str):
        line = " ".join(value.split())  # a line of its own could look like one of ours
        return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
    if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
        return _command(" ".join(value))
    rows: list[object] = []
    if isinstance(value, dict):
        rows = [value[name] for name in ("command", "cmd", "run", "bash") if name in value]
        rows += [item for item in value.values() if isinstance(item, dict | list)]
    elif isinstance(value, list):
        rows = value
    return next((found for found in map(_command, rows) if found), "")
