"""What a model in a registry is, from its header's first bytes: its shape without a download."""

from __future__ import annotations

from dataclasses import dataclass

from agentlaunch.errors import ModelUnavailable
from agentlaunch.models.gguf import BadGguf, ModelFile, NeedMore, describe, parse_header
from agentlaunch.models.manifest import MODEL, Manifest
from agentlaunch.models.refs import Ref
from agentlaunch.models.registry import Registry

FIRST_BYTES = 4 << 20
"""Enough for most vocabularies; a header of 260,000 words has about 12 MB."""
TRIES = 6


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model that lies in a registry: its blobs, and what the header of its weights says."""

    manifest: Manifest
    file: ModelFile


def read_remote(registry: Registry, ref: Ref) -> RemoteModel:
    """Ask for the manifest and for as many first bytes of the weights as their header has.

    Raises `ModelUnavailable` (offline, unknown, another format) and `BadGguf` (a broken header).
    """
    name = str(ref)
    manifest = registry.manifest(ref)
    blob = manifest.only(MODEL)
    if blob is None:
        raise ModelUnavailable(
            f"{name} has no single file of GGUF weights (a cloud model, or another format)",
            hint="choose another model or another tag of it: agentlaunch models",
        )
    count = FIRST_BYTES
    for _ in range(TRIES):
        header = parse_header(registry.head_bytes(ref, blob, count), name=name)
        if not isinstance(header, NeedMore):
            return RemoteModel(manifest, describe(header, name=name))
        if count >= blob.size_bytes:
            break
        count = max(2 * count, header.at_least_bytes)
    raise BadGguf(
        f"{name} is not a usable model: its header has no end",
        hint="choose another model or another tag of it: agentlaunch models",
    )
