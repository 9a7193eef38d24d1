"""What `agentlaunch engines --watch` knows of every engine from second to second.

Every server is asked in a thread of its own: one that hangs holds up nobody else's numbers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from agentlaunch import process, settings, web
from agentlaunch.commands import engines
from agentlaunch.endpoint import Endpoint
from agentlaunch.engines import live, llama_cpp, remote
from agentlaunch.engines import remote_replies as replies
from agentlaunch.engines.base import EngineState, Loaded
from agentlaunch.engines.live import Live
from agentlaunch.engines.ollama.facts import NAME as OLLAMA
from agentlaunch.settings import Value
from agentlaunch.units import format_memory, plural

EVERY_S = 1.0
WAIT_S = 0.8
"""How long a second waits for answers before it shows what it has."""
SILENT_S = 2.0
"""After so long without an answer, the row says so."""
GONE_S = 60.0
"""How long an engine of ours that ended is still shown."""
JUST_S = 3.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A model, or an engine without one, as the last answer told."""

    engine: str
    state: str
    model: str = ""
    context_tokens: int | None = None
    notes: tuple[str, ...] = ()
    look: live.Look | None = None
    """None where this kind of server tells no numbers."""
    key: str = ""
    """The process of ours behind it; "" for a server that is always shown."""
    pid: int | None = None


# ---- asking -------------------------------------------------------------------------------


class Asker:
    """One source of rows, asked in the background, one question at a time."""

    def __init__(self, engine: str, ask: Callable[[], tuple[Seen, ...]]) -> None:
        self.rows: tuple[Seen, ...] = (Seen(engine, "asked"),)
        self.answered_s = time.monotonic()
        self._ask = ask
        self._thread: threading.Thread | None = None
        self._answer: tuple[Seen, ...] | None = None
        self._error: BaseException | None = None

    def start(self) -> None:
        """Ask, unless the last question is still open."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def take(self, wait_s: float) -> bool:
        """Is there a new answer, perhaps after a while? Raises what a bug of ours raised."""
        if self._thread is None:
            return False
        self._thread.join(wait_s)
        if self._thread.is_alive():
            return False
        self._thread = None
        if self._error is not None:
            raise self._error
        if self._answer is not None:
            self.rows, self.answered_s = self._answer, time.monotonic()
        return True

    def _run(self) -> None:
        try:
            self._answer = self._ask()
        except Exception as error:  # noqa: BLE001 - raised again where it can be reported
            self._error = error


def askers(values: dict[str, Value]) -> tuple[Asker, ...]:
    """Ours, Ollama's and the one of the settings, as `engines` without a watch asks them."""
    ours = llama_cpp.LlamaCpp(settings.paths())
    found = [Asker(ours.name, lambda: _embedded(ours)), Asker(OLLAMA, _Ollama().ask)]
    server = engines.named(values)
    if isinstance(server, engines.Row):
        row = _of_row(server)
        found.append(Asker(row.engine, lambda: (row,)))
    elif server is not None:
        found.append(Asker(server.row.name, _NamedServer(server).ask))
    return tuple(found)


def _embedded(ours: llama_cpp.LlamaCpp) -> tuple[Seen, ...]:
    rows = []
    for found in ours.running():
        asleep = found.asleep is True
        notes = [_memory(process.memory_bytes(found.identity.pid))]
        notes += [plural(found.sessions, "session")] if found.sessions else []
        look = None
        try:
            endpoint = found.endpoint
            look = live.llama_cpp(endpoint.base_url, endpoint.key_headers, asleep=asleep)
        except web.WebFault:
            notes.append("does not answer")
        rows.append(
            Seen(
                ours.name,
                "asleep" if asleep else "running",
                found.model,
                found.context_tokens,
                tuple(note for note in notes if note),
                look,
                found.key,
                found.identity.pid,
            )
        )
    return tuple(rows) or tuple(Seen(ours.name, row.state) for row in ours.states())


class _Ollama:
    """Its `/api/ps` loads nothing and lengthens no stay; it tells no speeds (server/sched.go of
    0.33). When a request ends there, the end of the model's stay is set anew: that tells of use."""

    def __init__(self) -> None:
        self._stays: dict[str, float] = {}
        self._used_s: dict[str, float] = {}
        self._answered = False

    def ask(self) -> tuple[Seen, ...]:
        row = engines.ollama_row()
        state = row.state
        if state.url is None and self._answered:
            return (Seen(state.name, "gone"),)
        self._answered = self._answered or state.url is not None
        if not state.loaded:
            return (_of_row(row),)
        return tuple(
            Seen(state.name, state.state, held.model, held.context_tokens, self._notes(held))
            for held in state.loaded
        )

    def _notes(self, held: Loaded) -> tuple[str, ...]:
        stay, now = held.expires_at.timestamp() if held.expires_at else 0.0, time.monotonic()
        if stay > self._stays.get(held.model, stay) + EVERY_S / 2:
            self._used_s[held.model] = now
        self._stays[held.model] = stay
        used = self._used_s.get(held.model)
        notes = [_memory(held.size_bytes), engines.place(held), engines.time_left(held.expires_at)]
        if used is not None:
            notes.append("used now" if now - used < JUST_S else f"used {now - used:.0f} s ago")
        return tuple(note for note in notes if note)


