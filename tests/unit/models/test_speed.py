"""Estimates of speed: bands that hold what was measured, and silence where nothing is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlaunch.machine import devices
from agentlaunch.machine.facts import Gpu, Machine
from agentlaunch.models.fit import fit
from agentlaunch.models.memory import Allocation
from agentlaunch.models.shape import LayerCache, ModelShape, Weights
from agentlaunch.models.speed import Band, Speed, speed

GIB = 1 << 30
SMOLLM = ModelShape(
    "llama",
    (LayerCache(3, 64, 64),) * 30,
    9,
    embedding_length=576,
    feed_forward_length=1536,
    parameters=134_515_008,
    active_parameters=134_515_008,
    weights=Weights(96_576_768, 30_083_328, True, (2_216_448,) * 30, (0,) * 30, 30_083_328),
)
EIGHT_B = ModelShape(
    "llama",
    (LayerCache(8, 128, 128),) * 32,
    32,
    embedding_length=4096,
    feed_forward_length=14336,
    parameters=8_030_000_000,
    active_parameters=8_030_000_000,
)


def computer(cores: int, *gpus: Gpu, ram: int = 64) -> Machine:
    size = ram * GIB
    return Machine("linux", "x86_64", "cpu", cores, size, size, None, None, False, False, gpus)


def card(bandwidth: float | None, gib: int = 24) -> Gpu:
    return Gpu("card", "nvidia", gib * GIB, gib * GIB, False, bandwidth, None, None, "t")


def estimate(host: Machine, shape: ModelShape = EIGHT_B, tokens: int = 4096) -> Speed:
    size = 4_900_000_000
    placed = fit(host, shape, Allocation(tokens), published_bytes=size)
    return speed(host, shape, placed, prompt_tokens=tokens, published_bytes=size)


def test_two_cores_are_as_slow_as_they_were_measured() -> None:
    host = computer(2)
    placed = fit(host, SMOLLM, Allocation(4096))
    found = speed(host, SMOLLM, placed, prompt_tokens=1000)
    assert found.decode_tokens_per_s is not None
    assert found.first_word_s is not None
    assert found.decode_tokens_per_s.low <= 27 <= found.decode_tokens_per_s.high
    assert found.first_word_s.low <= 1000 / 198 <= 1000 / 171 <= found.first_word_s.high
    assert "two usual channels" in found.because[0]


def test_a_card_of_unknown_bandwidth_gives_no_estimate() -> None:
    found = estimate(computer(8, card(None)))
    assert (found.decode_tokens_per_s, found.first_word_s) == (None, None)
    assert "not known" in found.because[0]


def test_what_does_not_fit_or_has_no_size_has_no_speed() -> None:
    tiny = computer(8, ram=2)
    assert estimate(tiny) == Speed(None, None)
    placed = fit(computer(8), EIGHT_B, Allocation(4096))
    assert speed(computer(8), EIGHT_B, placed, prompt_tokens=10) == Speed(None, None)


def test_a_routed_model_reads_less_for_each_token() -> None:
    thin = replace(EIGHT_B, active_parameters=1_000_000_000)
    whole, part = (estimate(computer(8, card(936)), shape) for shape in (EIGHT_B, thin))
    assert whole.decode_tokens_per_s is not None
    assert part.decode_tokens_per_s is not None
    assert part.decode_tokens_per_s.middle > whole.decode_tokens_per_s.middle


def test_a_split_model_lies_between_card_and_processor() -> None:
    on_card = estimate(computer(8, card(936))).decode_tokens_per_s
    split = estimate(computer(8, card(936, gib=5))).decode_tokens_per_s
    on_cpu = estimate(computer(8)).decode_tokens_per_s
    assert on_card is not None
    assert split is not None
    assert on_cpu is not None
    assert on_cpu.middle < split.middle < on_card.middle


@pytest.mark.parametrize("bandwidth", [68.0, 936.0, 1792.0])
@given(st.integers(1, 60_000), st.integers(0, 60_000))
def test_longer_prompts_are_never_sooner(bandwidth: float, tokens: int, more: int) -> None:
    host = computer(8, card(bandwidth))
    short, long = (estimate(host, tokens=count) for count in (tokens, tokens + more))
    assert short.first_word_s is not None
    assert long.first_word_s is not None
    assert short.first_word_s.low <= long.first_word_s.low
    assert short.first_word_s.high <= long.first_word_s.high
    for band in (short.decode_tokens_per_s, short.first_word_s):
        assert isinstance(band, Band)
        assert 0 <= band.low <= band.high


@given(st.integers(1, 63), st.integers(0, 64))
def test_more_cores_are_never_slower(cores: int, more: int) -> None:
    few, many = (estimate(computer(count)) for count in (cores, cores + more))
    assert few.decode_tokens_per_s is not None
    assert many.decode_tokens_per_s is not None
    assert few.decode_tokens_per_s.low <= many.decode_tokens_per_s.low
    assert few.decode_tokens_per_s.high <= many.decode_tokens_per_s.high


def test_a_split_reads_each_part_where_it_lies() -> None:
    """A mixture whose dense part lies on the card: 3.2 GiB are read there, 1.7 GiB in RAM."""
    layers, expert, rest = 48, 330 << 20, 40 << 20
    shape = replace(
        EIGHT_B,
        layers=(LayerCache(4, 128, 128),) * layers,
        parameters=30_000_000_000,
        active_parameters=3_300_000_000,
        experts_total=128,
        experts_used=8,
        expert_feed_forward_length=768,
        weights=Weights(
            layers * (expert + rest) + (1 << 29),
            1 << 28,
            False,
            (expert + rest,) * layers,
            (expert,) * layers,
            100 << 20,
        ),
    )
    host = computer(8, card(256, gib=8))
    placed = fit(host, shape, Allocation(32_768))
    assert (placed.placement, len(placed.devices)) == ("split", 1)
    assert shape.weights is not None
    assert 0 < placed.gpu_expert_bytes < sum(shape.weights.expert_bytes)
    found = speed(host, shape, placed, prompt_tokens=20_000).decode_tokens_per_s
    assert found is not None
    used = 8 / 128
    on_card = (placed.weights_gpu_bytes or 0) - placed.gpu_expert_bytes * (1 - used)
    in_ram = (sum(shape.weights.expert_bytes) - placed.gpu_expert_bytes) * used
    cache = 20_000 * layers * 4 * 256 * 2
    seconds = (on_card + cache) / (0.31 * 256e9) + in_ram / (0.45 * 51.2e9)
    assert found.low < 1 / seconds < found.high


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_card_that_holds_the_model_counts_and_not_the_first(order: tuple[int, int]) -> None:
    small, large = card(112, gib=4), card(1008, gib=24)
    both = [replace(small, name="small"), replace(large, name="large")]
    found = estimate(computer(8, *(both[i] for i in order)))
    assert found == estimate(computer(8, both[1]))
    blind = replace(both[1], bandwidth_gbs=None)
    assert estimate(computer(8, both[0], blind)).decode_tokens_per_s is None


@pytest.mark.parametrize(
    ("name", "gib", "capability", "low", "high"),
    [
        ("RTX 3060", 12, "8.6", 15, 44),  # 43 TFLOP/s were seen
        ("RTX 3090", 24, "8.6", 40, 125),  # 66
        ("RTX 5090", 32, "12.0", 100, 275),  # 200
        ("GTX 1070", 8, "6.1", 3.5, 12),
    ],
)
def test_reading_a_prompt_follows_the_arithmetic_of_the_card(
    name: str, gib: int, capability: str, low: float, high: float
) -> None:
    size = gib * GIB
    gpu = Gpu(name, "nvidia", size, size, False, 500.0, None, None, "t", capability)
    device = devices.find(name, size)
    assert device is not None
    found = estimate(computer(8, replace(gpu, bandwidth_gbs=device.bandwidth_gbs)))
    assert found.first_word_s is not None
    work = 4096 * (2 * 8.03e9 + 4 * 32 * 32 * 128 * 4096 / 2) / 1e12
    assert low <= work / found.first_word_s.high <= work / found.first_word_s.low <= high
