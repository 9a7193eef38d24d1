"""A model that was asked for, as far as it can be seen without downloading it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentlaunch import records
from agentlaunch.engines import llama_cpp
from agentlaunch.errors import ModelUnavailable
from agentlaunch.machine.facts import Machine
from agentlaunch.models import catalog, cloud, gguf, identity, measured, store
from agentlaunch.models.manifest import PROJECTOR
from agentlaunch.models.measured import Measurement
from agentlaunch.models.refs import Ref, looks_like_path, parse_ref
from agentlaunch.settings import Paths


@dataclass(frozen=True, slots=True)
class Weights:
    """A model that was asked for, as far as it can be seen without downloading it.

    `path` is None until it is here; `size_bytes` is exact when it comes from a file or a manifest.
    """

    id: str
    ref: Ref | None
    path: Path | None
    projector: Path | None
    size_bytes: int | None
    file: gguf.ModelFile | None
    entry: catalog.Entry | None
    source: Literal["gguf", "store", "registry", "catalog", "show-reply", "ollama"]
    capabilities: frozenset[str] | None = None
    """What a server said that the model can; None where none was asked."""
    projector_bytes: int = 0
    """Of the part that reads pictures, which an engine loads beside the weights."""
    digest: str | None = None
    """Which weights these are (`identity.digest_of`); None where they are not here."""


def look_at_model(text: str, known: catalog.Catalog, paths: Paths) -> Weights:
    """A model by path or name: its header where it lies here, else its catalog entry.

    A .json is a saved reply of Ollama's /api/show: a description to size, which is never run.
    Reads no network. Raises `BadGguf`, `BadReply`, `ModelUnavailable` for a name outside the
    grammar, `NotSupported` for the name of a model in the cloud.
    """
    if looks_like_path(text):
        path = _path(text)
        if path is None or not path.is_file():
            raise ModelUnavailable(f"there is no file {text}", hint="check the path to the .gguf")
        if path.suffix.lower() == ".json":
            from agentlaunch.models import show_reply

            reply = show_reply.read_reply(path)
            return Weights(
                path.name,
                None,
                None,
                None,
                reply.file.size_bytes,
                reply.file,
                None,
                "show-reply",
                reply.capabilities,
            )
        file = gguf.read_model(path)
        return Weights(
            path.name,
            None,
            path,
            None,
            file.size_bytes,
            file,
            None,
            "gguf",
            digest=identity.digest_of(path),
        )
    if cloud.is_cloud_name(text):
        raise cloud.refusal(text)
    ref = parse_ref(text)
    entry = known.find(text)
    found = store.find_stored(store.stores(paths, os.environ), ref)
    if found is not None:
        file = gguf.read_model(found.model_path)
        return Weights(
            str(ref),
            ref,
            found.model_path,
            found.projector_path,
            found.size_bytes,
            file,
            entry,
            "store",
            projector_bytes=_size(found.projector_path),
            digest=identity.digest_of(found.model_path),
        )
    size = entry.variant.size_bytes if entry is not None else None
    return Weights(str(ref), ref, None, None, size, None, entry, "catalog")


def _path(text: str) -> Path | None:
    """A path as the user wrote it, or None for what can be none (`~nobody`, a NUL in it)."""
    try:
        return Path(text).expanduser().resolve()
    except (RuntimeError, ValueError, OSError):
        return None


def ask_registry(weights: Weights, known: catalog.Catalog, *, insecure: bool) -> Weights:
    """The exact size and header of a model that is not here yet, without downloading it.

    Raises `ModelUnavailable` when the registry does not know it or cannot be reached.
    """
    from agentlaunch.models import registry, remote

    if weights.ref is None or weights.path is not None:
        return weights
    try:
        seen = remote.read_remote(registry.Registry(insecure=insecure), weights.ref)
    except ModelUnavailable as error:
        near = known.suggest(weights.id)
        if weights.entry is None and near:
            error.hint = f"did you mean {', '.join(near)}? See `agentlaunch models`"
        raise
    manifest = seen.manifest
    projector = manifest.only(PROJECTOR)
    return Weights(
        weights.id,
        weights.ref,
        None,
        None,
        manifest.total_bytes,
        seen.file,
        weights.entry,
        "registry",
        projector_bytes=projector.size_bytes if projector is not None else 0,
    )


def measured_here(
    machine: Machine,
    paths: Paths,
    engine: str = llama_cpp.LlamaCpp.name,
    version: str = llama_cpp.PACKAGE.version,
) -> dict[str, Measurement]:
    """What `bench` measured on this machine with an engine, the one that we would start unless
    another is named, by digest: of the weights' file, or of Ollama's manifest."""
    suffix = measured.key("", engine, version, measured.machine_key(machine))
    found = {}
    for key, value in records.Records(paths.state).all("measurements").items():
        one = measured.from_json(value) if key.endswith(suffix) else None
        if one is not None:
            found[key.removesuffix(suffix)] = one
    return found


def _size(path: Path | None) -> int:
    try:
        return path.stat().st_size if path is not None else 0
    except OSError:
        return 0
