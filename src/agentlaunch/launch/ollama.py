"""Serve on Ollama: started, pulled, the context pinned in a tag, loaded, and read back."""

from __future__ import annotations

import contextlib
import os
import time

from agentlaunch import records
from agentlaunch.endpoint import Endpoint
from agentlaunch.engines.base import Loaded, Served
from agentlaunch.engines.ollama import derive, life, pull, replies
from agentlaunch.engines.ollama.facts import NAME, TOKEN, OllamaFacts
from agentlaunch.errors import EngineFailed, ModelUnavailable, Refused
from agentlaunch.plan import Derive, LaunchPlan, Pull
from agentlaunch.settings import Paths
from agentlaunch.talk import Talk
from agentlaunch.units import format_memory, format_seconds

SPILL_SHARE = 0.01


def serve(
    plan: LaunchPlan, facts: OllamaFacts, talk: Talk, paths: Paths, *, insecure: bool
) -> Served:
    """Every step of the plan that is Ollama's; what was allocated is compared with what was
    planned. Raises `EngineFailed` for less context than planned, and what each step raises."""
    begun = time.monotonic()
    found = life.Found(facts.client, facts.version) if facts.version is not None else None
    if found is None:
        found = talk.follow(life.start(os.environ, paths))
        talk.say(f"started Ollama {found.version.text}; it goes on when the agent ends")
    step = next(step for step in plan.steps if isinstance(step, Derive))
    fetch = next((step for step in plan.steps if isinstance(step, Pull)), None)
    if fetch is not None:
        _pull(fetch, found, talk, insecure=insecure)
    made = talk.follow(
        derive.derive(found.client, step.base, context_tokens=step.context_tokens, batch=step.batch)
    )
    held = talk.follow(found.client.load(made.name))
    _compare(plan, held, talk, paths)
    took = format_seconds(time.monotonic() - begun)
    talk.say(f"loaded {made.name} with {held.context_tokens or 0:,} tokens ({took})")
    token = found.client.key or TOKEN
    endpoint = Endpoint(found.client.url, found.version.wires, made.name, token)
    shown = found.client.show(made.name)
    tools = None if shown.capabilities is None else "tools" in shown.capabilities
    return Served(NAME, endpoint, held.context_tokens, found.version.text, False, tools=tools)


def _pull(step: Pull, found: life.Found, talk: Talk, *, insecure: bool) -> None:
    if talk.policy.offline:
        raise ModelUnavailable(
            f"Ollama does not have {step.ref}, and nothing is downloaded offline",
            hint="run the same command once without --offline",
            code="offline",
        )
    try:
        talk.follow(
            pull.pull(found.client, step.ref, total_bytes=step.size_bytes, insecure=insecure)
        )
    except KeyboardInterrupt:
        talk.say("stopped; the same command goes on where it stopped")
        raise


def _compare(plan: LaunchPlan, held: Loaded, talk: Talk, paths: Paths) -> None:
    """What was planned and what was allocated, said and remembered."""
    planned = plan.context.engine_tokens
    if held.context_tokens is not None and held.context_tokens < planned:
        raise EngineFailed(
            f"Ollama allocated {held.context_tokens:,} tokens of context, {planned:,} were planned",
            hint=f"ask for less: --context {held.context_tokens}",
            code="less-context",
        )
    predicted = plan.fit.total_bytes if plan.fit is not None else None
    share = replies.cpu_share(held)
    if held.size_bytes is not None:
        talk.say(f"memory {format_memory(held.size_bytes)}, {format_memory(predicted)} expected")
        row = {"predicted_bytes": predicted, "allocated_bytes": held.size_bytes, "cpu_share": share}
        with contextlib.suppress(Refused, OSError):  # comfort: forgetting it stops no launch
            records.Records(paths.state).remember("allocations", held.model, row)
    on_card = plan.fit is not None and plan.fit.placement == "gpu"
    if on_card and share is not None and share > SPILL_SHARE:
        talk.warn(
            f"{share:.0%} of the model lies in main memory, so it is slow: close programs that use "
            "the graphics, or ask for a smaller --context",
            code="spilled-to-cpu",
        )
