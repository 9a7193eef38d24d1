"""An agent's own first request, as it was recorded: what an engine is warmed and measured with.

It is everything that the agent sends before the user's first word, byte for byte, so a prefix cache
finds it again in the real session. The user's own words are never in it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from agentlaunch import files
from agentlaunch.endpoint import Wire

FOLDER = "recordings"
"""Below the cache folder."""
WORD = "."
"""Stands where the user's first word will stand."""
MORE = "Go on."

LIMIT_FIELDS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
DEFAULT_LIMIT: dict[Wire, str] = {
    "anthropic_messages": "max_tokens",
    "openai_responses": "max_output_tokens",
    "openai_chat": "max_tokens",
}


@dataclass(frozen=True, slots=True)
class Recording:
    """The first request with tools (the first at all, of an agent without), and what came beside.

    `body` is whole, with `WORD` for what the user would have said.
    """

    agent: str
    version: str | None
    wire: Wire
    body: Mapping[str, Any]
    beside: tuple[Mapping[str, Any], ...] = ()
    """Other requests of the same start: titles, summaries. They take the only slot."""

    def first_turn(self, model: str, *, max_tokens: int = 1) -> dict[str, Any]:
        """The body of a first turn for this model, not streamed, with one word of a user."""
        body = copy.deepcopy(dict(self.body))
        body["model"] = model
        body["stream"] = False
        body.pop("stream_options", None)
        given = [name for name in LIMIT_FIELDS if name in body]
        for name in given or [DEFAULT_LIMIT[self.wire]]:
            body[name] = max_tokens
        _without_thinking_budget(body, max_tokens)
        return body

    def second_turn(self, model: str, said: str, *, max_tokens: int = 1) -> dict[str, Any]:
        """The same with the model's answer and another word of the user behind it."""
        body = self.first_turn(model, max_tokens=max_tokens)
        entries = list(body[_ENTRIES[self.wire]])
        body[_ENTRIES[self.wire]] = [*entries, *_turns(self.wire, said or WORD, MORE)]
        return body


def record(
    agent: str,
    version: str | None,
    wire: Wire,
    requests: list[Mapping[str, Any]],
    prompt: str,
) -> Recording | None:
    """Of everything that an agent sent in one run, what a recording keeps; `prompt` is what it was
    asked, a word that stands nowhere else, taken out. None where nothing was asked."""
    asked = [body for body in requests if body.get(_ENTRIES[wire])]
    if not asked:
        return None
    first = next((body for body in asked if body.get("tools")), asked[0])
    beside = tuple(
        _replaced(body, prompt) for body in asked if body is not first and not body.get("tools")
    )
    return Recording(agent, version, wire, _replaced(first, prompt), beside)


def save(recording: Recording, path: Path) -> None:
    """Write it for this user alone: it holds his instructions and the names of his tools."""
    files.private_dir(path.parent)
    files.write_json(path, {"schema": "agentlaunch/recording/1", **asdict(recording)})


def load(path: Path) -> Recording | None:
    """What `save` wrote; None where nothing, or something else, lies there."""
    row = files.read_json(path) or {}
    body, beside = row.get("body"), row.get("beside")
    agent, version = row.get("agent"), row.get("version")
    wire: Wire | None = next((each for each in get_args(Wire) if each == row.get("wire")), None)
    if not isinstance(body, dict) or wire is None or not isinstance(agent, str):
        return None
    others = beside if isinstance(beside, list) else []
    return Recording(
        agent,
        version if isinstance(version, str) else None,
        wire,
        body,
        tuple(each for each in others if isinstance(each, dict)),
    )


# --- in the forms of the wires -------------------------------------------------------------------

_ENTRIES: dict[Wire, str] = {
    "anthropic_messages": "messages",
    "openai_responses": "input",
    "openai_chat": "messages",
}


def _turns(wire: Wire, said: str, word: str) -> list[dict[str, Any]]:
    if wire == "openai_responses":
        spoken = [{"type": "output_text", "text": said}]
        asked = [{"type": "input_text", "text": word}]
        return [
            {"type": "message", "role": "assistant", "content": spoken},
            {"type": "message", "role": "user", "content": asked},
        ]
    if wire == "anthropic_messages":
        return [
            {"role": "assistant", "content": [{"type": "text", "text": said}]},
            {"role": "user", "content": [{"type": "text", "text": word}]},
        ]
    return [{"role": "assistant", "content": said}, {"role": "user", "content": word}]


def _without_thinking_budget(body: dict[str, Any], max_tokens: int) -> None:
    """A budget for thinking may not exceed the reply (Anthropic's own rule: 400 otherwise)."""
    thinking = body.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    if isinstance(budget, int) and budget >= max_tokens:
        del body["thinking"]


def _replaced(value: Any, prompt: str) -> Any:
    """The same document with `WORD` for the prompt, wherever it stands: a request for a title has
    it in the middle of a text."""
    if isinstance(value, str):
        return value.replace(prompt, WORD)
    if isinstance(value, list):
        return [_replaced(each, prompt) for each in value]
    if isinstance(value, Mapping):
        return {name: _replaced(each, prompt) for name, each in value.items()}
    return value
