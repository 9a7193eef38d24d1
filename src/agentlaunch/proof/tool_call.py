"""Does this model call tools on this engine? Asked on the wire of the agent, with nonces.

Streamed, as agents ask: two tools are offered and the right one must be called with a nonce; its
result holds another nonce, which the second call must hand on; then an instruction comes late, as
Claude Code sends it. At last one call that is not streamed. What is sampled and fails is asked
twice more, with new nonces, before it counts. A busy server is asked again until the time is up.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from agentlaunch.endpoint import Endpoint, Wire
from agentlaunch.errors import EngineFailed
from agentlaunch.progress import Progress, Work
from agentlaunch.proof import bodies, verdict
from agentlaunch.proof.asking import MARK, ask, waiting
from agentlaunch.proof.check import Budget, Check
from agentlaunch.proof.dialogue import Message, Result, Said, System, Tool, Turn, User
from agentlaunch.proof.verdict import WORKS, Verdict

TRIES = 3
LONGER = "agentlaunch prove takes its time"
LATER = "when the server has loaded, or takes requests again: agentlaunch prove"
REPLY_TOKENS = 1_024
THINKING_TOKENS = 2_048
"""For a model that was still thinking when its first reply was cut."""
LEAST_S = 0.5
PAUSE_S, LONGEST_PAUSE_S, PAUSE_GROWTH = 1.0, 8.0, 1.5
"""Between two questions to a busy server: no reply tells how long it will be so."""
LOOK_S = 0.25

READ = Tool(
    "read_note",
    "Read the note of this name and give back what stands in it.",
    {
        "type": "object",
        "properties": {"name": {"type": "string", "description": "Name of the note."}},
        "required": ["name"],
    },
)
SEND = Tool(
    "send_code",
    "Send a code to the operator, who waits for it.",
    {
        "type": "object",
        "properties": {"code": {"type": "string", "description": "The code, as it was read."}},
        "required": ["code"],
    },
)
TOOLS = (READ, SEND)

SYSTEM = f"You work through tools alone. Never explain, only call the tools. ({MARK})"
TASK = (
    "Call the tool read_note with the name {nonce}. In the note stands a code: then call the tool "
    "send_code with that code."
)
NOTE = "The code is {nonce}"
LATE = "The operator prefers short answers."
LAST = "Was it sent? Answer with one word."


@dataclass(slots=True)
class Probe:
    """One question of the gate, with what became of it."""

    name: str
    streamed: bool
    passed: int = 0
    tries: int = 0
    verdict: Verdict = WORKS
    measured: bool = False

    @property
    def unproven(self) -> bool:
        """Did it fail, with no time left to try again?"""
        return self.measured and not self.passed and self.verdict.sampled and self.tries < TRIES

    def as_json(self) -> dict[str, Any]:
        """As it stands in a check's `measured`."""
        return {
            "name": self.name,
            "streamed": self.streamed,
            "tries": self.tries,
            "passed": self.passed,
            "verdict": self.verdict.kind if self.measured else None,
        }


