"""One build of one model on one machine: sized, timed, and said why. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from agentlaunch.machine.facts import Machine
from agentlaunch.models import evidence
from agentlaunch.models.catalog import Model, Variant
from agentlaunch.models.denied import WHOSE, is_denied
from agentlaunch.models.fit import Fit, fit
from agentlaunch.models.gguf import ModelFile
from agentlaunch.models.measured import Measurement
from agentlaunch.models.memory import Allocation
from agentlaunch.models.shape import ModelShape
from agentlaunch.models.speed import Band, Speed, speed

UNLISTED = "unlisted"
_NO_TOOLS = "Ollama says that it takes no tools, so an agent cannot work with it"


@dataclass(frozen=True, slots=True)
class Request:
    """An agent's first request in one of the sizes that it can send it: name and tokens."""

    name: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What every candidate is held against: the engine's allocation and the agent's requests.

    `requests` are the sizes of the first request, fullest first: the first that brings its answer
    within `first_word_limit_s` is taken, else the smallest. `reusable_bytes` is what would be
    evicted; `gpu_usable` whether the engine computes on this machine's graphics.
    """

    asked: Allocation
    requests: tuple[Request, ...]
    min_context_tokens: int = 0
    first_word_limit_s: float = 60.0
    reusable_bytes: int = 0
    gpu_usable: bool = True


@dataclass(frozen=True, slots=True)
class Here:
    """What is known of a model on this very machine: whether it was downloaded, the part that
    reads pictures (bytes, beside the weights), speeds that were measured, what its server says
    that it can (None: nothing), and the model that it is a copy of or built like."""

    installed: bool = False
    projector_bytes: int = 0
    measured: Measurement | None = None
    capabilities: frozenset[str] | None = None
    like: str | None = None

    @property
    def refuses_tools(self) -> bool:
        """Does the server say that it takes none?"""
        return self.capabilities is not None and "tools" not in self.capabilities


NOT_HERE, IS_HERE = Here(), Here(installed=True)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One build of one model, sized and timed on one machine. `score` orders, nothing more.

    `request` names the size of the agent's first request that it was timed with, in
    `request_tokens`.
    """

    id: str
    name: str
    fit: Fit
    speed: Speed
    installed: bool
    score: float | None
    place: int
    status: str
    tools: bool
    leaks: bool
    active_parameters: int | None
    index: float | None
    quant: str | None
    default: bool
    size_bytes: int | None
    enough_context: bool
    denied: bool = False
    """Ollama itself warns of it for coding agents."""
    request: str | None = None
    request_tokens: int = 1
    because: tuple[str, ...] = field(default=())

    @property
    def pickable(self) -> bool:
        """May it be chosen for somebody who did not ask for it?"""
        suitable = self.status != "unsuitable" and self.tools and not (self.leaks or self.denied)
        return suitable and self.enough_context and self.fit.fits

    def as_json(self) -> dict[str, Any]:
        """The `candidate` of CONTRACT.md."""
        row = self.fit
        return {
            "id": self.id,
            "name": self.name,
            "verdict": row.verdict,
            "placement": row.placement,
            "context_tokens": row.context_tokens,
            "kv_cache_type": row.kv_cache_type,
            "weights_bytes": row.weights_bytes,
            "weights_gpu_bytes": row.weights_gpu_bytes,
            "weights_cpu_bytes": row.weights_cpu_bytes,
            "kv_bytes": row.kv_bytes,
            "state_bytes": row.state_bytes,
            "compute_bytes": row.compute_bytes,
            "overhead_bytes": row.overhead_bytes,
            "total_bytes": row.total_bytes,
            "budget_bytes": row.budget_bytes,
            "headroom_bytes": row.headroom_bytes,
            "decode_tokens_per_s": _band_json(self.speed.decode_tokens_per_s),
            "first_word_s": _band_json(self.speed.first_word_s),
            "installed": self.installed,
            "score": self.score,
            "evidence": row.evidence,
            "because": [*self.because, *row.because, *self.speed.because],
        }


