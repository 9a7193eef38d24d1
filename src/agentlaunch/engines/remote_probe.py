"""Ask a server what it is, which wires it has and what it serves; nothing is started or changed.

Every request goes to the one address that was asked for, and so does the key: a redirect is an
error. What a server is, it says itself (`owned_by`); a preset only decides where it says nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from agentlaunch import keys, policy, web
from agentlaunch.endpoint import TokenHeader, Wire
from agentlaunch.engines import remote_replies as replies
from agentlaunch.engines.presets import Kind, Preset, Target
from agentlaunch.engines.remote_facts import RemoteFacts, RemoteModel
from agentlaunch.errors import AuthNeeded, EngineFailed
from agentlaunch.keys import KEY_VARIABLE

WIRE_PATHS: dict[Wire, str] = {
    "anthropic_messages": "/v1/messages",
    "openai_responses": "/v1/responses",
    "openai_chat": "/v1/chat/completions",
}
ALL_WIRES: tuple[Wire, ...] = tuple(WIRE_PATHS)

OPENAI_WIRES: tuple[Wire, ...] = ("openai_responses", "openai_chat")
ENGINES = "/engines"
"""Below it, Docker Model Runner has its OpenAI wires; newer ones also have them at the root."""

ANTHROPIC_VERSION = "2023-06-01"
LONG_LIST_BYTES = 16 << 20
TRY_AGAIN = "it may be busy or starting: try again"
PROBE_S = 10.0
"""How long a whole probe may take for a launch."""
REQUEST_S = 5.0
FIRST_REQUEST_S = 40.0
"""LiteLLM's very first request can take half a minute (seen, 1.106.2): a launch waits for it."""
MOST_PAGES = 10
_BUSY = frozenset({502, 503, 504})
"""A server that starts, or the gateway before one: llama.cpp says 503 while it loads its model."""


@dataclass(frozen=True, slots=True)
class _Asker:
    """One server, one key: how every request of a probe goes out."""

    url: str
    key: str
    token_header: TokenHeader
    hosted: bool
    variables: tuple[str, ...]
    until: float
    """When the probe must be over, by `time.monotonic`."""

    @property
    def headers(self) -> dict[str, str]:
        if self.token_header == "x-api-key":  # noqa: S105 - the name of a header
            return {"x-api-key": self.key, "anthropic-version": ANTHROPIC_VERSION}
        return {"authorization": f"Bearer {self.key}"} if self.key else {}

    def get(self, path: str) -> web.Reply:
        """Raises `web.WebFault`."""
        if not self.hosted:
            left_s = min(REQUEST_S, self.left_s)
            return web.request("GET", self.url + path, headers=self.headers, deadline_s=left_s)
        return web.request(
            "GET",
            self.url + path,
            headers=self.headers,
            connect_s=self.left_s,
            deadline_s=self.left_s,
            limit_bytes=LONG_LIST_BYTES,
        )

    @property
    def left_s(self) -> float:
        """Seconds that are left. Raises `web.WebFault` when none are."""
        left_s = self.until - time.monotonic()
        if left_s <= 0:
            host = urlsplit(self.url).netloc
            raise web.WebFault("timeout", f"{host} did not answer everything in time")
        return left_s

    def busy(self, status: int) -> EngineFailed:
        return EngineFailed(
            f"{self.url} is not ready ({status})", hint=TRY_AGAIN, code="engine-busy"
        )

    def look(self, path: str) -> Any:
        """What stands at a path that not every version has; None for anything but JSON."""
        try:
            reply = self.get(path)
            return reply.json() if reply.status == 200 else None
        except web.WebFault:
            return None

    def denied(self, status: int) -> AuthNeeded:
        return AuthNeeded(
            f"{self.url} {'rejected the key' if self.key else 'wants a key'} ({status})",
            hint=self.how_to_give_a_key,
        )

    @property
    def how_to_give_a_key(self) -> str:
        name = next((name for name in self.variables if name != KEY_VARIABLE), KEY_VARIABLE)
        keep = f"agentlaunch config set-key {policy.origin(self.url)}"
        return f"export {name}=… and run the same command again, or keep it once: {keep}"


