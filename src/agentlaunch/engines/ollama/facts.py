"""What a look at Ollama found, as a value that a plan is made from."""

from __future__ import annotations

from dataclasses import dataclass

from agentlaunch.endpoint import Wire
from agentlaunch.engines.base import EngineState, Loaded
from agentlaunch.engines.ollama.client import Client
from agentlaunch.engines.ollama.replies import Tag, Version, same_model

NAME = "ollama"
TOKEN = "ollama"  # noqa: S105 - no secret: it is asked for nowhere
"""Ollama asks for none; agents want one."""
ALL_WIRES: tuple[Wire, ...] = ("anthropic_messages", "openai_responses", "openai_chat")


@dataclass(frozen=True, slots=True)
class OllamaFacts:
    """The server at `client`; without a `version` it does not answer yet and will be started."""

    client: Client
    version: Version | None
    tags: tuple[Tag, ...] = ()
    loaded: tuple[Loaded, ...] = ()

    @property
    def wires(self) -> tuple[Wire, ...]:
        """What it speaks; a server that is still to be started is taken for a new one."""
        return self.version.wires if self.version is not None else ALL_WIRES

    def tag(self, name: str) -> Tag | None:
        """An installed model by its name."""
        return next((row for row in self.tags if same_model(row.name, name)), None)

    @property
    def state(self) -> EngineState:
        """As one row of `engines`."""
        running = self.version is not None
        return EngineState(
            NAME,
            "running" if running else "installed",
            self.version.text if self.version is not None else None,
            self.client.url if running else None,
            self.wires,
            self.loaded,
        )