def consider(
    machine: Machine,
    model: Model,
    variant: Variant,
    terms: Terms,
    here: Here = NOT_HERE,
    *,
    shape: ModelShape | None = None,
) -> Candidate:
    """Size and time one build of a model of the catalog; an exact `shape` (from a header)
    replaces the catalog's, and what was measured here replaces every estimate of its speed."""
    known = shape or model.shape_of(variant)
    placed, timed, request = _sized(machine, known, terms, variant.size_bytes, here)
    proof = evidence.of(model)
    made = Candidate(
        id=variant.tag,
        name=model.name,
        fit=placed,
        speed=timed,
        installed=here.installed,
        score=proof.points if proof else None,
        place=proof.place if proof else 0,
        status=model.status,
        tools=model.tools and not here.refuses_tools,
        leaks=model.leaks_tool_calls,
        active_parameters=model.params_active,
        index=evidence.general_index(model),
        quant=variant.quant,
        default=variant.default,
        size_bytes=variant.size_bytes,
        enough_context=model.context_max_tokens >= terms.min_context_tokens,
        denied=is_denied(variant.tag) or is_denied(model.id),
        request=request.name,
        request_tokens=request.tokens,
    )
    said = _because(made, model, proof, here)
    return replace(made, because=(*said, *_slimmed(terms, request)))


def consider_all(
    machine: Machine,
    models: Iterable[Model],
    terms: Terms,
    *,
    installed: Collection[str] = (),
    measured: Mapping[str, Measurement] = MappingProxyType({}),
    capabilities: Mapping[str, frozenset[str] | None] = MappingProxyType({}),
    copies: Mapping[str, str] = MappingProxyType({}),
    llama_cpp_only: bool = True,
) -> tuple[Candidate, ...]:
    """Every model in the builds worth a thought: its default, 8 bit, 4 bit, and what is installed
    (tags). The context is cut to what a model was trained for; the same bytes are named once.
    `measured` holds speeds by tag, `capabilities` what a server says of one, `copies` the name
    that a build of the catalog bears in the store."""
    tags = {tag.lower() for tag in installed}
    rows = []
    for model in models:
        tokens = min(terms.asked.context_tokens, model.context_max_tokens)
        cut = replace(terms, asked=replace(terms.asked, context_tokens=tokens))
        for variant in _builds(model, tags, llama_cpp_only=llama_cpp_only):
            here = Here(
                variant.tag.lower() in tags,
                measured=measured.get(variant.tag),
                capabilities=capabilities.get(variant.tag),
            )
            bears = copies.get(variant.tag)
            if bears is None:
                rows.append(consider(machine, model, variant, cut, here))
            else:
                here = replace(here, like=variant.tag)
                rows.append(consider(machine, model, variant._replace(tag=bears), cut, here))
    return tuple(rows)


def of_file(
    machine: Machine,
    name: str,
    file: ModelFile,
    terms: Terms,
    here: Here = IS_HERE,
) -> Candidate:
    """Size and time a model that is not in the catalog, from its header. It has no score."""
    trained = file.shape.context_max_tokens or terms.asked.context_tokens
    placed, timed, request = _sized(machine, file.shape, terms, file.size_bytes, here)
    tools, denied = file.takes_tools is not False and not here.refuses_tools, is_denied(name)
    because = [WHOSE] if denied else []
    if here.refuses_tools:
        because.append(_NO_TOOLS)
    elif not tools:
        because.append("its chat template has no place for tools")
    if trained < terms.min_context_tokens:
        because.append(_too_short(trained))
    because.append("not in the catalog: nothing is known about its work as an agent")
    if here.like is not None:
        because.append(f"built like {here.like}, whose results are not its own")
    return Candidate(
        id=name,
        name=file.name,
        fit=placed,
        speed=timed,
        installed=here.installed,
        score=None,
        place=0,
        status=UNLISTED,
        tools=tools,
        leaks=False,
        active_parameters=file.shape.active_parameters,
        index=None,
        quant=file.quant,
        default=True,
        size_bytes=file.size_bytes,
        enough_context=trained >= terms.min_context_tokens,
        denied=denied,
        request=request.name,
        request_tokens=request.tokens,
        because=(*because, *_slimmed(terms, request)),
    )


