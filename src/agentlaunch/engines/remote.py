"""A server that somebody else runs, as an engine: probed by name or URL, never started or changed.

What is known of servers is data (`presets`), what they say is asked (`remote_probe`) and read
without trust (`remote_replies`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentlaunch.endpoint import Wire
from agentlaunch.engines.address import normalized_url
from agentlaunch.engines.base import EngineState, Loaded, Served, ServeRequest
from agentlaunch.engines.presets import PRESETS, Preset, Target, resolve
from agentlaunch.engines.remote_facts import RemoteFacts, RemoteModel
from agentlaunch.engines.remote_probe import ALL_WIRES, probe
from agentlaunch.keys import KEY_VARIABLE
from agentlaunch.progress import Progress, Work

__all__ = [
    "ALL_WIRES",
    "KEY_VARIABLE",
    "PRESETS",
    "Preset",
    "Remote",
    "RemoteFacts",
    "RemoteModel",
    "Target",
    "normalized_url",
    "probe",
    "resolve",
]


@dataclass(frozen=True, slots=True)
class Remote:
    """A server somebody else runs, as an `Engine`; `wires` are the agent's, in order of liking."""

    facts: RemoteFacts
    wires: Sequence[Wire] = ALL_WIRES
    name: str = "remote"

    def states(self) -> tuple[EngineState, ...]:
        """The server as it was when it was probed."""
        facts = self.facts
        held = tuple(row for row in facts.models if row.loaded is not False)
        loaded = tuple(Loaded(row.name, row.context_tokens, None, None) for row in held)
        state = EngineState(self.name, "remote", facts.version, facts.url, facts.wires, loaded)
        return (state,)

    def serve(self, request: ServeRequest) -> Work[Served]:
        """Nothing to start: the model is there, or it is not (`ModelUnavailable`)."""
        yield Progress(f"asking {self.facts.url}")
        model = self.facts.pick(request.model)
        wire = self.facts.wire(self.wires)
        return Served(
            engine=self.name,
            endpoint=self.facts.endpoint(model.name, wire, self.facts.key),
            context_tokens=model.context_tokens,
            version=self.facts.version,
            reused=True,
            tools=model.tools,
        )
