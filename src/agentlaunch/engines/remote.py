"""Any server that already runs and speaks a wire we know: probed by URL, never started or changed.

What a server is, is asked of the server (facts: `GET /v1/models` tells vLLM by `max_model_len`,
llama.cpp by `meta.n_ctx`); which wires it has is known for those two and tried out for the rest.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from agentlaunch import web
from agentlaunch.endpoint import Endpoint, Wire
from agentlaunch.engines.base import EngineState, Loaded, Served, ServeRequest
from agentlaunch.errors import AuthNeeded, EngineFailed, ModelUnavailable, Refused, UsageError
from agentlaunch.progress import Progress, Work

KEY_VARIABLE = "AGENTLAUNCH_ENGINE_KEY"

PRESETS = {
    "vllm": "http://127.0.0.1:8000",
    "lm-studio": "http://127.0.0.1:1234",
    "llama-server": "http://127.0.0.1:8080",
    "litellm": "http://127.0.0.1:4000",
}
"""Servers that already run, by the address that they listen on by default."""

Kind = Literal["llama.cpp", "vllm", "ollama", "unknown"]

WIRE_PATHS: dict[Wire, str] = {
    "anthropic_messages": "/v1/messages",
    "openai_responses": "/v1/responses",
    "openai_chat": "/v1/chat/completions",
}
ALL_WIRES: tuple[Wire, ...] = tuple(WIRE_PATHS)


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model as a server lists it; `context_tokens` is None when the server does not say."""

    name: str
    context_tokens: int | None


@dataclass(frozen=True, slots=True)
class RemoteFacts:
    """What a server said about itself."""

    url: str
    kind: Kind
    wires: tuple[Wire, ...]
    models: tuple[RemoteModel, ...]
    key: str = field(default="", repr=False)

    def pick(self, asked: str | None) -> RemoteModel:
        """The model asked for, or the only one. Raises `UsageError` when there are several,
        `ModelUnavailable` when the asked one is not served."""
        if asked is not None:
            for model in self.models:
                if model.name in (asked, asked + ":latest"):
                    return model
            listed = ", ".join(model.name for model in self.models) or "nothing"
            raise ModelUnavailable(
                f"{self.url} does not serve {asked!r}", hint=f"it serves: {listed}"
            )
        if len(self.models) == 1:
            return self.models[0]
        if not self.models:
            raise ModelUnavailable(f"{self.url} serves no model", hint="load one there first")
        listed = ", ".join(model.name for model in self.models)
        raise UsageError(
            f"{self.url} serves several models: {listed}",
            hint="choose one with --model NAME",
            code="several-models",
        )


def normalized_url(text: str) -> str:
    """An engine address as a base URL: http(s) only, no trailing `/v1` or slash.

    Raises `UsageError` for what is no URL, `Refused` for link-local and metadata addresses.
    """
    try:
        parts = urlsplit(text.strip())
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"--engine: {text!r} is not an address ({error})") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise UsageError(
            f"--engine: {text!r} is neither an engine's name nor an http address",
            hint="for example --engine embedded or --engine http://127.0.0.1:8080",
            code="unknown-engine",
        )
    if parts.username or parts.password:
        raise UsageError(
            "--engine: a key in the address would be visible to other programs",
            hint=f"export {KEY_VARIABLE}=… instead",
        )
    if _is_link_local(host):
        raise Refused(f"{host} is a link-local address, no model server", code="unsafe-address")
    path = parts.path.rstrip("/").removesuffix("/v1")
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def _is_link_local(host: str) -> bool:
    """Also in the older spellings that the resolver takes (`2852039166`, `0xa9.254.…`)."""
    import socket

    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(host.rstrip(".")))
        except (OSError, UnicodeError, ValueError):
            return False  # a name, not a number
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_link_local


