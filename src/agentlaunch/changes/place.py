"""Where a file of the user's really lies, may we write it, and how it is replaced as a whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from agentlaunch import files
from agentlaunch.changes.text import MOST_BYTES
from agentlaunch.errors import Refused
from agentlaunch.files import TEMP_PREFIX

_PIECE_BYTES = 65_536


class ChangedMeanwhile(Exception):
    """Somebody else wrote the file between our look and our write."""


def resolve(path: Path, home: Path | None) -> Path:
    """The file itself, behind every link. Raises `Refused` where it may not be ours to write: a
    link that leads nowhere or out of the home, another user's file, no plain file, read-only."""
    if not path.is_absolute():
        raise _refused(path, "its place is not known")
    real = Path(os.path.realpath(path))
    if real.is_symlink() or (path.is_symlink() and not os.path.lexists(real)):
        raise _refused(path, "it is a link that leads nowhere")
    if not _stays(path, real, home):
        raise _refused(path, f"it is a link that leads to {real}, out of your home folder")
    folder = _nearest(real.parent)
    if not folder.is_dir():
        raise _refused(path, f"{folder} is no folder")
    _check_owner(path, folder.stat())
    with contextlib.suppress(FileNotFoundError):
        status = real.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise _refused(path, "it is no plain file")
        _check_owner(path, status)
        if not status.st_mode & stat.S_IWUSR:
            raise _refused(path, "it is read-only")
    return real


def _stays(path: Path, real: Path, home: Path | None) -> bool:
    if home is None:
        return real.parent == Path(os.path.realpath(path.parent))
    top = Path(os.path.realpath(home))
    if real.is_relative_to(top):
        return True
    plain = Path(os.path.normpath(path))
    if plain.is_relative_to(home) or plain.is_relative_to(top):
        return False
    return real == Path(os.path.realpath(path.parent)) / path.name


def _nearest(folder: Path) -> Path:
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder


def _check_owner(path: Path, status: os.stat_result) -> None:
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        raise _refused(path, "it belongs to another user")


def _refused(path: Path, reason: str) -> Refused:
    return Refused(
        f"{path} is not changed: {reason}",
        hint="set what `--dry-run` shows by hand, or put a plain file of your own there",
        code="not-ours-to-write",
    )


def read(real: Path) -> bytes | None:
    """A file's bytes, None where there is none; at most one byte more than may be edited."""
    try:
        return files.read_plain(real, MOST_BYTES + 1)
    except FileNotFoundError:
        return None


def digest(data: bytes | None) -> str | None:
    """What a file is known by; None for no file."""
    return None if data is None else hashlib.sha256(data).hexdigest()


def missing_folders(real: Path) -> tuple[Path, ...]:
    """The folders above a file that are not there, topmost first."""
    rows = []
    folder = real.parent
    while not os.path.lexists(folder):
        rows.append(folder)
        folder = folder.parent
    return tuple(reversed(rows))


def replace(
    real: Path, before: str | None, data: bytes | None, *, mode: int | None, mark: str
) -> None:
    """Put new bytes in a file's place, or (None) remove it, where it is still the one `before` (a
    digest) names: a temporary file beside it, fsync, rename, fsync of the folder.

    Raises `ChangedMeanwhile`. What a kill leaves behind bears `mark` and `sweep` removes it.
    """
    if data is None:
        if digest(read(real)) != before:
            raise ChangedMeanwhile
        os.unlink(real)  # noqa: PTH108 - beside the calls below
        sync_folder(real.parent)
        return
    for folder in missing_folders(real):
        os.mkdir(folder, 0o700)  # noqa: PTH102 - beside the calls below
    temporary = real.parent / f"{TEMP_PREFIX}{mark}-{os.getpid()}"
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(temporary, flags, 0o600)
    try:
        try:
            _write(handle, data)
            _like(handle, real, mode)
            os.fsync(handle)
        finally:
            os.close(handle)
        if digest(read(real)) != before:
            raise ChangedMeanwhile
        os.replace(temporary, real)  # noqa: PTH105 - beside the calls around it
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108 - beside the calls above
        raise
    sync_folder(real.parent)


def _write(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view[:_PIECE_BYTES]) :]


def _like(handle: int, real: Path, mode: int | None) -> None:
    """Mode and group of the file that it takes the place of; 0600 for a new one."""
    if mode is None or not hasattr(os, "fchmod"):  # Windows keeps the folder's access list
        return
    with contextlib.suppress(OSError):
        os.fchown(handle, -1, real.stat().st_gid)
    os.fchmod(handle, mode)


def sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where folders can be synced."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def mode_of(real: Path) -> int | None:
    """The permission bits of a file; None where there is none."""
    try:
        return stat.S_IMODE(real.stat().st_mode)
    except FileNotFoundError:
        return None


def sweep(folder: Path, mark: str) -> None:
    """Remove temporary files of ours that a kill left; under the lock nobody else uses them."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.name.startswith(f"{TEMP_PREFIX}{mark}"):
                path.unlink(missing_ok=True)


def remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders that we made, deepest first, as far as nothing else lies in them."""
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            folder.rmdir()
