"""Changes in files of the user's, each written down before it is made, so that it can be undone.

One entry a file and agent lies in our state folder, beside a copy of the first original. A write is
prepared in the entry, done by one rename, and then entered as done: whoever is killed in between
leaves what the next run understands (decision 0013).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from agentlaunch import files
from agentlaunch.changes import place
from agentlaunch.changes.edit import (
    Edit,
    Given,
    SetKeys,
    WriteFile,
    give_back,
    holds_ours,
    set_keys,
)
from agentlaunch.changes.entry import Done, Entry, from_json
from agentlaunch.changes.text import KeyPath, Unfit, shown
from agentlaunch.errors import Refused

FOLDER = "changes"
LOCK_S = 20.0
TRIES = 3


@dataclass(frozen=True, slots=True)
class Change:
    """What an edit does, or did, to one file."""

    path: Path
    real: Path
    keys: tuple[KeyPath, ...]
    before: bytes | None = field(repr=False)
    after: bytes = field(repr=False)
    replaced: tuple[KeyPath, ...] = ()
    """Those of the keys that have a value of the user's own, which `restore` gives back."""
    ours: tuple[object, ...] = field(default=(), repr=False, compare=False)
    """What each of the keys becomes."""

    @property
    def is_new(self) -> bool:
        return self.before is None

    @property
    def changes(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays as it is, and why; `open`: nothing of it could be given back yet."""

    path: Path
    reason: str
    open: bool = False


@dataclass(frozen=True, slots=True)
class Restored:
    """Files given back, and what stays."""

    restored: tuple[Path, ...]
    kept: tuple[Kept, ...]


@dataclass(frozen=True, slots=True)
class Journal:
    """The changes of one user; `home` is the folder that no link may lead out of."""

    state: Path
    home: Path | None
    lock_s: float = LOCK_S

    @property
    def folder(self) -> Path:
        return self.state / FOLDER

    # ---- writing -------------------------------------------------------------------------

    def preview(self, agent: str, edits: Sequence[Edit]) -> tuple[Change, ...]:
        """What `apply` would do now; changes nothing. Raises `Refused` as it does."""
        return tuple(self._plan(agent, edit)[0] for edit in _one_a_file(edits))

    def apply(self, agent: str, edits: Sequence[Edit]) -> tuple[Change, ...]:
        """Make the changes, all of them or none.

        Raises `Refused` for a file that cannot be edited, is not ours to write, or that somebody
        else writes all the time, and while another of us is at work; `OSError` for a full disk.
        """
        with self._locked():
            self._repair()
            self.preview(agent, edits)  # whatever is refused is refused before the first write
            done: list[tuple[Change, Entry | None]] = []
            try:
                for edit in _one_a_file(edits):
                    change, old = self._apply(agent, edit)
                    done.append((change, old))
            except BaseException:
                for change, old in reversed(done):
                    self._take_back(agent, change, old)
                raise
            return tuple(change for change, _old in done)

    def _plan(self, agent: str, edit: Edit) -> tuple[Change, Entry | None, tuple[Given, ...]]:
        real = place.resolve(edit.path, self.home)
        before = place.read(real)
        old = _settled(self._load(self._entry_file(agent, real)), before)
        if before is None:  # the user removed it: what was in it is no longer his wish
            old = None
        done = old.done if old is not None else None
        if isinstance(edit, WriteFile):
            ours = done is not None and old is not None and old.kind == "file"
            mine = ours and done is not None and done.sha256 == place.digest(before)
            if before is not None and not mine and before != edit.content:
                raise Refused(
                    f"{edit.path} is there already, and not by agentlaunch",
                    hint="move it away, or set what `--dry-run` shows by hand",
                    code="file-exists",
                )
            return Change(edit.path, real, (), before, edit.content), old, ()
        known = done.given if done is not None else ()
        try:
            edited = set_keys(edit, before, known)
        except Unfit as error:
            raise unfit(edit.path, error) from error
        keys = tuple(row.key for row in edited.given)
        replaced = tuple(row.key for row in edited.given if row.before is not None)
        values = tuple(row.ours for row in edited.given)
        change = Change(edit.path, real, keys, before, edited.after, replaced, values)
        return change, old, edited.given

    def _apply(self, agent: str, edit: Edit) -> tuple[Change, Entry | None]:
        for _try in range(TRIES):
            change, old, given = self._plan(agent, edit)
            if old is None and not change.changes:
                return change, old  # as the user has it himself: nothing of ours
            try:
                self._write(agent, edit, change, old, given)
            except place.ChangedMeanwhile:
                self._forget_write(agent, change.real, old)
                continue
            except OSError:  # perhaps after the rename
                self._take_back(agent, change, old)
                raise
            return change, old
        raise Refused(
            f"{edit.path} was changed by another program at the same moment",
            hint="end that program, then run the same command again",
            code="file-changed",
        )

    def _write(
        self, agent: str, edit: Edit, change: Change, old: Entry | None, given: tuple[Given, ...]
    ) -> None:
        real, before = change.real, place.digest(change.before)
        after = place.digest(change.after)
        assert after is not None
        path = self._entry_file(agent, real)
        done = old.done if old is not None else None
        whole = done is None or (done.whole and done.sha256 == before)
        entry = replace(
            old or self._new_entry(agent, edit, change),
            when=_now(),
            prepared=Done(after, given, whole),
            prepared_from=before,
        )
        if not change.changes:
            assert entry.prepared is not None
            self._save(path, replace(entry, done=entry.prepared, prepared=None))
            return
        if old is None and change.before is not None:
            files.write_atomic(_original(path), change.before)
        self._save(path, entry)
        place.replace(real, before, change.after, mode=place.mode_of(real), mark=_mark(path))
        self._save(path, replace(entry, done=entry.prepared, prepared=None, prepared_from=None))

    def _new_entry(self, agent: str, edit: Edit, change: Change) -> Entry:
        return Entry(
            agent=agent,
            path=change.real,
            named=edit.path,
            kind=edit.format if isinstance(edit, SetKeys) else "file",
            existed=change.before is not None,
            folders=place.missing_folders(change.real),
            when="",
        )

    def _forget_write(self, agent: str, real: Path, old: Entry | None) -> None:
        path = self._entry_file(agent, real)
        if old is not None:
            self._save(path, old)
        else:
            _remove(path)

    def _take_back(self, agent: str, change: Change, old: Entry | None) -> None:
        """Undo one write of a run that cannot go on."""
        if not change.changes:
            return
        path = self._entry_file(agent, change.real)
        after = place.digest(change.after)
        with contextlib.suppress(OSError, place.ChangedMeanwhile):
            mode = place.mode_of(change.real)
            place.replace(change.real, after, change.before, mode=mode, mark=_mark(path))
            self._forget_write(agent, change.real, old)

    # ---- giving back ---------------------------------------------------------------------

    def entries(self, agent: str | None = None) -> tuple[Entry, ...]:
        """What can be given back, by agent and file; changes nothing."""
        found = (self._known(path) for path in self._entry_files())
        rows = (_settled(entry, _read(entry)) for entry in found if entry is not None)
        mine = [row for row in rows if row is not None and agent in (None, row.agent)]
        return tuple(sorted(mine, key=lambda row: (row.agent, str(row.named))))

    def broken(self, agent: str | None = None) -> tuple[Kept, ...]:
        """Entries of ours that cannot be understood, with what to do. One that does not say that
        it is of the agent asked for is told, and fails nothing."""
        rows = []
        for path in self._entry_files():
            try:
                self._load(path)
            except Refused as error:
                mine = agent is None or (files.read_json(path) or {}).get("agent") == agent
                rows.append(Kept(path, f"it cannot be understood; {error.hint}", open=mine))
        return tuple(rows)

    def restore(self, agent: str | None = None, *, dry_run: bool = False) -> Restored:
        """Give every file (of one agent) back: three-way by key, byte for byte where nobody else
        wrote since. What the user changed stays, and is told.

        Raises `Refused` while another of us is at work.
        """
        if not self.folder.is_dir():
            return Restored((), ())
        restored: list[Path] = []
        kept: list[Kept] = list(self.broken(agent))
        with contextlib.nullcontext() if dry_run else self._locked():
            if not dry_run:
                self._repair()
            newest = sorted(self.entries(agent), key=lambda row: row.when, reverse=True)
            for entry in newest:
                path = self._entry_file(entry.agent, entry.path)
                try:
                    if agent is not None:
                        self._refuse_under_another(entry)
                    given, stays = self._restore(entry, path, dry_run=dry_run)
                except Refused as error:
                    kept.append(Kept(entry.named, error.message, open=True))
                    continue
                except OSError as error:  # the other files are given back all the same
                    reason = error.strerror or type(error).__name__
                    kept.append(Kept(entry.named, reason, open=True))
                    continue
                restored += [entry.named] if given else []
                kept += stays
        return Restored(tuple(restored), tuple(kept))

    def _refuse_under_another(self, entry: Entry) -> None:
        """What another agent wrote over ours holds our value as its original: it goes first."""
        for row in self.entries():
            over = row.path == entry.path and row.agent != entry.agent and row.when > entry.when
            if over and _share_keys(row, entry):
                raise Refused(
                    f"{row.agent} was configured there later: "
                    f"first `agentlaunch restore {row.agent}`",
                    code="under-another",
                )

    def _restore(self, entry: Entry, path: Path, *, dry_run: bool) -> tuple[bool, list[Kept]]:
        """Was something given back, and what stays."""
        done = entry.done
        assert done is not None
        for _try in range(TRIES):
            real = place.resolve(entry.path, self.home)
            now = place.read(real)
            if now is None:
                if entry.existed and _original(path).exists():
                    reason = f"it was removed since; what it was: {_original(path)}"
                    return False, [Kept(entry.named, reason, open=True)]
                gone = [Kept(entry.named, "it was removed since")] if entry.existed else []
                if not dry_run:
                    self._close(entry, path)
                return not entry.existed, gone
            after, stays = self._before(entry, done, path, now)
            if dry_run:
                return after != now, stays
            try:
                if after != now:
                    digest, mode = place.digest(now), place.mode_of(real)
                    place.replace(real, digest, after, mode=mode, mark=_mark(path))
                if not any(row.open for row in stays):
                    self._close(entry, path)
            except place.ChangedMeanwhile:
                continue
            return after != now or not stays, stays
        raise Refused("it was changed by another program at the same moment", code="file-changed")

    def _before(
        self, entry: Entry, done: Done, path: Path, now: bytes
    ) -> tuple[bytes | None, list[Kept]]:
        """What a file is without us (None: no file), and what stays of ours."""
        if done.whole and place.digest(now) == done.sha256:
            if not entry.existed:
                return None, []
            with contextlib.suppress(OSError):  # lost: then by key
                return _original(path).read_bytes(), []
        if entry.kind == "file":
            return now, [Kept(entry.named, "it was changed since")]
        try:
            undone = give_back(entry.kind, now, done.given)
        except Unfit as error:
            raise Refused(_place(error), code="unparsable-file") from error
        replaced = {row.key for row in done.given if row.before is not None}
        original = _original(path)
        stays = []
        for key in undone.kept:
            # The backup may be the only place where his own value still stands.
            lost = key in replaced and original.exists()
            where = f"; your own value is in {original}" if lost else ""
            stays.append(Kept(entry.named, f"`{shown(key)}` was changed since{where}", open=lost))
        return undone.after, stays

    def _close(self, entry: Entry, path: Path) -> None:
        if not entry.existed:
            place.remove_empty(entry.folders)
        _remove(path)

    # ---- our own folder ------------------------------------------------------------------

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One of us at a time; who waits too long is told who it is."""
        holder = self.folder / "holder"
        files.private_dir(self.folder)
        try:
            with files.locked(self.folder / "lock", timeout_s=self.lock_s, what="files of yours"):
                holder.write_text(str(os.getpid()))
                yield
        except Refused as error:
            if error.code == "locked":
                with contextlib.suppress(OSError, ValueError):
                    error.message += f" (process {int(holder.read_text())})"
                    error.args = (error.message,)
            raise

    def _repair(self) -> None:
        """Finish or take back what a killed run was about, and remove what it left."""
        place.sweep(self.folder, "")
        originals = set(self.folder.glob("*.original"))
        for path in self._entry_files():
            entry = self._known(path)
            if entry is None:
                originals.discard(_original(path))
                continue
            place.sweep(entry.path.parent, _mark(path))
            settled = _settled(entry, _read(entry))
            if settled is None:
                if not entry.existed:
                    place.remove_empty(entry.folders)
                _remove(path)
            else:
                originals.discard(_original(path))
                if settled is not entry:
                    self._save(path, settled)
        for orphan in originals:
            orphan.unlink(missing_ok=True)

    def _entry_files(self) -> list[Path]:
        return sorted(self.folder.glob("*.json"))

    def _entry_file(self, agent: str, real: Path) -> Path:
        name = hashlib.sha256(f"{agent}\0{real}".encode()).hexdigest()[:24]
        return self.folder / f"{name}.json"

    def _load(self, path: Path) -> Entry | None:
        """An entry; None where there is none. Raises `Refused` for one that we do not understand:
        to go on as if nothing had been changed would lose the original."""
        row = files.read_json(path)
        if row is None and not path.exists():
            return None
        try:
            return from_json(row or {})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Refused(
                f"{path}, in which a change is written down, cannot be understood",
                hint=f"the original is in {_original(path)}: put it back by hand, then remove both",
                code="journal-broken",
            ) from error

    def _known(self, path: Path) -> Entry | None:
        """An entry; None also for one that we do not understand, which stays as it is."""
        try:
            return self._load(path)
        except Refused:
            return None

    def _save(self, path: Path, entry: Entry) -> None:
        files.write_json(path, entry.as_json())
        place.sync_folder(path.parent)


def _one_a_file(edits: Sequence[Edit]) -> tuple[Edit, ...]:
    """Edits of the same file as one: what a second one left out would be given back."""
    rows: dict[Path, Edit] = {}
    for edit in edits:
        first = rows.get(edit.path)
        if isinstance(first, SetKeys) and isinstance(edit, SetKeys):
            edit = replace(first, values={**first.values, **edit.values})  # noqa: PLW2901 - joined
        rows[edit.path] = edit
    return tuple(rows.values())


def unfit(path: Path, error: Unfit) -> Refused:
    """A file that cannot be edited, with line and column."""
    return Refused(
        f"{path}: {_place(error)}",
        hint="mend that place, then run the same command again; nothing was changed",
        code="unparsable-file",
    )


def _place(error: Unfit) -> str:
    return f"line {error.line}, column {error.column}: {error.reason}"


def _settled(entry: Entry | None, now: bytes | None) -> Entry | None:
    """An entry after a kill: was the prepared write done? None: nothing of ours is there."""
    if entry is None or entry.prepared is None:
        return entry
    digest = place.digest(now)
    if digest == entry.prepared.sha256:
        written = True
    elif digest == entry.prepared_from:
        written = False
    else:  # somebody else wrote after the kill: do our values stand there?
        written = now is not None and _ours_stand(entry, now, entry.prepared.given)
    if written:
        return replace(entry, done=entry.prepared, prepared=None, prepared_from=None)
    if entry.done is None:
        return None
    return replace(entry, prepared=None, prepared_from=None)


def _ours_stand(entry: Entry, now: bytes, given: tuple[Given, ...]) -> bool:
    if entry.kind == "file":
        return False
    try:
        return holds_ours(entry.kind, now, given)
    except Unfit:  # it may: to remember it costs nothing
        return True


def _share_keys(one: Entry, other: Entry) -> bool:
    if one.done is None or other.done is None:
        return False
    return any(
        row.key[: len(each.key)] == each.key[: len(row.key)]
        for row in one.done.given
        for each in other.done.given
    )


def _read(entry: Entry) -> bytes | None:
    try:
        return place.read(entry.path)
    except OSError:
        return None


def _original(entry_file: Path) -> Path:
    return entry_file.with_suffix(".original")


def _mark(entry_file: Path) -> str:
    return entry_file.stem


def _remove(entry_file: Path) -> None:
    entry_file.unlink(missing_ok=True)
    _original(entry_file).unlink(missing_ok=True)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")
