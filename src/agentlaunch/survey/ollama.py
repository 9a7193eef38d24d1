"""The Ollama of this machine, or the one that OLLAMA_HOST names: what it is and what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agentlaunch import process
from agentlaunch.endpoint import is_loopback
from agentlaunch.engines import remote
from agentlaunch.engines.ollama import life, store
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.errors import AgentlaunchError, EngineFailed, Refused, UsageError
from agentlaunch.models import catalog
from agentlaunch.survey import installed

_HOST_HINT = "set OLLAMA_HOST to HOST:PORT; a key goes in AGENTLAUNCH_ENGINE_KEY"


def look_at_ollama(environ: Mapping[str, str], cache: Path | None = None) -> OllamaFacts:
    """The Ollama that answers, or the one that can be started here. With `cache`, its models that
    the catalog does not know are described, and what it says of them is kept there.

    Raises `EngineFailed` where none is installed and none answers, or somebody else does;
    `UsageError` and `Refused` for an address in OLLAMA_HOST that no launch may use.
    """
    client = life.client_of(environ)
    if "@" in client.url:  # a password may stand there, and no message of ours may repeat it
        raise UsageError("OLLAMA_HOST holds a user or a key", hint=_HOST_HINT)
    try:
        remote.normalized_url(client.url)
    except (Refused, UsageError) as error:
        error.hint = _HOST_HINT
        raise
    try:
        found = life.find(environ)
    except EngineFailed as error:
        if error.code != "engine-unreachable" or not is_loopback(client.url):
            raise
        if process.find_program("ollama", life.KNOWN_PLACES) is None:
            raise EngineFailed(
                "Ollama is not installed, and nothing answers where it would be",
                hint=f"{life.how_to_install()}, or leave --engine away for the embedded engine",
                code="engine-missing",
            ) from error
        return OllamaFacts(client, None, store=store.find(client.url, environ, running=False))
    tags = found.client.tags()
    seen = installed.Described()
    if cache is not None:
        seen = installed.look(found.client, tags, catalog.load(), cache)
    return OllamaFacts(
        found.client,
        found.version,
        tags,
        found.client.loaded(),
        on_windows_host=found.on_windows_host,
        files=seen.files,
        left_out=seen.note,
        store=store.find(found.client.url, environ, tags, running=True)
        if found.client.is_local
        else None,
    )


def seek_ollama(environ: Mapping[str, str], cache: Path) -> tuple[OllamaFacts | None, str | None]:
    """The same for a launch that did not ask for it: what is there, and why what OLLAMA_HOST names
    is not; never raises for a server's sake."""
    try:
        return look_at_ollama(environ, cache), None
    except AgentlaunchError as error:
        return None, error.message if environ.get("OLLAMA_HOST") else None
