"""Which lengths are measured, how often, and what is made of the runs."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlaunch.models.measured import Measurement, Point
from agentlaunch.progress import Progress, finish
from agentlaunch.proof import speed
from agentlaunch.proof.timed import Method, Run


@dataclass
class Server:
    """Reads and writes at a fixed pace, by a clock of its own."""

    read: float
    written: float
    start_s: float = 0.0
    stops_after: int = 10_000
    method: Method = "server"
    now: float = 0.0
    asked: list[tuple[int, int]] = field(default_factory=list)

    def ask(
        self, prompt_tokens: int, decode_tokens: int, *, deadline_s: float
    ) -> Generator[float | None, None, Run]:
        assert deadline_s > 0
        self.asked.append((prompt_tokens, decode_tokens))
        written = min(decode_tokens, self.stops_after)
        pace = prompt_tokens / self.read
        self.now += self.start_s + pace + written / self.written
        yield 0.5
        read = prompt_tokens / (self.start_s + pace)
        self.start_s = 0.0
        return Run(prompt_tokens, 0, written, read, self.written if written >= 8 else None)

    def measure(
        self, *, asked: int = 20_000, context: int = 32_768, runs: int = 2
    ) -> speed.Measured:
        return finish(
            speed.measure(
                self,
                prompt_tokens_asked=asked,
                context_tokens=context,
                runs=runs,
                clock=lambda: self.now,
            )
        )


def test_a_fast_server_is_measured_at_what_was_asked() -> None:
    server = Server(read=5_000, written=100)
    result = server.measure()
    short, long = Run(512, 0, 64, 5_000, 100), Run(20_000, 0, 64, 5_000, 100)
    assert result == speed.Measured((short, short), (long, long), "server")
    assert server.asked == [(32, 8), (32, 8), *[(512, 64)] * 2, *[(20_000, 64)] * 2]


def test_a_slow_server_gets_a_long_prompt_that_keeps_the_whole_bearable() -> None:
    server = Server(read=150, written=12)
    result = server.measure()
    assert 2 * 512 <= result.long_tokens < 20_000
    assert server.now < 120
    assert result.cut is False


def test_a_very_slow_server_gets_shorter_prompts_and_fewer_runs() -> None:
    server = Server(read=4, written=1)
    result = server.measure(runs=5)
    assert [row[0] for row in server.asked] == [32, 32, *[64] * (len(server.asked) - 3), 128]
    assert result.cut is True
    assert (len(result.long), result.long[0].decode_tokens) == (1, 16)


@given(
    st.floats(30, 1e6),
    st.floats(3, 1e4),
    st.integers(512, 100_000),
    st.integers(512, 262_144),
    st.integers(1, 5),
)
def test_two_lengths_within_the_context_in_about_two_minutes(
    read: float, written: float, asked: int, context: int, runs: int
) -> None:
    server = Server(read, written)
    result = server.measure(asked=asked, context=context, runs=runs)
    assert server.now <= 120 + 30
    for prompt_tokens, decode_tokens in server.asked:
        assert prompt_tokens + decode_tokens <= context
    assert 2 * result.short[0].prompt_tokens <= result.long_tokens
    assert result.long_tokens <= max(asked, 2 * speed.SHORT_TOKENS)


@pytest.mark.parametrize("context", [1, 100, 256])
def test_a_tiny_context_is_measured_too(context: int) -> None:
    result = Server(1000, 100).measure(context=context)
    assert result.long_tokens >= 1


def test_the_time_to_wake_up_counts_for_nothing() -> None:
    server = Server(read=5_000, written=100, start_s=30)
    server.measure(runs=1)
    assert server.asked == [(32, 8), (32, 8), (512, 64), (20_000, 64)]


def test_each_run_tells_how_far_it_is() -> None:
    server = Server(read=5_000, written=100)
    work = speed.measure(server, prompt_tokens_asked=2_000, context_tokens=8_192, runs=1)
    assert list(work) == [
        report
        for text in (
            "warming up",
            "warming up",
            "measuring with 512 tokens, run 1 of 1",
            "measuring with 2,000 tokens, run 1 of 1",
        )
        for report in (Progress(text), Progress(text, share=0.5))
    ]


def test_the_middle_run_counts() -> None:
    def run(tokens: int, read: float | None, written: float | None) -> Run:
        return Run(tokens, 0, 64, read, written)

    result = speed.Measured(
        short=(run(512, 100, 10), run(512, 300, 12), run(512, 110, 14)),
        long=(run(4096, 50, None), run(4096, None, 6), run(4096, 70, 8)),
        method="clock",
    )
    assert (result.prefill_tokens_per_s, result.decode_tokens_per_s) == (60, 7)
    assert result.measurement("q8_0") == Measurement(
        prefill=(Point(512, 110), Point(4096, 60)),
        decode=(Point(512, 12), Point(4096, 7)),
        kv_cache_type="q8_0",
        method="clock",
    )


def test_a_model_that_stops_at_once_gives_no_speed_of_replies() -> None:
    result = Server(1_000, 100, stops_after=3).measure()
    assert result.decode_tokens_per_s is None
    kept = result.measurement("f16")
    assert kept is not None
    assert (len(kept.prefill), kept.decode) == (2, ())


def test_nothing_known_is_nothing_to_keep() -> None:
    run = Run(10, 10, 0, None, None)
    assert speed.Measured((run,), (run,), "server").measurement("f16") is None
