"""What lies in Ollama's store beside the catalog: described by the server, remembered by digest."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from agentlaunch import __version__, files
from agentlaunch.engines.ollama.client import Client
from agentlaunch.engines.ollama.derive import parse_derived
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.engines.ollama.replies import Tag
from agentlaunch.errors import AgentlaunchError, NotSupported
from agentlaunch.models import cloud, shape_json
from agentlaunch.models.catalog import Catalog, Entry
from agentlaunch.models.gguf import ModelFile
from agentlaunch.models.show_reply import ListsLeftOut, ShowReply
from agentlaunch.survey.models import Weights

LOOK_S = 0.8
"""For everything that is not remembered; what is slower than that is left out this time."""
EXPLICIT_S = 30.0
"""For a model that was asked for by name."""
REPLY_S = 5.0
"""For one reply of a look, also after the look is over."""
THREADS = 2
"""The server reads a whole header for each: 150 ms of one core for 150,000 words (0.33, seen on a
small virtual machine). More at a time would only bring all of them too late."""
PREFIX_DIGITS = 12
"""Of a manifest's digest, as the catalog keeps it."""
FORMAT = 1

_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Described:
    """Models that the catalog does not know, by name, and why others could not be described: what
    the server said, or None where it was too slow."""

    files: Mapping[str, ModelFile] = field(default_factory=dict)
    left_out: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def note(self) -> str | None:
        """What was left out, in a sentence; None where nothing was."""
        late = [name for name, said in self.left_out.items() if said is None]
        other = [name for name, said in self.left_out.items() if said is not None]
        parts = []
        if late:
            parts.append(f"Ollama did not describe {_few(late)} in time")
        if other:
            parts.append(f"what Ollama says of {_few(other)} does not tell a size")
        return f"not ranked: {'; '.join(parts)}" if parts else None


def look(
    client: Client,
    tags: Iterable[Tag],
    known: Catalog,
    cache: Path,
    *,
    limit_s: float = LOOK_S,
) -> Described:
    """Describe what runs here, can chat and is no build of the catalog, all within `limit_s`.

    What was seen once is not asked for again. Never raises for a server's sake.
    """
    found: dict[str, ModelFile] = {}
    left_out: dict[str, str | None] = {}
    unknown = []
    for tag in _unlisted(tuple(tags), known):
        seen = _remembered(cache, tag)
        if seen is None:
            unknown.append(tag)
        elif _chats(seen):
            found[tag.name] = seen.file
    answers = _ask_each(client, unknown, cache, limit_s)
    for tag in unknown:
        answer = answers.get(tag.name)
        if isinstance(answer, ShowReply):
            if _chats(answer):
                found[tag.name] = answer.file
        else:
            left_out[tag.name] = answer.message if answer is not None else None
    return Described(found, left_out)


def _ask_each(
    client: Client, tags: Sequence[Tag], cache: Path, limit_s: float
) -> dict[str, ShowReply | AgentlaunchError]:
    """The answers that came within the limit. One that is under way then goes on aside, so that
    the next look finds it, as long as this program lives."""
    ends = time.monotonic() + limit_s
    waiting, over = iter(tags), threading.Event()
    answers: queue.SimpleQueue[tuple[str, ShowReply | Exception]] = queue.SimpleQueue()
    taking = threading.Lock()

    def work() -> None:
        while not over.is_set():
            with taking:
                tag = next(waiting, None)
            if tag is None:
                return
            try:
                answers.put((tag.name, _ask(client, tag, cache, REPLY_S)))
            except Exception as error:  # noqa: BLE001 - what nobody expects is raised where it is awaited
                answers.put((tag.name, error))

    for _ in range(min(THREADS, len(tags))):
        threading.Thread(target=work, daemon=True, name="installed").start()
    found: dict[str, ShowReply | AgentlaunchError] = {}
    while len(found) < len(tags):
        try:
            name, answer = answers.get(timeout=max(0.0, ends - time.monotonic()))
        except queue.Empty:
            break
        if isinstance(answer, Exception) and not isinstance(answer, AgentlaunchError):
            raise answer
        found[name] = answer
    over.set()
    return found


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def described(weights: Weights, facts: OllamaFacts | None, known: Catalog, cache: Path) -> Weights:
    """A model that was asked for, as the server that has it describes it; else as it was.

    Raises `NotSupported` for one that runs in the cloud or cannot talk, and what `Client.shape`
    raises.
    """
    tag = facts.tag(weights.id) if facts is not None else None
    if facts is None or tag is None or weights.file is not None:
        return weights
    if tag.cloud:
        raise cloud.refusal(tag.name)
    if tag.capabilities is not None and "completion" not in tag.capabilities:
        can = ", ".join(sorted(tag.capabilities)) or "nothing"
        raise NotSupported(
            f"{tag.name} cannot talk: Ollama says that it can do {can}",
            hint="choose another model: agentlaunch models",
            code="no-chat-model",
        )
    reply = _remembered(cache, tag)
    if reply is None:
        reply = _ask(facts.client, tag, cache, EXPLICIT_S)
    return replace(
        weights,
        file=reply.file,
        size_bytes=tag.size_bytes,
        entry=weights.entry or of_catalog((tag,), known).get(tag.name),
        source="ollama",
        capabilities=reply.capabilities,
    )


