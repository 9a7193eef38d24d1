"""One blob: ranged, resumable, verified while it streams, written by one of us at a time."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentlaunch import files, web
from agentlaunch.errors import ModelUnavailable, Refused
from agentlaunch.models.manifest import Layer
from agentlaunch.models.store import Store, disk_fault
from agentlaunch.progress import Progress, Work

Opening = Callable[[int], AbstractContextManager[tuple[web.Reply, Iterator[bytes]]]]
"""Opens the blob's bytes from an offset; raises `WebFault` where another try may help."""

_REPORT_S = 0.1
_READ_BYTES = 1 << 20
_LOCK_TURN_S = 0.5
_REAL_GAIN_BYTES = 1 << 20
"""A try that brought this much is no failure: the next one starts with all its patience."""
_SLOWEST_BYTES_PER_S = 100
_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a registry is waited for: tries in a row, the first wait (it doubles), the longest
    silence; all in seconds. `sleep` is the clock that tests replace."""

    tries: int = 6
    first_wait_s: float = 1.0
    silence_s: float = 30.0
    sleep: Callable[[float], None] = field(default=time.sleep, compare=False)

    def wait_s(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        return self.first_wait_s * float(2 ** (failures - 1))


@dataclass(frozen=True, slots=True)
class Tally:
    """What is being fetched, as the user calls it, and how much of all its blobs was there before
    this one, in bytes; `kept_bytes` of all were there before this run."""

    name: str
    before_bytes: int
    total_bytes: int
    kept_bytes: int = 0

    def at(
        self, blob_bytes: int, detail: str | None = None, *, verb: str = "downloading"
    ) -> Progress:
        return Progress(
            f"{verb} {self.name}",
            self.before_bytes + blob_bytes,
            self.total_bytes,
            detail,
            kept_bytes=self.kept_bytes,
        )

    def stopped(self, fault: web.WebFault, blob_bytes: int) -> StoppedDownload:
        return StoppedDownload(fault, self.before_bytes + blob_bytes, self.total_bytes)


class StoppedDownload(Exception):
    """Patience has run out; what came is kept. The caller names the model."""

    def __init__(self, fault: web.WebFault, done_bytes: int, total_bytes: int) -> None:
        super().__init__(str(fault))
        self.fault = fault
        self.done_bytes = done_bytes
        self.total_bytes = total_bytes


def fetch_blob(
    layer: Layer, store: Store, opening: Opening, patience: Patience, tally: Tally
) -> Work[None]:
    """Bring one blob into a store of ours. Whoever comes second waits, then finds it there.

    Raises `StoppedDownload`, `ModelUnavailable` (wrong digest or size), `MachineCannot` (no room).
    """
    lock = yield from _wait_for_lock(layer, store, tally)
    with lock:
        if store.has(layer):
            return
        path = store.partial_path(layer.digest)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _Part(path, layer) as part:
                yield from _complete(part, opening, patience, tally)
            path.replace(store.blob_path(layer.digest))
        except OSError as error:
            raise disk_fault(error, store.root) from error


class _Part:
    """The beginning of a blob on disk, and the hash of exactly those bytes."""

    def __init__(self, path: Path, layer: Layer) -> None:
        self.path = path
        self.layer = layer
        self.size_bytes = 0
        self._hash = hashlib.sha256()
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        # Weights are no secret: 0644, less what the user's umask takes away.
        self._file = os.fdopen(os.open(path, flags, 0o644), "r+b", buffering=0)

    def __enter__(self) -> _Part:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def is_whole(self) -> bool:
        return self.size_bytes == self.layer.size_bytes

    @property
    def is_right(self) -> bool:
        return self.layer.digest == "sha256:" + self._hash.hexdigest()

    def reread(self) -> Iterator[int]:
        """Hash what an earlier run left, yielding bytes done; too much of it is thrown away."""
        if os.fstat(self._file.fileno()).st_size > self.layer.size_bytes:
            self.restart()
        while piece := self._file.read(_READ_BYTES):
            self._hash.update(piece)
            self.size_bytes += len(piece)
            yield self.size_bytes

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = self._file.write(rest)
            self._hash.update(rest[:written])
            self.size_bytes += written
            rest = rest[written:]

    def restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.size_bytes = 0
        self._hash = hashlib.sha256()

    def discard(self) -> None:
        self.restart()
        with contextlib.suppress(OSError):
            self.path.unlink()

    def sync(self) -> None:
        os.fsync(self._file.fileno())


def _wait_for_lock(layer: Layer, store: Store, tally: Tally) -> Work[AbstractContextManager[Any]]:
    """Hold the blob's lock; while another of us downloads it, report how far that one is."""
    while True:
        stack = contextlib.ExitStack()
        try:
            stack.enter_context(
                files.locked(
                    store.lock_path(layer.file_name), timeout_s=_LOCK_TURN_S, what="this download"
                )
            )
        except Refused as error:
            if error.code != "locked":
                raise
        except OSError as error:
            raise disk_fault(error, store.root) from error
        else:
            return stack
        there = 0
        with contextlib.suppress(OSError):
            there = store.partial_path(layer.digest).stat().st_size
        yield tally.at(there, "another agentlaunch is downloading it; waiting for that")


