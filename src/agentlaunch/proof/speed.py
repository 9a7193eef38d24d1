"""How fast is it really? Prompt and reply speed of a served model, measured at two lengths."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from agentlaunch.endpoint import Endpoint
from agentlaunch.models.measured import Measurement, Point
from agentlaunch.progress import Progress, Work
from agentlaunch.proof.timed import ByTheClock, Method, OwnTimings, Run, Subject

__all__ = ["Measured", "Method", "Run", "Subject", "measure", "median", "subject_of"]

TIME_LIMIT_S = 100.0
"""What all runs together should stay below; with loading, a bench takes about two minutes."""
SHORT_SHARE = 0.25
"""Of that, for the short prompts."""
REQUEST_LIMIT_S = 600.0

WARM_TOKENS = 32
WARM_DECODE_TOKENS = 8
SHORT_TOKENS = 512
LEAST_TOKENS = 64
MOST_DECODE_TOKENS = 64
LEAST_DECODE_TOKENS = 16
DECODE_LIMIT_S = 6.0
STEP_TOKENS = 64
"""Long prompts are cut to whole multiples of this."""
TEMPLATE_TOKENS = 96
"""Room for the chat template around a prompt."""
SLOWDOWN = 1.5
"""How much slower a long prompt may be read, token for token, than the short one: seen 1.0 to 1.4
from 256 to 1,024 tokens with a model of 135M parameters on two cores, whose attention weighs more
than that of a large model."""

UNEVEN = 1.5


@dataclass(frozen=True, slots=True)
class Measured:
    """The runs at a short and at a long prompt; `cut` when the time was up before all were done."""

    short: tuple[Run, ...]
    long: tuple[Run, ...]
    method: Method
    cut: bool = False

    @property
    def runs(self) -> tuple[Run, ...]:
        return self.short + self.long

    @property
    def long_tokens(self) -> int:
        """Length of the long prompt as the server counted it."""
        return self.long[0].prompt_tokens

    @property
    def prefill_tokens_per_s(self) -> float | None:
        """The median at the long prompt, which is the one that an agent's user waits for."""
        return median([run.prefill_tokens_per_s for run in self.long])

    @property
    def decode_tokens_per_s(self) -> float | None:
        """The median behind the long prompt; None where too few tokens came."""
        return median([run.decode_tokens_per_s for run in self.long])

    @property
    def uneven(self) -> bool:
        """Did runs of one length differ by half and more, as where something else wants the
        machine?"""
        for runs in (self.short, self.long):
            for speeds in (
                [run.prefill_tokens_per_s for run in runs],
                [run.decode_tokens_per_s for run in runs],
            ):
                known = [speed for speed in speeds if speed is not None]
                if known and max(known) > UNEVEN * min(known):
                    return True
        return False

    def measurement(self, kv_cache_type: str) -> Measurement | None:
        """As it is kept for later estimates; None when no prompt speed is known."""
        pairs = [(runs[0].prompt_tokens, runs) for runs in (self.short, self.long)]
        prefill = [(n, median([r.prefill_tokens_per_s for r in runs])) for n, runs in pairs]
        decode = [(n, median([r.decode_tokens_per_s for r in runs])) for n, runs in pairs]
        read = tuple(Point(n, rate) for n, rate in prefill if rate is not None)
        written = tuple(Point(n, rate) for n, rate in decode if rate is not None)
        return Measurement(read, written, kv_cache_type, self.method) if read else None


def subject_of(endpoint: Endpoint, *, llama_cpp: bool, ignore_eos: bool = False) -> Subject:
    """How this server is measured: llama.cpp tells its own timings, others are timed by us."""
    return OwnTimings(endpoint) if llama_cpp else ByTheClock(endpoint, ignore_eos)


