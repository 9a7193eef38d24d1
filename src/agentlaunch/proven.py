"""What was proven, of what and when: values that proofs make, records keep and a doctor reads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, Literal, get_args

from agentlaunch.endpoint import Wire

Name = Literal["tool-call", "truncation", "prefix", "first-word", "task"]
Status = Literal["ok", "warning", "error", "skipped"]
NAMES: tuple[Name, ...] = get_args(Name)
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True, slots=True)
class Check:
    """One row of a proof (CONTRACT 3, `prove`): what was measured, what it means, the way out.

    `error` stops a launch, `warning` is said, `skipped` was not measured and says why. No verdict
    stands here without a measurement: `measured` holds it, by the names of CONTRACT 3.
    """

    name: Name
    status: Status
    message: str
    measured: Mapping[str, Any] = field(default_factory=dict)
    remedy: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As `prove --json` prints it and as it is remembered."""
        return asdict(self) | {"measured": dict(self.measured)}


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


@dataclass(frozen=True, slots=True)
class Proof:
    """One row of the records."""

    subject: Subject
    at: datetime | None
    """When, with a zone; None where that cannot be read."""
    checks: tuple[Check, ...]
    times: Mapping[str, datetime] = field(default_factory=dict)
    """When each check was made, by its name."""


def read_check(value: object) -> Check | None:
    """A check as it was remembered; None for what is none."""
    row = value if isinstance(value, dict) else {}
    name, status, message = row.get("name"), row.get("status"), row.get("message")
    if name not in NAMES or status not in STATUSES or not isinstance(message, str):
        return None
    measured, remedy = row.get("measured"), row.get("remedy")
    return Check(
        name,
        status,
        message,
        measured if isinstance(measured, dict) else {},
        remedy if isinstance(remedy, str) else None,
    )


def read_proof(row: Mapping[str, Any] | None) -> Proof | None:
    """A proof as it was remembered; None for what is none."""
    values = {each.name: (row or {}).get(each.name) for each in fields(Subject)}
    texts = [values[name] for name in ("model", "model_digest", "engine", "agent", "tier")]
    if values["wire"] not in get_args(Wire) or not all(isinstance(text, str) for text in texts):
        return None
    if not isinstance(values["context_tokens"], int):
        return None
    maybe = [values[name] for name in ("engine_version", "url", "agent_version")]
    if not all(text is None or isinstance(text, str) for text in maybe):
        return None
    checks = (row or {}).get("checks")
    rows = checks if isinstance(checks, list) else []
    read = [read_check(value) for value in rows]
    times: dict[str, datetime] = {
        check.name: at
        for check, value in zip(read, rows, strict=True)
        if check is not None and (at := _moment(value.get("at"))) is not None
    }
    return Proof(
        Subject(**values),  # type: ignore[arg-type] # each was looked at just now
        _moment((row or {}).get("at")),
        tuple(check for check in read if check is not None),
        times,
    )


def _moment(text: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at if at.tzinfo is not None else None
