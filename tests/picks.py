"""The picks for machines that people have, as a table to read and argue with.

`python tests/picks.py` prints it; `python tests/picks.py --write` keeps it in tests/data/picks.txt,
which the suite holds the program to. Change a pick only with a reason that a reader would accept.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from agentlaunch import plan, survey
from agentlaunch.agents.base import Agent
from agentlaunch.agents.claude_code import AGENT
from agentlaunch.context import Compaction, Tier
from agentlaunch.machine import simulate
from agentlaunch.models.candidate import Candidate
from agentlaunch.units import format_span, format_tokens

FILE = Path(__file__).parent / "data" / "picks.txt"

MACHINES = (
    ("small laptop", "ram=8GiB"),
    ("laptop", "ram=16GiB"),
    ("desktop", "ram=32GiB"),
    ("gaming laptop", "ram=32GiB,gpu=RTX 4060 Laptop:8GiB"),
    ("12 GB card", "ram=32GiB,gpu=RTX 3060:12GiB"),
    ("16 GB card", "ram=32GiB,gpu=RTX 4060 Ti:16GiB"),
    ("24 GB card", "ram=64GiB,gpu=RTX 4090:24GiB"),
    ("32 GB card", "ram=64GiB,gpu=RTX 5090:32GiB"),
    ("two 24 GB cards", "ram=64GiB,gpu=RTX 3090:24GiB,gpu=RTX 3090:24GiB"),
    ("H100 server", "ram=256GiB,gpu=H100 SXM:80GiB"),
    ("MacBook Air", "chip=M2,ram=16GiB"),
    ("MacBook Pro", "chip=M3 Max,ram=36GiB"),
    ("large MacBook Pro", "chip=M4 Max,ram=128GiB"),
    ("Mac Studio", "chip=M3 Ultra,ram=512GiB"),
)

# Agents that have no room yet stand here with their measured first requests (Codex 0.169.0,
# OpenCode 1.18.33: cl100k tokens, one-line prompt) and their rule of compaction.
CODEX = replace(
    AGENT,
    name="codex",
    tiers=(Tier("full", (), 13, 8_834, 8_834), Tier("slim", (), 4, 6_000, 6_000)),
    compaction=Compaction(most_reply_tokens=32_000, reserve_tokens=0),
)
OPENCODE = replace(
    AGENT,
    name="opencode",
    tiers=(Tier("full", (), 9, 6_561, 6_561),),
    compaction=Compaction(most_reply_tokens=32_000, reserve_tokens=0),
)
AGENTS: tuple[Agent, ...] = (AGENT, CODEX, OPENCODE)

HEADS = ("agent", "pick", "fit", "window", "first word", "tokens/s", "fast", "smarter")


def table() -> str:
    """The whole file."""
    lines = [
        "What agentlaunch picks, offline and with nothing downloaded, on fourteen machines.",
        "To see one whole: agentlaunch models --simulate SPEC",
        "(codex and opencode stand here with their measured first request; no launch of them yet)",
        "To write this file anew: python tests/picks.py --write",
    ]
    for name, spec in MACHINES:
        rows = [HEADS, *(_row(spec, agent) for agent in AGENTS)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += ["", f"{name}: {spec}"]
        for row in rows:
            cells = (cell.ljust(size) for cell, size in zip(row, widths, strict=True))
            lines.append(("  " + "  ".join(cells)).rstrip())
    return "\n".join(lines) + "\n"


def _row(spec: str, agent: Agent) -> tuple[str, ...]:
    world = survey.simulated(simulate.load(spec))
    choice = plan.choose_model(world, plan.Wish(agent))
    pick = choice.pick
    if pick is None:
        near = choice.nearest_miss.id if choice.nearest_miss is not None else "-"
        return (agent.name, "nothing", "no", "-", "-", "-", "-", f"nearest: {near}")
    return (
        agent.name,
        pick.id,
        f"{pick.fit.verdict}, {pick.fit.placement}",
        format_tokens(pick.fit.context_tokens),
        _first_word(pick),
        _decode(pick),
        choice.fast.id if choice.fast is not None else "-",
        choice.smarter.id if choice.smarter is not None else "-",
    )


def _first_word(row: Candidate) -> str:
    band = row.speed.first_word_s
    return "?" if band is None else f"{format_span(band.low, band.high)} ({row.request})"


def _decode(row: Candidate) -> str:
    band = row.speed.decode_tokens_per_s
    return "?" if band is None else f"{band.low:.0f}-{band.high:.0f}"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        FILE.write_text(table(), encoding="utf-8")
    else:
        sys.stdout.write(table())
