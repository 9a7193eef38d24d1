"""`agentlaunch restore`: every file that we changed is given back, without agent or engine."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from agentlaunch import agents, settings
from agentlaunch.changes.entry import Entry
from agentlaunch.changes.journal import Journal
from agentlaunch.changes.text import KeyPath, shown
from agentlaunch.commands.result import Result
from agentlaunch.errors import Refused
from agentlaunch.talk import Talk

SCHEMA = "agentlaunch/restore/1"
MOST_NAMED = 4


def run(talk: Talk, agent: str | None, *, only_list: bool = False, dry_run: bool = False) -> Result:
    """Give the files back, of one agent or of all; `only_list` shows what is open, `dry_run` what
    would be given back. Status 8 where a file could not be read, and so stays open."""
    journal = Journal(settings.paths().state, home())
    name = _name(agent, journal) if agent is not None else None
    if only_list:
        return _listed(journal.entries(name))
    done = journal.restore(name, dry_run=dry_run)
    data = {
        "restored": [str(path) for path in done.restored],
        "kept": [{"path": str(row.path), "reason": row.reason} for row in done.kept],
    }

    def draw(talk: Talk) -> None:
        word = "would restore" if dry_run else "restored"
        for path in done.restored:
            talk.answer(f"{word} {path}")
        for row in done.kept:
            talk.answer(f"kept {row.path}: {row.reason}")
        if not done.restored and not done.kept:
            talk.answer("nothing to restore")

    stays_open = any(row.open for row in done.kept)
    if stays_open:
        talk.warn("mend what is kept, then run `agentlaunch restore` again", code="still-open")
    return Result(SCHEMA, data, draw, exit_code=Refused.exit_code if stays_open else 0)


def home() -> Path | None:
    """The user's home, which no link may lead out of; None where none is known."""
    with contextlib.suppress(RuntimeError):
        return Path.home()
    return None


def grouped(keys: Sequence[KeyPath]) -> str:
    """Names of keys for a person: many in one table are their number."""
    rows: dict[KeyPath, list[KeyPath]] = {}
    for key in keys:
        rows.setdefault(key[:-1], []).append(key)
    return ", ".join(
        f"{shown(table)} ({len(inner)} keys)" if table and len(inner) > MOST_NAMED
        else ", ".join(map(shown, inner))
        for table, inner in rows.items()
    )  # fmt: skip


def _name(typed: str, journal: Journal) -> str:
    """The agent's own name. One that only the journal knows counts too: another version of ours
    may have launched it."""
    if any(row.agent == typed.strip().lower() for row in journal.entries()):
        return typed.strip().lower()
    return agents.find(typed).name


def _listed(entries: tuple[Entry, ...]) -> Result:
    rows = [
        {
            "agent": row.agent,
            "path": str(row.named),
            "created": not row.existed,
            "when": row.when,
            "keys": [shown(given.key) for given in row.done.given] if row.done else [],
        }
        for row in entries
    ]

    def draw(talk: Talk) -> None:
        if not entries:
            talk.answer("no file is changed")
            return
        talk.table(
            ("AGENT", "FILE", "WHEN", "KEYS"),
            [
                (
                    row.agent,
                    str(row.named),
                    f"{row.when[:16].replace('T', ' ')} UTC",
                    grouped([given.key for given in row.done.given] if row.done else []),
                )
                for row in entries
            ],
        )

    return Result(SCHEMA, {"restored": [], "kept": [], "open": rows}, draw)
