"""Manifests: which blobs make up a model, with size and digest, read from untrusted JSON."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

_PREFIX = "application/vnd.ollama.image."
MODEL = _PREFIX + "model"
PROJECTOR = _PREFIX + "projector"

LIMIT_BYTES = 4 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MEDIA_TYPE_CHARACTERS = 256
# More than any disk; keeps sums and file offsets within 64 bits.
_LAYER_LIMIT_BYTES = 1 << 50


class BrokenManifest(ValueError):
    """Not a manifest, or one that says impossible things; the text says which."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One blob of a model. The digest is `sha256:` and 64 hex digits, always."""

    media_type: str
    digest: str
    size_bytes: int

    @property
    def file_name(self) -> str:
        """The blob's name in a store, as in Ollama's (0.33)."""
        return blob_name(self.digest)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A model's list of blobs, and the bytes that said so."""

    config: Layer | None
    layers: tuple[Layer, ...]
    raw: bytes = field(repr=False)

    @property
    def blobs(self) -> tuple[Layer, ...]:
        """Every blob once, the weights first: they fail first when the disk or the network does."""
        every = (*self.layers, self.config) if self.config is not None else self.layers
        once = {layer.digest: layer for layer in every}
        return tuple(sorted(once.values(), key=lambda layer: layer.media_type != MODEL))

    @property
    def total_bytes(self) -> int:
        """Bytes of all blobs on disk."""
        return sum(layer.size_bytes for layer in self.blobs)

    def only(self, media_type: str) -> Layer | None:
        """The one layer of a kind; None when there is none or more than one."""
        found = [layer for layer in self.layers if layer.media_type == media_type]
        return found[0] if len(found) == 1 else None


def blob_name(digest: str) -> str:
    """The file name of a blob; raises `BrokenManifest` for a digest outside the grammar."""
    if _DIGEST.fullmatch(digest) is None:
        raise BrokenManifest(f"{digest[:90]!r} is not a sha256 digest")
    return digest.replace(":", "-")


def parse_manifest(raw: bytes) -> Manifest:
    """Read a manifest (docker image manifest v2, as Ollama 0.33 stores it).

    Raises `BrokenManifest` for anything that is not exactly that.
    """
    if len(raw) > LIMIT_BYTES:
        raise BrokenManifest("it is too large")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BrokenManifest("it is not JSON") from error
    if not isinstance(document, dict) or not isinstance(document.get("layers"), list):
        raise BrokenManifest("it lists no layers")
    layers = tuple(_layer(item) for item in document["layers"])
    config = document.get("config")
    # Ollama takes an empty digest for "no config".
    has_config = isinstance(config, dict) and config.get("digest") not in (None, "")
    manifest = Manifest(
        config=_layer(config) if has_config else None,
        layers=layers,
        raw=raw,
    )
    _one_size_each(manifest)
    return manifest


def _layer(item: Any) -> Layer:
    if not isinstance(item, dict):
        raise BrokenManifest("a layer is not an object")
    media_type, digest, size = item.get("mediaType"), item.get("digest"), item.get("size")
    if not isinstance(media_type, str) or len(media_type) > _MEDIA_TYPE_CHARACTERS:
        raise BrokenManifest("a layer has no media type")
    if not isinstance(digest, str):
        raise BrokenManifest("a layer has no digest")
    blob_name(digest)
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _LAYER_LIMIT_BYTES:
        raise BrokenManifest("a layer has an impossible size")
    return Layer(media_type, digest, size)


def _one_size_each(manifest: Manifest) -> None:
    sizes: dict[str, int] = {}
    config = (manifest.config,) if manifest.config is not None else ()
    for layer in (*manifest.layers, *config):
        if sizes.setdefault(layer.digest, layer.size_bytes) != layer.size_bytes:
            raise BrokenManifest("one blob is given two sizes")
