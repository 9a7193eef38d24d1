"""The same test on more of the same kind: one of each in every run, all in `nox -s full`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def beyond(values: Iterable[Any], *kept: Any) -> list[Any]:
    """Parameters of a test: those that are not kept are `long`."""
    return [
        value if value in kept else pytest.param(value, marks=pytest.mark.long) for value in values
    ]
