"""How a plan is shown: in a few lines for a person, whole as JSON."""

from __future__ import annotations

import shlex
from typing import Any

from agentlaunch import plan
from agentlaunch.agents.base import Unset
from agentlaunch.context import usable_tiers
from agentlaunch.endpoint import without_secrets
from agentlaunch.models.sampling import listed
from agentlaunch.talk import Talk
from agentlaunch.units import format_bytes, format_memory, format_span

TOOL_LISTS = ("--tools", "--available-tools")
"""Flags of agents by which a tier names the tools that are left."""


def lines(made: plan.LaunchPlan) -> list[str]:
    """The plan in a few lines, each with its reason."""
    agent, fit = made.agent, made.fit
    ours = agent.agent.package.version if agent.agent.package is not None else None
    version = agent.version or (ours if agent.path is None else None) or "?"
    where = "to be installed" if agent.path is None else str(agent.path)
    where = "installed by agentlaunch" if agent.managed else where
    rows = [
        f"agent    {agent.agent.title} {version} ({where})",
        f"model    {_model(made)}" + (f", {format_memory(fit.total_bytes)}" if fit else ""),
        f"engine   {_engine(made)}",
        f"context  {made.context.engine_tokens:,} tokens"
        + (f", {made.context.tier.name} prompt" if made.context.slim else ""),
        *(f"prompt   {text}" for text in prompt(made)),
    ]
    candidate = made.model.candidate
    if candidate is not None and candidate.speed.first_word_s is not None:
        band = candidate.speed.first_word_s
        rows.append(f"speed    first word in about {format_span(band.low, band.high)}")
    rows += [f"or       {text}" for text in other_ways(made)]
    return [*rows, *(f"         {reason}" for reason in made.because)]


def prompt(made: plan.LaunchPlan) -> list[str]:
    """What a smaller prompt leaves of the agent, why it is sent, and how to get the full one; one
    sentence, or none for the full prompt."""
    wish, tier = made.wish, made.context.tier
    agent = wish.agent
    full = agent.tiers[0]
    if tier is full or not made.context.slim:
        return []
    headless = agent.is_headless(wish.args)
    now, whole = (
        row.headless_tokens if headless else row.interactive_tokens for row in (tier, full)
    )
    window = made.context.engine_tokens
    more = full.min_context_tokens(agent.compaction)
    if full not in usable_tiers(agent.tiers, agent.compaction, window):
        larger = f"--context {more} or " if made.remote is None else ""
        way_out = f"the full one ({whole:,}) wants a window of {more:,} tokens: "
        way_out += f"{larger}--slim off sends it"
    elif wish.slim == "on":
        way_out = f"as asked; --slim off sends the full one ({whole:,})"
    else:
        way_out = f"the first word comes sooner than with the full one ({whole:,}: --slim off)"
    names = _listed_tools(tier.args)
    left = f"{tier.tools} of {full.tools} tools" + (f" ({', '.join(names)})" if names else "")
    return [f"{tier.name}, {left}, about {now:,} tokens; {way_out}"]


def _listed_tools(args: tuple[str, ...]) -> list[str]:
    """The tools that a tier names; none where it names those that it takes away, or settings."""
    for arg in args:
        flag, _equals, value = arg.partition("=")
        if flag in TOOL_LISTS:
            return value.split(",")
    return []


def _model(made: plan.LaunchPlan) -> str:
    if made.hybrid is None:
        return made.model.id
    return plan.shown_chain(made.hybrid.chains["main"])


def _engine(made: plan.LaunchPlan) -> str:
    if made.hybrid is not None:
        places = dict.fromkeys(hop.place for hop in made.hybrid.hops)
        return f"a gateway of our own (LiteLLM) on this machine, to {', '.join(places)}"
    if made.ollama is not None:
        version = made.ollama.version
        return f"Ollama {version.text} at {made.url}" if version else "Ollama, to be started"
    return made.url or "embedded llama.cpp on this machine"


def other_ways(made: plan.LaunchPlan) -> list[str]:
    """The choices beside the pick: one that answers sooner, one that is smarter."""
    rows = []
    candidate, choice = made.model.candidate, made.choice
    first = candidate.speed.first_word_s if candidate is not None else None
    if choice is not None and choice.fast is not None and choice.fast.id != made.model.id:
        sooner = choice.fast.speed.first_word_s
        if first is None or (sooner is not None and sooner.middle < first.middle):
            rows.append(f"fast: --model {choice.fast.id}")
    if first is not None and first.middle > made.wish.first_word_limit_s and not made.context.slim:
        tiers = made.wish.agent.tiers
        share = tiers[-1].interactive_tokens / tiers[0].interactive_tokens
        rows.append(
            f"fast: --slim on, the agent's smaller prompt ({100 * share:.0f} % of the full one)"
        )
    if made.lighter is not None:
        rows.append(
            f"fast: agentlaunch up {made.lighter.agent.name}, a lighter agent "
            f"(its first request has {made.lighter.agent.first_request_tokens:,} tokens)"
        )
    if choice is not None and choice.smarter is not None and choice.smarter.id != made.model.id:
        rows.append(f"smarter: --model {choice.smarter.id}")
    return rows


