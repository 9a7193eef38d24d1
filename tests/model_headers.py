"""Headers of models for sparse files that an engine can size: true shapes and invented ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import headers_dense
import headers_recurrent
import headers_routed
from gguf_writer import write_gguf
from header_parts import Model

HEADERS: Mapping[str, Callable[[], Model]] = {
    **headers_dense.TRUE,
    **headers_routed.TRUE,
    **headers_recurrent.TRUE,
}
"""A model's name → its header; true sizes as its maker publishes them."""

INVENTED: Mapping[str, Callable[[], Model]] = {
    **headers_dense.INVENTED,
    **headers_routed.INVENTED,
    **headers_recurrent.INVENTED,
}
"""Shapes that no maker publishes: odd heads, windows, experts, patterns."""

ALL = {**HEADERS, **INVENTED}

FURTHER_APART = {"mimo 2 flash": 20}
"""Headers whose compute buffer is known to be further from the engine's, and how many percent."""


def write_header(name: str, folder: Path) -> Path:
    """Write one of `ALL` as a sparse file."""
    metadata, tensors = ALL[name]()
    return write_gguf(folder / f"{name.replace(' ', '-')}.gguf", metadata, tensors)
