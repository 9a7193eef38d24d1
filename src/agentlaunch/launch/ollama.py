"""Serve on Ollama: started, pulled, the context pinned in a tag, loaded, and read back."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time

from agentlaunch import records
from agentlaunch.endpoint import Endpoint
from agentlaunch.engines.base import Loaded, Served
from agentlaunch.engines.ollama import derive, life, replies
from agentlaunch.engines.ollama.client import Client
from agentlaunch.engines.ollama.facts import NAME, TOKEN, OllamaFacts
from agentlaunch.errors import (
    AgentlaunchError,
    EngineFailed,
    MachineCannot,
    Refused,
)
from agentlaunch.launch import pull
from agentlaunch.plan import Derive, LaunchPlan, Pull
from agentlaunch.plan.ollama import smaller
from agentlaunch.settings import Paths
from agentlaunch.talk import Talk
from agentlaunch.units import format_memory, format_seconds

SPILL_SHARE = 0.01


def serve(
    plan: LaunchPlan, facts: OllamaFacts, talk: Talk, paths: Paths, *, insecure: bool
) -> tuple[Served, LaunchPlan]:
    """Every step of the plan that is Ollama's; gives back the plan as it came true, which may have
    a smaller context.

    Raises `EngineFailed` for less context than planned, `MachineCannot` where it does not fit as
    planned and no smaller plan is left, and what each step raises.
    """
    begun = time.monotonic()
    found = life.Found(facts.client, facts.version) if facts.version is not None else None
    if found is None:
        found = talk.follow(life.start(os.environ, paths))
        talk.say(f"started Ollama {found.version.text}; it goes on when the agent ends")
    fetch = next((step for step in plan.steps if isinstance(step, Pull)), None)
    if fetch is not None:
        _pull(fetch, facts, found, talk, paths, insecure=insecure)
    plan, name, held = _load(plan, found.client, talk)
    _compare(plan, held, talk, paths)
    took = format_seconds(time.monotonic() - begun)
    talk.say(f"loaded {name} with {held.context_tokens or 0:,} tokens ({took})")
    token = found.client.key or TOKEN
    endpoint = Endpoint(found.client.url, found.version.wires, name, token)
    shown = found.client.show(name)
    tools = None if shown.capabilities is None else "tools" in shown.capabilities
    served = Served(NAME, endpoint, held.context_tokens, found.version.text, False, tools=tools)
    return served, plan


def _load(plan: LaunchPlan, client: Client, talk: Talk) -> tuple[LaunchPlan, str, Loaded]:
    """Pin and load, with less context where it did not fit as planned: the plan, its tag, what
    is held."""
    while True:
        step = next(step for step in plan.steps if isinstance(step, Derive))
        made = talk.follow(
            derive.derive(
                client,
                step.base,
                context_tokens=step.context_tokens,
                batch=step.batch,
                parameters=step.parameters,
            )
        )
        failure: MachineCannot | None = None
        held: Loaded | None = None
        try:
            held = talk.follow(client.load(made.name))
        except MachineCannot as error:  # it says so itself: out of memory
            failure = error
        spilled_bytes = _spilled_bytes(plan, held) if held is not None else None
        if held is not None and not spilled_bytes:
            return plan, made.name, held
        less = smaller(plan, spilled_bytes)
        if less is None:
            if held is None:
                assert failure is not None
                raise failure
            _refuse_spilled(plan, held)
            return plan, made.name, held
        text = "does not fit" if held is None else f"lies {_share(held)} in main memory"
        talk.say(
            f"{made.name} {text}: trying {less.context.engine_tokens:,} tokens of context instead"
        )
        with contextlib.suppress(AgentlaunchError):  # a tag of ours that nobody will use
            derive.remove(client, made.name)
        plan = less


def _spilled_bytes(plan: LaunchPlan, held: Loaded) -> int:
    """How much lies in main memory although it was planned for the graphics. On a machine that is
    not known, a part is a spill, and all of it a server without graphics."""
    share = replies.cpu_share(held)
    if share is None or share <= SPILL_SHARE or held.size_bytes is None:
        return 0
    placement = plan.fit.placement if plan.fit is not None else None
    if placement == "gpu" or (placement is None and share < 1):
        return held.size_bytes - (held.vram_bytes or 0)
    return 0


def _refuse_spilled(plan: LaunchPlan, held: Loaded) -> None:
    """Raise `MachineCannot`, unless the user chose model or context and so takes it as it is."""
    if plan.wish.model is not None or plan.wish.context_tokens is not None:
        return
    choice = plan.choice
    other = choice.fast if choice is not None and choice.fast is not None else None
    raise MachineCannot(
        f"{_share(held)} of {held.model} lies in main memory, so it would be slow, and "
        f"{plan.wish.agent.title} needs {plan.wish.agent.min_context_tokens:,} tokens to work",
        hint="close programs that use the graphics, or "
        + (f"take a smaller model: --model {other.id}" if other else "name one with --model")
        + f"; --model {plan.model.id} goes on anyway",
        code="spilled-to-cpu",
    )


def _share(held: Loaded) -> str:
    return f"{replies.cpu_share(held) or 0:.0%}"


def _pull(
    step: Pull, facts: OllamaFacts, found: life.Found, talk: Talk, paths: Paths, *, insecure: bool
) -> None:
    pull.refuse_offline(step.ref, talk)
    there = dataclasses.replace(facts, client=found.client, version=found.version)
    fetch = pull.look(
        step.ref, paths, None, facts=there, insecure=insecure, size_bytes=step.size_bytes
    )
    pull.run(fetch, talk, paths)


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
    if _spilled_bytes(plan, held):
        talk.warn(
            f"{_share(held)} of the model lies in main memory, so it is slow: close programs that "
            "use the graphics, or ask for a smaller --context",
            code="spilled-to-cpu",
        )
