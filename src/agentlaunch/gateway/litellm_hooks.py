"""Our part of LiteLLM's process: the events, the switches, the day's cap, and the idle end.

A stand-alone module beside the gateway's configuration: standard library and LiteLLM only, since
LiteLLM has an environment of its own. What it must know lies in the file that `AL_GATEWAY_FACTS`
names (`config.facts`). No prompt and no reply is ever written, and a failure of ours never becomes
one of the request. Facts about LiteLLM: version 1.106.2, run.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

try:
    from litellm.integrations.custom_logger import CustomLogger  # type: ignore[import-not-found]
except ImportError:  # our own tests: LiteLLM is in an environment of its own
    CustomLogger = object

Document = dict[str, Any]

FACTS = "AL_GATEWAY_FACTS"
MOST_EVENT_BYTES = 32 << 20
"""Of one file; the one before it is kept."""
LOOK_S = 2.0
"""How often it is looked whether anybody needs us."""
END_S = 30.0
FORGOTTEN_S = 3600.0
"""A request that has not ended by then is not waited for any more."""
MOST_USD = 1e9
RESERVED_OUTPUT_TOKENS = 4096
"""What a request under way is thought to answer, where it asks for more."""

ALONE = ".alone"
WIRES = ("acompletion", "anthropic_messages", "aresponses", "completion", "responses")
"""What LiteLLM calls requests of the three wires; nothing else goes through."""
NOT_THE_CALLERS = frozenset(
    {
        "fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "default_fallbacks",
        "max_fallbacks", "fallback_depth", "attempted_targets", "disable_fallbacks", "api_base",
        "base_url", "api_key", "api_version", "organization", "model_list", "user_config",
        "router_settings_override", "custom_llm_provider", "deployment_id", "specific_deployment",
        "litellm_params", "litellm_credential_name", "model_info", "model_file_id_mapping",
        "num_retries", "max_retries", "retry_policy", "retry_strategy", "timeout",
        "stream_timeout", "request_timeout", "mock_response", "mock_tool_calls", "mock_timeout",
        "mock_delay", "mock_testing_fallbacks", "mock_testing_context_fallbacks",
        "mock_testing_content_policy_fallbacks", "mock_testing_rate_limit_error", "extra_headers",
        "headers", "tags", "guardrails", "callbacks", "success_callback", "failure_callback",
        "cache", "caching", "cooldown_time", "use_chat_completions_api", "use_in_pass_through",
        "input_cost_per_token", "output_cost_per_token", "client", "proxy_url",
    }
)  # fmt: skip
"""Fields of a body by which LiteLLM would route it otherwise: `fallbacks` of a request is honoured
for every model of the file, and took a prompt past its chain (seen)."""

OF_THE_WIRES = frozenset({"metadata", "litellm_metadata", "id"})

# ---- values -----------------------------------------------------------------------------------


def usage_of(told: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Tokens of a reply: input, of them cached, of them newly written to a cache, output."""
    details = told.get("prompt_tokens_details")
    details = details if isinstance(details, Mapping) else {}
    cached = _count(details.get("cached_tokens")) or _count(told.get("cache_read_input_tokens"))
    written = _count(told.get("cache_creation_input_tokens")) or _count(
        details.get("cache_creation_tokens")
    )
    given = _count(told.get("prompt_tokens"))
    return given, min(cached, given), written, _count(told.get("completion_tokens"))


def cost_usd(
    hop: Mapping[str, Any], given: int, cached: int, written: int, output: int
) -> float | None:
    """What a call cost at the hop's own prices; 0 for an engine of one's own, None if unknown."""
    if not hop.get("managed"):
        return 0.0
    price = hop.get("price")
    if not isinstance(price, Mapping):
        return None
    input_usd = float(price["input_usd"])
    read_usd = _price(price.get("cached_input_usd"), input_usd)
    write_usd = _price(price.get("cache_write_usd"), input_usd)
    fresh = max(0, given - cached - written)
    total = fresh * input_usd + cached * read_usd + written * write_usd
    return (total + output * float(price["output_usd"])) / 1e6


