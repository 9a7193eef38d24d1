"""Models: the one for this machine, what is half here, what a download left."""

from __future__ import annotations

from collections.abc import Collection

from agentlaunch.agents.base import Agent
from agentlaunch.checks.finding import Finding, Status
from agentlaunch.models.choose import Choice
from agentlaunch.survey import Survey
from agentlaunch.units import format_bytes, format_memory, plural


def recommendation(agent: Agent, choice: Choice) -> Finding:
    """The model for this agent on this machine, or the nearest miss, in one finding."""
    pick, miss = choice.pick, choice.nearest_miss
    if pick is not None:
        here = "is here and " if pick.installed else ""
        text = (
            f"{pick.id} {here}fits: {format_memory(pick.fit.total_bytes)} of "
            f"{format_memory(pick.fit.budget_bytes)} at {pick.fit.context_tokens:,} tokens"
        )
        short = pick.fit.shortage_bytes
        if short > 0:
            text += f"; {format_memory(short)} too little are free now: close something"
        elif pick.fit.verdict == "tight":
            text += "; memory is tight, so close what you do not need"
        status: Status = "warning" if short > 0 else "ok"
        return Finding("model", status, text, f"agentlaunch up {agent.name}")
    if miss is not None:
        text = (
            f"no model fits for {agent.title}; nearest is {miss.id}: it needs "
            f"{format_memory(miss.needed_bytes)}, {format_memory(miss.available_bytes)} are there"
        )
    else:
        text = f"no model could be chosen for {agent.title}"
    return Finding("model", "warning", text, "agentlaunch models --all")


def lost(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    """OLLAMA_MODELS that names no store."""
    found = survey.health.lost_models if survey.health is not None else None
    if found is None:
        return []
    folder, reason = found
    text = f"OLLAMA_MODELS names {folder}, which {reason}"
    return [Finding("ollama-models", "warning", text, "unset OLLAMA_MODELS")]


def halves(survey: Survey, _wanted: Collection[str]) -> list[Finding]:
    """Names in a store that stand for no whole model, each with what completes it."""
    rows = []
    for half in survey.health.halves if survey.health is not None else ():
        pull = "agentlaunch models pull" if half.store.ours else "ollama pull"
        text = f"{half.ref} in {half.store.root} is not whole: {half.reason}"
        rows.append(Finding("models", "warning", text, f"{pull} {half.ref}"))
    return rows


def downloads(survey: Survey, wanted: Collection[str]) -> list[Finding]:
    """What interrupted downloads left: halves that can go on, and files that no model needs."""
    rows = []
    left = survey.health.leftovers if survey.health is not None else ()
    partial = [row for row in left if row.partial]
    if partial:
        size = format_bytes(sum(row.size_bytes for row in partial))
        text = (
            f"{plural(len(partial), 'interrupted download')}, {size} so far: the command that "
            "began it goes on where it stopped; `agentlaunch clean downloads` removes it"
        )
        remedy = f"agentlaunch up {min(wanted, default='claude-code')}"
        rows.append(Finding("downloads", "info", text, remedy))
    orphans = [row for row in left if not row.partial]
    if orphans:
        size = format_bytes(sum(row.size_bytes for row in orphans))
        text = f"{plural(len(orphans), 'file')} that no model needs, {size}"
        rows.append(Finding("downloads", "info", text, "agentlaunch clean downloads"))
    return rows
