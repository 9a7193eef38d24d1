"""What a gateway routes, as values: chains of endpoints by role, resolved and ready to be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from agentlaunch.endpoint import TokenHeader, Wire, is_loopback
from agentlaunch.engines.presets import Kind
from agentlaunch.models.prices import Price

Role = Literal["main", "small"]
Routing = Literal["roles", "auto"]
MODEL_NAMES: Mapping[Role, str] = {"main": "al-main", "small": "al-small"}
"""Under which names agents ask the gateway; fixed, so that a running one serves the next launch."""


def alone(role: Role, position: int) -> str:
    """The name of one endpoint of a chain (from 1) by itself, that no other one answers for."""
    return f"{MODEL_NAMES[role]}-{position}"


LOCAL_SILENCE_S = 600
"""A CPU may read a prompt for minutes before its first word."""
REMOTE_SILENCE_S = 60
"""How long a server elsewhere may be silent before the next one is asked: a hang ends here."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One endpoint of a chain."""

    name: str
    """As the person wrote it, without model and context: `local`, `hosted`, `openrouter`."""
    base_url: str
    """Without `/v1`."""
    model: str
    """As it is served there."""
    kind: Kind
    context_tokens: int
    wires: tuple[Wire, ...] = ()
    max_output_tokens: int | None = None
    token: str = field(default="", repr=False)
    token_header: TokenHeader = "bearer"  # noqa: S105 - the name of a header
    price: Price | None = None
    managed: bool = False
    """A company's service that is paid by the token."""
    limit_s: int | None = None
    """How long it may be silent before its first word; None: what is usual for its place."""

    @property
    def is_local(self) -> bool:
        """True when nothing that goes there leaves the machine."""
        return is_loopback(self.base_url)

    @property
    def silence_s(self) -> int:
        """How long it may be silent before its first word, in seconds."""
        if self.limit_s is not None:
            return self.limit_s
        return LOCAL_SILENCE_S if self.is_local else REMOTE_SILENCE_S


@dataclass(frozen=True, slots=True)
class Spec:
    """Everything a gateway is made of. Each chain has at least one hop; the first is liked best."""

    chains: Mapping[Role, tuple[Hop, ...]]
    """`main` always; without `small`, small work goes along the chain of the main work."""
    routing: Routing = "roles"
    cap_usd: float | None = None
    """What managed calls may cost a day; None: no cap."""
    cap_origin: str = ""
    """The file that says so."""
