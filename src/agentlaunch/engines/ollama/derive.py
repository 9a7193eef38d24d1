"""A tag of ours for a model with the context pinned: same weights, its own `num_ctx`.

Ollama takes no context from an agent's request (0.33), so the tag carries it. Its name is the
base's with an ending that a person understands: `qwen3.5:9b` becomes `qwen3.5:9b-64k-agentlaunch`.
It carries sampling values too, where the base has none of its own.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from agentlaunch import web
from agentlaunch.engines.ollama.client import Client
from agentlaunch.engines.ollama.faults import load_failed
from agentlaunch.engines.ollama.replies import Show, parse_version, same_model
from agentlaunch.errors import EngineFailed, ModelUnavailable, NotSupported, Refused
from agentlaunch.models.refs import parse_ref
from agentlaunch.models.sampling import SAMPLING_NAMES
from agentlaunch.progress import Progress, Work

_ENDING = re.compile(r"(?P<base>.+)-(?P<number>[1-9][0-9]{0,8})(?P<k>k?)-agentlaunch")
_TAG_LIMIT = 80
_CREATE_SILENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Derived:
    """A tag of ours, taken apart; `created` is False when it stood already, `replaced` True when
    one of ours, with other parameters or of an older base, gave way to it."""

    name: str
    base: str
    context_tokens: int
    created: bool = False
    replaced: bool = field(default=False, compare=False)


def derived_name(base: str, context_tokens: int) -> str:
    """The tag's name. Raises `ModelUnavailable` for a name outside Ollama's grammar, `NotSupported`
    when it would be longer than Ollama allows (80 characters)."""
    if context_tokens <= 0:
        raise ValueError("a context has at least one token")
    ref = parse_ref(base)
    whole = context_tokens % 1024 == 0
    shown = f"{context_tokens // 1024}k" if whole else str(context_tokens)
    tag = f"{ref.tag}-{shown}-agentlaunch"
    if len(tag) > _TAG_LIMIT:
        raise NotSupported(
            f"the name of {base} is too long for a tag of ours",
            hint=f"give it a shorter one: ollama cp {base} NAME",
            code="name-too-long",
        )
    return f"{str(ref).rpartition(':')[0]}:{tag}"


def parse_derived(name: str) -> Derived | None:
    """Take a name of ours apart; None for any other."""
    path, _, tag = name.rpartition(":")
    found = _ENDING.fullmatch(tag)
    if found is None or not path or "/" in tag:
        return None
    tokens = int(found["number"]) * (1024 if found["k"] else 1)
    return Derived(name, f"{path}:{found['base']}", tokens)


def derive(
    client: Client,
    base: str,
    *,
    context_tokens: int,
    batch: int | None = None,
    parameters: Mapping[str, float] | None = None,
) -> Work[Derived]:
    """Make sure that the tag stands: reused when it has these parameters and is the base of today.

    Of `parameters` (temperature and its like) only those are written that the base does not set:
    its own are inherited (seen, 0.33), and with them what its maker or the user wrote there.

    Nothing is downloaded: `ModelUnavailable` when the base is not there. `Refused` for a tag of the
    user's own with such a name, `NotSupported` for a base that wants a newer Ollama, `EngineFailed`
    when what was made does not say what was asked for.
    """
    name = derived_name(base, context_tokens)
    shown = client.show(base)  # without it Ollama would pull the base, unasked (0.33)
    if shown.cloud:
        raise NotSupported(
            f"{base} runs in the cloud, its context cannot be pinned",
            hint="choose a model that runs here: agentlaunch models",
            code="cloud-model",
        )
    _check_version(client, base, shown)
    wanted: dict[str, float] = {"num_ctx": context_tokens}
    if batch:
        wanted["num_batch"] = batch
    given = parameters or {}
    wanted |= {key: value for key, value in given.items() if key not in shown.parameters}
    found = _stands(client, name)
    if found is not None:
        if _pinned(found, shown, wanted) and _of_today(found, shown):
            return Derived(name, base, context_tokens)
        if not _is_ours(found, base, shown, context_tokens):
            raise Refused(
                f"{name} is a name of agentlaunch's, but another model bears it",
                hint=f"give that another name (ollama cp {name} NAME), then: ollama rm {name}",
                code="not-ours",
            )
    yield Progress(f"deriving {name}")
    body = {"model": name, "from": base, "parameters": wanted, "stream": True}
    yield from _create(client, name, body)
    if not _pinned(client.show(name), shown, wanted):
        raise EngineFailed(
            f"Ollama made {name}, but not with the parameters that were asked for",
            hint=f"remove it and try again: ollama rm {name}",
            code="derive-failed",
        )
    return Derived(name, base, context_tokens, created=True, replaced=found is not None)


def _stands(client: Client, name: str) -> Show | None:
    """What a tag says; None where there is none."""
    try:
        return client.show(name)
    except ModelUnavailable as error:
        if error.code != "unknown-model":
            raise
        return None


def _check_version(client: Client, base: str, shown: Show) -> None:
    """Ollama itself only tells what a model needs, and then fails to load it (0.33)."""
    needs = parse_version({"version": shown.requires})
    if needs is None:
        return
    runs = client.version()
    if (0, 0, 0) != runs.numbers < needs.numbers:
        raise NotSupported(
            f"{base} needs Ollama {needs.text} or newer, {runs.text} runs at {client.url}",
            hint="update it (https://ollama.com/download), or choose another model: "
            "agentlaunch models",
            code="ollama-too-old",
        )


def _create(client: Client, name: str, body: dict[str, object]) -> Work[None]:
    try:
        for event in client.events("/api/create", body, silence_s=_CREATE_SILENCE_S):
            if event.error is not None:
                raise load_failed(name, event.error)
            if event.status == "success":
                return
            yield Progress(f"deriving {name}", detail=event.status or None)
    except web.WebFault as fault:
        raise EngineFailed(
            f"Ollama broke off while it made {name}: {fault}",
            hint="run the same command again",
            code="derive-failed",
        ) from fault
    raise EngineFailed(
        f"Ollama did not finish {name}", hint="run the same command again", code="derive-failed"
    )


def _pinned(found: Show, base: Show, wanted: Mapping[str, float]) -> bool:
    """Has it these parameters, the base's sampling besides, and no other weights than the base?"""
    if found.weights != base.weights:
        return False
    inherited = (name for name in SAMPLING_NAMES if name not in wanted)
    return all(_number(found, name) == value for name, value in wanted.items()) and all(
        found.parameters.get(name) == base.parameters.get(name) for name in inherited
    )


