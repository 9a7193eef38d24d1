"""Where an agent is, which version, and what runs it: the user's own first, else ours."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agentlaunch import files, managed, process
from agentlaunch.agents.base import Agent
from agentlaunch.agents.versions import in_tested_range, matches
from agentlaunch.settings import Paths
from agentlaunch.survey import programs, python_version

VERSION_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class AgentState:
    """An agent as it is found here: nothing, the user's own, or ours."""

    agent: Agent
    path: Path | None
    version: str | None
    managed: bool
    runner: tuple[str, ...] = ()
    """What must run the program, where its own first line would find something too old."""
    needs_node: bool = False
    """Must a Node.js of ours be brought before it can be installed or run?"""
    passed_over: tuple[Path, str] | None = None
    """The user's own, where ours was taken since his version was not tested."""

    @property
    def installed(self) -> bool:
        return self.path is not None

    @property
    def tested(self) -> bool:
        """True within the range of versions that passed our tests."""
        return self.version is not None and in_tested_range(
            self.version, self.agent.tested_versions
        )

    @property
    def breaks(self) -> tuple[str, ...]:
        """What is known to break with this version."""
        version = self.version
        if version is None:
            return ()
        return tuple(row.text for row in self.agent.breaks if matches(version, row.versions))


def find_agent(agent: Agent, paths: Paths, *, node: bool = True) -> AgentState:
    """Where an agent is: the user's own where its version was tested or ours is not here.

    `node` is whether it is to be told what must run it, which may ask the Node.js on PATH.
    """
    places = [programs.expanded(place) for place in agent.known_places]
    found = process.find_program(agent.binary, [place for place in places if place is not None])
    own = AgentState(agent, found, _version(agent, found) if found else None, managed=False)
    if node and found is not None and agent.package is not None:
        own = replace(own, runner=managed.runner_for(agent.package, found, paths))
    if own.tested or (own.installed and own.version is None and not node):
        return own
    ours = _ours(agent, paths, node=node)
    if ours is not None and own.installed and own.version is None:
        own = ask_version(own)  # only here: which of two is launched depends on it
        if own.version is None or own.tested:
            return own
    if node and ours is None and not own.installed and agent.package is not None:
        return replace(own, needs_node=managed.needs_node(agent.package, paths))
    if ours is None:
        return own
    if own.path is not None and own.version is not None:
        return replace(ours, passed_over=(own.path, own.version))
    return ours


def _version(agent: Agent, program: Path) -> str | None:
    if agent.package is not None and agent.package.kind == "pypi":
        return python_version.version_of(program, agent.package.name)
    return version_beside(program, agent.package.name if agent.package else None)


def _ours(agent: Agent, paths: Paths, *, node: bool) -> AgentState | None:
    if agent.package is None:
        return None
    path = managed.program(agent.package, agent.binary, paths)
    if path is None:
        return None
    if not node:
        return AgentState(agent, path, agent.package.version, managed=True)
    runner = managed.runner_for(agent.package, path, paths)
    lacking = managed.needs_node(agent.package, paths, path)
    return AgentState(agent, path, agent.package.version, True, runner, needs_node=lacking)


def version_beside(program: Path, package: str | None = None) -> str | None:
    """A program's version from the package it was installed with, without running it.

    npm keeps a package.json above the real file; Claude Code's own installer names the real file
    after its version (seen: 2.1.197, ~/.local/share/claude/versions/2.1.197). With `package`, a
    package.json of another name is not the program's: one may lie in the home above it.
    """
    try:
        real = program.resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    if real.name[:1].isdigit() and real.parent.name == "versions":
        return real.name
    for folder in list(real.parents)[:4]:
        try:
            data = json.loads(files.read_plain(folder / "package.json"))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(data, dict) and package is not None and _of_another(data, package):
            continue
        version = data.get("version") if isinstance(data, dict) else None
        return version if isinstance(version, str) else None
    return None


def _of_another(data: dict[str, Any], package: str) -> bool:
    """Is it named, and neither after this package nor after its part for one platform?"""
    name = data.get("name")
    return isinstance(name, str) and name != package and not name.startswith(f"{package}-")


def ask_version(state: AgentState) -> AgentState:
    """The version by running `--version`: only for the launch, and where no package tells it."""
    if state.path is None or state.version is not None:
        return state
    try:
        done = process.run([str(state.path), "--version"], timeout_s=VERSION_TIMEOUT_S)
    except (process.ToolNotFound, process.ToolTimeout):
        return state
    words = done.stdout.split()
    version = next((word for word in words if word[:1].isdigit()), None)
    return replace(state, version=version)
