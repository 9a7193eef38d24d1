"""Waits until something is true, with a limit."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(
    true: Callable[[], object], *, limit_s: float = 20.0, what: str = "it never came true"
) -> None:
    """Ask again and again; fail with `what` after `limit_s` seconds."""
    limit = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < limit, what
        time.sleep(0.03)