def of_catalog(tags: Iterable[Tag], known: Catalog) -> dict[str, Entry]:
    """What the catalog knows, by the name in the store: by that name, or by the digest of its
    manifest, which a copy under another name keeps (`ollama cp`, 0.33)."""
    rows = [tag for tag in tags if not tag.cloud]
    found = known.find_each(tag.name for tag in rows)
    prefixes: dict[str, Entry] | None = None
    for tag in rows:
        digest = _digest(tag)
        if tag.name not in found and digest is not None and parse_derived(tag.name) is None:
            prefixes = _by_digest(known) if prefixes is None else prefixes
            entry = prefixes.get(digest[:PREFIX_DIGITS])
            if entry is not None:
                found[tag.name] = entry
    return found


def _by_digest(known: Catalog) -> dict[str, Entry]:
    table: dict[str, Entry] = {}
    for model in known.models:
        for variant in model.variants:
            table.setdefault(variant.digest_prefix, Entry(model, variant))
    return table


def _unlisted(tags: tuple[Tag, ...], known: Catalog) -> list[Tag]:
    """Models to describe: each digest once, under its plainest name."""
    listed = of_catalog(tags, known)
    chosen: dict[str, Tag] = {}
    for tag in tags:
        said = tag.capabilities
        chats = said is None or "completion" in said
        if tag.cloud or not chats or tag.name in listed or parse_derived(tag.name) is not None:
            continue
        key = _digest(tag) or tag.name
        other = chosen.get(key)
        if other is None or _plainness(tag) < _plainness(other):
            chosen[key] = tag
    return list(chosen.values())


def _plainness(tag: Tag) -> tuple[bool, str]:
    return tag.name.endswith(":latest"), tag.name


def _chats(reply: ShowReply) -> bool:
    return reply.capabilities is None or "completion" in reply.capabilities


def _ask(client: Client, tag: Tag, cache: Path, reply_s: float) -> ShowReply:
    """The server's description, the short one where it tells enough; kept for the next time."""

    def shape(*, verbose: bool) -> ShowReply:
        size = tag.size_bytes
        return client.shape(tag.name, verbose=verbose, size_bytes=size, deadline_s=reply_s)

    try:
        reply = shape(verbose=False)
    except ListsLeftOut:
        reply = shape(verbose=True)
    _remember(cache, tag, reply)
    return reply


# ---- what is remembered --------------------------------------------------------------------


def _digest(tag: Tag) -> str | None:
    """Of the manifest; None for what is no digest, and would be no file's name either."""
    found = _DIGEST.fullmatch(tag.digest or "")
    return found[1] if found is not None else None


def _place(cache: Path, tag: Tag) -> Path | None:
    digest = _digest(tag)
    return cache / "shapes" / f"{digest}.json" if digest is not None else None


def _remembered(cache: Path, tag: Tag) -> ShowReply | None:
    """What this very version of the program was told of this digest, under the name of today."""
    place = _place(cache, tag)
    data = files.read_json(place) if place is not None else None
    if data is None or (data.get("format"), data.get("by")) != (FORMAT, __version__):
        return None
    file = shape_json.from_json(data.get("file"))
    words = data.get("capabilities")
    if file is None or not (words is None or isinstance(words, list)):
        return None
    said = None if words is None else frozenset(word for word in words if isinstance(word, str))
    said = tag.capabilities if tag.capabilities is not None else said
    tools = file.takes_tools if said is None else "tools" in said
    return ShowReply(replace(file, name=tag.name, takes_tools=tools), said)


def _remember(cache: Path, tag: Tag, reply: ShowReply) -> None:
    place = _place(cache, tag)
    if place is None:
        return
    said = None if reply.capabilities is None else sorted(reply.capabilities)
    file = shape_json.to_json(reply.file)
    try:
        files.write_json(
            place, {"format": FORMAT, "by": __version__, "file": file, "capabilities": said}
        )
    except OSError:  # a full or read-only disk: then it is asked again
        return
