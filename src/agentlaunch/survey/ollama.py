"""The Ollama of this machine, or the one that OLLAMA_HOST names: what it is and what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agentlaunch.endpoint import is_loopback
from agentlaunch.engines import remote
from agentlaunch.engines.ollama import life, store
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.engines.ollama.replies import Tag
from agentlaunch.errors import AgentlaunchError, AuthNeeded, EngineFailed, Refused, UsageError
from agentlaunch.models import catalog
from agentlaunch.models import store as layout
from agentlaunch.survey import installed

_HOST_HINT = "set OLLAMA_HOST to HOST:PORT; a key goes in AGENTLAUNCH_ENGINE_KEY"
ABSENT = frozenset({"engine-missing", "engine-unreachable", "not-ollama"})
"""Nothing of Ollama is there: worth a word only where OLLAMA_HOST names it."""


@dataclass(frozen=True, slots=True)
class OllamaFault:
    """Why there is no Ollama to launch on. `answers` where one is there and could not tell what it
    has: busy, in trouble, or only for who has a key."""

    message: str
    hint: str | None = None
    answers: bool = False


def ollama_url(environ: Mapping[str, str]) -> str:
    """Where Ollama would be asked."""
    return life.client_of(environ).url


def look_at_ollama(
    environ: Mapping[str, str], cache: Path | None = None, *, keyed: bool = False
) -> OllamaFacts:
    """The Ollama that answers, or the one that can be started here. With `cache`, its models that
    the catalog does not know are described, and what it says of them is kept there. `keyed` where
    its host has the user's word.

    Raises `EngineFailed` where none is installed and none answers, or somebody else does;
    `UsageError` and `Refused` for an address in OLLAMA_HOST that no launch may use.
    """
    found = _find(environ, keyed=keyed)
    return found if isinstance(found, OllamaFacts) else _described(found, environ, cache)


def seek_ollama(
    environ: Mapping[str, str], cache: Path, *, keyed: bool = False
) -> tuple[OllamaFacts | None, OllamaFault | None]:
    """The same for a launch that did not ask for it: what is there, or why it cannot be used;
    never raises for a server's sake."""
    answers = False
    try:
        found = _find(environ, keyed=keyed)
        answers = True
        return found if isinstance(found, OllamaFacts) else _described(found, environ, cache), None
    except AgentlaunchError as error:
        if error.code in ABSENT and not answers and not environ.get("OLLAMA_HOST"):
            return None, None
        wants_key = isinstance(error, AuthNeeded) and not is_loopback(ollama_url(environ))
        return None, OllamaFault(error.message, error.hint, answers or wants_key)


def _find(environ: Mapping[str, str], *, keyed: bool) -> OllamaFacts | life.Found:
    client = life.client_of(environ, keyed=keyed)
    if "@" in client.url:  # a password may stand there, and no message of ours may repeat it
        raise UsageError("OLLAMA_HOST holds a user or a key", hint=_HOST_HINT)
    try:
        remote.normalized_url(client.url)
    except (Refused, UsageError) as error:
        error.message = error.message.replace("--engine", "OLLAMA_HOST", 1)
        error.hint = _HOST_HINT
        raise
    try:
        return life.find(environ, keyed=keyed)
    except EngineFailed as error:
        if error.code != "engine-unreachable" or not is_loopback(client.url):
            raise
        if life.installed() is None:
            raise EngineFailed(
                "Ollama is not installed, and nothing answers where it would be",
                hint=f"{life.how_to_install()}, or leave --engine away for the embedded engine",
                code="engine-missing",
            ) from error
        if life.stopped_service(environ):
            raise EngineFailed(
                "Ollama is a service of this system, and it does not run",
                hint="sudo systemctl start ollama",
                code="service-stopped",
            ) from error
        place = store.find(client.url, environ, running=False)
        return OllamaFacts(client, None, _stored(place), store=place)


def _stored(place: store.Store | None) -> tuple[Tag, ...]:
    """What lies in the store of a server that does not run yet."""
    if place is None:
        return ()
    rows = layout.Store(place.path, ours=False).list()
    return tuple(
        Tag(str(row.ref), None, row.size_bytes, None, None, None, None, cloud=False) for row in rows
    )


def _described(found: life.Found, environ: Mapping[str, str], cache: Path | None) -> OllamaFacts:
    client = found.client
    tags = client.tags()
    seen = installed.Described()
    if cache is not None:
        seen = installed.look(client, tags, catalog.load(), cache)
    return OllamaFacts(
        client,
        found.version,
        tags,
        client.loaded(),
        on_windows_host=found.on_windows_host,
        files=seen.files,
        left_out=seen.note,
        store=store.find(client.url, environ, tags, running=True) if client.is_local else None,
    )