def probe(
    url: str,
    *,
    key: str = "",
    wires: Sequence[Wire] = ALL_WIRES,
    preset: Preset | None = None,
    deadline_s: float = PROBE_S,
) -> RemoteFacts:
    """Ask a server what it is and serves; `wires` are the ones worth knowing about, `deadline_s`
    bounds all of it together.

    Raises `EngineFailed` (nothing there, not a model server) and `AuthNeeded`.
    """
    if key:
        keys.check(key)
    ask = _Asker(
        url,
        key,
        preset.token_header if preset is not None else "bearer",
        preset is not None and preset.hosted,
        Target(url, preset).key_variables,
        time.monotonic() + deadline_s,
    )
    if ask.hosted and not key:
        raise AuthNeeded(
            f"{preset.title if preset else url} wants a key",
            hint=ask.how_to_give_a_key,
        )
    listed, below = _listed(ask, preset.models if preset is not None else "/v1/models")
    kind = replies.kind_of(listed)
    if preset is not None and (kind == "unknown" or preset.is_at(url)):
        kind = preset.kind
    if kind == "unknown":
        kind = _by_its_own_api(ask)
    if kind == "openrouter":
        _check_openrouter_key(ask)
    rows = [row for row in listed if replies.offered(row, kind)]
    models = replies.distinct(replies.model(row) for row in rows)
    bases = _bases(ask, kind, below)
    known = preset.wires if preset is not None and preset.hosted else ()
    if not known:
        if kind == "litellm" and deadline_s >= PROBE_S:
            ask = replace(ask, until=time.monotonic() + FIRST_REQUEST_S)
        known = _wires(ask, dict(bases), wires)
    models, version = _details(ask, kind, models)
    return RemoteFacts(
        url, kind, known, models, key, version=version, bases=bases, token_header=ask.token_header
    )


# --- the model list ------------------------------------------------------------------------------


def _listed(ask: _Asker, path: str) -> tuple[list[dict[str, Any]], str]:
    """All rows of the model list, and the folder in which it stood ("" or "/engines")."""
    for below in ("", ENGINES):
        if below and ask.hosted:
            break
        value = _page(ask, below + path, may_miss=not below)
        if value is not None:
            found = replies.rows(value)
            return found + _more_pages(ask, path, value), below
    raise EngineFailed(
        f"{ask.url} is no model server: GET {path} answered 404",
        hint="check the address; it is written without /v1",
    )


def _page(ask: _Asker, path: str, *, may_miss: bool = False) -> dict[str, Any] | None:
    """One reply that is a model list; None for 404 where another place may have it.

    Raises `EngineFailed` and `AuthNeeded`.
    """
    url = ask.url
    try:
        reply = ask.get(path)
        if reply.status in {401, 403} or _litellm_denies(ask, reply):
            raise ask.denied(reply.status)
        if 300 <= reply.status < 400:
            target = reply.headers.get("location", "elsewhere")
            raise EngineFailed(
                f"{url} redirects to {target}", hint="use the address it really lives at"
            )
        if reply.status == 404 and may_miss:
            return None
        if reply.status in _BUSY:
            raise ask.busy(reply.status)
        if reply.status == 429 or reply.status >= 500:
            raise EngineFailed(
                f"{url} cannot say what it serves: its model list answered {reply.status}",
                hint=TRY_AGAIN,
            )
        if reply.status != 200:
            raise EngineFailed(
                f"{url} is no model server: GET {path.split('?')[0]} answered {reply.status}",
                hint="check the address; it is written without /v1",
            )
        value = reply.json()
    except web.WebFault as fault:
        text = f"{url} is no model server: {fault}" if fault.kind == "not-json" else str(fault)
        raise EngineFailed(text, hint=_nothing_there(fault)) from fault
    if not isinstance(value, dict) or not _is_list(value):
        raise EngineFailed(f"{url} is no model server: its model list has no `data`")
    return value


