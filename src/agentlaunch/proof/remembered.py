"""What was proven before: kept by model, engine, wire and agent, so that it is measured once.

A server that somebody else runs may change under one name and one version, so what was proven
there holds for a day. A proof that failed is measured again: its remedy leaves name and version as
they were.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone

from agentlaunch.errors import Refused
from agentlaunch.proven import Check, Proof, Subject, read_proof
from agentlaunch.records import Records

__all__ = ["Subject", "recall", "remember"]

HOLDS_ELSEWHERE = timedelta(days=1)
"""How long a proof counts for a server that is not ours."""

OF_THE_ENGINE = ("model_digest", "engine", "engine_version", "url", "wire")
"""What a tool-call proof depends on; the others also on the rest of a subject."""


def recall(records: Records, subject: Subject, now: datetime | None = None) -> dict[str, Check]:
    """What still counts, by the check's name; nothing that failed."""
    found: dict[str, Check] = {}
    for row in records.all("proofs").values():
        proof = read_proof(row)
        if proof is None or not _of_the_engine(proof.subject, subject):
            continue
        if not _holds(proof, subject, now or datetime.now(timezone.utc)):
            continue
        same = replace(proof.subject, model=subject.model) == subject
        for check in proof.checks:
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
    before = read_proof(records.recall("proofs", subject.key))
    kept = {check.name: check for check in before.checks} if before is not None else {}
    for check in checks:
        if check.status != "skipped" or check.name not in kept:
            kept[check.name] = check
    row = {**asdict(subject), "at": at, "checks": [check.as_json() for check in kept.values()]}
    with contextlib.suppress(Refused, OSError):
        records.remember("proofs", subject.key, row)


def _of_the_engine(one: Subject, other: Subject) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in OF_THE_ENGINE)


def _holds(proof: Proof, subject: Subject, now: datetime) -> bool:
    if subject.url is None:
        return True
    return proof.at is not None and timedelta(0) <= now - proof.at < HOLDS_ELSEWHERE
