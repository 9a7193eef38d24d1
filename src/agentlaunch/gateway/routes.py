"""The routes of the user's settings: chains of endpoints by role, as they are written. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from agentlaunch.endpoint import without_secrets
from agentlaunch.errors import UsageError
from agentlaunch.gateway.spec import Role, Routing
from agentlaunch.settings import Value

HERE = ("local", "embedded", "ollama")
"""Endpoints of this machine: `local` is whichever engine `up` would choose by itself."""
NAMED = (*HERE, "hosted")
SETTINGS: Mapping[Role, str] = {"main": "routes.main", "small": "routes.small"}


@dataclass(frozen=True, slots=True)
class Word:
    """One endpoint as it is written: `NAME#MODEL@TOKENS`, where MODEL and TOKENS may be left away.

    NAME is `local`, `embedded`, `ollama`, `hosted`, a preset's name, or an address.
    """

    name: str
    model: str | None = None
    context_tokens: int | None = None

    @property
    def is_here(self) -> bool:
        return self.name in HERE

    @property
    def shown(self) -> str:
        """Its name in a few letters: of an address the host and port."""
        return urlsplit(self.name).netloc or self.name

    def __str__(self) -> str:
        model = f"#{self.model}" if self.model else ""
        return f"{self.name}{model}"


@dataclass(frozen=True, slots=True)
class Routes:
    """What the settings say; `small` is empty where it goes along the main chain."""

    main: tuple[Word, ...]
    small: tuple[Word, ...] = ()
    subagent: Role = "main"
    routing: Routing = "roles"

    def without(self, words: Sequence[Word]) -> Routes:
        """These chains without some endpoints."""
        main, small = (
            tuple(word for word in chain if word not in words) for chain in (self.main, self.small)
        )
        return replace(self, main=main, small=small)

    @property
    def chains(self) -> dict[Role, tuple[Word, ...]]:
        """The chains that are written."""
        return {"main": self.main, **({"small": self.small} if self.small else {})}


def routes_of(said: Mapping[str, Value]) -> Routes | None:
    """The routes of the settings; None where there are none, or where an engine or a model is named
    for this once.

    Raises `UsageError` for an endpoint that is none.
    """
    once = any(said[name].source in ("flag", "environment") for name in ("engine", "model"))
    if once:
        return None
    if said[SETTINGS["main"]].value is None:
        half = said[SETTINGS["small"]]
        if half.value is None:
            return None
        raise UsageError(
            f"{SETTINGS['small']} is set in {half.origin}, and {SETTINGS['main']} is not",
            hint=f"agentlaunch config set {SETTINGS['main']} NAME: what the main work goes to",
            code="half-routes",
        )
    main, small = (
        parse(str(said[name].value or ""), said[name].origin) for name in SETTINGS.values()
    )
    return Routes(
        main=main,
        small=small,
        subagent=said["routes.subagent"].value,
        routing=said["routes.routing"].value,
    )


def parse(text: str, where: str) -> tuple[Word, ...]:
    """The endpoints of one setting, in their order. Raises `UsageError` that names `where`."""
    return tuple(_word(part.strip(), where) for part in text.split(",") if part.strip())


def _word(text: str, where: str) -> Word:
    name, _hash, rest = text.partition("#")
    model, at, size = rest.rpartition("@")
    tokens = _tokens(size) if at else None
    if tokens is None:  # a model's own name may have an @ in it
        model = rest
    sizeless = False
    if not _hash:  # a size alone
        bare, at, size = text.rpartition("@")
        tokens = _tokens(size) if at else None
        name = bare if tokens is not None else text
        sizeless = tokens is None and bare.lower() in NAMED
    if not name or (_hash and not model) or sizeless:
        has_user = "://" in text or ("@" in text and not sizeless)
        raise UsageError(
            f"{where}: {(without_secrets(text) if has_user else text)!r} is no endpoint",
            hint="NAME, NAME#MODEL or NAME#MODEL@TOKENS: local, hosted#al-main@131072",
            code="bad-route",
        )
    lowered = name if "://" in name else name.lower()
    return Word(lowered, model or None, tokens)


def _tokens(text: str) -> int | None:
    number = text.lower().removesuffix("k")
    if not number.isascii() or not number.isdecimal() or not 1 <= len(number) <= 9:
        return None
    return int(number) * (1024 if number != text.lower() else 1) or None
