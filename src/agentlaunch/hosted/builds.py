"""What vLLM serves of a model: repository, precision and the bytes of its weights. Pure, from data.

The catalog's own builds are GGUF files for small machines; the shapes are those of the same models.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agentlaunch.errors import ModelUnavailable
from agentlaunch.models import catalog
from agentlaunch.models.shape import LayerCache, ModelShape

Precision = Literal["bf16", "fp8", "fp8-block", "mxfp4", "awq"]
"""`fp8` has a scale for each tensor or channel, `fp8-block` one for 128x128 weights."""
TITLES: Mapping[Precision, str] = {
    "bf16": "BF16",
    "fp8": "FP8",
    "fp8-block": "FP8",
    "mxfp4": "MXFP4",
    "awq": "AWQ 4-bit",
}
BLOCKS: Mapping[Precision, int] = {"bf16": 1, "fp8": 1, "fp8-block": 128, "mxfp4": 1, "awq": 128}
"""Widths of a part of a tensor must be a multiple of this. vLLM pads MXFP4 itself."""

BUILDS_FILE = Path(__file__).with_name("builds.json")

_BF16_BYTES = 2
_AWQ_BYTES = (4 + (16 + 4) / 128) / 8
"""Four bits, and for each 128 of them a scale in 16 bits and a zero point in 4."""
_MXFP4_BYTES = 17 / 32
"""A block of 32: sixteen bytes and a scale of one."""


@dataclass(frozen=True, slots=True)
class Build:
    """A repository on Hugging Face that vLLM serves as it is."""

    model: str
    """The model's id in the catalog, or its name where the catalog does not have it."""
    repo: str
    precision: Precision
    shape: ModelShape
    context_max_tokens: int
    shared_expert_width: int = 0
    """Of an expert that every token uses: it is split like a dense part."""
    source: str = ""

    @property
    def served_name(self) -> str:
        """A name without a slash, as every agent takes it: the model's, without quantisation."""
        family, _, tag = self.model.partition(":")
        size = tag if tag and not tag.lower().startswith("q") else ""
        return "-".join(part for part in (family, size) if part).lower()

    @property
    def weights_bytes(self) -> int:
        """Bytes of all weights, from the number of parameters: embedding and head stay in BF16, and
        of MXFP4 builds everything but the experts. A vision part counts as the rest does."""
        shape, parameters = self.shape, self.shape.parameters or 0
        words = (shape.vocab_size or 0) * (shape.embedding_length or 0)
        kept = words if shape.tied else 2 * words
        if self.precision == "bf16":
            return _BF16_BYTES * parameters
        if self.precision == "mxfp4":
            experts = expert_parameters(shape)
            return round(experts * _MXFP4_BYTES + (parameters - experts) * _BF16_BYTES)
        each = _AWQ_BYTES if self.precision == "awq" else 1
        return round((parameters - kept) * each + kept * _BF16_BYTES)


def expert_parameters(shape: ModelShape) -> int:
    """Parameters of all routed experts."""
    width = shape.expert_width or shape.embedding_length or 0
    one = shape.expert_matrices * width * shape.expert_feed_forward_length
    return len(shape.expert_layers) * shape.experts_total * one


@functools.cache
def load() -> tuple[Build, ...]:
    """The shipped table, read once."""
    return read(BUILDS_FILE)


def read(path: Path) -> tuple[Build, ...]:
    """A table of builds; a model's shape is the catalog's unless the row names one of the file."""
    data: Any = json.loads(path.read_bytes())
    shapes = {name: _shape(row) for name, row in data["shapes"].items()}
    found = []
    for row in data["builds"]:
        shape = shapes[row["shape"]] if "shape" in row else catalog.load().get(row["model"]).model
        if isinstance(shape, catalog.Model):
            longest, shape = shape.context_max_tokens, shape.shape
        else:
            longest = shape.context_max_tokens or 0
        found.append(
            Build(
                row["model"],
                row["repo"],
                row["precision"],
                shape,
                longest,
                row.get("shared_expert_width", 0),
                row["source"],
            )
        )
    return tuple(found)


def _shape(row: Mapping[str, Any]) -> ModelShape:
    """A plain model, every layer alike, from the figures of its config.json."""
    layer = LayerCache(row["kv_heads"], row["head_length"], row["head_length"])
    return ModelShape(
        architecture=row["architecture"],
        layers=(layer,) * row["layers"],
        head_count=row["heads"],
        vocab_size=row["vocab"],
        context_max_tokens=row["context_tokens"],
        embedding_length=row["width"],
        feed_forward_length=row["dense_width"],
        experts_total=row["experts"],
        experts_used=row["experts_used"],
        expert_feed_forward_length=row["expert_width"],
        parameters=row["parameters"],
        tied=False,
        expert_layers=tuple(range(row["dense_layers"], row["layers"])),
    )


def find(name: str) -> Build:
    """The build of a model by its id in the catalog, its short name or its repository.

    Raises `ModelUnavailable` with what was perhaps meant.
    """
    wanted = name.strip().lower()
    for row in load():
        if wanted in {row.repo.lower(), row.model.lower(), row.served_name}:
            return row
    entry = catalog.load().find(name)
    if entry is not None:
        for row in load():
            if row.model == entry.model.id:
                return row
    raise ModelUnavailable(_unknown(name, entry), hint=_way_out(name), code="unknown-model")


def _unknown(name: str, entry: catalog.Entry | None) -> str:
    if entry is not None:
        return f"no build of {entry.model.id} that vLLM serves is known here"
    if "/" in name:
        return f"the weights and the shape of {name} are not known here"
    return f"no model `{name}` that vLLM serves is known here"


def _way_out(name: str) -> str:
    known = {key.lower(): row.served_name for row in load() for key in (row.repo, row.served_name)}
    near = [known[key] for key in difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.6)]
    rows = tuple(dict.fromkeys(near))
    if rows:
        text = "did you mean " + " or ".join(f"`{row}`" for row in rows) + "?"
    else:
        text = "known here: " + ", ".join(dict.fromkeys(row.served_name for row in load()))
    if "/" not in name:
        return text
    return (
        f"say how it is served: agentlaunch hosted manifest --target TARGET --model {name} "
        f"--tensor-parallel N --context N --tool-parser NAME ({text})"
    )
