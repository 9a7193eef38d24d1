"""Agent, Target, Handover: an agent file declares, shared code installs, asks, writes and runs."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agentlaunch.context import Compaction, ContextPlan, Tier
from agentlaunch.endpoint import Endpoint, Wire
from agentlaunch.managed import Package

Support = Literal["documented", "launches", "configured", "restored", "tested"]
Home = Literal["own", "clean"]


class Unset(enum.Enum):
    """An environment variable that the agent must not see."""

    UNSET = "unset"


UNSET = Unset.UNSET


@dataclass(frozen=True, slots=True)
class Target:
    """Everything that `prepare` may look at; it is pure, so all of it is values."""

    binary: str
    endpoint: Endpoint
    context: ContextPlan
    home: Home
    home_folder: Path
    """Where a clean home lies (used when `home` is clean)."""
    runtime_folder: Path
    """Where this launch's private files will be written before hand-over."""
    run_name: str
    """Unique name of this launch (our pid), for the names of its private files."""
    environ: Mapping[str, str]
    args: tuple[str, ...] = ()
    """What the user wrote after `--`."""
    thinking_off: bool = False
    """Must the model not think? Else that is the agent's own business."""


@dataclass(frozen=True, slots=True)
class PrivateFile:
    """A file of ours that the agent is pointed at: written 0600, swept when its launch is over."""

    path: Path
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Handover:
    """What the agent becomes: argument list, environment changes, files of ours."""

    argv: tuple[str, ...]
    env: Mapping[str, str | Unset] = field(repr=False)
    files: tuple[PrivateFile, ...] = ()
    """Private files, one per launch, in the runtime folder."""
    seeds: tuple[PrivateFile, ...] = ()
    """First contents of files in a clean home of ours; written only where nothing is yet."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """An argument that would undo the routing, and what to use instead."""

    flag: str
    instead: str


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent, declared. Facts about it carry the version that they were observed in."""

    name: str
    title: str
    aliases: tuple[str, ...]
    binary: str
    known_places: tuple[str, ...]
    """Places of its own installers, with `~`."""
    package: Package | None
    """How we install it into a managed environment; None when we cannot."""
    tested_versions: tuple[str, ...]
    wires: tuple[Wire, ...]
    """In order of liking."""
    tiers: tuple[Tier, ...]
    """Its prompt sizes from full to smallest (measured)."""
    compaction: Compaction
    wanted_context_tokens: int
    support: Support
    local: bool
    local_reason: str | None
    reserved: tuple[Reserved, ...]
    prepare: Callable[[Target], Handover]
    is_headless: Callable[[tuple[str, ...]], bool]
    """Do these arguments make it answer one prompt and end?"""
    output_variable: str | None = None
    """The user's own variable that caps one reply in tokens: respected when it asks for less."""
    managed_settings: tuple[str, ...] = ()
    """Administrator files and folders that outrank every flag of ours, if the agent has such."""
    settings_files: tuple[str, ...] = ()
    """Settings files, of the project (relative) or in `{config}`: looked at before a launch."""
    config_folder: tuple[str, str] | None = None
    """The variable that moves the user's folder of this agent, and where it lies without."""
    redirects: tuple[str, ...] = ()
    """Patterns of variables that, in the `env` of such a file, would send the agent elsewhere."""
    redirect_keys: tuple[str, ...] = ()
    """Keys of such a file that would do the same when they hold anything."""
    beyond_us: tuple[str, ...] = ()
    """Variables that, set in such a file, no flag of ours can take back."""

    @property
    def min_context_tokens(self) -> int:
        """The smallest window in which its smallest tier can work (see `context`)."""
        return min(tier.min_context_tokens(self.compaction) for tier in self.tiers)

    @property
    def first_request_tokens(self) -> int:
        """Tokens of its first interactive request with all tools."""
        return self.tiers[0].interactive_tokens
