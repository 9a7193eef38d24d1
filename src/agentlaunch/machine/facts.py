"""Machine, Gpu and Note; and Facts, the one place where probes get their raw answers from.

A probe never runs a command or opens a file by itself: it asks a `Facts`. `LiveFacts` asks this
machine; `RecordedFacts` answers from a facts file, so that any machine can be simulated anywhere
and a bug report becomes a test.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from agentlaunch import process

Vendor = Literal["nvidia", "amd", "apple", "intel", "unknown"]


@dataclass(frozen=True, slots=True)
class Note:
    """A probe's remark: what was not there, what failed, what looks odd."""

    source: str
    message: str


@dataclass(frozen=True, slots=True)
class Gpu:
    """One graphics device. `vram_bytes` is what it may use: on Apple the working-set limit."""

    name: str
    vendor: Vendor
    vram_bytes: int | None
    vram_free_bytes: int | None
    unified: bool
    bandwidth_gbs: float | None
    backend: str | None
    driver: str | None
    source: str
    compute_capability: str | None = None
    """NVIDIA: which instructions it has, as `8.9`."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a model could run on; unknown is None, never 0."""

    os: str | None
    arch: str | None
    cpu: str | None
    cores: int | None
    ram_bytes: int | None
    ram_free_bytes: int | None
    ram_limit_bytes: int | None
    disk_free_bytes: int | None
    unified_memory: bool
    wsl: bool
    gpus: tuple[Gpu, ...] = ()
    notes: tuple[Note, ...] = ()


UNKNOWN = Machine(None, None, None, None, None, None, None, None, False, False)
"""The machine behind a server of somebody else's."""


class Facts(Protocol):
    """Raw answers of a machine. What is absent is None: a missing command, file or value."""

    @property
    def platform(self) -> str:
        """linux, darwin or windows."""
        ...

    @property
    def machine(self) -> str:
        """x86_64, arm64, …"""
        ...

    @property
    def env(self) -> Mapping[str, str]:
        """Environment variables."""
        ...

    def command(self, argv: Sequence[str], *, timeout_s: float = 5.0) -> Answer | None:
        """Run a query; None when the program is not found."""
        ...

    def file(self, path: str) -> str | None:
        """A small text file, or None."""
        ...

    def value(self, name: str) -> int | None:
        """What is neither a command nor a file: ram_bytes, ram_free_bytes, cores,
        disk_free_bytes, metal_working_set_bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said. `argv` is the recorded one, so that a parser can read its columns."""

    argv: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str = ""


@dataclass(frozen=True, slots=True)
class LiveFacts:
    """This machine. `models_folder` is where models would go, for the free disk there."""

    models_folder: Path
    platform: str = field(default_factory=lambda: _platform_name(sys.platform))
    machine: str = field(default_factory=lambda: _machine_name(platform.machine()))
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def command(self, argv: Sequence[str], *, timeout_s: float = 5.0) -> Answer | None:
        named = Path(argv[0])
        program = named if named.is_absolute() else process.find_program(argv[0])
        if program is None or not program.exists():
            return None
        try:
            done = process.run(
                [str(program), *argv[1:]], timeout_s=timeout_s, env={**os.environ, "LC_ALL": "C"}
            )
        except process.ToolNotFound:
            return None
        except process.ToolTimeout as error:
            return Answer(tuple(argv), -1, "", error.message)
        return Answer(tuple(argv), done.rc, _tidy(done.stdout), _tidy(done.stderr))

    def file(self, path: str) -> str | None:
        try:
            with open(path, "rb") as stream:  # noqa: PTH123 - /proc files have no size; read a bound
                return stream.read(1 << 20).decode("utf-8", "replace")
        except OSError:
            return None

    def value(self, name: str) -> int | None:
        from agentlaunch.machine import live_values

        return live_values.read(name, self.models_folder)


