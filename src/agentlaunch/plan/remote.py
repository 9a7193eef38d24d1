"""A launch on a server that somebody else runs: its model, its context, its wire. Pure."""

from __future__ import annotations

from agentlaunch.endpoint import HIDDEN, Endpoint
from agentlaunch.engines.remote import RemoteFacts
from agentlaunch.errors import EngineFailed, NotSupported, UsageError
from agentlaunch.plan.made import LaunchPlan, agent_install, handover
from agentlaunch.plan.remarks import context_warning
from agentlaunch.plan.sizing import Chosen
from agentlaunch.plan.steps import HandOver
from agentlaunch.plan.wish import Places, Wish, context_for
from agentlaunch.survey import Survey


def remote_plan(survey: Survey, wish: Wish, places: Places, facts: RemoteFacts) -> LaunchPlan:
    wire = next((wire for wire in wish.agent.wires if wire in facts.wires), None)
    if wire is None:
        raise NotSupported(
            f"{facts.url} speaks none of the wires of {wish.agent.title} "
            f"({', '.join(wish.agent.wires)})",
            hint="use an engine that has one of them",
        )
    model = facts.pick(wish.model)
    tokens = model.context_tokens
    if tokens is None or (wish.context_tokens is not None and wish.context_tokens < tokens):
        tokens = wish.context_tokens
    if tokens is None:
        raise UsageError(
            f"{facts.url} does not say how large its context is",
            hint="say it with --context N (tokens)",
            code="needs-context",
        )
    warnings: list[tuple[str, str]] = []
    if (wish.context_tokens or 0) > tokens:
        text = f"the engine allocates {tokens:,} tokens, fewer than asked"
        warnings.append(("context-smaller", text))
    if tokens < wish.agent.min_context_tokens and wish.model is None and not wish.context_tokens:
        raise EngineFailed(
            f"{facts.url} serves {model.name} with a context of {tokens:,} tokens; "
            f"{wish.agent.title} needs {wish.agent.min_context_tokens:,} to work",
            hint="start it with a larger context, or go on anyway with --model or --context",
            code="context-too-small",
        )
    context = context_for(wish, tokens)
    endpoint = Endpoint(facts.url, facts.wires, model.name, HIDDEN)
    agent = survey.agents[wish.agent.name]
    if not endpoint.is_loopback:
        warnings.append(("remote-engine", f"your code goes to {facts.url}"))
    steps = (*agent_install(agent), HandOver(wish.agent.name))
    return LaunchPlan(
        wish=wish,
        agent=agent,
        engine="remote",
        url=facts.url,
        model=Chosen(model.name, None, None),
        remote=facts,
        context=context,
        steps=steps,
        handover=handover(wish, agent, endpoint, context, places),
        because=(f"{facts.url} was asked for and serves {model.name}",),
        warnings=(*warnings, *context_warning(context)),
    )
