"""Play a rehearsal: run the agent against a throwaway server and keep its first request.

A `Stage` is everything there is to know, as values that a process of its own can be given on its
stdin: no plan, no survey, no key of the user's.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agentlaunch import files, process
from agentlaunch.agents.base import UNSET, Handover, Link, PrivateFile
from agentlaunch.endpoint import Wire
from agentlaunch.errors import AgentlaunchError
from agentlaunch.launch import child_environment, write_files
from agentlaunch.launch.stand_in import StandIn
from agentlaunch.progress import Progress, Work
from agentlaunch.proof import recording
from agentlaunch.proof.recording import Recording
from agentlaunch.settings import Paths
from agentlaunch.units import format_seconds

KEPT = 50
"""Recordings; the oldest go first."""
AFTER_S = 1.0
"""What else comes with the first request comes so soon: titles, summaries."""
LOOK_S = 0.1

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """One rehearsal, in values of JSON; what it holds of secrets opens a throwaway server alone."""

    agent: str
    title: str
    version: str | None
    argv: tuple[str, ...] = field(repr=False)
    env: Mapping[str, str | None] = field(repr=False)
    """Changes of the environment; null takes a variable away."""
    files: Pairs = field(repr=False)
    """Private files by path; all lie in `folder`."""
    seeds: Pairs = field(repr=False)
    links: Pairs
    cwd: str
    folder: str
    """A private folder for this rehearsal alone; removed after it."""
    roots: tuple[str, ...]
    """The folders of `Paths`, in its order."""
    headless: bool
    path: str
    """Where the recording is kept."""
    word: str
    """The prompt: one word that stands nowhere else, so that it can be taken out again."""
    port: int
    token: str = field(repr=False)
    model: str
    wires: tuple[Wire, ...]
    context_tokens: int
    has_tools: bool
    limit_s: float

    def as_json(self) -> dict[str, Any]:
        """What `from_json` makes a stage of again."""
        return asdict(self)

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Stage:
        """What `as_json` gave, once more."""
        pairs = {name: tuple((a, b) for a, b in row[name]) for name in ("files", "seeds", "links")}
        lists = {name: tuple(row[name]) for name in ("argv", "roots", "wires")}
        return Stage(**{**row, **pairs, **lists})


def play(stage: Stage, environ: Mapping[str, str] | None = None) -> Work[Recording | None]:
    """Run the agent and keep what it asks first; None where that did not work, the last report says
    why. Whoever closes this work before its end ends the agent and all that it has started.

    `environ` is what the stage's changes are made to: this process's own environment if not told.
    """
    activity = f"looking at the prompt of {stage.title}"
    yield Progress(activity)
    try:
        kept = yield from _rehearse(stage, os.environ if environ is None else environ, activity)
        if kept is not None:
            recording.save(kept, Path(stage.path))
            _sweep(Path(stage.path).parent)
    except (AgentlaunchError, OSError, ValueError) as error:
        yield Progress(activity, detail=f"not recorded: {error}")
        return None
    if kept is None:
        yield Progress(activity, detail=f"{stage.title} sent no request")
    return kept


def _rehearse(stage: Stage, environ: Mapping[str, str], activity: str) -> Work[Recording | None]:
    folder, paths = Path(stage.folder), Paths(*(Path(root) for root in stage.roots))
    with (
        _throwaway(paths, folder),
        StandIn(
            stage.model,
            stage.token,
            stage.context_tokens,
            port=stage.port,
            wires=stage.wires,
            has_tools=stage.has_tools,
        ) as stand_in,
    ):
        given = _handover(stage)
        write_files(given, paths)
        env = child_environment(given, environ)
        cwd = Path(stage.cwd)
        if stage.headless:
            log = folder / "rehearsal.log"
            child = process.Background(stage.argv, log=log, env=env, cwd=cwd)
            yield from _watch(child.poll, child.kill, activity, lambda: stage.limit_s)
        else:
            if env.get("TERM", "dumb") == "dumb":
                env["TERM"] = "xterm-256color"
            shown = process.OnTerminal(stage.argv, env=env, cwd=cwd)
            limit = _Limit(stand_in, stage.limit_s)
            yield from _watch(shown.poll, shown.end, activity, limit.seconds)
        asked, complete = stand_in.asked, stand_in.first.is_set()
    if not complete:
        return None
    wire = asked[0][0]
    bodies: list[Mapping[str, Any]] = [body for each, body in asked if each == wire]
    found = recording.record(stage.agent, stage.version, wire, bodies, stage.word)
    if found is not None and stage.word in json.dumps(asdict(found)):
        raise ValueError("the prompt stands where it cannot be taken out")
    return found


class _Limit:
    """How long an agent on a terminal may run, which waits for more when it has asked."""

    def __init__(self, stand_in: StandIn, limit_s: float) -> None:
        self._stand_in = stand_in
        self._limit_s = limit_s
        self._begun = time.monotonic()
        self._came = False

    def seconds(self) -> float:
        if not self._came and self._stand_in.first.is_set():
            self._came = True
            self._limit_s = time.monotonic() - self._begun + AFTER_S
        return self._limit_s


def _watch(
    poll: Callable[[], int | None],
    end: Callable[[], None],
    activity: str,
    limit_s: Callable[[], float],
) -> Work[None]:
    """Until the agent ends by itself or takes too long; then all that it has started ends."""
    begun = time.monotonic()
    try:
        while poll() is None and (passed := time.monotonic() - begun) < limit_s():
            time.sleep(LOOK_S)
            yield Progress(activity, detail=format_seconds(passed))
    finally:
        end()


def _handover(stage: Stage) -> Handover:
    def laid(pairs: Pairs) -> tuple[PrivateFile, ...]:
        return tuple(PrivateFile(Path(path), text.encode()) for path, text in pairs)

    return Handover(
        argv=stage.argv,
        env={name: UNSET if value is None else value for name, value in stage.env.items()},
        files=laid(stage.files),
        seeds=laid(stage.seeds),
        links=tuple(Link(Path(path), Path(to)) for path, to in stage.links),
    )


@contextlib.contextmanager
def _throwaway(paths: Paths, folder: Path) -> Iterator[None]:
    """The private folder; one that is left behind is swept with those of dead launches."""
    files.private_tree(paths.runtime, folder)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(folder: Path) -> None:
    def age(file: Path) -> float:
        try:
            return -file.stat().st_mtime
        except OSError:
            return 0.0

    for file in sorted(folder.glob("*.json"), key=age)[KEPT:]:
        with contextlib.suppress(OSError):
            file.unlink()
