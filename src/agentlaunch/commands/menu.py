"""`agentlaunch` alone: on a terminal a menu, elsewhere the state and the next command."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentlaunch import plan, records, settings, survey
from agentlaunch.agents import AGENTS
from agentlaunch.commands import looking, ruling, up
from agentlaunch.commands.result import Result
from agentlaunch.engines import remote
from agentlaunch.engines.ollama.derive import parse_derived
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.engines.ollama.replies import same_model
from agentlaunch.models.candidate import Candidate
from agentlaunch.models.choose import Choice
from agentlaunch.survey import AgentState
from agentlaunch.talk import Talk, clean
from agentlaunch.units import format_bytes, format_memory, format_span, format_tokens

MARGIN = 4
"""Columns that a list of choices keeps for its pointer."""
GAP = "  "
LEAST_NAME = 22
"""Columns of a name that are worth more than what stands beside it."""
NUMBERED = 5
"""Rows that can be counted at a glance; how many there are is said above more than these."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A model to choose: what `--model` takes, and what is said of it."""

    ref: str
    marks: tuple[str, ...] = ()
    download_bytes: int | None = None
    here: bool = False
    pick: bool = False
    """What `up` takes by itself: it is not named then, since a name overrules what a launch would
    refuse."""
    memory: str = ""
    first_word: str = ""

    @property
    def layouts(self) -> tuple[tuple[str, ...], ...]:
        """The same row with less and less in it, for narrower and narrower terminals."""
        name, marks = one_line(self.ref), ", ".join(self.marks)
        size = format_bytes(self.download_bytes)
        fetch, short = f"{size} to download", f"get {size}"
        if self.here or self.download_bytes is None:
            fetch, short = ("already here", "here") if self.here else ("", "")
        needs = f"needs {self.memory}" if self.memory else ""
        first = f"first word {self.first_word}" if self.first_word else ""
        return (
            (name, marks, fetch, needs, first),
            (name, marks, fetch, first),
            (name, marks, short, first),
            (name, marks, short),
            (name, marks),
            (name,),
        )


def run(talk: Talk) -> Result | None:
    """Choose an agent, then a model; Enter takes the first. No terminal: what to type next.

    Raises `KeyboardInterrupt`, and what `up` raises.
    """
    paths = settings.paths()
    last = survey.remembered_agent(paths)
    states = [survey.find_agent(agent, paths, node=False) for agent in AGENTS.values()]
    if not talk.may_ask or talk.policy.yes:
        return _state(states, last)
    try:
        chosen = _choose(talk, states, last)
    except KeyboardInterrupt:
        talk.say("nothing was done")
        raise
    if chosen is None:
        talk.say("nothing was done")
        return None
    flags, asked = chosen
    talk.err.write(f"the same as: {command_line(flags, offline=talk.policy.offline)}\n")
    talk.err.flush()
    return up.run(
        talk,
        flags,
        (),
        dry_run=False,
        skip_proof=False,
        status_file=None,
        insecure=False,
        asked=asked,
    )


def command_line(flags: dict[str, object | None], *, offline: bool = False) -> str:
    """What to type for the same; folded nowhere, so that it can be copied."""
    words = ["agentlaunch", "up", str(flags["agent"])]
    if flags.get("model") is not None:
        words += ["--model", str(flags["model"])]
    if offline:
        words.append("--offline")
    return one_line(shlex.join(words))


def one_line(text: str) -> str:
    """A name that may come from a server, safe for a terminal and without a line break."""
    return clean(" ".join(text.split()))


def _state(states: Sequence[AgentState], last: str | None) -> Result:
    states = [state for state in states if state.agent.local]
    rows = [
        {"name": state.agent.name, "installed": state.installed, "version": state.version}
        for state in states
    ]
    following = f"agentlaunch up {last or states[0].agent.name}"

    def draw(talk: Talk) -> None:
        for number, state in enumerate(states, 1):
            where = state.version or ("installed" if state.installed else "not installed yet")
            talk.answer(f"{number}. {state.agent.title} ({where})")
        talk.answer(f"next: {following}   (agentlaunch --help lists all commands)")

    return Result("agentlaunch/agentlaunch/1", {"agents": rows, "next": following}, draw)


def _choose(
    talk: Talk, states: Iterable[AgentState], last: str | None
) -> tuple[dict[str, object | None], looking.Asked | None] | None:
    """What `up` is called with, and what it would find where that was looked at just now; None
    when the person wants none of it."""
    offered = ruling.may_start([state for state in states if state.agent.local])
    offered.sort(key=lambda state: (state.agent.name != last, not state.installed))
    rows = fitted([_agent_layouts(state, last) for state in offered], _room(talk))
    names = [" ".join((s.agent.title, s.agent.name, *s.agent.aliases)) for s in offered]
    number = talk.choose("Which agent?", rows, find=names)
    if number is None:
        return None
    flags: dict[str, object | None] = {"agent": offered[number].agent.name}
    talk.say("looking at this machine")
    asked = looking.look(talk, flags, ())
    # A server that was looked at got the user's word meanwhile, which `asked` does not know of.
    same = asked if asked.server is None else None
    if asked.wish.model is not None:
        return flags, same
    models = offers(talk, asked, records.Records(asked.paths.state).recall("choices", "last") or {})
    if not models or (asked.server is not None and len(models) == 1):
        return flags, same  # nothing to choose: `up` says that best
    count = f" {len(models)} fit" if len(models) > NUMBERED else ""
    question = f"Which model for {offered[number].agent.title}?{count}"
    rows = fitted([model.layouts for model in models], _room(talk))
    row = talk.choose(question, rows, find=[model.ref for model in models])
    if row is None:
        return None
    if models[row].pick:
        return flags, same
    return flags | {"model": models[row].ref}, None