def measure(
    subject: Subject,
    *,
    prompt_tokens_asked: int,
    context_tokens: int,
    runs: int,
    limit_s: float = TIME_LIMIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> Work[Measured]:
    """Measure with a prompt of some hundred tokens, then with one of `prompt_tokens_asked` or as
    many as leave the whole within about `limit_s` seconds; each `runs` times, less when time is up.

    Raises what a request raises: `EngineFailed`, `AuthNeeded`, `NotSupported`.
    """
    until = clock() + limit_s
    warm = yield from _warm_up(subject, context_tokens)
    decode_tokens = decode_length(warm.decode_tokens_per_s)
    room = context_tokens - decode_tokens - TEMPLATE_TOKENS
    short_tokens = short_length(warm.prefill_tokens_per_s, room, runs, limit_s)
    short: list[Run] = []
    cut = yield from _repeat(
        subject, short_tokens, decode_tokens, runs, short, until - limit_s / 2, clock
    )
    long_tokens = long_length(
        asked=prompt_tokens_asked,
        short=short_tokens,
        room=room,
        prefill_tokens_per_s=median([run.prefill_tokens_per_s for run in short]),
        decode_s=decode_tokens / (median([r.decode_tokens_per_s for r in short]) or 10.0),
        left_s=until - clock(),
        runs=runs,
    )
    long: list[Run] = []
    cut |= yield from _repeat(subject, long_tokens, decode_tokens, runs, long, until, clock)
    return Measured(tuple(short), tuple(long), subject.method, cut)


def _warm_up(subject: Subject, context_tokens: int) -> Work[Run]:
    """Two short exchanges that count for nothing but the choice of the lengths, and of them the
    better one: in the first a server may have to wake, to load, or to touch its memory."""
    prompt = min(WARM_TOKENS, max(1, context_tokens // 4))
    first = yield from _run(subject, "warming up", prompt, WARM_DECODE_TOKENS)
    second = yield from _run(subject, "warming up", prompt, WARM_DECODE_TOKENS)
    return max(first, second, key=lambda run: run.prefill_tokens_per_s or 0.0)


def _repeat(
    subject: Subject,
    prompt_tokens: int,
    decode_tokens: int,
    runs: int,
    done: list[Run],
    until: float,
    clock: Callable[[], float],
) -> Work[bool]:
    """The runs at one length, at least one; True when the time for the others was over."""
    for number in range(1, runs + 1):
        begun = clock()
        text = f"measuring with {prompt_tokens:,} tokens, run {number} of {runs}"
        done.append((yield from _run(subject, text, prompt_tokens, decode_tokens)))
        now = clock()
        if number < runs and now + (now - begun) / 2 > until:
            return True
    return False


def _run(subject: Subject, text: str, prompt_tokens: int, decode_tokens: int) -> Work[Run]:
    asking = subject.ask(prompt_tokens, decode_tokens, deadline_s=REQUEST_LIMIT_S)
    yield Progress(text)
    while True:
        try:
            share = next(asking)
        except StopIteration as stop:
            run: Run = stop.value
            return run
        yield Progress(text, share=share)


# --- which lengths -------------------------------------------------------------------------------


def decode_length(tokens_per_s: float | None) -> int:
    """Tokens to write: enough for a figure, few where each takes long."""
    if tokens_per_s is None:
        return MOST_DECODE_TOKENS
    bearable = int(tokens_per_s * DECODE_LIMIT_S)
    return max(LEAST_DECODE_TOKENS, min(MOST_DECODE_TOKENS, bearable))


def short_length(tokens_per_s: float | None, room: int, runs: int, limit_s: float) -> int:
    """Tokens of the short prompt: some hundred, fewer on a very slow machine, and never more than
    a quarter of the room, so that the long one can be another length."""
    most = max(1, min(SHORT_TOKENS, room // 4))
    if tokens_per_s is None:
        return most
    bearable = int(tokens_per_s * limit_s * SHORT_SHARE / runs)
    return min(most, max(LEAST_TOKENS, bearable))


def long_length(
    *,
    asked: int,
    short: int,
    room: int,
    prefill_tokens_per_s: float | None,
    decode_s: float,
    left_s: float,
    runs: int,
) -> int:
    """Tokens of the long prompt: what was asked, or what the time left allows at the pace of the
    short one; at least twice the short one, at most the room in the context."""
    wanted = asked
    if prefill_tokens_per_s is not None:
        each_s = left_s / runs - decode_s * SLOWDOWN
        bearable = int(each_s * prefill_tokens_per_s / SLOWDOWN)
        wanted = min(asked, bearable // STEP_TOKENS * STEP_TOKENS)
    return max(1, min(room, max(2 * short, wanted)))


def median(values: list[float | None]) -> float | None:
    """The middle of what is known; None when nothing is."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
