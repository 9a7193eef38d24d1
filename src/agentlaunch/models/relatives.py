"""Whose build is this? The model of the catalog that a file has the widths of. Pure."""

from __future__ import annotations

from agentlaunch.models.catalog import Catalog, Model
from agentlaunch.models.shape import ModelShape

NEAR = 0.15
"""Two builds of one model differ by so much in their parameters: a file may leave out the part
that reads pictures (a seventh of Qwen3.5 0.8b), or the layers that predict several tokens."""


def relative(name: str, shape: ModelShape, known: Catalog) -> Model | None:
    """The model that this is built like: another build or a fine-tune of it, or of what it comes
    from. None where there is none, or several whose family does not stand in `name`.

    Architecture, depth, width, heads and experts are the same, and the parameters nearly.
    """
    alike = [model for model in known.models if _alike(model, shape)]
    if len(alike) > 1:
        alike = [model for model in alike if _letters(model.family) in _letters(name)]
    return alike[0] if len(alike) == 1 else None


def _alike(model: Model, shape: ModelShape) -> bool:
    if shape.parameters is None or _widths(model.shape) != _widths(shape):
        return False
    # The catalog has the name of its maker's configuration, a header the engine's: qwen3_5 and
    # qwen35, gemma3_text and gemma3.
    mine, theirs = _letters(shape.architecture), _letters(model.architecture)
    near = abs(shape.parameters - model.params_total) <= NEAR * model.params_total
    return near and (mine.startswith(theirs) or theirs.startswith(mine))


def _widths(shape: ModelShape) -> tuple[int | None, ...]:
    return len(shape.layers), shape.embedding_length, shape.head_count, shape.experts_total


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
