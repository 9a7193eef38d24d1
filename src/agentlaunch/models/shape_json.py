"""A described model as JSON and back: what a cache keeps. What does not read back is None. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from agentlaunch.models.gguf import ModelFile
from agentlaunch.models.shape import LayerCache, ModelShape, Weights

T = TypeVar("T")

MOST = 1 << 63
"""No number of a shape is larger."""
NONE = type(None)
_KINDS: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "str | None": (str, NONE),
    "int": (int,),
    "int | None": (int, NONE),
    "bool": (bool,),
    "bool | None": (bool, NONE),
}


class _Broken(ValueError):
    """Not what was written."""


def to_json(file: ModelFile) -> dict[str, Any]:
    """The fields as they are called."""
    return asdict(file)


def from_json(raw: object) -> ModelFile | None:
    """What `to_json` wrote; None for anything else, another version's fields among it."""
    try:
        return _read(ModelFile, raw, {"shape": _shape})
    except _Broken:
        return None


def _shape(raw: object) -> ModelShape:
    shape = _read(
        ModelShape,
        raw,
        {
            "layers": lambda rows: tuple(_read(LayerCache, row, {}) for row in _list(rows)),
            "weights": lambda row: None if row is None else _weights(row),
            "expert_layers": _numbers,
        },
    )
    weights = shape.weights
    if weights is not None and len(weights.layer_bytes) != len(shape.layers):
        raise _Broken
    if not shape.layers:
        raise _Broken
    return shape


def _weights(raw: object) -> Weights:
    found = _read(Weights, raw, {"layer_bytes": _numbers, "expert_bytes": _numbers})
    if len(found.layer_bytes) != len(found.expert_bytes):
        raise _Broken
    return found


def _read(kind: type[T], raw: object, special: Mapping[str, Callable[[Any], object]]) -> T:
    """A dataclass from an object with exactly its fields, each of its own type."""
    known = fields(kind)  # type: ignore[arg-type]  # T is one of four dataclasses
    if not isinstance(raw, dict) or set(raw) != {field.name for field in known}:
        raise _Broken
    made = {
        field.name: special[field.name](raw[field.name])
        if field.name in special
        else _plain(raw[field.name], _KINDS[str(field.type)])
        for field in known
    }
    return kind(**made)


def _plain(value: object, kinds: tuple[type, ...]) -> object:
    if type(value) not in kinds or (isinstance(value, int) and not 0 <= value < MOST):
        raise _Broken
    return value


def _list(raw: object) -> list[Any]:
    if not isinstance(raw, list):
        raise _Broken
    return raw


def _numbers(raw: object) -> tuple[Any, ...]:
    return tuple(_plain(row, (int,)) for row in _list(raw))