def draw(talk: Talk, made: plan.LaunchPlan) -> None:
    """The dry run for a person: the screen, then what would be run."""
    for line in lines(made):
        talk.answer_folded(line, indent=9)
    for number, step in enumerate(made.steps, 1):
        talk.answer_folded(f"{number:>2}. {step_text(step)}", indent=4)
    talk.answer_folded("would run: " + shlex.join(made.handover.argv), indent=11)
    talk.answer("nothing was done (dry run)")


# ---- JSON ---------------------------------------------------------------------------------


def as_json(made: plan.LaunchPlan) -> dict[str, Any]:
    """The plan as CONTRACT 3 wants it: tokens hidden, an engine not yet started at port 0."""
    context = made.context
    return {
        "agent": made.agent.agent.name,
        "agent_version": made.agent.version,
        "model": made.model.id,
        "engine": made.engine,
        "context": {
            "engine_tokens": context.engine_tokens,
            "agent_window_tokens": context.agent_window_tokens,
            "compact_at_tokens": context.compact_at_tokens,
            "max_output_tokens": context.max_output_tokens,
            "kv_cache_type": context.kv_cache_type,
            "slim": context.slim,
        },
        "fit": made.model.candidate.as_json() if made.model.candidate is not None else None,
        "steps": [step_json(step) for step in made.steps],
        "handover": handover_json(made),
        "because": list(made.because),
    }


def step_text(step: plan.Step) -> str:
    """A step in words, with what it brings and how large that is."""
    if isinstance(step, plan.Install):
        package = step.package
        fetched, kept = format_bytes(package.download_bytes), format_bytes(package.size_bytes)
        return f"install {package.source} ({fetched} to download, {kept} on disk)"
    if isinstance(step, plan.Pull):
        return f"download {step.ref} ({format_bytes(step.size_bytes)})"
    if isinstance(step, plan.StartEngine):
        if step.engine == plan.GATEWAY:
            return "start the gateway, or use the one that runs with the same routes"
        return f"{'share the running' if step.reuse else 'start the'} {step.engine} engine"
    if isinstance(step, plan.Derive):
        told = f", where it says none: {listed(step.parameters)}" if step.parameters else ""
        return f"pin {step.context_tokens:,} tokens for {step.base} in the tag {step.tag}{told}"
    if isinstance(step, plan.Load):
        return f"load {step.model} with {step.context_tokens:,} tokens of context"
    if isinstance(step, plan.Prove):
        return f"prove that {step.model} can carry the agent (once, within {step.limit_s:g} s)"
    if isinstance(step, plan.Warm):
        return f"let the engine read the prompt of {step.agent} while that starts"
    return f"become {step.agent}"


def step_json(step: plan.Step) -> dict[str, Any]:
    """A step as data: its kind and what it acts on."""
    if isinstance(step, plan.Install):
        package = step.package
        return {
            "kind": step.kind,
            "name": package.name,
            "version": package.version,
            "source": package.source,
            "size_bytes": package.size_bytes,
            "download_bytes": package.download_bytes,
        }
    if isinstance(step, plan.Pull):
        return {"kind": step.kind, "ref": step.ref, "size_bytes": step.size_bytes}
    if isinstance(step, plan.StartEngine):
        return {"kind": step.kind, "engine": step.engine, "reuse": step.reuse}
    if isinstance(step, plan.Derive):
        return {
            "kind": step.kind,
            "base": step.base,
            "tag": step.tag,
            "context_tokens": step.context_tokens,
            "batch": step.batch,
            "parameters": dict(step.parameters),
        }
    if isinstance(step, plan.Load):
        return {"kind": step.kind, "model": step.model, "context_tokens": step.context_tokens}
    if isinstance(step, plan.Prove):
        return {"kind": step.kind, "model": step.model, "limit_s": step.limit_s}
    return {"kind": step.kind, "agent": step.agent}


def handover_json(made: plan.LaunchPlan) -> dict[str, Any]:
    """What the agent would become. The token is `***` since the placeholder endpoint has none;
    a password in a proxy's address, which comes from the environment, is hidden here."""
    given = made.handover
    return {
        "argv": list(given.argv),
        "env": {k: without_secrets(v) for k, v in given.env.items() if not isinstance(v, Unset)},
        "env_unset": sorted(k for k, v in given.env.items() if isinstance(v, Unset)),
        "files": [
            {"path": str(f.path), "content": without_secrets(f.content.decode())}
            for f in given.files
        ],
        "changes": [],
    }
