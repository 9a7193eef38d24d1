"""What a person should know about a plan: warnings with their codes, and reasons. Pure."""

from __future__ import annotations

from collections.abc import Collection

from agentlaunch.context import ContextPlan
from agentlaunch.endpoint import Wire
from agentlaunch.engines.ollama import life
from agentlaunch.models.candidate import is_slow
from agentlaunch.models.denied import WHOSE
from agentlaunch.plan.lighter import lighter_in, says_lighter
from agentlaunch.plan.sizing import Chosen, gpu_usable
from agentlaunch.plan.wish import Wish
from agentlaunch.survey import Survey, Weights
from agentlaunch.units import format_span


def engine_reasons(survey: Survey, wish: Wish) -> list[str]:
    """Why this engine may not be the best that the machine could have."""
    lines = []
    cards = [gpu for gpu in survey.machine.gpus if gpu.vendor in {"nvidia", "amd"}]
    if cards and not gpu_usable(survey, wish):
        way = life.HOW_TO_INSTALL.get(survey.machine.os or "", "https://ollama.com/download")
        other = "--engine ollama" if survey.ollama is not None else f"install it: {way}"
        lines.append(
            f"the embedded engine computes on the CPU and leaves the {cards[0].name} idle: Ollama "
            f"({other}) or a server with GPU support (--engine URL) will be faster"
        )
    return lines


def model_warnings(
    chosen: Chosen, weights: Weights | None, wish: Wish, context: ContextPlan
) -> list[tuple[str, str]]:
    """What is known against this model, and what it will be like here; rows of code and text."""
    rows: list[tuple[str, str]] = []
    file = weights.file if weights is not None else None
    candidate = chosen.candidate
    takes_tools = candidate.tools if candidate is not None else None
    if file is not None:  # its own header knows better than the catalog
        takes_tools = file.takes_tools
    if takes_tools is False and wish.agent.needs_tools:
        text = (
            f"the chat template of {chosen.id} ignores tools: the agent can talk with it, "
            "but it cannot read or change a file"
        )
        if not wish.skip_proof:
            text += "; `up` refuses it without --skip-proof"
        rows.append(("template-ignores-tools", text))
    if candidate is not None:
        if candidate.fit.shortage_bytes:
            mib = candidate.fit.shortage_bytes // 2**20
            rows.append(("memory-short-now", f"close programs: {mib:,} MiB more are needed free"))
        if candidate.leaks:
            text = f"{chosen.id} is known to print its tool calls as text: then nothing is done"
            rows.append(("tool-calls-as-text", text))
        if candidate.denied:
            rows.append(("known-problem", f"{chosen.id} is {WHOSE}"))
        if candidate.status in {"weak", "unsuitable"}:
            rows.append(
                ("weak-model", f"{chosen.id} is known to be {candidate.status} as an agent")
            )
        first = candidate.speed.first_word_s
        if first is not None and is_slow(candidate.speed, wish.first_word_limit_s):
            text = f"the first word may take {format_span(first.low, first.high)} on this machine"
            if not context.slim:
                text += "; `--slim on` sends a smaller prompt"
            elif wish.model is not None:
                text += "; `agentlaunch models` shows what is quicker"
            rows.append(("slow-first-word", text))
    return rows


def trained_warning(wish: Wish, chosen: Chosen, context: ContextPlan) -> list[tuple[str, str]]:
    """Said when the model cannot hold as much as was asked for."""
    if (wish.context_tokens or 0) <= context.engine_tokens:
        return []
    text = f"{chosen.id} was trained for {context.engine_tokens:,} tokens, fewer than asked"
    return [("context-smaller", text)]


def context_warning(
    context: ContextPlan, wish: Wish, wires: Collection[Wire]
) -> list[tuple[str, str]]:
    """The contract's own warning as a row, with the agent that would do on this server."""
    if not context.warning:
        return []
    other = lighter_in(context.engine_tokens, wires, wish)
    text = context.warning + (f"; {says_lighter(other)}" if other is not None else "")
    return [("small-context", text)]
