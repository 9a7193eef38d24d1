"""The shipped catalog: generated, complete, found by the names that people type."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agentlaunch.errors import ModelUnavailable
from agentlaunch.models import catalog
from agentlaunch.models.catalog import Model
from agentlaunch.models.memory import Allocation, kv_bytes
from agentlaunch.models.shape import ModelShape

ROOT = Path(__file__).parents[3]


def test_the_committed_catalog_is_what_the_script_generates() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "refresh_catalog.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_model_has_layers_a_default_build_and_a_status() -> None:
    models = catalog.load().models
    assert len(models) == 56
    assert len({model.id for model in models}) == 56
    for model in models:
        assert model.shape.layers
        assert model.default.size_bytes > 0
        assert model.status in ("recommended", "usable", "weak", "unsuitable")
        assert isinstance(model.params_total, int)
        assert all(problem.refs for problem in model.problems)
        assert all(score.source and score.date for score in model.scores)


@pytest.mark.parametrize(
    ("tag", "bytes_per_token"),
    [
        ("qwen3.5:9b", 32_768),
        ("gemma4:e4b", 16_384),
        ("glm-4.7-flash:q4_K_M", 54_144),
        ("muse-glimmer:30b", 13_312),
    ],
)
def test_the_cache_grows_with_the_context_as_the_source_says(
    tag: str, bytes_per_token: int
) -> None:
    shape = catalog.load().get(tag).model.shape
    long, longer = (kv_bytes(shape, Allocation(tokens)) for tokens in (65_536, 66_560))
    assert longer - long == 1024 * bytes_per_token


@pytest.mark.parametrize(
    ("ref", "tag"),
    [
        ("qwen3.5:9b", "qwen3.5:9b"),
        ("QWEN3.5:9B", "qwen3.5:9b"),
        ("library/qwen3.5:9b", "qwen3.5:9b"),
        ("registry.ollama.ai/library/qwen3.5:9b-q8_0", "qwen3.5:9b-q8_0"),
        ("qwen3.6:27b-mlx", "qwen3.6:27b-mlx"),
        ("laguna-s-2.1", "laguna-s-2.1:latest"),
    ],
)
def test_a_name_is_found_however_it_is_written(ref: str, tag: str) -> None:
    found = catalog.load().find(ref)
    assert found is not None
    assert found.variant.tag == tag


def test_a_typo_and_a_missing_tag_get_suggestions() -> None:
    known = catalog.load()
    assert known.find("qwen3.5") is None
    assert known.suggest("qwen3.5") == ("qwen3.5:0.8b", "qwen3.5:2b", "qwen3.5:4b")
    with pytest.raises(ModelUnavailable) as caught:
        known.get("qwen35:9b")
    assert "qwen3.5:9b" in str(caught.value.hint)
    assert known.suggest("zzzzzzzzzz") == ()


def test_builds_of_other_runtimes_are_not_for_llama_cpp() -> None:
    rows = {
        row.tag: row.llama_cpp
        for model in catalog.load().models
        for row in model.variants
        if any(word in row.tag for word in ("mlx", "nvfp4", "mxfp8"))
    }
    assert rows
    assert not any(rows.values())
    gpt_oss = catalog.load().get("gpt-oss:20b")
    assert gpt_oss.variant.llama_cpp


def counted(shape: ModelShape) -> int:
    """Values of a plain transformer's matrices, from its widths alone."""
    width, dense = shape.embedding_length, shape.feed_forward_length
    assert width is not None
    assert dense is not None
    assert shape.vocab_size is not None
    total = width * shape.vocab_size * (1 if shape.tied else 2)
    matrices = shape.expert_matrices
    for i, layer in enumerate(shape.layers):
        keys, values = layer.key_length, layer.value_length
        heads = layer.heads or shape.head_count
        total += width * (heads + layer.kv_heads) * (keys + values)
        if i in shape.expert_layers:
            total += matrices * width * shape.expert_feed_forward_length * shape.experts_total
        else:
            total += matrices * width * dense
    return total


def plain_models() -> list[Model]:
    """Models of text alone whose layers all attend with heads of their own."""
    return [
        model
        for model in catalog.load().models
        if not model.vision
        and all(row.value_length and not row.state_bytes for row in model.shape.layers)
    ]


@pytest.mark.parametrize("model", plain_models(), ids=lambda model: model.id)
def test_the_widths_of_a_model_add_up_to_its_parameters(model: Model) -> None:
    assert counted(model.shape) == pytest.approx(model.params_total, rel=0.005, abs=6_000_000)


def test_widths_are_known_for_every_model() -> None:
    for model in catalog.load().models:
        shape = model.shape
        assert shape.embedding_length, model.id
        assert shape.feed_forward_length is not None, model.id
        assert bool(shape.experts_total) == bool(shape.expert_layers), model.id
        recurrent = any(row.state_bytes for row in shape.layers)
        latent = any(row.kv_heads and not row.value_length for row in shape.layers)
        if latent or (recurrent and not model.architecture.startswith("lfm2")):
            assert shape.mixing_values, model.id


def test_a_model_whose_layers_are_one_thing_each_has_them_in_their_order() -> None:
    shape = catalog.load().get("nemotron-3-nano:30b").model.shape
    attend = [i for i, row in enumerate(shape.layers) if row.kv_heads]
    assert attend == [5, 12, 19, 26, 33, 42]
    assert len(shape.expert_layers) == 23
    assert not set(attend) & set(shape.expert_layers)


def test_a_build_whose_header_nobody_read_is_an_estimate() -> None:
    entry = catalog.load().get("qwen3-coder:30b-a3b-q8_0")
    shape = entry.model.shape_of(entry.variant)
    assert entry.variant.evidence == "estimated"
    assert (shape.quant, shape.weights) == ("q8_0", None)


def test_models_that_print_their_tool_calls_are_known() -> None:
    leaking = {model.id for model in catalog.load().models if model.leaks_tool_calls}
    assert "qwen2.5-coder:32b" in leaking
    assert "gemma4:e4b" in leaking
    assert "qwen3.5:9b" not in leaking


def test_the_catalog_needs_no_heavy_import() -> None:
    code = (
        "import sys, agentlaunch.models.catalog as c; c.load();"
        "sys.exit(bool({'httpx','rich','psutil','pydantic','difflib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
