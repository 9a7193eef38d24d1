"""Header of a .gguf: metadata and tensor list, from a file or from its first bytes, without trust.

Only the header is read. Long arrays (the vocabulary) are stepped over, every count has a bound, and
whatever is wrong ends in `BadGguf`. What the header means is the business of `gguf`.
Format: ggml docs/gguf.md; block sizes: PyPI gguf 0.19.0 (constants.GGML_QUANT_SIZES).
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn, TypeAlias

from agentlaunch.errors import AgentlaunchError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_HEADER_BYTES = 64 << 20
"""A vocabulary of 260,000 words makes a header of about 12 MB."""
MAX_PAIRS = 1 << 16
MAX_TENSORS = 1 << 18
MAX_KEY_BYTES = 1 << 16
MAX_TEXT_BYTES = 4 << 20
MAX_ARRAY_KEPT = 4096
MAX_DIMS = 4
MAX_ALIGNMENT = 1 << 20
READ_BYTES = 1 << 20
TEXTS_AT_ONCE = 4

BLOCKS: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
}
"""ggml type → name, values in a block, bytes of a block."""

_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_TEXT, _ARRAY = 8, 9
_U32, _U64 = _SCALARS[4], _SCALARS[10]


class BadGguf(AgentlaunchError):
    """A .gguf that is broken, cut short, or not one at all."""

    code = "bad-gguf"


@dataclass(frozen=True, slots=True)
class NeedMore:
    """The header is longer than what was given; ask again with at least this many first bytes."""

    at_least_bytes: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """An array that was stepped over: only how many elements it has."""

    length: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor; `size_bytes` is unpadded, None for a type that we do not know."""

    name: str
    dims: tuple[int, ...]
    type_name: str
    size_bytes: int | None
    offset_bytes: int


Value: TypeAlias = str | int | float | bool | tuple[int | float | bool, ...] | Skipped


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the tensor data. `file_bytes` is the least that a whole file has."""

    metadata: dict[str, Value]
    tensors: tuple[Tensor, ...]
    file_bytes: int


def parse_header(data: bytes, *, name: str) -> Header | NeedMore:
    """Read the header from the first bytes of a file; `name` is for the error text.

    Raises `BadGguf`. Gives `NeedMore` when the header goes on behind `data`.
    """
    try:
        return _parse(_Window(io.BytesIO(data), name))
    except _EndOfInput as end:
        return NeedMore(max(end.wanted_bytes, len(data) + READ_BYTES))


def read_header(path: Path) -> Header:
    """Read the header of a file; raises `BadGguf` when it is broken, unreadable or cut short."""
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            header = _parse(_Window(stream, path.name))
    except _EndOfInput as end:
        raise _cut(path.name, "inside its header") from end
    except OSError as error:
        raise BadGguf(
            f"cannot read {path}: {error.strerror or error}",
            hint="name the path of a .gguf file that you may read",
            code="unreadable-gguf",
        ) from error
    if size < header.file_bytes:
        raise _cut(path.name, f"{size:,} of {header.file_bytes:,} bytes are there")
    return header


def _cut(name: str, how: str) -> BadGguf:
    return BadGguf(
        f"{name} is cut short: {how}",
        hint="the download did not finish: download the file again, or resume it",
        code="cut-gguf",
    )


class _EndOfInput(Exception):
    def __init__(self, wanted_bytes: int) -> None:
        super().__init__(wanted_bytes)
        self.wanted_bytes = wanted_bytes


class _Window:
    """A moving piece of the input, so that a vocabulary is never whole in memory."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name = name
        self._stream = stream
        self._piece = b""
        self._at = 0
        self._start = 0

    @property
    def position(self) -> int:
        return self._start + self._at

    def bad(self, what: str) -> NoReturn:
        raise BadGguf(
            f"{self.name} is not a usable .gguf: {what}",
            hint="download the file again, or choose another one",
        )

    def take(self, count: int) -> bytes:
        """Exactly `count` bytes, which the caller has bounded."""
        end = self._at + count
        if end > len(self._piece):
            self._refill(count)
            end = count
        taken = self._piece[self._at : end]
        self._at = end
        return taken

    def skip(self, count: int) -> None:
        """Step over bytes without keeping them."""
        if self.position + count > MAX_HEADER_BYTES:
            self.bad("its header does not end")
        left = self._at + count - len(self._piece)
        if left <= 0:
            self._at += count
            return
        self._start += len(self._piece)
        self._piece, self._at = b"", 0
        while left:
            step = len(self._stream.read(min(left, READ_BYTES)))
            if not step:
                raise _EndOfInput(self._start + left)
            self._start += step
            left -= step

    def skip_texts(self, length: int) -> None:
        """Step over that many texts, each with its length before it."""
        while length:
            length -= self._skip_inside(length)
            for _ in range(min(length, TEXTS_AT_ONCE)):  # one of these is cut by the edge
                self.skip(self.count(_U64, MAX_TEXT_BYTES, "bytes of text"))
                length -= 1

    def _skip_inside(self, length: int) -> int:
        """Step over texts as far as this piece goes; how many they were.

        A vocabulary has hundreds of thousands, and this loop is most of the time that a header
        takes: so four at a time, and the edge of the piece is found by reading beyond it.
        """
        piece, at, done, unpack = self._piece, self._at, 0, _U64.unpack_from
        edge, enough = len(piece), length - TEXTS_AT_ONCE
        with contextlib.suppress(struct.error, OverflowError):
            while done <= enough:
                after = at + 8 + unpack(piece, at)[0]
                after += 8 + unpack(piece, after)[0]
                after += 8 + unpack(piece, after)[0]
                after += 8 + unpack(piece, after)[0]
                if after > edge:
                    break
                at = after
                done += TEXTS_AT_ONCE
        self._at = at
        return done

    def _refill(self, count: int) -> None:
        if self.position + count > MAX_HEADER_BYTES:
            self.bad("its header does not end")
        rest = self._piece[self._at :]
        self._start += self._at
        self._piece = rest + self._stream.read(max(READ_BYTES, count - len(rest)))
        self._at = 0
        if len(self._piece) < count:
            raise _EndOfInput(self._start + count)

    def scalar(self, kind: struct.Struct) -> int | float | bool:
        value: int | float | bool = kind.unpack(self.take(kind.size))[0]
        return value

    def count(self, kind: struct.Struct, most: int, what: str) -> int:
        value = int(self.scalar(kind))
        if value > most:
            self.bad(f"{value:,} {what}")
        return value

    def text(self, most: int, what: str) -> str:
        return self.take(self.count(_U64, most, f"bytes of {what}")).decode("utf-8", "replace")


