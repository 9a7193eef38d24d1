"""Where weights lie: our store, and Ollama's stores, which we read and never change.

All have one layout (Ollama 0.33): `blobs/sha256-<hex>` and `manifests/<host>/<ns>/<model>/<tag>`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agentlaunch import files
from agentlaunch.errors import AgentlaunchError, MachineCannot, ModelUnavailable, Refused
from agentlaunch.models.manifest import (
    LIMIT_BYTES,
    MODEL,
    PROJECTOR,
    BrokenManifest,
    Layer,
    Manifest,
    blob_name,
    parse_manifest,
)
from agentlaunch.models.refs import Ref
from agentlaunch.settings import Paths

_LOCK_WAIT_S = 30.0
_PARTIAL = "-partial"
_OLLAMA_SERVICE = Path("/usr/share/ollama/.ollama/models")  # the Linux installer's service user


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model that is whole on this disk. `size_bytes` counts all its blobs, shared ones too."""

    ref: Ref
    model_path: Path
    projector_path: Path | None
    size_bytes: int
    store: Store

    @property
    def digest(self) -> str:
        """Of the weights, `sha256:<hex>`: the name of their blob."""
        return self.model_path.name.replace("-", ":")


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file in our store that no model needs: half a download, or a blob without a manifest."""

    path: Path
    size_bytes: int
    partial: bool


@dataclass(frozen=True, slots=True)
class Store:
    """One folder of models; only a store of ours is ever written to."""

    root: Path
    ours: bool

    def blob_path(self, digest: str) -> Path:
        """Where a blob lies once it is whole; raises `BrokenManifest` for a malformed digest."""
        return self.root / "blobs" / blob_name(digest)

    def partial_path(self, digest: str) -> Path:
        """Where a blob lies while it is being downloaded."""
        return self.root / "blobs" / (blob_name(digest) + _PARTIAL)

    def lock_path(self, name: str) -> Path:
        return self.root / "locks" / f"{name}.lock"

    def manifest_path(self, ref: Ref) -> Path:
        return self.root / "manifests" / ref.host / ref.namespace / ref.model / ref.tag

    def has(self, layer: Layer) -> bool:
        """True when the blob is there with its full size (it was verified when it got its name)."""
        try:
            status = self.blob_path(layer.digest).stat()
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == layer.size_bytes

    def stored_name(self, ref: Ref) -> Ref:
        """The same name in the upper and lower case of what is stored, as Ollama (0.33) does."""
        folder, parts = self.root / "manifests", []
        for part in (ref.host, ref.namespace, ref.model, ref.tag):
            names = _names(folder)
            # ASCII alone: other letters may fold to a valid name without being one.
            same = [name for name in names if name.isascii() and name.lower() == part.lower()]
            parts.append(part if part in names or not same else same[0])
            folder /= parts[-1]
        return Ref(parts[0], parts[1], parts[2], parts[3], insecure=ref.insecure)

    def find(self, ref: Ref) -> StoredModel | None:
        """The model of that name when every blob of it is there; None otherwise. Never raises."""
        name = self.stored_name(ref)
        manifest = self._manifest(name)
        return self._whole(name, manifest) if manifest is not None else None

    def list(self) -> tuple[StoredModel, ...]:
        """Every whole model, by name. What is unreadable, broken or half there is left out."""
        found = ((ref, self._manifest(ref)) for ref in self._refs())
        models = (self._whole(ref, manifest) for ref, manifest in found if manifest is not None)
        return tuple(model for model in models if model is not None)

    def add(self, ref: Ref, manifest: Manifest) -> bool:
        """Give blobs that are all here their name; False when one went missing meanwhile.

        The manifest is written last and by rename, so that half a model never looks whole.
        """
        with self._changing():
            if not all(self.has(layer) for layer in manifest.blobs):
                return False
            files.write_atomic(self.manifest_path(ref), manifest.raw, mode=0o644)
            return True

    def remove(self, ref: Ref) -> int:
        """Remove a model of ours and the blobs that no other model needs; bytes freed.

        Raises `Refused` for a store that is not ours, `ModelUnavailable` for an unknown name.
        """
        if not self.ours:
            raise Refused(
                f"{ref} lies in {self.root}, which belongs to Ollama",
                hint=f"remove it with: ollama rm {ref}",
                code="foreign-store",
            )
        with self._changing():
            name = self.stored_name(ref)
            path = self.manifest_path(name)
            if not path.is_file():
                raise ModelUnavailable(
                    f"{ref} is not in our store", hint="agentlaunch clean", code="unknown-model"
                )
            manifest = self._manifest(name)
            path.unlink()
            _drop_empty(path.parent, stop=self.root / "manifests")
            needed = self._needed()
            if manifest is None or needed is None:
                return 0
            doomed = [layer for layer in manifest.blobs if blob_name(layer.digest) not in needed]
            return sum(_unlink(self.blob_path(layer.digest)) for layer in doomed)

    def leftovers(self) -> tuple[Leftover, ...]:
        """What `remove_leftovers` would remove. Empty for a store that is not ours.

        While a manifest of ours cannot be read, blobs are all taken as needed.
        """
        if not self.ours:
            return ()
        needed = self._needed()
        blobs = self.root / "blobs"
        found = []
        for name in _names(blobs):
            partial = name.endswith(_PARTIAL)
            if not partial and (needed is None or name in needed):
                continue
            with contextlib.suppress(OSError):
                found.append(Leftover(blobs / name, (blobs / name).lstat().st_size, partial))
        return tuple(found)

    def remove_leftovers(self) -> int:
        """Remove halves and orphans, but none that is being downloaded; bytes freed."""
        freed = 0
        with self._changing():
            for leftover in self.leftovers():
                lock = self.lock_path(leftover.path.name.removesuffix(_PARTIAL))
                try:
                    with files.locked(lock, timeout_s=0, what="a download"):
                        freed += _unlink(leftover.path)
                except Refused as error:
                    if error.code != "locked":
                        raise
        return freed

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        if not self.ours:
            raise Refused(f"{self.root} is not a store of ours", code="foreign-store")
        lock = self.lock_path("store")
        try:
            with files.locked(lock, timeout_s=_LOCK_WAIT_S, what="the model store"):
                yield
        except OSError as error:
            raise disk_fault(error, self.root) from error

    def _refs(self) -> Iterator[Ref]:
        top = self.root / "manifests"
        for host in _names(top):
            for namespace in _names(top / host):
                for model in _names(top / host / namespace):
                    for tag in _names(top / host / namespace / model):
                        # A name outside the grammar is some other file, such as .DS_Store.
                        with contextlib.suppress(ModelUnavailable):
                            yield Ref(host, namespace, model, tag)

    def _manifest(self, ref: Ref) -> Manifest | None:
        raw = _read(self.manifest_path(ref), LIMIT_BYTES)
        if raw is None:
            return None
        try:
            return parse_manifest(raw)
        except BrokenManifest:
            return None

    def _whole(self, ref: Ref, manifest: Manifest) -> StoredModel | None:
        weights = manifest.only(MODEL)
        if weights is None or not all(self.has(layer) for layer in manifest.blobs):
            return None
        projector = manifest.only(PROJECTOR)
        return StoredModel(
            ref=ref,
            model_path=self.blob_path(weights.digest),
            projector_path=self.blob_path(projector.digest) if projector is not None else None,
            size_bytes=manifest.total_bytes,
            store=self,
        )

    def _needed(self) -> frozenset[str] | None:
        """Names of the blobs that some manifest needs; None when a manifest cannot be read."""
        needed: set[str] = set()
        for ref in self._refs():
            manifest = self._manifest(ref)
            if manifest is None:
                return None
            needed.update(blob_name(layer.digest) for layer in manifest.blobs)
        return frozenset(needed)


def stores(paths: Paths, environ: Mapping[str, str]) -> tuple[Store, ...]:
    """Our store first, then each of Ollama's that is readable: $OLLAMA_MODELS, the user's own, the
    Linux service's (Ollama 0.33)."""
    ours = Store(paths.models, ours=True)
    candidates = [_OLLAMA_SERVICE]
    with contextlib.suppress(RuntimeError):  # no home is known
        home = Path(environ.get("HOME") or Path.home())
        candidates.insert(0, home / ".ollama" / "models")
    # Ollama trims blanks and quotes from each of its variables (envconfig, 0.33).
    asked = environ.get("OLLAMA_MODELS", "").strip().strip("\"'").strip()
    if asked:
        candidates.insert(0, Path(asked))
    found = [ours]
    known = {_resolved(ours.root)}
    for root in candidates:
        if _resolved(root) not in known and _readable(root):
            known.add(_resolved(root))
            found.append(Store(root, ours=False))
    return tuple(found)