def _of_today(found: Show, base: Show) -> bool:
    """Is nothing of the base newer than the tag? What is made of a base has its weights and its
    voice, unless Ollama adds a renderer (`Show.voice`) or names no weights: then it is the younger
    one that was made of what the base is now."""
    if base.weights and found.voice == base.voice:
        return True
    made, changed = found.modified_at, base.modified_at
    return made is not None and changed is not None and made > changed


def _is_ours(found: Show, base: str, shown: Show, context_tokens: int) -> bool:
    """Does a tag with a name of ours have the context it names, and come from its base: by what
    Ollama keeps of that (`parent_model`, 0.33), or by its weights?"""
    if found.number("num_ctx") != context_tokens:
        return False
    if found.weights and found.weights == shown.weights:
        return True
    with contextlib.suppress(ModelUnavailable):
        parent = parse_ref(found.parent or "")
        return same_model(str(parent), str(parse_ref(base)))
    return False


def _number(shown: Show, name: str) -> float | None:
    """A parameter that is one number."""
    values = shown.parameters.get(name, ())
    try:
        return float(values[0]) if len(values) == 1 else None
    except ValueError:
        return None


def ours(names: Iterable[str]) -> tuple[Derived, ...]:
    """Which of these tags bear a name of ours."""
    return tuple(found for name in names if (found := parse_derived(name)) is not None)


def list_ours(client: Client) -> tuple[Derived, ...]:
    """The tags of ours on a server; others that only look so are left out when removed."""
    return ours(tag.name for tag in client.tags())


def remove(client: Client, name: str) -> bool:
    """Delete a tag of ours; its weights stay while the base stands. False when it is gone already.

    Raises `Refused` for a tag that is not ours: another name, or without the context it names.
    """
    found = parse_derived(name)
    try:
        is_ours = found is not None and client.show(name).number("num_ctx") == found.context_tokens
    except ModelUnavailable as error:
        if error.code == "unknown-model":
            return False
        raise
    if not is_ours:
        raise Refused(
            f"{name} was not made by agentlaunch",
            hint=f"if you want it gone: ollama rm {name}",
            code="not-ours",
        )
    return client.delete(name)
