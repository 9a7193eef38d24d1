"""Replies of Ollama's /api/show, composed from a model's header as its documentation says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentlaunch.models.gguf_header import BLOCKS
from gguf_writer import TensorSpec

KNOWN_TO_OLLAMA = {
    "F32", "F16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q8_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K",
    "Q6_K", "Q8_K", "F64", "BF16", "MXFP4",
}  # fmt: skip
"""Every other tensor type is called `unknown` (Ollama 0.33, fs/ggml/type.go)."""


def reply_of(
    metadata: Mapping[str, Any],
    tensors: Sequence[TensorSpec],
    *,
    capabilities: Sequence[str] = ("completion", "tools"),
    quant: str = "Q8_0",
    verbose: bool = True,
) -> dict[str, Any]:
    """The reply for a model with this header: name and template are taken out of `model_info`, the
    number of parameters is put in, and without `verbose` every list is null."""
    info = {
        key: value if verbose or not isinstance(value, list) else None
        for key, value in metadata.items()
        if key not in ("general.name", "tokenizer.chat_template")
    }
    count = 0
    rows = []
    for name, dims, kind in tensors:
        elements = 1
        for extent in dims:
            elements *= extent
        count += elements
        title = kind if isinstance(kind, str) else BLOCKS[kind][0]
        known = title if title in KNOWN_TO_OLLAMA else "unknown"
        rows.append({"name": name, "type": known, "shape": list(dims)})
    return {
        "license": "a licence",
        "modelfile": "# Modelfile",
        "parameters": "num_ctx                        8192",
        "template": "{{ .Prompt }}",
        "details": {
            "parent_model": "",
            "format": "gguf",
            "family": metadata["general.architecture"],
            "families": [metadata["general.architecture"]],
            "parameter_size": "1B",
            "quantization_level": quant,
        },
        "model_info": {**info, "general.parameter_count": count},
        "tensors": rows,
        "capabilities": list(capabilities),
        "modified_at": "2026-10-01T10:00:00Z",
    }
