"""What the machine has: memory, graphics, disk, and what its probes remarked."""

from __future__ import annotations

from collections.abc import Collection

from agentlaunch.checks.finding import Finding
from agentlaunch.survey import Survey
from agentlaunch.units import format_bytes, format_memory

LOW_DISK_BYTES = 10 * 10**9


def memory(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    """How much there is, free and allowed."""
    machine = survey.machine
    if machine.ram_bytes is None:
        return [Finding("memory", "warning", "how much memory there is could not be found out")]
    text = f"{format_memory(machine.ram_bytes)}, {format_memory(machine.ram_free_bytes)} free"
    if machine.ram_limit_bytes is not None:
        text += f", limited to {format_memory(machine.ram_limit_bytes)} here"
    return [Finding("memory", "ok", text)]


def graphics(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    """A row for each card."""
    if not survey.machine.gpus:
        return [Finding("graphics", "info", "no usable graphics card: models run on the CPU")]
    rows = []
    for gpu in survey.machine.gpus:
        total, free = format_memory(gpu.vram_bytes), format_memory(gpu.vram_free_bytes)
        rows.append(Finding("graphics", "ok", f"{gpu.name}, {total}, {free} free"))
    return rows


def disk(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    """Room for models, and where they lie."""
    if survey.simulated and survey.machine.disk_free_bytes is None:
        return []  # a description need not say it
    free = survey.machine.disk_free_bytes
    folder = survey.health.models_folder if survey.health is not None else None
    where = f" ({folder})" if folder is not None else ""
    if free is None:
        text = f"the free disk space where models go{where} could not be found out"
        return [Finding("disk", "warning", text)]
    text = f"{format_bytes(free)} free where models go{where}"
    if free < LOW_DISK_BYTES:
        return [Finding("disk", "warning", f"only {text}", "agentlaunch clean")]
    return [Finding("disk", "ok", text)]


def probes(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    """What a probe remarked, and what of a look failed."""
    rows = [Finding(note.source, "info", note.message) for note in survey.machine.notes]
    failed = survey.health.notes if survey.health is not None else ()
    return rows + [Finding(note.source, "warning", note.message) for note in failed]
