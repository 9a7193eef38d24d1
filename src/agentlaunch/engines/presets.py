"""Servers that others run, as data: address, wires, key, and what "context" means there.

Facts carry the version that they were read or observed in. `seen` tells how a preset was shown to
work: against the real server, or only against a fake with the shapes of its source or its docs.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from agentlaunch import policy
from agentlaunch.endpoint import TokenHeader, Wire, without_secrets
from agentlaunch.engines.address import normalized_url
from agentlaunch.errors import UsageError
from agentlaunch.keys import KEY_VARIABLE

Kind = Literal[
    "llama.cpp",
    "vllm",
    "ollama",
    "lm-studio",
    "docker-model-runner",
    "llama-swap",
    "litellm",
    "openrouter",
    "anthropic",
    "openai",
    "unknown",
]

OWN = ("embedded", "ollama")
"""Engines that are no preset: ours, and the one that is driven by its own API."""
HOSTED = "hosted"
"""The server of the user's organisation, whatever it is: known by its address alone."""
HOSTED_SETTING = "hosted_url"


@dataclass(frozen=True, slots=True)
class Preset:
    """One server by name. Addresses are bases, without `/v1`."""

    name: str
    title: str
    kind: Kind
    address: str
    context: str
    """What its context is and where it is read; also told when it is not known."""
    tools: str
    """What is known of tool calls, and from where."""
    source: str
    seen: Literal["real", "fake"]
    aliases: tuple[str, ...] = ()
    wires: tuple[Wire, ...] = ()
    """Known ones; empty: every wire is tried."""
    health: str = "/v1/models"
    models: str = "/v1/models"
    key_variables: tuple[str, ...] = ()
    token_header: TokenHeader = "bearer"  # noqa: S105 - the name of a header
    hosted: bool = False
    """A company's service: its key variables belong to its own host alone, and it wants one."""
    note: str = ""
    """What becomes of the code there, said with the question and at every launch."""
    context_hint: str = "say it with --context N (tokens)"
    most_context_tokens: int | None = None
    """Tokens beyond which nothing is taken unless --context asks for it."""

    @property
    def setting(self) -> str:
        """The setting that moves its address."""
        return self.name.replace("-", "_") + "_url"

    def is_at(self, url: str) -> bool:
        """Is this a company's service, and that its own address? Then nothing else answers there,
        whatever its list says of who owns a model."""
        return self.hosted and policy.origin(url) == policy.origin(self.address)


ALL: tuple[Preset, ...] = (
    Preset(
        "llama-server",
        "llama.cpp server",
        "llama.cpp",
        "http://127.0.0.1:8080",
        aliases=("llama.cpp", "llamacpp", "llama-cpp", "llama_server", "llamaserver"),
        health="/health",
        key_variables=("LLAMA_API_KEY",),
        context="one slot's context: `meta.n_ctx` of the model list and `n_ctx` of /props, "
        "never more than the model was trained for, whatever -c said",
        tools="`chat_template_caps` of /props: a template without tools drops them silently",
        context_hint="start it with -c N --jinja, or say --context N (tokens)",
        source="xllamacpp 2026.10.11549, run",
        seen="real",
    ),
    Preset(
        "vllm",
        "vLLM",
        "vllm",
        "http://127.0.0.1:8000",
        health="/health",
        key_variables=("VLLM_API_KEY",),
        context="`max_model_len` of the model list (--max-model-len)",
        tools="not told; it needs --enable-auto-tool-choice and --tool-call-parser",
        source="vLLM 0.33.0, its source",
        seen="fake",
    ),
    Preset(
        "lm-studio",
        "LM Studio",
        "lm-studio",
        "http://127.0.0.1:1234",
        aliases=("lmstudio", "lm_studio", "lms"),
        key_variables=("LM_API_TOKEN",),
        context="`context_length` of the loaded instance in /api/v1/models (0.4), "
        "`loaded_context_length` in /api/v0/models; `max_context_length` is only what the model "
        "could take",
        tools="`trained_for_tool_use` (v1), `tool_use` among the capabilities (v0)",
        context_hint="load it with a context, `lms load NAME --context-length 32768`, "
        "or say --context N (tokens)",
        source="lmstudio.ai/docs, REST API v0 and v1, wires since 0.4.1",
        seen="fake",
    ),
    Preset(
        "docker-model-runner",
        "Docker Model Runner",
        "docker-model-runner",
        "http://127.0.0.1:12434",
        aliases=("dmr", "docker", "docker_model_runner", "model-runner"),
        health="/engines/v1/models",
        context="not told (what its list says of a model is not what it allocates): it is what "
        "`docker model configure --context-size` set, 4,096 by default with llama.cpp",
        tools="not told",
        context_hint="set it with `docker model configure --context-size N MODEL`, "
        "then say --context N (tokens)",
        source="docs.docker.com/ai/model-runner and docker/model-runner 2f94eb8",
        seen="fake",
    ),
    Preset(
        "litellm",
        "LiteLLM proxy",
        "litellm",
        "http://127.0.0.1:4000",
        health="/health/liveliness",
        key_variables=("LITELLM_MASTER_KEY", "LITELLM_API_KEY"),
        context="`max_input_tokens` of the model list and of /model/info: from its price list, "
        "or from `model_info` of its configuration",
        tools="`supports_function_calling` of /model/info where it says yes",
        context_hint="write `model_info: {max_input_tokens: N}` into its configuration, "
        "or say --context N (tokens)",
        source="litellm 1.106.2, run",
        seen="real",
    ),
    Preset(
        "llama-swap",
        "llama-swap",
        "llama-swap",
        "http://127.0.0.1:8080",
        aliases=("llamaswap", "llama_swap"),
        health="/health",
        context="that of the llama.cpp behind a model that runs: /upstream/MODEL/props; a model "
        "that is not running is not loaded only to ask",
        tools="as llama.cpp's, where it runs",
        source="mostlygeek/llama-swap v238, its source",
        seen="fake",
    ),
    Preset(
        "openrouter",
        "OpenRouter",
        "openrouter",
        "https://openrouter.ai/api",
        aliases=("open-router",),
        wires=("anthropic_messages", "openai_responses", "openai_chat"),
        key_variables=("OPENROUTER_API_KEY",),
        hosted=True,
        context="the smaller of `context_length` and `top_provider.context_length`",
        tools="`tools` among `supported_parameters`",
        note="OpenRouter passes it on to the provider that it chooses; which ones may keep it is "
        "set in your account there (data policy, zero data retention).",
        source="openrouter.ai/docs, November 2026",
        seen="fake",
    ),
    Preset(
        "anthropic",
        "Anthropic",
        "anthropic",
        "https://api.anthropic.com",
        aliases=("claude-api",),
        wires=("anthropic_messages",),
        models="/v1/models?limit=1000",
        key_variables=("ANTHROPIC_API_KEY",),
        token_header="x-api-key",  # noqa: S106 - the name of a header
        hosted=True,
        context="`max_input_tokens` of the model list, 200,000 where it is not given; more than "
        "200,000 only with --context, since longer prompts can cost more",
        tools="every model",
        note="Anthropic keeps API data by the terms of your account there.",
        most_context_tokens=200_000,
        source="platform.claude.com/docs/en/api, November 2026",
        seen="fake",
    ),
    Preset(
        "openai",
        "OpenAI",
        "openai",
        "https://api.openai.com",
        wires=("openai_responses", "openai_chat"),
        key_variables=("OPENAI_API_KEY",),
        hosted=True,
        context="its API does not say: --context",
        tools="not told; its current models have them",
        note="OpenAI keeps API data by the terms of your account there.",
        context_hint="say it with --context N (tokens); its model pages tell the number",
        source="developers.openai.com/api/docs, November 2026",
        seen="fake",
    ),
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in ALL}
_BY_WORD = {word: row for row in ALL for word in (row.name, *row.aliases)}
_BY_KIND = {row.kind: row for row in ALL}


