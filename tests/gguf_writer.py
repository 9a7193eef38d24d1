"""Write small but true .gguf files for tests: real header, tensor data left as holes."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentlaunch.models.gguf_header import BLOCKS

TYPE_IDS = {name: number for number, (name, _, _) in BLOCKS.items()}
ALIGNMENT = 32

TensorSpec = tuple[str, Sequence[int], "str | int"]


def text(value: str) -> bytes:
    """A length-prefixed string."""
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def typed(value: Any) -> bytes:
    """A value with its type: bool, int (u32, or u64 when large), float (f32), str, list of one."""
    if isinstance(value, (list, tuple)):
        first = typed(value[0]) if value else struct.pack("<I", 4)
        body = b"".join(typed(item)[4:] for item in value)
        return struct.pack("<I", 9) + first[:4] + struct.pack("<Q", len(value)) + body
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        if value < 0:
            return struct.pack("<Ii", 5, value)
        return struct.pack("<II", 4, value) if value < 1 << 32 else struct.pack("<IQ", 10, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    return struct.pack("<I", 8) + text(value)


def header_bytes(
    metadata: Mapping[str, Any], tensors: Sequence[TensorSpec], *, version: int = 3
) -> tuple[bytes, int]:
    """The header, padded to where the data begins, and the size of the data."""
    parts = [b"GGUF", struct.pack("<IQQ", version, len(tensors), len(metadata))]
    for key, value in metadata.items():
        parts += [text(key), typed(value)]
    offset = 0
    for name, dims, kind in tensors:
        number = TYPE_IDS[kind] if isinstance(kind, str) else kind
        _, block, block_bytes = BLOCKS.get(number, ("", 1, 1))
        parts += [
            text(name),
            struct.pack("<I", len(dims)),
            struct.pack(f"<{len(dims)}Q", *dims),
            struct.pack("<IQ", number, offset),
        ]
        size = dims[0] // block * block_bytes
        for extent in dims[1:]:
            size *= extent
        offset += -(-size // ALIGNMENT) * ALIGNMENT
    head = b"".join(parts)
    return head + b"\0" * (-len(head) % ALIGNMENT), offset


def write_gguf(
    path: Path,
    metadata: Mapping[str, Any],
    tensors: Sequence[TensorSpec],
    *,
    cut_bytes: int = 0,
) -> Path:
    """Write a .gguf whose tensor data is a hole; `cut_bytes` are missing at its end."""
    head, data_bytes = header_bytes(metadata, tensors)
    with path.open("wb") as stream:
        stream.write(head)
        stream.truncate(len(head) + data_bytes - cut_bytes)
    return path


def small_llama(
    *, layers: int = 2, template: str | None = None, context: int = 8192
) -> tuple[dict[str, Any], list[TensorSpec]]:
    """Metadata and tensors of a tiny model of the llama family, tied head, Q8_0."""
    width, ff, vocab, kv = 64, 128, 512, 32
    metadata: dict[str, Any] = {
        "general.architecture": "llama",
        "general.name": "Tiny Test",
        "general.file_type": 7,
        "llama.block_count": layers,
        "llama.context_length": context,
        "llama.embedding_length": width,
        "llama.feed_forward_length": ff,
        "llama.attention.head_count": 2,
        "llama.attention.head_count_kv": 1,
        "llama.vocab_size": vocab,
        "tokenizer.ggml.tokens": [f"t{i}" for i in range(vocab)],
    }
    if template is not None:
        metadata["tokenizer.chat_template"] = template
    tensors: list[TensorSpec] = [("token_embd.weight", (width, vocab), "Q8_0")]
    for i in range(layers):
        tensors += [
            (f"blk.{i}.attn_norm.weight", (width,), "F32"),
            (f"blk.{i}.attn_q.weight", (width, width), "Q8_0"),
            (f"blk.{i}.attn_k.weight", (width, kv), "Q8_0"),
            (f"blk.{i}.attn_v.weight", (width, kv), "Q8_0"),
            (f"blk.{i}.attn_output.weight", (width, width), "Q8_0"),
            (f"blk.{i}.ffn_norm.weight", (width,), "F32"),
            (f"blk.{i}.ffn_gate.weight", (width, ff), "Q8_0"),
            (f"blk.{i}.ffn_up.weight", (width, ff), "Q8_0"),
            (f"blk.{i}.ffn_down.weight", (ff, width), "Q8_0"),
        ]
    tensors.append(("output_norm.weight", (width,), "F32"))
    return metadata, tensors
