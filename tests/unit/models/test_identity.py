"""A file's name for measurements: that of its blob, or of a sample of its content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from agentlaunch.models.identity import SAMPLE_BYTES, digest_of

HEX = "ab" * 32


def test_a_blob_of_a_store_is_known_by_its_name_unread(tmp_path: Path) -> None:
    assert digest_of(tmp_path / "blobs" / f"sha256-{HEX}") == f"sha256:{HEX}"


def test_a_name_like_a_blob_elsewhere_is_read(tmp_path: Path) -> None:
    file = tmp_path / f"sha256-{HEX}"
    file.write_bytes(b"x")
    assert digest_of(file).startswith("sample:")


def test_a_small_file_is_known_by_size_and_content(tmp_path: Path) -> None:
    file = tmp_path / "a.gguf"
    file.write_bytes(b"GGUF")
    assert digest_of(file) == "sample:" + hashlib.sha256(b"4:GGUFGGUF").hexdigest()


def test_a_copy_has_the_same_name_and_a_change_at_either_end_another(tmp_path: Path) -> None:
    content = bytearray(3 * SAMPLE_BYTES)
    names = []
    for number, at in enumerate((None, None, 5, len(content) - 5)):
        file = tmp_path / f"{number}.gguf"
        changed = bytearray(content)
        if at is not None:
            changed[at] = 1
        file.write_bytes(changed)
        names.append(digest_of(file))
    assert names[0] == names[1]
    assert len(set(names)) == 3


def test_a_longer_file_with_the_same_ends_has_another_name(tmp_path: Path) -> None:
    one, other = tmp_path / "1.gguf", tmp_path / "2.gguf"
    one.write_bytes(bytes(3 * SAMPLE_BYTES))
    other.write_bytes(bytes(4 * SAMPLE_BYTES))
    assert digest_of(one) != digest_of(other)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digest_of(tmp_path / "none.gguf")
