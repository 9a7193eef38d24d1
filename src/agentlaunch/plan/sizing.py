"""Which model at which context: the ranked choice, or what was asked for, sized. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from agentlaunch.context import padded, usable_tiers
from agentlaunch.engines.ollama.replies import same_model
from agentlaunch.errors import MachineCannot, ModelUnavailable, NotSupported
from agentlaunch.machine.facts import Machine
from agentlaunch.models import choose
from agentlaunch.models.budget import usable_cards
from agentlaunch.models.candidate import (
    Candidate,
    Here,
    Request,
    Terms,
    consider,
    consider_all,
    of_file,
)
from agentlaunch.models.catalog import Model
from agentlaunch.models.fit import Fit
from agentlaunch.models.gguf import ModelFile
from agentlaunch.models.memory import Allocation, impossible_cache
from agentlaunch.models.relatives import relative
from agentlaunch.models.shape import ModelShape
from agentlaunch.plan.wish import Wish
from agentlaunch.survey import Survey, Weights, installed

CONTEXT_STEPS = (262_144, 131_072, 98_304, 65_536, 49_152, 40_960, 32_768, 24_576, 16_384, 8_192)
SMALLEST_CONTEXT = 2_048


@dataclass(frozen=True, slots=True)
class Chosen:
    """The model of a plan: exactly seen (`weights`) or, from the catalog, as published."""

    id: str
    weights: Weights | None
    candidate: Candidate | None


def choose_model(survey: Survey, wish: Wish) -> choose.Choice:
    """Rank the catalog, and what a server has beside it, for this agent on this machine, each at
    the largest context that fits."""
    best: dict[str, Candidate] = {}
    asked = wish.context_tokens
    wanted = padded(asked or wish.agent.wanted_context_tokens)
    floor = asked or wish.agent.min_context_tokens
    pending = [*_listed(survey), *_unlisted(survey)]
    for tokens in _steps_down(wanted, wanted if asked else floor):
        terms = replace(terms_of(survey, wish, tokens, _kv(wish)), min_context_tokens=floor)
        unfit: list[_Consider] = []
        for considered in pending:
            rows = considered(terms)
            for row in rows:
                known = best.get(row.id)
                if known is None or not known.fit.fits:
                    best[row.id] = row
            if not all(best[row.id].fit.fits for row in rows):
                unfit.append(considered)
        pending = unfit
    choice = choose.rank(best.values(), first_word_limit_s=wish.first_word_limit_s)
    if wish.offline and choice.pick is not None and not choice.pick.installed:
        downloaded = [row for row in best.values() if row.installed]
        here = choose.rank(downloaded, first_word_limit_s=wish.first_word_limit_s)
        if here.pick is not None:
            rows = tuple(here.pick if row.id == here.pick.id else row for row in choice.candidates)
            return replace(here, candidates=rows)
    return choice


_Consider = Callable[[Terms], tuple[Candidate, ...]]
"""Something to choose from, under these terms."""


def _listed(survey: Survey) -> Iterator[_Consider]:
    """Every model of the catalog: in the builds that are worth it, and in those that are here by
    whatever name."""
    here = installed.of_catalog(survey.served, survey.catalog)
    said = {tag.name: tag.capabilities for tag in survey.served}
    capabilities = {entry.variant.tag: said[name] for name, entry in here.items()}
    named = {
        entry.variant.digest_prefix
        for name, entry in here.items()
        if same_model(name, entry.variant.tag)
    }
    copies = {
        entry.variant.tag: name
        for name, entry in here.items()
        if entry.variant.digest_prefix not in named
    }
    tags = survey.installed_tags | set(capabilities)
    measured = survey.measured_tags

    def consider_model(model: Model, terms: Terms) -> tuple[Candidate, ...]:
        return consider_all(
            survey.machine,
            (model,),
            terms,
            installed=tags,
            measured=measured,
            capabilities=capabilities,
            copies=copies,
        )

    return (partial(consider_model, model) for model in survey.catalog.models)


def _unlisted(survey: Survey) -> Iterator[_Consider]:
    """What only the store of a server knows."""
    said = {tag.name: tag.capabilities for tag in survey.served}
    for name, file in survey.served_files.items():
        like = relative(name, file.shape, survey.catalog)
        here = Here(
            installed=True,
            capabilities=said.get(name),
            like=like.name if like is not None else None,
        )
        yield partial(_consider_file, survey.machine, name, file, here)


def _consider_file(
    machine: Machine, name: str, file: ModelFile, here: Here, terms: Terms
) -> tuple[Candidate, ...]:
    """At the context that the terms ask for, but at most what it was trained for."""
    most = file.shape.context_max_tokens or terms.asked.context_tokens
    tokens = min(terms.asked.context_tokens, most)
    cut = replace(terms, asked=replace(terms.asked, context_tokens=tokens))
    return (of_file(machine, name, file, cut, here),)


def default_context(wish: Wish, weights: Weights) -> int:
    """The asked context or what the agent wants, never more than the model was trained for."""
    trained = trained_context(weights)
    wanted = padded(wish.context_tokens or wish.agent.wanted_context_tokens)
    return wanted if trained is None else min(wanted, trained)


def candidate_of(
    survey: Survey,
    wish: Wish,
    weights: Weights,
    context_tokens: int,
    kv_cache_type: str,
    *,
    reusable_bytes: int = 0,
) -> Candidate:
    """One model at one context as a candidate; `ModelUnavailable` when nothing tells its size."""
    terms = terms_of(survey, wish, context_tokens, kv_cache_type)
    terms = replace(terms, reusable_bytes=max(reusable_bytes, terms.reusable_bytes))
    served = weights.source == "ollama" and wish.engine == "ollama"
    here = Here(
        (weights.path is not None or served) and not survey.simulated,
        weights.projector_bytes,
        survey.measured.get(weights.digest or ""),
        weights.capabilities,
    )
    if weights.entry is not None:
        shape = weights.file.shape if weights.file is not None else None
        model, variant = weights.entry.model, weights.entry.variant
        if weights.source == "ollama" and not same_model(weights.id, variant.tag):
            here = replace(here, like=variant.tag)
            variant = variant._replace(tag=weights.id)
        return consider(survey.machine, model, variant, terms, here, shape=shape)
    if weights.file is not None:
        like = relative(weights.id, weights.file.shape, survey.catalog)
        here = replace(here, like=like.name if like is not None else None)
        return of_file(survey.machine, weights.id, weights.file, terms, here)
    near = survey.catalog.suggest(weights.id)
    hint = "run it once without --offline, or name a path to its .gguf"
    raise ModelUnavailable(
        f"{weights.id} is neither here nor in the catalog, so nothing is known about its size",
        hint=f"did you mean {', '.join(near)}? Else {hint}" if near else hint,
        code="unknown-model",
    )


def terms_of(survey: Survey, wish: Wish, context_tokens: int, kv_cache_type: str) -> Terms:
    """What this wish holds a model against when an engine allocates so much for each slot."""
    agent = wish.agent
    headless = agent.is_headless(wish.args)
    tiers = usable_tiers(agent.tiers, agent.compaction, context_tokens, slim=wish.slim)
    return Terms(
        asked=Allocation(
            context_tokens, kv_cache_type, wish.parallel, wish.batch, wish.flash_attention
        ),
        requests=tuple(
            Request(tier.name, tier.headless_tokens if headless else tier.interactive_tokens)
            for tier in tiers
        ),
        min_context_tokens=agent.min_context_tokens,
        first_word_limit_s=wish.first_word_limit_s,
        reusable_bytes=_idle_bytes(
            survey, cards=gpu_usable(survey, wish) and bool(usable_cards(survey.machine))
        ),
        gpu_usable=gpu_usable(survey, wish),
    )


def _idle_bytes(survey: Survey, *, cards: bool) -> int:
    """What engines hold that no session uses: ours are ended, and Ollama evicts, when a launch
    needs it. Where cards with a memory of their own count, only what lies there."""
    held = [
        row
        for engine in survey.engines
        if engine.state == "running" and not engine.sessions
        for row in engine.loaded
    ]
    if cards:
        return sum(row.vram_bytes if row.vram_bytes is not None else 0 for row in held)
    return sum(row.size_bytes or 0 for row in held)


def fit_asked(survey: Survey, wish: Wish, weights: Weights) -> Candidate:
    """Size the model that was asked for: at the asked context, or the largest that fits."""
    top = default_context(wish, weights)
    steps = (top,) if wish.context_tokens else _steps_down(top, min(SMALLEST_CONTEXT, top))
    kinds = ("f16", "q8_0") if wish.kv_cache == "auto" else (wish.kv_cache,)
    floor = wish.agent.min_context_tokens
    # A smaller cache type is tried before a window that the agent cannot work in; among those
    # the larger window counts more than the cache type.
    ordered = [(s, k) for k in kinds for s in steps if s >= floor]
    ordered += [(s, k) for s in steps if s < floor for k in kinds]
    misses: list[Fit] = []
    impossible: str | None = None
    for tokens, kind in ordered:
        candidate = candidate_of(survey, wish, weights, tokens, kind)
        if candidate.fit.verdict != "no":
            return candidate
        reason = impossible_cache(_shape(weights), kind)
        if reason is None:
            misses.append(candidate.fit)
        else:
            impossible = reason
    if not misses:
        raise NotSupported(f"{weights.id}: {impossible}", hint="leave --kv-cache away")
    raise _too_large(weights.id, min(misses, key=lambda row: row.total_bytes or 0))


def gpu_usable(survey: Survey, wish: Wish) -> bool:
    """Ollama computes on graphics; the embedded engine's published builds use Metal on macOS and
    the CPU elsewhere. Which engine a simulated machine would have is not known: there they count.
    """
    return survey.simulated or wish.engine == "ollama" or survey.machine.os == "darwin"


def _steps_down(wanted: int, smallest: int) -> tuple[int, ...]:
    lower = [step for step in CONTEXT_STEPS if smallest < step < wanted]
    return tuple(dict.fromkeys((wanted, *lower, smallest)))


def _kv(wish: Wish) -> str:
    return "f16" if wish.kv_cache == "auto" else wish.kv_cache


def trained_context(weights: Weights) -> int | None:
    if weights.file is not None:
        return weights.file.shape.context_max_tokens or None  # a header may say 0
    return weights.entry.model.context_max_tokens if weights.entry is not None else None


def _shape(weights: Weights) -> ModelShape:
    """The exact shape, else the catalog's; there is one for whatever `candidate_of` could size."""
    if weights.file is not None:
        return weights.file.shape
    assert weights.entry is not None
    return weights.entry.model.shape_of(weights.entry.variant)


def _too_large(model_id: str, fit: Fit) -> MachineCannot:
    needed, budget = fit.total_bytes or 0, fit.budget_bytes or 0
    return MachineCannot(
        f"{model_id} needs {needed / 2**30:.1f} GiB at {fit.context_tokens:,} tokens, "
        f"this machine has {budget / 2**30:.1f} GiB for it",
        hint="`agentlaunch models` shows what fits; a smaller --context needs less",
        code="does-not-fit",
    )
