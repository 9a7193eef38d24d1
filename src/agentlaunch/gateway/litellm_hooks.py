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
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

Document = dict[str, Any]

FACTS = "AL_GATEWAY_FACTS"


def load(name: str, place: str) -> ModuleType:
    """A stand-alone file of ours as a module."""
    spec = importlib.util.spec_from_file_location(f"al_{name}", place)
    if spec is None or spec.loader is None:
        raise ImportError(place)
    made = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def read_facts() -> Document | None:
    """What we must know; None where no file of facts is named, as in our own tests."""
    place = os.environ.get(FACTS)
    if not place:
        return None
    value: Document = json.loads(Path(place).read_bytes())
    return value


facts = read_facts()
try:
    from litellm.integrations.custom_logger import CustomLogger  # type: ignore[import-not-found]
except ImportError:
    CustomLogger = object
if facts is None:
    from agentlaunch.gateway import account, answering
else:
    account, answering = (load(name, facts["code"][name]) for name in ("account", "answering"))

LOOK_S = 2.0
"""How often it is looked whether anybody needs us."""
END_S = 30.0
"""How long the end may take: LiteLLM closes what it has open."""
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
        "extra_body", "extra_query", "models", "route", "provider", "preset",
    }
)  # fmt: skip
"""Fields of a body by which LiteLLM would route it otherwise: `fallbacks` of a request is honoured
for every model of the file, and took a prompt past its chain (seen). What `extra_body` holds is
written over the endpoint's own model, and OpenRouter takes others from `models` and `preset`."""

OF_THE_WIRES = frozenset({"metadata", "litellm_metadata", "id"})
"""Fields that it claims for itself and that the wires have, too."""


def without_routing(data: Document, owned: frozenset[str]) -> None:
    """Take out of a request what is not its sender's to say.

    `owned` are the fields that LiteLLM takes for itself; it adds some of them, so that of those
    only what really came goes.
    """
    came = (data.get("proxy_server_request") or {}).get("body") or {}
    for name in list(data):
        if name in NOT_THE_CALLERS or name.startswith("mock_") or (name in owned and name in came):
            del data[name]


def complain(what: str, fault: Exception) -> None:
    """Into the log: what has failed, and nothing of the request that may be in its message."""
    sys.stderr.write(f"agentlaunch: {what}: {type(fault).__name__}\n")


def quiet(hook: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """A hook whose own failure is nobody's: LiteLLM goes on as if it were not there."""

    @functools.wraps(hook)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return await hook(*args, **kwargs)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the request matters more
            complain(hook.__name__, fault)
            return None

    return guarded


class Hooks(CustomLogger):  # type: ignore[misc]
    """The functions that LiteLLM calls, each of which only hands on to the `Gateway`."""

    def __init__(self, gateway: answering.Gateway) -> None:
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
        try:
            allowed = self.gateway.allowed(call_id, ids)
        except Exception as fault:  # noqa: BLE001 - in doubt no money is spent
            complain("async_filter_deployments", fault)
            allowed = self.gateway.free(ids)
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
            str(kwargs.get("litellm_call_id")),
            str(told.get("model_id")),
            account.usage_of(usage),
            took_s,
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
        message = self.gateway.why_none(call.asked)
        with contextlib.suppress(AttributeError):  # /v1/messages shows the fault itself
            original_exception.message = message  # type: ignore[attr-defined]
            original_exception.status_code = call.status  # type: ignore[attr-defined]
        return refusal(call.status, message)


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


def follow_no_redirects() -> None:
    """Nothing goes on to where an answer points: LiteLLM follows it with the whole prompt, and with
    the key where that is an `x-api-key` (seen)."""
    import httpx

    def staying(send: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(send)
        def sent(*args: Any, **kwargs: Any) -> Any:
            return send(*args, **{**kwargs, "follow_redirects": False})

        return sent

    for client in (httpx.Client, httpx.AsyncClient):
        setattr(client, "send", staying(client.send))  # noqa: B010 - mypy knows them as methods


def watch(gateway: answering.Gateway, facts: Document) -> None:
    """End this process when nobody needs it any more.

    How to learn whether a session lives is known to the code of our own engine's process.
    """
    host = load("host", facts["code"]["host"])
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


def close_the_door(facts: Document) -> None:
    """Nobody reaches more of LiteLLM than agents ask."""
    from litellm.proxy.proxy_server import app  # type: ignore[import-not-found]

    load("door", facts["code"]["door"]).close(app, os.environ[facts["key"]])


def start(facts: Document) -> Hooks:
    """The hooks of this process, which ends when nobody needs it any more."""
    follow_no_redirects()
    close_the_door(facts)
    gateway = answering.Gateway(facts)
    if facts.get("idle_s"):
        threading.Thread(target=watch, args=(gateway, facts), daemon=True, name="idle").start()
    return Hooks(gateway)


instance = start(facts) if facts is not None else None
