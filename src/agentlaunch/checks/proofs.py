"""Proofs: what was shown to work before, for whom, and whether that still counts."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from agentlaunch.agents import AGENTS
from agentlaunch.checks.finding import Finding, Status
from agentlaunch.endpoint import without_secrets
from agentlaunch.proven import Check, Proof
from agentlaunch.survey import Survey

NAME = "proof"
RECENT = timedelta(days=1)
OLD_DAYS = 2
"""From so many days on an age is told in days."""


def stored(survey: Survey, wanted: Collection[str]) -> list[Finding]:
    """The last proof of each agent. A broken one is an error where the agent is wanted, and no more
    than a word where its engine has changed since."""
    if survey.health is None:
        return []
    last = {proof.subject.agent: proof for proof in survey.health.proofs}
    names = [name for name in AGENTS if name in last or name in wanted]
    now = survey.health.looked_at
    rows: list[Finding] = []
    for name in names:
        proof = last.get(name)
        if proof is not None:
            rows += _told(proof, survey, now, needed=name in wanted)
        elif AGENTS[name].local:
            text = f"{AGENTS[name].title} was not proven here yet: the first launch does it"
            rows.append(Finding(NAME, "info", text, f"agentlaunch prove {name}"))
    return rows


def _told(proof: Proof, survey: Survey, now: datetime | None, *, needed: bool) -> list[Finding]:
    subject = proof.subject
    what = f"{AGENTS[subject.agent].title} with {subject.model} on {subject.engine}"
    when = _age(proof, now)
    command = _again(proof)
    changed = _other_version(proof, survey)
    if changed is not None:
        text = f"{what} was proven {when}, before {subject.engine} became {changed}"
        return [Finding(NAME, "info", text, command)]
    broken = [check for check in proof.checks if check.status == "error"]
    doubtful = [check for check in proof.checks if check.status == "warning"]
    if broken:
        row = _finding(broken[0], what, when, command)
        # A server of somebody else's may long be another one, or gone.
        recent = subject.url is None or now is None or proof.at is None or now - proof.at < RECENT
        return [row if needed and recent else replace(row, status="warning")]
    if doubtful:
        return [_finding(check, what, when, command) for check in doubtful]
    done = [check.name.replace("-", " ") for check in proof.checks if check.status == "ok"]
    if not done:
        return [Finding(NAME, "info", f"{what}: nothing of it could be measured", command)]
    return [Finding(NAME, "ok", f"{what} was proven {when}: {', '.join(done)}")]


def _again(proof: Proof) -> str:
    """The command that proves the same once more: here, or on the server that it was."""
    subject = proof.subject
    if subject.url is not None:
        where = ["--engine", without_secrets(subject.url), "--model", subject.model]
    else:  # behind a gateway lies what the routes say
        where = ["--engine", subject.engine] if subject.engine != "gateway" else []
    return shlex.join(["agentlaunch", "prove", subject.agent, *where])


def _finding(check: Check, what: str, when: str, command: str) -> Finding:
    remedy = f"{check.remedy}; then: {command}" if check.remedy else command
    status: Status = "error" if check.status == "error" else "warning"
    return Finding(NAME, status, f"{what}, {when}: {check.message}", remedy)


def _other_version(proof: Proof, survey: Survey) -> str | None:
    """The version that this engine has now, where it is another one."""
    told = {row.name: row.version for row in survey.engines}
    server = survey.health.ollama if survey.health is not None else None
    if server is not None and server.version is not None:
        told["ollama"] = server.version
    now = told.get(proof.subject.engine)
    return now if now is not None and now != proof.subject.engine_version else None


def _age(proof: Proof, now: datetime | None) -> str:
    if proof.at is None or now is None:
        return "some time ago"
    age = now - proof.at
    if age.days >= OLD_DAYS:
        return f"{age.days} days ago"
    hours = int(age.total_seconds() // 3600)
    if hours >= 1:
        return f"{hours} h ago"
    return f"{max(0, int(age.total_seconds() // 60))} min ago"
