"""Prove a served model before the launch: what was proven is remembered and not measured again."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from agentlaunch import keys
from agentlaunch.endpoint import HIDDEN
from agentlaunch.engines.base import Served
from agentlaunch.errors import AgentlaunchError, CheckFailed, EngineFailed
from agentlaunch.launch import prompt, rehearsal, shaping
from agentlaunch.plan import LaunchPlan, Places, sooner
from agentlaunch.proof import first_word, remembered, tool_call
from agentlaunch.proof.check import NAMES, Budget, Check, Name
from agentlaunch.proof.remembered import Subject, recall, remember
from agentlaunch.records import Records
from agentlaunch.settings import Paths
from agentlaunch.talk import Talk

VLLM_PARSES = "start vLLM with --enable-auto-tool-choice and the model's --tool-call-parser"
LEAST_SECRET = 6
KEYS = re.compile(
    r"\b(?:sk-[\w-]{8,}|gh[pousr]_\w{10,}|github_pat_\w{10,}|AKIA[0-9A-Z]{12,}|xox\w-[\w-]{8,}"
    r"|AIza[\w-]{20,}|hf_\w{10,})"
)
"""Shapes of keys, wherever they come from."""
BYTES_A_TOKEN = 3.0
ROOM, GROWTH = 0.8, 0.1
"""A prompt is measured again when it may have grown by a tenth, beyond so much of the context."""
OF_THE_PROMPT: tuple[Name, ...] = ("truncation", "prefix", "first-word")


@dataclass(frozen=True, slots=True)
class Proven:
    """The checks of a served model for one agent."""

    checks: tuple[Check, ...]
    remembered: bool = False
    """Nothing had to be measured now."""
    warm: bool = False
    """The engine has just read the agent's own prompt."""

    @property
    def broken(self) -> tuple[Check, ...]:
        """What stops a launch."""
        return tuple(row for row in self.checks if row.status == "error")

    def of(self, name: Name) -> Check | None:
        """One check by its name."""
        return next((row for row in self.checks if row.name == name), None)

    @property
    def first_word_s(self) -> float | None:
        """The promise, in seconds; None where it was not measured."""
        check = self.of("first-word")
        value = check.measured.get("first_word_s") if check is not None else None
        return float(value) if isinstance(value, int | float) else None


def prove(
    plan: LaunchPlan,
    served: Served,
    talk: Talk,
    paths: Paths,
    where: Places,
    *,
    budget: Budget,
    again: bool = False,
    whole: bool = False,
    subject: Subject | None = None,
) -> Proven:
    """Tool calls first, then the agent's own prompt: cut or whole, cached or not, how soon.

    `again` measures what is remembered too; `whole` sends the agent's full prompt even where that
    takes longer than the budget (`agentlaunch prove`), else the launch leaves it to the warm start.
    `subject` is what is proven, where that is not what is asked: an endpoint behind a gateway.
    """
    store, subject = Records(paths.state), subject or subject_of(plan, served)
    secrets = (served.endpoint.token, *keys.values(where.environ))
    known = {} if again else recall(store, subject)
    checks = dict(known)
    instructions = shaping.instructions_bytes(where.project)
    failed = remembered.broken(store, subject)
    if _outgrown(checks.get("truncation"), instructions):
        del checks["truncation"]
        failed["truncation"] = known["truncation"]
    if "tool-call" not in checks and plan.wish.agent.needs_tools:
        with _masking(secrets):
            checks["tool-call"] = _gate(plan, served, subject, talk, budget, again=again)
    warm = False
    gate = checks.get("tool-call")
    if gate is not None and gate.status == "error":
        below = "not measured: the layer below, tool calls, does not work"
        checks |= {name: Check(name, "skipped", below) for name in OF_THE_PROMPT}
    elif "first-word" not in checks or "truncation" in failed:
        # What else is missing, the warm start finds out.
        job = prompt.job_of(plan, served, subject, gate)
        try:
            with _masking(secrets):
                rows, warm = _of_the_prompt(
                    plan, served, job, talk, paths, where, budget, whole=whole
                )
        except EngineFailed as error:
            if not again:
                raise
            rows = (Check("truncation", "error", error.message, {}, error.hint),)
        checks |= {row.name: row for row in rows}
        cut = checks["truncation"]
        checks["truncation"] = replace(
            cut, measured={**cut.measured, "instructions_bytes": instructions}
        )
        if cut.status == "skipped" and failed.get("truncation", cut).status == "error":
            checks["truncation"] = failed["truncation"]  # nothing has shown that it is mended
    checks = {name: _hidden(check, secrets) for name, check in checks.items()}
    gate = checks.get("tool-call")
    found = tuple(checks[name] for name in NAMES if name in checks)
    if gate is not None and gate.status == "error":
        remember(store, subject, [gate])  # of what stands on it nothing is known
    elif checks != known:
        remember(store, subject, found)
    return Proven(found, remembered=checks == known, warm=warm)