@dataclass(frozen=True, slots=True)
class Target:
    """A server that was asked for: where it is, and which preset it is, if any."""

    url: str
    preset: Preset | None = None
    takes_our_key: bool = True
    """False where `AGENTLAUNCH_ENGINE_KEY` is meant for another server of the same launch."""

    @property
    def origin(self) -> str:
        """Scheme, host and port: what a key and the user's word belong to."""
        return policy.origin(self.url)

    @property
    def key_variables(self) -> tuple[str, ...]:
        """Variables whose key may be sent there, the first that is set wins.

        A company's own variable holds a key for that company: at another address only ours counts.
        """
        ours = (KEY_VARIABLE,) if self.takes_our_key else ()
        if self.preset is None:
            return ours
        if self.preset.hosted and self.origin != policy.origin(self.preset.address):
            return ours
        return (*ours, *self.preset.key_variables)


def find(word: str) -> Preset | None:
    """A preset by its name or alias, in any case."""
    return _BY_WORD.get(word.strip().lower())


def of_kind(kind: Kind) -> Preset | None:
    """The preset of what a server turned out to be."""
    return _BY_KIND.get(kind)


def resolve(word: str, addresses: Mapping[str, str | None] | None = None) -> Target:
    """The server behind a name or a URL; `addresses` are the settings that move presets.

    Raises `UsageError` with a near name for a typo, `Refused` for an unsafe address.
    """
    if word.strip().lower() == HOSTED:
        return _at(normalized_url(_hosted((addresses or {}).get(HOSTED_SETTING))))
    preset = find(word)
    if preset is not None:
        moved = (addresses or {}).get(preset.setting)
        return _at(normalized_url(moved), preset) if moved else Target(preset.address, preset)
    if "://" not in word and not word.strip().startswith("//"):
        raise _unknown(word)
    return _at(normalized_url(word))


def _at(url: str, preset: Preset | None = None) -> Target:
    """The server at an address: a company's own host is that company, however it was named or
    spelt, so that no rule about what is paid for is passed by."""
    host = (urlsplit(url).hostname or "").translate(_DOTS).rstrip(".")
    for row in ALL:
        if row.hosted and host == urlsplit(row.address).hostname:
            # Its API has one base, whatever page of it the person copied.
            return Target(row.address if policy.origin(url) == policy.origin(row.address) else url,
                          row)  # fmt: skip
    return Target(url, preset)


_DOTS = str.maketrans("\u3002\uff0e\uff61", "...")
"""What stands for a dot in a host's name."""


def _hosted(address: str | None) -> str:
    if address is None:
        raise UsageError(
            "`hosted` is your organisation's server, and nothing says where that is",
            hint=f"agentlaunch config set {HOSTED_SETTING} https://HOST:PORT",
            code="no-address",
        )
    return address


def _unknown(word: str) -> UsageError:
    words = (*OWN, HOSTED, *_BY_WORD)
    near = difflib.get_close_matches(word.strip().lower(), words, 1, cutoff=0.6)
    if near:
        return UsageError(
            f"there is no engine {without_secrets(word)!r}",
            hint=f"did you mean {near[0]}?",
            code="unknown-engine",
        )
    return UsageError(
        f"{without_secrets(word)!r} is neither an engine's name nor an http address",
        hint=f"engines: {', '.join((*OWN, HOSTED, *PRESETS))}; or an address, http://127.0.0.1:8080",
        code="unknown-engine",
    )
