"""The registry that Ollama pulls from: manifest, sizes, digests, a blob's first bytes, and whole
models into our store.

Protocol as Ollama 0.33 speaks it: `GET /v2/<ns>/<model>/manifests/<tag>` and `…/blobs/<digest>`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from agentlaunch import files, web
from agentlaunch.errors import MachineCannot, ModelUnavailable, Refused
from agentlaunch.models.download import Patience, StoppedDownload, Tally, fetch_blob
from agentlaunch.models.manifest import (
    LIMIT_BYTES,
    MODEL,
    BrokenManifest,
    Layer,
    Manifest,
    parse_manifest,
)
from agentlaunch.models.refs import Ref
from agentlaunch.models.registry_http import (
    anonymous_token,
    base_url,
    open_url,
    refuse_page,
    refuse_status,
    unavailable,
)
from agentlaunch.models.store import Store, StoredModel
from agentlaunch.progress import Progress, Work
from agentlaunch.units import format_bytes

T = TypeVar("T")

DISK_MARGIN_BYTES = 512 << 20
"""Left free for everything else that runs while a model comes."""

_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_MANIFEST_DEADLINE_S = 30.0
_SHORT_TRIES = 3
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Registry:
    """A client of any registry; the host is part of each reference.

    `insecure` allows plain http (never for the public registries).
    """

    insecure: bool = False
    patience: Patience = field(default_factory=Patience)
    _tokens: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def manifest(self, ref: Ref) -> Manifest:
        """Ask what a model consists of. Raises `ModelUnavailable` with the reason and the way out:
        offline, unknown, refused, no registry, not a manifest."""
        return self._tried(ref, partial(self._manifest, ref))

    def head_bytes(self, ref: Ref, layer: Layer, count: int) -> bytes:
        """The first `count` bytes of a blob (fewer when it is smaller), by a ranged request.

        They are not verified: the digest is of the whole. Raises `ModelUnavailable`.
        """
        wanted = min(count, layer.size_bytes)
        return self._tried(ref, partial(self._head, ref, layer, wanted)) if wanted > 0 else b""

    def pull(self, ref: Ref, store: Store) -> Work[StoredModel]:
        """Bring a model into a store of ours, resuming what an earlier run left.

        Yields bytes done and to do over all blobs. Raises `ModelUnavailable` (run it again to
        resume), `MachineCannot` (no room), `Refused` for a store that is not ours.
        """
        if not store.ours:
            raise Refused(f"{store.root} is not a store of ours", code="foreign-store")
        yield Progress(f"asking {ref.host} for {ref}")
        manifest = self.manifest(ref)
        _require_weights(ref, manifest)
        _require_room(ref, manifest, store)
        name = store.stored_name(ref)
        for _ in range(_ROUNDS):
            yield from self._fetch_all(ref, manifest, store)
            # Another of us may have removed a shared blob meanwhile: then it is fetched again.
            if store.add(name, manifest):
                stored = store.find(name)
                if stored is not None:
                    return stored
        raise ModelUnavailable(
            f"{ref} was removed while it was being downloaded",
            hint="run the same command again",
            code="removed-meanwhile",
        )

    def _fetch_all(self, ref: Ref, manifest: Manifest, store: Store) -> Work[None]:
        here = {layer.digest: _part_bytes(layer, store) for layer in manifest.blobs}
        done = kept = sum(here.values())
        for layer in manifest.blobs:
            done -= here[layer.digest]
            tally = Tally(str(ref), done, manifest.total_bytes, kept)
            opening = partial(self._open_blob, ref, layer)
            try:
                yield from fetch_blob(layer, store, opening, self.patience, tally)
            except StoppedDownload as stop:
                so_far = f"at {format_bytes(stop.done_bytes)} of {format_bytes(stop.total_bytes)}"
                raise unavailable(stop.fault, ref, stopped=so_far) from stop
            done += layer.size_bytes
            yield tally.at(layer.size_bytes)

    def _manifest(self, ref: Ref) -> Manifest:
        with self._open(ref, f"manifests/{ref.tag}", {"Accept": _MANIFEST_TYPE}) as (reply, chunks):
            raw = _read_at_most(chunks, LIMIT_BYTES, deadline_s=_MANIFEST_DEADLINE_S)
        refuse_page(ref, reply, raw)
        try:
            return parse_manifest(raw)
        except BrokenManifest as error:
            raise ModelUnavailable(
                f"{ref.host} sent no usable manifest for {ref}: {error}",
                hint="is that a model registry? check the host in the name",
                code="bad-manifest",
            ) from error

    def _head(self, ref: Ref, layer: Layer, wanted: int) -> bytes:
        found = bytearray()
        limit = time.monotonic() + self.patience.silence_s + _MANIFEST_DEADLINE_S
        span = {"Range": f"bytes=0-{wanted - 1}"}
        with self._open(ref, f"blobs/{layer.digest}", span) as (reply, chunks):
            refuse_page(ref, reply)
            for chunk in chunks:
                found += chunk
                if len(found) >= wanted:
                    return bytes(found[:wanted])
                if time.monotonic() > limit:
                    raise web.WebFault("timeout", f"{ref.host} sends too slowly")
        raise web.WebFault("broken", f"{ref.host} sent too little")

    @contextlib.contextmanager
    def _open_blob(
        self, ref: Ref, layer: Layer, offset: int
    ) -> Iterator[tuple[web.Reply, Iterator[bytes]]]:
        span = {"Range": f"bytes={offset}-"} if offset else {}
        with self._open(ref, f"blobs/{layer.digest}", span) as (reply, chunks):
            refuse_page(ref, reply)
            yield reply, chunks

    @contextlib.contextmanager
    def _open(
        self, ref: Ref, what: str, headers: Mapping[str, str]
    ) -> Iterator[tuple[web.Reply, Iterator[bytes]]]:
        """GET something of a model; on a 401 once more with the token that anybody gets."""
        base = base_url(ref, insecure=self.insecure)
        repository = f"{base}/v2/{ref.namespace}/{ref.model}"
        url = f"{repository}/{what}"
        silence_s = self.patience.silence_s
        token = self._tokens.get(repository)
        with open_url(url, headers=headers, token=token, read_s=silence_s) as (reply, chunks):
            if reply.status != 401:
                refuse_status(ref, reply.status)
                yield reply, chunks
                return
            challenge = reply.headers.get("www-authenticate", "")
        token = anonymous_token(base, challenge)
        if token is None:
            refuse_status(ref, 401)
            return
        self._tokens[repository] = token
        with open_url(url, headers=headers, token=token, read_s=silence_s) as (reply, chunks):
            refuse_status(ref, reply.status)
            yield reply, chunks

    def _tried(self, ref: Ref, ask: Callable[[], T]) -> T:
        """A short exchange, tried again where the fault may pass by itself."""
        tries = min(_SHORT_TRIES, self.patience.tries)
        for failures in range(1, tries + 1):
            try:
                return ask()
            except web.WebFault as fault:
                if failures == tries or fault.kind not in ("broken", "timeout"):
                    raise unavailable(fault, ref) from fault
                self.patience.sleep(self.patience.wait_s(failures))
        raise AssertionError("unreachable: the last try returns or raises")


def _require_weights(ref: Ref, manifest: Manifest) -> None:
    if manifest.only(MODEL) is not None:
        return
    several = any(layer.media_type == MODEL for layer in manifest.layers)
    raise ModelUnavailable(
        f"{ref} comes in several pieces, which is not supported"
        if several
        else f"{ref} has no GGUF weights (a cloud model, or another format)",
        hint="choose another model or another tag of it: agentlaunch models",
        code="no-weights",
    )


def _require_room(ref: Ref, manifest: Manifest, store: Store) -> None:
    """Raise `MachineCannot`, with the figures, when what is still to come does not fit."""
    missing = manifest.total_bytes - here_bytes(manifest, store)
    free = files.disk_free_bytes(store.root)
    if missing == 0 or free is None or free >= missing + DISK_MARGIN_BYTES:
        return
    raise MachineCannot(
        f"{ref} needs {format_bytes(missing)} and {format_bytes(DISK_MARGIN_BYTES)} to spare "
        f"in {store.root}, where {format_bytes(free)} are free",
        hint="free some space (`agentlaunch clean` shows what we hold) or choose a smaller model: "
        "agentlaunch models",
        code="no-disk",
    )


def here_bytes(manifest: Manifest, store: Store) -> int:
    """What the store has of a model: whole blobs, and parts from last time."""
    return sum(_part_bytes(layer, store) for layer in manifest.blobs)


def _part_bytes(layer: Layer, store: Store) -> int:
    """What a store of ours has of one blob."""
    if store.has(layer):
        return layer.size_bytes
    with contextlib.suppress(OSError):
        return min(layer.size_bytes, store.partial_path(layer.digest).stat().st_size)
    return 0


def _read_at_most(chunks: Iterator[bytes], limit_bytes: int, *, deadline_s: float) -> bytes:
    limit = time.monotonic() + deadline_s
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > limit_bytes:
            raise web.WebFault("too-large", f"the registry sent more than {limit_bytes} bytes")
        if time.monotonic() > limit:
            raise web.WebFault("timeout", f"the registry did not finish within {deadline_s:g} s")
    return bytes(body)