class _NamedServer:
    """The server of the settings: asked what it is until it answers, then only for what moves."""

    def __init__(self, server: engines.Named) -> None:
        self._server = server
        self._facts: remote.RemoteFacts | None = None
        self._last: Seen | None = None

    def ask(self) -> tuple[Seen, ...]:
        if self._facts is None or self._facts.kind not in {"llama.cpp", "vllm", "llama-swap"}:
            found = engines.probed(self._server)
            if isinstance(found, engines.Row):
                row = _of_row(found)
                return (self._gone(row.notes) if found.reachable is False else row,)
            self._facts = found
        row = _of_row(engines.row_of(self._server, self._facts))
        try:
            self._last = self._numbers(row, self._facts)
        except web.WebFault as fault:
            if fault.kind == "timeout":  # an old llama.cpp that reads a long prompt is only busy
                return (replace(row, notes=(*row.notes, "does not answer in time")),)
            self._facts = None  # what comes up there next may be another
            return (self._gone((str(fault),)),)
        return (self._last,)

    def _gone(self, notes: tuple[str, ...]) -> Seen:
        if self._last is None:
            return Seen(self._server.row.name, "unreachable", notes=notes)
        last = self._last
        return Seen(last.engine, "gone", last.model, last.context_tokens, notes)

    def _numbers(self, row: Seen, facts: remote.RemoteFacts) -> Seen:
        """The row with what moves. Raises `web.WebFault`."""
        url = facts.url
        headers = Endpoint(url, (), "", facts.key, facts.token_header).key_headers
        if facts.kind == "vllm":
            return replace(row, look=live.vllm(url, headers))
        if facts.kind == "llama-swap":  # what goes through it to a model counts as use of that
            runs = replies.running(live.answer(f"{url}/running", headers))
            return replace(row, model=_names(runs), context_tokens=None)
        if facts.kind != "llama.cpp":
            return row
        said = live.props(url, headers)
        asleep = said.get("is_sleeping") is True
        row = replace(row, state="asleep" if asleep else row.state)
        reason = live.why_not(said)
        if reason is not None:
            return replace(row, notes=(*row.notes, reason))
        return replace(row, look=live.llama_cpp(url, headers, asleep=asleep))


def _of_row(row: engines.Row) -> Seen:
    state: EngineState = row.state
    shown = "unreachable" if row.reachable is False else state.state
    names = [held.model for held in state.loaded]
    contexts = {held.context_tokens for held in state.loaded}
    notes = (state.detail,) if state.detail else ()
    return Seen(
        state.name, shown, _names(names), contexts.pop() if len(contexts) == 1 else None, notes
    )


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}" if names else ""


def _memory(size: int | None) -> str:
    return format_memory(size) if size else ""


# ---- one look after the other ---------------------------------------------------------------


class Picture:
    """What is known of every engine now."""

    def __init__(self, askers: Sequence[Asker]) -> None:
        self._askers = tuple(askers)
        self._lives: dict[str, Live] = {}
        self._pids: dict[str, int | None] = {}
        self._gone: dict[str, tuple[Seen, float]] = {}

    def look(self, wait_s: float = WAIT_S) -> None:
        """Ask again whoever has answered, and take what comes in time."""
        until = time.monotonic() + wait_s
        for asker in self._askers:
            asker.start()
        for asker in self._askers:
            before = asker.rows
            if asker.take(max(0.0, until - time.monotonic())):
                self._notice(before, asker.rows)

    def rows(self) -> Iterator[tuple[Seen, Live | None]]:
        """Every row with its figures, the ones that ended after those that run."""
        now = time.monotonic()
        for asker in self._askers:
            silent_s = now - asker.answered_s
            for row in asker.rows:
                if silent_s > SILENT_S:
                    text = f"no answer for {silent_s:.0f} s"
                    row = replace(row, notes=(*row.notes, text))  # noqa: PLW2901 - the same row
                yield row, self._lives.get(_identity(row))
        for row, _since in self._gone.values():
            yield row, None

    def _notice(self, before: Sequence[Seen], rows: Sequence[Seen]) -> None:
        now = time.monotonic()
        for row in rows:
            name = _identity(row)
            if row.look is not None:
                same = self._pids.get(name, row.pid) == row.pid
                self._lives[name] = live.follow(self._lives.get(name) if same else None, row.look)
                self._pids[name] = row.pid
            self._gone.pop(name, None)
        here = {_identity(row) for row in rows}
        for row in before:
            if row.key and _identity(row) not in here:
                at = time.strftime("%H:%M:%S")
                ended = Seen(row.engine, "gone", row.model, notes=(f"ended before {at}",))
                self._gone[_identity(row)] = (ended, now)
                self._lives.pop(_identity(row), None)
        self._gone = {
            name: (row, since) for name, (row, since) in self._gone.items() if now - since < GONE_S
        }


def _identity(row: Seen) -> str:
    return f"{row.engine}/{row.key}"