def _sized(
    machine: Machine,
    shape: ModelShape,
    terms: Terms,
    published_bytes: int | None,
    here: Here,
) -> tuple[Fit, Speed, Request]:
    """Where it would lie, and its speed with the fullest request that is answered soon enough."""
    placed = fit(
        machine,
        shape,
        terms.asked,
        reusable_bytes=terms.reusable_bytes,
        gpu_usable=terms.gpu_usable,
        published_bytes=published_bytes,
        projector_bytes=here.projector_bytes,
    )

    def timed(request: Request) -> Speed:
        tokens = request.tokens
        seen = here.measured
        if seen is not None and seen.kv_cache_type == placed.kv_cache_type and placed.fits:
            return seen.speed(tokens)
        return speed(machine, shape, placed, prompt_tokens=tokens, published_bytes=published_bytes)

    for request in terms.requests[:-1]:
        found = timed(request)
        if not is_slow(found, terms.first_word_limit_s):
            return placed, found, request
    return placed, timed(terms.requests[-1]), terms.requests[-1]


def is_slow(timed: Speed, limit_s: float) -> bool:
    """Does the first word come later than the limit by the middle of its band? Unknown is not
    slow: a measured proof comes after the choice."""
    return timed.first_word_s is not None and timed.first_word_s.middle > limit_s


def _slimmed(terms: Terms, request: Request) -> tuple[str, ...]:
    full = terms.requests[0]
    if request is full:
        return ()
    return (
        f"starts with the agent's {request.name} prompt of about {request.tokens:,} tokens: "
        f"reading all {full.tokens:,} would take more than {terms.first_word_limit_s:.0f} s here",
    )


def _builds(model: Model, installed: set[str], *, llama_cpp_only: bool) -> list[Variant]:
    chosen: list[Variant] = []
    seen: set[str] = set()
    worth = {"q8_0", "q4_k_m"} - {(model.default.quant or "q4_k_m").lower()}
    first = sorted(model.variants, key=lambda row: row.tag != model.id)
    for variant in sorted(first, key=lambda row: row.tag.lower() not in installed):
        wanted = (
            variant.default
            or variant.tag.lower() in installed
            or (variant.quant or "").lower() in worth
        )
        readable = variant.llama_cpp or not llama_cpp_only
        same = variant.digest_prefix in seen and variant.tag.lower() not in installed
        if wanted and readable and not same:
            seen.add(variant.digest_prefix)
            chosen.append(variant)
    return chosen


def _because(
    row: Candidate, model: Model, proof: evidence.Evidence | None, here: Here
) -> tuple[str, ...]:
    said: list[str] = []
    if model.tools and not row.tools:
        said.append(_NO_TOOLS)
    elif not row.tools:
        said.append("takes no tools, so an agent cannot work with it")
    elif row.leaks:
        said.append("prints its tool calls as text, so an agent does nothing")
    elif model.status == "unsuitable":
        said.append("unsuitable as an agent")
    elif model.status == "weak":
        said.append("known to fail in work of many steps")
    if row.denied:
        said.append(WHOSE)
    if not row.enough_context:
        said.append(_too_short(model.context_max_tokens))
    if proof is None:
        said.append("no published result as an agent was found")
    else:
        said.append(proof.text)
    if here.like is not None:
        said.append(f"the same bytes as {here.like}")
    if row.installed:
        said.append("already downloaded")
    return tuple(said)


def _too_short(trained_tokens: int) -> str:
    return f"trained for {trained_tokens:,} tokens, less than the agent works in"


def _band_json(band: Band | None) -> dict[str, float] | None:
    return None if band is None else {"low": band.low, "high": band.high}
