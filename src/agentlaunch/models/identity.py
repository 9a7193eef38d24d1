"""Which weights are these? A stable name of a file's content that is cheap to get."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

SAMPLE_BYTES = 1 << 20

_BLOB = re.compile(r"sha256-[0-9a-f]{64}")


def digest_of(path: Path) -> str:
    """`sha256:<hex>` of a blob in a store, from its name; `sample:<hex>` of any other file.

    A sample is the SHA-256 of the size (as text), the first and the last MiB: the header with every
    shape and the end of the last tensor, read in milliseconds where the whole file takes minutes.
    It is no proof of integrity. Raises `OSError` when the file cannot be read.
    """
    if path.parent.name == "blobs" and _BLOB.fullmatch(path.name):
        return path.name.replace("-", ":")
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        sample = hashlib.sha256(f"{size}:".encode() + stream.read(SAMPLE_BYTES))
        stream.seek(max(0, size - SAMPLE_BYTES))
        sample.update(stream.read(SAMPLE_BYTES))
    return f"sample:{sample.hexdigest()}"
