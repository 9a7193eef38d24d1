"""What a launch is asked for, and where its files would lie; values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agentlaunch.agents.base import Agent, Home
from agentlaunch.context import ContextPlan, make_context


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for; None means: choose for me."""

    agent: Agent
    engine: str = "embedded"
    model: str | None = None
    context_tokens: int | None = None
    kv_cache: str = "auto"
    slim: str = "auto"
    home: Home = "own"
    args: tuple[str, ...] = ()
    skip_proof: bool = False
    proof_limit_s: float | None = None
    """How long the proof before the launch may take; None where nothing is proven."""
    warm_start: bool = False
    """Is the engine to read the agent's own prompt while the agent starts?"""
    saved_prefixes_bytes: int = 0
    """What saved prompts may take on the disk; 0 keeps none."""
    output_limit_tokens: int | None = None
    """The user's own cap on one reply, from the agent's own variable."""
    first_word_limit_s: float = 60.0
    """How late the first word may come when a model is chosen."""
    offline: bool = False
    """Choose among what is downloaded, where that can carry the agent."""
    parallel: int = 1
    batch: int = 512
    flash_attention: bool | None = None
    """For sizing alone: slots, micro-batch, and flash attention where the device decides (None)."""


@dataclass(frozen=True, slots=True)
class Places:
    """Folders and names that a hand-over speaks of, as values."""

    runtime: Path
    homes: Path
    run_name: str
    environ: Mapping[str, str] = field(repr=False)
    project: Path = Path()
    """The folder that the agent is started in."""


def context_for(
    wish: Wish, engine_tokens: int, kv_cache_type: str = "f16", *, tier: str | None = None
) -> ContextPlan:
    """The context contract of this wish with an engine that allocates so much."""
    return make_context(
        wish.agent.tiers,
        wish.agent.compaction,
        engine_tokens,
        kv_cache_type=kv_cache_type,
        slim=wish.slim,
        output_limit_tokens=wish.output_limit_tokens,
        tier=tier,
    )
