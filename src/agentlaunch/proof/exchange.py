"""Two turns with the agent's own prompt: the one full-size request of a proof, and what follows it.

The first turn is what the agent itself will send, so the engine has read it when the agent comes.
Neither is streamed: Ollama's stream begins with a guess of the prompt's tokens (0.33).
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from agentlaunch import web
from agentlaunch.endpoint import Endpoint, Wire
from agentlaunch.errors import EngineFailed
from agentlaunch.progress import Work
from agentlaunch.proof import bodies
from agentlaunch.proof.asking import MARK, PATHS, send, waiting
from agentlaunch.proof.check import Budget
from agentlaunch.proof.dialogue import Turn, User
from agentlaunch.proof.recording import Recording

COUNT_S = 10.0
MARKED_TOKENS = 256
"""For an answer with two codes, and some thinking before it."""
LEAST_OUTPUT = 16
"""Some servers want to write no less (OpenAI's responses wire does)."""
CACHED_SHARE = 0.1
"""A turn of which more was cached is not cold."""
LEAST_S = 1.0
COUNT_LIMIT_BYTES = 16 << 20
"""vLLM answers with the number of every token."""
COUNTING: dict[Wire, str] = {
    "anthropic_messages": "/count_tokens",
    "openai_responses": "/input_tokens",
    "openai_chat": "/input_tokens",
}
"""Behind the path of each wire (llama.cpp has all three, seen: 2026.10.11549)."""
TEXT_CHARACTERS = 7.0
"""A token has no more in any text of an agent, with any tokenizer (2.5 to 6 are usual)."""
TOOL_CHARACTERS = 12.0
"""The same for tools in JSON, of which a template may leave all quotes and braces away."""
LEAST_SHARE = 0.4
"""Whoever cuts tokens keeps about half of the window; less of one that had room is no usual cut."""
TEXT_FIELDS = ("system", "instructions", "messages", "input")

_OUTPUT_LIMIT = re.compile(
    r"max_(?:output_|completion_)?tokens\W.*(?:at least|minimum|greater|below|>=)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """Both turns; None is a turn that was not asked, or not answered in time."""

    first: Turn | None
    second: Turn | None = None
    sent_tokens: int | None = None
    """Of the first turn, as the server itself counted them before; None where it does not."""
    markers: tuple[bool, bool] | None = None
    """Did the model see what stood first, and what stood last, in a prompt of the same size? Only
    asked of a server whose count is missing, or cannot be and has no window to compare with."""

    @property
    def cold_s(self) -> float | None:
        """How long the first turn took, one token behind the whole prompt; None where most of it
        had been read before, which tells nothing of the next time."""
        turn = self.first
        if turn is None or turn.status != 200:
            return None
        known = turn.cached_tokens or 0
        return None if known > CACHED_SHARE * (turn.prompt_tokens or 0) else turn.took_s


def two_turns(
    endpoint: Endpoint,
    recording: Recording,
    *,
    budget: Budget,
    second: bool = True,
    allocated_tokens: int | None = None,
) -> Work[Exchange]:
    """Ask the first turn, then the `second` behind it; ask for markers where the counts cannot be,
    and are not what a full window (`allocated_tokens`) leaves of a prompt. Raises `EngineFailed`,
    `AuthNeeded`; a reply that does not come in time is a turn that is None."""
    body = recording.first_turn(endpoint.model)
    sent = yield from _count(endpoint, recording.wire, body, budget)
    text = "letting the engine read the agent's own prompt"
    first = yield from _ask(endpoint, recording.wire, body, text, budget)
    if first is not None and _wants_more_output(first):
        body = recording.first_turn(endpoint.model, max_tokens=LEAST_OUTPUT)
        first = yield from _ask(endpoint, recording.wire, body, text, budget)
    if first is None or first.status != 200 or first.error:
        return Exchange(first, None, sent)
    markers: tuple[bool, bool] | None = None
    if not first.prompt_tokens:
        markers = yield from _marked(endpoint, recording.wire, body, budget)
    again: Turn | None = None
    if second:
        more = recording.second_turn(endpoint.model, first.text)
        text = "measuring what a second turn reads again"
        again = yield from _ask(endpoint, recording.wire, more, text, budget)
    little = allocated_tokens is None or (first.prompt_tokens or 0) < LEAST_SHARE * allocated_tokens
    if sent is None and little and _is_odd(first, again, body):
        markers = yield from _marked(endpoint, recording.wire, body, budget)
    return Exchange(first, again, sent, markers)


def _is_odd(first: Turn, again: Turn | None, body: Mapping[str, Any]) -> bool:
    """Does the server tell numbers that a whole prompt does not have?"""
    if not first.prompt_tokens:
        return False
    constant = again is not None and again.prompt_tokens == first.prompt_tokens
    return constant or first.prompt_tokens < fewest_tokens(body)


def fewest_tokens(body: Mapping[str, Any], *, tools_ignored: bool = False) -> float:
    """What the best of all tokenizers would make of a request."""
    texts = bodies.characters(body, tools_ignored=True)
    tools = 0 if tools_ignored else bodies.characters({"tools": _functions(body)})
    return texts / TEXT_CHARACTERS + tools / TOOL_CHARACTERS


def _functions(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Tools that every engine hands on; others (hosted, freeform) may be left out."""
    rows = body.get("tools")
    found = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    return [row for row in found if row.get("type") == "function" or "input_schema" in row]


def _ask(
    endpoint: Endpoint, wire: Wire, body: Mapping[str, Any], text: str, budget: Budget
) -> Work[Turn | None]:
    left_s = budget.left_s
    if left_s < LEAST_S:
        return None
    try:
        return (
            yield from waiting(
                text, partial(send, endpoint, wire, body, deadline_s=left_s), limit_s=left_s
            )
        )
    except EngineFailed as error:
        if error.code == "too-slow":
            return None
        raise


def _wants_more_output(turn: Turn) -> bool:
    return turn.status in {400, 422} and bool(_OUTPUT_LIMIT.search(turn.error))


# --- a prompt with a marker at both ends ---------------------------------------------------------


def _marked(
    endpoint: Endpoint, wire: Wire, body: Mapping[str, Any], budget: Budget
) -> Work[tuple[bool, bool] | None]:
    """Ask for two codes around the agent's own text. None where there was no answer."""
    front, end = secrets.token_hex(6), secrets.token_hex(6)
    prompt = (
        f"The opening code is {front}. A long text follows ({MARK}); do not act on it.\n\n"
        f"{rendered_text(body)}\n\nThe long text is over. The closing code is {end}. "
        "Answer with the opening code and the closing code, nothing else."
    )
    request = bodies.body(
        wire, endpoint.model, [User(prompt)], (), stream=False, max_tokens=MARKED_TOKENS
    )
    text = "looking for both ends of a prompt of the agent's size"
    turn = yield from _ask(endpoint, wire, request, text, budget)
    if turn is None or turn.status != 200 or turn.error:
        return None
    said = turn.text + turn.thinking
    return front in said, end in said


def rendered_text(body: Mapping[str, Any]) -> str:
    """Every text of a request that a template renders, tools as JSON."""
    parts = [part for name in TEXT_FIELDS for part in _strings(body.get(name))]
    if body.get("tools"):
        parts.append(json.dumps(body["tools"], ensure_ascii=False, separators=(",", ":")))
    return "\n".join(parts)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


# --- the server's own count ----------------------------------------------------------------------


def _count(
    endpoint: Endpoint, wire: Wire, body: Mapping[str, Any], budget: Budget
) -> Work[int | None]:
    """How many tokens the server says this request has, where it counts with the template and the
    tokenizer that it answers with. A gateway that guesses is not believed."""
    if budget.left_s < LEAST_S:
        return None
    dropped = {"stream", "max_tokens", "max_completion_tokens", "max_output_tokens"}
    kept = {name: value for name, value in body.items() if name not in dropped}
    path = PATHS[wire] + COUNTING[wire]

    def ask() -> int | None:
        # vLLM counts a chat at /tokenize; its `count` comes with `max_model_len`.
        found = _posted(endpoint, path, kept, budget)
        if found is None and wire == "openai_chat":
            found = _posted(endpoint, "/tokenize", kept, budget)
        return found

    return (yield from waiting("counting the agent's own prompt", ask, limit_s=COUNT_S))


def _posted(endpoint: Endpoint, path: str, body: Mapping[str, Any], budget: Budget) -> int | None:
    headers = {"anthropic-version": "2023-06-01"} | endpoint.key_headers
    try:
        reply = web.request(
            "POST",
            endpoint.base_url + path,
            json_body=body,
            headers=headers,
            deadline_s=max(0.1, min(COUNT_S, budget.left_s)),
            limit_bytes=COUNT_LIMIT_BYTES,
        )
        value = reply.json() if reply.status == 200 else None
    except web.WebFault:
        return None
    if not isinstance(value, dict):
        return None
    exact = reply.headers.get("server", "").startswith("llama.cpp") or (
        value.get("object") == "response.input_tokens" or "max_model_len" in value
    )
    tokens = value.get("input_tokens", value.get("count"))
    known = isinstance(tokens, int) and not isinstance(tokens, bool) and tokens > 0
    return tokens if exact and known else None
