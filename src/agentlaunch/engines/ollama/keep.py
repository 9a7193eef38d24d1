"""How long a model stays in memory after its last word, in the forms that Ollama takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

from agentlaunch.engines.base import Loaded

KEEP_ALIVE = "2h"
"""What a load asks for. An agent's requests carry none, and then that of the load goes on
(server/sched.go, 0.33); another model that needs the room may evict it."""
VARIABLE = "OLLAMA_KEEP_ALIVE"

FOREVER_S = 365 * 86_400.0
"""From here on it is for good: Ollama writes centuries."""

_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)", re.ASCII)
_SPAN = re.compile(rf"[-+]?(?:{_PART.pattern})+", re.ASCII)
_WHOLE = re.compile(r"[-+]?\d{1,12}", re.ASCII)


def chosen(environ: Mapping[str, str]) -> str | int:
    """What a load asks for: the user's own word where there is one that keeps a model at all. What
    Ollama could not read counts as none; with 0 the agent would load its model at every word."""
    said = environ.get(VARIABLE, "").strip()
    value: str | int = int(said) if _WHOLE.fullmatch(said) else said
    return value if seconds(value) else KEEP_ALIVE


def seconds(value: str | int) -> float | None:
    """`2h`, `1h30m`, or whole seconds; less than nothing is for good (api/types.go, 0.33). None
    for what is no such span."""
    if isinstance(value, str):
        if not value or len(value) > 40 or _SPAN.fullmatch(value) is None:
            return None
        total = sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(value))
        found = -total if value.startswith("-") else total
    else:
        found = float(value)
    return FOREVER_S if found < 0 else min(found, FOREVER_S)


def lengthens(value: str | int, row: Loaded | None) -> bool:
    """Would a loaded model stay longer by this than it stays now? So it does where nothing is
    loaded, or its end is not told."""
    if row is None or row.expires_at is None:
        return True
    return datetime.now(timezone.utc) + timedelta(seconds=seconds(value) or 0) > row.expires_at


def in_words(row: Loaded) -> str | None:
    """`stays loaded 2 h after the last word`, of a row that was read right after a load; None where
    the server does not say."""
    if row.expires_at is None:
        return None
    left_s = (row.expires_at - datetime.now(timezone.utc)).total_seconds()
    if left_s >= FOREVER_S * 0.99:
        return "stays loaded"
    minutes = max(1, round(left_s / 60))
    text = f"{minutes} min" if minutes < 120 and minutes != 60 else f"{minutes / 60:.3g} h"
    return f"stays loaded {text} after the last word"
