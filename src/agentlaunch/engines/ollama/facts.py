"""What a look at Ollama found, as a value that a plan is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentlaunch.endpoint import Wire
from agentlaunch.engines.base import EngineState, Loaded
from agentlaunch.engines.ollama.client import Client
from agentlaunch.engines.ollama.replies import Tag, Version, same_model
from agentlaunch.engines.ollama.store import Store
from agentlaunch.models.gguf import ModelFile

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
    on_windows_host: bool = False
    """Seen from WSL2: this very machine, under another address."""
    files: Mapping[str, ModelFile] = field(default_factory=dict)
    """Models that the catalog does not know, as far as the server described them."""
    left_out: str | None = None
    """Which of them could not be described, in a sentence; None where all were."""
    store: Store | None = None
    """Where its models lie; None on another machine, or where that cannot be told."""

    @property
    def is_here(self) -> bool:
        """Does it compute on this machine?"""
        return self.client.is_local or self.on_windows_host

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