def _agent_layouts(state: AgentState, last: str | None) -> tuple[tuple[str, ...], ...]:
    package = state.agent.package
    where = state.version or ("installed" if state.installed else "not installed")
    more = "last time" if state.agent.name == last else ""
    fetch = ""
    if not state.installed and package is not None:
        fetch = f"{format_bytes(package.download_bytes or package.size_bytes)} to download"
    title = state.agent.title
    return ((title, where, fetch, more), (title, where, more), (title, where), (title,))


# ---- the models ---------------------------------------------------------------------------


def offers(talk: Talk, asked: looking.Asked, last: dict[str, Any]) -> list[Offer]:
    """What this engine can serve here, the best first. `last` is the remembered choice.

    Raises what `up` raises where a server that was named is not to be had.
    """
    name = last.get("model")
    known = name if isinstance(name, str) else None
    if asked.server is not None:
        facts = looking.look_at_server(talk, asked, asked.server)
        any_will_do = not asked.wish.agent.needs_tools
        able = [row for row in facts.models if row.tools is not False or any_will_do]
        able.sort(key=lambda row: row.loaded is not True)
        return [_served(row, known) for row in able]
    server = looking.ollama_of(asked)
    seen = asked.survey.on_ollama(server) if server is not None else asked.survey
    choice = plan.choose_model(seen, asked.wish)
    rows = [_offer(row, choice, known) for row in _ordered(choice)]
    others = _unsized(server, choice, known) if server is not None else _file(last)
    at = next((n for n, row in enumerate(rows) if not row.here and not row.marks), len(rows))
    return [*rows[:at], *others, *rows[at:]]


def _ordered(choice: Choice) -> list[Candidate]:
    """The pick, the two beside it, what is here already, and the rest that fits, as ranked."""
    fitting = [row for row in choice.candidates if row.pickable]
    first = [row.id for row in (choice.pick, choice.fast, choice.smarter) if row is not None]

    def place(row: Candidate) -> int:
        if row.id in first:
            return first.index(row.id)
        return len(first) + (not row.installed)

    return sorted(fitting, key=place)


def _offer(row: Candidate, choice: Choice, last: str | None) -> Offer:
    words = (("recommended", choice.pick), ("faster", choice.fast), ("smarter", choice.smarter))
    marks = [word for word, other in words if other is not None and other.id == row.id]
    band = row.speed.first_word_s
    return Offer(
        ref=row.id,
        marks=(*marks, *_last(row.id, last)),
        download_bytes=row.size_bytes,
        here=row.installed,
        pick=choice.pick is not None and choice.pick.id == row.id,
        memory=format_memory(row.fit.total_bytes) if row.fit.total_bytes is not None else "",
        first_word=format_span(band.low, band.high) if band is not None else "",
    )


def _unsized(server: OllamaFacts, choice: Choice, last: str | None) -> list[Offer]:
    """What Ollama holds besides; not its cloud's, not our own tags, not what takes no tools."""
    sized = [row.id for row in choice.candidates]
    return [
        Offer(tag.name, _last(tag.name, last), here=True)
        for tag in server.tags
        if not tag.cloud
        and parse_derived(tag.name) is None
        and (tag.capabilities is None or "tools" in tag.capabilities)
        and not any(same_model(tag.name, other) for other in sized)
    ]


def _file(last: dict[str, Any]) -> list[Offer]:
    """The file that was launched last, where it still lies there."""
    path = last.get("path")
    if not isinstance(path, str) or not Path(path).is_file():
        return []
    return [Offer(path, ("last time",), here=True)]


def _served(row: remote.RemoteModel, last: str | None) -> Offer:
    tokens = row.context_tokens
    context = () if tokens is None else (f"{format_tokens(tokens)} tokens",)
    return Offer(row.name, (*context, *_last(row.name, last)))


def _last(name: str, last: str | None) -> tuple[str, ...]:
    return ("last time",) if name == last else ()


# ---- the rows -----------------------------------------------------------------------------


def fitted(rows: Sequence[tuple[tuple[str, ...], ...]], width: int) -> list[str]:
    """Rows as aligned columns in the fullest of their layouts that fits `width` columns, where
    long names may be cut; the barest is cut in any case."""
    barest = len(rows[0]) - 1 if rows else 0
    for layout in range(barest + 1):
        cells = [row[layout] for row in rows]
        rest = max((len(line) for line in _aligned([("", *row[1:]) for row in cells])), default=0)
        room = width - rest - (len(GAP) if rest else 0)
        if layout == barest or room >= min(LEAST_NAME, max(len(row[0]) for row in cells)):
            return list(_aligned([(_cut(name, room), *more) for name, *more in cells]))
    return []


def _room(talk: Talk) -> int:
    """Columns for a row; of the terminal that is talked on, since stdout may be a pipe."""
    try:
        return os.get_terminal_size(talk.err.fileno()).columns - MARGIN
    except (OSError, ValueError):
        return talk.width - MARGIN


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(size) for cell, size in zip(row, widths, strict=True) if size)
        yield GAP.join(cells).rstrip()


def _cut(name: str, room: int) -> str:
    """The end of a name tells builds apart, so the middle goes."""
    if len(name) <= room:
        return name
    tail = max(1, (room - 2) // 2)
    return f"{name[: room - 2 - tail]}..{name[-tail:]}"
