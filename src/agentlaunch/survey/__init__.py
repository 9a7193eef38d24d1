"""Look at everything once, in parallel, and change nothing; a failing probe is a note.

A `Survey` is what `plan` and `checks` decide from. Looking at a model that was asked for by name or
path belongs here too, since only here (and in `launch`) the world is touched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from agentlaunch import managed, process, records
from agentlaunch.agents import AGENTS
from agentlaunch.agents.base import own_folder
from agentlaunch.engines import llama_cpp
from agentlaunch.engines.base import EngineState
from agentlaunch.engines.ollama import facts as ollama_facts
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.engines.ollama.replies import Tag
from agentlaunch.errors import AgentlaunchError, Refused
from agentlaunch.machine import probe
from agentlaunch.machine.facts import UNKNOWN, LiveFacts, Machine
from agentlaunch.models import catalog, store
from agentlaunch.models.gguf import ModelFile
from agentlaunch.models.measured import Measurement
from agentlaunch.settings import Paths, Value
from agentlaunch.survey import health, sessions, watched
from agentlaunch.survey.agents import AgentState, ask_version, find_agent, version_beside
from agentlaunch.survey.asking import Asking
from agentlaunch.survey.installed import described
from agentlaunch.survey.models import Weights, ask_registry, look_at_model, measured_here
from agentlaunch.survey.ollama import OllamaFault, look_at_ollama, ollama_url, seek_ollama
from agentlaunch.survey.remote import key_of, look_at_remote
from agentlaunch.survey.watched import Runs, Seen

__all__ = [
    "AgentState",
    "OllamaFault",
    "Runs",
    "Seen",
    "Survey",
    "Weights",
    "ask_registry",
    "ask_version",
    "described",
    "examine",
    "find_agent",
    "key_of",
    "look",
    "look_at_model",
    "look_at_ollama",
    "look_at_remote",
    "ollama_url",
    "remembered_agent",
    "sessions",
    "simulated",
    "version_beside",
    "watched",
]


@dataclass(frozen=True, slots=True)
class Survey:
    """The world as it is now."""

    machine: Machine
    engines: tuple[EngineState, ...]
    agents: Mapping[str, AgentState]
    catalog: catalog.Catalog
    stored: tuple[store.StoredModel, ...]
    engine_installed: bool
    ollama: OllamaFacts | None = None
    """The Ollama that answers, or the one that can be started here; None where neither is."""
    ollama_fault: OllamaFault | None = None
    """Why one that is there, or that OLLAMA_HOST names, cannot be used."""
    node: Path | None = None
    """What most agents run on, and npm with it; None when it is not on PATH."""
    simulated: bool = False
    """A machine that was described: engines, agents and stores of this one were not looked at."""
    health: health.Health | None = None
    """What `examine` found besides; None where only a launch was to be prepared."""

    served: tuple[Tag, ...] = ()
    """The models in the store of the server that was asked for; none that runs in the cloud."""
    served_files: Mapping[str, ModelFile] = field(default_factory=dict)
    """Those of them that the catalog does not know, as far as the server describes them."""
    measured: Mapping[str, Measurement] = field(default_factory=dict)
    """Speeds that `bench` measured here, by the digest of the weights."""
    served_measured: Mapping[str, Measurement] = field(default_factory=dict)
    """The same on Ollama, by the digest of its manifest."""

    def on_ollama(self, facts: OllamaFacts) -> Survey:
        """The same world with this server as its engine: its store, and what it holds."""
        return replace(
            self,
            machine=self.machine if facts.is_here else UNKNOWN,
            stored=(),
            served=tuple(tag for tag in facts.tags if not tag.cloud),
            served_files=facts.files,
            engines=(facts.state,),
            measured={},
        )

    @property
    def measured_tags(self) -> dict[str, Measurement]:
        """The same by the names of the models that lie in a store here."""
        known = [(str(model.ref), self.measured.get(model.digest)) for model in self.stored]
        known += [(tag.name, self.served_measured.get(tag.digest or "")) for tag in self.served]
        return {name: row for name, row in known if row is not None}

    @property
    def installed_tags(self) -> frozenset[str]:
        """Names of the models that lie in a store here, or in that of a server."""
        served = frozenset(tag.name for tag in self.served)
        return frozenset(str(model.ref) for model in self.stored) | served


def look(
    paths: Paths, ask: Asking | None = None, *, ollama: bool = True, keyed: bool = False
) -> Survey:
    """Everything, in parallel: detectors, engines, agents, stores.

    `ollama` is whether it may serve, and so is asked at all; `keyed` whether its host has the
    user's word, and so gets the key.
    """
    ask = ask or Asking()
    environ = dict(os.environ)

    def seek() -> tuple[OllamaFacts | None, OllamaFault | None]:
        return seek_ollama(environ, paths.cache, keyed=keyed) if ollama else (None, None)

    with ThreadPoolExecutor(max_workers=5, thread_name_prefix="survey") as pool:
        facts = LiveFacts(paths.models)
        machine = pool.submit(ask, "machine", lambda: probe.probe(facts), _unknown(facts))
        engines = pool.submit(ask, "engines", llama_cpp.LlamaCpp(paths).states, ())
        stored = pool.submit(ask, "stores", lambda: _stored(paths, environ), ())
        served = pool.submit(ask, "ollama", seek, (None, None))
        agents = {
            name: ask(name, partial(find_agent, agent, paths), AgentState(agent, None, None, False))
            for name, agent in AGENTS.items()
        }
        seen = machine.result()
        ours = ask("engine", lambda: managed.installed(llama_cpp.PACKAGE, paths), None)
        server, fault = served.result()
        return Survey(
            machine=seen,
            engines=engines.result(),
            agents=agents,
            catalog=catalog.load(),
            stored=stored.result(),
            engine_installed=ours is not None,
            ollama=server,
            ollama_fault=fault,
            node=ask("node", lambda: process.find_program("node"), None),
            measured=ask("measurements", lambda: measured_here(seen, paths), {}),
            served_measured=ask("measurements", lambda: _measured_on(server, seen, paths), {}),
        )


def _measured_on(
    ollama: OllamaFacts | None, machine: Machine, paths: Paths
) -> dict[str, Measurement]:
    if ollama is None or ollama.version is None or not ollama.is_here:
        return {}
    return measured_here(machine, paths, ollama_facts.NAME, ollama.version.text)


def examine(
    paths: Paths,
    values: Mapping[str, Value],
    faults: tuple[AgentlaunchError, ...] = (),
    environ: Mapping[str, str] | None = None,
) -> Survey:
    """`look` and what only a doctor asks, side by side; never raises: what fails is a note.

    `values` are the settings that could be read, `faults` what is wrong with the rest; `environ`
    is ours but for an Ollama that may not be asked.
    """
    kept = dict(os.environ if environ is None else environ)
    may_ask = kept.get("OLLAMA_HOST") == os.environ.get("OLLAMA_HOST")
    ask = Asking(tolerant=True)
    none: tuple[health.Override, ...] = ()
    home = str(values["home"].value)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="health") as pool:
        more = pool.submit(health.look, paths, values, faults, kept)
        seen = look(paths, ask, ollama=may_ask)
        overrides = ask("settings files", lambda: tuple(_overrides(home)), none)
        found = more.result()
    notes = (*ask.notes, *found.notes)
    return replace(seen, health=replace(found, overrides=overrides, notes=notes))


def _overrides(home: str) -> Iterator[health.Override]:
    """What stands in the way of each agent's launch from here, as values."""
    project = health.here()
    for agent in AGENTS.values():
        config = own_folder(agent, os.environ) if home == "own" else Path(os.devnull)
        try:
            seen = watched.look(agent, project or Path(os.devnull), config)
            for text in seen.overridden:
                yield health.Override(agent.name, text)
        except Refused as error:
            yield health.Override(agent.name, error.message, error.hint)


def _unknown(facts: LiveFacts) -> Machine:
    here = (facts.platform, facts.machine)
    return Machine(*here, None, None, None, None, None, None, False, False)


def simulated(machine: Machine) -> Survey:
    """What would be seen on a machine that only a description tells of: itself and the catalog."""
    return Survey(
        machine=machine,
        engines=(),
        agents={},
        catalog=catalog.load(),
        stored=(),
        engine_installed=False,
        simulated=True,
    )


def _stored(paths: Paths, environ: Mapping[str, str]) -> tuple[store.StoredModel, ...]:
    return tuple(model for place in store.stores(paths, environ) for model in place.list())


def remembered_agent(paths: Paths) -> str | None:
    """The agent of the last launch, if there was one."""
    choice = records.Records(paths.state).recall("choices", "last")
    name = (choice or {}).get("agent")
    return name if isinstance(name, str) and name in AGENTS else None
