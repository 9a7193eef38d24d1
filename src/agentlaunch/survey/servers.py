"""Who answers where an engine should."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from agentlaunch import policy, web
from agentlaunch.endpoint import is_loopback, without_secrets
from agentlaunch.engines import ollama_host, presets, remote
from agentlaunch.engines.ollama import life, update
from agentlaunch.errors import AgentlaunchError, AuthNeeded, EngineFailed
from agentlaunch.survey import sockets

ASK_S = 1.0
STRANGE_ORIGIN = "https://website.example"

_WITH_A_WAY_OUT = ("host-refused", "engine-tls", "engine-on-windows")

Answered = Literal["yes", "other", "nothing", "unsafe", "locked", "not-asked"]


@dataclass(frozen=True, slots=True)
class Server:
    """An address that should serve models, and who answered there."""

    url: str
    answered: Answered
    version: str | None = None
    detail: str | None = None
    asked: bool = False
    """Was this address chosen by the user, not only looked at?"""
    open_on: tuple[str, ...] = ()
    """The addresses beyond loopback that its port is open on, where it runs here."""
    any_website: bool = False
    """Does it answer to a page of any website, in the user's browser?"""
    way_out: str | None = None
    """What helps where it is known why it cannot be used."""
    update: str | None = None
    """How it is brought up to date, where it answers."""


def ollama(environ: Mapping[str, str], *, root: Path = Path("/")) -> Server:
    """Who answers where Ollama should, by its /api/version, and to whom else it is open."""
    asked = bool(environ.get("OLLAMA_HOST", "").strip().strip("\"'").strip())
    url = ollama_host.connectable(ollama_host.parse(environ.get("OLLAMA_HOST")))
    try:
        remote.normalized_url(url)
    except AgentlaunchError as error:
        if "@" in url:  # a password may stand there
            shown = without_secrets(url)
            return Server(shown, "unsafe", detail="a user or key in it is not taken", asked=asked)
        return Server(url, "unsafe", detail=error.message.removeprefix("--engine: "), asked=asked)
    try:
        found = life.find(environ, root=root)
    except AuthNeeded as error:
        return Server(url, "locked", detail=error.message, asked=asked, way_out=error.hint)
    except EngineFailed as error:
        answered: Answered = "other" if error.code in ("not-ollama", "host-refused") else "nothing"
        way_out = error.hint if error.code in _WITH_A_WAY_OUT else None
        return Server(url, answered, detail=error.message, asked=asked, way_out=way_out)
    return Server(
        found.client.url,
        "yes",
        found.version.text,
        asked=asked,
        open_on=_open_on(found.client.url, root),
        any_website=_answers_any_website(found.client.url),
        update=update.how_at(found.client.url),
    )


def _open_on(url: str, root: Path) -> tuple[str, ...]:
    """The addresses beyond loopback that the port is open on, where the server is on this machine:
    reached by loopback, or by an address of our own."""
    parts = urlsplit(url)
    open_on = sockets.open_addresses(parts.port or 0, root=root)
    ours = is_loopback(url) or parts.hostname in (*open_on, sockets.own_address())
    return open_on if ours else ()


def _answers_any_website(url: str) -> bool:
    """A page that Ollama does not allow gets a 403 (seen with 0.33). Asked of loopback alone."""
    if not is_loopback(url):
        return False
    with contextlib.suppress(web.WebFault):
        reply = web.request(
            "GET", f"{url}/api/version", headers={"origin": STRANGE_ORIGIN}, deadline_s=ASK_S
        )
        allowed = reply.headers.get("access-control-allow-origin", "")
        return reply.status == 200 and allowed in ("*", STRANGE_ORIGIN)
    return False


def engine(
    name: str, addresses: Mapping[str, str | None], allowed: str | None = None
) -> Server | None:
    """Does the engine of the settings answer? None where it is ours, Ollama or no address, and
    for a company's service: no check goes out to that. `addresses` are the settings; a
    host that is not `allowed` is not asked."""
    if not name or name.strip().lower() in presets.OWN:
        return None
    try:
        target = remote.resolve(name, addresses)
    except AgentlaunchError:
        return None  # told with the settings
    if target.preset is not None and target.preset.hosted:
        return None
    safe = target.url
    if not policy.allows(allowed, safe):
        way_out = policy.for_good(allowed, safe)
        return Server(safe, "not-asked", asked=True, way_out=way_out)
    health = target.preset.health if target.preset is not None else "/v1/models"
    try:
        web.request("GET", safe + health, connect_s=ASK_S, deadline_s=2 * ASK_S)
    except web.WebFault as fault:
        if fault.kind == "too-large":
            return Server(safe, "yes", asked=True)
        return Server(safe, "nothing", detail=str(fault), asked=True)
    return Server(safe, "yes", asked=True)  # whatever it said: `up` tells what it is
