"""`agentlaunch engines`: what serves models here; what is ours can be stopped, and logs be read."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from agentlaunch import keys, policy, settings
from agentlaunch.commands import permission, ruling
from agentlaunch.commands.result import Result
from agentlaunch.endpoint import Wire, without_secrets
from agentlaunch.engines import llama_cpp, remote
from agentlaunch.engines.base import EngineState, Loaded
from agentlaunch.engines.ollama import keep, life, update
from agentlaunch.engines.ollama.derive import parse_derived
from agentlaunch.engines.ollama.facts import NAME
from agentlaunch.engines.ollama.replies import cpu_share
from agentlaunch.engines.ollama.update import Lack, lacks
from agentlaunch.errors import AgentlaunchError, AuthNeeded, EngineFailed, Refused
from agentlaunch.launch import meanwhile
from agentlaunch.settings import Value
from agentlaunch.talk import Talk
from agentlaunch.units import format_memory, plural

ROW_S = 3.0
"""How long a row may wait for somebody else's server."""
MOST_NAMED = 4
"""Models of one server that a row names; JSON has every one."""
PINNED = "a launch brings the pinned version"
BROUGHT = "a launch brings it, after asking"
RECENT = timedelta(minutes=15)
"""A session may pause for so long between two words."""


@dataclass(frozen=True, slots=True)
class Row:
    """An engine, whether it answers where one was named, and how it is brought up to date."""

    state: EngineState
    reachable: bool | None = None
    update: str | None = None
    """What to type or to do; for an engine that is missing, to get it."""
    lacks: tuple[Lack, ...] = ()


def list_engines(talk: Talk) -> Result:
    """Every engine here."""
    rows = look(ruling.kept_home(settings.load())[0], wires=talk.policy.json)
    if talk.policy.json:
        for lack in (lack for row in rows for lack in row.lacks):
            talk.warn(f"Ollama is older than {lack.version}, which {lack.text}", code="ollama-old")
    downloads = meanwhile.running(settings.paths())
    data = {
        "engines": [_row_json(row) for row in rows],
        "downloads": [
            {"ref": row.ref, "pid": row.who.pid, "log": str(row.log)} for row in downloads
        ],
    }

    def whole(t: Talk) -> None:
        draw(t, rows)
        for row in downloads:
            t.answer(f"downloading {row.ref} in the background: {row.log}")

    return Result("agentlaunch/engines/1", data, whole)


def look(values: dict[str, Value], *, wires: bool = False) -> tuple[Row, ...]:
    """Ours, Ollama's and the one of the settings, side by side; changes nothing, never raises.

    `wires` is whether those of the settings' server are worth asking for.
    """
    with ThreadPoolExecutor(max_workers=3, thread_name_prefix="engines") as pool:
        ours = pool.submit(llama_cpp.LlamaCpp(settings.paths()).states)
        ollama = pool.submit(ollama_row)
        server = pool.submit(_named_row, values, wires=wires)
        rows = [_embedded(state) for state in ours.result()]
        rows.append(ollama.result())
        other = server.result()
    if other is not None and (other.state.url or "") not in {row.state.url for row in rows}:
        rows.append(other)
    return tuple(rows)


def _embedded(state: EngineState) -> Row:
    return Row(state, update=BROUGHT if state.state == "missing" else PINNED)


def ollama_row() -> Row:
    """Ollama as `OLLAMA_HOST` says, where that may be asked; never raises."""
    environ = ruling.kept_environ()
    state = life.state(environ)
    state = dataclasses.replace(state, url=_masked(state.url), detail=_masked(state.detail))
    if state.url is None:
        if state.detail is None and environ.get("OLLAMA_HOST"):
            url = without_secrets(life.client_of(environ).url)
            state = dataclasses.replace(state, detail=f"nothing answers at {url} (OLLAMA_HOST)")
        if state.state == "missing":
            return Row(state, update=None if state.detail else life.how_to_install())
    return Row(state, update=update.how_at(state.url), lacks=lacks(state.version))


def _masked(text: str | None) -> str | None:
    return None if text is None else without_secrets(text)


@dataclass(frozen=True, slots=True)
class Named:
    """The server of the settings, which may be asked, with the key that it gets."""

    row: EngineState
    target: remote.Target
    key: str = field(repr=False)

    @property
    def hosted(self) -> bool:
        """A company's service is not polled."""
        return self.target.preset is not None and self.target.preset.hosted


