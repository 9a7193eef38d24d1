"""What Ollama answers, read from untrusted JSON into values. Pure: no I/O.

Shapes as of Ollama 0.33 (api/types.go). A row that makes no sense is passed over; a field that does
not is None.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from agentlaunch.endpoint import Wire
from agentlaunch.engines.base import Loaded
from agentlaunch.models.cloud import is_cloud_name

LIMIT = 1 << 50
"""No size in bytes and no count of tokens is larger."""
MAX_ROWS = 10_000
MAX_TEXT = 512

FLOORS: Mapping[str, tuple[int, int, int]] = {
    "responses": (0, 13, 3),
    "anthropic": (0, 14, 0),
    "security": (0, 17, 1),
    "tag-capabilities": (0, 30, 0),
    "llama-server": (0, 30, 0),
}
"""First version with a feature (Ollama's history, 0.33), or without a known hole: `security` is
CVE-2026-7482."""

WIRE_FLOORS: Mapping[Wire, tuple[int, int, int]] = {
    "anthropic_messages": FLOORS["anthropic"],
    "openai_responses": FLOORS["responses"],
}

_VERSION = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:[-+][\w.+-]{1,100})?")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)
_WEIGHTS = re.compile(r"^(?:FROM|ADAPTER|DRAFT)\s.*sha256[-:]([0-9a-f]{64})\"?\s*$", re.MULTILINE)
_WAYS = re.compile(r"^(?:RENDERER|PARSER)\s.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Version:
    """A version as the server words it."""

    text: str
    numbers: tuple[int, int, int]

    def has(self, feature: str) -> bool:
        """Is it at or above a floor of `FLOORS`? A build from source says 0.0.0 and is believed
        to be new."""
        return self.numbers == (0, 0, 0) or self.numbers >= FLOORS[feature]

    @property
    def wires(self) -> tuple[Wire, ...]:
        """The wires that this version speaks, the richest first."""
        found: list[Wire] = []
        if self.has("anthropic"):
            found.append("anthropic_messages")
        if self.has("responses"):
            found.append("openai_responses")
        return (*found, "openai_chat")


@dataclass(frozen=True, slots=True)
class Tag:
    """One installed model. `context_tokens` is what it was trained for; None where the server does
    not say (both it and `capabilities` before 0.30)."""

    name: str
    digest: str | None
    size_bytes: int | None
    parent: str | None
    quant: str | None
    context_tokens: int | None
    capabilities: frozenset[str] | None
    cloud: bool
    """Runs on somebody else's machine, whatever its name says."""


@dataclass(frozen=True, slots=True)
class Show:
    """What /api/show says beside the shape: the parameters by name, and whose weights they are."""

    parameters: Mapping[str, tuple[str, ...]]
    weights: frozenset[str]
    """`sha256:<hex>` of each blob that it is made of: weights, projector, adapter, draft. Empty
    where the server names none (safetensors, 0.33), which says nothing."""
    voice: str
    """A hash of what turns messages into a prompt: template, system, messages, renderer, parser.
    A tag that is made from another inherits all of it to the letter (seen, 0.33), and gets a
    renderer, a parser and so another template where its kind has some and the base none."""
    parent: str | None
    """The model that a tag was made from."""
    modified_at: datetime | None
    capabilities: frozenset[str] | None
    requires: str | None
    cloud: bool

    def number(self, name: str) -> int | None:
        """A parameter that is one whole number."""
        values = self.parameters.get(name, ())
        text = values[0] if len(values) == 1 else ""
        whole = text.isascii() and text.isdecimal() and len(text) <= 18
        return int(text) if whole else None


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a stream. `error` is the server's own words when that line is an error."""

    status: str = ""
    error: str | None = None
    digest: str | None = None
    total_bytes: int | None = None
    done_bytes: int | None = None


def parse_version(reply: object) -> Version | None:
    """The reply of /api/version; None when another program answered."""
    text = reply.get("version") if isinstance(reply, dict) else None
    found = _VERSION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    major, minor, patch = (int(part) for part in found.groups())
    return Version(found[0], (major, minor, patch))


def parse_tags(reply: object) -> tuple[Tag, ...] | None:
    """The models of /api/tags; None when it is no such list."""
    rows = _rows(reply)
    if rows is None:
        return None
    found: dict[str, Tag] = {}
    for row in rows:
        name = _name(row)
        if name is not None:
            found.setdefault(_full(name), _tag(name, row))
    return tuple(found.values())


def _tag(name: str, row: Mapping[str, Any]) -> Tag:
    details = row.get("details")
    details = details if isinstance(details, dict) else {}
    return Tag(
        name=name,
        digest=_text(row.get("digest")),
        size_bytes=_count(row.get("size")),
        parent=_text(details.get("parent_model")),
        quant=_text(details.get("quantization_level")),
        context_tokens=_count(details.get("context_length")) or None,
        capabilities=_words(row.get("capabilities")),
        cloud=_is_cloud(row) or is_cloud_name(name),
    )


def parse_ps(reply: object) -> tuple[Loaded, ...] | None:
    """The loaded models of /api/ps with their allocated context; None when it is no such list."""
    rows = _rows(reply)
    if rows is None:
        return None
    return tuple(
        Loaded(
            model=name,
            context_tokens=_count(row.get("context_length")) or None,
            size_bytes=_count(row.get("size")),
            vram_bytes=_count(row.get("size_vram")),
            expires_at=_moment(row.get("expires_at")),
        )
        for row in rows
        if (name := _name(row)) is not None
    )


def cpu_share(loaded: Loaded) -> float | None:
    """How much of a loaded model lies in main memory, 0 to 1; None when the server does not say."""
    if not loaded.size_bytes or loaded.vram_bytes is None:
        return None
    return 1 - min(loaded.vram_bytes, loaded.size_bytes) / loaded.size_bytes


def parse_show(reply: object) -> Show | None:
    """What /api/show says of a model; None when it is no such reply."""
    if not isinstance(reply, dict) or not ({"details", "model_info", "modelfile"} & set(reply)):
        return None
    modelfile = reply.get("modelfile")
    modelfile = modelfile if isinstance(modelfile, str) else ""
    details = reply.get("details")
    voice = [reply.get(part) or "" for part in ("template", "system", "messages")]
    return Show(
        parameters=_parameters(reply.get("parameters")),
        weights=frozenset(f"sha256:{found}" for found in _WEIGHTS.findall(modelfile)),
        voice=_hash([*voice, _WAYS.findall(modelfile)]),
        parent=_text(details.get("parent_model")) if isinstance(details, dict) else None,
        modified_at=_moment(reply.get("modified_at")),
        capabilities=_words(reply.get("capabilities")),
        requires=_text(reply.get("requires")),
        cloud=_is_cloud(reply),
    )


def _hash(value: object) -> str:
    with contextlib.suppress(RecursionError):
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
    return ""


def _parameters(text: object) -> dict[str, tuple[str, ...]]:
    """`num_ctx                        65536`, one a line; a name may come again (`stop`)."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines()[:MAX_ROWS] if isinstance(text, str) else ():
        name, _, value = line.strip().partition(" ")
        if name:
            found[name] = (*found.get(name, ()), value.strip())
    return found


def parse_event(line: bytes) -> Event | None:
    """One line of a stream of a pull or a create; None when it is no JSON object."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict):
        return None
    error = row.get("error")
    total = _count(row.get("total"))
    done = _count(row.get("completed"))
    if total is not None:
        done = min(done or 0, total)
    return Event(
        status=_text(row.get("status")) or "",
        error=None if error is None else (_text(error) or "an error without words"),
        digest=_text(row.get("digest")),
        total_bytes=total,
        done_bytes=done,
    )


def error_text(body: bytes) -> str:
    """The words of an error reply: `{"error": …}` in Ollama's or OpenAI's shape, else the text."""
    try:
        row = json.loads(body)
    except (ValueError, RecursionError):
        row = None
    said = row.get("error") if isinstance(row, dict) else None
    if isinstance(said, dict):
        said = said.get("message")
    if isinstance(said, str):
        return _text(said) or ""
    return body[:200].decode("utf-8", "replace").strip()


def is_absent(said: str) -> bool:
    """Are these the words for a model that is not there? A page that is not found has others."""
    return re.match(r"model\b.*\bnot found\b", said, re.DOTALL) is not None


def signin_url(body: bytes) -> str | None:
    """Where a 401 would have its user sign in to the cloud; None for any other refusal."""
    try:
        row = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return _text(row.get("signin_url")) if isinstance(row, dict) else None


def same_model(one: str, other: str) -> bool:
    """Ollama takes `x` and `x:latest`, and upper and lower case, for the same."""
    return _full(one) == _full(other)


def _full(name: str) -> str:
    path, _, last = name.lower().rpartition("/")
    last = last if ":" in last else f"{last}:latest"
    return f"{path}/{last}" if path else last


def _rows(reply: object) -> list[dict[str, Any]] | None:
    rows = reply.get("models") if isinstance(reply, dict) else None
    if not isinstance(rows, list):
        return None
    return [row for row in rows[:MAX_ROWS] if isinstance(row, dict)]


def _is_cloud(row: Mapping[str, Any]) -> bool:
    return bool(row.get("remote_host") or row.get("remote_model"))


def _name(row: Mapping[str, Any]) -> str | None:
    """The name of a model. One that holds a control character is none: it could not be typed."""
    name = row.get("name")
    return _text(name) if isinstance(name, str) and name.isprintable() else None


def _text(raw: object) -> str | None:
    """A text that can be written out: JSON may hold half characters."""
    if not isinstance(raw, str) or not raw:
        return None
    return raw[:MAX_TEXT].encode("utf-8", "replace").decode()


def _moment(raw: object) -> datetime | None:
    """A time as Go writes it, with up to nine digits behind the second, to the microsecond; UTC."""
    found = _MOMENT.fullmatch(raw) if isinstance(raw, str) else None
    if found is None:
        return None
    try:
        zone = "+00:00" if found[3] == "Z" else found[3]
        behind = f".{(found[2] or '0')[:6]:0<6}"
        return datetime.fromisoformat(found[1] + behind + zone).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def _words(raw: object) -> frozenset[str] | None:
    if not isinstance(raw, list):
        return None
    return frozenset(word[:MAX_TEXT] for word in raw[:100] if isinstance(word, str))


def _count(raw: object) -> int | None:
    whole = isinstance(raw, int) and not isinstance(raw, bool)
    return raw if whole and isinstance(raw, int) and 0 <= raw <= LIMIT else None
