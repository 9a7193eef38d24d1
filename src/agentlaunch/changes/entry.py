"""What the journal remembers of one file of the user's, as a value and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from agentlaunch.changes.edit import Format, Given

Kind = Format | Literal["file"]
"""`file`: the whole file is ours."""

VERSION = 1


@dataclass(frozen=True, slots=True)
class Done:
    """What we wrote last: the file's digest, our keys; `whole` while nobody else has written since
    the original, so that its very bytes can come back."""

    sha256: str
    given: tuple[Given, ...] = field(repr=False)
    whole: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of one agent: what it was, what we made of it, what we were about to write."""

    agent: str
    path: Path
    """The file itself."""
    named: Path
    """As the agent names it: perhaps a link to it."""
    kind: Kind
    existed: bool
    folders: tuple[Path, ...]
    """Folders that we made for it."""
    when: str
    done: Done | None = None
    prepared: Done | None = None
    prepared_from: str | None = None
    """Digest of the file that the prepared write takes the place of; None: no file."""

    def as_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "agent": self.agent,
            "path": str(self.path),
            "named": str(self.named),
            "kind": self.kind,
            "existed": self.existed,
            "folders": [str(folder) for folder in self.folders],
            "when": self.when,
            "done": _done_json(self.done),
            "prepared": _done_json(self.prepared),
            "prepared_from": self.prepared_from,
        }


def from_json(row: Mapping[str, Any]) -> Entry:
    """Raises `KeyError`, `TypeError` or `ValueError` for anything but what `as_json` writes."""
    if row["version"] != VERSION or row["kind"] not in {"json", "toml", "yaml", "file"}:
        raise ValueError("written by another version")
    return Entry(
        agent=str(row["agent"]),
        path=Path(row["path"]),
        named=Path(row["named"]),
        kind=row["kind"],
        existed=bool(row["existed"]),
        folders=tuple(Path(folder) for folder in row["folders"]),
        when=str(row["when"]),
        done=_done(row["done"]),
        prepared=_done(row["prepared"]),
        prepared_from=row["prepared_from"],
    )


def _done_json(done: Done | None) -> dict[str, Any] | None:
    if done is None:
        return None
    keys = [
        {"key": list(row.key), "ours": row.ours, "before": row.before, "existed": row.existed}
        for row in done.given
    ]
    return {"sha256": done.sha256, "keys": keys, "whole": done.whole}


def _done(row: Mapping[str, Any] | None) -> Done | None:
    if row is None:
        return None
    given = tuple(
        Given(tuple(key["key"]), key["ours"], key["before"], int(key["existed"]))
        for key in row["keys"]
    )
    return Done(str(row["sha256"]), given, bool(row["whole"]))
