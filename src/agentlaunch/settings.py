"""Our own places and the user's settings; every value knows where it came from.

Order: flag > `AGENTLAUNCH_*` environment > project file `agentlaunch.toml` > user file > default.
A project file may choose model, context and agent; it may never set endpoints, keys or commands.
A name with a dot (`routes.main`) is a key in a table. The rules of a policy stand in the same files
and are read elsewhere (`survey.rules`).
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from agentlaunch import files
from agentlaunch.endpoint import without_secrets
from agentlaunch.errors import AgentlaunchError, Refused, UsageError
from agentlaunch.policy import rules

APP = "agentlaunch"
PROJECT_FILE = "agentlaunch.toml"

Source = Literal["flag", "environment", "project", "user", "default"]


@dataclass(frozen=True, slots=True)
class Paths:
    """The only folders that we write to."""

    config: Path
    data: Path
    state: Path
    cache: Path
    runtime: Path

    @property
    def user_file(self) -> Path:
        return self.config / "config.toml"

    @property
    def models(self) -> Path:
        return self.data / "models"

    @property
    def managed(self) -> Path:
        return self.data / "managed"

    @property
    def logs(self) -> Path:
        return self.state / "logs"


NOWHERE = Paths(*[Path("/no-home-of-this-user", APP)] * 5)
"""Places for who has none: nothing lies there."""


def paths() -> Paths:
    """Our places by platformdirs: XDG variables on Linux, the Library folders on macOS.

    Raises `AgentlaunchError` where no home is known, as under a number that is no user's.
    """
    import platformdirs

    try:
        state = platformdirs.user_state_path(APP, appauthor=False)
        return Paths(
            config=platformdirs.user_config_path(APP, appauthor=False),
            data=platformdirs.user_data_path(APP, appauthor=False),
            state=state,
            cache=platformdirs.user_cache_path(APP, appauthor=False),
            runtime=_runtime(state),
        )
    except RuntimeError as error:  # platformdirs 4.14
        raise AgentlaunchError(
            "this user has no home folder, so there is no place for our files",
            hint="export HOME=/tmp/home",
            code="no-home",
        ) from error


def _runtime(state: Path) -> Path:
    """The user's runtime folder, or a folder under our state where the system has none.

    Without a login session platformdirs falls back to a name in the shared temporary folder, where
    somebody else could wait for us: then our own state folder is the better place.
    """
    import platformdirs

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its remark about the shared folder is answered below
            folder = platformdirs.user_runtime_path(APP, appauthor=False)
    except OSError:  # somebody waits for us in the shared folder (platformdirs 4.14)
        return state / "run"
    shared = Path(tempfile.gettempdir())
    asked = os.environ.get("XDG_RUNTIME_DIR")
    if (asked and folder.is_relative_to(asked)) or not folder.is_relative_to(shared):
        parent = folder.parent
        if os.access(parent, os.W_OK | os.X_OK) and parent.is_dir():
            return folder
    return state / "run"


@dataclass(frozen=True, slots=True)
class Value:
    """One setting with the place that decided it (a file's path, a variable's name, …)."""

    value: Any
    source: Source
    origin: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the settings table: what it is, how its text is read, who may set it."""

    name: str
    kind: Literal[
        "text", "size", "tokens", "minutes", "seconds", "choice", "address", "addresses", "route"
    ]
    default: str | int | None
    help: str
    choices: tuple[str, ...] = ()
    project_may: bool = False


