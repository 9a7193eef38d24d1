"""Let Ollama pull a model: one total over all layers, every failure with its way out."""

from __future__ import annotations

import contextlib
import re

from agentlaunch import web
from agentlaunch.engines.ollama.client import Client, unreachable
from agentlaunch.engines.ollama.replies import MAX_ROWS, Event
from agentlaunch.errors import EngineFailed, ModelUnavailable
from agentlaunch.progress import Progress, Work

SILENCE_S = 900.0
"""While it verifies a digest it says nothing, and 100 GB on a slow disk take minutes."""

_RESUME = "run the same command again: it goes on where it stopped"
_CAUSES: tuple[tuple[str, str, str, str], ...] = (
    (
        r"file does not exist",
        "unknown-model",
        "the registry has no model {model}",
        "check the spelling: agentlaunch models",
    ),
    (
        r"manifest: 412|newer version of ollama|requires.*ollama",
        "ollama-too-old",
        "{model} needs a newer Ollama",
        "update Ollama (https://ollama.com/download), then run the same command again",
    ),
    (
        r"no space left|not enough space|disk full",
        "no-disk",
        "the disk of Ollama's model store is full",
        "free some space there (OLLAMA_MODELS, else ~/.ollama/models of Ollama's user); " + _RESUME,
    ),
    (
        r"HTTP response to HTTPS client|not look like a TLS handshake|insecure protocol",
        "registry-insecure",
        "the registry of {model} speaks plain http",
        "if it is yours, run the same command with --insecure",
    ),
    (
        r"no Location header",
        "registry-unsupported",
        "Ollama cannot pull from the registry of {model}",
        "it must answer a blob with a Location header, which a plain registry does not",
    ),
    (
        r"digest mismatch",
        "digest-wrong",
        "the registry sent other bytes than it promised for {model}",
        "run the same command again; if it stays so, the registry or a proxy is broken",
    ),
    (
        r"no such host|dial tcp|unreachable|i/o timeout|TLS handshake timeout|server misbehaving",
        "offline",
        "Ollama cannot reach the registry",
        "check the network of the machine that Ollama runs on (a proxy goes into the server's "
        "HTTPS_PROXY); " + _RESUME,
    ),
    (
        r"\b40[13]\b|unauthorized|denied|forbidden",
        "registry-refused",
        "the registry refused {model}",
        "a private model, or no such name there: check the spelling",
    ),
    (
        r"EOF|max retries|connection reset|stalled|broken pipe",
        "pull-stopped",
        "the download of {model} stopped",
        _RESUME,
    ),
)
"""Words of an error line (Ollama 0.33, server/images.go, server/download.go) and what they mean."""


def pull(
    client: Client,
    model: str,
    *,
    total_bytes: int | None = None,
    insecure: bool = False,
    silence_s: float = SILENCE_S,
) -> Work[None]:
    """Pull a model into the server's own store; closing the work stops it, a later one resumes.

    `total_bytes` is the manifest's total where the caller has it, else layers add up as they
    appear. Raises `ModelUnavailable`, `EngineFailed` when no Ollama answers.
    """
    layers: dict[str, tuple[int, int]] = {}
    activity = f"pulling {model}"
    yield Progress(activity, 0, total_bytes)
    body: dict[str, object] = {"model": model, "stream": True}
    if insecure:
        body["insecure"] = True
    try:
        with contextlib.closing(client.events("/api/pull", body, silence_s=silence_s)) as events:
            for event in events:
                if event.error is not None:
                    raise failed(model, event.error)
                _count(layers, event)
                done, known = _sums(layers, total_bytes)
                if event.status == "success" and known is not None:
                    done = known  # a layer of some bytes comes without any line (seen with 0.33)
                yield Progress(activity, done, known, event.status or None)
                if event.status == "success":
                    return
    except web.WebFault as fault:
        if fault.kind in ("refused", "name", "tls"):
            raise unreachable(client.url, fault) from fault
        raise ModelUnavailable(
            f"the download of {model} stopped: {fault}", hint=_RESUME, code="pull-stopped"
        ) from fault
    except EngineFailed as error:
        if error.code != "engine-error":
            raise
        raise failed(model, error.message) from error
    raise ModelUnavailable(
        f"the download of {model} ended without success", hint=_RESUME, code="pull-stopped"
    )


def failed(model: str, said: str) -> ModelUnavailable:
    """An error line as the user's error, with Ollama's own words behind it."""
    for words, code, message, hint in _CAUSES:
        if re.search(words, said, re.IGNORECASE):
            return ModelUnavailable(
                f"{message.format(model=model)} (Ollama: {said})", hint=hint, code=code
            )
    return ModelUnavailable(
        f"Ollama could not pull {model}: {said}", hint=_RESUME, code="pull-failed"
    )


def _count(layers: dict[str, tuple[int, int]], event: Event) -> None:
    """Layers come one after another, and the last line of one may still say less than its total
    (seen with 0.33): what comes behind it says that it is whole."""
    for digest, (_here, size) in layers.items():
        if digest != event.digest:
            layers[digest] = (size, size)
    if event.digest is None or event.total_bytes is None:
        return
    if event.digest in layers or len(layers) < MAX_ROWS:
        layers[event.digest] = (event.done_bytes or 0, event.total_bytes)


def _sums(layers: dict[str, tuple[int, int]], total_bytes: int | None) -> tuple[int, int | None]:
    done = sum(here for here, _all in layers.values())
    seen = sum(size for _here, size in layers.values())
    return done, max(seen, total_bytes or 0) or None
