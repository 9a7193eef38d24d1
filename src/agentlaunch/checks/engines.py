"""What serves models: our engine, the one of the settings, Ollama."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from agentlaunch.checks.finding import Finding, Status
from agentlaunch.engines.ollama.update import lacks
from agentlaunch.survey import Survey
from agentlaunch.survey.servers import Server
from agentlaunch.units import plural

_CLOSE_IT = "restart it so that it listens on this machine alone"
_CLOSE_WHERE = {
    "linux": f"{_CLOSE_IT}; for the service: sudo systemctl edit ollama",
    "darwin": f'{_CLOSE_IT}, or switch off "Expose Ollama to the network" in its settings',
    "windows": f'{_CLOSE_IT}, or switch off "Expose Ollama to the network" in its settings',
}
_CLOSE = {
    "darwin": "launchctl setenv OLLAMA_HOST 127.0.0.1",
    "windows": "setx OLLAMA_HOST 127.0.0.1",
}


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
    if server.answered == "not-asked":
        text = f"the engine of the settings is at {server.url}, which was not asked: no word for it"
        return [Finding("engine", "info", text, server.way_out)]
    text = f"the engine of the settings does not answer at {server.url}: {server.detail}"
    return [Finding("engine", "error", text, "agentlaunch config unset engine")]


def ollama(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    """Installed, answering, absent, or another program at its address."""
    server = survey.health.ollama if survey.health is not None else None
    if server is not None and server.answered == "yes":
        text = f"Ollama {server.version} answers at {server.url}"
        row = Finding("ollama", "ok", text, "agentlaunch up claude-code --engine ollama")
        return [row, *_ollama_too_old(server), *_ollama_open(survey, server)]
    status: Status = "warning" if server is not None and server.asked else "info"
    if server is not None and server.way_out is not None:
        return [Finding("ollama", "warning", server.detail or "", server.way_out)]
    if server is not None and server.answered == "other":
        text = server.detail or f"what answers at {server.url} is not Ollama"
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


def _ollama_too_old(server: Server) -> list[Finding]:
    """Below the version without a known hole, or below one that speaks an agent's wire."""
    return [
        Finding(
            "ollama-version",
            "warning" if lack.floor == "security" else "info",
            f"Ollama {server.version} is too old: {lack.version} {lack.text}",
            server.update,
        )
        for lack in lacks(server.version)
    ]


def _ollama_open(survey: Survey, server: Server) -> list[Finding]:
    """Ollama asks nobody for a key: who reaches it may use, change and delete what it has."""
    rows, system = [], survey.machine.os or ""
    if server.open_on:
        everywhere = any(ipaddress.ip_address(text).is_unspecified for text in server.open_on)
        where = "every address of this machine" if everywhere else ", ".join(server.open_on)
        text = (
            f"Ollama's port is open on {where}: anyone on the network can use "
            f"it, and delete or copy its models; {_CLOSE_WHERE.get(system, _CLOSE_IT)}"
        )
        remedy = _CLOSE.get(system, "OLLAMA_HOST=127.0.0.1 ollama serve")
        rows.append(Finding("ollama-exposed", "warning", text, remedy))
    if server.any_website:
        text = (
            f"Ollama at {server.url} answers to every website that is open in a browser here: "
            "OLLAMA_ORIGINS of the server allows all; take it out and restart it"
        )
        rows.append(Finding("ollama-origins", "warning", text, "unset OLLAMA_ORIGINS"))
    return rows
