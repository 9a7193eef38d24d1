"""Measure a served model with the agent's own prompt: whole or cut, cached or not, how soon.

The same work stands before a launch, in `agentlaunch prove`, and in the warm start: what is sent is
what the agent will send, so the engine has read it already when the agent comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentlaunch.endpoint import Endpoint, Wire
from agentlaunch.progress import Work
from agentlaunch.proof import exchange, first_word, prefix, truncation
from agentlaunch.proof.check import Budget, Check
from agentlaunch.proof.first_word import Speed
from agentlaunch.proof.recording import Recording


@dataclass(frozen=True, slots=True)
class Job:
    """What there is to measure, as values that another process can be given."""

    endpoint: Endpoint
    wire: Wire
    engine: str
    """`embedded`, `ollama` or the kind of a server."""
    allocated_tokens: int | None
    window_tokens: int
    first_word_limit_s: float
    way_out: str
    """How this engine gets a larger context."""
    tools_ignored: bool = False
    slots: int | None = None
    rewinds: bool | None = None
    """Can the model go back to any place of a prompt? Not one with recurrent or windowed layers."""
    tokens_per_character: float | None = None
    """Of the tool-call proof, which went through the same template."""


def measure(
    job: Job,
    recording: Recording,
    budget: Budget,
    *,
    speed: Speed | None = None,
    sooner: Sequence[tuple[str, float]] = (),
    second: bool = True,
) -> Work[tuple[Check, ...]]:
    """Send the agent's own first request, and a `second` turn behind it; judge what came back."""
    found = yield from exchange.two_turns(job.endpoint, recording, budget=budget, second=second)
    body = recording.first_turn(job.endpoint.model)
    cut = truncation.judge(
        found,
        body,
        allocated_tokens=job.allocated_tokens,
        window_tokens=job.window_tokens,
        tokens_per_character=job.tokens_per_character,
        tools_ignored=job.tools_ignored,
        way_out=job.way_out,
    )
    evaluated = found.first.prompt_tokens if found.first is not None else None
    word = first_word.judge(
        speed,
        prompt_tokens=evaluated,
        measured_s=found.cold_s,
        limit_s=job.first_word_limit_s,
        sooner=sooner,
    )
    if not second:
        return (cut, word)
    reads = prefix.judge(
        found,
        recording,
        slots=job.slots,
        rewinds=job.rewinds,
        engine=job.engine,
        cold_s=speed.first_word_s(evaluated) if speed is not None and evaluated else None,
    )
    return (cut, reads, word)