SETTINGS: tuple[Setting, ...] = (
    Setting("agent", "text", None, "agent that `up` launches when none is named", (), True),
    Setting("model", "text", None, "model reference that `up` uses", (), True),
    Setting("engine", "text", None, "engine name or address that serves the model"),
    Setting("context", "tokens", None, "context in tokens, or auto", (), True),
    Setting("kv_cache", "choice", "auto", "cache type", ("auto", "f16", "q8_0", "q4_0"), True),
    Setting(
        "home", "choice", "own", "which settings folder the agent uses", ("own", "clean"), True
    ),
    Setting(
        "slim", "choice", "auto", "send the agent's smaller prompt", ("auto", "off", "on"), True
    ),
    Setting("max_download", "size", 30 * 10**9, "largest download that --yes agrees to"),
    Setting(
        "first_word_limit", "seconds", 60, "how late the first word may come when a model is chosen"
    ),
    Setting("proof_limit", "seconds", 60, "how long the proof before a launch may take"),
    Setting(
        "warm_start",
        "choice",
        "on",
        "let the engine read the agent's own prompt while the agent starts",
        ("on", "off"),
    ),
    Setting(
        "saved_prefixes", "size", 4 * 10**9, "what saved prompts may take on the disk; 0 keeps none"
    ),
    Setting("idle_minutes", "minutes", 15, "minutes without work before an engine of ours ends"),
    Setting("allowed_hosts", "addresses", None, "servers elsewhere that your code may go to"),
    Setting(
        "routes.main",
        "route",
        None,
        "endpoints for the main work, the first that works: hosted, local, openrouter#MODEL, …",
    ),
    Setting(
        "routes.small", "route", None, "endpoints for small work; without: those of the main work"
    ),
    Setting(
        "routes.subagent",
        "choice",
        "main",
        "whose endpoints an agent's own helpers use",
        ("main", "small"),
    ),
    Setting(
        "routes.routing",
        "choice",
        "roles",
        "by the agent's own roles, or by what is asked (auto)",
        ("roles", "auto"),
    ),
    Setting("hosted_url", "address", None, "where your organisation's server is (`hosted`)"),
    *(
        Setting(f"{name}_url", "address", None, f"where `--engine {name.replace('_', '-')}` is")
        for name in (
            "llama_server",
            "vllm",
            "lm_studio",
            "docker_model_runner",
            "litellm",
            "llama_swap",
            "openrouter",
            "anthropic",
            "openai",
        )
    ),
)
_BY_NAME = {row.name: row for row in SETTINGS}
TABLES = frozenset(row.name.partition(".")[0] for row in SETTINGS if "." in row.name)
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
LARGEST = 2**63
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


Note = Callable[[AgentlaunchError], None]
"""What becomes of a fault in the settings: raised, or collected."""


def load(
    *,
    flags: Mapping[str, object | None] | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    user_file: Path | None = None,
) -> dict[str, Value]:
    """Every setting with its winner. Raises `UsageError` for a bad value in a flag or variable,
    `Refused` for a settings file that does not parse or sets what it may not."""
    env = os.environ if environ is None else environ
    user_path = user_file if user_file is not None else paths().user_file
    found = _from_files(_raise, folder if folder is not None else Path.cwd(), user_path)
    found |= _from_environment(_raise, env)
    for name, raw in (flags or {}).items():
        if raw is not None:
            flag = "--" + name.replace("_", "-")
            found[name] = Value(parse_value(_BY_NAME[name], raw, where=flag), "flag", flag)
    return found


def load_readable(
    environ: Mapping[str, str], folder: Path | None, user_file: Path
) -> tuple[dict[str, Value], tuple[AgentlaunchError, ...]]:
    """Every setting that can be read, and the faults of the rest as values; never raises.

    `folder` is None where there is none to look for a project file from.
    """
    faults: list[AgentlaunchError] = []
    try:
        found = _from_files(faults.append, folder, user_file)
    except OSError as error:  # a folder above the project may not be entered
        faults.append(Refused(f"no project file could be looked for: {error}", code="unreadable"))
        found = _from_files(faults.append, None, user_file)
    found |= _from_environment(faults.append, environ)
    return found, tuple(faults)


def _raise(error: AgentlaunchError) -> None:
    raise error


def _from_files(note: Note, folder: Path | None, user_file: Path) -> dict[str, Value]:
    found = {row.name: Value(row.default, "default", "default") for row in SETTINGS}
    for name, value in _read_file(user_file, note, project=False).items():
        found[name] = Value(value, "user", str(user_file))
    project = next(project_files(folder), None) if folder is not None else None
    if project is not None:
        for name, value in _read_file(project, note, project=True).items():
            found[name] = Value(value, "project", str(project))
    return found


