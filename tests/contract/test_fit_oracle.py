"""Our arithmetic held against the real engine's own, over headers in the true shape of models."""

from __future__ import annotations

from pathlib import Path

import pytest

import small_model
from agentlaunch import managed
from agentlaunch.engines import llama_cpp
from agentlaunch.models import gguf
from fit_oracle import Asked, Sizes, measured, predicted
from model_headers import HEADERS, write_header

PLAIN = Asked()
VARIANTS = (
    PLAIN,
    Asked(context_tokens=65536, kv_cache_type="q8_0"),
    Asked(context_tokens=16384, parallel=4),
    Asked(context_tokens=131072, batch=2048),
    Asked(context_tokens=1000, kv_cache_type="q4_0", parallel=2, batch=256),
    Asked(flash_attention=False),
)
ROUNDING_MIB = 0.02
"""The log has two decimals and up to two caches."""


@pytest.fixture(scope="module")
def engine_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = small_model.engine_paths(tmp_path_factory.mktemp("engine"))
    python = managed.program(llama_cpp.PACKAGE, "python", paths)
    assert python is not None
    return python


def same(ours: Sizes, theirs: Sizes) -> bool:
    """Cache and state as exact as the log is; compute within 5 % or 10 MiB."""
    apart = abs(ours.compute_mib - theirs.compute_mib)
    return (
        abs(ours.kv_mib - theirs.kv_mib) <= ROUNDING_MIB
        and abs(ours.state_mib - theirs.state_mib) <= ROUNDING_MIB
        and apart <= max(10, 0.05 * theirs.compute_mib)
    )


@pytest.mark.parametrize("name", HEADERS)
def test_the_engine_allocates_what_we_predict(
    name: str, engine_python: Path, tmp_path: Path
) -> None:
    model = write_header(name, tmp_path)
    shape = gguf.read_model(model).shape
    pairs = [(row, predicted(shape, row), measured(engine_python, model, row)) for row in VARIANTS]
    assert [pair for pair in pairs if not same(pair[1], pair[2])] == []


def test_the_oracle_sees_an_engine_that_refuses(engine_python: Path, tmp_path: Path) -> None:
    model = tmp_path / "broken.gguf"
    model.write_bytes(b"GGUF")
    with pytest.raises(AssertionError, match=r"no sizes for broken\.gguf"):
        measured(engine_python, model, PLAIN)


def test_a_header_of_a_large_model_takes_no_room_on_the_disk(tmp_path: Path) -> None:
    model = write_header("qwen 3 next 80B-A3B", tmp_path)
    written = model.stat()
    assert written.st_size > 70 << 30
    assert written.st_blocks * 512 < 1 << 20