def _parse(window: _Window) -> Header:
    magic = window.take(4)
    if magic != MAGIC:
        window.bad("it does not begin with the letters GGUF")
    version = int(window.scalar(_U32))
    if version not in VERSIONS:
        if int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS:
            window.bad("it was written for a big-endian machine")
        window.bad(f"format version {version}, and only 2 and 3 are known")
    tensor_count = window.count(_U64, MAX_TENSORS, "tensors")
    pair_count = window.count(_U64, MAX_PAIRS, "metadata entries")
    metadata: dict[str, Value] = {}
    for _ in range(pair_count):
        key = window.text(MAX_KEY_BYTES, "a metadata key")
        if key in metadata:
            window.bad(f"the metadata key {key[:80]!r} stands there twice")
        metadata[key] = _value(window, int(window.scalar(_U32)), key)
    tensors = tuple(_tensor(window) for _ in range(tensor_count))
    if len({row.name for row in tensors}) != tensor_count:
        window.bad("two tensors have the same name")
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 0 < alignment <= MAX_ALIGNMENT or alignment % 8:
        window.bad("its alignment makes no sense")
    start = -(-window.position // alignment) * alignment
    ends = (start + row.offset_bytes + (row.size_bytes or 0) for row in tensors)
    return Header(metadata, tensors, max(ends, default=window.position))


def _value(window: _Window, kind: int, key: str) -> Value:
    if kind in _SCALARS:
        return window.scalar(_SCALARS[kind])
    if kind == _TEXT:
        return window.text(MAX_TEXT_BYTES, "text")
    if kind != _ARRAY:
        window.bad(f"{key[:80]!r} has the unknown type {kind}")
    element = int(window.scalar(_U32))
    length = window.count(_U64, MAX_HEADER_BYTES, "array elements")
    if element in _SCALARS:
        size = _SCALARS[element].size
        if length > MAX_ARRAY_KEPT:
            window.skip(length * size)
            return Skipped(length)
        data = window.take(length * size)
        return tuple(row[0] for row in _SCALARS[element].iter_unpack(data))
    if element == _TEXT:
        window.skip_texts(length)
        return Skipped(length)
    nested = "arrays, which no model has" if element == _ARRAY else f"the unknown type {element}"
    return window.bad(f"{key[:80]!r} is a list of {nested}")


def _tensor(window: _Window) -> Tensor:
    name = window.text(MAX_KEY_BYTES, "a tensor name")
    dims = tuple(
        int(window.scalar(_U64)) for _ in range(window.count(_U32, MAX_DIMS, "dimensions"))
    )
    if not dims:
        window.bad(f"tensor {name[:80]!r} has no dimensions")
    elements = math.prod(dims)
    if not 0 < elements < 1 << 63:
        window.bad(f"tensor {name[:80]!r} has {elements:,} elements")
    kind = int(window.scalar(_U32))
    offset = int(window.scalar(_U64))
    if kind not in BLOCKS:
        return Tensor(name, dims, f"type {kind}", None, offset)
    type_name, block, block_bytes = BLOCKS[kind]
    if dims[0] % block:
        window.bad(f"a row of tensor {name[:80]!r} is not a multiple of {block} values")
    return Tensor(name, dims, type_name, elements // block * block_bytes, offset)