def probe(url: str, *, key: str = "", wires: Sequence[Wire] = ALL_WIRES) -> RemoteFacts:
    """Ask a server what it is and serves; `wires` are the ones worth knowing about.

    Raises `EngineFailed` (nothing there, not a model server) and `AuthNeeded`.
    """
    if key and not (key.isascii() and key.isprintable()):
        # The HTTP library would quote the header, and the key with it, in its error.
        raise AuthNeeded(
            "the key holds a character that no header can carry, perhaps a line break",
            hint=f"export {KEY_VARIABLE}=… again, without it",
        )
    data = _get_models(url, key)
    rows = [row for row in data if isinstance(row.get("id"), str) and row["id"]]
    kind = _kind(rows)
    models = tuple(RemoteModel(row["id"], _context(row)) for row in rows)
    known: tuple[Wire, ...]
    if kind in {"llama.cpp", "vllm"}:
        known = ALL_WIRES
    else:
        known = tuple(wire for wire in wires if _has_wire(url, wire, key))
    return RemoteFacts(url, kind, known, models, key)


def _get_models(url: str, key: str) -> list[dict[str, Any]]:
    try:
        reply = web.request("GET", url + "/v1/models", headers=_headers(key))
        if reply.status in {401, 403}:
            raise AuthNeeded(
                f"{url} {'rejected the key' if key else 'wants a key'} ({reply.status})",
                hint=f"export {KEY_VARIABLE}=… and run the same command again",
            )
        if 300 <= reply.status < 400:
            target = reply.headers.get("location", "elsewhere")
            raise EngineFailed(
                f"{url} redirects to {target}", hint="use the address it really lives at"
            )
        if reply.status != 200:
            raise EngineFailed(
                f"{url} is no model server: GET /v1/models answered {reply.status}",
                hint="check the address; it is written without /v1",
            )
        data = reply.json()
    except web.WebFault as fault:
        raise EngineFailed(str(fault), hint="is the engine running at this address?") from fault
    rows = data.get("data") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise EngineFailed(f"{url} is no model server: its model list has no `data`")
    return [row for row in rows if isinstance(row, dict)]


def _kind(rows: Sequence[dict[str, Any]]) -> Kind:
    owners = [row.get("owned_by") for row in rows]  # whatever type a server puts there
    if "llamacpp" in owners:
        return "llama.cpp"
    if "vllm" in owners:
        return "vllm"
    if "library" in owners:  # what Ollama's /v1/models says of its own models
        return "ollama"
    return "unknown"


def _context(row: dict[str, Any]) -> int | None:
    meta = row.get("meta")
    for value in (
        row.get("max_model_len"),
        meta.get("n_ctx") if isinstance(meta, dict) else None,
        row.get("context_length"),
    ):
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def _has_wire(url: str, wire: Wire, key: str) -> bool:
    """An empty request is refused by a wire that exists, and not found by one that does not."""
    try:
        reply = web.request("POST", url + WIRE_PATHS[wire], json_body={}, headers=_headers(key))
    except web.WebFault:
        return False
    return reply.status not in {404, 405, 501}


def _headers(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


@dataclass(frozen=True, slots=True)
class Remote:
    """A server somebody else runs, as an `Engine`."""

    facts: RemoteFacts
    name: str = "remote"

    def states(self) -> tuple[EngineState, ...]:
        """The server as it was when it was probed."""
        loaded = tuple(Loaded(m.name, m.context_tokens, None, None) for m in self.facts.models)
        return (EngineState(self.name, "remote", None, self.facts.url, self.facts.wires, loaded),)

    def serve(self, request: ServeRequest) -> Work[Served]:
        """Nothing to start: the model is there, or it is not (`ModelUnavailable`)."""
        yield Progress(f"asking {self.facts.url}")
        model = self.facts.pick(request.model)
        return Served(
            engine=self.name,
            endpoint=Endpoint(self.facts.url, self.facts.wires, model.name, self.facts.key),
            context_tokens=model.context_tokens,
            version=None,
            reused=True,
        )
