"""Prove a chain behind a gateway: every endpoint that answers, each under its own name there."""

from __future__ import annotations

from dataclasses import replace

from agentlaunch.engines.base import Served
from agentlaunch.gateway.spec import alone
from agentlaunch.launch import proving
from agentlaunch.plan import Hybrid, LaunchPlan, Places, PlannedHop
from agentlaunch.proof.check import Budget, Check
from agentlaunch.proof.remembered import Subject
from agentlaunch.settings import Paths
from agentlaunch.talk import Talk


def prove(
    plan: LaunchPlan,
    hybrid: Hybrid,
    served: Served,
    talk: Talk,
    paths: Paths,
    where: Places,
    *,
    budget: Budget,
    again: bool = False,
) -> proving.Proven:
    """Tool calls through the gateway on the agent's own wire, endpoint by endpoint.

    Where the first that answers cannot carry the agent, that is an error; of the others, which only
    come where that one fails, it is a warning.
    """
    checks: list[Check] = []
    remembered = True
    for position, hop in enumerate(hybrid.chains["main"], 1):
        if not hop.answers:
            continue
        one = replace(
            served,
            endpoint=replace(served.endpoint, model=alone("main", position)),
            digest=f"{hop.place} {hop.model}",
            tools=None,
        )
        subject = _subject(plan, one, hop)
        proven = proving.prove(
            plan, one, talk, paths, where, budget=budget, again=again, subject=subject
        )
        remembered = remembered and proven.remembered
        rows = [row for row in proven.checks if row.name == "tool-call"]
        checks += [_named(check, hop, first=not checks) for check in rows]
    return proving.Proven(tuple(checks), remembered=remembered)


def _subject(plan: LaunchPlan, served: Served, hop: PlannedHop) -> Subject:
    """The endpoint itself: what is known of a server that is not ours holds for a day."""
    asked = proving.subject_of(plan, served)
    return replace(asked, model=hop.model, url=hop.remote.url if hop.remote is not None else None)


def _named(check: Check, hop: PlannedHop, *, first: bool) -> Check:
    status = "warning" if check.status == "error" and not first else check.status
    return replace(check, status=status, message=f"{hop.word.shown}: {check.message}")