def _complete(part: _Part, opening: Opening, patience: Patience, tally: Tally) -> Work[None]:
    for done in part.reread():
        yield tally.at(done, "checking what is already here", verb="checking")
    resumed = part.size_bytes > 0
    while True:
        yield from _fill(part, opening, patience, tally)
        if part.is_right:
            part.sync()
            return
        if not resumed:
            part.discard()
            raise ModelUnavailable(
                f"what came for {tally.name} is not what its manifest promised (wrong sha256)",
                hint="it was thrown away; run the same command to try again",
                code="wrong-digest",
            )
        # The part from last time may be what was damaged (a power cut), so one clean try is due.
        resumed = False
        part.restart()
        yield tally.at(0, "the part from last time was damaged; starting it again")


def _fill(part: _Part, opening: Opening, patience: Patience, tally: Tally) -> Work[None]:
    """Receive until the blob has its size, through cut connections and silences."""
    failures = 0
    while not part.is_whole:
        before = part.size_bytes
        try:
            yield from _receive(part, opening, patience, tally)
            fault = web.WebFault("broken", "the answer ended before the blob did")
        except web.WebFault as error:
            fault = error
        if part.is_whole:
            return
        gained = part.size_bytes - before
        failures = 1 if gained >= _REAL_GAIN_BYTES else failures + 1
        if failures >= patience.tries or fault.kind == "tls":
            raise tally.stopped(fault, part.size_bytes) from fault
        wait_s = patience.wait_s(failures)
        yield tally.at(part.size_bytes, f"{fault}; trying again in {wait_s:g} s")
        patience.sleep(wait_s)


def _receive(part: _Part, opening: Opening, patience: Patience, tally: Tally) -> Work[None]:
    """One exchange, from where the part ends."""
    with opening(part.size_bytes) as (reply, chunks):
        _agree(part, reply, tally)
        if reply.status == 416:
            return
        reported = window = time.monotonic()
        window_bytes = part.size_bytes
        for chunk in chunks:
            if part.size_bytes + len(chunk) > part.layer.size_bytes:
                part.discard()
                raise _wrong_size(part, tally)
            part.write(chunk)
            if part.is_whole:
                break
            now = time.monotonic()
            if now - window > patience.silence_s:
                # A drip resets every read time limit, so the rate is looked at as well.
                if part.size_bytes - window_bytes < _SLOWEST_BYTES_PER_S * patience.silence_s:
                    raise web.WebFault("timeout", "hardly anything came any more")
                window, window_bytes = now, part.size_bytes
            if now - reported > _REPORT_S:
                reported = now
                yield tally.at(part.size_bytes)
    yield tally.at(part.size_bytes)


def _agree(part: _Part, reply: web.Reply, tally: Tally) -> None:
    """Make the part and the answer start at the same byte; refuse an answer of another size."""
    found = _CONTENT_RANGE.fullmatch(reply.headers.get("content-range", ""))
    start, _, total = found.groups() if found is not None else (None, None, None)
    if total in (None, "*") and reply.status == 200:
        total = reply.headers.get("content-length")
    if total is not None and total.isdecimal() and int(total) != part.layer.size_bytes:
        raise _wrong_size(part, tally)
    if reply.status != 206:
        # The server knows no ranges (200), or not this one (416): start it again, from nothing.
        part.restart()
    elif int(start or 0) != part.size_bytes:
        raise web.WebFault("broken", "the answer began at the wrong byte")


def _wrong_size(part: _Part, tally: Tally) -> ModelUnavailable:
    return ModelUnavailable(
        f"the registry sends another size for {tally.name} than its manifest promised "
        f"({part.layer.size_bytes} bytes)",
        hint="the model was changed meanwhile, or the registry is broken: try again later",
        code="wrong-size",
    )