def named(values: dict[str, Value]) -> Named | Row | None:
    """The server that the settings name, or why it is not asked; None where they name none."""
    name = values["engine"].value
    if name is None or str(name).lower() in (llama_cpp.LlamaCpp.name, NAME):
        return None
    row = EngineState(without_secrets(str(name)), "remote", None, None, ())
    try:
        target = remote.resolve(str(name), {key: one.value for key, one in values.items()})
    except AgentlaunchError as error:
        return Row(dataclasses.replace(row, detail=error.message), reachable=False)
    hosted = target.preset is not None and target.preset.hosted
    row = dataclasses.replace(
        row, name=target.preset.name if target.preset else "remote", url=target.url
    )
    if not policy.allows(values[policy.SETTING].value, target.url):
        return Row(dataclasses.replace(row, detail="not asked: it is another machine"))
    key = keys.from_environment(target.key_variables, os.environ)
    if hosted and not key:  # the keyring may wait for somebody to unlock it
        detail = f"not asked: it wants a key, and none of {', '.join(target.key_variables)} is set"
        return Row(dataclasses.replace(row, detail=detail))
    return Named(row, target, key)


def _named_row(values: dict[str, Value], *, wires: bool) -> Row | None:
    found = named(values)
    if not isinstance(found, Named):
        return found
    facts = probed(found, remote.ALL_WIRES if wires else ())
    return facts if isinstance(facts, Row) else row_of(found, facts)


def row_of(server: Named, facts: remote.RemoteFacts) -> Row:
    """A server that answered."""
    (state,) = remote.Remote(facts, name=server.row.name).states()
    return Row(state, reachable=True)


def probed(server: Named, wires: tuple[Wire, ...] = ()) -> remote.RemoteFacts | Row:
    """What the server says of itself, or the row that tells why it does not."""
    return (_probed_once if server.hosted else _probed)(server, wires)


def _probed(server: Named, wires: tuple[Wire, ...]) -> remote.RemoteFacts | Row:
    target = server.target
    try:
        return remote.probe(
            target.url, key=server.key, wires=wires, preset=target.preset, deadline_s=ROW_S
        )
    except AuthNeeded as error:
        return Row(dataclasses.replace(server.row, detail=error.message), reachable=True)
    except AgentlaunchError as error:
        detail = without_secrets(error.message)
        return Row(dataclasses.replace(server.row, detail=detail), reachable=False)


_probed_once = functools.lru_cache(maxsize=1)(_probed)
"""A company's service is not polled: a watch shows what it said first."""


# ---- for a person -------------------------------------------------------------------------


def draw(talk: Talk, rows: Sequence[Row]) -> None:
    """A row an engine, what it has loaded in the last column; then how each is updated."""
    table = []
    for row in rows:
        state = row.state
        sessions = f"; {plural(state.sessions, 'session')}" if state.sessions else ""
        loaded = _all_loaded(state)
        about = "; ".join(text for text in (loaded, state.detail) if text) or "-"
        shown = "unreachable" if row.reachable is False else state.state
        cells = (state.name, shown, state.version or "-", state.url or "-", about + sessions)
        table.append([" ".join(cell.split()) for cell in cells])
    talk.table(("ENGINE", "STATE", "VERSION", "ADDRESS", "LOADED"), table)
    for row in {row.state.name: row for row in rows}.values():
        for lack in row.lacks:
            text = f"{row.state.name} is older than {lack.version}, which {lack.text}"
            talk.answer_folded(f"warning: {text}", indent=9)
        if row.update is not None:
            verb = "install" if row.state.state == "missing" else "update"
            talk.answer(f"to {verb} {row.state.name}: {row.update}")


def _all_loaded(state: EngineState) -> str:
    rows = state.loaded
    more = f"; and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
    return "; ".join(_loaded(row) for row in rows[:MOST_NAMED]) + more


def _loaded(row: Loaded) -> str:
    parts = [row.model]
    if row.context_tokens is not None:
        parts.append(f"{row.context_tokens:,} tokens")
    if row.size_bytes:
        parts.append(format_memory(row.size_bytes))
    parts += [text for text in (place(row), time_left(row.expires_at)) if text]
    return ", ".join(parts)


def place(row: Loaded) -> str:
    """Where its weights and its context lie; "" when the server does not say."""
    share = cpu_share(row)
    if share is None:
        return ""
    if share in (0, 1):
        return "on the CPU" if share else "on the GPU"
    percent = min(99, max(1, round(100 * (1 - share))))
    return f"{percent} % on the GPU"


