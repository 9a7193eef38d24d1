"""The package that the embedded engine is: xllamacpp from PyPI, pinned, with its files' digests."""

from __future__ import annotations

import os
import sys

from agentlaunch.managed import Package
from agentlaunch.managed.pypi import PYTHON

VERSION = "2026.10.11549"

# Of each wheel of this version: bytes to download, bytes unpacked, sha256 (read off the files).
_WHEELS: dict[tuple[str, str], tuple[int, int, str]] = {
    ("linux", "x86_64"): (
        33_827_498,
        106_041_065,
        "c54e7d13520ecc989c63dc99d55de3065e2f343a91f43f053d16b5e62077c261",
    ),
    ("linux", "aarch64"): (
        32_870_844,
        104_309_115,
        "e2a3e79e775515de4ad197e667f874070446ef9ac9cf2044bc9866bc4c72289e",
    ),
    ("darwin", "arm64"): (
        12_152_949,
        32_052_162,
        "4ecda27a308b2403aa13c9d04b270befab95edc556c24ed00b2f8a98bd7f6781",
    ),
    ("darwin", "x86_64"): (
        11_523_198,
        27_707_563,
        "1f2a08052bb653659bcf1bedbbaf86b97f41dd46aa2763d596d7f27c5d89a689",
    ),
    ("win32", "AMD64"): (
        8_733_245,
        16_922_027,
        "1b76730ab9af47ec8d05a3d55154305fa92642f694dd9ad87d9e5a5e9956a59d",
    ),
}
_VENV_BYTES = 20_000_000
"""The environment around the wheel, nearly all of it pip (seen: 13 to 23 MB, Python 3.10-3.13)."""


def _package() -> Package:
    machine = os.uname().machine if hasattr(os, "uname") else "AMD64"
    download, unpacked, _digest = _WHEELS.get((sys.platform, machine), _WHEELS["linux", "x86_64"])
    return Package(
        kind="pypi",
        name="xllamacpp",
        version=VERSION,
        size_bytes=unpacked + _VENV_BYTES,
        download_bytes=download,
        source=f"PyPI: xllamacpp {VERSION} (llama.cpp)",
        programs=(("python", PYTHON),),
        hashes=tuple(digest for _download, _unpacked, digest in _WHEELS.values()),
    )


PACKAGE = _package()
