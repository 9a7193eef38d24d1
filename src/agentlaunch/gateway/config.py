"""LiteLLM's configuration for a `Spec`, and the environment that it runs in. Pure.

One deployment for each endpoint of a chain, each in a group of its own: LiteLLM then goes along
the chain by `fallbacks`, and past an endpoint that is too small by `context_window_fallbacks`. Two
deployments in one group would be quicker to write, but there a prompt that is too large for the
first is refused and not given to the second (seen, litellm 1.106.2). No secret is in the file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agentlaunch import commented_yaml
from agentlaunch.endpoint import without_secrets
from agentlaunch.engines import llama_cpp_host
from agentlaunch.engines.presets import Kind
from agentlaunch.gateway import account, answering, door
from agentlaunch.gateway.spec import MODEL_NAMES, Hop, Role, Spec, alone

Document = dict[str, Any]

HOOKS = "litellm_hooks.instance"
"""Our part of LiteLLM's process: the file of this name lies beside the configuration."""
CODE: Mapping[str, Path] = {
    "account": Path(account.__file__),
    "answering": Path(answering.__file__),
    "door": Path(door.__file__),
    "host": Path(llama_cpp_host.__file__),
}
"""The stand-alone files that it loads at its start."""
GATEWAY_KEY = "AL_GATEWAY_KEY"
FACTS = "AL_GATEWAY_FACTS"
"""The path of the file that `litellm_hooks` reads."""
NO_KEY = "none"
"""LiteLLM wants some key even where the server wants none."""

WHOLE_REPLY_S = 600
"""How long a reply that is not streamed may take altogether: nothing comes of it before its end."""
COOLDOWN_S = 20
"""How long an endpoint that failed is left alone before it is tried again."""
SMALL_NAMES = ("claude-haiku-4-5-20251001",)
"""Names that Claude Code asks small work of by itself (seen, 2.1.197)."""

OFFLINE: Mapping[str, str] = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
    "LITELLM_MODE": "PRODUCTION",
    "NO_DOCS": "True",
    "HF_HUB_OFFLINE": "1",
}
"""Without them it asks raw.githubusercontent.com at its start, and huggingface.co at each part of
an answer of a model with `llama-3` in its name; PRODUCTION keeps it from the `.env` of a project
(seen, litellm 1.106.2)."""
KEPT = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TEMP",
        "TMP", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY",
        "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "SYSTEMROOT", "USERPROFILE",
    }
)  # fmt: skip
"""What it gets of the user's environment. It reads hundreds of names (`DATABASE_URL`, `HOST`,
`PORT`, each provider's key and address), so that nothing else may come in. A day of its cap is one
of the machine's clock, not of a variable (`TZ`)."""
HERE = ("localhost", "127.0.0.1", "::1")
"""Never asked through a proxy."""

CUTS: Kind = "ollama"
"""It cuts a prompt that is too long and answers (0.33), where others refuse it."""
_NATIVE: Mapping[Kind, str] = {"openrouter": "openrouter", "anthropic": "anthropic"}
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")


def document(spec: Spec) -> Document:
    """LiteLLM's whole configuration; it names secrets by their variables alone."""
    return {
        "model_list": [*_deployments(spec), *_auto_router(spec)],
        "router_settings": _router_settings(spec),
        "litellm_settings": {
            # A parameter that an engine does not know must not fail the request.
            "drop_params": True,
            "use_chat_completions_url_for_anthropic_messages": True,
            "callbacks": [HOOKS],
            "suppress_debug_info": True,
            # Else it asks huggingface.co for the tokenizers of Llama, Command R and others.
            "disable_hf_tokenizer_download": True,
            "redact_messages_in_exceptions": True,
        },
        "general_settings": {"master_key": f"os.environ/{GATEWAY_KEY}"},
    }


def text(spec: Spec) -> str:
    """The configuration as YAML, for LiteLLM and for whoever wants to read it."""
    head = "Written by agentlaunch, which writes it anew: changes here do not last."
    return commented_yaml.document(head, document(spec))


def environment(spec: Spec) -> dict[str, str]:
    """The secrets of the chains by the names in the file, and what keeps LiteLLM off the network.

    `GATEWAY_KEY` and `FACTS` are the caller's.
    """
    return {**OFFLINE, **{name: token for token, name in _key_names(spec).items()}}