def _from_environment(note: Note, environ: Mapping[str, str]) -> dict[str, Value]:
    found = {}
    for row in SETTINGS:
        variable = variable_of(row.name)
        if environ.get(variable):
            try:
                value = parse_value(row, environ[variable], where=variable)
            except UsageError as error:
                note(error)
            else:
                found[row.name] = Value(value, "environment", variable)
    return found


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return "AGENTLAUNCH_" + name.upper().replace(".", "_")


def parse_value(row: Setting, raw: object, *, where: str) -> str | int | None:
    """Read one setting's text; raises `UsageError` that names where it stood."""
    text = str(raw).strip()
    if row.kind == "choice":
        if text not in row.choices:
            raise UsageError(
                f"{where}: {text!r} is not one of {', '.join(row.choices)}", code="bad-value"
            )
        return text
    if row.kind == "tokens":
        if text == "auto":
            return None
        number = text.lower().removesuffix("k")
        if not number.isdecimal() or len(number) > 9 or int(number) == 0:
            raise UsageError(
                f"{where}: {text!r} is not a number of tokens",
                hint="a whole number such as 32768, 32k, or auto",
                code="bad-value",
            )
        return int(number) * (1024 if number != text.lower() else 1)
    if row.kind in ("minutes", "seconds"):
        most = 1440 if row.kind == "minutes" else 3600
        short = text.isascii() and text.isdecimal() and len(text) <= 4
        if not (short and 1 <= int(text) <= most):
            raise UsageError(
                f"{where}: {text!r} is not a number of {row.kind}",
                hint=f"a whole number from 1 to {most}",
                code="bad-value",
            )
        return int(text)
    if row.kind == "size":
        return parse_bytes(text, where=where)
    if row.kind in ("address", "addresses"):
        words = [text] if row.kind == "address" else [w for w in re.split(r"[\s,]+", text) if w]
        for word in words:
            _refuse_no_address(word, where)
        return text if row.kind == "address" else ", ".join(words)
    if not text or not text.isprintable():
        raise UsageError(
            f"{where}: {text!r} is no name",
            hint=f"agentlaunch config unset {row.name} leaves it away",
            code="bad-value",
        )
    if row.kind == "route":
        words = [word.strip() for word in text.split(",")]
        if not all(words) or any(" " in word for word in words):
            raise UsageError(
                f"{where}: {without_secrets(text)!r} is no list of endpoints",
                hint='names or addresses with a comma between them: "hosted, local"',
                code="bad-value",
            )
        return ", ".join(dict.fromkeys(words))
    return text