def estimate_usd(hop: Mapping[str, Any], request: Mapping[str, Any]) -> float:
    """What a request under way may cost: four bytes a token, and an answer of some length."""
    parts = [request.get(name) for name in ("messages", "input", "system", "instructions", "tools")]
    given = sum(len(str(part)) for part in parts if part) // 4
    limits = [_count(request.get(name)) for name in LIMITS]
    output = min([limit for limit in limits if limit] + [RESERVED_OUTPUT_TOKENS])
    return cost_usd(hop, given, 0, 0, output) or 0.0


LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


def limited(hop: Mapping[str, Any], request: Mapping[str, Any]) -> Document:
    """The limits of a request that are more than a hop can answer, as they must be there."""
    most = _count(hop.get("max_output_tokens"))
    return {name: most for name in LIMITS if most and _count(request.get(name)) > most}


def reason_of(hop: Mapping[str, Any], kind: str, status: int | None, message: str) -> str:
    """Why a hop did not answer, in words; nothing of `message` is in it."""
    name = str(hop.get("name", ""))
    said = message.lower()
    if kind == "ContextWindowExceededError":
        return OVERFLOW
    if kind == "Timeout" or status == 408:
        return f"{name} was silent for {hop.get('silence_s')} s"
    if any(words in said for words in _UNREACHABLE):
        return f"{name} refused the connection"
    if "disconnected" in said or "connection reset" in said or "closed" in said:
        return f"{name} broke the connection off"
    if status in {401, 403}:
        return f"{name} refused the key (HTTP {status})"
    if status == 400:
        return f"{name} refused the request (HTTP 400)"
    if status == 429:
        return f"{name} takes no more requests for now (HTTP 429)"
    return f"{name} answered with an error (HTTP {status})" if status else f"{name} failed"


OVERFLOW = "the prompt is larger than its context"
_UNREACHABLE = (
    "cannot connect to host", "connection refused", "connect call failed", "connection error",
    "name or service not known", "all connection attempts failed",
)  # fmt: skip


def without_routing(data: Document, owned: frozenset[str]) -> None:
    """Take out of a request what is not its sender's to say.

    `owned` are the fields that LiteLLM takes for itself; it adds some of them, so that of those
    only what really came goes.
    """
    came = (data.get("proxy_server_request") or {}).get("body") or {}
    for name in list(data):
        if name in NOT_THE_CALLERS or name.startswith("mock_") or (name in owned and name in came):
            del data[name]


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _price(value: object, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) else otherwise


# ---- the file of events -----------------------------------------------------------------------


class Ledger:
    """The events of every gateway of this user, and what of the day's money they tell."""

    def __init__(self, path: Path, today: Callable[[], date] = date.today) -> None:
        self._path = path
        self._today = today
        self._day = today()
        self._spent = 0.0
        self._unwritten = 0.0
        self._read: tuple[int, int] = (0, 0)
        """Number of the file (inode) and up to where it was read."""

    def add(self, row: Document) -> None:
        """Append one line; where that fails, what it cost still counts."""
        line = json.dumps(row, separators=(",", ":")).encode() + b"\n"
        try:
            self._rotate()
            opened = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(opened, line)
            finally:
                os.close(opened)
        except OSError:
            self._unwritten += _cost(row)

    def spent_usd(self) -> float:
        """What managed calls cost today, of all gateways that write here."""
        today = self._today()
        if today != self._day:
            self._day, self._spent, self._unwritten = today, 0.0, 0.0
        with contextlib.suppress(OSError):
            self._catch_up()
        return self._spent + self._unwritten

    def _catch_up(self) -> None:
        status = self._path.stat()
        number, offset = self._read
        if number != status.st_ino or status.st_size < offset:  # the first look, or rotated
            self._spent = _sum(_old(self._path), 0, self._day)[0]
            offset = 0
        elif status.st_size == offset:
            return
        more, end = _sum(self._path, offset, self._day)
        self._spent += more
        self._read = (status.st_ino, end)

    def _rotate(self) -> None:
        if not self._path.exists() or self._path.stat().st_size < MOST_EVENT_BYTES:
            return
        with _locked(self._path.with_suffix(".lock")):
            if self._path.stat().st_size >= MOST_EVENT_BYTES:  # no other gateway did it
                self._path.replace(_old(self._path))


