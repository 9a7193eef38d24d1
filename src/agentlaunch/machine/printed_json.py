"""JSON in what another program printed, which may have written warnings around it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

_MOST_STARTS = 40  # brackets tried before giving up: a page of warnings is no answer
_MOST = 1 << 60  # no real size or count is larger


def first_object(text: str) -> Any:
    """The first JSON object, or list of objects, in the text; None when there is none.

    A warning such as "[1] no driver" is valid JSON too, so a list must hold objects.
    """
    decoder = json.JSONDecoder()
    for start in islice(re.finditer(r"[\[{]", text), _MOST_STARTS):
        try:
            value, _end = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and value:
            return value
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            return value
    return None


def rows(text: str) -> list[Mapping[str, Any]]:
    """The objects of a list; PowerShell's ConvertTo-Json prints a single one without the list."""
    value = first_object(text)
    if isinstance(value, dict):
        wrapped = value.get("value")  # PowerShell 5: {"value": [...], "Count": 2}
        if "Count" in value and isinstance(wrapped, list):
            return [row for row in wrapped if isinstance(row, dict)]
        return [value]
    return value if isinstance(value, list) else []


def count(value: Any) -> int | None:
    """A whole number that is not negative, printed as a number or as text; else None."""
    if isinstance(value, str):
        found = re.fullmatch(r"\s*([0-9]{1,19})\s*", value, re.ASCII)
        value = int(found[1]) if found else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= _MOST else None


def text_of(row: Mapping[str, Any], name: str) -> str:
    """A field that should be text, or an empty string."""
    value = row.get(name)
    return value if isinstance(value, str) else ""


def lower_keys(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row by names in lower case, whose spelling differs between versions of a tool."""
    return {str(key).lower(): value for key, value in row.items()}
