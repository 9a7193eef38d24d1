"""A described model is kept as JSON, and nothing but what was kept is read back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlaunch.models import catalog, gguf
from agentlaunch.models.gguf import ModelFile
from agentlaunch.models.shape_json import from_json, to_json
from gguf_writer import small_llama, write_gguf
from model_headers import ALL, write_header


def again(file: ModelFile) -> Any:
    return json.loads(json.dumps(to_json(file)))


def small(folder: Path) -> ModelFile:
    return gguf.read_model(write_gguf(folder / "m.gguf", *small_llama(template="{{ tools }}")))


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_kind_of_model_reads_back_as_it_was(name: str, tmp_path: Path) -> None:
    file = gguf.read_model(write_header(name, tmp_path))
    assert from_json(again(file)) == file


def test_a_shape_without_tensors_reads_back_too() -> None:
    model = catalog.load().models[0]
    shape = replace(model.shape_of(model.default), weights=None)
    file = ModelFile("x", shape, None, None, None)
    assert from_json(again(file)) == file


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("name",), None),
        (("size_bytes",), -1),
        (("size_bytes",), 1.5),
        (("size_bytes",), 1 << 63),
        (("takes_tools",), 1),
        (("shape", "head_count"), True),
        (("shape", "head_count"), None),
        (("shape", "layers"), []),
        (("shape", "layers"), {}),
        (("shape", "layers", 0), None),
        (("shape", "layers", 0, "kv_heads"), "2"),
        (("shape", "weights", "layer_bytes"), [1]),
        (("shape", "weights", "expert_bytes"), [0]),
        (("shape", "weights", "tied"), 0),
        (("shape", "weights"), []),
        (("shape",), "x"),
        (("more",), 1),
    ],
)
def test_a_broken_field_makes_it_nothing(
    place: tuple[Any, ...], value: object, tmp_path: Path
) -> None:
    raw = again(small(tmp_path))
    inner = raw
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    assert from_json(raw) is None


def test_a_field_that_is_missing_makes_it_nothing(tmp_path: Path) -> None:
    raw = again(small(tmp_path))
    del raw["shape"]["quant"]
    assert from_json(raw) is None


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_anything_else_is_nothing(raw: object) -> None:
    assert from_json(raw) is None
