"""`agentlaunch prove`: do this model, this engine and this agent really work together?"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agentlaunch import files, launch, plan
from agentlaunch.agents.base import PROMPT, Agent
from agentlaunch.commands import deciding, looking, models, project, redaction, report, up
from agentlaunch.commands.result import Result
from agentlaunch.engines import llama_cpp
from agentlaunch.errors import Refused, UsageError
from agentlaunch.launch import chain_proof, proving
from agentlaunch.proof import task
from agentlaunch.proof.check import NAMES, Budget, Check, read_check
from agentlaunch.proof.remembered import remember
from agentlaunch.records import Records
from agentlaunch.settings import Paths
from agentlaunch.talk import Talk
from agentlaunch.units import format_seconds

SCHEMA = "agentlaunch/prove/1"
LIMIT_S = 900.0
"""For all measurements before the task: whoever asks for a proof waits for it."""
BELOW = ("tool-call", "truncation")
"""Layers without which no task can succeed."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was proven, of what."""

    model: str
    engine: str
    agent: Agent
    checks: tuple[Check, ...]

    @property
    def broken(self) -> Check | None:
        """The lowest layer that does not work."""
        return next((check for check in self.checks if check.status == "error"), None)

    def measured(self, check: str, name: str) -> float | None:
        """A number of one of the checks; None where it was not measured."""
        row = next((each for each in self.checks if each.name == check), None)
        value = row.measured.get(name) if row is not None else None
        return float(value) if isinstance(value, int | float) else None


def run(
    talk: Talk,
    flags: Mapping[str, object | None],
    *,
    place: Path | None = None,
    task_limit_s: float = task.LIMIT_S,
    insecure: bool = False,
    allow_remote: bool = False,
    trust_project: bool = False,
) -> Result | None:
    """Serve, measure, let the agent do one task, take everything back; status 3 when a check fails.

    `place` is where a redacted report is written. Raises what a launch raises up to the hand-over.
    """
    if not task_limit_s > 0:
        raise UsageError("--task-limit must be above 0 seconds", code="bad-value")
    report.refuse_place(place)
    asked = looking.look(talk, flags, (), skip_proof=True, insecure=insecure, repeats=True)
    if asked.habit is not None and asked.repeats:
        talk.say(f"as the last time: {asked.habit} ({asked.habit.way_out})")
    asked = replace(asked, allow_remote=allow_remote)
    project.check(talk, _as_it_works(asked), trust=trust_project)
    made = deciding.decide(talk, asked)
    agreed = up.settle(talk, asked, made)
    if agreed is None:
        talk.say("nothing was done")
        return None
    made, later = agreed
    with _as_it_was(asked.paths):
        ready = up.prepare(talk, asked, made)
        with contextlib.closing(ready.undo):
            if later is not None:
                up.fetch_meanwhile(talk, asked, later)
            hide = _redactor(asked, ready)
            proof = prove(talk, asked, ready, hide, task_limit_s=task_limit_s)
    data = as_json(proof, hide)
    _remember_task(asked, ready, data)
    if place is not None:
        try:
            _report(place, asked, ready, proof, data, hide)
        except OSError as error:  # what was found counts more than where it was to be kept
            text = f"the report could not be written to {place}: {error.strerror or error}"
            talk.warn(text, code="report-not-written")
        else:
            talk.say(f"the report is in {place}; read it before you send it to anybody")
    return Result(
        SCHEMA, data, lambda t: draw(t, proof, hide), exit_code=3 if proof.broken is not None else 0
    )


