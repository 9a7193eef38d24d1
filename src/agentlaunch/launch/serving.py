"""Bring what a plan needs, and make its model answer: environments, downloads, the engine."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterable
from pathlib import Path

from agentlaunch import managed
from agentlaunch.engines import llama_cpp, llama_cpp_prefixes, remote
from agentlaunch.engines.base import Served, ServeRequest
from agentlaunch.errors import (
    AgentlaunchError,
    CheckFailed,
    ModelUnavailable,
)
from agentlaunch.gateway import life
from agentlaunch.launch import pull
from agentlaunch.launch.terms import Terms
from agentlaunch.models import identity, sampling, store
from agentlaunch.models.refs import parse_ref
from agentlaunch.plan import (
    Install,
    LaunchPlan,
    Places,
    Pull,
    Step,
    served_name,
)
from agentlaunch.settings import Paths
from agentlaunch.talk import Talk
from agentlaunch.units import format_seconds


def bring(plan: LaunchPlan, terms: Terms) -> LaunchPlan:
    """Install and download what is missing; what Ollama is to have, it fetches when it serves.

    Gives the plan back without the endpoints of this machine that could not be brought. Raises what
    an installation or a download raises, where the launch cannot go on without it.
    """
    if plan.hybrid is None:
        _install(plan.steps, terms)
        if plan.ollama is None:
            _download(plan, terms)
        return plan
    from agentlaunch.launch import gateway

    agents = _of_the_agent(plan)  # in the plan's own steps, where it is to be brought at all
    behind = {step.package for made in plan.hybrid.locals for step in made.steps
              if isinstance(step, Install)} - agents  # fmt: skip
    own = [row for row in plan.steps if not isinstance(row, Install) or row.package not in behind]
    _install(own, terms)
    for hop in plan.hybrid.hops:
        if hop.local is None:
            continue
        rows = [
            row for row in hop.local.steps
            if row not in own and not (isinstance(row, Install) and row.package in agents)
        ]  # fmt: skip
        try:
            _install(rows, terms)
            if hop.local.ollama is None:
                _download(hop.local, terms)
        except AgentlaunchError as error:
            plan = gateway.go_on_without(plan, hop, error, terms)
        else:
            own += rows
    return plan


def _of_the_agent(plan: LaunchPlan) -> set[managed.Package]:
    package = plan.agent.agent.package
    return {managed.NODE, *([package] if package is not None else [])}


def _install(steps: Iterable[Step], terms: Terms) -> None:
    for step in steps:
        if isinstance(step, Install):
            begun = time.monotonic()
            offline = terms.talk.policy.offline
            terms.talk.follow(managed.install(step.package, terms.paths, offline=offline))
            _timed(terms.talk, f"installed {step.package.source}", time.monotonic() - begun)


def _download(plan: LaunchPlan, terms: Terms) -> None:
    talk = terms.talk
    for step in plan.steps:
        if isinstance(step, Pull):
            begun = time.monotonic()
            pull.refuse_offline(step.ref, talk)
            found = pull.look(
                step.ref,
                terms.paths,
                None,
                facts=None,
                insecure=terms.insecure,
                size_bytes=step.size_bytes,
            )
            pull.run(found, talk, terms.paths, limit_bytes=terms.limit_bytes)
            _timed(talk, f"downloaded {step.ref}", time.monotonic() - begun)


def serve(plan: LaunchPlan, terms: Terms) -> tuple[Served, LaunchPlan]:
    """The model answers: where, and by the plan as it came true."""
    if plan.hybrid is not None:
        from agentlaunch.launch import gateway  # rooms that cost milliseconds others need not pay

        liked = plan.hybrid.chains["main"][0].local
        return gateway.serve(plan, terms, lambda made: _behind(made, liked, terms))
    if plan.ollama is not None:
        from agentlaunch.launch import ollama

        served, plan = ollama.serve(
            plan,
            plan.ollama,
            terms.talk,
            terms.paths,
            insecure=terms.insecure,
            limit_bytes=terms.limit_bytes,
            undo=terms.undo,
        )
    elif plan.remote is not None:
        served = terms.talk.follow(
            remote.Remote(plan.remote, plan.wish.agent.wires).serve(
                ServeRequest(plan.model.id, None, plan.context.engine_tokens)
            )
        )
    else:
        served = _embedded(plan, terms)
    _refuse_without_tools(plan, served)
    if plan.remote is not None:
        terms.talk.say(f"{plan.remote.url} serves {served.endpoint.model}")
    return served, plan


def _behind(plan: LaunchPlan, liked: LaunchPlan | None, terms: Terms) -> Served:
    """An endpoint of a chain. One that only stands in for others does not end the launch where it
    takes no tools: the proof of the chain says so."""
    wish = plan.wish if plan is liked else dataclasses.replace(plan.wish, skip_proof=True)
    return serve(dataclasses.replace(plan, wish=wish), terms)[0]


def start_gateway(plan: LaunchPlan, terms: Terms) -> life.Running:
    """The gateway of a plan by itself, without an agent; everything that it needs is brought."""
    from agentlaunch.launch import gateway

    plan, served = gateway.serve_local(
        bring(plan, terms), terms, lambda made: serve(made, terms)[0]
    )
    spec = gateway.spec_of(gateway.hybrid_of(plan), lambda made: served[id(made)])
    return gateway.run(spec, terms)


def _embedded(plan: LaunchPlan, terms: Terms) -> Served:
    begun = time.monotonic()
    request = _request(plan, terms.paths)
    engine = llama_cpp.LlamaCpp(
        terms.paths,
        llama_cpp.Timing(idle_s=60.0 * terms.idle_minutes),
        _kept(plan, terms.where),
    )
    served = terms.talk.follow(engine.serve(request))
    took = format_seconds(time.monotonic() - begun)
    if served.reused:
        others = f", shared with {served.sessions} running" if served.sessions else ""
        terms.talk.say(f"{served.endpoint.model} is loaded already: reused{others} ({took})")
    else:
        tokens = served.context_tokens
        terms.talk.say(f"loaded {served.endpoint.model} with {tokens:,} tokens ({took})")
    if request.path is not None:
        served = dataclasses.replace(served, digest=identity.digest_of(request.path))
    return served


def _kept(plan: LaunchPlan, where: Places) -> llama_cpp_prefixes.Keep | None:
    """What is read of this agent's prompt, in this tier and folder, is kept for the next launch."""
    wish = plan.wish
    if not wish.saved_prefixes_bytes:
        return None
    name = llama_cpp_prefixes.name_of(wish.agent.name, plan.context.tier.name, str(where.project))
    return llama_cpp_prefixes.Keep(name, wish.saved_prefixes_bytes)


