"""The shipped list of models: what each can do, what it weighs, what is known against it."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from agentlaunch.errors import ModelUnavailable
from agentlaunch.models.shape import LayerCache, ModelShape, Weights

Status = Literal["recommended", "usable", "weak", "unsuitable"]
Kind = Literal["independent", "other-vendor", "maker"]
Effect = Literal["loses-calls", "breaks-calls"]
Evidence = Literal["exact", "estimated"]

CATALOG_FILE = Path(__file__).with_name("catalog.json")

# The small rows are named tuples: making a frozen, slotted dataclass costs about 1 ms of every
# start, and reading the whole file only 4.
_DROPPED_PREFIXES = ("registry.ollama.ai/", "ollama.com/", "library/")


class Score(NamedTuple):
    """A published result. `kind` says who measured: never mix the maker's own with the rest."""

    benchmark: str
    value: float
    kind: Kind
    source: str
    date: str
    note: str | None = None


class Problem(NamedTuple):
    """A known problem with its references; `effect` when it touches tool calls."""

    text: str
    refs: tuple[str, ...]
    effect: Effect | None = None

    @property
    def leaks_tool_calls(self) -> bool:
        """Do its calls arrive as text, so that an agent does nothing?"""
        return self.effect == "loses-calls"


class Variant(NamedTuple):
    """One build of a model in the library. `size_bytes` is the published, rounded download size;
    `default` means the same bytes as the model's own tag."""

    tag: str
    quant: str | None
    size_bytes: int
    digest_prefix: str
    default: bool
    llama_cpp: bool
    """False for the builds of other runtimes (mlx, nvfp4, mxfp8)."""
    packed_weights: tuple[Any, ...] | None = None
    """Bytes of its tensors as the file keeps them, where its header was read."""

    @property
    def evidence(self) -> Evidence:
        """`exact` where its tensors were read from its header, else `estimated`."""
        return "estimated" if self.packed_weights is None else "exact"


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of the catalog; `id` is the full tag. `status` is this project's judgement."""

    id: str
    family: str
    architecture: str
    """As its maker's configuration calls it."""
    shape: ModelShape
    """Of every build, without weights: `shape_of` gives one build's."""
    tools: bool
    thinking: bool
    vision: bool
    licence: str
    released: str
    params_total: int
    params_active: int
    context_max_tokens: int
    status: Status
    min_ollama: str | None
    strengths: str
    scores: tuple[Score, ...]
    problems: tuple[Problem, ...]
    variants: tuple[Variant, ...]
    sources: tuple[str, ...]

    @property
    def name(self) -> str:
        """For people: the family and its size, as `Qwen3.5 9b`."""
        return f"{self.family} {self.id.partition(':')[2]}"

    def shape_of(self, variant: Variant) -> ModelShape:
        """The shape of one build: its quant, and its tensors' bytes where they are known."""
        packed = variant.packed_weights
        weights = None if packed is None else _weights(packed)
        return replace(self.shape, quant=variant.quant, weights=weights)

    @property
    def default(self) -> Variant:
        """The build that its own tag means."""
        return next((row for row in self.variants if row.default), self.variants[0])

    @property
    def leaks_tool_calls(self) -> bool:
        """Is it known that its calls arrive as text?"""
        return any(problem.leaks_tool_calls for problem in self.problems)


class Entry(NamedTuple):
    """What a name in the catalog stands for."""

    model: Model
    variant: Variant


@dataclass(frozen=True, slots=True)
class Catalog:
    """All models, in the order of the file (smallest first)."""

    models: tuple[Model, ...]

    def find(self, ref: str) -> Entry | None:
        """The model and build that a tag names, or None. Case, a `library/` before it and a
        `:latest` behind it make no difference; a family without a tag is not guessed."""
        return self._entries().get(_normal(ref))

    def find_each(self, refs: Iterable[str]) -> dict[str, Entry]:
        """`find` for many names; those that it does not know are left out."""
        table = self._entries()
        found = ((ref, table.get(_normal(ref))) for ref in refs)
        return {ref: entry for ref, entry in found if entry is not None}

    def suggest(self, ref: str) -> tuple[str, ...]:
        """Up to three tags that look like a name that was not found."""
        wanted = _normal(ref)
        ids = [model.id for model in self.models]
        if ":" not in wanted:
            same_family = [tag for tag in ids if tag.partition(":")[0].lower() == wanted]
            if same_family:
                return tuple(same_family[:3])
        known = {tag.lower(): tag for tag in ids}
        known |= {row.tag.lower(): row.tag for model in self.models for row in model.variants}
        import difflib  # costs as much as reading the whole catalog

        close = difflib.get_close_matches(wanted, known, n=3, cutoff=0.7)
        return tuple(known[name] for name in close)

    def get(self, ref: str) -> Entry:
        """As `find`, but raises `ModelUnavailable` with what was perhaps meant."""
        if found := self.find(ref):
            return found
        near = self.suggest(ref)
        if near:
            hint = "did you mean " + " or ".join(f"`{tag}`" for tag in near) + "?"
        else:
            hint = "`agentlaunch models` lists what fits this machine"
        raise ModelUnavailable(f"`{ref}` is not in the catalog", hint=hint, code="unknown-model")

    def _entries(self) -> dict[str, Entry]:
        table: dict[str, Entry] = {}
        for model in self.models:
            for variant in model.variants:
                table.setdefault(_normal(variant.tag), Entry(model, variant))
            table[_normal(model.id)] = Entry(model, model.default)
        return table


def _normal(ref: str) -> str:
    name = ref.strip().lower()
    for prefix in _DROPPED_PREFIXES:
        name = name.removeprefix(prefix)
    return name.removesuffix(":latest")


@functools.cache
def load() -> Catalog:
    """The shipped catalog, read once."""
    return read(CATALOG_FILE)


def read(path: Path) -> Catalog:
    """A catalog file as `scripts/refresh_catalog.py` writes it."""
    data: Any = json.loads(path.read_bytes())
    return Catalog(tuple(_model(row) for row in data["models"]))


def _model(row: dict[str, Any]) -> Model:
    return Model(
        id=row["id"],
        family=row["family"],
        architecture=row["architecture"],
        shape=_shape(row["shape"]),
        tools=row["tools"],
        thinking=row["thinking"],
        vision=row["vision"],
        licence=row["licence"],
        released=row["released"],
        params_total=row["params_total"],
        params_active=row["params_active"],
        context_max_tokens=row["context_max_tokens"],
        status=row["status"],
        min_ollama=row["min_ollama"],
        strengths=row["strengths"],
        scores=tuple(Score(*score) for score in row["scores"]),
        problems=tuple(
            Problem(text, tuple(refs), effect) for text, refs, effect in row["problems"]
        ),
        variants=tuple(Variant(*variant) for variant in row["variants"]),
        sources=tuple(row["sources"]),
    )


def _shape(row: dict[str, Any]) -> ModelShape:
    """A shape as the file keeps it: its fields, with equal layers in a row counted."""
    layers: list[LayerCache] = []
    for count, *layer in row["layers"]:
        layers.extend([LayerCache(*layer)] * count)
    experts = tuple(row.get("expert_layers", ()))
    return ModelShape(**{**row, "layers": tuple(layers), "expert_layers": experts})


def _weights(row: tuple[Any, ...]) -> Weights:
    """Weights as the file keeps them: each kind of layer once, and the order of the kinds."""
    total, embedding, tied, kinds, order, largest, repacked = row
    layers, experts = zip(*(kinds[kind] for kind in order), strict=True)
    return Weights(total, embedding, tied, layers, experts, largest, repacked)