def _old(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


def _sum(path: Path, offset: int, day: date) -> tuple[float, int]:
    """What the managed calls of a day cost from `offset` on, and where the last whole line ends."""
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            data = stream.read()
    except OSError:
        return 0.0, offset
    data = data[: data.rfind(b"\n") + 1]
    total = 0.0
    for line in data.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            row = json.loads(line)
            if isinstance(row, dict) and _cost(row) and _day_of(row) == day:
                total += _cost(row)
    return total, offset + len(data)


def _cost(row: Document) -> float:
    value = row.get("cost_usd")
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or row.get("managed") is not True
    ):
        return 0.0
    return float(value) if 0 <= value < MOST_USD else 0.0  # JSON of Python has NaN, too


def _day_of(row: Document) -> date | None:
    return datetime.fromisoformat(str(row.get("at"))).astimezone().date()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def write_whole(path: Path, value: Document) -> None:
    """A JSON document, whole or not at all, for this user alone."""
    handle, name = tempfile.mkstemp(prefix=".agentlaunch-", dir=path.parent)
    with os.fdopen(handle, "wb") as stream:
        stream.write(json.dumps(value).encode() + b"\n")
    os.replace(name, path)  # noqa: PTH105 - the system call is the point


def now() -> str:
    """This moment as the events tell it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


# ---- where the roles are ----------------------------------------------------------------------


class Place:
    """Which hop answers for a role. No dataclass: LiteLLM runs this file as no module of `sys`."""

    def __init__(self, own_id: str, why: str = "") -> None:
        self.own_id = own_id
        self.since = now()
        self.changed_at = time.monotonic()
        self.why = why
        """The last reason to leave a better one."""


class Call:
    """A request under way."""

    def __init__(self, asked: str) -> None:
        self.asked = asked
        """The name that it asked for."""
        self.started = self.tried_at = time.monotonic()
        self.reserved_usd = 0.0
        self.own_id = ""
        """What began to answer."""
        self.left_out = False
        """A managed hop was left out for the day's money."""


