"""Agent, Target, Handover: an agent file declares, shared code installs, asks, writes and runs."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from agentlaunch.agents.sessions import Sessions
from agentlaunch.agents.surroundings import PATIENCE_S
from agentlaunch.changes.edit import Edit
from agentlaunch.context import Compaction, ContextPlan, Tier
from agentlaunch.endpoint import Endpoint, Wire
from agentlaunch.managed import Package

Support = Literal["documented", "launches", "configured", "restored", "tested"]
Home = Literal["own", "clean"]
Role = Literal["small", "subagent"]


class Unset(enum.Enum):
    """An environment variable that the agent must not see."""

    UNSET = "unset"


UNSET = Unset.UNSET


@dataclass(frozen=True, slots=True)
class Target:
    """Everything that `prepare` may look at; it is pure, so all of it is values."""

    binary: str
    endpoint: Endpoint
    """Its wires are the server's; `wire` says which one this agent is to speak."""
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
    runner: tuple[str, ...] = ()
    """What runs the program, where its own first line would find one that is too old."""
    own_folder: Path = Path()
    """The user's own folder of this agent (`config_folder`), there or not."""
    project: Path = Path()
    """The folder that the agent is started in."""
    patience_s: int = PATIENCE_S
    """How long the agent is to wait for an engine that is silent."""
    version: str | None = None
    """Of the program; None where it was not asked yet."""
    small_model: str = ""
    """The endpoint's model for small work (titles, summaries, searches); "": the same one."""
    subagent_model: str = ""
    """The endpoint's model for the agent's own helpers; "": the same one."""
    status_command: tuple[str, ...] = ()
    """What prints one line on where requests go now, for an agent that has a status line; it takes
    the user's own status command as one more argument, runs that with the same stdin, and prints
    both. () where nothing can change on the way."""
    own_status_line: Mapping[str, object] | None = None
    """The status line of the user's own settings, which ours is shown together with."""

    @property
    def command(self) -> tuple[str, ...]:
        """The first words of its argv."""
        return (*self.runner, self.binary)

    def wire(self, liked: tuple[Wire, ...]) -> Wire:
        """The first of these that the server speaks; the plan has seen to it that there is one."""
        return next((wire for wire in liked if wire in self.endpoint.wires), liked[0])


@dataclass(frozen=True, slots=True)
class PrivateFile:
    """A file of ours that the agent is pointed at: written 0600, swept when its launch is over."""

    path: Path
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Link:
    """A name in a folder of ours that leads to what is the user's own; made where he has it."""

    path: Path
    to: Path


@dataclass(frozen=True, slots=True)
class Handover:
    """What the agent becomes: argument list, environment changes, files of ours."""

    argv: tuple[str, ...]
    env: Mapping[str, str | Unset] = field(repr=False)
    files: tuple[PrivateFile, ...] = ()
    """Private files, one per launch, in the runtime folder."""
    seeds: tuple[PrivateFile, ...] = ()
    """First contents of files in a clean home of ours; written only where nothing is yet."""
    links: tuple[Link, ...] = ()
    """What a private folder shares with the user's own; only where that exists."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """An argument that would undo the routing, and what to use instead."""

    flag: str
    instead: str


@dataclass(frozen=True, slots=True)
class Grammar:
    """How an agent reads its own arguments, as far as a reserved one could hide in them."""

    value_flags: tuple[str, ...] = ()
    """Flags before a subcommand whose value is the next word. Without any, only the first argument
    can be a subcommand."""
    abbreviates: bool = False
    """Does it take the beginning of a long flag for the flag (argparse)?"""
    whole: tuple[str, ...] = ()
    """Flags of its own that are also the beginning of a reserved one."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A file that this agent reads: what in it could send requests elsewhere, and what would run.

    Keys are patterns, one word a level: `env.*_BASE_URL`, `mcpServers.*.command`, `hooks`. A key
    counts when it holds anything but nothing ("", [], {}, false, null), or, behind a colon, what
    its value must be like: `instructions.*:*://*`.
    """

    path: str
    """Relative to the project, below the user's folder (`{config}/…`), `~/…` or absolute; a folder
    or a pattern (`.opencode/plugin/*.js`) stands for its files."""
    format: Literal["json", "toml", "yaml", "env", "code"]
    """`json` may have comments; `env` is NAME=value lines; `code` is run as it is."""
    redirects: tuple[str, ...] = ()
    """What this launch overrides, and says so."""
    runs: tuple[str, ...] = ()
    """Commands that the agent would run from it by itself; counts in the project's files alone."""
    beyond_us: tuple[str, ...] = ()
    """What no flag of ours can take back: it stops the launch."""
    outranks: bool = False
    """An administrator's file, above every flag: its `redirects` stop the launch too."""
    upwards: bool = False
    """Does the agent look for it up to the root of the disk, past the root of the repository?"""


@dataclass(frozen=True, slots=True)
class Trust:
    """Where the agent keeps which folders the user trusts, and whether it asks him."""

    path: str
    """Like `Watched.path`."""
    format: Literal["json", "toml"]
    trusts: Callable[[Mapping[str, Any], str], bool]
    """From the file's contents: is this folder (absolute path) trusted?"""
    asks: bool
    """Does its own dialog ask before anything of an untrusted project runs?"""
    other_path: str | None = None
    """Where the file lies in the other of its two places, for an agent that has two."""


