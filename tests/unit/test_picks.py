"""The golden table: what is picked on fourteen machines for three agents."""

from __future__ import annotations

import picks


def test_the_picks_are_those_that_the_table_shows() -> None:
    """When a pick changes for a good reason: python tests/picks.py --write, and say why."""
    assert picks.table() == picks.FILE.read_text(encoding="utf-8")