class Gateway:
    """Everything that is known of this gateway, without LiteLLM."""

    def __init__(self, facts: Document) -> None:
        self.hops: dict[str, Document] = facts["hops"]
        self.cap_usd: float | None = facts.get("cap_usd")
        self.cap_origin = str(facts.get("cap_origin") or "")
        self.names: dict[str, str] = facts["names"]
        """The role of each name that stands for one."""
        self.alone: dict[str, str] = facts["alone"]
        """The one deployment of each name that stands for it by itself."""
        self.ledger = Ledger(Path(facts["events"]))
        self.calls: dict[str, Call] = {}
        self.used_at = time.monotonic()
        self._status = Path(facts["state"])
        self._failures: dict[str, str] = {}
        self._last: Document | None = None
        self._requests = 0
        self._roles = {
            hop["role"]: Place(own_id)
            for own_id, hop in self.hops.items()
            if hop["position"] == 1 and not own_id.endswith(ALONE)
        }
        self._write_status()

    # -- requests

    def serves(self, asked: str) -> bool:
        """Is it a name of ours?"""
        return asked in self.names or asked in self.alone

    def begin(self, call_id: str, asked: str) -> None:
        """A request has come."""
        self.used_at = time.monotonic()
        self.calls[call_id] = Call(asked)

    def attempt(self, call_id: str, own_id: str, request: Mapping[str, Any]) -> Document:
        """A hop is asked; what of the request must be otherwise there."""
        hop = self.hops.get(own_id)
        call = self.calls.get(call_id)
        if hop is None:
            return {}
        if call is not None:
            call.tried_at = time.monotonic()
            call.reserved_usd = estimate_usd(hop, request) if hop["managed"] else 0.0
        return limited(hop, request)

    def failed(self, own_id: str, kind: str, status: int | None, message: str) -> None:
        """A hop did not answer."""
        if own_id in self.hops:
            self._failures[own_id] = reason_of(self.hops[own_id], kind, status, message)

    def answers(self, call_id: str, own_id: str) -> None:
        """The first of an answer is there: notice when the role goes elsewhere now."""
        hop = self.hops.get(own_id)
        call = self.calls.get(call_id)
        if hop is None or call is None:
            return
        call.own_id = own_id
        if not self._is_for_its_role(call.asked, own_id):
            return
        place = self._roles[hop["role"]]
        if place.own_id == own_id or call.tried_at < place.changed_at:
            return
        before = self.hops[place.own_id]
        reason = self._why(place, before, hop)
        is_back = hop["position"] < before["position"]
        self._roles[hop["role"]] = Place(own_id, place.why if is_back else reason)
        row = {
            "kind": "switch",
            "at": now(),
            "role": hop["role"],
            "before": before["name"],
            "after": hop["name"],
            "reason": reason,
        }
        self._last = {name: value for name, value in row.items() if name != "kind"}
        self.ledger.add(row)
        self._write_status()

    def done(
        self, call_id: str, own_id: str, usage: tuple[int, int, int, int], took_s: float | None
    ) -> None:
        """The whole answer is there."""
        self.answers(call_id, own_id)
        hop = self.hops.get(own_id)
        if hop is None:
            return
        self._failures.pop(own_id, None)
        given, cached, written, output = usage
        spent = cost_usd(hop, given, cached, written, output)
        self._end(call_id, _row(hop, hop["role"], (given, cached, output), spent, took_s, 200))

    def gave_up(self, call_id: str, status: int) -> Call | None:
        """No hop answered, or the answer broke off: then its estimate counts as its cost."""
        call = self.calls.get(call_id)
        if call is None:
            return None
        took_s = round(time.monotonic() - call.started, 3)
        hop, role = self.hops.get(call.own_id), self._role_of(call.asked)
        spent = call.reserved_usd if hop else 0.0
        self._end(call_id, _row(hop, role, (0, 0, 0), spent, took_s, status))
        return call

    def _end(self, call_id: str, row: Document) -> None:
        self.used_at = time.monotonic()
        self.calls.pop(call_id, None)
        self._requests += 1
        self.ledger.add(row)
        self._write_status()

    # -- the day's cap

    def allowed(self, call_id: str, ids: list[str]) -> list[str]:
        """The hops of these that may be asked now."""
        if self.cap_usd is None or not any(self._is_managed(own_id) for own_id in ids):
            return ids
        reserved = sum(call.reserved_usd for call in self.calls.values())
        is_spent = self.ledger.spent_usd() + reserved >= self.cap_usd
        kept = []
        for own_id in ids:
            unknown = self._is_managed(own_id) and not self.hops[own_id].get("price")
            if not self._is_managed(own_id) or not (is_spent or unknown):
                kept.append(own_id)
                continue
            name = self.hops[own_id]["name"]
            rule = f"max_spend_per_day in {self.cap_origin or 'the policy'}"
            self._failures[own_id] = (
                f"the day's {self.cap_usd:.2f} USD are spent ({rule})"
                if is_spent
                else f"the price of {name} is not known, so that {rule} could not be kept"
            )
            if call_id in self.calls:
                self.calls[call_id].left_out = True
        return kept

    def why_none(self, asked: str) -> str:
        """What a client reads when no hop of its chain has answered."""
        alone = self.alone.get(asked)
        chain = sorted(
            (hop["position"], own_id)
            for own_id, hop in self.hops.items()
            if hop["role"] == self._role_of(asked) and not own_id.endswith(ALONE)
        )
        ids = [alone] if alone else [own_id for _position, own_id in chain]
        reasons = dict.fromkeys(self._failures[each] for each in ids if each in self._failures)
        return f"agentlaunch: no endpoint for {asked} answers: {'; '.join(reasons) or 'no reason'}"

    # -- words

    def _is_managed(self, own_id: str) -> bool:
        return bool(self.hops.get(own_id, {}).get("managed"))

    def _is_for_its_role(self, asked: str, own_id: str) -> bool:
        return not own_id.endswith(ALONE) and asked in self.names

    def _role_of(self, asked: str) -> str:
        own_id = self.alone.get(asked)
        return self.hops[own_id]["role"] if own_id else self.names.get(asked, "main")

    def _why(self, place: Place, before: Document, after: Document) -> str:
        if after["position"] > before["position"] or place.own_id in self._failures:
            return self._failures.get(place.own_id) or f"{before['name']} did not answer"
        if place.why == OVERFLOW:
            return f"the prompt fits into {after['name']} again"
        if place.why.startswith("the day's"):
            return "the day's money is there again"
        return f"{after['name']} answers again"

    def _write_status(self) -> None:
        with contextlib.suppress(OSError):
            write_whole(
                self._status,
                {
                    "roles": {
                        role: {
                            "hop": self.hops[place.own_id]["name"],
                            "model": self.hops[place.own_id]["model"],
                            "since": place.since,
                            "liked": self.hops[place.own_id]["position"] == 1,
                        }
                        for role, place in self._roles.items()
                    },
                    "last_switch": self._last,
                    "spent_today_usd": round(self.ledger.spent_usd(), 6),
                    "cap_usd": self.cap_usd,
                    "requests": self._requests,
                },
            )

    # -- the end

    def is_idle(self, idle_s: float) -> bool:
        """Has nobody asked for so long, and is nothing under way?"""
        old = time.monotonic() - FORGOTTEN_S
        for call_id in [each for each, call in list(self.calls.items()) if call.started < old]:
            self.calls.pop(call_id, None)
        return not self.calls and time.monotonic() - self.used_at >= idle_s