def _gate(
    plan: LaunchPlan, served: Served, subject: Subject, talk: Talk, budget: Budget, *, again: bool
) -> Check:
    """The tool-call proof; who asked for a proof (`again`) gets a verdict of a server that fails
    in the middle, too."""
    work = tool_call.prove(
        served.endpoint,
        subject.wire,
        budget=budget,
        tools_known=served.tools,
        sends_late=plan.wish.agent.late_system and not plan.context.slim,
    )
    try:
        check = talk.follow(work)
    except EngineFailed as error:
        if not again:
            raise
        return Check("tool-call", "error", error.message, {"verdict": None}, error.hint)
    if subject.engine == "vllm" and check.measured.get("verdict") == "text-instead-of-call":
        return replace(check, remedy=f"{VLLM_PARSES}; or {check.remedy}")
    return check


def _hidden(check: Check, secrets: Iterable[str]) -> Check:
    """The same without keys that a server or a model has said."""
    texts = json.dumps([check.message, check.remedy, dict(check.measured)], ensure_ascii=False)
    message, remedy, measured = json.loads(_masked(texts, secrets))
    return replace(check, message=message, remedy=remedy, measured=measured)


@contextlib.contextmanager
def _masking(secrets: Iterable[str]) -> Iterator[None]:
    """What a server says of its failure holds no key."""
    try:
        yield
    except EngineFailed as error:
        error.message = _masked(error.message, secrets)
        raise


