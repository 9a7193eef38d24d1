"""What a server said about itself, and which of its models a launch may take. Values only."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agentlaunch.endpoint import Endpoint, TokenHeader, Wire
from agentlaunch.engines.presets import Kind, Preset, of_kind
from agentlaunch.errors import ModelUnavailable, UsageError
from agentlaunch.models import prices
from agentlaunch.models.prices import Price

MOST_LISTED = 20

_DATED: tuple[Kind, ...] = ("anthropic", "openai")
"""Their API takes a name without its date as well (`claude-sonnet-4-5` for `…-20250929`)."""


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model as a server lists it; None is what the server does not say."""

    name: str
    context_tokens: int | None
    tools: bool | None = None
    """Will tool calls reach the model?"""
    max_output_tokens: int | None = None
    loaded: bool | None = None
    price: Price | None = None
    """As the server itself says it."""


@dataclass(frozen=True, slots=True)
class RemoteFacts:
    """What a server said about itself."""

    url: str
    kind: Kind
    wires: tuple[Wire, ...]
    models: tuple[RemoteModel, ...]
    key: str = field(default="", repr=False)
    version: str | None = None
    bases: tuple[tuple[Wire, str], ...] = ()
    """Where a wire does not lie under `url` itself."""
    token_header: TokenHeader = "bearer"  # noqa: S105 - the name of a header

    @property
    def preset(self) -> Preset | None:
        """What is known of servers of this kind."""
        return of_kind(self.kind)

    @property
    def title(self) -> str:
        """The server's name for a person."""
        return self.preset.title if self.preset is not None else "server"

    def price(self, model: RemoteModel) -> Price | None:
        """What a model costs there: by its own list, else by the table of ours; None: not known."""
        return model.price or prices.find(self.kind, model.name)

    def wire(self, wanted: Sequence[Wire]) -> Wire | None:
        """The first of the agent's wires that the server has."""
        return next((wire for wire in wanted if wire in self.wires), None)

    def endpoint(self, model: str, wire: Wire | None, token: str) -> Endpoint:
        """Where a model answers on this wire; every other wire with the same base goes along."""
        places = dict(self.bases)
        base = places.get(wire, self.url) if wire is not None else self.url
        same = tuple(each for each in self.wires if places.get(each, self.url) == base)
        return Endpoint(base, same, model, token, self.token_header)

    def pick(self, asked: str | None) -> RemoteModel:
        """The model asked for, or the only one. Raises `UsageError` when there are several,
        `ModelUnavailable` when the asked one is not served."""
        if asked is not None:
            return self._asked(asked)
        if len(self.models) == 1:
            return self.models[0]
        if not self.models:
            hint = "load one there first"
            raise ModelUnavailable(f"{self.url} serves no model", hint=hint)
        raise UsageError(
            f"{self.url} serves several models: {self._listed(self.models)}",
            hint="choose one with --model NAME",
            code="several-models",
        )

    def _asked(self, asked: str) -> RemoteModel:
        names = {asked, asked + ":latest", "docker.io/" + asked, f"docker.io/{asked}:latest"}
        for model in self.models:
            if model.name in names:
                return model
        for model in self.models:
            date = model.name.removeprefix(asked + "-").replace("-", "")
            if self.kind in _DATED and date.isdecimal() and len(date) == len("20250929"):
                return replace(model, name=asked)
        near = difflib.get_close_matches(asked, [row.name for row in self.models], 3)
        listed = ", ".join(near) if near else self._listed(self.models) or "nothing"
        raise ModelUnavailable(
            f"{self.url} does not serve {asked!r}",
            hint=f"did you mean {listed}?" if near else f"it serves: {listed}",
        )

    def _listed(self, models: Sequence[RemoteModel]) -> str:
        """Names, those that an agent can work with first; not all of a long list."""
        good = sorted(models, key=lambda row: (row.loaded is not True, row.tools is False))
        more = f" and {len(good) - MOST_LISTED} more" if len(good) > MOST_LISTED else ""
        return ", ".join(row.name for row in good[:MOST_LISTED]) + more