def _refuse_without_tools(plan: LaunchPlan, served: Served) -> None:
    ignores = served.tools is False and plan.wish.agent.needs_tools
    if ignores and not plan.wish.skip_proof:
        raise ignores_tools(served.endpoint.model, plan.wish.agent.title)


def ignores_tools(model: str, agent: str) -> CheckFailed:
    """The end for a model whose chat template drops tools without a word."""
    return CheckFailed(
        f"the chat template of {model} ignores tools, so {agent} could not read or change a file",
        hint="choose another model (`agentlaunch models`), or add --skip-proof to try anyway",
        code="template-ignores-tools",
    )


def _request(plan: LaunchPlan, paths: Paths) -> ServeRequest:
    path: Path | None = None
    projector: Path | None = None
    if plan.model.weights is not None and plan.model.weights.path is not None:
        path, projector = plan.model.weights.path, plan.model.weights.projector
    else:
        ref = parse_ref(plan.model.id)
        found = store.find_stored(store.stores(paths, os.environ), ref)
        if found is None:
            raise ModelUnavailable(
                f"{plan.model.id} is not in any store here",
                hint=f"agentlaunch models pull {plan.model.id}",
            )
        path, projector = found.model_path, found.projector_path
    return ServeRequest(
        model=served_name(plan.model.id),
        path=path,
        context_tokens=plan.context.engine_tokens,
        kv_cache_type=plan.context.kv_cache_type,
        projector=projector,
        tuning=sampling.for_model(plan.model.id),
    )


def _timed(talk: Talk, text: str, seconds: float) -> None:
    talk.say(f"{text} ({format_seconds(seconds)})")
