"""Look at everything once, in parallel, and change nothing; a failing probe is a note.

A `Survey` is what `plan` and `checks` decide from. Looking at a model that was asked for by name or
path belongs here too, since only here (and in `launch`) the world is touched.
"""

from __future__ import annotations

import fnmatch
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agentlaunch import files, managed, process, records
from agentlaunch.agents import AGENTS
from agentlaunch.agents.base import Agent
from agentlaunch.engines import llama_cpp, remote
from agentlaunch.engines.base import EngineState
from agentlaunch.errors import ModelUnavailable, Refused
from agentlaunch.machine import probe
from agentlaunch.machine.facts import LiveFacts, Machine
from agentlaunch.models import catalog, gguf, store
from agentlaunch.models.manifest import MODEL
from agentlaunch.models.refs import Ref, looks_like_path, parse_ref
from agentlaunch.settings import Paths

VERSION_TIMEOUT_S = 5.0
HEADER_BYTES = 16 << 20
"""Enough for a header with a vocabulary of 262,144 words (facts: 3 to 12 MB)."""


@dataclass(frozen=True, slots=True)
class AgentState:
    """An agent as it is found here: nothing, the user's own, or ours."""

    agent: Agent
    path: Path | None
    version: str | None
    managed: bool

    @property
    def installed(self) -> bool:
        return self.path is not None

    @property
    def tested(self) -> bool:
        """True when this very version passed our tests."""
        return self.version in self.agent.tested_versions


@dataclass(frozen=True, slots=True)
class Weights:
    """A model that was asked for, as far as it can be seen without downloading it.

    `path` is None until it is here; `size_bytes` is exact when it comes from a file or a manifest.
    """

    id: str
    ref: Ref | None
    path: Path | None
    projector: Path | None
    size_bytes: int | None
    file: gguf.ModelFile | None
    entry: catalog.Entry | None
    source: Literal["gguf", "store", "registry", "catalog", "show-reply"]
    capabilities: frozenset[str] | None = None
    """What a server said that the model can; None where none was asked."""


@dataclass(frozen=True, slots=True)
class Survey:
    """The world as it is now."""

    machine: Machine
    engines: tuple[EngineState, ...]
    agents: Mapping[str, AgentState]
    catalog: catalog.Catalog
    stored: tuple[store.StoredModel, ...]
    engine_installed: bool
    ollama: Path | None
    node: Path | None = None
    """What most agents run on, and npm with it; None when it is not on PATH."""
    simulated: bool = False
    """A machine that was described: engines, agents and stores of this one were not looked at."""

    @property
    def installed_tags(self) -> frozenset[str]:
        """Names of the models that lie in a store here."""
        return frozenset(str(model.ref) for model in self.stored)


def look(paths: Paths) -> Survey:
    """Everything, in parallel: detectors, engines, agents, stores."""
    environ = dict(os.environ)
    with ThreadPoolExecutor(max_workers=4, thread_name_prefix="survey") as pool:
        machine = pool.submit(probe.probe, LiveFacts(paths.models))
        engines = pool.submit(llama_cpp.LlamaCpp(paths).states)
        stored = pool.submit(_stored, paths, environ)
        agents = {name: find_agent(agent, paths) for name, agent in AGENTS.items()}
        return Survey(
            machine=machine.result(),
            engines=engines.result(),
            agents=agents,
            catalog=catalog.load(),
            stored=stored.result(),
            engine_installed=managed.installed(llama_cpp.PACKAGE, paths) is not None,
            ollama=process.find_program("ollama"),
            node=process.find_program("node"),
        )


def simulated(machine: Machine) -> Survey:
    """What would be seen on a machine that only a description tells of: itself and the catalog."""
    return Survey(
        machine=machine,
        engines=(),
        agents={},
        catalog=catalog.load(),
        stored=(),
        engine_installed=False,
        ollama=None,
        simulated=True,
    )


def _stored(paths: Paths, environ: Mapping[str, str]) -> tuple[store.StoredModel, ...]:
    return tuple(model for place in store.stores(paths, environ) for model in place.list())


def find_agent(agent: Agent, paths: Paths) -> AgentState:
    """Where an agent is: the user's own first, then the one we installed."""
    places = [Path(place).expanduser() for place in agent.known_places]
    own = process.find_program(agent.binary, places)
    if own is not None:
        return AgentState(agent, own, version_beside(own), managed=False)
    if agent.package is not None:
        ours = managed.program(agent.package, agent.binary, paths)
        if ours is not None:
            return AgentState(agent, ours, agent.package.version, managed=True)
    return AgentState(agent, None, None, managed=False)


def version_beside(program: Path) -> str | None:
    """A program's version from the package it was installed with, without running it.

    npm keeps a package.json above the real file; Claude Code's own installer names the real file
    after its version (seen: 2.1.197, ~/.local/share/claude/versions/2.1.197).
    """
    try:
        real = program.resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    if real.name[:1].isdigit() and real.parent.name == "versions":
        return real.name
    for folder in list(real.parents)[:4]:
        try:
            data = json.loads((folder / "package.json").read_bytes())
        except (OSError, ValueError, RecursionError):
            continue
        version = data.get("version") if isinstance(data, dict) else None
        return version if isinstance(version, str) else None
    return None


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
    return AgentState(state.agent, state.path, version, state.managed)


