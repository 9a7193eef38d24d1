"""What was proven before: kept by model, engine, wire and agent, so that it is measured once.

A server that somebody else runs may change under one name and one version, so what was proven
there holds for a day. A proof that failed is measured again: its remedy leaves name and version as
they were.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone

from agentlaunch.errors import Refused
from agentlaunch.proven import Check, Proof, Subject, read_check, read_proof
from agentlaunch.records import Records

__all__ = ["Subject", "broken", "recall", "remember"]

HOLDS_ELSEWHERE = timedelta(days=1)
"""How long a proof counts for a server that is not ours."""

PROBES = 4
"""Questions of a whole tool-call proof."""

OF_THE_ENGINE = ("model_digest", "engine", "engine_version", "url", "wire")
"""What a tool-call proof depends on; the others also on the rest of a subject."""


def recall(records: Records, subject: Subject, now: datetime | None = None) -> dict[str, Check]:
    """What still counts, by the check's name: what was shown to work, and a speed that could not be
    had, which would not be had again."""
    found: dict[str, Check] = {}
    for proof in _of_the_engine(records, subject):
        same = replace(proof.subject, model=subject.model) == subject
        for check in proof.checks:
            if not _holds(proof, check, subject, now or datetime.now(timezone.utc)):
                continue
            if check.name == "tool-call":
                if _is_whole(check):
                    found[check.name] = check
            elif same and (check.status in {"ok", "warning"} or check.name == "first-word"):
                found[check.name] = check
    return found


def broken(records: Records, subject: Subject) -> dict[str, Check]:
    """What was found not to work the last time: by a launch, or by the warm start after it."""
    for proof in _of_the_engine(records, subject):
        if replace(proof.subject, model=subject.model) == subject:
            return {check.name: check for check in proof.checks if check.status == "error"}
    return {}


def remember(
    records: Records, subject: Subject, checks: Iterable[Check], now: datetime | None = None
) -> None:
    """Keep what was found, with what was known of the same before and is not measured now. What was
    left out is not kept, but for a speed; a failure to write stops nothing."""
    at = (now or datetime.now(timezone.utc)).isoformat(timespec="seconds")
    before = records.recall("proofs", subject.key) or {}
    kept = {row["name"]: row for row in before.get("checks") or [] if read_check(row) is not None}
    for check in checks:
        if check.status != "skipped" or (check.name == "first-word" and check.name not in kept):
            kept[check.name] = check.as_json() | {"at": at}
    with contextlib.suppress(Refused, OSError):
        row = {**asdict(subject), "at": at, "checks": list(kept.values())}
        records.remember("proofs", subject.key, row)


def _is_whole(gate: Check) -> bool:
    """Was every question of the gate answered in time?"""
    probes = gate.measured.get("probes")
    rows = probes if isinstance(probes, list) else []
    told = [row.get("verdict") for row in rows if isinstance(row, dict)]
    return gate.measured.get("verdict") == "works" and len(told) >= PROBES and all(told)


def _of_the_engine(records: Records, subject: Subject) -> Iterator[Proof]:
    for row in records.all("proofs").values():
        proof = read_proof(row)
        if proof is not None and all(
            getattr(proof.subject, name) == getattr(subject, name) for name in OF_THE_ENGINE
        ):
            yield proof


def _holds(proof: Proof, check: Check, subject: Subject, now: datetime) -> bool:
    if subject.url is None:
        return True
    at = proof.times.get(check.name)
    return at is not None and timedelta(0) <= now - at < HOLDS_ELSEWHERE
