"""The shipped catalog: generated, complete, found by the names that people type."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agentlaunch.errors import ModelUnavailable
from agentlaunch.models import catalog
from agentlaunch.models.memory import Allocation, kv_bytes

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
