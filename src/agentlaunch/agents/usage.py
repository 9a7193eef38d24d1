"""What each agent writes down of the tokens that it used: where, and how it is read. Pure.

Formats as seen: Claude Code 2.1.197, Codex 0.169.0, OpenCode 1.18.33, Qwen Code 0.15.10, Copilot
1.0.102, Pi 0.87.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal

from agentlaunch.agents.sessions import documents


@dataclass(frozen=True, slots=True)
class Used:
    """The tokens of one request."""

    at: datetime
    model: str
    """As it was served."""
    input_tokens: int
    """With what was cached."""
    cached_tokens: int
    output_tokens: int
    written_tokens: int = 0
    """Of the input, what was newly written to a cache, for which companies ask more."""
    own_id: str = ""
    """Of the reply, where the agent keeps it: it copies replies when it forks a conversation."""
    folder: str = ""
    """In which the agent worked then; empty where that is not told."""


MOST_TOKENS = 10**12
"""A row that tells of more is none."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where an agent keeps its conversations, and how the tokens in them are read."""

    pattern: str
    """Of the files, below the agent's own folder, or below `folder`."""
    read: Callable[[Iterable[bytes]], Iterator[Used]]
    """From the lines of one file; of a database, the documents that `query` gives."""
    kind: Literal["lines", "sqlite"] = "lines"
    query: str = ""
    folder: tuple[str, str] | None = None
    """The variable that moves the folder, and where it lies without."""


def _used(
    at: object,
    model: object,
    given: object,
    cached: object,
    output: object,
    written: object = 0,
    own_id: str = "",
    folder: str = "",
) -> Iterator[Used]:
    """One row, where it is one: no negative counts, no other types, a moment with its zone."""
    counts = [
        value
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS
        else None
        for value in (given, cached or 0, output, written or 0)
    ]
    moment = _moment(at)
    if moment is None or not isinstance(model, str) or None in counts:
        return
    first, second, third, fourth = (value or 0 for value in counts)
    second = min(first, second)
    yield Used(moment, model, first, second, third, min(first - second, fourth), own_id, folder)


def _moment(at: object) -> datetime | None:
    try:
        if isinstance(at, (int, float)) and not isinstance(at, bool):
            return datetime.fromtimestamp(at / 1000, timezone.utc)
        found = datetime.fromisoformat(str(at).replace("Z", "+00:00"))
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)


def _table(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = row.get(name)
    return value if isinstance(value, dict) else {}


def _sum(*values: object) -> int | None:
    """Of counts; None where one of them is none."""
    rows = [value if isinstance(value, int) else None for value in values]
    return None if None in rows else sum(value or 0 for value in rows)


def _folder(row: Mapping[str, Any], before: str = "") -> str:
    """Where the agent worked, as each of them writes it; where a row says nothing, as before."""
    context = _table(_table(row, "data"), "context")
    for told in (row, _table(row, "payload"), context, _table(row, "path")):
        folder = told.get("cwd")
        if isinstance(folder, str) and folder:
            return folder
    return before


def _claude_code(lines: Iterable[bytes]) -> Iterator[Used]:
    """A reply is written once for each part of it, with the same usage: the last one counts."""
    replies: dict[str, dict[str, Any]] = {}
    for row in documents(lines):
        message = _table(row, "message")
        if row.get("type") == "assistant" and message.get("model") != "<synthetic>":
            replies[str(message.get("id") or row.get("uuid"))] = row
    for own_id, row in replies.items():
        message = _table(row, "message")
        usage = _table(message, "usage")
        read = usage.get("cache_read_input_tokens") or 0
        written = usage.get("cache_creation_input_tokens") or 0
        given = _sum(usage.get("input_tokens"), read, written)
        yield from _used(
            row.get("timestamp"),
            message.get("model"),
            given,
            read,
            usage.get("output_tokens"),
            written,
            own_id,
            _folder(row),
        )


def _codex(lines: Iterable[bytes]) -> Iterator[Used]:
    """Each count of tokens is of the last request; the model stands in the turn before it."""
    model: object = None
    last: object = None
    folder = ""
    for row in documents(lines):
        folder = _folder(row, folder)
        payload = _table(row, "payload")
        if row.get("type") == "turn_context":
            model = payload.get("model")
        info = _table(payload, "info")
        whole = info.get("total_token_usage")
        if payload.get("type") != "token_count" or not info or whole == last:
            continue  # told again, not used again
        last, usage = whole, _table(info, "last_token_usage")
        yield from _used(
            row.get("timestamp"),
            model,
            usage.get("input_tokens"),
            usage.get("cached_input_tokens"),
            usage.get("output_tokens"),
            folder=folder,
        )


def _qwen(lines: Iterable[bytes]) -> Iterator[Used]:
    for row in documents(lines):
        usage = _table(row, "usageMetadata")
        if usage:
            output = _sum(usage.get("candidatesTokenCount"), usage.get("thoughtsTokenCount") or 0)
            yield from _used(
                row.get("timestamp"),
                row.get("model"),
                usage.get("promptTokenCount"),
                usage.get("cachedContentTokenCount"),
                output,
                folder=_folder(row),
            )


def _copilot(lines: Iterable[bytes]) -> Iterator[Used]:
    folder = ""
    for row in documents(lines):
        folder = _folder(row, folder)
        usage = _table(_table(row, "data"), "usage")
        if row.get("type") == "session.usage_record" and usage:
            yield from _used(
                row.get("timestamp"),
                usage.get("model"),
                usage.get("inputTokens"),
                usage.get("cacheReadTokens"),
                usage.get("outputTokens"),
                folder=folder,
            )


def _pi(lines: Iterable[bytes]) -> Iterator[Used]:
    folder = ""
    for row in documents(lines):
        folder = _folder(row, folder)
        message = _table(row, "message")
        usage = _table(message, "usage")
        if usage:
            read = usage.get("cacheRead") or 0
            written = usage.get("cacheWrite") or 0
            given = _sum(usage.get("input"), read, written)
            yield from _used(
                row.get("timestamp"),
                message.get("model"),
                given,
                read,
                usage.get("output"),
                written,
                str(row.get("id") or ""),
                folder,
            )


def _opencode(lines: Iterable[bytes]) -> Iterator[Used]:
    for row in documents(lines):
        tokens = _table(row, "tokens")
        if row.get("role") == "assistant" and tokens:
            cache = _table(tokens, "cache")
            read = cache.get("read") or 0
            written = cache.get("write") or 0
            given = _sum(tokens.get("input"), read, written)
            output = _sum(tokens.get("output"), tokens.get("reasoning") or 0)
            created = _table(row, "time").get("created")  # a fork has other ids and the same times
            model, folder = row.get("modelID"), _folder(row)
            yield from _used(created, model, given, read, output, written, str(created), folder)


ACCOUNTS: Mapping[str, Account] = {
    # Its helpers have files of their own: projects/P/SESSION/subagents/agent-….jsonl.
    "claude-code": Account("projects/*/**/*.jsonl", _claude_code),
    "codex": Account("sessions/*/*/*/rollout-*.jsonl", _codex),
    "qwen": Account("projects/*/chats/*.jsonl", _qwen),
    "copilot": Account("session-state/*/events.jsonl", _copilot),
    "pi": Account("sessions/*/*.jsonl", _pi),
    "opencode": Account(
        "opencode/opencode*.db",
        _opencode,
        "sqlite",
        "SELECT data FROM message",
        ("XDG_DATA_HOME", "~/.local/share"),
    ),
}
"""By the agent's name; of the others no file is known that tells it."""