def _row(
    hop: Document | None,
    role: str,
    tokens: tuple[int, int, int],
    spent: float | None,
    took_s: float | None,
    status: int,
) -> Document:
    given, cached, output = tokens
    return {
        "kind": "request",
        "at": now(),
        "role": role,
        "hop": hop["name"] if hop else "",
        "model": hop["model"] if hop else "",
        "input_tokens": given,
        "cached_tokens": cached,
        "output_tokens": output,
        "cost_usd": spent,
        "managed": bool(hop and hop["managed"]),
        "local": bool(hop and hop["local"]),
        "took_s": took_s,
        "status": status,
    }


# ---- LiteLLM ----------------------------------------------------------------------------------


def quiet(hook: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """A hook whose own failure is nobody's: LiteLLM goes on as if it were not there."""

    @functools.wraps(hook)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return await hook(*args, **kwargs)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the request matters more
            sys.stderr.write(f"agentlaunch: {hook.__name__}: {type(fault).__name__}\n")
            return None

    return guarded


class Hooks(CustomLogger):  # type: ignore[misc]
    """The functions that LiteLLM calls, each of which only hands on to the `Gateway`."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        self.gateway = gateway
        self._owned = owned()

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: Document, call_type: str
    ) -> Any:
        """Before a request is routed: only what the agents need goes on."""
        asked = str(data.get("model"))
        if call_type not in WIRES or not self.gateway.serves(asked):
            names = ", ".join(self.gateway.names)
            raise refusal(404, f"agentlaunch: this gateway serves chat requests for {names}")
        without_routing(data, self._owned)
        self.gateway.begin(str(data.get("litellm_call_id")), asked)
        return data

    async def async_filter_deployments(
        self,
        model: str,
        healthy_deployments: list[Document],
        messages: Any,
        request_kwargs: Document | None = None,
        parent_otel_span: Any = None,
    ) -> list[Document]:
        """Which deployments of a group may be asked."""
        ids = [str(row["model_info"]["id"]) for row in healthy_deployments]
        call_id = str((request_kwargs or {}).get("litellm_call_id"))
        allowed = self.gateway.allowed(call_id, ids)
        return [row for row in healthy_deployments if str(row["model_info"]["id"]) in allowed]

    @quiet
    async def async_pre_call_deployment_hook(self, kwargs: Document, call_type: Any) -> Any:
        """A deployment is about to be asked."""
        own_id = str((kwargs.get("model_info") or {}).get("id"))
        changed = self.gateway.attempt(str(kwargs.get("litellm_call_id")), own_id, kwargs)
        return {**kwargs, **changed} if changed else None

    @quiet
    async def async_post_call_failure_deployment_hook(
        self,
        request_data: Mapping[str, Any],
        exception: Exception,
        call_type: Any,
        fallback_depth: int | None = None,
    ) -> None:
        """A deployment has failed."""
        own_id = str((request_data.get("model_info") or {}).get("id"))
        status = getattr(exception, "status_code", None)
        self.gateway.failed(own_id, type(exception).__name__, status, str(exception))

    @quiet
    async def async_post_call_response_headers_hook(
        self,
        data: Document,
        user_api_key_dict: Any,
        response: Any,
        request_headers: Any = None,
        litellm_call_info: Mapping[str, Any] | None = None,
    ) -> None:
        """An answer begins."""
        own_id = (litellm_call_info or {}).get("model_id")
        if response is not None and own_id:
            self.gateway.answers(str(data.get("litellm_call_id")), str(own_id))

    @quiet
    async def async_log_success_event(
        self, kwargs: Document, response_obj: Any, start_time: datetime, end_time: datetime
    ) -> None:
        """An answer is whole."""
        told = kwargs.get("standard_logging_object") or {}
        usage = (told.get("metadata") or {}).get("usage_object") or {}
        took_s = round((end_time - start_time).total_seconds(), 3)
        self.gateway.done(
            str(kwargs.get("litellm_call_id")), str(told.get("model_id")), usage_of(usage), took_s
        )

    async def async_post_call_failure_hook(
        self,
        request_data: Document,
        original_exception: Exception,
        user_api_key_dict: Any,
        traceback_str: str | None = None,
    ) -> Any:
        """No deployment has answered."""
        status = _status(original_exception)
        call = self.gateway.gave_up(str(request_data.get("litellm_call_id")), status)
        kind = type(original_exception).__name__
        if call is None or call.own_id or kind == "ContextWindowExceededError":
            return None  # agents know how LiteLLM says that a prompt is too long
        # 402 where money is missing: agents try 429 and 5xx again and again.
        status = 402 if call.left_out else status
        message = self.gateway.why_none(call.asked)
        with contextlib.suppress(AttributeError):  # /v1/messages shows the fault itself
            original_exception.message = message  # type: ignore[attr-defined]
            original_exception.status_code = status  # type: ignore[attr-defined]
        return refusal(status, message)


def _status(fault: Exception) -> int:
    """What the client is told: that its request is wrong, or else that nobody is there now.

    LiteLLM itself hands on the 401 of an endpoint, at which agents ask for another key, and says
    429 while it leaves all alone, of which Codex makes "high demand".
    """
    status = getattr(fault, "status_code", None)
    return status if status in _ITS_OWN_FAULT else 503


_ITS_OWN_FAULT = (400, 404, 405, 413, 415, 422)


def refusal(status: int, message: str) -> Exception:
    """An answer that is an error, as LiteLLM takes it from a hook."""
    from fastapi import HTTPException  # type: ignore[import-not-found]

    fault: Exception = HTTPException(status, message)
    return fault


def owned() -> frozenset[str]:
    """What LiteLLM takes for itself of a body: by its own list, but for fields of the wires."""
    from litellm.types.utils import all_litellm_params  # type: ignore[import-not-found]

    return frozenset(all_litellm_params) - OF_THE_WIRES


def watch(gateway: Gateway, facts: Document) -> None:
    """End this process when nobody needs it any more.

    How to learn whether a session lives is known to the code of our own engine's process.
    """
    spec = importlib.util.spec_from_file_location("al_host", facts["leases_code"])
    if spec is None or spec.loader is None:
        raise ImportError(facts["leases_code"])
    host = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = host
    spec.loader.exec_module(host)
    leases, lock = host.Leases(Path(facts["leases"])), facts.get("lock")
    while True:
        time.sleep(LOOK_S)
        if leases.alive():
            gateway.used_at = time.monotonic()
        if not gateway.is_idle(facts["idle_s"]):
            continue
        with host.try_lock(Path(lock)) if lock else contextlib.nullcontext(True) as held:
            if held and not leases.alive():  # no launch is about to use us
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(END_S)  # a launch that waits for the lock finds us gone


def start() -> Hooks | None:
    """The hooks of this process; None where no file of facts is named."""
    place = os.environ.get(FACTS)
    if not place:
        return None
    facts = json.loads(Path(place).read_bytes())
    gateway = Gateway(facts)
    if facts.get("idle_s"):
        threading.Thread(target=watch, args=(gateway, facts), daemon=True, name="idle").start()
    return Hooks(gateway)


instance = start()
