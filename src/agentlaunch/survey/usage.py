"""Which engine was used how much: the gateway's events, and what agents wrote down themselves.

A launch behind the gateway is counted there; of the others, an agent's own files tell the tokens
and the log of launches tells the engine. What no launch of ours began is not ours to count.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urlsplit

from agentlaunch import files, launches
from agentlaunch.agents import AGENTS
from agentlaunch.agents.base import Agent, own_folder
from agentlaunch.agents.usage import ACCOUNTS, Account, Used
from agentlaunch.engines import presets
from agentlaunch.engines.ollama.derive import parse_derived
from agentlaunch.gateway import events
from agentlaunch.launches import Launch
from agentlaunch.models import prices
from agentlaunch.models.prices import Equivalent
from agentlaunch.settings import Paths

GATEWAY = "gateway"
MOST_BYTES = 128 << 20
"""Of one file of an agent."""
LIMIT_S = 10.0
"""For all of them together; what was not read by then is said."""
SKEW = timedelta(seconds=5)
"""A launch is written down just before the agent begins."""


@dataclass(frozen=True, slots=True)
class Request:
    """One answered request, with the engine that answered."""

    at: datetime
    engine: str
    """Its name, or the host of a server."""
    model: str
    input_tokens: int
    """With what was cached."""
    cached_tokens: int
    output_tokens: int
    spent_usd: float | None
    """None: paid, and the price is not known."""
    managed: bool
    local: bool

    @property
    def equivalent(self) -> Equivalent | None:
        """What a managed service would have asked; None where one did."""
        return None if self.managed else prices.equivalent(base_of(self.model))

    @property
    def saved_usd(self) -> float | None:
        """US dollars at that price; None for a managed call."""
        found = self.equivalent
        if found is None:
            return None
        return found.price.of(self.input_tokens, self.cached_tokens, self.output_tokens)


@dataclass(frozen=True, slots=True)
class Found:
    """What could be read."""

    requests: tuple[Request, ...]
    """Oldest first."""
    partial: bool = False
    """Was the time up before everything was read?"""


def base_of(model: str) -> str:
    """The model behind a tag of ours, or behind a file's name."""
    derived = parse_derived(model)
    return derived.base if derived is not None else model.removesuffix(".gguf")


def look(
    paths: Paths,
    environ: Mapping[str, str],
    since: datetime,
    *,
    now: datetime | None = None,
    limit_s: float = LIMIT_S,
) -> Found:
    """Every request since then that can be told; never raises for what cannot be read."""
    until = time.monotonic() + limit_s
    end = (now or datetime.now(timezone.utc)) + timedelta(days=1)  # a clock may have been set back
    rows = [_of_gateway(row) for row in events.read(paths.state, since) if _answered(row)]
    direct, partial = _direct(paths, environ, since, until)
    rows += direct
    kept = [row for row in rows if since <= row.at <= end]
    return Found(tuple(sorted(kept, key=lambda row: row.at)), partial)


# ---- the gateway ------------------------------------------------------------------------------


def _answered(row: events.Event) -> bool:
    return isinstance(row, events.Request) and bool(row.hop)


def _of_gateway(row: events.Event) -> Request:
    assert isinstance(row, events.Request)
    return Request(
        row.at,
        row.hop,
        row.model,
        row.input_tokens,
        row.cached_tokens,
        row.output_tokens,
        row.cost_usd if row.managed else 0.0,
        row.managed,
        row.local,
    )


# ---- what agents keep -------------------------------------------------------------------------