def child_environment(spec: Spec, given: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of the gateway's process, of what the user's one holds."""
    kept = {name: value for name, value in given.items() if name in KEPT}
    rows = given.get("no_proxy", given.get("NO_PROXY", "")).split(",")
    around = ",".join(dict.fromkeys([*(row.strip() for row in rows if row.strip()), *HERE]))
    return {**kept, "NO_PROXY": around, "no_proxy": around, **environment(spec)}


def fingerprint(spec: Spec) -> str:
    """Which gateway this is: another chain, address, key, cap or code of ours is another one."""
    code = [path.read_text("utf-8") for path in CODE.values()]
    parts = [
        document(spec), sorted(environment(spec).items()), _hop_facts(spec), *_cap(spec), code,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def hosts(config: Document) -> tuple[str, ...]:
    """Every host that a gateway with this configuration can send a request to."""
    found = {_host(row["litellm_params"].get("api_base")) for row in config["model_list"]}
    return tuple(sorted(host for host in found if host is not None))


def facts(spec: Spec, *, events: Path, status: Path, leases: Path, idle_s: float) -> Document:
    """What `litellm_hooks` must know, as its file of facts holds it."""
    cap_usd, cap_origin = _cap(spec)
    return {
        "events": str(events),
        "state": str(status),
        "leases": str(leases),
        "code": {name: str(path) for name, path in CODE.items()},
        "idle_s": idle_s,
        "key": GATEWAY_KEY,
        "cap_usd": cap_usd,
        "cap_origin": cap_origin,
        "names": _names(),
        "alone": _alone(spec),
        "hops": _hop_facts(spec),
    }


# ---- the parts --------------------------------------------------------------------------------


def _chains(spec: Spec) -> dict[Role, tuple[Hop, ...]]:
    """The chain of every role; small work goes along the main chain where it has none."""
    return {role: spec.chains.get(role) or spec.chains["main"] for role in MODEL_NAMES}


def _places(spec: Spec) -> list[tuple[Role, int, Hop]]:
    return [
        (role, at, hop) for role, chain in _chains(spec).items() for at, hop in enumerate(chain, 1)
    ]


def _names() -> dict[str, Role]:
    return {name: role for role in MODEL_NAMES for name in _asked(role)}


def _alone(spec: Spec) -> dict[str, str]:
    """The deployment of each name that stands for it by itself."""
    return {alone(role, at): _ids(role, at, hop, spec)[-1] for role, at, hop in _places(spec)}


def _key_names(spec: Spec) -> dict[str, str]:
    """The variable of each token."""
    tokens = dict.fromkeys(hop.token for _role, _at, hop in _places(spec) if hop.token)
    return {token: f"AL_KEY_{number}" for number, token in enumerate(tokens, 1)}


def identity(role: Role, position: int, hop: Hop) -> str:
    """The name of a deployment: in response headers, and in what the hooks know of it."""
    return f"{role}.{position}.{_NOT_PLAIN.sub('-', without_secrets(hop.name))}"


def _label(hop: Hop, chain: Iterable[Hop]) -> str:
    """How people read an endpoint's name: with its model where its chain has the name twice."""
    is_alone = [other.name for other in chain].count(hop.name) < 2
    return without_secrets(hop.name) if is_alone else f"{without_secrets(hop.name)}#{hop.model}"


def _deployments(spec: Spec) -> Iterator[Document]:
    keys = _key_names(spec)
    for role, position, hop in _places(spec):
        ids = _ids(role, position, hop, spec)
        groups = (MODEL_NAMES[role], alone(role, position))[-len(ids) :]
        for group, own_id in zip(groups, ids, strict=True):
            yield _deployment(group, own_id, hop, keys)


def _deployment(group: str, own_id: str, hop: Hop, keys: Mapping[str, str]) -> Document:
    provider = _provider(hop)
    params: Document = {
        "model": f"{provider}/{hop.model}",
        "api_base": hop.base_url if provider == "anthropic" else _openai_base(hop),
        "api_key": f"os.environ/{keys[hop.token]}" if hop.token else NO_KEY,
        "timeout": max(WHOLE_REPLY_S, hop.silence_s),
        "stream_timeout": hop.silence_s,
    }
    if provider != "anthropic":
        params["use_chat_completions_api"] = True  # /v1/responses is translated to it
    info: Document = {"id": own_id}
    if hop.kind == CUTS:
        info["max_input_tokens"] = hop.context_tokens
    if hop.max_output_tokens is not None:
        info["max_output_tokens"] = hop.max_output_tokens
    return {"model_name": group, "litellm_params": params, "model_info": info}


def _provider(hop: Hop) -> str:
    """LiteLLM's word for how a server is asked."""
    if hop.kind == "unknown" and hop.wires == ("anthropic_messages",):
        return "anthropic"
    return _NATIVE.get(hop.kind, "openai" if hop.kind == "openai" else "hosted_vllm")


def _openai_base(hop: Hop) -> str:
    """The base with `/v1`; Docker Model Runner has it below `/engines`."""
    below = hop.kind == "docker-model-runner" and not hop.base_url.endswith("/engines")
    return f"{hop.base_url}{'/engines' if below else ''}/v1"


def _router_settings(spec: Spec) -> Document:
    chains = _chains(spec)
    return {
        # Counted by another tokenizer than the model's own, so only where it must be.
        "enable_pre_call_checks": any(hop.kind == CUTS for _role, _at, hop in _places(spec)),
        "num_retries": 0,
        "allowed_fails": 0,  # the first failure is enough: the next endpoint answers
        "cooldown_time": COOLDOWN_S,
        "fallbacks": [
            {name: others}
            for role, chain in chains.items()
            if (others := _others(role, chain, spec))
            for name in _asked(role)
        ],
        "context_window_fallbacks": [
            {name: larger}
            for role, chain in chains.items()
            if (larger := _larger(role, chain, spec))
            for name in _asked(role)
        ],
        "model_group_alias": dict.fromkeys(SMALL_NAMES, MODEL_NAMES["small"]),
    }


def _asked(role: Role) -> tuple[str, ...]:
    """Every name that stands for a role: LiteLLM looks for the fallbacks of the name that was asked
    for, not of the group that it is an alias of."""
    return (MODEL_NAMES[role], *(SMALL_NAMES if role == "small" else ()))


def _others(role: Role, chain: tuple[Hop, ...], spec: Spec) -> list[str]:
    """Who answers where the first does not. Routed by itself, the small chain may have been asked
    for main work: then the whole main chain stands behind it."""
    if _is_routed(role, spec):
        return [alone(role, at) for at in range(1, len(chain) + 1)]
    own = [alone(role, at) for at in range(2, len(chain) + 1)]
    return own + (_others("main", spec.chains["main"], spec) if spec.routing == "auto" else [])


def _larger(role: Role, chain: tuple[Hop, ...], spec: Spec) -> list[str]:
    """Where a prompt goes that is too large for the first one: the smallest that is larger."""
    first = chain[0].context_tokens
    rows = [
        (hop.context_tokens, at) for at, hop in enumerate(chain, 1) if hop.context_tokens > first
    ]
    own = [alone(role, at) for _tokens, at in sorted(rows)]
    if spec.routing != "auto":
        return own
    if _is_routed(role, spec):
        return [alone(role, 1), *own]
    return own + _larger("main", spec.chains["main"], spec)


def _is_routed(role: Role, spec: Spec) -> bool:
    return spec.routing == "auto" and role == "main"


def _auto_router(spec: Spec) -> Iterable[Document]:
    """LiteLLM's own guess of how hard a request is, in the place of the main group."""
    if spec.routing != "auto":
        return
    first = alone("main", 1)
    yield {
        "model_name": MODEL_NAMES["main"],
        "litellm_params": {
            "model": "auto_router/complexity_router",
            "complexity_router_default_model": first,
            "complexity_router_config": {
                "tiers": {
                    "SIMPLE": MODEL_NAMES["small"],
                    "MEDIUM": first,
                    "COMPLEX": first,
                    "REASONING": first,
                },
                # A session that changes its engine pays for its whole prompt again.
                "session_affinity": True,
            },
        },
        "model_info": {"id": "main.auto"},
    }


# ---- what the hooks know ----------------------------------------------------------------------


def _hop_facts(spec: Spec) -> Document:
    return {
        own_id: _facts_of(hop, role, position, _label(hop, _chains(spec)[role]))
        for role, position, hop in _places(spec)
        for own_id in _ids(role, position, hop, spec)
    }


def _ids(role: Role, position: int, hop: Hop, spec: Spec) -> tuple[str, ...]:
    """The deployments of an endpoint: the first of a chain has one more, where none follows it."""
    own_id = identity(role, position, hop)
    has_two = position == 1 and not _is_routed(role, spec)
    return (own_id, f"{own_id}{answering.ALONE}") if has_two else (own_id,)


def _facts_of(hop: Hop, role: Role, position: int, label: str) -> Document:
    price = hop.price
    return {
        "name": label,
        "model": hop.model,
        "role": role,
        "position": position,
        "managed": hop.managed,
        "local": hop.is_local,
        "context_tokens": hop.context_tokens,
        "max_output_tokens": hop.max_output_tokens,
        "silence_s": hop.silence_s,
        "price": None
        if price is None
        else {
            "input_usd": price.input_usd,
            "output_usd": price.output_usd,
            "cached_input_usd": price.cached_input_usd,
            "cache_write_usd": price.cache_write_usd,
        },
    }


def _cap(spec: Spec) -> tuple[float | None, str]:
    return spec.cap_usd, spec.cap_origin


def _host(address: object) -> str | None:
    return urlsplit(address).hostname if isinstance(address, str) else None
