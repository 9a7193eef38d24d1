"""Our arithmetic held against the real engine's own, over headers of true and invented shapes."""

from __future__ import annotations

from pathlib import Path

import pytest

import small_model
from agentlaunch import managed
from agentlaunch.engines import llama_cpp
from agentlaunch.models import gguf, layers, memory
from fit_oracle import COMPUTE_PERCENT, VARIANTS, Asked, measured, predicted, same
from gguf_writer import write_gguf
from header_parts import Plain, transformer
from model_headers import ALL, FURTHER_APART, HEADERS, INVENTED, write_header

IN_TURN = 3
"""Every header is asked for so many of `VARIANTS`; `scripts/bench/fit --all` asks for each."""


@pytest.fixture(scope="module")
def engine_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = small_model.engine_paths(tmp_path_factory.mktemp("engine"))
    python = managed.program(llama_cpp.PACKAGE, "python", paths)
    assert python is not None
    return python


@pytest.mark.parametrize(("number", "name"), list(enumerate(ALL)))
def test_the_engine_allocates_what_we_predict(
    number: int, name: str, engine_python: Path, tmp_path: Path
) -> None:
    model = write_header(name, tmp_path)
    shape = gguf.read_model(model).shape
    percent = FURTHER_APART.get(name, COMPUTE_PERCENT)
    rows = [VARIANTS[(number + 2 * step) % len(VARIANTS)] for step in range(IN_TURN)]
    pairs = [(row, predicted(shape, row), measured(engine_python, model, row)) for row in rows]
    assert [pair for pair in pairs if not same(pair[1], pair[2], percent=percent)] == []


def test_what_counts_as_checked_is_checked_here() -> None:
    architectures = {header()[0]["general.architecture"] for header in ALL.values()}
    assert architectures == layers.CHECKED
    assert not HEADERS.keys() & INVENTED.keys()


def test_a_head_that_fills_no_block_is_refused_by_the_engine_and_by_us(
    engine_python: Path, tmp_path: Path
) -> None:
    header = transformer(Plain("llama", 3, 640, 8, 2, 80, 640, 1000))
    model = write_gguf(tmp_path / "eighty.gguf", *header)
    with pytest.raises(AssertionError, match="does not divide n_embd_head_k=80"):
        measured(engine_python, model, Asked(kv_cache_type="q8_0"))
    reason = memory.impossible_cache(gguf.read_model(model).shape, "q8_0")
    assert reason is not None
    assert "rows of 80 values" in reason


def test_the_oracle_sees_an_engine_that_refuses(engine_python: Path, tmp_path: Path) -> None:
    model = tmp_path / "broken.gguf"
    model.write_bytes(b"GGUF")
    with pytest.raises(AssertionError, match=r"no sizes for broken\.gguf"):
        measured(engine_python, model, Asked())


def test_a_header_of_a_large_model_takes_no_room_on_the_disk(tmp_path: Path) -> None:
    model = write_header("qwen 3 next 80B-A3B", tmp_path)
    written = model.stat()
    assert written.st_size > 70 << 30
    assert written.st_blocks * 512 < 1 << 20
