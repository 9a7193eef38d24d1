"""Measure a served model with the agent's own prompt: whole or cut, cached or not, how soon.

The same work stands before a launch, in `agentlaunch prove`, and in the warm start: what is sent is
what the agent will send, so the engine has read it already when the agent comes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from agentlaunch import web
from agentlaunch.endpoint import Endpoint, Wire
from agentlaunch.engines.base import Served
from agentlaunch.plan import LaunchPlan
from agentlaunch.progress import Work
from agentlaunch.proof import exchange, first_word, prefix, truncation
from agentlaunch.proof.check import Budget, Check
from agentlaunch.proof.first_word import Speed
from agentlaunch.proof.recording import Recording
from agentlaunch.proof.remembered import Subject

LLAMA_CPP = ("embedded", "llama.cpp")
"""Engines that time each request themselves."""


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


def job_of(plan: LaunchPlan, served: Served, subject: Subject, gate: Check | None) -> Job:
    """What the agent's own prompt is measured with."""
    measured = gate.measured if gate is not None else {}
    tokens, length = measured.get("prompt_tokens"), measured.get("prompt_characters")
    rate: float | None = None
    if isinstance(tokens, int) and isinstance(length, int) and length > 0:
        rate = tokens / length
    return Job(
        endpoint=served.endpoint,
        wire=subject.wire,
        engine=subject.engine,
        allocated_tokens=served.context_tokens,
        window_tokens=plan.context.agent_window_tokens,
        first_word_limit_s=plan.wish.first_word_limit_s,
        way_out=_way_out(plan),
        tools_ignored=served.tools is False or measured.get("verdict") == "tools-ignored",
        slots=_slots(subject.engine, served.endpoint),
        rewinds=_rewinds(plan),
        tokens_per_character=rate,
    )


def is_paid(plan: LaunchPlan) -> bool:
    """Does a company serve it, who counts every token?"""
    preset = plan.remote.preset if plan.remote is not None else None
    return preset is not None and preset.hosted


def _way_out(plan: LaunchPlan) -> str:
    """How this engine gets a larger context, or the agent a smaller prompt."""
    slim = "" if plan.context.slim or len(plan.wish.agent.tiers) < 2 else "--slim on, or "
    if plan.remote is not None:
        preset = plan.remote.preset
        return slim + (preset.context_hint if preset is not None else "start it with more context")
    return f"{slim}a larger --context, or a lighter agent: agentlaunch agents"


def _slots(engine: str, endpoint: Endpoint) -> int | None:
    """How many sessions the engine holds at once; None where it does not say."""
    if engine == "embedded":
        return 1
    if engine not in LLAMA_CPP:
        return None
    with contextlib.suppress(web.WebFault):
        reply = web.request(
            "GET", endpoint.base_url + "/props", headers=endpoint.key_headers, deadline_s=1.0
        )
        value = reply.json() if reply.status == 200 else None
        slots = value.get("total_slots") if isinstance(value, dict) else None
        return slots if isinstance(slots, int) and slots > 0 else None
    return None


def _rewinds(plan: LaunchPlan) -> bool | None:
    """None where the model's shape is not known."""
    weights = plan.model.weights
    shape = weights.file.shape if weights is not None and weights.file is not None else None
    if shape is None:
        return None
    return all(layer.window_tokens is None and not layer.state_bytes for layer in shape.layers)


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
    found = yield from exchange.two_turns(
        job.endpoint,
        recording,
        budget=budget,
        second=second,
        allocated_tokens=job.allocated_tokens,
    )
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