def _masked(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        if len(secret) >= LEAST_SECRET:
            text = text.replace(json.dumps(secret, ensure_ascii=False)[1:-1], HIDDEN)
    return KEYS.sub(HIDDEN, text)


def _outgrown(cut: Check | None, instructions_bytes: int) -> bool:
    """Are there so many more instructions here than where the prompt was measured (another folder,
    a longer CLAUDE.md), that it might not fit any more?"""
    if cut is None:
        return False
    then, evaluated = cut.measured.get("instructions_bytes"), cut.measured.get("evaluated_tokens")
    if not isinstance(then, int) or not isinstance(evaluated, int):
        return False
    more = (instructions_bytes - then) / BYTES_A_TOKEN
    allocated = cut.measured.get("allocated_tokens")
    room = ROOM * allocated if isinstance(allocated, int) else (1 + GROWTH) * evaluated
    return evaluated + more > room and more > GROWTH * evaluated


def subject_of(plan: LaunchPlan, served: Served) -> Subject:
    """What is proven, by everything that could make another proof necessary."""
    state, elsewhere = plan.agent, plan.remote is not None or not served.endpoint.is_loopback
    wires = state.agent.wires
    wire = next((wire for wire in wires if wire in served.endpoint.wires), wires[0])
    kind = plan.remote.kind if plan.remote is not None else served.engine
    return Subject(
        model=served.endpoint.model,
        model_digest=served.digest or served.endpoint.model,
        engine=kind,
        engine_version=served.version,
        url=served.endpoint.base_url if elsewhere else None,
        wire=wire,
        agent=state.agent.name,
        agent_version=state.version,
        tier=plan.context.tier.name,
        context_tokens=plan.context.engine_tokens,
    )


def _of_the_prompt(
    plan: LaunchPlan,
    served: Served,
    job: prompt.Job,
    talk: Talk,
    paths: Paths,
    where: Places,
    budget: Budget,
    *,
    whole: bool,
) -> tuple[tuple[Check, ...], bool]:
    """Speed first, in two seconds; then the agent's own first request, if there is time for it.
    Also whether the engine has read that now."""
    text = None
    if plan.hybrid is not None:
        text = "not measured: behind a gateway another endpoint may answer the next time"
    elif prompt.is_paid(plan):
        text = "not measured: a large prompt would be paid for"
    if text is not None:
        return tuple(Check(name, "skipped", text) for name in OF_THE_PROMPT), False
    speed = talk.follow(
        first_word.measure(
            job.endpoint,
            llama_cpp=job.engine in prompt.LLAMA_CPP,
            context_tokens=job.allocated_tokens or job.window_tokens,
            budget=budget,
        )
    )
    about = sooner.first_request_tokens(plan)
    limit_s = job.first_word_limit_s
    ways = sooner.proposals(plan, speed.first_word_s, limit_s) if speed is not None else ()
    expected_s = speed.first_word_s(about) if speed is not None else None
    reason = f"the prompt of {plan.agent.agent.title} itself was not recorded"
    if whole or expected_s is None or expected_s < budget.left_s:
        recording = rehearsal.find(plan, paths, where)
        if recording is None:
            left_s = max(0.0, budget.left_s - (expected_s or 0.0))
            limit_s = rehearsal.PATIENT_S if whole else min(rehearsal.LIMIT_S, left_s)
            recorded = rehearsal.record(plan, served, paths, where, allowed=False, limit_s=limit_s)
            recording = talk.follow(recorded)
        if recording is not None:
            work = prompt.measure(job, recording, budget, speed=speed, sooner=ways)
            rows = talk.follow(work)
            return rows, any(row.name == "truncation" and row.status == "ok" for row in rows)
    else:
        reason = f"left to the warm start: it takes {first_word.seconds(expected_s)}"
    word = first_word.judge(
        speed, prompt_tokens=about, measured_s=None, limit_s=limit_s, sooner=ways
    )
    left: tuple[Name, ...] = ("truncation", "prefix")
    return (*(Check(name, "skipped", f"not measured: {reason}") for name in left), word), False


def _remembered(proven: Proven) -> str:
    """What was proven at another time, in a line."""
    names: tuple[Name, ...] = ("tool-call", "truncation", "prefix")
    known = {row.name for row in proven.checks if row.status != "skipped"}
    done = [name.replace("-", " ") for name in names if name in known]
    first_s = proven.first_word_s
    word = f"; {first_word.seconds(first_s)} to the first word" if first_s is not None else ""
    return f"{', '.join(done) or 'speed'} proven before{word}"


def insist(proven: Proven, talk: Talk) -> None:
    """Say what was proven. Where a check is broken, a person may launch anyway; else the launch
    ends: `EngineFailed` for a cut prompt, `CheckFailed` for anything else."""
    for check in proven.checks:
        if check.status == "warning" and not proven.remembered:
            talk.warn(sentence(check), code=f"proof-{check.name}")
        elif check.status == "ok" and not proven.remembered:
            talk.say(f"proof    {check.message}")
        elif check.status == "skipped" and not proven.remembered and not proven.broken:
            if check.name == "tool-call":
                talk.warn(check.message, code="proof-tool-call")
            else:
                talk.say(f"proof    {check.name}: {check.message}")
    if not proven.broken:
        if proven.remembered:
            talk.say(f"proof    {_remembered(proven)}")
        return
    first = proven.broken[0]
    if talk.may_ask and not talk.policy.yes:
        talk.say(f"proof    {sentence(first)}")
        if talk.ask("Launch anyway?", flag="--skip-proof", default=False):
            return
    raise failure(first)


def failure(check: Check) -> AgentlaunchError:
    """The end that a broken check is."""
    hint = f"{check.remedy}; --skip-proof launches anyway" if check.remedy else "--skip-proof"
    if check.name == "truncation":
        return EngineFailed(check.message, hint=hint, code="prompt-truncated")
    return CheckFailed(check.message, hint=hint, code="proof-failed")


def sentence(check: Check) -> str:
    """A check for a person: what was found, and the way out."""
    return check.message + (f": {check.remedy}" if check.remedy else "")