@dataclass(slots=True)
class Gate:
    """One proof at work: where, how long, what was found so far."""

    endpoint: Endpoint
    wire: Wire
    budget: Budget
    tools_known: bool | None
    sends_late: bool
    probes: list[Probe] = field(default_factory=list)
    reply_tokens: int = REPLY_TOKENS
    prompt_tokens: int | None = None
    prompt_characters: int | None = None
    bare_tokens: int | None = None
    busy: str | None = None
    """What a server said that was busy until the time was up."""

    def run(self) -> Work[Verdict]:
        """Every probe until one does not work."""
        called, result = yield from self._call("call", READ, "name", streamed=True)
        if not called.works:
            return called
        if result is not None:
            second = yield from self._round_trip(result)
            if not second.works:
                return second
        whole, _turn = yield from self._call("call, not streamed", READ, "name", streamed=False)
        return whole

    # --- probes ------------------------------------------------------------------------------

    def _call(
        self, name: str, tool: Tool, argument: str, *, streamed: bool
    ) -> Work[tuple[Verdict, tuple[Message, ...] | None]]:
        """A first call; gives back the conversation that led to it, when it did."""
        probe = self._probe(name, streamed)
        talk: tuple[Message, ...] | None = None
        for _try in range(TRIES):
            nonce = _nonce()
            opening = (System(SYSTEM), User(TASK.format(nonce=nonce)))
            turn = yield from self._ask(probe, opening, streamed=streamed)
            if turn is None:
                break
            found = verdict.of_call(turn, tool, argument, nonce, TOOLS)
            if _is_mute(turn) and self.bare_tokens is None:
                found = (yield from self._if_ignored(opening)) or found
            if found.kind == "cut":
                self.reply_tokens = THINKING_TOKENS
            self._note(probe, found)
            if found.works:
                talk = (*opening, _called(turn, tool))
            if found.works or not found.sampled:
                break
        return self._outcome(probe), talk

    def _round_trip(self, talk: tuple[Message, ...]) -> Work[Verdict]:
        """Its result, the second call, and an instruction that comes late."""
        said = talk[-1]
        assert isinstance(said, Said)
        probe = self._probe("result and second call", streamed=True)
        for _try in range(TRIES):
            nonce = _nonce()
            more = (*talk, Result(said.calls[0], NOTE.format(nonce=nonce)))
            turn = yield from self._ask(probe, more, streamed=True)
            if turn is None:
                break
            found = verdict.of_call(turn, SEND, "code", nonce, TOOLS)
            self._note(probe, found)
            if found.works:
                return (yield from self._late((*more, _called(turn, SEND))))
            if not found.sampled:
                break
        return self._outcome(probe)

    def _late(self, talk: tuple[Message, ...]) -> Work[Verdict]:
        said = talk[-1]
        assert isinstance(said, Said)
        end = (*talk, Result(said.calls[0], "sent"), System(LATE), User(LAST))
        probe = self._probe("late instruction", streamed=True)
        for _try in range(TRIES):
            turn = yield from self._ask(probe, end, streamed=True)
            if turn is None:
                break
            found = verdict.of_answer(turn, late_system=True)
            self._note(probe, found)
            if found.works or not found.sampled:
                break
        if probe.verdict.of_late and not self.sends_late:
            return WORKS  # this agent sends none: worth a word, no reason to stop
        return self._outcome(probe)

    def _if_ignored(self, opening: tuple[Message, ...]) -> Work[Verdict | None]:
        """Is the prompt as long without tools? Then the template drops them, whatever was said."""
        probe = Probe("the same without tools", streamed=False)
        full = yield from self._ask(probe, opening, streamed=False, reply_tokens=1)
        bare = yield from self._ask(probe, opening, streamed=False, tools=(), reply_tokens=1)
        if full is None or bare is None:
            return None
        if full.prompt_tokens is None or bare.prompt_tokens is None:
            said = self.tools_known is False
            return verdict.said_to_be_ignored(self.endpoint.model) if said else None
        self.bare_tokens = bare.prompt_tokens
        if abs(full.prompt_tokens - bare.prompt_tokens) > verdict.HARDLY_TOKENS:
            return None
        return verdict.ignored(self.endpoint.model, full.prompt_tokens, bare.prompt_tokens)

    # --- asking ------------------------------------------------------------------------------

    def _ask(
        self,
        probe: Probe,
        talk: tuple[Message, ...],
        *,
        streamed: bool,
        tools: tuple[Tool, ...] = TOOLS,
        reply_tokens: int | None = None,
    ) -> Work[Turn | None]:
        """The model's answer; None when the time is up before it is there."""
        pause_s = PAUSE_S
        while (left_s := self.budget.left_s) >= LEAST_S:
            turn = yield from self._once(probe, talk, tools, reply_tokens, streamed, left_s)
            if turn is None or not turn.is_busy:
                if turn is not None:
                    self.busy = None
                return turn
            self.busy = verdict.of_busy(turn)
            yield from self._pause(probe, pause_s)
            pause_s = min(pause_s * PAUSE_GROWTH, LONGEST_PAUSE_S)
        return None

    def _pause(self, probe: Probe, seconds: float) -> Work[None]:
        until = time.monotonic() + min(seconds, self.budget.left_s)
        while (left_s := until - time.monotonic()) > 0:
            yield Progress(f"proving tool calls: {probe.name}", detail=self.busy)
            time.sleep(min(LOOK_S, left_s))

    def _once(
        self,
        probe: Probe,
        talk: tuple[Message, ...],
        tools: tuple[Tool, ...],
        reply_tokens: int | None,
        streamed: bool,
        left_s: float,
    ) -> Work[Turn | None]:
        exchange: Callable[[], Turn] = partial(
            ask,
            self.endpoint,
            self.wire,
            talk,
            tools,
            stream=streamed,
            max_tokens=reply_tokens or self.reply_tokens,
            deadline_s=left_s,
        )
        again = f", try {probe.tries + 1}" if probe.tries else ""
        try:
            turn = yield from waiting(
                f"proving tool calls: {probe.name}{again}", exchange, limit_s=left_s
            )
        except EngineFailed as error:
            if error.code == "too-slow":
                return None
            raise
        if tools and not streamed and turn.prompt_tokens is not None:
            # Streamed, Ollama begins with a guess (0.33): what is not is the truth.
            self.prompt_tokens = turn.prompt_tokens
            body = bodies.body(
                self.wire, self.endpoint.model, talk, tools, stream=False, max_tokens=1
            )
            self.prompt_characters = bodies.characters(body)
        return turn

    def _probe(self, name: str, streamed: bool) -> Probe:
        probe = Probe(name, streamed)
        self.probes.append(probe)
        return probe

    def _note(self, probe: Probe, found: Verdict) -> None:
        probe.measured = True
        probe.tries += 1
        probe.passed += found.works
        probe.verdict = found

    def _outcome(self, probe: Probe) -> Verdict:
        """Not measured is no failure; what failed and was not tried again is not proven to fail."""
        if not probe.measured or probe.passed:
            return WORKS
        return replace(probe.verdict, kind="works") if probe.unproven else probe.verdict


