"""A model that the catalog does not know is told whose build it is by its widths, never guessed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agentlaunch.models import catalog, gguf
from agentlaunch.models.relatives import relative
from agentlaunch.models.shape import ModelShape
from model_headers import write_header

CATALOG = catalog.load()


def shape(header: str, folder: Path) -> ModelShape:
    return gguf.read_model(write_header(header, folder)).shape


@pytest.mark.parametrize(
    ("header", "name", "expected"),
    [
        ("gpt-oss 20B", "someones-own:latest", "gpt-oss:20b"),
        ("gemma 4 31B", "x:1", "gemma4:31b"),
        ("qwen 3 4B", "x:1", "qwen3:4b-instruct"),
        ("qwen 3.5 9B", "my-qwen3.5-tune:9b", "qwen3.5:9b"),
        ("qwen 3.5 9B", "ornith-1.0-q5:9b", "ornith:9b"),
        ("qwen 3.5 9B", "x:1", None),  # two have these widths
        ("llama 3.1 8B", "x:1", None),  # another architecture has the same widths
        ("gemma 3 12B", "gemma4:1", None),
        ("mixtral 8x7B", "x:1", None),
    ],
)
def test_widths_and_architecture_tell_whose_build_it_is(
    header: str, name: str, expected: str | None, tmp_path: Path
) -> None:
    found = relative(name, shape(header, tmp_path), CATALOG)
    assert (found.id if found is not None else None) == expected


def test_another_depth_or_another_size_is_no_relative(tmp_path: Path) -> None:
    known = shape("gpt-oss 20B", tmp_path)
    assert known.parameters is not None
    for other in (
        replace(known, layers=known.layers[1:]),
        replace(known, parameters=known.parameters * 13 // 10),
        replace(known, parameters=None),
    ):
        assert relative("gpt-oss:20b", other, CATALOG) is None