def time_left(expires_at: datetime | None) -> str:
    """Until its memory is given back when nobody uses it; Ollama's "forever" is centuries away."""
    if expires_at is None:
        return ""
    left = expires_at - datetime.now(timezone.utc)
    if left > timedelta(days=365):
        return "kept"
    seconds = left.total_seconds()
    if seconds <= 0:
        return "leaving"
    return f"{seconds / 3600:.0f} h left" if seconds > 7200 else f"{seconds / 60:.0f} min left"


# ---- stop ---------------------------------------------------------------------------------


def stop(talk: Talk, name: str | None, *, force: bool, allow_remote: bool = False) -> Result:
    """Stop our engines, or the one with a model; `ollama`: unload what we made, no more.

    Raises `Refused` under a running session, and for an Ollama elsewhere without the user's word.
    """
    if name is not None and name.lower() == NAME:
        return _unload(talk, force=force, allow_remote=allow_remote)
    engine = llama_cpp.LlamaCpp(settings.paths())
    chosen = [row for row in engine.running() if name in (None, row.model)]
    if name is not None and not chosen:
        raise EngineFailed(f"no engine of ours runs {name}", hint="see `agentlaunch engines`")
    stopped = [row.model for row in chosen if engine.stop(row.key, force=force)]
    text = f"stopped {', '.join(stopped)}" if stopped else "no engine of ours was running"
    return _stopped(stopped, text)


def _unload(talk: Talk, *, force: bool, allow_remote: bool) -> Result:
    """Ollama is somebody's server and goes on; only the tags of ours leave its memory."""
    facts = permission.ollama_for(
        talk,
        "What launches loaded there is unloaded, perhaps under somebody's session.",
        allowed=settings.load()[policy.SETTING].value,
        once=allow_remote,
    )
    rows = [row for row in facts.loaded if parse_derived(row.model) is not None]
    held = [row.model for row in rows]
    if facts.version is None:
        return _stopped([], "Ollama does not run")
    goes_on = f"the server at {facts.client.url} goes on"
    if not held:
        return _stopped([], f"Ollama holds no model of ours; {goes_on}")
    names = ", ".join(held)
    for row in rows:
        talk.say(f"  {_loaded(row)}")
    if not _may_unload(talk, rows, f"Unload {names} from Ollama ({goes_on})?", force=force):
        return _stopped([], "nothing was done")
    for model in held:
        facts.client.unload(model)
    return _stopped(held, f"unloaded {names}; {goes_on}")


def _may_unload(talk: Talk, rows: Sequence[Loaded], question: str, *, force: bool) -> bool:
    """Ollama does not tell who uses a model, only how long it stays: one that had a word a moment
    ago may be a session's, and is unloaded by a person's yes or by `--force`, not by `--yes`."""
    busy = ", ".join(row.model for row in rows if had_a_word(row))
    if force or not busy:
        return talk.ask(question, flag="--yes")
    text = f"{busy} had a word within the last {RECENT.seconds // 60} minutes"
    if not talk.may_ask:
        raise Refused(
            f"{text}: a session may go on there",
            hint="agentlaunch engines stop ollama --force --yes",
            code="engine-in-use",
        )
    asking = dataclasses.replace(talk, policy=dataclasses.replace(talk.policy, yes=False))
    talk.say(f"{text}: a session may go on there, which would wait for it to be loaded again")
    return asking.ask(question, flag="--force", default=False)


def had_a_word(row: Loaded) -> bool:
    """Was it used recently? What is left of the time that a launch of ours keeps it tells when its
    last word was; one that is kept for ever may have had one."""
    if row.expires_at is None:
        return False
    kept = timedelta(seconds=keep.seconds(keep.chosen(os.environ)) or 0)
    return row.expires_at - datetime.now(timezone.utc) > kept - RECENT


def _stopped(names: list[str], text: str) -> Result:
    return Result("agentlaunch/engines-stop/1", {"stopped": names}, lambda t: t.answer(text))


# ---- JSON ---------------------------------------------------------------------------------


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
                "model": held.model,
                "context_tokens": held.context_tokens,
                "size_bytes": held.size_bytes,
                "vram_bytes": held.vram_bytes,
                "expires_at": held.expires_at.isoformat() if held.expires_at else None,
            }
            for held in state.loaded
        ],
        "detail": state.detail,
        "pid": state.pid,
        "sessions": state.sessions,
    }


def _row_json(row: Row) -> dict[str, Any]:
    return as_json(row.state) | {
        "reachable": row.reachable,
        "update": row.update,
        "lacks": [dataclasses.asdict(lack) for lack in row.lacks],
    }