def look_at_model(text: str, known: catalog.Catalog, paths: Paths) -> Weights:
    """A model by path or name: its header where it lies here, else its catalog entry.

    A .json is a saved reply of Ollama's /api/show: a description to size, which is never run.
    Reads no network. Raises `BadGguf`, `BadReply`, `ModelUnavailable` for a name outside the
    grammar.
    """
    if looks_like_path(text):
        path = _path(text)
        if path is None or not path.is_file():
            raise ModelUnavailable(f"there is no file {text}", hint="check the path to the .gguf")
        if path.suffix.lower() == ".json":
            from agentlaunch.models import show_reply

            reply = show_reply.read_reply(path)
            return Weights(
                path.name,
                None,
                None,
                None,
                reply.file.size_bytes,
                reply.file,
                None,
                "show-reply",
                reply.capabilities,
            )
        file = gguf.read_model(path)
        return Weights(path.name, None, path, None, file.size_bytes, file, None, "gguf")
    ref = parse_ref(text)
    entry = known.find(text)
    found = store.find_stored(store.stores(paths, os.environ), ref)
    if found is not None:
        file = gguf.read_model(found.model_path)
        return Weights(
            str(ref),
            ref,
            found.model_path,
            found.projector_path,
            found.size_bytes,
            file,
            entry,
            "store",
        )
    size = entry.variant.size_bytes if entry is not None else None
    return Weights(str(ref), ref, None, None, size, None, entry, "catalog")


def _path(text: str) -> Path | None:
    """A path as the user wrote it, or None for what can be none (`~nobody`, a NUL in it)."""
    try:
        return Path(text).expanduser().resolve()
    except (RuntimeError, ValueError, OSError):
        return None


def ask_registry(weights: Weights, known: catalog.Catalog, *, insecure: bool) -> Weights:
    """The exact size and header of a model that is not here yet, without downloading it.

    Raises `ModelUnavailable` when the registry does not know it or cannot be reached.
    """
    from agentlaunch.models import registry

    if weights.ref is None or weights.path is not None:
        return weights
    client = registry.Registry(insecure=insecure)
    try:
        manifest = client.manifest(weights.ref)
    except ModelUnavailable as error:
        near = known.suggest(weights.id)
        if weights.entry is None and near:
            error.hint = f"did you mean {', '.join(near)}? See `agentlaunch models`"
        raise
    layer = manifest.only(MODEL)
    if layer is None:
        raise ModelUnavailable(
            f"{weights.id} holds no GGUF weights", hint="choose another build of it"
        )
    head = client.head_bytes(weights.ref, layer, min(HEADER_BYTES, layer.size_bytes))
    header = gguf.parse_header(head, name=weights.id)
    file = None if isinstance(header, gguf.NeedMore) else gguf.describe(header, name=weights.id)
    return Weights(
        weights.id, weights.ref, None, None, manifest.total_bytes, file, weights.entry, "registry"
    )


def look_at_remote(url: str, key: str, agent: Agent) -> remote.RemoteFacts:
    """What the server at `url` is and serves."""
    return remote.probe(remote.normalized_url(url), key=key, wires=agent.wires)


def config_folder(agent: Agent, environ: Mapping[str, str]) -> Path:
    """The user's own folder of an agent, wherever its variable has moved it."""
    variable, default = agent.config_folder or ("", "~")
    return Path(environ.get(variable) or default).expanduser()


def look_for_overrides(agent: Agent, project: Path, config: Path) -> tuple[str, ...]:
    """Settings files that would send the agent elsewhere: what this launch overrides, in words.

    `config` is the agent's folder in this launch: the user's own, or the clean one.

    Raises `Refused` where the file wins over any launcher: an administrator's, or a variable that
    no flag can take back. The launch could not keep its promise there.
    """
    for file, settings in _settings(agent.managed_settings, project, config):
        names = _redirecting(agent, settings)
        if names:
            raise Refused(
                f"{file} sets {', '.join(names)} and outranks every launcher",
                hint="ask the administrator of this machine; agentlaunch cannot route around it",
                code="administrator-settings",
            )
    overridden = []
    for file, settings in _settings(agent.settings_files, project, config):
        env = settings.get("env")
        held = [name for name in agent.beyond_us if isinstance(env, dict) and env.get(name)]
        if held:
            raise Refused(
                f"{file} sets {', '.join(held)}, which no launcher can override",
                hint=f"remove it from the `env` of {file}",
                code="unroutable-settings",
            )
        names = _redirecting(agent, settings)
        if names:
            overridden.append(f"{file} sets {', '.join(names)}: overridden for this launch")
    return tuple(overridden)


def _settings(
    places: Sequence[str], project: Path, config: Path
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The JSON settings among files and folders; what is absent or broken is passed over."""
    for place in places:
        path = project / place.replace("{config}", str(config))
        for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
            data = files.read_json(file)
            if data is not None:
                yield file, data


def _redirecting(agent: Agent, settings: Mapping[str, Any]) -> list[str]:
    env = settings.get("env")
    names = [
        name
        for name in (env if isinstance(env, dict) else {})
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in agent.redirects)
    ]
    return [*names, *(key for key in agent.redirect_keys if settings.get(key))]


def remembered_agent(paths: Paths) -> str | None:
    """The agent of the last launch, if there was one."""
    choice = records.Records(paths.state).recall("choices", "last")
    name = (choice or {}).get("agent")
    return name if isinstance(name, str) and name in AGENTS else None
