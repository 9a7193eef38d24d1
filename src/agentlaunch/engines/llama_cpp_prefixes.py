"""Saved prefixes: what the engine has read of an agent's prompt, kept on disk over sleep and end.

The background process saves them (it loads this file by its path, so only the standard library may
be imported here), a launch restores them. They hold the user's prompts: everything is the user's
alone, bounded in size, and the oldest goes first. A file counts only with its record beside it: a
server that is given a cut file aborts (seen: llama.cpp of xllamacpp 2026.10.11549).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import stat
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = "prefixes"
"""Below our cache: one folder for each engine key, since a saved slot fits no other."""

LEAST_TOKENS = 512
"""What is read again in no time is not worth a file: titles, probes."""
GROWTH = 0.5
"""Saved again when so much of what is saved was read anew since."""
FREE_SHARE, FREE_BYTES = 0.05, 2 * 2**30
"""Of the disk, what we never take: the larger of the two."""
UNKNOWN_BYTES_PER_TOKEN = 256 * 1024
"""For the free disk alone, until a first save has shown what a token takes."""

_SAVING = "saving.tmp"
_NAME = re.compile(r"[0-9a-f]{16}")
_CHUNK = 1 << 20

Send = Callable[[str, str, "dict[str, Any] | None"], "dict[str, Any] | None"]
"""Method, path and body → the server's answer; None when it gave none."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Under which name a session's prefix is kept, and how much all of them may take."""

    name: str
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class Saved:
    """One saved prefix on this disk, its record included."""

    path: Path
    size_bytes: int
    used_at: float


def name_of(*parts: str) -> str:
    """The name for an agent, its tier and its folder; it tells nothing of them."""
    import hashlib

    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


# --- deciding ----------------------------------------------------------------------------------


def is_due(read_tokens: int, held_tokens: int, *, last: bool) -> bool:
    """Whether to save now: `read_tokens` were processed since the last save, which held
    `held_tokens` (0: none by this process). At the `last` opportunity anything new counts."""
    if read_tokens <= 0:
        return False
    if held_tokens == 0:
        return read_tokens >= LEAST_TOKENS
    return last or read_tokens >= GROWTH * held_tokens


def leaving(
    rows: Iterable[Saved], need_bytes: int, *, limit_bytes: int, spare_bytes: int
) -> tuple[Saved, ...] | None:
    """Which go, oldest first, so that `need_bytes` more fit; None when they cannot.

    `spare_bytes` is what the disk can still give, below zero where it has given too much.
    """
    ordered = sorted(rows, key=lambda row: row.used_at)
    total = sum(row.size_bytes for row in ordered)
    going: list[Saved] = []
    while total + need_bytes > limit_bytes or need_bytes > spare_bytes:
        if not ordered:
            return None
        oldest = ordered.pop(0)
        going.append(oldest)
        total -= oldest.size_bytes
        spare_bytes += oldest.size_bytes
    return tuple(going)


# --- the folder --------------------------------------------------------------------------------


def saved(root: Path) -> tuple[Saved, ...]:
    """Every saved prefix of every engine; files that are not ours are passed over."""
    rows = []
    for path in sorted(root.glob("*/*.kv")):
        with contextlib.suppress(OSError):
            status = path.lstat()
            rows.append(Saved(path, status.st_size, status.st_mtime))
    return tuple(rows)


def remove(path: Path) -> None:
    """Take a saved prefix and its record away, the record first."""
    for file in (_record(path), path):
        with contextlib.suppress(OSError):
            file.unlink()


def sound(path: Path) -> int | None:
    """How many tokens it holds; None unless it is whole, as it was saved, and this user's."""
    record = _read_record(path)
    if record is None:
        return None
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid():
            return None
        if status.st_size != record["bytes"] or checksum(path) != record["crc32"]:
            return None
    except OSError:
        return None
    return int(record["tokens"])


def file_of(root: Path, key: str, name: str) -> Path:
    """Where the prefix of one name lies for one engine."""
    return root / key / f"{name}.kv"


def _record(path: Path) -> Path:
    return path.with_suffix(".json")


def _read_record(path: Path) -> dict[str, int] | None:
    try:
        row = json.loads(_record(path).read_bytes())
        return {name: int(row[name]) for name in ("bytes", "tokens", "crc32")}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def checksum(path: Path) -> int:
    crc = 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            crc = zlib.crc32(chunk, crc)
    return crc


# --- names -------------------------------------------------------------------------------------


def present_name(leases: Path) -> str | None:
    """The name of the newest session; None when none that keeps a prefix lives.

    Dead sessions' files must have been removed before (`living_leases`).
    """
    rows: list[tuple[float, str]] = []
    with contextlib.suppress(OSError):
        for path in leases.iterdir():
            with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
                row = json.loads(path.read_bytes())
                name = row.get("prefix") if isinstance(row, dict) else None
                if isinstance(name, str) and _NAME.fullmatch(name):
                    rows.append((path.stat().st_mtime, name))
    return max(rows)[1] if rows else None


# --- saving ------------------------------------------------------------------------------------


