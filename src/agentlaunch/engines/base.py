"""Engine protocol and the values that engines give back."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from agentlaunch.endpoint import Endpoint, Wire
from agentlaunch.models.sampling import UNKNOWN, Tuning
from agentlaunch.progress import Work

StateName = Literal["running", "asleep", "installed", "missing", "remote"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that an engine holds right now; sizes in bytes, None when the engine does not say."""

    model: str
    context_tokens: int | None
    size_bytes: int | None
    vram_bytes: int | None
    kv_cache_type: str | None = None
    path: Path | None = None
    """The weights' file, where the engine is ours and loads files."""
    expires_at: datetime | None = field(default=None, compare=False)
    """When the engine gives its memory back, unless it is used before; moves with every use."""


@dataclass(frozen=True, slots=True)
class EngineState:
    """One row of `agentlaunch engines`: what is there, seen without changing anything."""

    name: str
    state: StateName
    version: str | None
    url: str | None
    wires: tuple[Wire, ...]
    loaded: tuple[Loaded, ...] = ()
    detail: str | None = None
    pid: int | None = None
    sessions: int = 0


@dataclass(frozen=True, slots=True)
class ServeRequest:
    """What an engine is asked to serve."""

    model: str
    """The name that the agent will use."""
    path: Path | None
    """The weights, for an engine that loads files."""
    context_tokens: int
    kv_cache_type: str = "f16"
    projector: Path | None = None
    tuning: Tuning = UNKNOWN
    """Sampling and thinking, for an engine that takes them at its start."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model that answers: where, under which name, with what context really allocated."""

    engine: str
    endpoint: Endpoint
    context_tokens: int | None
    version: str | None
    reused: bool
    sessions: int = 0
    """How many other sessions use it."""
    tools: bool | None = None
    """Does its chat template take tools? None when the engine does not say."""
    restored_tokens: int = 0
    """How much of an earlier session's prompt the engine holds again."""
    digest: str | None = None
    """Which weights these are; None where the engine does not tell."""


class Engine(Protocol):
    """What drives one engine. The same class talks to a fake, a real or a remote one."""

    name: str

    def states(self) -> tuple[EngineState, ...]:
        """Look, change nothing, never raise."""
        ...

    def serve(self, request: ServeRequest) -> Work[Served]:
        """Make the model answer; read the context back. Raises `EngineFailed` and its like."""
        ...
