"""How soon comes the first word? A measurement of two seconds, and the promise made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentlaunch.endpoint import Endpoint
from agentlaunch.errors import EngineFailed, NotSupported
from agentlaunch.progress import Progress, Work
from agentlaunch.proof.check import Budget, Check
from agentlaunch.proof.speed import SLOWDOWN, subject_of
from agentlaunch.proof.timed import Run, Subject
from agentlaunch.units import format_span

MEASURE_S = 2.0
FIRST_TOKENS = 64
MOST_TOKENS = 2_048
DECODE_TOKENS = 12
WARM_SHARE = 0.2
"""Of the estimate; a prompt that took less was not new to the engine, and promises nothing."""
WARM_TOKENS = 16
"""The first request may have to wake, to load, or to touch memory: it counts for nothing."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens per second as measured; None is what was not to be told."""

    prefill_tokens_per_s: float | None
    decode_tokens_per_s: float | None
    prompt_tokens: int
    """Of the prompt that it was measured with."""

    def first_word_s(self, prompt_tokens: int) -> float | None:
        """About how long a prompt of so many tokens takes, in seconds: a longer one is read slower,
        token for token."""
        if not self.prefill_tokens_per_s:
            return None
        slowdown = SLOWDOWN if prompt_tokens > 4 * self.prompt_tokens else 1.0
        return prompt_tokens * slowdown / self.prefill_tokens_per_s


def measure(
    endpoint: Endpoint, *, llama_cpp: bool, context_tokens: int, budget: Budget
) -> Work[Speed | None]:
    """Prompts that grow until one took a good second, `MEASURE_S` in all; None where this server
    cannot be measured, or not in time. Raises `AuthNeeded`."""
    subject = subject_of(endpoint, llama_cpp=llama_cpp)
    most = min(MOST_TOKENS, context_tokens // 4)
    best: Run | None = None
    try:
        yield from _run(subject, min(WARM_TOKENS, most), 1, budget)
        length, spent_s = min(FIRST_TOKENS, most), 0.0
        while spent_s < MEASURE_S and budget.left_s > MEASURE_S:
            run = yield from _run(subject, length, DECODE_TOKENS, budget)
            best = _better(best, run)
            rate = run.prefill_tokens_per_s
            took_s = run.prompt_tokens / rate if rate else MEASURE_S
            spent_s += took_s
            longer = min(most, int((rate or 0) * (MEASURE_S - spent_s)))
            if longer < 2 * length:
                break
            length = longer
    except (EngineFailed, NotSupported):
        if best is None:
            return None
    if best is None:
        return None
    return Speed(best.prefill_tokens_per_s, best.decode_tokens_per_s, best.prompt_tokens)


def judge(
    speed: Speed | None,
    *,
    prompt_tokens: int | None,
    measured_s: float | None,
    limit_s: float,
    sooner: Sequence[tuple[str, float]] = (),
) -> Check:
    """The check "first-word". `measured_s` is how long the agent's own prompt really took, where it
    was sent; `sooner` are ways to an earlier word, each with its seconds."""
    estimate = speed.first_word_s(prompt_tokens) if speed and prompt_tokens else None
    if measured_s is not None and estimate is not None and measured_s < WARM_SHARE * estimate:
        measured_s = None
    first_s = measured_s if measured_s is not None else estimate
    measured = {
        "first_word_s": round(first_s, 1) if first_s is not None else None,
        "prefill_tokens_per_s": _rounded(speed.prefill_tokens_per_s) if speed else None,
        "decode_tokens_per_s": _rounded(speed.decode_tokens_per_s) if speed else None,
        "prompt_tokens": prompt_tokens,
        "how": None if first_s is None else "estimated" if measured_s is None else "measured",
    }
    if first_s is None:
        return Check(
            "first-word", "skipped", "the speed of this server was not to be had", measured
        )
    about = "" if measured_s is not None else "about "
    text = f"{about}{seconds(first_s)} to the first word"
    if speed is not None and speed.decode_tokens_per_s:
        text += f", then {speed.decode_tokens_per_s:,.0f} tokens per second"
    if first_s <= limit_s:
        return Check("first-word", "ok", text, measured)
    better = [f"{way} (about {seconds(s)})" for way, s in sooner if s < first_s]
    remedy = " or ".join(better) or "set first_word_limit higher, if that is soon enough"
    return Check("first-word", "warning", text, measured, remedy)


def seconds(value: float) -> str:
    """A promise: whole seconds, minutes above two."""
    return format_span(value, value) if value >= 1 else "less than 1 s"


def _run(subject: Subject, prompt_tokens: int, decode_tokens: int, budget: Budget) -> Work[Run]:
    text = "measuring how fast the engine reads"
    yield Progress(text)
    asking = subject.ask(prompt_tokens, decode_tokens, deadline_s=max(0.5, budget.left_s))
    while True:
        try:
            share = next(asking)
        except StopIteration as stop:
            run: Run = stop.value
            return run
        yield Progress(text, share=share)


def _better(best: Run | None, run: Run) -> Run:
    """The longer prompt tells more, if it tells at all."""
    if best is None or run.prefill_tokens_per_s is not None:
        return run
    return best


def _rounded(value: float | None) -> float | None:
    return round(value, 1) if value is not None else None
