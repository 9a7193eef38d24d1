"""Serve behind a gateway: every endpoint of this machine first, then the router over them all."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

from agentlaunch.agents.base import own_folder
from agentlaunch.endpoint import Endpoint
from agentlaunch.engines.base import Served
from agentlaunch.errors import (
    AgentlaunchError,
    EngineFailed,
    MachineCannot,
    ModelUnavailable,
    Refused,
)
from agentlaunch.gateway import events, life, status_line
from agentlaunch.gateway.package import VERSION
from agentlaunch.gateway.spec import MODEL_NAMES, Hop, Spec
from agentlaunch.launch.terms import Terms
from agentlaunch.plan import GATEWAY, Hybrid, LaunchPlan, Places, PlannedHop, Roles, narrowed
from agentlaunch.plan.hybrid import WIRES
from agentlaunch.records import Records
from agentlaunch.settings import Paths
from agentlaunch.survey import status_line as users_own
from agentlaunch.talk import Talk

SEEN = "gateway-seen"
MOST_TOLD = 5

PASSING = {
    kind.exit_code for kind in (AgentlaunchError, MachineCannot, EngineFailed, ModelUnavailable)
}
"""How an endpoint of this machine may fail without ending a launch that others can carry."""

Serve = Callable[[LaunchPlan], Served]
"""Serves the plan of one engine on this machine."""


def serve(plan: LaunchPlan, terms: Terms, local: Serve) -> tuple[Served, LaunchPlan]:
    """The gateway that routes these chains, found or started; the plan knows its status line.

    Raises what serving a local endpoint raises where nobody else answers, and `EngineFailed` where
    the gateway does not come.
    """
    plan, served = serve_local(plan, terms, local)
    hybrid = hybrid_of(plan)
    spec = spec_of(hybrid, lambda made: served[id(made)])
    found = run(spec, terms)
    own_line = _users_own(plan, terms.where)
    roles = dataclasses.replace(roles_of(plan, found), own_status_line=own_line)
    first = hybrid.chains["main"][0]
    tools = served[id(first.local)].tools if first.local is not None else None
    result = Served(
        engine=GATEWAY,
        endpoint=endpoint_of(found),
        context_tokens=plan.context.engine_tokens,
        version=VERSION,
        reused=found.reused,
        tools=tools,
        digest=_digest(spec),
    )
    return result, dataclasses.replace(plan, roles=roles, url=found.url)


def go_on_without(
    plan: LaunchPlan, hop: PlannedHop, error: AgentlaunchError, terms: Terms
) -> LaunchPlan:
    """The plan without an endpoint of this machine that failed, and say so.

    Raises `error` where it is one of the user's to answer, or where nobody else answers.
    """
    left = narrowed(plan, hop) if error.exit_code in PASSING else None
    if left is None:
        raise error
    text = f"{hop.word.shown} is left out of this session: {error.message}"
    terms.talk.warn(text, code="endpoint-left-out")
    return left


def serve_local(
    plan: LaunchPlan, terms: Terms, local: Serve
) -> tuple[LaunchPlan, dict[int, Served]]:
    """Every endpoint of this machine, by the identity of its plan; and the plan without the ones
    that do not come, where others answer."""
    served: dict[int, Served] = {}
    for hop in hybrid_of(plan).hops:
        if hop.local is None:
            continue
        try:
            served[id(hop.local)] = local(hop.local)
        except AgentlaunchError as error:
            plan = go_on_without(plan, hop, error, terms)
    return plan, served


def hybrid_of(plan: LaunchPlan) -> Hybrid:
    """The chains of a plan that has some."""
    if plan.hybrid is None:
        raise ValueError("a plan without chains")
    return plan.hybrid


def run(spec: Spec, terms: Terms) -> life.Running:
    """The gateway of this `Spec`, found or started."""
    found = terms.talk.follow(life.serve(spec, terms.paths, idle_s=60.0 * terms.idle_minutes))
    terms.talk.say(f"the gateway at {found.url} routes {_shown(spec)}")
    _tell_switches(terms.talk, terms.paths)
    return found


def running(
    hybrid: Hybrid, served: Callable[[LaunchPlan], Served], paths: Paths
) -> life.Running | None:
    """The gateway of these chains, where one runs."""
    return life.current(paths, life.fingerprint(spec_of(hybrid, served)))


def endpoint_of(running: life.Running) -> Endpoint:
    """Where an agent asks it."""
    return Endpoint(running.url, WIRES, MODEL_NAMES["main"], running.token)


def roles_of(plan: LaunchPlan, running: life.Running) -> Roles:
    """The names of the plan, and what prints who answers now."""
    script, account = Path(status_line.__file__), running.status_file
    command = (sys.executable, "-I", str(script), str(account))
    return dataclasses.replace(plan.roles, status_command=command)


def spec_of(hybrid: Hybrid, served: Callable[[LaunchPlan], Served]) -> Spec:
    """The chains with every address, key and context as it is now."""
    chains = {
        role: tuple(_hop(planned, served) for planned in chain)
        for role, chain in hybrid.chains.items()
    }
    return Spec(chains, hybrid.routing, hybrid.cap_usd, hybrid.cap_origin)


def _hop(planned: PlannedHop, served: Callable[[LaunchPlan], Served]) -> Hop:
    if planned.local is not None:
        found = served(planned.local)
        return Hop(
            name=planned.word.shown,
            base_url=found.endpoint.base_url,
            model=found.endpoint.model,
            kind="ollama" if found.engine == "ollama" else "llama.cpp",
            context_tokens=found.context_tokens or planned.context_tokens,
            wires=found.endpoint.wires,
            token=found.endpoint.token,
            token_header=found.endpoint.token_header,
        )
    facts = planned.remote
    if facts is None:
        raise ValueError("an endpoint is a launch of its own or a server")
    model = facts.pick(planned.model)
    wire = facts.wire(("openai_chat", "anthropic_messages"))
    endpoint = facts.endpoint(model.name, wire, facts.key)
    return Hop(
        name=planned.word.shown,
        base_url=endpoint.base_url,
        model=model.name,
        kind=facts.kind,
        context_tokens=planned.context_tokens,
        wires=facts.wires,
        max_output_tokens=model.max_output_tokens,
        token=endpoint.token,
        token_header=endpoint.token_header,
        price=planned.price,
        managed=planned.managed,
    )


def _shown(spec: Spec) -> str:
    return "; ".join(
        f"{role}: {' → '.join(hop.name for hop in chain)}" for role, chain in spec.chains.items()
    )


def _digest(spec: Spec) -> str:
    """Which models these are, for what is remembered of a proof."""
    words = [
        f"{role} {hop.base_url if not hop.is_local else 'here'} {hop.kind} {hop.model}"
        for role, chain in spec.chains.items()
        for hop in chain
    ]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def _users_own(plan: LaunchPlan, where: Places) -> dict[str, object] | None:
    agent = plan.wish.agent
    config = own_folder(agent, where.environ)
    if plan.wish.home == "clean":
        config = where.homes / agent.name
    found = users_own.own(agent, where.project, config)
    return None if found is None else dict(found)


def _tell_switches(talk: Talk, paths: Paths) -> None:
    """Which endpoints stood in for others since the last launch, and why."""
    store, now = Records(paths.state), datetime.now(timezone.utc)
    known = (store.recall("choices", SEEN) or {}).get("at")
    try:
        since = datetime.fromisoformat(str(known)) if known else now - timedelta(days=1)
    except ValueError:
        since = now - timedelta(days=1)
    rows = [row for row in events.read(paths.state, since) if isinstance(row, events.Switch)]
    for row in rows[-MOST_TOLD:]:
        when = row.at.astimezone().strftime("%H:%M")
        talk.say(f"  since the last launch: {when} {row.before} → {row.after} ({row.reason})")
    if len(rows) > MOST_TOLD:
        talk.say(f"  and {len(rows) - MOST_TOLD} more: agentlaunch gateway status")
    with contextlib.suppress(Refused, OSError):
        store.remember("choices", SEEN, {"at": now.isoformat()})