def prove(
    talk: Talk,
    asked: looking.Asked,
    ready: launch.Ready,
    hide: redaction.Redactor,
    *,
    task_limit_s: float,
) -> Proof:
    """Every layer in turn; what stands on one that does not work is skipped."""
    proven = _proven(talk, asked, ready, Budget(_limit_s(asked)))
    checks = {check.name: check for check in proven.checks}
    agent = ready.plan.wish.agent
    below = next((row for row in proven.broken if row.name in BELOW), None)
    if below is not None:
        text = f"not tried: the layer below, {below.name}, does not work"
        checks["task"] = Check("task", "skipped", text)
    elif not agent.errand:
        text = f"not tried: {agent.title} has no way to do one task without asking"
        checks["task"] = Check("task", "skipped", text)
    else:
        checks["task"] = _task(talk, asked, ready, hide, task_limit_s)
    rows = [checks.get(name) or _left_out(name, agent) for name in NAMES]
    endpoint = ready.served.endpoint
    return Proof(endpoint.model, ready.served.engine, agent, tuple(rows))


def _proven(
    talk: Talk, asked: looking.Asked, ready: launch.Ready, budget: Budget
) -> proving.Proven:
    made, paths, places = ready.plan, asked.paths, asked.places
    if made.hybrid is None:
        return proving.prove(
            made, ready.served, talk, paths, places, budget=budget, again=True, whole=True
        )
    return chain_proof.prove(
        made, made.hybrid, ready.served, talk, paths, places, budget=budget, again=True
    )


def _limit_s(asked: looking.Asked) -> float:
    """The user's own limit, where he has said one."""
    said = asked.said.get("proof_limit")
    return LIMIT_S if said is None or said.source == "default" else float(said.value)


def _remember_task(asked: looking.Asked, ready: launch.Ready, data: Mapping[str, Any]) -> None:
    """What became of the task, without secrets, for a doctor to tell."""
    rows = (read_check(row) for row in data["checks"] if row["name"] == "task")
    done = [row for row in rows if row is not None and row.status != "skipped"]
    if done:
        subject = proving.subject_of(ready.plan, ready.served)
        remember(Records(asked.paths.state), subject, done)


def _left_out(name: Any, agent: Agent) -> Check:
    why = "it was not measured"
    if name == "tool-call" and not agent.needs_tools:
        why = f"{agent.title} needs no tool calls: it edits by text"
    return Check(name, "skipped", why)


def _as_it_works(asked: looking.Asked) -> looking.Asked:
    """As the agent will run here: without a dialog of its own that could ask anything."""
    return replace(asked, wish=replace(asked.wish, args=_errand(asked.wish.agent)))


def _errand(agent: Agent) -> tuple[str, ...]:
    return tuple(word.replace(PROMPT, task.INSTRUCTION) for word in agent.errand)


# --- the task ------------------------------------------------------------------------------------


def _task(
    talk: Talk,
    asked: looking.Asked,
    ready: launch.Ready,
    hide: redaction.Redactor,
    limit_s: float,
) -> Check:
    """The task in a folder of ours, which is gone afterwards, as the agent's private files are.

    Its name is that of a private file, so that the next launch sweeps what a killed one left.
    """
    made, paths, places = ready.plan, asked.paths, asked.places
    with task.throwaway(_below(paths, f"prove-{places.run_name}")) as folder:
        work = folder / "project"
        task.lay_out(work)
        given = plan.handover(
            replace(made.wish, args=_errand(made.wish.agent)),
            made.agent,
            ready.served.endpoint,
            made.context,
            replace(places, project=work),
            roles=replace(made.roles, status_command=()),
        )
        try:
            launch.write_files(given, paths)
            env = launch.child_environment(given, os.environ) | _traceless(made.wish.agent, folder)
            env["PWD"] = str(work)
            return talk.follow(
                task.attempt(
                    given.argv,
                    env,
                    work,
                    folder / "agent.log",
                    title=made.wish.agent.title,
                    limit_s=limit_s,
                    redact=replace(hide, folders={**hide.folders, str(folder): "<folder>"}).foreign,
                )
            )
        finally:
            for file in given.files:
                file.path.unlink(missing_ok=True)


