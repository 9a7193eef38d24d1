"""`agentlaunch engines`: what serves models here; our own ones can be stopped and read."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentlaunch import files, settings
from agentlaunch.commands.result import Result
from agentlaunch.engines import llama_cpp
from agentlaunch.engines.base import EngineState
from agentlaunch.errors import EngineFailed, UsageError
from agentlaunch.talk import Talk
from agentlaunch.units import format_memory, plural

WATCH_S = 2.0


def list_engines(talk: Talk, *, watch: bool) -> Result:
    """Every engine here; with `watch` again and again until Ctrl-C."""
    engine = llama_cpp.LlamaCpp(settings.paths())
    if watch and talk.policy.json:
        raise UsageError("--watch has no single JSON document", hint="leave --watch away")
    while watch:
        draw(talk, states_of(engine))
        talk.answer("")
        time.sleep(WATCH_S)
    states = states_of(engine)
    data = {"engines": [as_json(state) for state in states]}
    return Result("agentlaunch/engines/1", data, lambda t: draw(t, states))


def states_of(engine: llama_cpp.LlamaCpp) -> tuple[EngineState, ...]:
    """Ours and Ollama's, seen without changing anything."""
    from agentlaunch.engines.ollama import life

    return (*engine.states(), life.state(os.environ))


def draw(talk: Talk, states: Sequence[EngineState]) -> None:
    """A row an engine; what it has loaded in the last column."""
    rows = []
    for state in states:
        loaded = "; ".join(
            f"{row.model}, {row.context_tokens or 0:,} tokens"
            + (f", {format_memory(row.size_bytes)}" if row.size_bytes else "")
            for row in state.loaded
        )
        sessions = f", {plural(state.sessions, 'session')}" if state.sessions else ""
        rows.append(
            (state.name, state.state, state.version or "-", state.url or "-",
             (loaded or state.detail or "-") + sessions)
        )  # fmt: skip
    talk.table(("ENGINE", "STATE", "VERSION", "ADDRESS", "LOADED"), rows)


def stop(talk: Talk, model: str | None, *, force: bool) -> Result:
    """Stop our engines, or the one with a model. Raises `Refused` under a running session."""
    engine = llama_cpp.LlamaCpp(settings.paths())
    chosen = [row for row in engine.running() if model in (None, row.model)]
    if model is not None and not chosen:
        raise EngineFailed(f"no engine of ours runs {model}", hint="see `agentlaunch engines`")
    stopped = [row.model for row in chosen if engine.stop(row.key, force=force)]
    text = f"stopped {', '.join(stopped)}" if stopped else "no engine of ours was running"
    return Result("agentlaunch/engines-stop/1", {"stopped": stopped}, lambda t: t.answer(text))


def logs(talk: Talk, model: str | None, *, watch: bool) -> Result | None:
    """The end of an engine's log: of the newest, or of the one that runs a model."""
    if watch and talk.policy.json:
        raise UsageError("--watch has no single JSON document", hint="leave --watch away")
    log = _log(model)
    if talk.policy.json:
        text = files.tail(log)
        data = {"path": str(log), "text": text}
        return Result("agentlaunch/engines-logs/1", data, lambda t: t.answer(text))
    talk.say(str(log))
    talk.answer(files.tail(log).rstrip("\n"))
    at = log.stat().st_size
    while watch:
        time.sleep(WATCH_S / 4)
        with log.open("rb") as stream:
            stream.seek(at)
            new = stream.read()
        at += len(new)
        if new:
            talk.answer(new.decode("utf-8", "replace").rstrip("\n"))
    return None


def _log(model: str | None) -> Path:
    paths = settings.paths()
    if model is None:
        logs = list(paths.logs.glob("engine-*.log*"))
    else:
        logs = [row.log for row in llama_cpp.LlamaCpp(paths).running() if row.model == model]
    newest = max(logs, key=_written_at, default=None)
    if newest is not None:
        return newest
    if model is not None:
        raise EngineFailed(f"no engine of ours runs {model}", hint="see `agentlaunch engines`")
    raise EngineFailed("no engine of ours has run yet", hint="agentlaunch up claude-code")


def _written_at(log: Path) -> float:
    try:
        return log.stat().st_mtime
    except OSError:  # renamed by a launch just now
        return 0.0


def as_json(state: EngineState) -> dict[str, Any]:
    """One row of CONTRACT 3, engines."""
    return {
        "name": state.name,
        "state": state.state,
        "version": state.version,
        "url": state.url,
        "wires": list(state.wires),
        "loaded": [
            {
                "model": row.model,
                "context_tokens": row.context_tokens,
                "size_bytes": row.size_bytes,
                "vram_bytes": row.vram_bytes,
            }
            for row in state.loaded
        ],
        "detail": state.detail,
        "pid": state.pid,
        "sessions": state.sessions,
    }