def _refuse_no_address(text: str, where: str) -> None:
    """Raise `UsageError` for what is no http address, or holds a key that a file must not."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
        parts = urlsplit("")
    bare = "@" not in parts.netloc and not parts.query and not parts.fragment
    if good and bare and text.isprintable():
        return
    raise UsageError(
        f"{where}: {without_secrets(text)!r} is not an address",
        hint="for example http://192.168.1.9:8000, without a user, key or query in it",
        code="bad-value",
    )


def parse_bytes(text: str, *, where: str) -> int:
    """Bytes from "30 GB", "8GiB", "123"; raises `UsageError`."""
    number = text.strip().rstrip("BbGgMmKkTtIi ").strip()
    unit = text.strip()[len(number) :].strip().lower()
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if unit not in _UNITS or not 0 <= value * _UNITS[unit] < LARGEST:
        raise UsageError(
            f"{where}: {text!r} is not a size", hint="for example 30GB or 8GiB", code="bad-value"
        )
    return int(value * _UNITS[unit])


def setting(name: str) -> Setting:
    """The row of a setting by name; raises `UsageError` for an unknown one."""
    try:
        return _BY_NAME[name]
    except KeyError:
        if name.removeprefix("policy.") in rules.NAMES:
            rule = name.removeprefix("policy.")
            raise UsageError(
                f"{rule} is a rule, and rules are written into the file by hand",
                hint=f"add a line `{rule} = ...`: agentlaunch config path tells the file",
            ) from None
        raise UsageError(f"there is no setting {name!r}", hint=_near(name)) from None


def _near(name: str) -> str:
    """The way out for a name that is none."""
    import difflib

    every = (*_BY_NAME, *rules.NAMES)
    near = difflib.get_close_matches(name, every, 1)
    if near:
        return f"did you mean {near[0]}?"
    return f"settings: {', '.join(_BY_NAME)}; rules: {', '.join(rules.NAMES)}"


def project_files(folder: Path) -> Iterator[Path]:
    """Every `agentlaunch.toml` from `folder` up to the repository's or the home's top, the nearest
    first; also one that is no plain file. A submodule (its `.git` is a file) is a part of what it
    lies in. Raises `OSError` where a folder may not be entered."""
    try:
        home = Path.home()
    except RuntimeError:  # no HOME, and a user whom the system does not know
        home = None
    for place in (folder, *folder.parents):
        candidate = place / PROJECT_FILE
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            candidate.lstat()
            yield candidate
        if (place / ".git").is_dir() or place == home:
            return


def machine_files() -> tuple[Path, ...]:
    """Where rules for everybody on this machine lie. The first is not moved by any variable."""
    import platformdirs

    site = platformdirs.site_config_path(APP, appauthor=False) / "config.toml"
    if os.name == "posix" and sys.platform != "darwin":
        return (Path("/etc", APP, "config.toml"), site)
    return (site,)


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dict, {} when absent; raises `Refused` with line and column when broken."""
    try:
        return parse_toml(files.read_plain(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise Refused(
            f"{path} cannot be read: {error}",
            hint="mend the file or move it away; nothing was changed",
            code="unparsable-file",
        ) from error


def parse_toml(data: bytes) -> dict[str, Any]:
    """TOML as a dict; raises `ValueError` with line and column, `RecursionError` when too deep."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    values: dict[str, Any] = tomllib.loads(data.decode("utf-8-sig"))
    return values


def _read_file(path: Path, note: Note, *, project: bool) -> dict[str, str | int | None]:
    values: dict[str, str | int | None] = {}
    try:
        rows = read_toml(path)
    except Refused as error:
        note(error)
        rows = {}
    for name, raw in _flat(rows).items():
        if name in rules.NAMES:
            continue
        try:
            values[name] = _file_value(path, name, raw, project=project)
        except Refused as error:
            note(error)
    return values


def _flat(rows: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a file by their names; keys of a table that is ours as `table.key`."""
    flat: dict[str, Any] = {}
    for name, raw in rows.items():
        if name == rules.TABLE:
            continue
        if name in TABLES and isinstance(raw, dict):
            flat |= {f"{name}.{key}": value for key, value in raw.items()}
        else:
            flat[name] = raw
    return flat


def _file_value(path: Path, name: str, raw: object, *, project: bool) -> str | int | None:
    row = _BY_NAME.get(name)
    if row is None:
        raise Refused(
            f"{path}: there is no setting {name!r}", hint=_near(name), code="unknown-setting"
        )
    if project and not row.project_may:
        raise Refused(
            f"{path}: a project file may not set {name!r}",
            hint=f"set it by `agentlaunch config set {name} VALUE` or by a flag",
            code="project-may-not",
        )
    if row.kind == "route" and isinstance(raw, list) and all(isinstance(w, str) for w in raw):
        raw = ", ".join(raw)
    if not isinstance(raw, (str, int)) or isinstance(raw, bool):
        raise Refused(f"{path}: {name} must be a text or a number", code="bad-value")
    try:
        return parse_value(row, raw, where=f"{path}: {name}")
    except UsageError as error:
        raise Refused(error.message, hint=error.hint, code=error.code) from error