def _is_list(value: dict[str, Any]) -> bool:
    """Ollama without a model answers `{"object": "list", "data": null}` (seen with 0.33)."""
    data = value.get("data")
    return isinstance(data, list) or (data is None and value.get("object") == "list")


def _nothing_there(fault: web.WebFault) -> str:
    if fault.kind == "not-json":
        return "another program or a sign-in page answers there; check the address"
    if fault.kind == "timeout":
        return f"is the engine running at this address? {TRY_AGAIN}"
    if fault.kind == "name":
        return "check the network and how the name is written, or: --engine local"
    return "is the engine running at this address?"


def _more_pages(ask: _Asker, path: str, value: dict[str, Any]) -> list[dict[str, Any]]:
    """The rest of a list in pages: Anthropic's `has_more`, OpenRouter's `links.next`."""
    found: list[dict[str, Any]] = []
    for _ in range(MOST_PAGES):
        following = _next_page(ask, path, value)
        if following is None:
            break
        page = _page(ask, following)
        if page is None:
            break
        value = page
        found += replies.rows(value)
    return found


def _next_page(ask: _Asker, path: str, value: dict[str, Any]) -> str | None:
    last = value.get("last_id")
    if value.get("has_more") is True and isinstance(last, str) and last:
        return f"{path}{'&' if '?' in path else '?'}after_id={quote(last, safe='')}"
    links = value.get("links")
    target = links.get("next") if isinstance(links, dict) else None
    if not isinstance(target, str) or not target:
        return None
    try:
        url = urljoin(ask.url + path, target)
        here = policy.origin(url) == policy.origin(ask.url)
    except ValueError:
        return None
    base = urlsplit(ask.url).path
    parts = urlsplit(url)
    if not here or not parts.path.startswith(base + "/"):  # the key stays with its own host
        return None
    return parts.path[len(base) :] + (f"?{parts.query}" if parts.query else "")


def _litellm_denies(ask: _Asker, reply: web.Reply) -> bool:
    """LiteLLM without a database answers 400 to a wrong key and 500 to none (seen, 1.106.2)."""
    if reply.status == 400 and b"no_db_connection" in reply.body:
        return True
    return reply.status == 500 and not ask.key and _is_litellm(ask)


def _is_litellm(ask: _Asker) -> bool:
    """By its liveliness, which needs no key and says nothing of models (seen, 1.106.2)."""
    return not ask.hosted and ask.look("/health/liveliness") == "I'm alive!"


def _by_its_own_api(ask: _Asker) -> Kind:
    """What a server is whose list does not say it.

    Ollama names the owner of a model there, which is `library` only for its own (seen, 0.33.0).
    """
    held = ask.look("/api/ps")
    if isinstance(held, dict) and isinstance(held.get("models"), list):
        return "ollama"
    return "litellm" if _is_litellm(ask) else "unknown"


def _check_openrouter_key(ask: _Asker) -> None:
    """Its model list is open to everybody, so the key is asked after by itself."""
    try:
        reply = ask.get("/v1/key")
    except web.WebFault as fault:
        raise EngineFailed(str(fault), hint="try again") from fault
    if reply.status in {401, 403}:
        raise ask.denied(reply.status)


# --- wires ---------------------------------------------------------------------------------------


def _bases(ask: _Asker, kind: Kind, below: str) -> tuple[tuple[Wire, str], ...]:
    if kind != "docker-model-runner" and not below:
        return ()
    return tuple((wire, ask.url + ENGINES) for wire in OPENAI_WIRES)


def _wires(ask: _Asker, bases: Mapping[Wire, str], wanted: Sequence[Wire]) -> tuple[Wire, ...]:
    """Those of the wanted that are there, asked side by side."""
    if not wanted:
        return ()
    with ThreadPoolExecutor(max_workers=len(wanted), thread_name_prefix="wires") as pool:
        there = pool.map(lambda wire: _has_wire(ask, bases.get(wire, ask.url), wire), wanted)
        return tuple(wire for wire, found in zip(wanted, there, strict=True) if found)


