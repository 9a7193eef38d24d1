"""What rules judge, as they know it: a server by its names and address, a model by all its names;
and the world with nothing else to choose from."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import replace

from agentlaunch.engines import presets
from agentlaunch.engines.ollama.derive import parse_derived
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.engines.remote_facts import RemoteFacts
from agentlaunch.errors import ModelUnavailable
from agentlaunch.models import catalog
from agentlaunch.models.refs import looks_like_path, parse_ref
from agentlaunch.policy import judging, leaves
from agentlaunch.policy import origin as origin_of
from agentlaunch.policy.rules import Policy
from agentlaunch.survey import Survey

EMBEDDED = judging.Server("embedded", None, frozenset({"embedded"}))
_MAY_BE = frozenset(row.name for row in presets.ALL if not row.hosted) | {"ollama"}
"""What may answer at an address of this machine."""


def ollama_at(url: str, *, here: bool = False) -> judging.Server:
    """Ollama at its address; `here` where it is this very machine under another address."""
    if here or not leaves(url):
        return judging.Server("ollama", None, frozenset({"ollama", origin_of(url)}))
    return judging.Server("ollama", url)


def server_of(target: presets.Target, kind: presets.Kind | None = None) -> judging.Server:
    """Somebody else's server as it was named and, once it was asked, as what it turned out to be.

    A name means the server on this machine, or a company's own address: whoever allows `vllm` has
    not allowed every address where one may run.
    """
    named, found = target.preset, presets.of_kind(kind) if kind is not None else None
    here = not leaves(target.url)
    words = {row.name for row in (named, found) if row is not None and _at_home(row, target.url)}
    relays = _RELAYS.get(kind or (named.kind if named is not None else "unknown"), "")
    if here and kind == "ollama":
        words.add("ollama")
    if here and kind is None and named is None:
        words |= _MAY_BE
    return judging.Server(
        named.name if named is not None else target.origin,
        target.url,
        frozenset(words),
        relays=relays,
        managed=any(row is not None and row.hosted for row in (named, found)),
    )


_RELAYS: Mapping[presets.Kind, str] = {
    "litellm": "name the engine itself that stands behind it",
    # What it runs in its cloud may have any name there, and only its own API tells.
    "ollama": "use it by its own API, which tells its cloud's models: --engine ollama",
}


def _at_home(preset: presets.Preset, url: str) -> bool:
    return not leaves(url) if not preset.hosted else origin_of(url) == origin_of(preset.address)


def model_names(name: str, known: catalog.Catalog) -> frozenset[str]:
    """Everything that a model is known by: as it was written, in full, and in the catalog, each
    with its tag and without. A file is known by its own name alone."""
    if looks_like_path(name):
        last = name.replace("\\", "/").rpartition("/")[2]
        return frozenset({last, last.removesuffix(".gguf")})
    ours = parse_derived(name)
    rows = {name if ours is None else ours.base}
    rows |= {_DATE.sub("", row) for row in rows}
    for row in tuple(rows):
        with contextlib.suppress(ModelUnavailable):
            rows.add(str(parse_ref(row)))
        entry = known.find(row)
        if entry is not None:
            rows |= {entry.variant.tag, entry.model.id}
    return frozenset(rows | {_without_tag(row) for row in rows})


_DATE = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2})$")
"""Companies serve a model under its name with the date of its build as well."""


def _without_tag(name: str) -> str:
    base, colon, tag = name.rpartition(":")
    return base if colon and "/" not in tag else name


def model(policy: Policy, name: str, known: catalog.Catalog) -> judging.Refusal | None:
    """May this model be used?"""
    if not policy.of("allowed_models"):
        return None
    return judging.model(policy, name, model_names(name, known))


def allowed_survey(policy: Policy, seen: Survey) -> Survey:
    """The same world with none but allowed models to choose from."""
    if not policy.of("allowed_models"):
        return seen
    known = seen.catalog

    def may(name: str) -> bool:
        return model(policy, name, known) is None

    left = []
    for row in known.models:
        variants = tuple(build for build in row.variants if may(build.tag))
        if variants:
            left.append(replace(row, variants=variants))
    return replace(
        seen,
        catalog=catalog.Catalog(tuple(left)),
        stored=tuple(row for row in seen.stored if may(str(row.ref))),
        ollama=None if seen.ollama is None else allowed_ollama(policy, seen.ollama, known),
    )


def allowed_ollama(policy: Policy, facts: OllamaFacts, known: catalog.Catalog) -> OllamaFacts:
    """The same server with none but allowed models."""
    if not policy.of("allowed_models"):
        return facts
    tags = tuple(row for row in facts.tags if model(policy, row.name, known) is None)
    names = {row.name for row in tags}
    found = {name: file for name, file in facts.files.items() if name in names}
    return replace(facts, tags=tags, files=found)


def allowed_remote(policy: Policy, facts: RemoteFacts, known: catalog.Catalog) -> RemoteFacts:
    """The same. Raises `Refused` where a server has models and none of them is allowed."""
    rows = tuple(row for row in facts.models if model(policy, row.name, known) is None)
    if facts.models and not rows:
        judging.enforce(model(policy, facts.models[0].name, known))
    return replace(facts, models=rows)
