"""Where a server's models lie and how much room is there: read, never changed.

The server's own variables decide, not ours (Ollama 0.33): `OLLAMA_MODELS` of its process, else
`~/.ollama/models` of its user. Where that process is another user's, a store counts as its own when
it holds a model that the server lists.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agentlaunch import files, process
from agentlaunch.engines.ollama.replies import LIMIT, Tag
from agentlaunch.errors import ModelUnavailable
from agentlaunch.models import store as layout
from agentlaunch.models.manifest import Layer, Manifest
from agentlaunch.models.refs import parse_ref

SERVICE_HOME = Path("/usr/share/ollama")
"""Home of the user that the Linux installer makes (scripts/install.sh)."""

_PART = re.compile(r"sha256-[0-9a-f]{64}-partial-[0-9]{1,4}")
_PART_LIMIT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Store:
    """A server's folder of models; `free_bytes` of its disk is None where that cannot be told.

    `partial_bytes` is what stopped downloads of any model left there: it need not come again.
    """

    path: Path
    free_bytes: int | None
    partial_bytes: int = 0

    def layers_here(self, manifest: Manifest) -> dict[str, tuple[int, int]]:
        """Of each blob by digest: bytes that are there already, and all of them."""
        return {layer.digest: (self._here(layer), layer.size_bytes) for layer in manifest.blobs}

    def _here(self, layer: Layer) -> int:
        if layout.Store(self.path, ours=False).has(layer):
            return layer.size_bytes
        parts = (self.path / "blobs").glob(f"{layer.file_name}-partial-*")
        return min(layer.size_bytes, _completed(parts))


def find(
    url: str, environ: Mapping[str, str], tags: Iterable[Tag] = (), *, running: bool
) -> Store | None:
    """The store of a server on this machine; None where it cannot be told.

    `environ` is what the server would get from us: it counts where it does not run yet. Never
    raises.
    """
    if not running:
        return _store(folder_of(environ))
    port = urlsplit(url).port
    found = process.listener(port, "ollama") if port is not None else None
    if found is not None:
        same = found.sees_our_files and found.environ is not None
        return _store(folder_of(found.environ or {})) if same else None
    service = SERVICE_HOME / ".ollama" / "models"
    guesses = [
        place for place in (folder_of(environ), folder_of(_without(environ)), service) if place
    ]
    known = list(tags)
    for place in guesses:
        if any(_holds(place, tag) for tag in known):
            return _store(place)
    # A new server has no models yet, and its user's folder is closed to others on many systems.
    seen_without = bool(known) and os.access(service / "manifests", os.R_OK | os.X_OK)
    return _store(service) if _is_there(SERVICE_HOME) and not seen_without else None


def folder_of(environ: Mapping[str, str]) -> Path | None:
    """`OLLAMA_MODELS`, without the blanks and quotes that Ollama trims, else below the home."""
    asked = environ.get("OLLAMA_MODELS", "").strip().strip("\"'").strip()
    if asked:
        return Path(asked) if Path(asked).is_absolute() else None
    home = environ.get("USERPROFILE" if os.name == "nt" else "HOME")
    return Path(home) / ".ollama" / "models" if home else None


def _without(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name != "OLLAMA_MODELS"}


def _store(folder: Path | None) -> Store | None:
    if folder is None:
        return None
    with contextlib.suppress(OSError):  # such as a path of a Windows server that is none here
        parts = (folder / "blobs").glob("sha256-*-partial-*")
        return Store(folder, files.disk_free_bytes(folder), _completed(parts))
    return None


def _completed(parts: Iterable[Path]) -> int:
    """Sum of what Ollama noted as done of a download's parts (server/download.go, 0.33)."""
    total = 0
    with contextlib.suppress(OSError):
        for path in parts:
            if _PART.fullmatch(path.name) is None or path.stat().st_size > _PART_LIMIT_BYTES:
                continue
            with contextlib.suppress(OSError, ValueError, RecursionError):
                total += _count(json.loads(path.read_bytes()))
    return total


def _count(noted: object) -> int:
    done = noted.get("Completed") if isinstance(noted, dict) else None
    whole = isinstance(done, int) and not isinstance(done, bool)
    return done if whole and isinstance(done, int) and 0 <= done <= LIMIT else 0


def _holds(place: Path, tag: Tag) -> bool:
    try:
        return layout.Store(place, ours=False).manifest_path(parse_ref(tag.name)).is_file()
    except (OSError, ModelUnavailable):
        return False


def _is_there(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:  # closed to us, so it is there
        return True
