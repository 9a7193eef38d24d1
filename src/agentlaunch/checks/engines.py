"""What serves models: our engine, the one of the settings, Ollama."""

from __future__ import annotations

from collections.abc import Collection

from agentlaunch.checks.finding import Finding, Status
from agentlaunch.survey import Survey
from agentlaunch.units import plural


def embedded(survey: Survey, wanted: Collection[str]) -> list[Finding]:
    """Running, asleep, installed or missing, with its version and what it holds."""
    rows = []
    for engine in survey.engines:
        text = f"{engine.name} is {engine.state}"
        if engine.version is not None:
            text += f" ({engine.version})"
        if engine.loaded:
            text += " with " + ", ".join(row.model for row in engine.loaded)
        if engine.sessions:
            text += f", {plural(engine.sessions, 'session')}"
        if engine.state == "missing":
            text += "; a launch installs it after asking"
            remedy = f"agentlaunch up {min(wanted, default='claude-code')}"
            rows.append(Finding("engine", "info", text, remedy))
        elif engine.state == "running" and engine.detail is not None:
            text += f", and {engine.detail}"
            rows.append(Finding("engine", "warning", text, "agentlaunch engines logs"))
        else:
            rows.append(Finding("engine", "ok", text))
    return rows


def chosen(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    """The server that the settings name must answer."""
    server = survey.health.remote if survey.health is not None else None
    if server is None:
        return []
    if server.answered == "yes":
        return [Finding("engine", "ok", f"the engine of the settings answers at {server.url}")]
    text = f"the engine of the settings does not answer at {server.url}: {server.detail}"
    return [Finding("engine", "error", text, "agentlaunch config unset engine")]


def ollama(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    """Installed, answering, absent, or another program at its address."""
    server = survey.health.ollama if survey.health is not None else None
    if server is not None and server.answered == "yes":
        text = f"Ollama {server.version} answers at {server.url}"
        return [Finding("ollama", "ok", text, "agentlaunch up claude-code --engine ollama")]
    status: Status = "warning" if server is not None and server.asked else "info"
    if server is not None and server.answered == "other":
        text = f"what answers at {server.url} is not Ollama ({server.detail})"
        return [Finding("ollama", status, text, "unset OLLAMA_HOST" if server.asked else None)]
    if server is not None and server.asked:
        text = f"OLLAMA_HOST names {server.url}, where no Ollama answers: {server.detail}"
        start = survey.ollama is not None and server.answered == "nothing"
        return [Finding("ollama", status, text, "ollama serve" if start else "unset OLLAMA_HOST")]
    if survey.ollama is None:
        return []
    where = f" and does not answer at {server.url}" if server is not None else ""
    text = f"Ollama is installed{where}; a launch with --engine ollama starts it"
    return [Finding("ollama", "info", text, "agentlaunch up claude-code --engine ollama")]
