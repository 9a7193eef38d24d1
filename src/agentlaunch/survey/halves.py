"""What lies in a store of models and is none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agentlaunch.models import store
from agentlaunch.models.manifest import LIMIT_BYTES, BrokenManifest, parse_manifest


@dataclass(frozen=True, slots=True)
class Half:
    """A name in a store that stands for no whole model."""

    ref: str
    path: Path
    reason: str
    store: store.Store


def halves(places: Iterable[store.Store]) -> Iterator[Half]:
    for place in places:
        top = place.root / "manifests"
        for path in sorted(top.glob("*/*/*/*")):
            # Some other file, such as .DS_Store, is no name of a model.
            reason = None if path.name.startswith(".") else _half_reason(place, path)
            if reason is not None:
                yield Half(_shown(path.relative_to(top).parts), path, reason, place)


def _half_reason(place: store.Store, path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            manifest = parse_manifest(stream.read(LIMIT_BYTES + 1))
    except BrokenManifest as error:
        return f"its manifest cannot be read: {error}"
    except OSError as error:
        return f"its manifest cannot be read: {error.strerror}"
    for layer in manifest.blobs:
        if place.has(layer):
            continue
        size = _size(place.blob_path(layer.digest))
        if size is None:
            return f"{layer.file_name[:19]}… is missing"
        return f"{layer.file_name[:19]}… has {size:,} bytes of {layer.size_bytes:,}"
    return None


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _shown(parts: tuple[str, ...]) -> str:
    """A stored name as people type it: the registry and the library are left out."""
    host, namespace, model, tag = parts
    shown = [] if host == "registry.ollama.ai" else [host]
    shown += [] if (host, namespace) == ("registry.ollama.ai", "library") else [namespace]
    return "/".join([*shown, f"{model}:{tag}"])


def lost_models(kept: Iterable[store.Store], environ: Mapping[str, str]) -> tuple[Path, str] | None:
    asked = environ.get("OLLAMA_MODELS", "").strip().strip("\"'").strip()
    if not asked:
        return None
    root = Path(asked)
    if any(_same(root, one.root) for one in kept):
        return None
    if not os.path.exists(root):  # noqa: PTH110 - never raises
        return root, "does not exist"
    if not os.path.isdir(root):  # noqa: PTH112 - never raises
        return root, "is not a folder"
    if not os.access(root, os.R_OK | os.X_OK):
        return root, "may not be read"
    return root, "holds no models that may be read"


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
