"""The files that hold rules, read: of the machine, of the user, of the project. Anything that is
there and cannot be read ends the command, since a rule in it might forbid what was asked for."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

from agentlaunch import files, settings
from agentlaunch.agents import AGENTS, versions
from agentlaunch.agents import find as find_agent
from agentlaunch.endpoint import without_secrets
from agentlaunch.engines import presets
from agentlaunch.engines.address import normalized_url
from agentlaunch.errors import (
    AgentlaunchError,
    NotSupported,
    Refused,
    UsageError,
)
from agentlaunch.policy import origin as origin_of
from agentlaunch.policy import reading
from agentlaunch.policy.rules import Document, Origin, Policy, Rule

MOST_BYTES = 1 << 20
"""No file of settings is larger."""


def look(
    folder: Path | None, user_file: Path, machine_files: Sequence[Path] | None = None
) -> Policy:
    """Every rule that holds in `folder`: of the machine's files, the user's, and the projects'.

    Each `agentlaunch.toml` up to the project's top counts, so that one in a subfolder loosens
    nothing. Raises `Refused` for a file that cannot be read or is not understood.
    """
    places = settings.machine_files() if machine_files is None else machine_files
    rows: list[Rule] = []
    for path in dict.fromkeys(places):
        rows += _read(path, "machine")
    rows += _read(user_file, "user")
    for path in _project_files(folder):
        rows += _read(path, "project")
    return Policy(tuple(rows))


def look_readable(folder: Path | None, user_file: Path) -> tuple[Policy, AgentlaunchError | None]:
    """The same for a command that goes on without: no rules and the fault, where one cannot be
    read. Whoever gets a fault lets nothing leave this machine."""
    try:
        return look(folder, user_file), None
    except AgentlaunchError as error:
        return Policy(), error


def _project_files(folder: Path | None) -> Iterator[Path]:
    if folder is None:
        return
    try:
        yield from settings.project_files(folder)
    except OSError as error:
        raise Refused(
            f"no project file could be looked for above {folder}: {error.strerror or error}",
            hint="start from a folder whose parents you may enter",
            code="unparsable-file",
        ) from error


def _read(path: Path, source: Origin) -> tuple[Rule, ...]:
    return reading.read(_document(path), str(path), source, WORDS, SETTINGS)


def _document(path: Path) -> Document:
    """A file's values, none where there is no such file; a link to nowhere is not read as none."""
    try:
        data = files.read_plain(path, MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES // 1024} KiB")
        return settings.parse_toml(data)
    except (FileNotFoundError, NotADirectoryError) as error:
        if not path.is_symlink():
            return {}
        fault: Exception = error
    except (OSError, ValueError, RecursionError) as error:
        fault = error
    text = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
    raise Refused(
        f"{path} cannot be read, and it may hold rules: {text}",
        hint="mend the file, or let whoever it belongs to do so; nothing was done",
        code="unparsable-file",
    ) from fault


# ---- what the words of a rule mean ----------------------------------------------------------


def engine_word(text: str) -> str:
    """The one spelling of an engine in a rule: a name, or scheme, host and port.

    Raises `ValueError` with the way out.
    """
    word = text.strip().lower()
    if word in presets.OWN:
        return word
    preset = presets.find(word)
    if preset is not None:
        return preset.name
    if word == presets.HOSTED:
        raise ValueError("name the server's address instead, as https://HOST:PORT")
    if "://" in text:
        try:
            return origin_of(normalized_url(text))
        except (UsageError, Refused):
            raise ValueError(
                f"{without_secrets(text)} is no address of a server; for example http://10.0.0.5:8000"
            ) from None
    names = (*presets.OWN, *presets.PRESETS)
    near = difflib.get_close_matches(word, names, 1, cutoff=0.6)
    if near:
        raise ValueError(f"did you mean {near[0]}?")
    raise ValueError(f"engines: {', '.join(names)}, or an address, http://10.0.0.5:8000")


def agent_word(text: str) -> str:
    """The one name of an agent, also of one that cannot be launched. Raises `ValueError`."""
    try:
        return find_agent(text).name
    except NotSupported:
        typed = text.strip().lower().replace("_", "-")
        names = {word: row.name for row in AGENTS.values() for word in (row.name, *row.aliases)}
        return names.get(typed, typed)
    except UsageError as error:
        raise ValueError(error.hint or error.message) from error


def version_words(text: str) -> str:
    """Comparisons of versions without their spaces. Raises `ValueError` for what is none."""
    rows = [row.strip() for row in text.split(",")]
    for row in rows:
        try:
            versions.matches("0", row)
        except ValueError:
            raise ValueError("versions are compared as in >=2.1.100,<3") from None
    return ",".join("".join(row.split()) for row in rows)


WORDS = reading.Words(engine_word, agent_word, version_words)
SETTINGS = frozenset(row.name for row in settings.SETTINGS if "." not in row.name) | settings.TABLES
