"""Why a layout, and what lacks, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from agentlaunch.hosted import sizing
from agentlaunch.hosted.builds import TITLES, Build
from agentlaunch.hosted.gpus import SLOW
from agentlaunch.hosted.sizing import Layout, Miss, Outcome, Split, Wanted
from agentlaunch.units import format_bytes, format_tokens, plural


def because(build: Build, layout: Layout, wanted: Wanted) -> tuple[str, ...]:
    """Why this layout, in sentences."""
    split, card = layout.split, layout.gpu
    precision = TITLES[build.precision]
    found = [
        f"weights of {format_bytes(build.weights_bytes)} ({precision}), "
        f"{format_bytes(sizing.token_bytes(build, wanted))} of cache for a token: "
        f"{format_bytes(sizing.session_bytes(build, wanted))} for a session of "
        f"{format_tokens(wanted.context_tokens)}",
        f"each {card.name} holds {format_bytes(layout.weights_bytes)} of weights, "
        f"{format_bytes(layout.kv_bytes)} of cache and about {format_bytes(layout.overhead_bytes)} "
        f"that vLLM needs beside them, of {format_bytes(layout.budget_bytes)} that it may use "
        f"({wanted.utilization:.0%} of the memory)",
    ]
    if layout.replicas > 1:
        found.append(
            f"{wanted.sessions} sessions at once, {layout.sessions} in a replica: "
            f"{layout.replicas} replicas behind a router, since more users need more replicas and "
            "not a wider split"
        )
    else:
        found.append(
            f"one replica holds {plural(layout.sessions, 'session')} with the whole context, "
            f"{wanted.sessions} {'is' if wanted.sessions == 1 else 'are'} wanted"
        )
    if split.expert_parallel:
        plain = sizing.fault(build, Split(split.tensor_parallel, split.pipeline_parallel))
        found.append(f"experts stay whole (--enable-expert-parallel): {plain}")
    if split.pipeline_parallel > 1:
        found.append(
            f"one machine with {card.per_node} is too small: stages of layers over "
            f"{split.pipeline_parallel} machines"
        )
    if split.gpus > 1 and not card.fast_link:
        found.append(f"{card.name} exchange over {card.link}: slower than over NVLink")
    if not card.computes(build):
        found.append(f"{card.name} has no {precision} arithmetic: vLLM unpacks the weights")
    if shorter := _shorter(build, layout, wanted):
        found.append(shorter)
    if layout.verdict == "tight":
        found.append(
            "tight: what vLLM needs beside weights and cache is an estimate, and it may refuse to "
            "start with all of this context"
        )
    if build.shape.upper_bound:
        found.append("the layout of its cache is not confirmed: counted as the most it can be")
    return tuple(found)


def chosen(build: Build, layout: Layout, outcomes: Sequence[Outcome]) -> str | None:
    """Why this kind of GPU, where there were several."""
    fitting = [row for row in outcomes if isinstance(row, Layout)]
    if len(outcomes) < 2:
        return None
    text = (
        f"the least memory to pay for, of {plural(len(fitting), 'kind')} of GPU that hold it: "
        f"{layout.gpus} x {layout.gpu.name}"
    )
    smaller = [row.gpu for row in fitting if row.sold_gb < layout.sold_gb]
    if smaller:
        lacks = any(not card.computes(build) for card in smaller)
        arithmetic = f"no {TITLES[build.precision]} arithmetic or " if lacks else ""
        text += (
            f"; smaller ones are tight, have {arithmetic}only {SLOW} between the GPUs, "
            "or need more machines"
        )
    return text


LEAST_TOKENS = 32_768
"""A shorter context is of no use to most agents."""


def _shorter(build: Build, layout: Layout, wanted: Wanted) -> str | None:
    """With fewer GPUs a replica would hold one session that is shorter."""
    smaller = [row for row in sizing.splits(build, layout.gpu) if row.gpus < layout.split.gpus]
    if not smaller:
        return None
    split = smaller[-1]
    tokens = sizing.longest_context(build, layout.gpu, split, wanted)
    if not LEAST_TOKENS <= tokens < wanted.context_tokens:
        return None
    return f"{split.gpus} x {layout.gpu.name} would hold one session of {format_tokens(tokens)}"


def missing(build: Build, miss: Miss, wanted: Wanted) -> str:
    """What lacks, in numbers."""
    if miss.split is None:
        return f"{build.repo} cannot be split over {miss.gpu.name}"
    text = (
        f"{miss.split.gpus} x {miss.gpu.name} need {format_bytes(miss.needs_bytes)} on each "
        f"for one session of {format_tokens(wanted.context_tokens)} and have "
        f"{format_bytes(miss.budget_bytes)}"
    )
    if miss.context_tokens:
        return f"{text}; {format_tokens(miss.context_tokens)} would fit"
    return f"{text}; the weights alone are too much"