def find_stored(places: Iterable[Store], ref: Ref) -> StoredModel | None:
    """The first store's whole model of that name."""
    for store in places:
        model = store.find(ref)
        if model is not None:
            return model
    return None


def disk_fault(error: OSError, place: Path) -> AgentlaunchError:
    """A failure to write below `place`, in words: no room is this machine's limit (code 4)."""
    # EFBIG: the file size that the shell's `ulimit -f` allows, or that the file system can hold.
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return MachineCannot(
            f"no room left in {place} ({error.strerror})",
            hint="free some space, then run the same command to resume; `agentlaunch clean` "
            "shows what we hold",
            code="disk-full",
        )
    return AgentlaunchError(
        f"{place} cannot be written: {error.strerror or error}",
        hint=f"check the owner and the mode of {place}",
        code="disk-failed",
    )


def _readable(root: Path) -> bool:
    return all(os.access(root / name, os.R_OK | os.X_OK) for name in ("blobs", "manifests"))


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a loop of links
        return path


def _names(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(entry.name for entry in folder.iterdir()))
    except OSError:
        return ()


def _read(path: Path, limit_bytes: int) -> bytes | None:
    """A small regular file, or None when it is absent, unreadable, too large or no file."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as stream:
            data = stream.read(limit_bytes + 1)
    except OSError:
        return None
    return data if len(data) <= limit_bytes else None


def _unlink(path: Path) -> int:
    """Remove a file; bytes freed, 0 when it was not there."""
    try:
        size = path.lstat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return size


def _drop_empty(folder: Path, *, stop: Path) -> None:
    while folder != stop:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
