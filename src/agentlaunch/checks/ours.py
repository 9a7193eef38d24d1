"""What is ours: settings, folders, records, and what killed runs left behind."""

from __future__ import annotations

from collections.abc import Collection

from agentlaunch.checks.finding import Finding, Status
from agentlaunch.survey import Survey
from agentlaunch.survey.health import Place
from agentlaunch.units import format_bytes, plural

FIX = "agentlaunch doctor --fix"


def settings(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    """Each fault in the settings, with its way out."""
    faults = survey.health.faults if survey.health is not None else ()
    return [
        Finding("settings", "error", row.message, row.hint or "mend it there, or remove it")
        for row in faults
    ]


def surroundings(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    """Where we were started: the folder must be there, and PATH must name some."""
    rows = []
    if survey.health is not None and survey.health.lost_folder:
        text = "the current folder is gone, or may not be read"
        rows.append(Finding("folder", "error", text, "cd"))
    if survey.health is not None and survey.health.no_path:
        text = "PATH is empty: no program can be found"
        rows.append(Finding("path", "warning", text, "export PATH=/usr/local/bin:/usr/bin:/bin"))
    return rows


def folders(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    """Our folders that cannot be used, together where one thing stands in the way of several."""
    groups: dict[tuple[str, str], list[Place]] = {}
    for place in survey.health.places if survey.health is not None else ():
        if place.problem is not None:
            groups.setdefault((place.problem, str(place.culprit)), []).append(place)
    rows = [_blocked(places) for places in groups.values()]
    unused = survey.health.unused_runtime if survey.health is not None else None
    if unused is not None and survey.machine.os == "linux":
        asked, taken = unused
        text = (
            f"XDG_RUNTIME_DIR names {asked}, which is no folder that only this user may enter; "
            f"{taken} is used instead"
        )
        rows.append(Finding("folders", "info", text, f"chmod 700 {asked}"))
    return rows


def _blocked(places: list[Place]) -> Finding:
    first = places[0]
    where = first.culprit
    names = " and ".join(place.name for place in places)
    folders = f"our {names} {'folder' if len(places) == 1 else 'folders'}"
    needed = {"runtime", "data", "state"}.intersection(place.name for place in places)
    status: Status = "error" if needed else "warning"
    if first.problem == "file":
        text = f"{where} is no folder, but {folders} would lie there"
        remedy = f"mv {where} {where}.old"
    elif first.problem == "link":
        text, remedy = f"{where} is a link to nothing, but {folders} would lie there", f"rm {where}"
    elif first.problem == "foreign":
        text = f"{where} is not a folder of this user's, so nothing private may lie there"
        remedy = "export XDG_RUNTIME_DIR=$(mktemp -d)"
    elif first.problem == "full":
        text, remedy = f"the disk of {where} is full, where {folders} lie", "agentlaunch clean"
    else:
        text = f"{where} may not be written to, but {folders} lie there"
        remedy = f"chmod u+rwx {where}" if first.ours else f"ls -ld {where}"
    return Finding("folders", status, text, remedy)


def records(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    """Files of what we remember that cannot be read: comfort, so no error."""
    broken = survey.health.broken_records if survey.health is not None else ()
    return [
        Finding("records", "warning", f"{path} cannot be read and counts as empty", f"rm {path}")
        for path in broken
    ]


def leftovers(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    """What killed runs left, which `doctor --fix` removes."""
    health, rows = survey.health, []
    if health is None:
        return []
    if health.dead_engines:
        count = plural(len(health.dead_engines), "engine")
        text = f"state files of {count} that no longer run"
        rows.append(Finding("leftovers", "info", text, FIX))
    if health.dead_files:
        count = plural(len(health.dead_files), "private file")
        text = f"{count} of launches that are over"
        rows.append(Finding("leftovers", "info", text, FIX))
    for row in health.unfinished:
        text = f"the installation of {row.name} {row.version} was not finished, or is at work"
        text += f" ({format_bytes(row.size_bytes)} in {row.path})"
        rows.append(Finding("leftovers", "warning", text, FIX))
    for package in health.damaged:
        text = f"the installation of {package.name} {package.version} lacks a program"
        remedy = f"agentlaunch clean {package.name}@{package.version}"
        rows.append(Finding("installations", "warning", text, remedy))
    return rows
