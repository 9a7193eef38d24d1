"""`doctor --fix`: remove what is ours and dead, each told as a finding; nothing of the user's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from agentlaunch import files, launch, managed
from agentlaunch.checks import Finding
from agentlaunch.errors import AgentlaunchError
from agentlaunch.settings import Paths
from agentlaunch.survey import leftovers as left
from agentlaunch.units import format_bytes, plural

MENDED = "mended: "


def leftovers(paths: Paths) -> tuple[Finding, ...]:
    """Private files of dead launches, state files of dead engines, unfinished installations.

    What is at work, or cannot be removed, stays and is a finding of its own.
    """
    return (*_launches(paths), *_engines(paths), *_installations(paths))


def _launches(paths: Paths) -> Iterator[Finding]:
    before = _listed(paths)
    if not before:
        return
    launch.sweep(paths)
    gone = len(before) - len(before & _listed(paths))
    if gone:
        text = f"removed {plural(gone, 'private file')} of launches that are over"
        yield Finding("leftovers", "ok", MENDED + text)


def _listed(paths: Paths) -> set[Path]:
    try:
        return set(left.dead_files(paths))
    except OSError:
        return set()


def _engines(paths: Paths) -> Iterator[Finding]:
    try:
        dead = list(left.dead_engines(paths))
    except OSError:
        dead = []
    gone = sum(_forget(paths, state) for state in dead)
    if gone:
        text = f"removed {plural(gone, 'state file')} of engines that no longer run"
        yield Finding("leftovers", "ok", MENDED + text)


def _forget(paths: Paths, state: Path) -> bool:
    """Remove a state file and its leases under the engine's own lock; False while another has it,
    or an engine runs there by now."""
    try:
        with files.locked(state.with_suffix(".lock"), timeout_s=0, what="this engine"):
            if state not in set(left.dead_engines(paths)):
                return False
            state.unlink(missing_ok=True)
            shutil.rmtree(state.with_suffix(".leases"), ignore_errors=True)
    except (AgentlaunchError, OSError):
        return False
    return True


def _installations(paths: Paths) -> Iterator[Finding]:
    try:
        found = left.unfinished(paths)
    except OSError:
        found = ()
    for row in found:
        what = f"the unfinished installation of {row.name} {row.version}"
        try:
            managed.remove(row)
        except AgentlaunchError as error:
            text = f"{what} stays: {error.message}"
            yield Finding("leftovers", "warning", text, error.hint)
        except OSError as error:
            yield Finding("leftovers", "warning", f"{what} stays: {error}", f"rm -r {row.path}")
        else:
            text = f"removed {what} ({format_bytes(row.size_bytes)})"
            yield Finding("leftovers", "ok", MENDED + text)