@dataclass(frozen=True, slots=True)
class RecordedFacts:
    """A facts file (CONTRACT: section 5)."""

    platform: str
    machine: str
    commands: tuple[Answer, ...] = ()
    files: Mapping[str, str | None] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str | bytes) -> RecordedFacts:
        """Read a facts file; raises `ValueError` with the reason when it is not one."""
        try:
            data: Any = json.loads(text)
        except RecursionError as error:
            raise ValueError("not a facts file: nested too deeply") from error
        if not isinstance(data, dict) or not isinstance(data.get("platform"), str):
            raise ValueError("not a facts file: no `platform`")
        try:
            return cls._from_object(data)
        except (AttributeError, KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"not a facts file: {error}") from error

    @classmethod
    def _from_object(cls, data: dict[str, Any]) -> RecordedFacts:
        commands = tuple(
            Answer(
                tuple(str(word) for word in row["argv"]),
                int(row.get("rc", 0)),
                _tidy(str(row.get("stdout") or "")),
                _tidy(str(row.get("stderr") or "")),
            )
            for row in data.get("commands") or []
        )
        return cls(
            platform=data["platform"],
            machine=_machine_name(str(data.get("machine") or "")),
            commands=commands,
            files={
                path: text.replace("\r\n", "\n")
                for path, text in _part(data, "files").items()
                if isinstance(text, str)
            },
            env={k: str(v) for k, v in _part(data, "env").items() if v is not None},
            values={
                name: whole
                for name, value in _part(data, "values").items()
                if (whole := _whole(value)) is not None
            },
        )

    def command(self, argv: Sequence[str], *, timeout_s: float = 5.0) -> Answer | None:
        return _match(self.commands, tuple(argv))

    def file(self, path: str) -> str | None:
        return self.files.get(path)

    def value(self, name: str) -> int | None:
        return self.values.get(name)


def plain(text: str) -> str:
    """Words of another program for one line of ours: no control characters, not endless."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:160]


def _tidy(text: str) -> str:
    """A tool's output as lines of text: Windows tools may leave a byte order mark, the null bytes
    of UTF-16 and carriage returns."""
    return text.replace("\0", "").lstrip("\ufeff\ufffd").replace("\r\n", "\n")


def _part(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part: Mapping[str, Any] | None = data.get(name)
    return {} if part is None else part


def _whole(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _match(recorded: Sequence[Answer], argv: tuple[str, ...]) -> Answer | None:
    """A recorded answer by program name and purpose, not by the exact argument list."""
    purpose = _purpose(argv)
    program = _program(argv[0])
    same = [
        row
        for row in recorded
        if row.argv and (purpose in _WINDOWS_QUERIES or _program(row.argv[0]) == program)
    ]
    for row in same:
        if row.argv == argv or (row.argv[1:] == argv[1:] and _program(row.argv[0]) == program):
            return row
    alike = [row for row in same if _purpose(row.argv) == purpose]
    # A query that failed and its simpler repetition have one purpose: what worked counts.
    found = min(alike, key=lambda row: row.rc != 0, default=None)
    return _one_of_many(same, argv) if found is None and program == "sysctl" else found


def _one_of_many(recorded: Sequence[Answer], argv: tuple[str, ...]) -> Answer | None:
    """One kernel value from a `sysctl` that asked for several, or for all (`-a`)."""
    name = argv[-1]
    for row in recorded:
        lines = row.stdout.splitlines()
        names = [word for word in row.argv[1:] if not word.startswith("-")]
        if "-n" in row.argv and name in names and len(names) == len(lines):
            return Answer(argv, 0, lines[names.index(name)])
        for line in lines:
            if re.match(rf"{re.escape(name)}\s*[:=]", line):
                return Answer(argv, 0, line)
    return None


_WINDOWS_QUERIES = ("Win32_VideoController", "qwMemorySize")


def _program(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2].lower().removesuffix(".exe")


def _purpose(argv: Sequence[str]) -> str:
    """What a query asks for: `--query-gpu`, `-L`, the sysctl name, the Windows class, …"""
    program = _program(argv[0])
    words = list(argv[1:])
    if program == "sysctl":
        return " ".join(word for word in words if word != "-n")
    if program == "rocm-smi":
        return next((name for name in ("--showmeminfo", "--showproductname") if name in words), "")
    if program == "xpu-smi":
        return " ".join([*words[:1], *(word for word in words[1:] if word.isdecimal())])
    if program == "amd-smi":
        return " ".join(words[:1])
    if program == "lspci":  # -mm, -nn and plain list the same devices
        return ""
    if program == "system_profiler" and "SPDisplaysDataType" in words:
        return "SPDisplaysDataType"
    for word in words:
        if word.startswith("--query"):
            return word.partition("=")[0]
        if word in ("-L", "--list-gpus"):
            return "-L"
        for name in _WINDOWS_QUERIES:
            if name.lower() in word.lower():
                return name
    return " ".join(words)


def _platform_name(name: str) -> str:
    return "windows" if name.startswith("win") else "darwin" if name == "darwin" else "linux"


def _machine_name(name: str) -> str:
    return {"amd64": "x86_64", "aarch64": "arm64"}.get(name.lower(), name.lower())
