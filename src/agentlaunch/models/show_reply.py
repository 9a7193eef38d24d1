"""The reply of Ollama's `POST /api/show` in a .json file: a model to size without its weights.

`model_info` has the keys of a .gguf header and `tensors` its tensors, so `gguf` says what they mean
(Ollama 0.33: server/routes.go, fs/ggml). Whatever is wrong ends in `BadReply`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from agentlaunch.errors import AgentlaunchError
from agentlaunch.models import gguf
from agentlaunch.models.gguf_header import (
    BLOCKS,
    MAX_ARRAY_KEPT,
    MAX_DIMS,
    MAX_PAIRS,
    MAX_TENSORS,
    BadGguf,
    Header,
    Skipped,
    Tensor,
    Value,
)

MAX_REPLY_BYTES = 128 << 20
"""A verbose reply holds the whole vocabulary: some megabytes."""
MAX_PARAMETERS = 1 << 50
MAX_INTEGER = 1 << 64
ALIGNMENT = 32
MIX_PERCENT = 110
"""A mixture such as Q4_K_M keeps some tensors in a heavier type; used where none are listed."""

ASK_AGAIN = (
    'curl http://localhost:11434/api/show -d \'{"model":"NAME","verbose":true}\' > reply.json'
)

TOKENS = "tokenizer.ggml.tokens"
EMBEDDING = "token_embd.weight"

_TYPES = {name: (block, block_bytes) for name, block, block_bytes in BLOCKS.values()}


class BadReply(AgentlaunchError):
    """A .json that is no reply of /api/show, or one that leaves out what a size needs."""

    code = "bad-show-reply"


class ListsLeftOut(BadReply):
    """It lacks a list that a size needs, as a reply that is not verbose does."""


@dataclass(frozen=True, slots=True)
class ShowReply:
    """A model as a server describes it; `capabilities` is None when the reply has no such list."""

    file: gguf.ModelFile
    capabilities: frozenset[str] | None


def read_reply(path: Path) -> ShowReply:
    """Read a saved reply; raises `BadReply`."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_REPLY_BYTES + 1)
    except (OSError, ValueError) as error:
        raise BadReply(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}",
            hint="name the path of a .json file that you may read",
        ) from error
    return parse_reply(data, name=path.name)


def parse_reply(data: bytes, *, name: str, published_bytes: int | None = None) -> ShowReply:
    """The same from bytes; `name` is for error texts and, since a reply has none, the model's.

    `published_bytes` is the whole size, where the server's list tells it: used where no tensors are
    listed. Raises `ListsLeftOut` where a verbose reply would do, and `BadReply`.
    """
    if len(data) > MAX_REPLY_BYTES:
        _bad(name, f"it has more than {MAX_REPLY_BYTES >> 20} MiB")
    try:
        reply = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise _error(name, "it is not JSON") from error
    if not isinstance(reply, dict):
        _bad(name, "it is not a JSON object")
    info = reply.get("model_info")
    if reply.get("remote_host") or reply.get("remote_model"):
        raise BadReply(
            f"{name} describes a model that runs in the cloud",
            hint="it needs no memory here; ask for a model that is downloaded",
        )
    if not isinstance(info, dict) or not info:
        said = reply.get("error")
        _bad(name, f"the server said: {said}" if isinstance(said, str) else "it has no model_info")
    return _described(name, reply, info, published_bytes)


def _described(
    name: str, reply: Mapping[str, Any], info: Mapping[str, Any], published_bytes: int | None
) -> ShowReply:
    if len(info) > MAX_PAIRS:
        _bad(name, f"{len(info):,} metadata entries")
    details = reply.get("details")
    details = details if isinstance(details, dict) else {}
    if details.get("format") not in (None, "", "gguf"):  # shapes run the other way there
        _bad(name, "it describes weights that are no GGUF")
    tensors = _tensors(name, reply.get("tensors"))
    metadata: dict[str, Value] = {}
    left_out = []
    for key, raw in info.items():
        if raw is None or raw == []:  # what a reply that is not verbose does to lists
            left_out.append(key)
            metadata[key] = Skipped(0)
        elif (value := _value(raw)) is not None:
            metadata[key] = value
    if not _vocabulary(metadata):  # the embedding has one row for each word
        metadata.pop(TOKENS, None)
        words = [row.dims[1] for row in tensors if row.name == EMBEDDING and len(row.dims) == 2]
        if words:
            metadata[TOKENS] = Skipped(words[0])
    header = Header(metadata, tensors, sum(_padded(row.size_bytes or 0) for row in tensors))
    try:
        file = gguf.describe(header, name=name)
    except BadGguf as error:
        lists = [key for key in left_out if key.startswith(f"{info.get('general.architecture')}.")]
        if lists:
            what = _error(name, f"it leaves out the lists {', '.join(lists[:4])}")
            raise ListsLeftOut(what.message, hint=what.hint) from error
        raise BadReply(error.message, hint=_hint()) from error
    capabilities = _capabilities(reply.get("capabilities"))
    takes_tools = file.takes_tools if capabilities is None else "tools" in capabilities
    quant = details.get("quantization_level")
    if not isinstance(quant, str) or _bits(quant) is None:
        quant = file.quant
    file = replace(file, takes_tools=takes_tools, quant=quant)
    return ShowReply(_sized(name, file, header, info, published_bytes), capabilities)


