"""How much of a second turn does the engine read again? What came from its cache. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentlaunch.proof.check import Check
from agentlaunch.proof.dialogue import Turn
from agentlaunch.proof.exchange import Exchange
from agentlaunch.proof.first_word import WARM_SHARE
from agentlaunch.proof.recording import Recording

GOOD_SHARE = 0.8
LEAST_S = 1.0
"""A first turn that took less tells nothing by the clock."""
NEVER_TOLD = frozenset({"ollama"})
"""Engines that say that nothing was cached because they do not say it (Ollama 0.33)."""
BILLING_HEADER = "x-anthropic-billing-header"
_BILLING: tuple[str, str | None] = (
    f"the agent's prompt begins with {BILLING_HEADER}, which changes",
    "set CLAUDE_CODE_ATTRIBUTION_HEADER=0, as a launch does",
)


def judge(
    exchange: Exchange,
    recording: Recording,
    *,
    slots: int | None,
    rewinds: bool | None,
    engine: str,
    cold_s: float | None = None,
) -> Check:
    """The check "prefix". `slots` is how many sessions the engine holds at once, `rewinds` whether
    the model can go back to any place of a prompt (not one with recurrent or windowed layers),
    `cold_s` how long a speed measured with other prompts makes expect for one that nobody read."""
    first, second = exchange.first, exchange.second
    if first is None or second is None:
        return Check("prefix", "skipped", "a second turn was not measured in time")
    if second.status != 200:
        text = f"a second turn is refused ({second.status}): {second.error}"
        return Check("prefix", "skipped", text)
    share, how = _share(exchange, engine, cold_s)
    measured = {
        "prompt_tokens": second.prompt_tokens,
        "cached_tokens": second.cached_tokens,
        "share": round(share, 3) if share is not None else None,
        "how": how,
    }
    if share is None:
        text = "the engine does not tell what it reads again, nor does the clock"
        return Check("prefix", "skipped", text, measured)
    if share >= GOOD_SHARE and _has_billing_header(recording):
        cause, remedy = _BILLING
        text = f"a new conversation reads its whole prompt again: {cause}"
        return Check("prefix", "warning", text, measured | {"cause": cause}, remedy)
    if share >= GOOD_SHARE:
        text = f"a second turn finds {share:.0%} of its prompt in the cache"
        return Check("prefix", "ok", text, measured)
    cause, remedy = _cause(recording, slots=slots, rewinds=rewinds, engine=engine)
    text = f"a second turn reads {1 - share:.0%} of its prompt again: {cause}"
    return Check("prefix", "warning", text, measured | {"cause": cause}, remedy)


def _share(
    exchange: Exchange, engine: str, cold_s: float | None
) -> tuple[float | None, str | None]:
    first, second = exchange.first, exchange.second
    assert first is not None
    assert second is not None
    if second.cached_tokens and second.prompt_tokens:
        return min(1.0, second.cached_tokens / second.prompt_tokens), "told by the engine"
    by_clock = _by_the_clock(first, second, cold_s)
    if by_clock is not None and by_clock >= GOOD_SHARE:
        return by_clock, "by the clock"  # a told 0 is what many say who do not know
    if second.cached_tokens == 0 and engine not in NEVER_TOLD:
        return 0.0, "told by the engine"
    return (None, None) if by_clock is None else (by_clock, "by the clock")


def _by_the_clock(first: Turn, second: Turn, cold_s: float | None) -> float | None:
    """None where it cannot be told: too quick, or nobody knows whether the first turn was cold."""
    whole_s = first.took_s
    if cold_s is not None and first.took_s < WARM_SHARE * cold_s:
        whole_s = cold_s
    if whole_s < LEAST_S:
        return None
    share = max(0.0, 1 - second.took_s / whole_s)
    return share if share >= GOOD_SHARE or cold_s is not None else None


def _has_billing_header(recording: Recording) -> bool:
    return BILLING_HEADER in str(recording.body.get("system", ""))[:2_000]


def _cause(
    recording: Recording, *, slots: int | None, rewinds: bool | None, engine: str
) -> tuple[str, str | None]:
    if _has_billing_header(recording):
        return _BILLING
    moved = _first_difference(recording)
    if moved is not None:
        return f"the agent's own prompt changes between requests ({moved})", None
    if recording.beside and slots == 1:
        text = "another request of the agent (a title, a summary) takes the engine's only slot"
        return text, "give the engine two slots, or a prompt cache in memory"
    if rewinds is False:
        text = (
            "the model has recurrent or windowed layers, which cannot go back to where the prompts "
            "part"
        )
        return text, "a newer engine keeps checkpoints; else choose another model"
    if engine == "vllm":
        return "no cause was found here", "start vLLM with --enable-prefix-caching"
    return "no cause was found here", "see the server's own log"


def _first_difference(recording: Recording) -> str | None:
    """What moves at the start of the prompt, where two recorded requests share their tools."""
    mine = _opening(recording.body)
    for other in recording.beside:
        if not other.get("tools") or other.get("tools") != recording.body.get("tools"):
            continue
        for name, text in mine.items():
            there = _opening(other).get(name, "")
            if text != there:
                at = next(
                    (n for n, (a, b) in enumerate(zip(text, there, strict=False)) if a != b), 0
                )
                return f"{name}: …{' '.join(text[max(0, at - 20) : at + 20].split())}…"
    return None


def _opening(body: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(body.get(name, "")) for name in ("system", "instructions")}
