"""The report of a proof for a bug report: Markdown without secrets, names, addresses or paths."""

from __future__ import annotations

import json
import os
import platform
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentlaunch import __version__, files
from agentlaunch.commands.redaction import Redactor, mapped
from agentlaunch.errors import Refused, UsageError
from agentlaunch.proof.check import Check
from agentlaunch.talk import clean


def refuse_place(place: Path | None) -> None:
    """Before any work: raise `Refused` where a report cannot or must not be written."""
    if place is None:
        return
    if str(place) == "-":
        raise UsageError("--report wants a file", hint="--json prints on stdout", code="bad-value")
    if os.path.lexists(place):
        raise Refused(f"{place} is there already", hint="name another file", code="file-exists")
    folder = place.absolute().parent
    try:
        usable = stat.S_ISDIR(folder.stat().st_mode) and os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        usable = False
    if not usable:
        raise Refused(
            f"{folder} is no folder that you may write to",
            hint="name a file in one that is there",
            code="not-writable",
        )


def write(
    place: Path,
    data: Mapping[str, Any],
    checks: Sequence[Check],
    versions: Mapping[str, object],
    machine: Mapping[str, Any],
    hide: Redactor,
) -> None:
    """Write the report, for this user alone. Raises `Refused` where a file has come there since."""
    refuse_place(place)
    files.write_atomic(place, text(data, checks, versions, machine, hide).encode())


def text(
    data: Mapping[str, Any],
    checks: Sequence[Check],
    versions: Mapping[str, object],
    machine: Mapping[str, Any],
    hide: Redactor,
) -> str:
    """The report: what was proven, with which versions, on which machine."""
    told = {
        "agentlaunch": __version__,
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        **{name: data[name] for name in ("agent", "model", "engine")},
        **versions,
    }
    lines = ["# agentlaunch prove", ""]
    lines += [f"- {name}: {_line(hide.private(str(value)))}" for name, value in told.items()]
    lines += ["", "## Checks"]
    for check in checks:
        lines += ["", f"### {check.name}: {check.status}", "", _line(hide.private(check.message))]
        if check.remedy:
            lines += ["", f"Remedy: {_line(hide.private(check.remedy))}"]
        if check.measured:
            lines += ["", *_fenced(mapped(check.measured, hide.private))]
    lines += ["", "## Machine", "", *_fenced(mapped(machine, hide.private))]
    return "\n".join(lines) + "\n"


def _fenced(value: Any) -> list[str]:
    """JSON has no line that begins with a fence, so nothing in it ends the block."""
    return ["```json", json.dumps(value, indent=1, default=str), "```"]


def _line(text: str) -> str:
    return " ".join(clean(text, limit=None).split())
