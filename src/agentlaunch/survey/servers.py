"""Who answers where an engine should."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agentlaunch import web
from agentlaunch.engines import ollama_host, remote
from agentlaunch.errors import AgentlaunchError

ASK_S = 1.0

Answered = Literal["yes", "other", "nothing", "unsafe"]


@dataclass(frozen=True, slots=True)
class Server:
    """An address that should serve models, and who answered there."""

    url: str
    answered: Answered
    version: str | None = None
    detail: str | None = None
    asked: bool = False
    """Was this address chosen by the user, not only looked at?"""


def ollama(environ: Mapping[str, str]) -> Server:
    """Who answers where Ollama should, by its /api/version."""
    named = environ.get("OLLAMA_HOST", "").strip().strip("\"'").strip()
    url = ollama_host.connectable(ollama_host.parse(named))
    asked = bool(named)
    try:
        safe = remote.normalized_url(url)
        reply = web.request("GET", f"{safe}/api/version", connect_s=ASK_S, deadline_s=ASK_S)
        said = reply.json()
    except AgentlaunchError as error:
        if "@" in url:  # a password may stand there
            shown = re.sub(r"//.*@.*", "//***@…", url)
            return Server(shown, "unsafe", detail="a user or key in it is not taken", asked=asked)
        return Server(url, "unsafe", detail=error.message.removeprefix("--engine: "), asked=asked)
    except web.WebFault as fault:
        answered: Answered = "other" if fault.kind in {"not-json", "too-large"} else "nothing"
        return Server(url, answered, detail=str(fault), asked=asked)
    version = said.get("version") if isinstance(said, dict) else None
    if reply.status == 200 and isinstance(version, str):
        return Server(url, "yes", version[:40], asked=asked)
    return Server(url, "other", detail=f"it answered with status {reply.status}", asked=asked)


def engine(name: str) -> Server | None:
    """Does the engine of the settings answer? None where it is ours, Ollama or no address."""
    url = remote.PRESETS.get(name.lower(), name)
    if "://" not in url:
        return None
    try:
        safe = remote.normalized_url(url)
    except AgentlaunchError:
        return None  # told with the settings
    try:
        web.request("GET", f"{safe}/v1/models", connect_s=ASK_S, deadline_s=2 * ASK_S)
    except web.WebFault as fault:
        if fault.kind == "too-large":
            return Server(safe, "yes", asked=True)
        return Server(safe, "nothing", detail=str(fault), asked=True)
    return Server(safe, "yes", asked=True)  # whatever it said: `up` tells what it is