def _direct(
    paths: Paths, environ: Mapping[str, str], since: datetime, until: float
) -> tuple[list[Request], bool]:
    by_agent: dict[str, list[Launch]] = {}
    for row in launches.read(paths.state):
        by_agent.setdefault(row.agent, []).append(row)
    found: list[Request] = []
    partial = False
    for name, rows in by_agent.items():
        agent, account = AGENTS.get(name), ACCOUNTS.get(name)
        if agent is None or account is None:
            continue
        known = _by_model(rows)
        counted: set[Used] = set()  # a fork of a conversation holds its replies, too
        for folder in dict.fromkeys(
            (_folder(agent, account, environ), paths.data / "homes" / name)
        ):
            listed, whole = _files(folder, account, since)
            partial = partial or not whole
            for file in listed:
                if time.monotonic() > until:
                    return found, True
                for used in _read(file, account):
                    if time.monotonic() > until:
                        return found, True
                    launch = _launch_of(known, used)
                    if used.own_id and used in counted:
                        continue
                    counted.add(used)
                    if launch is not None and launch.engine != GATEWAY:
                        found.append(_of_agent(used, launch))
    return found, partial


_Known = Mapping[str, tuple[list[datetime], list[Launch]]]


def _by_model(rows: Iterable[Launch]) -> _Known:
    known: dict[str, list[tuple[datetime, Launch]]] = {}
    for row in rows:
        moment = row.moment
        if moment is not None:
            known.setdefault(row.model, []).append((moment, row))
    for each in known.values():
        each.sort(key=lambda pair: pair[0])
    return {
        model: ([moment for moment, _row in each], [row for _moment, row in each])
        for model, each in known.items()
    }


def _launch_of(known: _Known, used: Used) -> Launch | None:
    """The last launch with this model before the request, in that folder or above it; None: it is
    not ours."""
    moments, rows = known.get(used.model, ([], []))
    folder = Path(used.folder)
    for at in range(bisect_right(moments, used.at + SKEW), 0, -1):
        row = rows[at - 1]
        if not used.folder or not row.project or folder.is_relative_to(row.project):
            return row
    return None


def _folder(agent: Agent, account: Account, environ: Mapping[str, str]) -> Path:
    if account.folder is None:
        return own_folder(agent, environ)
    variable, default = account.folder
    text = environ.get(variable) or default
    home = environ.get("HOME") or environ.get("USERPROFILE") or ""
    return Path(home, text[2:]) if text.startswith("~/") else Path(text)


def _files(folder: Path, account: Account, since: datetime) -> tuple[list[Path], bool]:
    """Those that were written to since then, the newest first; and whether none was too large.

    A database is asked whatever its size and age: what is new lies in a file beside it.
    """
    rows, whole = [], True
    try:
        for file in folder.glob(account.pattern):
            with contextlib.suppress(OSError):  # it has just gone, or is a link to nowhere
                status = file.stat()
                changed = datetime.fromtimestamp(status.st_mtime, timezone.utc)
                base = account.kind == "sqlite"
                if not file.is_file() or not (base or changed >= since):
                    continue
                if base or status.st_size <= MOST_BYTES:
                    rows.append((changed, file))
                else:
                    whole = False
    except OSError:  # a folder that may not be read
        pass
    return [file for _changed, file in sorted(rows, reverse=True)], whole


def _read(file: Path, account: Account) -> Iterator[Used]:
    try:
        if account.kind == "sqlite":
            yield from account.read(_documents(file, account.query))
        else:
            yield from account.read(files.read_plain(file, MOST_BYTES).splitlines())
    except (OSError, ValueError, sqlite3.Error):
        return


def _documents(file: Path, query: str) -> Iterator[bytes]:
    """What a database holds; it is only read, whoever writes to it meanwhile."""
    door = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)
    try:
        for row in door.execute(query):
            yield str(row[0]).encode()
    finally:
        door.close()


def _of_agent(used: Used, launch: Launch) -> Request:
    engine = launch.engine
    kind = presets.find(engine)
    if launch.url is not None and kind is None:
        engine = urlsplit(launch.url).netloc or engine
    spent: float | None = 0.0
    if launch.managed:
        price = prices.find(kind.kind if kind is not None else launch.engine, used.model)
        tokens = (used.input_tokens, used.cached_tokens, used.output_tokens)
        spent = price.of(*tokens, used.written_tokens) if price is not None else None
    return Request(
        used.at,
        engine,
        launch.model_id if not launch.managed else used.model,
        used.input_tokens,
        used.cached_tokens,
        used.output_tokens,
        spent,
        launch.managed,
        launch.local,
    )
