"""The steps of a launch, as values: each says what it acts on and how large that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from agentlaunch.managed import Package


@dataclass(frozen=True, slots=True)
class Install:
    """Bring a package into a managed environment."""

    package: Package
    kind: Literal["install"] = "install"


@dataclass(frozen=True, slots=True)
class Pull:
    """Download a model into our store; `size_bytes` is exact or, from the catalog, published."""

    ref: str
    size_bytes: int | None
    kind: Literal["pull"] = "pull"


@dataclass(frozen=True, slots=True)
class StartEngine:
    """Start, or find running, the engine that holds the model."""

    engine: str
    reuse: bool
    kind: Literal["start-engine"] = "start-engine"


@dataclass(frozen=True, slots=True)
class Derive:
    """Give the server a tag of the model with its context pinned; the weights are shared."""

    base: str
    tag: str
    context_tokens: int
    batch: int
    parameters: Mapping[str, float] = field(default_factory=dict)
    """Sampling values by name, for where the base sets none."""
    kind: Literal["derive"] = "derive"


@dataclass(frozen=True, slots=True)
class Load:
    """Load the model with a context, and read back what was allocated."""

    model: str
    context_tokens: int
    kind: Literal["load"] = "load"


@dataclass(frozen=True, slots=True)
class Prove:
    """Show that this model on this engine can carry the agent; once, then it is remembered."""

    model: str
    limit_s: float
    kind: Literal["prove"] = "prove"


@dataclass(frozen=True, slots=True)
class Warm:
    """Let the engine read the agent's own prompt while the agent starts."""

    agent: str
    kind: Literal["warm"] = "warm"


@dataclass(frozen=True, slots=True)
class HandOver:
    """Become the agent."""

    agent: str
    kind: Literal["hand-over"] = "hand-over"


Step = Install | Pull | StartEngine | Derive | Load | Prove | Warm | HandOver