@dataclass(frozen=True, slots=True)
class StatusLine:
    """An agent in whose footer one launch can show a line; where the user's own is set."""

    key: tuple[str, ...] = ()
    """The way to the user's own in its settings; () where several stand beside each other."""
    user: str = "settings.json"
    """Relative to the user's folder of this agent."""
    project: tuple[str, ...] = ()
    """Relative to the project, the strongest first; each outranks the user's."""
    administrators: tuple[str, ...] = ()
    """Files or patterns that outrank us."""
    switches_off: tuple[str, ...] = ()
    """Keys of any of these files that, when true, keep our line away."""
    administrator_switches_off: tuple[str, ...] = ()
    """Keys that do so in an administrator's file alone."""


@dataclass(frozen=True, slots=True)
class Break:
    """What is known not to work with some versions of an agent."""

    versions: str
    """`<2.0.65`, `>=0.80,<0.120`: comparisons joined by commas."""
    text: str
    """What happens, as a person would meet it; the source where it is not our own run."""


PROMPT = "{prompt}"
"""Stands for the prompt in the arguments of `Agent.errand` and `Rehearsal`."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One run that shows the first request of this agent and leaves no trace of itself: no session
    in the user's history, no hook run twice."""

    args: tuple[str, ...]
    """What stands after `--` of a headless run, with `PROMPT`."""
    interactive: tuple[str, ...] = ()
    """The same on a terminal, where another prompt is sent; empty where that leaves a trace."""
    env: Mapping[str, str] = field(default_factory=dict)
    """On top of the hand-over's; `{folder}` is a throwaway folder."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Keys on top of those in the hand-over's private JSON files; groups of keys are joined."""
    tells_git: bool = False
    """Does the prompt on a terminal tell the state of the repository before its tools, so that
    another state is another prompt?"""


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
    """Its prompt sizes from full to smallest (measured); empty for one that cannot be local."""
    compaction: Compaction
    wanted_context_tokens: int
    support: Support
    local: bool
    local_reason: str | None
    reserved: tuple[Reserved, ...]
    prepare: Callable[[Target], Handover]
    is_headless: Callable[[tuple[str, ...]], bool]
    """Do these arguments make it answer one prompt and end?"""
    one_prompt: str = ""
    """What stands after `--` for one answer without a session: `exec "…"`."""
    site: str = ""
    """Where it is to be had, for one that we cannot install."""
    grammar: Grammar = Grammar()
    """What else than a plain word may be a reserved argument."""
    needs_tools: bool = True
    """False for one that edits by text: a model whose template ignores tools will do."""
    late_system: bool = False
    """Does its full prompt come with instructions behind the first turn?"""
    asks_about_key: bool = False
    """Does its own dialog ask whether an API key in the environment is to be used?"""
    output_variable: str | None = None
    """The user's own variable that caps one reply in tokens: respected when it asks for less."""
    watched: tuple[Watched, ...] = ()
    """Files that are looked at before a launch."""
    config_folder: tuple[str, str] | None = None
    """The variable that moves the user's folder of this agent, and where it lies without."""
    trust: Trust | None = None
    """None: it has no notion of a trusted folder, and runs what a project says."""
    breaks: tuple[Break, ...] = ()
    """What is known to break outside the tested versions."""
    egress: tuple[str, ...] = ()
    """Hosts that it still asks with every switch of ours, each with the reason: "host: why"."""
    configure: Callable[[Target], tuple[Edit, ...]] | None = None
    """The named keys of the user's own files that make a plain start use this model (`--config`);
    None where the agent has no such place."""
    sessions: Sessions | None = None
    """How its conversations are found, so that one that is too large is told before the launch."""
    errand: tuple[str, ...] = ()
    """What stands after `--` for one task, with `PROMPT`, that may change files and run commands
    without asking; empty for an agent that cannot."""
    rehearsal: Rehearsal | None = None
    """How its own first request is recorded; None where no run without traces is known."""
    roles: tuple[Role, ...] = ()
    """Which work beside the main one it can ask another model for, by names of its own."""
    status_line: StatusLine | None = None
    """None where a launch cannot show where its requests go."""
    notes: tuple[str, ...] = ()
    """What a user should know before he chooses it, a sentence each."""

    @property
    def min_context_tokens(self) -> int:
        """The smallest window in which its smallest tier can work (see `context`); 0 without."""
        return min((tier.min_context_tokens(self.compaction) for tier in self.tiers), default=0)

    @property
    def first_request_tokens(self) -> int:
        """Tokens of its first interactive request with all tools; 0 where it cannot be local."""
        return self.tiers[0].interactive_tokens if self.tiers else 0


def own_folder(agent: Agent, environ: Mapping[str, str]) -> Path:
    """The user's own folder of an agent, wherever its variable has moved it; `~` is HOME."""
    variable, default = agent.config_folder or ("", "~")
    text = environ.get(variable) or default
    home = environ.get("HOME") or environ.get("USERPROFILE") or ""
    if home and (text == "~" or text.startswith("~/")):
        return Path(home) / text[2:]
    return Path(text)
