"""A launch on a server that somebody else runs: its model, its context, its wire. Pure."""

from __future__ import annotations

from dataclasses import replace

from agentlaunch import policy
from agentlaunch.endpoint import HIDDEN
from agentlaunch.engines.presets import of_kind
from agentlaunch.engines.remote_facts import RemoteFacts, RemoteModel
from agentlaunch.errors import EngineFailed, NotSupported, UsageError
from agentlaunch.plan.lighter import lighter_in, says_lighter
from agentlaunch.plan.made import LaunchPlan, agent_install, handover
from agentlaunch.plan.remarks import context_warning
from agentlaunch.plan.sizing import Chosen
from agentlaunch.plan.steps import HandOver
from agentlaunch.plan.wish import Places, Wish, context_for
from agentlaunch.survey import Survey


def remote_plan(survey: Survey, wish: Wish, places: Places, facts: RemoteFacts) -> LaunchPlan:
    """Raises `NotSupported` without a shared wire, `UsageError` where the model or its context is
    not told, `EngineFailed` where the context is too small for the agent."""
    wire = facts.wire(wish.agent.wires)
    if wire is None:
        raise NotSupported(
            f"{facts.url} speaks none of the wires of {wish.agent.title} "
            f"({', '.join(wish.agent.wires)})",
            hint=_without_wire(facts),
        )
    model = facts.pick(wish.model)
    tokens = context_of(facts, model, wish.context_tokens)
    warnings = _about_host(facts)
    if (wish.context_tokens or 0) > tokens:
        text = f"the engine allocates {tokens:,} tokens, fewer than asked"
        warnings.append(("context-smaller", text))
    if tokens < wish.agent.min_context_tokens and wish.model is None and not wish.context_tokens:
        raise EngineFailed(
            f"{facts.url} serves {model.name} with a context of {tokens:,} tokens; "
            f"{wish.agent.title} needs {wish.agent.min_context_tokens:,} to work",
            hint=_in_a_small_window(facts, wish, tokens),
            code="context-too-small",
        )
    if model.tools is False and wish.agent.needs_tools:
        text = f"{model.name} takes no tools at {facts.url}: the agent cannot read or change a file"
        if not wish.skip_proof:
            text += "; `up` refuses it without --skip-proof"
        warnings.append(("template-ignores-tools", text))
    asks = wish.agent.asks_about_key and not wish.agent.is_headless(wish.args)
    if asks and facts.token_header == "x-api-key":  # noqa: S105 - the name of a header
        text = f"{wish.agent.title} itself asks whether to use this API key: answer yes"
        warnings.append(("agent-asks", text))
    context = context_for(_within(wish, model), tokens)
    endpoint = facts.endpoint(model.name, wire, HIDDEN)
    agent = survey.agents[wish.agent.name]
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
        because=_because(wish, facts, model, tokens),
        warnings=(*warnings, *context_warning(context, wish, facts.wires)),
    )


def context_of(facts: RemoteFacts, model: RemoteModel, asked: int | None) -> int:
    """Tokens that one session has: what the server says, less where `asked` is less.

    Raises `UsageError` where neither tells.
    """
    told = model.context_tokens
    if told is not None and asked is not None:
        return min(told, asked)
    if told is not None:
        most = facts.preset.most_context_tokens if facts.preset is not None else None
        return told if most is None else min(told, most)
    if asked is not None:
        return asked
    hint = "say it with --context N (tokens)"
    if facts.kind == "ollama":
        hint = f"let its own API set it: {_as_ollama(facts)}; or {hint}"
    elif facts.preset is not None:
        hint = facts.preset.context_hint
    raise UsageError(
        f"{facts.url} does not say how large the context of {model.name} is",
        hint=hint,
        code="needs-context",
    )


def _in_a_small_window(facts: RemoteFacts, wish: Wish, tokens: int) -> str:
    other = lighter_in(tokens, facts.wires, wish)
    ways = [] if other is None else [says_lighter(other, f" --engine {facts.url}")]
    ways += ["start it with a larger context", "go on anyway with --model or --context"]
    return "; or ".join(ways)


def _within(wish: Wish, model: RemoteModel) -> Wish:
    """A reply may not be asked to be longer than the server lets the model write."""
    most, own = model.max_output_tokens, wish.output_limit_tokens
    if most is None or (own is not None and own <= most):
        return wish
    return replace(wish, output_limit_tokens=most)


def _because(wish: Wish, facts: RemoteFacts, model: RemoteModel, tokens: int) -> tuple[str, ...]:
    version = f" {facts.version}" if facts.version else ""
    rows = [f"{facts.url} was asked for and serves {model.name}"]
    if facts.kind != "unknown":
        title = "Ollama" if facts.kind == "ollama" else facts.title
        rows.append(f"it is {title}{version}")
    preset = of_kind(facts.kind)
    if preset is not None and model.context_tokens is not None:
        least = "" if tokens == model.context_tokens else f", {tokens:,} of it used"
        rows.append(f"its context: {model.context_tokens:,} tokens{least} ({preset.context})")
    price = facts.price(model)
    if price is not None:
        rows.append(f"it costs {price} ({price.source})")
    if wish.skip_proof and model.tools is False and wish.agent.needs_tools:
        rows.append("tools are known to be dropped there: --skip-proof")
    return tuple(rows)


def _about_host(facts: RemoteFacts) -> list[tuple[str, str]]:
    """What the user should know of where the code goes, at every launch."""
    note = facts.preset.note if facts.preset is not None else ""
    rows = policy.host_warnings(facts.url, facts.key, note=note)
    if facts.kind == "ollama":
        text = (
            "this is Ollama: by its address alone the context stays what the server loads; "
            f"`{_as_ollama(facts)}` sets it"
        )
        rows.append(("ollama-by-url", text))
    return rows


def _as_ollama(facts: RemoteFacts) -> str:
    return f"OLLAMA_HOST={facts.url} agentlaunch up --engine ollama"


def _without_wire(facts: RemoteFacts) -> str:
    if facts.kind in ("openai", "unknown"):
        return "put a gateway that translates in front of it, such as LiteLLM: --engine litellm"
    if facts.kind == "lm-studio":
        return "update it: LM Studio has this wire from 0.4.1 on"
    return "update it, or use an engine that has one of them"