class Keeper:
    """What the background process does at each look: save what was read, once it is quiet."""

    def __init__(
        self,
        config: dict[str, Any],
        leases: Path,
        send: Send,
        say: Callable[[str], None],
    ) -> None:
        self._folder = Path(config["folder"])
        self._root = self._folder.parent
        self._limit_bytes = int(config["limit_bytes"])
        self._awake_s = float(config["awake_s"])
        self._leases = leases
        self._send, self._say = send, say
        self._name: str | None = None
        self._counts = self._settled = ""
        self._saved_at = self._held = self._total = 0
        self._worked_at = time.monotonic()

    def look(self, counts: str, *, alive: bool) -> None:
        """One look: `counts` are the server's counters as text, `alive` whether a session lives."""
        self._total = _read_tokens(counts) or self._total  # it tells none while it is busy
        present = present_name(self._leases)
        if present is not None and present != self._name:
            if self._name is not None:
                # What was read so far is another session's: it must not come under this name.
                self._saved_at = self._total
            self._name, self._held = present, 0
        if counts != self._counts:  # at work, or just done
            self._counts, self._worked_at = counts, time.monotonic()
            return
        if self._name is None:
            return
        settled = f"{alive} {counts}"
        if settled != self._settled and not counts.startswith("busy"):
            self._settled = settled
            self._consider(_read_tokens(counts), last=not alive)
        if present is not None and time.monotonic() - self._worked_at < self._awake_s:
            self._stay_awake()

    def _consider(self, total: int, *, last: bool) -> None:
        if total < self._saved_at:  # sleep begins the counters anew
            self._saved_at = self._held = 0
        if not is_due(total - self._saved_at, self._held, last=last) or self._asleep():
            return
        slots = self._send("GET", "/slots", None) or {}
        tokens = _held_tokens(slots)
        if tokens >= LEAST_TOKENS and self._save(tokens):
            self._saved_at = total

    def _asleep(self) -> bool:
        """`/props` wakes nothing, and a sleeping server holds nothing that could be saved."""
        props = self._send("GET", "/props", None)
        return props is None or props.get("is_sleeping") is not False

    def _stay_awake(self) -> None:
        """Asking for the slots begins the time until sleep anew (but would wake it, too)."""
        if not self._asleep():
            self._send("GET", "/slots", None)

    def _save(self, tokens: int) -> bool:
        path = self._folder / f"{self._name}.kv"
        each = self._bytes_per_token()
        if not self._make_room(path, tokens, each):
            self._say(f"the prefix of {tokens} tokens was not saved: no room on the disk for it")
            return True  # not tried again before there is more of it
        temporary = self._folder / _SAVING
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
            done = self._send("POST", "/slots/0?action=save", {"filename": _SAVING})
            if done is None or int(done.get("n_saved", 0)) < LEAST_TOKENS:
                self._say("the prefix was not saved: the engine did not write it")
                return False
            size = temporary.stat().st_size
            others = [row for row in saved(self._root) if row.path != path]
            if sum(row.size_bytes for row in others) + size > self._limit_bytes and (
                not self._go(others, size, spare_bytes=size)
            ):
                self._say(f"the prefix was not kept: {size} bytes are more than the limit")
                self._held = int(done["n_saved"])
                return True
            row = {"bytes": size, "tokens": int(done["n_saved"]), "crc32": checksum(temporary)}
            with contextlib.suppress(FileNotFoundError):
                _record(path).unlink()
            temporary.replace(path)
            _record(path).write_text(json.dumps(row))
        except (OSError, ValueError, TypeError) as error:
            self._say(f"the prefix was not saved: {error}")
            return False
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        self._held = row["tokens"]
        self._say(f"saved a prefix of {row['tokens']} tokens ({size} bytes)")
        return True

    def _make_room(self, path: Path, tokens: int, each: float | None) -> bool:
        """Let the oldest go; the same name's older file does not count, it is replaced."""
        self._held = max(self._held, tokens)
        others = [row for row in saved(self._root) if row.path != path]
        disk = shutil.disk_usage(next(p for p in (self._root, *self._root.parents) if p.exists()))
        spare_bytes = disk.free - max(int(disk.total * FREE_SHARE), FREE_BYTES)
        if each is None:  # what it takes is known afterwards
            return tokens * UNKNOWN_BYTES_PER_TOKEN <= spare_bytes
        return self._go(others, int(tokens * each), spare_bytes=spare_bytes)

    def _go(self, rows: list[Saved], need_bytes: int, *, spare_bytes: int) -> bool:
        going = leaving(rows, need_bytes, limit_bytes=self._limit_bytes, spare_bytes=spare_bytes)
        for row in going or ():
            self._say(f"removed an older prefix ({row.size_bytes} bytes)")
            remove(row.path)
        return going is not None

    def _bytes_per_token(self) -> float | None:
        """By the files of this engine; the largest, for short ones hold more besides."""
        rates = [
            row["bytes"] / row["tokens"]
            for path in self._folder.glob("*.kv")
            if (row := _read_record(path)) is not None and row["tokens"] > 0
        ]
        return max(rates) if rates else None


def _read_tokens(counts: str) -> int:
    found = re.search(r"^llamacpp:prompt_tokens_total (\d+)", counts, re.MULTILINE)
    return int(found[1]) if found else 0


def _held_tokens(slots: dict[str, Any]) -> int:
    rows = slots.get("slots")
    row = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
    tokens = row.get("n_prompt_tokens")
    return tokens if isinstance(tokens, int) and not row.get("is_processing") else 0
