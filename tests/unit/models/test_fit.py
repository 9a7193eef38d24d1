"""The memory arithmetic, held against what an engine really allocated, and the places."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlaunch.errors import UsageError
from agentlaunch.machine.facts import Gpu, Machine
from agentlaunch.models.fit import DEVICE_CONTEXT_BYTES, PROCESS_BYTES, Fit, fit
from agentlaunch.models.memory import KV_BLOCKS, Allocation, compute_bytes, kv_bytes, state_bytes
from agentlaunch.models.shape import LayerCache, ModelShape, Weights

MIB = 1 << 20
GIB = 1 << 30


def dense(
    architecture: str, layers: tuple[LayerCache, ...], heads: int, width: int, ff: int
) -> ModelShape:
    return ModelShape(architecture, layers, heads, embedding_length=width, feed_forward_length=ff)


def routed(shape: ModelShape, total: int, used: int, ff: int) -> ModelShape:
    return replace(shape, experts_total=total, experts_used=used, expert_feed_forward_length=ff)


def alternating(count: int, period: int, window: LayerCache, full: LayerCache) -> Any:
    return tuple(full if (i + 1) % period == 0 else window for i in range(count))


GEMMA_FULL = LayerCache(1, 256, 256)
OSS_FULL = LayerCache(8, 64, 64)
NEXT_STATE = 4 * (3 * (4096 + 2 * 16 * 128) + 128 * 4096)
SHAPES = {
    "smollm2-135m": dense("llama", (LayerCache(3, 64, 64),) * 30, 9, 576, 1536),
    "gemma3-270m": dense(
        "gemma3",
        alternating(18, 6, replace(GEMMA_FULL, window_tokens=512), GEMMA_FULL),
        4,
        640,
        2048,
    ),
    "qwen2.5-coder-7b": dense("qwen2", (LayerCache(4, 128, 128),) * 28, 28, 3584, 18944),
    "llama3.1-8b": dense("llama", (LayerCache(8, 128, 128),) * 32, 32, 4096, 14336),
    "qwen3-coder-30b": routed(
        dense("qwen3moe", (LayerCache(4, 128, 128),) * 48, 32, 2048, 0), 128, 8, 768
    ),
    "gpt-oss-20b": routed(
        dense(
            "gpt-oss",
            alternating(24, 2, replace(OSS_FULL, window_tokens=128), OSS_FULL),
            64,
            2880,
            0,
        ),
        32,
        4,
        2880,
    ),
    "deepseek-coder-v2-lite": routed(
        dense("deepseek2", (LayerCache(1, 576, 0),) * 27, 16, 2048, 10944), 64, 6, 1408
    ),
    "qwen3-next-80b": routed(
        dense(
            "qwen3next",
            alternating(48, 4, LayerCache(0, 0, 0, None, NEXT_STATE), LayerCache(2, 256, 256)),
            16,
            2048,
            0,
        ),
        512,
        10,
        512,
    ),
}


@pytest.mark.parametrize(
    ("model", "context", "options", "kv_mib", "compute_mib"),
    [
        ("smollm2-135m", 4096, {}, 90.00, 18.62),
        ("smollm2-135m", 32768, {}, 720.00, 46.62),
        ("smollm2-135m", 131072, {}, 2880.00, 142.62),
        ("smollm2-135m", 32768, {"kv_cache_type": "q8_0"}, 382.50, 46.62),
        ("smollm2-135m", 32768, {"kv_cache_type": "q4_0"}, 202.50, 46.62),
        ("smollm2-135m", 32768, {"batch": 2048}, 720.00, 186.50),
        ("smollm2-135m", 32768, {"parallel": 4}, 2880.00, 46.62),
        ("gemma3-270m", 4096, {}, 27.00, 23.25),
        ("gemma3-270m", 32768, {"kv_cache_type": "q8_0"}, 58.97, 51.25),
        ("gemma3-270m", 32768, {"batch": 2048}, 133.50, 211.00),
        ("gemma3-270m", 32768, {"parallel": 4}, 444.00, 51.25),
        ("qwen2.5-coder-7b", 4096, {}, 224.00, 150.00),
        ("qwen2.5-coder-7b", 33000, {}, 1806.00, 178.25),
        ("qwen2.5-coder-7b", 32768, {"flash_attention": False}, 1792.00, 1900.00),
        ("llama3.1-8b", 131072, {}, 16384.00, 252.00),
        ("qwen3-coder-30b", 32768, {}, 3072.00, 120.00),
        ("qwen3-coder-30b", 32768, {"flash_attention": False}, 3072.00, 2150.00),
        ("gpt-oss-20b", 4096, {}, 114.00, 100.38),
        ("gpt-oss-20b", 33000, {}, 792.00, 128.62),
        ("gpt-oss-20b", 32768, {"batch": 2048}, 822.00, 519.50),
        ("gpt-oss-20b", 32768, {"kv_cache_type": "q8_0"}, 417.56, 128.38),
        ("gpt-oss-20b", 32768, {"flash_attention": False}, 786.00, 4209.62),
        ("gpt-oss-20b", 32768, {"parallel": 4}, 3144.00, 128.38),
        ("deepseek-coder-v2-lite", 32768, {}, 972.00, 116.12),
        ("deepseek-coder-v2-lite", 32768, {"kv_cache_type": "q4_0"}, 273.38, 116.12),
        ("qwen3-next-80b", 4096, {}, 171.38, 94.00),
        ("qwen3-next-80b", 32768, {"kv_cache_type": "q4_0"}, 291.38, 122.00),
        ("qwen3-next-80b", 32768, {"parallel": 4}, 3373.50, 122.00),
    ],
)
def test_cache_state_and_compute_are_what_an_engine_logged(
    model: str, context: int, options: dict[str, Any], kv_mib: float, compute_mib: float
) -> None:
    shape = SHAPES[model]
    asked = Allocation(context, **options)
    kv = kv_bytes(shape, asked) + state_bytes(shape, parallel=asked.parallel)
    compute = compute_bytes(shape, asked)
    assert kv / MIB == pytest.approx(kv_mib, abs=0.006)
    assert compute / MIB == pytest.approx(compute_mib, abs=0.006)


SMALL = replace(
    SHAPES["smollm2-135m"],
    weights=Weights(96_576_768, 30_083_328, True, (2_216_448,) * 30, (0,) * 30, 30_083_328),
)
LAYER = 100 * MIB
BIG = replace(
    SHAPES["llama3.1-8b"],
    weights=Weights(32 * LAYER + 500 * MIB, 200 * MIB, False, (LAYER,) * 32, (0,) * 32, 300 * MIB),
)
EXPERTS = replace(
    SHAPES["qwen3-coder-30b"],
    weights=Weights(
        48 * 400 * MIB + 500 * MIB,
        200 * MIB,
        False,
        (400 * MIB,) * 48,
        (370 * MIB,) * 48,
        300 * MIB,
    ),
)


def card(gib: float, *, free: float | None = None, name: str = "RTX", **changes: Any) -> Gpu:
    plain = Gpu(
        name, "nvidia", int(gib * GIB), int((free or gib) * GIB), False, 500.0, "cuda", None, "t"
    )
    return replace(plain, **changes)


def machine(ram: float, *gpus: Gpu, free: float | None = None, **changes: Any) -> Machine:
    plain = Machine(
        "linux",
        "x86_64",
        "cpu",
        8,
        int(ram * GIB),
        int((free if free is not None else ram) * GIB),
        None,
        None,
        False,
        False,
        gpus,
    )
    return replace(plain, **changes)


def test_on_the_processor_everything_lies_in_ram_and_a_quarter_is_kept() -> None:
    placed = fit(machine(8), SMALL, Allocation(4096))
    kv, compute = 90 * MIB, 19_529_728
    total = 96_576_768 + kv + compute + PROCESS_BYTES
    assert replace(placed, because=()) == Fit(
        verdict="roomy",
        placement="cpu",
        context_tokens=4096,
        kv_cache_type="f16",
        weights_bytes=96_576_768,
        weights_gpu_bytes=0,
        weights_cpu_bytes=96_576_768,
        kv_bytes=kv,
        state_bytes=0,
        compute_bytes=compute,
        overhead_bytes=PROCESS_BYTES,
        total_bytes=total,
        budget_bytes=6 * GIB,
        headroom_bytes=6 * GIB - total,
        evidence="exact",
    )
    assert "2.0 GiB more stay with the system" in placed.because[0]


def test_a_tied_embedding_lies_on_both_sides_and_an_untied_one_in_ram() -> None:
    tied = fit(machine(16, card(12)), SMALL, Allocation(4096))
    assert (tied.weights_gpu_bytes, tied.weights_cpu_bytes) == (96_576_768, 30_083_328)
    untied = fit(machine(16, card(12)), BIG, Allocation(4096))
    assert untied.weights_bytes == 3700 * MIB
    assert (untied.weights_gpu_bytes, untied.weights_cpu_bytes) == (3500 * MIB, 200 * MIB)
    assert untied.total_bytes == (3500 + 512 + 128) * MIB + DEVICE_CONTEXT_BYTES
    assert (untied.placement, untied.budget_bytes) == ("gpu", 11 * GIB)


@pytest.mark.parametrize(
    ("gib", "verdict"), [(7.0, "roomy"), (5.8, "tight"), (5.0, "tight"), (4.0, "split")]
)
def test_the_verdict_follows_what_is_free(gib: float, verdict: str) -> None:
    # 4,597 MiB are needed: 85 % of 6 GiB; 4.8 GiB with and 5 GiB without the margin hold it
    placed = fit(machine(32, card(gib)), BIG, Allocation(4096))
    assert placed.verdict == verdict
    assert placed.headroom_bytes is not None
    assert (placed.headroom_bytes < 0) == (gib == 5.0)


def test_memory_that_would_be_evicted_counts_as_free_but_never_twice() -> None:
    busy = machine(32, card(8, free=4))
    assert fit(busy, BIG, Allocation(4096)).verdict == "split"
    freed = fit(busy, BIG, Allocation(4096), reusable_bytes=4 * GIB)
    assert (freed.verdict, freed.budget_bytes) == ("roomy", 7 * GIB)
    again = fit(busy, BIG, Allocation(4096), reusable_bytes=60 * GIB)
    assert again.budget_bytes == 7 * GIB


def test_an_engine_without_the_graphics_uses_the_processor_and_says_so() -> None:
    placed = fit(machine(32, card(24, name="RTX 4090")), BIG, Allocation(4096), gpu_usable=False)
    assert placed.placement == "cpu"
    assert any("RTX 4090 stays unused" in reason for reason in placed.because)


def test_whole_layers_move_to_ram_when_a_dense_model_is_too_big() -> None:
    placed = fit(machine(32, card(4)), BIG, Allocation(4096))
    room = 3 * GIB - DEVICE_CONTEXT_BYTES - (128 + 300) * MIB
    units = (room - 300 * MIB) // (116 * MIB)
    assert placed.weights_gpu_bytes == (300 + units * 100) * MIB
    assert placed.weights_cpu_bytes == 3700 * MIB - placed.weights_gpu_bytes
    assert (placed.placement, placed.verdict) == ("split", "split")


def test_experts_move_first_and_the_cache_stays_on_the_card() -> None:
    placed = fit(machine(64, card(12)), EXPERTS, Allocation(4096))
    assert placed.verdict == "split"
    assert placed.weights_cpu_bytes is not None
    assert (placed.weights_cpu_bytes - 200 * MIB) % (370 * MIB) == 0


def test_what_fits_nowhere_says_by_how_much() -> None:
    placed = fit(machine(8, card(4)), EXPERTS, Allocation(4096))
    assert placed.verdict == "no"
    assert placed.headroom_bytes is not None
    assert placed.headroom_bytes < 0


@pytest.mark.parametrize(
    ("capability", "able"),
    [("5.2", False), ("6.0", True), ("6.1", True), ("7.2", False), ("7.5", True), (None, True)],
)
def test_flash_attention_follows_the_card(capability: str | None, able: bool) -> None:
    old = machine(64, card(24, compute_capability=capability))
    placed = fit(old, BIG, Allocation(8192))
    assert placed == replace(
        fit(old, BIG, Allocation(8192, flash_attention=able)), because=placed.because
    )
    quantised = fit(old, BIG, Allocation(8192, "q8_0"))
    assert (quantised.verdict == "no") is not able
    assert ("has no flash attention" in quantised.because[0]) is not able
    assert fit(old, BIG, Allocation(8192, "q8_0"), gpu_usable=False).fits


def test_a_copy_made_while_loading_is_told_where_memory_is_too_small_for_both() -> None:
    assert BIG.weights is not None
    packed = replace(BIG, weights=replace(BIG.weights, repacked_bytes=3 * GIB))
    asked = Allocation(4096)
    small, large = (fit(machine(ram), packed, asked) for ram in (6, 16))
    assert small.fits
    assert "while it loads" in small.because[-1]
    assert large == fit(machine(16), BIG, asked)


def test_two_cards_are_used_when_one_is_too_small() -> None:
    placed = fit(machine(64, card(12), card(14)), EXPERTS, Allocation(4096))
    assert (placed.verdict, placed.placement) == ("tight", "gpu")
    assert placed.budget_bytes == 24 * GIB


def test_shared_memory_is_budgeted_from_its_total_and_a_shortage_is_a_warning() -> None:
    apple = card(10.67, name="Apple M2", vendor="apple", unified=True, vram_free_bytes=None)
    mac = machine(16, apple, free=2, os="darwin", unified_memory=True)
    placed = fit(mac, BIG, Allocation(4096))
    assert (placed.verdict, placed.placement) == ("roomy", "gpu")
    assert placed.budget_bytes == int(10.67 * GIB)
    assert placed.total_bytes is not None
    assert placed.shortage_bytes == placed.total_bytes - 2 * GIB
    assert "close programs" in placed.because[-1]
    small = machine(8, replace(apple, vram_bytes=int(5.3 * GIB)), unified_memory=True)
    assert fit(small, BIG, Allocation(4096)).budget_bytes == 4 * GIB


def test_a_container_limit_counts_as_the_memory() -> None:
    placed = fit(machine(64, ram_limit_bytes=4 * GIB), SMALL, Allocation(4096))
    assert placed.budget_bytes == 3 * GIB


def test_a_published_size_gives_an_estimate_and_no_size_gives_none() -> None:
    shape = replace(
        SMALL, weights=None, embedding_length=None, parameters=10**9, active_parameters=10**9
    )
    guess = fit(machine(16), shape, Allocation(4096), published_bytes=2 * GIB)
    assert (guess.evidence, guess.weights_bytes, guess.verdict) == ("estimated", None, "roomy")
    assert guess.weights_cpu_bytes == 2 * GIB
    nothing = fit(machine(16), shape, Allocation(4096))
    assert (nothing.total_bytes, nothing.verdict, nothing.weights_bytes) == (None, None, None)


def test_unknown_memory_gives_no_verdict() -> None:
    blind = machine(1, ram_bytes=None, ram_free_bytes=None)
    placed = fit(blind, SMALL, Allocation(4096))
    assert (placed.verdict, placed.budget_bytes, placed.headroom_bytes) == (None, None, None)
    assert placed.total_bytes is not None


@pytest.mark.parametrize(
    "options",
    [
        {"kv_cache_type": "q3_0"},
        {"kv_cache_type": "q8_0", "flash_attention": False},
        {"parallel": 0},
        {"batch": 0},
        {"context_tokens": 0},
    ],
)
def test_what_no_engine_would_take_is_a_usage_error(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        fit(machine(8), SMALL, Allocation(**({"context_tokens": 4096} | options)))


def test_rows_that_do_not_fill_a_block_cannot_be_quantised() -> None:
    odd = replace(SMALL, layers=(LayerCache(1, 80, 80),) * 30)
    placed = fit(machine(8), odd, Allocation(4096, "q8_0"))
    assert placed.verdict == "no"
    assert "rows of 80 values" in placed.because[0]


layer_caches = st.builds(
    LayerCache,
    st.integers(0, 16),
    st.sampled_from([64, 128, 256]),
    st.sampled_from([0, 64, 128, 256]),
    st.none() | st.integers(1, 8192),
    st.integers(0, 1 << 22),
)


@st.composite
def shapes(draw: st.DrawFn) -> ModelShape:
    layers = tuple(draw(st.lists(layer_caches, min_size=1, max_size=12)))
    known = draw(st.booleans())
    experts = draw(st.sampled_from([0, 8]))
    weights = None
    if known:
        size = draw(st.integers(1, 1 << 30))
        embedding = draw(st.integers(0, 1 << 30))
        tied = draw(st.booleans())
        total = size * len(layers) + embedding + (0 if tied else draw(st.integers(0, 1 << 28)))
        part = size * 9 // 10 if experts else 0
        weights = Weights(
            total, embedding, tied, (size,) * len(layers), (part,) * len(layers), size // 3
        )
    return ModelShape(
        "llama",
        layers,
        draw(st.integers(1, 64)),
        embedding_length=draw(st.none() | st.integers(64, 8192)),
        feed_forward_length=draw(st.integers(0, 30_000)),
        experts_total=experts,
        experts_used=min(experts, 2),
        expert_feed_forward_length=512 if experts else 0,
        parameters=10**9,
        active_parameters=10**9,
        weights=weights,
    )


gpus = st.lists(
    st.builds(
        lambda total, used, unified: card(
            total / 4, free=max(total - used, 1) / 4, unified=unified
        ),
        st.integers(1, 200),
        st.integers(0, 200),
        st.booleans(),
    ),
    max_size=3,
)
machines = st.builds(
    lambda ram, free, devices: machine(ram / 2, *devices, free=min(free, ram) / 2),
    st.integers(1, 200),
    st.integers(0, 200),
    gpus,
)
requests = st.fixed_dictionaries(
    {
        "kv_cache_type": st.sampled_from(sorted(KV_BLOCKS)),
        "parallel": st.integers(1, 4),
        "batch": st.sampled_from([1, 64, 512, 2048]),
        "published_bytes": st.none() | st.integers(1, 1 << 38),
        "projector_bytes": st.integers(0, 1 << 30),
        "gpu_usable": st.booleans(),
        "reusable_bytes": st.integers(0, 1 << 36),
    }
)


@given(machines, shapes(), st.integers(1, 1 << 20), requests)
def test_sums_hold_bytes_are_whole_and_nothing_is_negative(
    host: Machine, shape: ModelShape, context: int, request: dict[str, Any]
) -> None:
    settings = {name: request.pop(name) for name in ("kv_cache_type", "parallel", "batch")}
    placed = fit(host, shape, Allocation(context, **settings), **request)
    for row in fields(placed):
        value = getattr(placed, row.name)
        if row.name.endswith("_bytes") and value is not None:
            assert type(value) is int
            assert value >= 0 or row.name == "headroom_bytes"
    if placed.total_bytes is None:
        assert placed.verdict is None
        return
    gpu, cpu = placed.weights_gpu_bytes or 0, placed.weights_cpu_bytes or 0
    weights = {"gpu": gpu, "cpu": cpu, "split": gpu + cpu}[placed.placement]
    parts = placed.kv_bytes + placed.state_bytes + placed.compute_bytes + placed.overhead_bytes
    assert placed.total_bytes == weights + parts
    assert placed.budget_bytes is not None
    assert placed.headroom_bytes == placed.budget_bytes - placed.total_bytes
    if placed.verdict == "roomy":
        assert placed.total_bytes * 100 <= placed.budget_bytes * 85
    if placed.weights_bytes is not None and placed.weights_cpu_bytes is not None:
        assert gpu + cpu >= placed.weights_bytes
    assert placed.because


@given(shapes(), st.integers(1, 1 << 18), st.integers(0, 1 << 18), st.booleans())
def test_more_context_never_needs_less(
    shape: ModelShape, context: int, more: int, attention: bool
) -> None:
    def needs(tokens: int) -> list[int]:
        asked = Allocation(tokens, flash_attention=attention)
        placed = fit(machine(64), shape, asked, published_bytes=1)
        return [kv_bytes(shape, asked), compute_bytes(shape, asked), placed.total_bytes or 0]

    pairs = zip(needs(context), needs(context + more), strict=True)
    assert all(less <= greater for less, greater in pairs)


@given(shapes(), st.integers(1, 1 << 18), st.integers(0, 1 << 18), st.integers(1, 96))
def test_more_context_never_makes_a_model_fit(
    shape: ModelShape, context: int, more: int, ram: int
) -> None:
    small, large = (
        fit(machine(ram, card(ram / 4)), shape, Allocation(tokens), published_bytes=GIB)
        for tokens in (context, context + more)
    )
    assert small.fits or not large.fits


def test_a_card_too_small_for_any_layer_leaves_the_processor_alone() -> None:
    placed = fit(machine(32, card(2, name="MX150")), BIG, Allocation(4096))
    assert (placed.placement, placed.verdict) == ("cpu", "roomy")
    assert any("MX150" in reason for reason in placed.because)


def test_a_card_that_is_nearly_full_takes_nothing() -> None:
    full = machine(4, card(8, free=0.02))
    placed = fit(full, SMALL, Allocation(4096))
    assert placed.placement == "cpu"
    two = machine(64, card(8, free=0.4, name="a"), card(8, free=0.4, name="b"))
    assert fit(two, BIG, Allocation(4096)).placement == "cpu"
    alone = fit(machine(1, card(8, free=1.2)), BIG, Allocation(4096))
    assert (alone.verdict, alone.budget_bytes) == ("no", alone.budget_bytes)


@pytest.mark.parametrize("small", [1.0, 2.0, 4.0])
def test_another_small_card_never_makes_a_split_worse(small: float) -> None:
    one = fit(machine(64, card(12)), EXPERTS, Allocation(4096))
    two = fit(machine(64, card(12), card(small, free=small / 5)), EXPERTS, Allocation(4096))
    assert (two.weights_gpu_bytes or 0) >= (one.weights_gpu_bytes or 0)


def test_an_old_card_that_is_not_used_changes_nothing() -> None:
    old = card(2, name="GT 710", compute_capability="3.5")
    new = card(24, name="RTX 3090", compute_capability="8.6")
    both, alone = (
        fit(machine(64, *gpus), BIG, Allocation(8192, "q8_0")) for gpus in ((old, new), (new,))
    )
    assert both == alone
    on_cpu = fit(machine(64, old), BIG, Allocation(8192, "q8_0"))
    assert (on_cpu.placement, on_cpu.verdict) == ("cpu", "roomy")


def test_flash_attention_cannot_be_asked_of_a_card_that_lacks_it() -> None:
    old = machine(64, card(24, name="M40", compute_capability="5.2"))
    placed = fit(old, BIG, Allocation(8192, flash_attention=True))
    assert placed.verdict == "no"
    assert placed.because[0] == "M40 has no flash attention, which --flash-attention on needs"


def test_graphics_of_unknown_memory_are_named() -> None:
    unknown = card(1, name="RTX 2060", vram_bytes=None, vram_free_bytes=None)
    placed = fit(machine(16, unknown), SMALL, Allocation(4096))
    assert placed.because[-1] == "how much memory RTX 2060 has is not known, so it was not counted"


def test_an_unconfirmed_layout_is_estimated() -> None:
    placed = fit(machine(16), replace(SMALL, upper_bound=True), Allocation(4096))
    assert placed.evidence == "estimated"
    assert placed.weights_bytes == SMALL.weights.total_bytes if SMALL.weights else False
