"""What we remember between runs: the last choices, and what was measured.

One small JSON file a kind in our state folder. Losing one loses comfort, never correctness, so a
file that cannot be read counts as empty and the next write replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agentlaunch import files

Kind = Literal["choices", "habits", "measurements", "allocations", "proofs", "endpoints"]

MOST_ENTRIES = 200


@dataclass(frozen=True, slots=True)
class Records:
    """The records under one folder (`paths().state`)."""

    folder: Path

    def recall(self, kind: Kind, key: str) -> dict[str, Any] | None:
        """What was remembered under a key, or None."""
        value = (files.read_json(self._file(kind)) or {}).get(key)
        return value if isinstance(value, dict) else None

    def all(self, kind: Kind) -> dict[str, dict[str, Any]]:
        """Everything remembered of one kind, by key."""
        rows = files.read_json(self._file(kind)) or {}
        return {key: value for key, value in rows.items() if isinstance(value, dict)}

    def remember(self, kind: Kind, key: str, value: dict[str, Any]) -> None:
        """Keep a value under a key, the newest last; the oldest go when there are too many."""
        with files.locked(self.folder / "records.lock", timeout_s=5, what="its records"):
            known = files.read_json(self._file(kind)) or {}
            known.pop(key, None)
            known[key] = value
            for old in list(known)[:-MOST_ENTRIES]:
                del known[old]
            files.write_json(self._file(kind), known)

    def _file(self, kind: Kind) -> Path:
        return self.folder / f"{kind}.json"
