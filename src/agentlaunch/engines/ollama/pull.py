"""Let Ollama pull a model: one total over all layers, every failure with its way out."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping

from agentlaunch import web
from agentlaunch.engines.ollama.client import Client
from agentlaunch.engines.ollama.faults import unreachable
from agentlaunch.engines.ollama.replies import MAX_ROWS, Event
from agentlaunch.errors import EngineFailed, ModelUnavailable
from agentlaunch.progress import Progress, Work
from agentlaunch.units import format_bytes

SILENCE_S = 900.0
"""While it verifies a digest it says nothing, and 100 GB on a slow disk take minutes."""

_ALL_AT_ONCE = "sha256:model"
"""What a model of many small files (safetensors) is told as: one total, no layers (0.33)."""
_RESUME = "run the same command again: it goes on where it stopped"
_CAUSES: tuple[tuple[str, str, str, str], ...] = (
    (
        r"manifest: file does not exist",
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
        r"no space left|not enough space|disk full|quota exceeded",
        "no-disk",
        "the disk of Ollama's model store is full",
        "free some space there (OLLAMA_MODELS, else ~/.ollama/models of Ollama's user); " + _RESUME,
    ),
    (
        r"permission denied|read-only file system|access is denied",
        "store-failed",
        "Ollama cannot write to its model store",
        "check the owner and the mode of that folder (OLLAMA_MODELS of Ollama's user)",
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
        r"file does not exist",
        "registry-failed",
        "the registry lacks a part of {model}",
        "try again later, or choose another tag of it",
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
        r"\b40[13]\b|unauthorized|denied|forbidden|realm host",
        "registry-refused",
        "the registry refused {model}",
        "a private model, or no such name there: check the spelling",
    ),
    (
        r"manifest: 5\d\d",
        "registry-failed",
        "the registry of {model} failed",
        "try again later; " + _RESUME,
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
    layers: Mapping[str, tuple[int, int]] | None = None,
    insecure: bool = False,
    silence_s: float = SILENCE_S,
) -> Work[None]:
    """Pull a model into the server's own store; closing the work stops it, a later one resumes.

    `layers` says of each blob by digest how many bytes the server has already, and all of them,
    where the caller knows it; else they add up as they appear. Raises `ModelUnavailable`,
    `EngineFailed` when no Ollama answers.
    """
    count = _Count(dict(layers or {}))
    yield count.report(f"downloading {model}")
    body: dict[str, object] = {"model": model, "stream": True}
    if insecure:
        body["insecure"] = True
    try:
        with contextlib.closing(client.events("/api/pull", body, silence_s=silence_s)) as events:
            for event in events:
                if event.error is not None:
                    raise failed(model, event.error)
                count.take(event)
                yield count.report(f"{_verb(event)} {model}")
                if event.status == "success":
                    return
    except web.WebFault as fault:
        if fault.kind in ("refused", "name", "tls"):
            raise unreachable(client.url, fault) from fault
        raise ModelUnavailable(
            f"the download of {model} stopped{count.so_far}: {fault}",
            hint=_RESUME,
            code="pull-stopped",
        ) from fault
    except EngineFailed as error:
        if error.code != "engine-error":
            raise
        raise failed(model, error.message) from error
    raise ModelUnavailable(
        f"the download of {model} ended without success{count.so_far}",
        hint=_RESUME,
        code="pull-stopped",
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


def _verb(event: Event) -> str:
    """What the server is at. While it verifies it sends nothing more, for minutes with a large
    model on a slow disk."""
    for beginning in ("verifying", "writing", "removing"):
        if event.status.startswith(beginning):
            return beginning
    return "finishing" if event.status == "success" else "downloading"


class _Count:
    """One total over all layers. They come one after another, and the last line of one may still
    say less than its total (seen with 0.33): what comes behind it says that it is whole."""

    def __init__(self, layers: dict[str, tuple[int, int]]) -> None:
        self._layers = layers
        self._given = bool(layers)
        self._kept = {digest: here for digest, (here, _all) in layers.items()}
        self._current = ""
        self._whole = False

    def take(self, event: Event) -> None:
        said = event.digest is not None and event.total_bytes is not None
        past = _verb(event) != "downloading"
        if self._current and (past or (said and event.digest != self._current)):
            size = self._layers[self._current][1]
            self._layers[self._current] = (size, size)
            self._current = ""
        if past and self._given:  # a layer of some bytes comes without any line (seen with 0.33)
            self._layers = {digest: (size, size) for digest, (_, size) in self._layers.items()}
        if event.digest is None or event.total_bytes is None or past:
            return
        if event.digest == _ALL_AT_ONCE and self._current != _ALL_AT_ONCE:
            self._layers, self._kept = {}, {}
        if event.digest in self._layers or len(self._layers) < MAX_ROWS:
            self._current = event.digest
            self._kept.setdefault(event.digest, event.done_bytes or 0)
            self._layers[event.digest] = (event.done_bytes or 0, event.total_bytes)

    def report(self, activity: str) -> Progress:
        done, total = self._sums
        return Progress(
            activity, done, total or None, kept_bytes=min(done, sum(self._kept.values()))
        )

    @property
    def so_far(self) -> str:
        """` at 2.5 GB of 6.6 GB`, for a sentence; nothing before the first byte is counted."""
        done, total = self._sums
        return f" at {format_bytes(done)} of {format_bytes(total)}" if done and total else ""

    @property
    def _sums(self) -> tuple[int, int]:
        rows = self._layers.values()
        return sum(here for here, _all in rows), sum(size for _here, size in rows)
