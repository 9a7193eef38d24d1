"""From two measured prompt lengths to any other: positive, monotone, true at what was measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlaunch.machine.facts import Gpu, Machine
from agentlaunch.models import measured
from agentlaunch.models.measured import Measurement, Point

RATE = st.floats(0.01, 100_000, allow_nan=False, allow_infinity=False)
TOKENS = st.integers(1, 262_144)
MACHINE = Machine("linux", "x86_64", "A CPU", 8, 33_000_000_000, 1, None, 1, False, False)


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    short, more = draw(st.integers(1, 1024)), draw(st.integers(0, 65_536))
    prefill = (Point(short, draw(RATE)), Point(short + more, draw(RATE)))
    decode = (Point(short, draw(RATE)), Point(short + more, draw(RATE)))
    return Measurement(prefill, decode)


@given(measurements(), TOKENS, TOKENS)
def test_a_longer_prompt_never_takes_less_time(made: Measurement, one: int, other: int) -> None:
    fewer, more = sorted((one, other))
    first, second = made.prefill_s(fewer).middle, made.prefill_s(more).middle
    assert 0 < first <= second * (1 + 1e-9)


@given(measurements(), TOKENS, TOKENS)
def test_a_reply_is_never_faster_behind_a_longer_prompt(
    made: Measurement, one: int, other: int
) -> None:
    fewer, more = sorted((one, other))
    first, second = made.decode_tokens_per_s(fewer), made.decode_tokens_per_s(more)
    assert first is not None
    assert second is not None
    assert 0 < second.middle <= first.middle * (1 + 1e-9)


@given(measurements(), TOKENS)
def test_a_band_is_narrow_and_in_order(made: Measurement, tokens: int) -> None:
    for band in (made.prefill_s(tokens), made.decode_tokens_per_s(tokens)):
        assert band is not None
        assert 0 < band.low < band.high
        most = 1 + measured.MOST_SPREAD
        assert band.high / band.low <= most * most * (1 + 1e-9)


@given(measurements())
def test_what_was_measured_comes_back_at_its_length(made: Measurement) -> None:
    short, long = made.prefill
    if short.prompt_tokens == long.prompt_tokens:
        return
    seconds = {point: point.prompt_tokens / point.tokens_per_s for point in made.prefill}
    assert made.prefill_s(short.prompt_tokens).middle == pytest.approx(seconds[short])
    # A longer prompt that took less time than the short one is noise: it counts as taking as long.
    longest = max(seconds.values())
    assert made.prefill_s(long.prompt_tokens).middle == pytest.approx(longest)


@given(measurements())
def test_what_is_stored_is_what_was_measured(made: Measurement) -> None:
    assert measured.from_json(made.as_json()) == made


def test_a_pace_that_falls_goes_on_falling() -> None:
    made = Measurement((Point(500, 250.0), Point(4000, 125.0)), (Point(500, 50.0), Point(4000, 20)))
    # 4 ms a token at 500, 8 ms at 4,000: 12 ms at 7,500
    assert made.prefill_s(7500).middle == pytest.approx(7500 * 0.012)
    # 20 ms at 500, 50 ms at 4,000: 80 ms at 7,500
    decode = made.decode_tokens_per_s(7500)
    assert decode is not None
    assert decode.middle == pytest.approx(12.5)


def test_a_fixed_cost_is_spread_over_a_longer_prompt() -> None:
    made = Measurement((Point(500, 500.0), Point(4000, 2000.0)), ())
    # 1 s and 2 s: each further 3,500 tokens take one second more
    assert made.prefill_s(7500).middle == pytest.approx(3.0)
    assert made.prefill_s(250).middle == pytest.approx(0.5)


def test_one_length_alone_is_taken_for_all() -> None:
    made = Measurement((Point(500, 100.0),), (Point(500, 10.0),))
    assert made.prefill_s(2000).middle == pytest.approx(20.0)
    decode = made.decode_tokens_per_s(2000)
    assert decode is not None
    assert decode.middle == pytest.approx(10.0)


def test_no_speed_of_replies_is_no_band() -> None:
    made = Measurement((Point(500, 100.0),), ())
    assert made.decode_tokens_per_s(100) is None
    assert made.speed(100).decode_tokens_per_s is None


def test_an_estimate_says_that_it_was_measured() -> None:
    made = Measurement((Point(100, 100.0), Point(200, 100.0)), (Point(100, 10.0),))
    told = made.speed(150)
    assert told.first_word_s is not None
    assert (told.first_word_s.low, told.first_word_s.high) == pytest.approx((1.5 / 1.1, 1.5 * 1.1))
    assert told.because == (measured.BECAUSE,)


def test_the_band_is_ten_percent_between_and_wider_beyond() -> None:
    made = Measurement((Point(100, 100.0), Point(1000, 90.0)), ())

    def share(tokens: int) -> float:
        band = made.prefill_s(tokens)
        return band.high / band.middle

    assert [share(n) for n in (50, 500, 1000, 2000, 90_000)] == pytest.approx(
        [1.1, 1.1, 1.1, 1.2, 1.3]
    )


GOOD: dict[str, Any] = Measurement((Point(1, 1.0),), ()).as_json()


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        GOOD | {"prefill": []},
        GOOD | {"prefill": None},
        GOOD | {"prefill": "x"},
        GOOD | {"prefill": [{"prompt_tokens": 0, "tokens_per_s": 1.0}]},
        GOOD | {"prefill": [{"prompt_tokens": 1, "tokens_per_s": 0.0}]},
        GOOD | {"prefill": [{"prompt_tokens": 1, "tokens_per_s": float("nan")}]},
        GOOD | {"prefill": [{"prompt_tokens": 1, "tokens_per_s": float("inf")}]},
        GOOD | {"prefill": [{"prompt_tokens": float("inf"), "tokens_per_s": 1.0}]},
        GOOD | {"decode": [{"prompt_tokens": 5}]},
        {name: value for name, value in GOOD.items() if name != "method"},
    ],
)
def test_a_record_that_we_did_not_write_counts_as_none(value: dict[str, Any] | None) -> None:
    assert measured.from_json(GOOD) is not None
    assert measured.from_json(value) is None


def test_the_key_changes_with_each_part_and_with_nothing_else() -> None:
    machine = measured.machine_key(MACHINE)
    base = measured.key("sha256:1", "embedded", "1", machine)
    assert base == measured.key("sha256:1", "embedded", "1", machine)
    others = {
        measured.key("sha256:2", "embedded", "1", machine),
        measured.key("sha256:1", "ollama", "1", machine),
        measured.key("sha256:1", "embedded", "2", machine),
        measured.key("sha256:1", "embedded", None, machine),
        measured.key("sha256:1", "embedded", "1", "0" * 12),
    }
    assert len(others - {base}) == 5


def test_a_machine_is_known_by_what_makes_it_fast_and_not_by_its_free_memory() -> None:
    known = measured.machine_key(MACHINE)
    gpu = Gpu("RTX 3060", "nvidia", 1, 1, False, None, None, None, "test")
    assert len(known) == 12
    assert measured.machine_key(replace(MACHINE, ram_free_bytes=7, disk_free_bytes=7)) == known
    assert measured.machine_key(replace(MACHINE, ram_bytes=33_100_000_000)) == known
    for other in (
        replace(MACHINE, cpu="Another CPU"),
        replace(MACHINE, cores=4),
        replace(MACHINE, ram_bytes=64_000_000_000),
        replace(MACHINE, gpus=(gpu,)),
        replace(MACHINE, ram_bytes=None),
    ):
        assert measured.machine_key(other) != known