def prove(
    endpoint: Endpoint,
    wire: Wire,
    *,
    budget: Budget,
    tools_known: bool | None,
    sends_late: bool = True,
) -> Work[Check]:
    """The check "tool-call". `tools_known` is what the server says of its template: believed only
    where no call comes and the server does not tell how long a prompt was. `sends_late`: does the
    agent send instructions behind the first turn? Else it is no error that they are refused.

    Raises `EngineFailed` where nothing usable answers, `AuthNeeded`.
    """
    yield Progress("proving tool calls")
    gate = Gate(endpoint, wire, budget, tools_known, sends_late)
    found = yield from gate.run()
    return _check(gate, found)


def _check(gate: Gate, found: Verdict) -> Check:
    measured = {
        "wire": gate.wire,
        "verdict": found.kind,
        "family": found.family,
        "probes": [probe.as_json() for probe in gate.probes],
        "prompt_tokens": gate.prompt_tokens,
        "prompt_characters": gate.prompt_characters,
        "prompt_tokens_without_tools": gate.bare_tokens,
    }
    if not found.works:
        where = f"{gate.endpoint.model}{_at(gate)}: "
        text = found.text if found.kind == "tools-ignored" else where + found.text
        return Check("tool-call", "error", text, measured, found.remedy)
    if gate.busy is not None:
        return Check("tool-call", "skipped", gate.busy, measured | {"verdict": None}, LATER)
    if not any(probe.measured for probe in gate.probes):
        text = "tool calls were not proven: no reply came in time"
        return Check("tool-call", "skipped", text, measured | {"verdict": None}, LONGER)
    doubts = _doubts(gate)
    if any(probe.unproven for probe in gate.probes):
        text = f"tool calls were not proven in time: {'; '.join(doubts)}"
        return Check("tool-call", "warning", text, measured | {"verdict": None}, LONGER)
    if doubts:
        return Check("tool-call", "warning", f"tool calls work, but {'; '.join(doubts)}", measured)
    return Check("tool-call", "ok", "tool calls work, streamed and whole, and go on", measured)


def _doubts(gate: Gate) -> list[str]:
    rows = [
        f"{probe.name}: {probe.passed} of {probe.tries} tries" + _why(probe)
        for probe in gate.probes
        if probe.measured and probe.passed < probe.tries
    ]
    left = [probe.name for probe in gate.probes if not probe.measured]
    expected = ("call", "result and second call", "late instruction", "call, not streamed")
    left += [name for name in expected if name not in {probe.name for probe in gate.probes}]
    return [*rows, *([f"not measured in time: {', '.join(left)}"] if left else [])]


def _at(gate: Gate) -> str:
    """Which question did not work, where it was not the first one."""
    failed = gate.probes[-1].name
    return "" if failed == "call" else f" ({failed})"


def _is_mute(turn: Turn) -> bool:
    return turn.status == 200 and not turn.error and not turn.calls


def _called(turn: Turn, tool: Tool) -> Said:
    """What the model said, with the one call that was wanted."""
    calls = tuple(call for call in turn.calls if call.name == tool.name)
    return Said(turn.text, calls[:1])


def _why(probe: Probe) -> str:
    return f" ({probe.verdict.text})" if probe.verdict.text else ""


def _nonce() -> str:
    """A word that no model has seen and every one can copy; never one that reads as a number."""
    return f"n{secrets.token_hex(3)}"