def _has_wire(ask: _Asker, base: str, wire: Wire) -> bool:
    """An empty request is refused by a wire that exists, and not found by one that does not.

    LM Studio answers 200 with an `error` where it has nothing (its log says so).
    """
    try:
        reply = web.request(
            "POST",
            base + WIRE_PATHS[wire],
            json_body={},
            headers=ask.headers,
            deadline_s=ask.left_s,
        )
    except web.WebFault as fault:
        if fault.kind == "timeout":  # slow is not the same as missing
            raise EngineFailed(str(fault), hint=TRY_AGAIN) from fault
        return False
    if reply.status in {401, 403}:
        raise ask.denied(reply.status)
    if reply.status in _BUSY:
        raise ask.busy(reply.status)
    if reply.status == 200:
        return b"Unexpected endpoint" not in reply.body
    return not 300 <= reply.status < 400 and reply.status not in {404, 405, 501}


# --- what a server knows beyond its list ---------------------------------------------------------


def _details(
    ask: _Asker, kind: Kind, models: tuple[RemoteModel, ...]
) -> tuple[tuple[RemoteModel, ...], str | None]:
    """The models with what this kind of server tells elsewhere, and its version if it says one."""
    if kind == "llama.cpp":
        props = ask.look("/props")
        if len(models) == 1 and isinstance(props, dict):
            return (replies.with_props(models[0], props),), None
    elif kind == "vllm":
        return models, _text(ask.look("/version"), "version")
    elif kind == "ollama":
        held = replies.ollama_loaded(ask.look("/api/ps"))
        version = _text(ask.look("/api/version"), "version")
        return tuple(
            replace(row, context_tokens=held.get(row.name), loaded=row.name in held)
            for row in models
        ), version
    elif kind == "lm-studio":
        return _of_lm_studio(ask, models), None
    elif kind == "llama-swap":
        return _of_llama_swap(ask, models), None
    elif kind == "litellm":
        return _of_litellm(ask, models), None
    elif kind == "anthropic":
        return tuple(
            replace(row, tools=True, context_tokens=row.context_tokens or 200_000) for row in models
        ), None
    return models, None


def _of_lm_studio(ask: _Asker, models: tuple[RemoteModel, ...]) -> tuple[RemoteModel, ...]:
    value = ask.look("/api/v1/models") or ask.look("/api/v0/models")
    known = {name: row for names, row in replies.lm_studio(value) for name in names}
    found = []
    for one in models:
        row = known.get(one.name, one)
        if row is not None:
            found.append(replace(row, name=one.name))
    return tuple(found)


def _of_llama_swap(ask: _Asker, models: tuple[RemoteModel, ...]) -> tuple[RemoteModel, ...]:
    """Only of what runs: asking for another model's properties would load it."""
    runs = replies.running(ask.look("/running"))
    found = []
    for one in models:
        row = replace(one, loaded=one.name in runs)
        if row.loaded:
            props = ask.look(f"/upstream/{quote(one.name, safe='/')}/props")
            row = replies.with_props(row, props) if isinstance(props, dict) else row
        found.append(row)
    return tuple(found)


def _of_litellm(ask: _Asker, models: tuple[RemoteModel, ...]) -> tuple[RemoteModel, ...]:
    known: Mapping[str, RemoteModel | None] = dict(replies.litellm(ask.look("/model/info")))
    found = []
    for one in models:
        row = known.get(one.name, one)
        if row is not None:
            found.append(replace(row, context_tokens=row.context_tokens or one.context_tokens))
    return tuple(found)


def _text(value: Any, name: str) -> str | None:
    said = value.get(name) if isinstance(value, dict) else None
    return said[:40] if isinstance(said, str) else None