def _sized(
    name: str,
    file: gguf.ModelFile,
    header: Header,
    info: Mapping[str, Any],
    published_bytes: int | None,
) -> gguf.ModelFile:
    """With its parameters and, where tensors do not tell its bytes, an estimate of them."""
    if file.shape.weights is not None:
        return file
    values = sum(math.prod(row.dims) for row in header.tensors if row.size_bytes is None)
    if not header.tensors:
        values = _count(info.get("general.parameter_count"))
        file = replace(file, shape=replace(file.shape, parameters=values or None))
        if not file.shape.experts_total:
            file = replace(file, shape=replace(file.shape, active_parameters=values or None))
    if published_bytes:
        return replace(file, size_bytes=published_bytes)
    bits = _bits(file.quant or "")
    if not values or bits is None:
        _bad(name, "neither its tensors nor its parameters and quant tell how large it is")
    return replace(file, size_bytes=header.file_bytes + int(values * bits / 8))


def _bits(quant: str) -> float | None:
    """Bits of one value in a file of that quant; None for a name that we do not know."""
    if quant in _TYPES:
        block, block_bytes = _TYPES[quant]
        return 8 * block_bytes / block
    if quant not in gguf.FILE_TYPES.values():
        return None
    base = quant.rpartition("_")[0]  # Q4_K_M → Q4_K; IQ3_M → IQ3, the heaviest of which counts
    alike = [_bits(name) or 0.0 for name in _TYPES if name == base or name.startswith(f"{base}_")]
    return max(alike) * MIX_PERCENT / 100 if alike else None


def _value(raw: object) -> Value | None:
    """One value of `model_info` as a header would have it; None for what no header has."""
    if isinstance(raw, str):
        return raw
    if isinstance(raw, list):
        rows = [_number(row) for row in raw[:MAX_ARRAY_KEPT]]
        if len(raw) > MAX_ARRAY_KEPT or any(row is None for row in rows):
            return Skipped(len(raw))
        return tuple(row for row in rows if row is not None)
    return _number(raw)


def _number(raw: object) -> int | float | bool | None:
    if isinstance(raw, float) and raw.is_integer() and abs(raw) < MAX_INTEGER:
        return int(raw)  # another tool that wrote the reply again
    if isinstance(raw, float):
        return raw
    return raw if isinstance(raw, int) and abs(raw) < MAX_INTEGER else None


def _tensors(name: str, raw: object) -> tuple[Tensor, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list) or len(raw) > MAX_TENSORS:
        _bad(name, "`tensors` is no list of tensors")
    rows = []
    offset = 0
    for row in raw:
        tensor = _tensor(name, row, offset)
        offset += _padded(tensor.size_bytes or 0)
        rows.append(tensor)
    if len({row.name for row in rows}) != len(rows):
        _bad(name, "two tensors have the same name")
    return tuple(rows)


def _tensor(name: str, raw: object, offset: int) -> Tensor:
    """Name, type and shape, whose first number is the length of a row as in a .gguf; a type that
    Ollama itself does not know is called `unknown` there."""
    row = raw if isinstance(raw, dict) else {}
    title, kind, shape = row.get("name"), row.get("type"), row.get("shape")
    if not isinstance(title, str) or not isinstance(kind, str) or not isinstance(shape, list):
        _bad(name, "a tensor lacks its name, type or shape")
    dims = tuple(_count(extent) for extent in shape)
    elements = math.prod(dims)
    if not 0 < len(dims) <= MAX_DIMS or not 0 < elements < 1 << 63:
        _bad(name, f"the shape of tensor {title[:80]!r} makes no sense")
    if kind not in _TYPES:
        return Tensor(title, dims, kind, None, offset)
    block, block_bytes = _TYPES[kind]
    if dims[0] % block:
        _bad(name, f"a row of tensor {title[:80]!r} is not a multiple of {block} values")
    return Tensor(title, dims, kind, elements // block * block_bytes, offset)


def _capabilities(raw: object) -> frozenset[str] | None:
    if not isinstance(raw, list):
        return None
    return frozenset(word for word in raw if isinstance(word, str))


def _vocabulary(metadata: Mapping[str, Value]) -> int:
    words = metadata.get(TOKENS)
    return words.length if isinstance(words, Skipped) else 0


def _count(raw: object) -> int:
    """A count that is one, else 0."""
    number = _number(raw)
    whole = isinstance(number, int) and not isinstance(number, bool)
    return int(number) if number and whole and 0 < number <= MAX_PARAMETERS else 0


def _padded(size_bytes: int) -> int:
    return -(-size_bytes // ALIGNMENT) * ALIGNMENT


def _hint() -> str:
    return f"save the reply again: {ASK_AGAIN}"


def _error(name: str, what: str) -> BadReply:
    return BadReply(f"{name} is not a usable reply of Ollama's /api/show: {what}", hint=_hint())


def _bad(name: str, what: str) -> NoReturn:
    raise _error(name, what)
