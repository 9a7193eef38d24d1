"""LaunchPlan, the value that a plan is, and what every engine's plan is made with. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from agentlaunch import policy
from agentlaunch.agents.base import Handover, Target, own_folder
from agentlaunch.agents.surroundings import patience_s
from agentlaunch.context import ContextPlan
from agentlaunch.endpoint import Endpoint
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.engines.remote import RemoteFacts
from agentlaunch.errors import MachineCannot, NotSupported
from agentlaunch.gateway.routes import Word
from agentlaunch.gateway.spec import Role, Routing
from agentlaunch.managed import NODE
from agentlaunch.models import choose, sampling
from agentlaunch.models.fit import Fit
from agentlaunch.models.prices import Price
from agentlaunch.plan.lighter import Lighter
from agentlaunch.plan.sizing import Chosen
from agentlaunch.plan.steps import Install, Pull, Step
from agentlaunch.plan.wish import Places, Wish
from agentlaunch.survey import AgentState, Survey
from agentlaunch.units import format_bytes


@dataclass(frozen=True, slots=True)
class Roles:
    """What an agent behind a gateway is told beside its main model; empty without one."""

    small: str = ""
    """The name of the model for small work."""
    subagent: str = ""
    status_command: tuple[str, ...] = ()
    """What prints where requests go now."""
    own_status_line: Mapping[str, object] | None = None


ALONE = Roles()


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """Everything a launch will do, printable, comparable, undone by not doing it."""

    wish: Wish
    agent: AgentState
    engine: str
    url: str | None
    model: Chosen
    remote: RemoteFacts | None
    context: ContextPlan
    steps: tuple[Step, ...]
    handover: Handover
    because: tuple[str, ...]
    warnings: tuple[tuple[str, str], ...] = ()
    choice: choose.Choice | None = None
    ollama: OllamaFacts | None = None
    lighter: Lighter | None = None
    """Another agent that would answer sooner, where this one is slow here."""
    hybrid: Hybrid | None = None
    """The chains of a launch behind a gateway."""
    roles: Roles = ALONE

    @property
    def fit(self) -> Fit | None:
        return self.model.candidate.fit if self.model.candidate is not None else None

    @property
    def download_bytes(self) -> int:
        """What the plan would bring over the network; an unknown size counts as nothing."""
        total = 0
        for step in self.steps:
            if isinstance(step, Pull):
                total += step.size_bytes or 0
            elif isinstance(step, Install):
                total += step.package.download_bytes or step.package.size_bytes
        return total


@dataclass(frozen=True, slots=True)
class PlannedHop:
    """One endpoint: a launch of its own on this machine, or a server that was asked."""

    word: Word
    model: str
    context_tokens: int
    local: LaunchPlan | None = None
    remote: RemoteFacts | None = None
    price: Price | None = None
    answers: bool = True
    """False: it is down now, and what it serves is known from before."""

    @property
    def managed(self) -> bool:
        """Is it a company's service, paid by the token?"""
        preset = self.remote.preset if self.remote is not None else None
        return preset is not None and preset.hosted

    @property
    def fetches(self) -> bool:
        """Is its model still to be downloaded?"""
        return self.local is not None and any(isinstance(row, Pull) for row in self.local.steps)

    @property
    def place(self) -> str:
        """Where requests go, for a person."""
        if self.remote is not None:
            return policy.origin(self.remote.url)
        return "this machine"


@dataclass(frozen=True, slots=True)
class Hybrid:
    """What the gateway of a launch will route."""

    chains: Mapping[Role, tuple[PlannedHop, ...]]
    subagent: Role = "main"
    routing: Routing = "roles"
    cap_usd: float | None = None
    cap_origin: str = ""

    @property
    def hops(self) -> tuple[PlannedHop, ...]:
        """Every endpoint once."""
        rows = [hop for chain in self.chains.values() for hop in chain]
        return tuple({hop.word: hop for hop in rows}.values())

    @property
    def spare(self) -> tuple[PlannedHop, ...]:
        """What a model is to be fetched for, only to stand in for an endpoint that answers now."""
        rows: list[PlannedHop] = []
        for chain in self.chains.values():
            ready = [hop.answers and not hop.fetches for hop in chain]
            if any(ready):
                rows += [hop for hop in chain[ready.index(True) :] if hop.fetches]
            else:  # this role needs what it has to fetch
                return ()
        return tuple({hop.word: hop for hop in rows}.values())

    def without(self, lost: PlannedHop) -> Hybrid | None:
        """These chains without an endpoint; None where nobody of a chain would answer then."""
        chains = {
            role: tuple(hop for hop in chain if hop.word != lost.word)
            for role, chain in self.chains.items()
        }
        if not all(any(hop.answers for hop in chain) for chain in chains.values()):
            return None
        return replace(self, chains=chains)

    @property
    def locals(self) -> tuple[LaunchPlan, ...]:
        """What is to be served on this machine."""
        return tuple(hop.local for hop in self.hops if hop.local is not None)


def check_disk(survey: Survey, steps: list[Step]) -> None:
    """Raise `MachineCannot` when what would be brought is more than the disk has, all together."""
    free = survey.machine.disk_free_bytes
    needed = sum(
        step.package.size_bytes + (step.package.download_bytes or 0)  # the cache keeps a copy
        if isinstance(step, Install)
        else (step.size_bytes or 0)
        for step in steps
        if isinstance(step, Install | Pull)
    )
    if free is not None and needed > free:
        raise MachineCannot(
            f"this needs {format_bytes(needed)} on disk, {format_bytes(free)} are free",
            hint="free some space; `agentlaunch clean` lists what is ours",
            code="no-disk",
        )


def handover(
    wish: Wish,
    agent: AgentState,
    endpoint: Endpoint,
    context: ContextPlan,
    places: Places,
    *,
    first_word_s: float | None = None,
    roles: Roles = ALONE,
) -> Handover:
    """What the agent would become with this endpoint; asked again with the real one, and with the
    promise that was made of its first word."""
    binary = str(agent.path) if agent.path is not None else wish.agent.binary
    return wish.agent.prepare(
        Target(
            binary=binary,
            endpoint=endpoint,
            context=context,
            home=wish.home,
            home_folder=places.homes / wish.agent.name,
            runtime_folder=places.runtime,
            run_name=places.run_name,
            environ=places.environ,
            args=wish.args,
            runner=agent.runner,
            own_folder=own_folder(wish.agent, places.environ),
            project=places.project,
            thinking_off=sampling.for_model(endpoint.model).thinking_off,
            patience_s=patience_s(first_word_s),
            version=agent.version,
            small_model=roles.small,
            subagent_model=roles.subagent,
            status_command=roles.status_command,
            own_status_line=roles.own_status_line,
        )
    )


def served_name(model_id: str) -> str:
    """The name under which the embedded engine serves a model: its own, without a file's suffix."""
    return model_id.removesuffix(".gguf")


def agent_install(agent: AgentState) -> list[Step]:
    node: list[Step] = [Install(NODE)] if agent.needs_node else []
    if agent.installed:
        return node
    if agent.agent.package is None:
        raise NotSupported(
            f"{agent.agent.title} is not installed, and agentlaunch cannot install it",
            hint=f"install it ({agent.agent.site}), so that `{agent.agent.binary}` is on PATH",
        )
    return [*node, Install(agent.agent.package)]
