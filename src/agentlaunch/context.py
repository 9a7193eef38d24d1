"""The context contract: what the engine allocates, what the agent is told, when it compacts. Pure.

engine >= agent window, always. A tier (one size of the agent's own prompt) is allowed only when the
agent's compaction point leaves room for its first interactive request and some work. When an agent
compacts is its own rule and stands in its spec.
"""

from __future__ import annotations

from dataclasses import dataclass

WORK_TOKENS = 8_000
"""Room for work beyond the first request below which a tier is not worth starting."""

PAD_TOKENS = 256
"""The engine allocates whole multiples of this (facts: llama.cpp, n_ctx padding)."""


@dataclass(frozen=True, slots=True)
class Compaction:
    """When an agent compacts: at `share` of window - min(reply, `most_reply_tokens`) -
    `reserve_tokens`. One that never does works until that point and then fails."""

    most_reply_tokens: int
    reserve_tokens: int
    share: float = 1.0
    automatic: bool = True

    def point(self, window_tokens: int, output_tokens: int) -> int:
        """Tokens of a session at which it begins; may be negative in a window that is too small."""
        room = window_tokens - min(output_tokens, self.most_reply_tokens) - self.reserve_tokens
        return int(self.share * room)


@dataclass(frozen=True, slots=True)
class Tier:
    """One size of an agent's own prompt: arguments, and measured tokens of the first request."""

    name: str
    args: tuple[str, ...]
    tools: int
    headless_tokens: int
    interactive_tokens: int

    def min_context_tokens(self, compaction: Compaction) -> int:
        """The smallest window, in steps of 1,024, whose compaction point leaves room for the
        first request and some work."""
        need = self.interactive_tokens + WORK_TOKENS
        window = -(-need // 1024) * 1024
        while compaction.point(window, output_cap(window)) < need:
            window += 1024
        return window


@dataclass(frozen=True, slots=True)
class ContextPlan:
    """The contract of one launch, in tokens. `compact_at_tokens` is None when the agent never
    compacts, or the window is too small for it: then it is switched off and said."""

    engine_tokens: int
    agent_window_tokens: int
    compact_at_tokens: int | None
    max_output_tokens: int
    kv_cache_type: str
    tier: Tier
    slim: bool
    warning: str | None = None


def output_cap(window_tokens: int) -> int:
    """Most tokens of one reply: an eighth of the window, between 1,024 and 32,000.

    Claude Code asks for 32,000 by default, which leaves nothing of a 32k window.
    """
    return max(1_024, min(32_000, window_tokens // 8))


def make_context(
    tiers: tuple[Tier, ...],
    compaction: Compaction,
    engine_tokens: int,
    *,
    kv_cache_type: str = "f16",
    slim: str = "auto",
    output_limit_tokens: int | None = None,
    tier: str | None = None,
) -> ContextPlan:
    """The contract for an engine that allocates `engine_tokens` for one slot.

    `slim` is auto (largest tier that the window carries), off (the full prompt) or on (never the
    full prompt); `tier` names the one of these that was chosen for its speed. A window that
    carries no tier gets the smallest one and a warning. `output_limit_tokens` is the user's own
    cap on one reply, when it is lower than ours.
    """
    window = engine_tokens
    output = min(output_cap(window), output_limit_tokens or window, window)
    compact_at = compaction.point(window, output)
    allowed = _carried(tiers, compact_at)
    usable = _usable(tiers, allowed, slim)
    chosen = next((row for row in usable if row.name == tier), usable[0])
    warning: str | None = None
    if chosen not in allowed:
        warning = (
            f"a context of {engine_tokens:,} tokens is small for this agent: its first request "
            f"takes about {chosen.interactive_tokens:,}; "
            f"have {chosen.min_context_tokens(compaction):,} or more"
        )
    can_compact = compaction.automatic and compact_at >= chosen.interactive_tokens + 1_000
    return ContextPlan(
        engine_tokens=engine_tokens,
        agent_window_tokens=window,
        compact_at_tokens=compact_at if can_compact else None,
        max_output_tokens=output,
        kv_cache_type=kv_cache_type,
        tier=chosen,
        slim=chosen is not tiers[0],
        warning=warning,
    )


def usable_tiers(
    tiers: tuple[Tier, ...], compaction: Compaction, engine_tokens: int, *, slim: str = "auto"
) -> tuple[Tier, ...]:
    """The tiers that may be chosen in this window, fullest first; never empty."""
    compact_at = compaction.point(engine_tokens, output_cap(engine_tokens))
    return _usable(tiers, _carried(tiers, compact_at), slim)


def _carried(tiers: tuple[Tier, ...], compact_at: int) -> tuple[Tier, ...]:
    return tuple(row for row in tiers if compact_at >= row.interactive_tokens + WORK_TOKENS)


def _usable(tiers: tuple[Tier, ...], allowed: tuple[Tier, ...], slim: str) -> tuple[Tier, ...]:
    if slim == "off":
        return tiers[:1]
    if slim == "on" and len(tiers) > 1:
        allowed = tuple(row for row in allowed if row is not tiers[0])
    return allowed or tiers[-1:]


def padded(tokens: int) -> int:
    """Rounded up to what the engine really allocates."""
    return -(-tokens // PAD_TOKENS) * PAD_TOKENS
