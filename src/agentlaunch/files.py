"""Files of our own: private, written whole or not at all, locked while two of us want them.

Nothing here ever touches a file of the user's; those edits belong to `changes`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentlaunch.errors import Refused

TEMP_PREFIX = ".agentlaunch-"
TAIL_BYTES = 16_384


def private_dir(path: Path) -> Path:
    """Make a folder that only this user can enter (0700), with its parents; give it back.

    Raises `Refused` when the folder is a link or belongs to somebody else: on a shared temporary
    folder another user could have put it there first.
    """
    with contextlib.suppress(FileExistsError):  # a file or a broken link
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_own(path):
        raise Refused(
            f"{path} is not a folder of this user's",
            hint="remove it, or point XDG_RUNTIME_DIR at a folder of your own",
            code="foreign-folder",
        )
    if hasattr(os, "getuid") and path.lstat().st_mode & 0o077:
        path.chmod(0o700)
    return path


def private_tree(root: Path, path: Path) -> Path:
    """`private_dir` for each folder from `root` down to `path`; raises `Refused` as it does.

    Who owns a folder above ours could put another in its place later.
    """
    folder = private_dir(root)
    for name in path.relative_to(root).parts:
        folder = private_dir(folder / name)
    return folder


def is_own(folder: Path) -> bool:
    """Is it a folder, no link, that belongs to this user?"""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and (
        not hasattr(os, "getuid") or status.st_uid == os.getuid()
    )


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a whole file or leave the old one: temp file beside it, fsync, rename."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=TEMP_PREFIX, dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: object, *, mode: int = 0o600) -> None:
    """Write a JSON document atomically, readable by this user alone."""
    write_atomic(path, json_bytes(value), mode=mode)


def json_bytes(value: object) -> bytes:
    """A JSON document as our files hold it."""
    return json.dumps(value, indent=1).encode() + b"\n"


def write_given(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write to a place that the user named: a file atomically, also behind a link; what is there
    and no plain file (a pipe, a device) is written into and stays what it is."""
    try:
        plain = stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        plain = True
    if plain and path.absolute().parts[1:2] not in {("dev",), ("proc",)}:
        write_atomic(Path(os.path.realpath(path)), data, mode=mode)
        return
    # A pipe that nobody reads would make us wait for ever.
    with os.fdopen(os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0)), "wb") as stream:
        stream.write(data)


def read_plain(path: Path, most_bytes: int = -1) -> bytes:
    """A plain file's bytes; `OSError` for what is none: a pipe would make us wait for ever."""

    def opened(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    with open(path, "rb", opener=opened) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", str(path))
        return stream.read(most_bytes)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object of ours, or None when it is absent, cut short or not an object."""
    try:
        value = json.loads(read_plain(path))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def tail(path: Path) -> str:
    """The last 16 KiB of a log as text; "" when there is none or it cannot be read."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - TAIL_BYTES))
            return stream.read().decode("utf-8", "replace")
    except OSError:
        return ""


@contextlib.contextmanager
def locked(path: Path, *, timeout_s: float, what: str) -> Iterator[None]:
    """Hold a lock file while the body runs; raise `Refused` when another of us keeps it too long.

    The lock is the operating system's, so a process that was killed leaves none behind.
    """
    import filelock

    private_dir(path.parent)
    try:
        with filelock.FileLock(path, timeout=timeout_s, mode=0o600):
            yield
    except filelock.Timeout as error:
        raise Refused(
            f"another agentlaunch is busy with {what}",
            hint="wait for it to finish, then run the same command again",
            code="locked",
        ) from error


def disk_free_bytes(path: Path) -> int | None:
    """Free bytes where `path` lies or will lie, or None when that cannot be told."""
    for folder in (path, *path.parents):
        try:
            return shutil.disk_usage(folder).free
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue  # not there yet, or closed to us: the nearest folder above lies on that disk
        except OSError:
            return None
    return None


def tree_bytes(path: Path) -> int:
    """Bytes of all files under a folder; hard links once, vanished files not at all."""
    total = 0
    seen: set[tuple[int, int]] = set()
    for root, _folders, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                status = (Path(root) / name).lstat()
                key = (status.st_dev, status.st_ino)
                if key not in seen:
                    seen.add(key)
                    total += status.st_size
    return total
