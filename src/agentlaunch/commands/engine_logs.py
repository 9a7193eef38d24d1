"""`agentlaunch engines logs`: what an engine wrote, ours and Ollama's, wherever that lies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from agentlaunch import files, process, settings
from agentlaunch.commands.result import Result
from agentlaunch.engines import llama_cpp
from agentlaunch.engines.ollama import life, wsl
from agentlaunch.engines.ollama.facts import NAME
from agentlaunch.errors import EngineFailed, UsageError
from agentlaunch.settings import Paths
from agentlaunch.talk import Talk

LOOK_S = 0.5
SCHEMA = "agentlaunch/engines-logs/1"
JOURNAL = ("journalctl", "-u", "ollama", "-n", "200", "--no-pager")
"""Ollama's own installer makes it a service of systemd, whose log only the journal has."""
JOURNAL_S = 10.0


def logs(talk: Talk, name: str | None, *, watch: bool) -> Result | None:
    """The end of a log: of our newest engine, of the one that runs a model, or of `ollama`."""
    if watch and talk.policy.json:
        raise _no_document()
    paths = settings.paths()
    if name is not None and name.lower() == NAME:
        log = _newest([life.log_path(paths), *own_logs(os.environ)])
        if log is None:
            return _journal(talk, watch=watch)
    elif name is not None:
        running = [row.log for row in llama_cpp.LlamaCpp(paths).running() if row.model == name]
        log = _newest(running)
        if log is None:
            raise EngineFailed(f"no engine of ours runs {name}", hint="see `agentlaunch engines`")
    else:
        log = _newest(list(paths.logs.glob("engine-*.log*")))
        if log is None:
            hint = "agentlaunch up claude-code, or for Ollama: agentlaunch engines logs ollama"
            raise EngineFailed("no engine of ours has run yet", hint=hint)
        for other in _others(paths, log):
            talk.say(f"also {other}")
    return show(talk, log, SCHEMA, watch=watch)


def show(talk: Talk, log: Path, schema: str, *, watch: bool) -> Result | None:
    """The end of a log, and with `watch` what is written from now on."""
    if watch and talk.policy.json:
        raise _no_document()
    if talk.policy.json:
        text = files.tail(log)
        data = {"path": str(log), "command": None, "text": text}
        return Result(schema, data, lambda t: t.answer(text))
    talk.say(str(log))
    talk.answer(files.tail(log).rstrip("\n"))
    if watch:
        _follow(talk, log)
    return None


def _no_document() -> UsageError:
    return UsageError("--watch has no single JSON document", hint="leave --watch away")


def own_logs(
    environ: Mapping[str, str], platform: str = sys.platform, home: Path | None = None
) -> tuple[Path, ...]:
    """Where a server that we did not start keeps its log (Ollama 0.33: docs/troubleshooting.mdx);
    nowhere on Linux, where it goes to the journal."""
    if platform == "darwin":
        return ((home or Path.home()) / ".ollama" / "logs" / "server.log",)
    local = environ.get("LOCALAPPDATA", "")
    return (Path(local) / "Ollama" / "server.log",) if platform == "win32" and local else ()


def _journal(talk: Talk, *, watch: bool) -> Result:
    command = " ".join(JOURNAL)
    if watch:
        raise UsageError(
            "the journal is followed by its own program", hint="journalctl -u ollama -f"
        )
    text = _read_journal()
    if not text:
        raise EngineFailed("no log of Ollama can be read from here", hint=_where(), code="no-log")
    talk.say(command)
    data = {"path": None, "command": command, "text": text}
    return Result(SCHEMA, data, lambda t: t.answer(text))


def _read_journal() -> str:
    """The service's last lines; "" where there is no journal, no entry, or no leave to read it."""
    program = process.find_program(JOURNAL[0])
    if program is None or sys.platform != "linux":
        return ""
    try:
        done = process.run([str(program), *JOURNAL[1:]], timeout_s=JOURNAL_S)
    except (process.ToolNotFound, process.ToolTimeout):
        return ""
    said = done.stdout.rstrip("\n")
    return "" if done.rc != 0 or said.strip() in {"", "-- No entries --"} else said


def _where() -> str:
    if wsl.is_wsl():
        return r"Ollama on Windows writes %LOCALAPPDATA%\Ollama\server.log there"
    if process.find_program(JOURNAL[0]) is None:
        return "a server started by hand writes to its terminal, one in a container: docker logs"
    return f"sudo {' '.join(JOURNAL)}; a server started by hand writes to its own terminal"


def _follow(talk: Talk, log: Path) -> None:
    """What is written from now on, also after a launch has begun the log anew."""
    stream: BinaryIO = log.open("rb")
    try:
        stream.seek(0, os.SEEK_END)
        while True:
            time.sleep(LOOK_S)
            anew = _opened_anew(log, stream)
            new = stream.read()
            if anew is not None:
                stream.close()
                stream = anew
                new += stream.read()
            if new:
                talk.answer(new.decode("utf-8", "replace").rstrip("\n"))
    finally:
        stream.close()


def _opened_anew(log: Path, stream: BinaryIO) -> BinaryIO | None:
    """The log's new file where the one that we read was renamed or cut; None while it goes on, or
    between the two."""
    try:
        there = log.stat()
        if os.path.samestat(there, os.fstat(stream.fileno())) and there.st_size >= stream.tell():
            return None
        return log.open("rb")
    except OSError:
        return None


def _others(paths: Paths, shown: Path) -> list[Path]:
    """The logs of other engines, without the older ones of the same."""
    return sorted(log for log in paths.logs.glob("engine-*.log") if log != shown)


def _newest(logs: list[Path]) -> Path | None:
    return max((log for log in logs if log.is_file()), key=_written_at, default=None)


def _written_at(log: Path) -> float:
    try:
        return log.stat().st_mtime
    except OSError:  # renamed by a launch just now
        return 0.0