def _traceless(agent: Agent, folder: Path) -> dict[str, str]:
    """What keeps a run out of the user's own history, where the agent has a way."""
    changes = agent.rehearsal.env if agent.rehearsal is not None else {}
    return {name: text.replace("{folder}", str(folder)) for name, text in changes.items()}


def _below(paths: Paths, name: str) -> Path:
    return files.private_tree(paths.runtime, paths.runtime / launch.LAUNCHES) / name


@contextlib.contextmanager
def _as_it_was(paths: Paths) -> Iterator[None]:
    """Around everything that is loaded: an engine of ours that was not there before ends with it,
    unless a launch uses it by now."""
    engine = llama_cpp.LlamaCpp(paths)
    before = {found.key for found in engine.running()}
    try:
        yield
    finally:
        for found in engine.running():
            engine.drop_lease(found.key)
            if found.key not in before:
                with contextlib.suppress(Refused):
                    engine.stop(found.key)


# --- what is told --------------------------------------------------------------------------------


def _redactor(asked: looking.Asked, ready: launch.Ready) -> redaction.Redactor:
    endpoint, paths = ready.served.endpoint, asked.paths
    addresses = [endpoint.base_url, asked.engine]
    return redaction.redactor(
        asked.places.environ,
        tokens=[endpoint.token],
        addresses=[address for address in addresses if "://" in address],
        folders={
            asked.places.project: "<project>",
            Path.home(): "~",
            **dict.fromkeys((paths.runtime, paths.data, paths.state, paths.cache), "<ours>"),
        },
    )


def as_json(proof: Proof, hide: redaction.Redactor) -> dict[str, Any]:
    """CONTRACT 3, prove."""
    return {
        "model": hide.secrets(proof.model),
        "engine": hide.secrets(proof.engine),
        "agent": proof.agent.name,
        "checks": [redaction.redacted(check, hide.secrets).as_json() for check in proof.checks],
    }


def draw(talk: Talk, proof: Proof, hide: redaction.Redactor) -> None:
    """The checks as a table, then the verdict with the numbers that a person asks for."""
    rows = []
    for check in (redaction.redacted(row, hide.secrets) for row in proof.checks):
        way_out = f" ({check.remedy})" if check.remedy and check.status != "ok" else ""
        rows.append((check.name, check.status, check.message + way_out))
    talk.table(("CHECK", "STATUS", "FINDING"), rows)
    figures = _figures(proof)
    if figures:
        talk.answer_folded(", ".join(figures), indent=2)
    broken = proof.broken
    names = f"{proof.agent.title} on {hide.secrets(proof.model)} ({proof.engine})"
    if broken is not None:
        verdict = f"does not work: {names} fails at {broken.name}"
    elif any(row.name == "task" and row.status == "skipped" for row in proof.checks):
        verdict = f"nothing failed, but no task was done: {names}"
    else:
        verdict = f"worked: {names}"
    talk.answer_folded(verdict, indent=2)


def _figures(proof: Proof) -> Sequence[str]:
    first = proof.measured("first-word", "first_word_s")
    decode = proof.measured("first-word", "decode_tokens_per_s")
    share = proof.measured("prefix", "share")
    return [
        *([f"first word after {format_seconds(first)}"] if first is not None else []),
        *([f"{decode:.1f} tokens/s"] if decode is not None else []),
        *([f"{share:.0%} of the prompt from the cache"] if share is not None else []),
    ]


def _report(
    place: Path,
    asked: looking.Asked,
    ready: launch.Ready,
    proof: Proof,
    data: Mapping[str, Any],
    hide: redaction.Redactor,
) -> None:
    context, served = ready.plan.context, ready.served
    versions = {
        "agent version": ready.plan.agent.version,
        "engine version": served.version,
        "context": f"{context.engine_tokens} tokens, {context.tier.name} prompt",
        "KV cache": context.kv_cache_type,
    }
    machine = models.machine_json(asked.survey.machine)
    report.write(place, data, proof.checks, versions, machine, hide)
