"""While a large model is fetched: which other one could serve until it is here. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from agentlaunch.plan.made import LaunchPlan
from agentlaunch.plan.steps import Pull

LARGE_BYTES = 2 * 10**9
"""From this download on, waiting is worth a question: three minutes at 90 Mbit/s."""
MUCH_SMALLER = 4
"""A model that is not here either helps only when it comes in a quarter of the time."""


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What would be fetched in the background, and the model to start with; its size is 0 bytes
    where it is here already."""

    fetch: str
    fetch_bytes: int
    model: str
    model_bytes: int


def meanwhile(made: LaunchPlan) -> Meanwhile | None:
    """The best ranked other model that is here or much smaller; None where the download is small,
    or the model was asked for by name."""
    pull = next((step for step in made.steps if isinstance(step, Pull)), None)
    if pull is None or made.choice is None or (pull.size_bytes or 0) <= LARGE_BYTES:
        return None
    size = pull.size_bytes or 0
    others = [row for row in made.choice.candidates if row.pickable and row.id != made.model.id]
    for row in others:
        if row.installed:
            return Meanwhile(pull.ref, size, row.id, 0)
    for row in others:
        if row.size_bytes is not None and row.size_bytes * MUCH_SMALLER <= size:
            return Meanwhile(pull.ref, size, row.id, row.size_bytes)
    return None
