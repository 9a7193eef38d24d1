"""What was proven before: kept by model, engine, wire and agent, so that it is measured once.

A server that somebody else runs may change under one name and one version, so what was proven
there holds for a day. A proof that failed is measured again: its remedy leaves name and version as
they were.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from agentlaunch.endpoint import Wire
from agentlaunch.errors import Refused
from agentlaunch.proof.check import Check, read_check
from agentlaunch.records import Records

HOLDS_ELSEWHERE = timedelta(days=1)
"""How long a proof counts for a server that is not ours."""

OF_THE_ENGINE = ("model_digest", "engine", "engine_version", "url", "wire")
"""What a tool-call proof depends on; the others also on the rest of a subject."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What was proven: one served model for one agent."""

    model: str
    model_digest: str
    engine: str
    engine_version: str | None
    url: str | None
    """Of a server that is not ours; the port of ours is another every day."""
    wire: Wire
    agent: str
    agent_version: str | None
    tier: str
    context_tokens: int

    @property
    def key(self) -> str:
        """Of its row among the records."""
        parts = [str(value) for value in asdict(self).values()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def recall(records: Records, subject: Subject, now: datetime | None = None) -> dict[str, Check]:
    """What still counts, by the check's name; nothing that failed."""
    wanted = asdict(subject)
    found: dict[str, Check] = {}
    for row in records.all("proofs").values():
        if any(row.get(name) != wanted[name] for name in OF_THE_ENGINE):
            continue
        if not _holds(row, subject, now or datetime.now(timezone.utc)):
            continue
        same = all(row.get(name) == wanted[name] for name in wanted if name != "model")
        for check in _checks(row):
            counts = check.status in {"ok", "warning"}
            if counts and (same or check.name == "tool-call"):
                found[check.name] = check
            elif same and check.status == "skipped" and check.name != "tool-call":
                found.setdefault(check.name, check)  # it was tried, and would be skipped again
    return found


def remember(
    records: Records, subject: Subject, checks: Iterable[Check], now: datetime | None = None
) -> None:
    """Keep what was found, with what was known of the same before and is not measured now; comfort,
    so that a failure to write stops nothing."""
    at = (now or datetime.now(timezone.utc)).isoformat(timespec="seconds")
    kept = {check.name: check for check in _checks(records.recall("proofs", subject.key) or {})}
    for check in checks:
        if check.status != "skipped" or check.name not in kept:
            kept[check.name] = check
    row = {**asdict(subject), "at": at, "checks": [check.as_json() for check in kept.values()]}
    with contextlib.suppress(Refused, OSError):
        records.remember("proofs", subject.key, row)


def _holds(row: Mapping[str, Any], subject: Subject, now: datetime) -> bool:
    if subject.url is None:
        return True
    try:
        age = now - datetime.fromisoformat(str(row.get("at")))
    except (ValueError, TypeError):
        return False
    return timedelta(0) <= age < HOLDS_ELSEWHERE


def _checks(row: Mapping[str, Any]) -> Iterable[Check]:
    """The checks of a row; what is no check is passed over."""
    checks = row.get("checks")
    for value in checks if isinstance(checks, list) else []:
        check = read_check(value)
        if check is not None:
            yield check
