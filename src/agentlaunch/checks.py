"""Survey → findings: a list of small functions, each of which knows one thing that can be wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from agentlaunch.survey import Survey
from agentlaunch.units import format_bytes, format_memory

Status = Literal["ok", "info", "warning", "error"]

LOW_DISK_BYTES = 10 * 10**9


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of `doctor`; `remedy` is the command that mends it, None where nothing is to do."""

    name: str
    status: Status
    message: str
    remedy: str | None = None


def check(survey: Survey, *, wanted_agents: Collection[str]) -> tuple[Finding, ...]:
    """Every finding, in the order of the table below. A wanted agent must not be missing."""
    rows: list[Finding] = []
    for look in CHECKS:
        rows += look(survey, wanted_agents)
    return tuple(rows)


def _memory(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    machine = survey.machine
    if machine.ram_bytes is None:
        return [Finding("memory", "warning", "how much memory there is could not be found out")]
    text = f"{format_memory(machine.ram_bytes)}, {format_memory(machine.ram_free_bytes)} free"
    if machine.ram_limit_bytes is not None:
        text += f", limited to {format_memory(machine.ram_limit_bytes)} here"
    return [Finding("memory", "ok", text)]


def _graphics(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    if not survey.machine.gpus:
        return [Finding("graphics", "info", "no usable graphics card: models run on the CPU")]
    rows = []
    for gpu in survey.machine.gpus:
        total, free = format_memory(gpu.vram_bytes), format_memory(gpu.vram_free_bytes)
        rows.append(Finding("graphics", "ok", f"{gpu.name}, {total}, {free} free"))
    return rows


def _disk(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    free = survey.machine.disk_free_bytes
    if free is None:
        return [Finding("disk", "warning", "the free disk space could not be found out")]
    text = f"{format_bytes(free)} free where models go"
    if free < LOW_DISK_BYTES:
        return [Finding("disk", "warning", text, "agentlaunch clean")]
    return [Finding("disk", "ok", text)]


def _probes(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    return [Finding(note.source, "info", note.message) for note in survey.machine.notes]


def _engine(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    rows = []
    for engine in survey.engines:
        text = f"{engine.name} is {engine.state}"
        loaded = ", ".join(row.model for row in engine.loaded)
        remedy = "agentlaunch up claude-code" if engine.state == "missing" else None
        status: Status = "info" if engine.state == "missing" else "ok"
        rows.append(Finding("engine", status, text + (f" with {loaded}" if loaded else ""), remedy))
    if survey.ollama is not None:
        text = "Ollama is installed; this version reads its models but does not drive it yet"
        rows.append(Finding("ollama", "info", text))
    return rows


def _node(survey: Survey, wanted: Collection[str]) -> list[Finding]:
    absent = {name for name, state in survey.agents.items() if not state.installed}
    if survey.node is not None or not absent:
        return []
    text = "Node.js was not found: it is needed to install an agent"
    return [
        Finding(
            "node",
            "error" if absent.intersection(wanted) else "warning",
            text,
            "https://nodejs.org",
        )
    ]


def _agents(survey: Survey, wanted: Collection[str]) -> list[Finding]:
    rows = []
    for name, state in survey.agents.items():
        title = state.agent.title
        if not state.installed:
            status: Status = "error" if name in wanted else "info"
            remedy = f"agentlaunch agents install {name}"
            rows.append(Finding(name, status, f"{title} is not installed", remedy))
        elif state.version is not None and not state.tested:
            tested = ", ".join(state.agent.tested_versions)
            text = f"{title} {state.version} at {state.path} is not a tested version ({tested})"
            rows.append(Finding(name, "info", text))
        else:
            words = f"{title} {state.version}" if state.version else title
            rows.append(Finding(name, "ok", f"{words} at {state.path}"))
    return rows


CHECKS: Sequence[Callable[[Survey, Collection[str]], list[Finding]]] = (
    _memory,
    _graphics,
    _disk,
    _probes,
    _engine,
    _node,
    _agents,
)
