"""A launch over several endpoints: chains by role behind a gateway of ours. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from agentlaunch import policy
from agentlaunch.endpoint import HIDDEN, Endpoint, Wire
from agentlaunch.gateway.spec import MODEL_NAMES
from agentlaunch.managed import Package
from agentlaunch.plan.made import (
    Hybrid,
    LaunchPlan,
    PlannedHop,
    Roles,
    agent_install,
    handover,
)
from agentlaunch.plan.remarks import context_warning
from agentlaunch.plan.sizing import Chosen
from agentlaunch.plan.steps import HandOver, Install, Prove, StartEngine, Step, Warm
from agentlaunch.plan.wish import Places, Wish, context_for
from agentlaunch.survey import Survey

GATEWAY = "gateway"
WIRES: tuple[Wire, ...] = ("anthropic_messages", "openai_responses", "openai_chat")
"""What LiteLLM's proxy speaks (1.106.2, run)."""
ADDRESS = "http://127.0.0.1:0"
"""Of a gateway that is not started yet."""


def hybrid_plan(
    survey: Survey, wish: Wish, places: Places, hybrid: Hybrid, package: Package | None
) -> LaunchPlan:
    """The launch over these chains; `package` is the router, where it is to be installed."""
    main = hybrid.chains["main"]
    first = main[0]
    tokens = max(hop.context_tokens for hop in main)
    context = context_for(wish, tokens)
    agent = survey.agents[wish.agent.name]
    roles = Roles(
        small=MODEL_NAMES["small"] if "small" in hybrid.chains else "",
        subagent=MODEL_NAMES["small"] if hybrid.subagent == "small" else "",
    )
    endpoint = Endpoint(ADDRESS, WIRES, MODEL_NAMES["main"], HIDDEN)
    chosen = first.local.model if first.local is not None else Chosen(first.model, None, None)
    return LaunchPlan(
        wish=wish,
        agent=agent,
        engine=GATEWAY,
        url=None,
        model=chosen,
        remote=None,
        context=context,
        steps=tuple(_steps(hybrid, agent_install(agent), package, wish)),
        handover=handover(wish, agent, endpoint, context, places, roles=roles),
        because=tuple(_because(hybrid, tokens)),
        warnings=(*_warnings(hybrid, tokens), *context_warning(context, wish, WIRES)),
        hybrid=hybrid,
        roles=roles,
    )


def _steps(
    hybrid: Hybrid, agent: list[Step], package: Package | None, wish: Wish
) -> Iterator[Step]:
    """Every step of the local launches once, then the router's."""
    yield from agent
    seen: list[Step] = list(agent)
    for made in hybrid.locals:
        for step in made.steps:
            if step not in seen and not isinstance(step, HandOver | Prove | Warm):
                seen.append(step)
                yield step
    if package is not None:
        yield Install(package)
    yield StartEngine(GATEWAY, reuse=False)
    yield HandOver(wish.agent.name)


def narrowed(plan: LaunchPlan, lost: PlannedHop) -> LaunchPlan | None:
    """The plan where an endpoint turned out not to be had; None where nobody else answers."""
    left = plan.hybrid.without(lost) if plan.hybrid is not None else None
    if left is None:
        return None
    tokens = max(hop.context_tokens for hop in left.chains["main"])
    return replace(plan, hybrid=left, context=context_for(plan.wish, tokens))


def shown_chain(chain: tuple[PlannedHop, ...]) -> str:
    """`hosted (al-main) → local (qwen3.5:9b)`."""
    return " → ".join(f"{hop.word.shown} ({hop.model})" for hop in chain)


def _because(hybrid: Hybrid, tokens: int) -> Iterator[str]:
    for role, chain in hybrid.chains.items():
        yield f"{role}: {shown_chain(chain)}"
    if "small" not in hybrid.chains:
        yield "small work goes the same way (routes.small is not set)"
    main = hybrid.chains["main"]
    if len(main) > 1 or hybrid.routing == "auto":
        yield f"the agent's window is the largest of the main chain, {tokens:,} tokens"
    if hybrid.routing == "auto":
        yield "routed by what is asked, English words alone (routes.routing = auto)"
    if hybrid.cap_usd is not None:
        yield f"managed calls end for the day at ${hybrid.cap_usd:.2f} ({hybrid.cap_origin})"
    for hop in hybrid.hops:
        if hop.price is not None:
            yield f"{hop.word.shown} costs {hop.price} ({hop.price.source})"


def _warnings(hybrid: Hybrid, tokens: int) -> Iterator[tuple[str, str]]:
    for hop in hybrid.hops:
        if hop.remote is not None:
            preset = hop.remote.preset
            note = preset.note if preset is not None else ""
            yield from policy.host_warnings(hop.remote.url, hop.remote.key, note=note)
        if hop.local is not None:
            for code, text in hop.local.warnings:
                yield code, f"where {hop.word.shown} answers: {text}"
        if not hop.answers:
            yield (
                "endpoint-down",
                f"{hop.word.shown} ({hop.place}) does not answer now: the chain goes on without it "
                "until it does",
            )
        if hop.managed and hop.price is None:
            yield "price-unknown", f"what {hop.model} costs at {hop.word.shown} is not known"
    for hop in hybrid.chains["main"]:
        if hop.context_tokens < tokens:
            yield (
                "smaller-window",
                f"{hop.word.shown} holds {hop.context_tokens:,} tokens: a longer session can go on "
                "only where the window is larger",
            )
    if len(hybrid.locals) > 1:
        yield (
            "two-local-models",
            "several models are loaded on this machine, and each was sized as if it were alone",
        )
