"""Replies of servers, read without trust: rows of model lists into models. Pure.

Shapes: llama.cpp as run (xllamacpp 2026.10.11549), LiteLLM as run (1.106.2); the others from the
sources that their presets name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agentlaunch.engines.presets import Kind
from agentlaunch.engines.remote_facts import RemoteModel
from agentlaunch.models.prices import Price

OWNERS: Mapping[str, Kind] = {
    "llamacpp": "llama.cpp",
    "vllm": "vllm",
    "library": "ollama",  # what Ollama's /v1/models says of its own models
    "docker": "docker-model-runner",
    "llama-swap": "llama-swap",
    "organization_owner": "lm-studio",
}
"""`owned_by` of a model list, where it tells the server."""

LONGEST_NAME = 256
MOST_USD = 100_000.0
"""For a million tokens; more is a mistake of whoever says it."""

_NOT_CHAT = (
    "babbage",
    "chatgpt-image",
    "computer-use-preview",
    "dall-e",
    "davinci",
    "gpt-audio",
    "gpt-image",
    "gpt-realtime",
    "omni-moderation",
    "sora",
    "tts",
    "whisper",
)
"""Beginnings of names on OpenAI's list that no agent can talk with."""


def rows(value: Any) -> list[dict[str, Any]]:
    """The rows of an OpenAI-style list that name a model, by a name that can be an argument."""
    data = value.get("data") if isinstance(value, dict) else None
    found = [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []
    return [row for row in found if _is_name(row.get("id"))]


def _is_name(value: object) -> bool:
    """Nothing that a program would read as an option, nor what cannot be sent; what a screen would
    act on, `talk` shows."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME:
        return False
    half = any("\ud800" <= sign <= "\udfff" for sign in value)  # of a pair: no UTF-8 has it
    return value[0] not in "-@ \0" and "\0" not in value and not half


def kind_of(listed: Sequence[Mapping[str, Any]]) -> Kind:
    """What server made this list, by who owns its models."""
    for row in listed:
        owner = row.get("owned_by")  # whatever type a server puts there
        if isinstance(owner, str) and owner in OWNERS:
            return OWNERS[owner]
    return "unknown"


def model(row: Mapping[str, Any]) -> RemoteModel:
    """A model from its row, whichever server listed it."""
    top, meta = _table(row, "top_provider"), _table(row, "meta")
    contexts = [
        tokens(row.get("max_model_len")),
        tokens(meta.get("n_ctx")),
        _least(tokens(row.get("context_length")), tokens(top.get("context_length"))),
        tokens(row.get("max_input_tokens")),
    ]
    can = row.get("supported_parameters")
    return RemoteModel(
        row["id"],
        next((value for value in contexts if value is not None), None),
        tools=("tools" in can) if isinstance(can, list) else None,
        max_output_tokens=tokens(top.get("max_completion_tokens")) or tokens(row.get("max_tokens")),
        price=_price(_table(row, "pricing")),
    )


def _price(row: Mapping[str, Any]) -> Price | None:
    """What OpenRouter asks, as it says itself: texts of US dollars for one token."""
    told = [_dollars(row.get(name)) for name in ("prompt", "completion", "input_cache_read")]
    if told[0] is None or told[1] is None:
        return None
    return Price(told[0], told[1], told[2], source="its own list, today")


def _dollars(value: object) -> float | None:
    """For a million tokens; None for what is no price (-1: it depends on who serves)."""
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        return None
    try:
        dollars = float(value) * 1e6
    except (ValueError, OverflowError):
        return None
    return round(dollars, 6) if 0 <= dollars < MOST_USD else None


def distinct(models: Iterable[RemoteModel]) -> tuple[RemoteModel, ...]:
    """Each name once, as it was listed first: a gateway may list every deployment of a model."""
    found: dict[str, RemoteModel] = {}
    for one in models:
        found.setdefault(one.name, one)
    return tuple(found.values())


def offered(row: Mapping[str, Any], kind: Kind) -> bool:
    """Can an agent talk with it? Not with what only embeds, draws, speaks or runs elsewhere."""
    name = str(row["id"]).lower()
    if "embed" in name or row.get("type") in {"embedding", "embeddings"}:
        return False
    if kind == "openai" and name.startswith(_NOT_CHAT):
        return False
    if kind == "ollama" and name.endswith(("-cloud", ":cloud")):
        return False  # it runs in Ollama's cloud, not at this address
    output = _table(row, "architecture").get("output_modalities")
    return not (isinstance(output, list) and output and "text" not in output)


def with_props(one: RemoteModel, props: Mapping[str, Any]) -> RemoteModel:
    """A llama.cpp model with what /props says: one slot's context, and what its template takes."""
    context = tokens(_table(props, "default_generation_settings").get("n_ctx"))
    tools = _table(props, "chat_template_caps").get("supports_tools")
    return replace(
        one,
        context_tokens=_least(one.context_tokens, context),
        tools=tools if isinstance(tools, bool) else one.tools,
    )


def lm_studio(value: Any) -> Iterator[tuple[tuple[str, ...], RemoteModel | None]]:
    """Names of LM Studio's models (v1 of its API, or v0) and what is known of each; None for what
    only embeds. Unloaded models have no context: which one they would get is not told."""
    if not isinstance(value, dict):
        return
    for row in _dicts(value.get("models")):
        key, loaded = row.get("key"), _dicts(row.get("loaded_instances"))
        if not isinstance(key, str):
            continue
        names = (key, *(str(each["id"]) for each in loaded if isinstance(each.get("id"), str)))
        contexts = [tokens(_table(each, "config").get("context_length")) for each in loaded]
        trained = _table(row, "capabilities").get("trained_for_tool_use")
        yield (
            names,
            None
            if row.get("type") == "embedding"
            else RemoteModel(
                key,
                min((each for each in contexts if each is not None), default=None),
                tools=True if trained is True else None,  # others get its generic tool format
                loaded=bool(loaded),
            ),
        )
    for row in rows(value):
        can = row.get("capabilities")
        yield (
            (row["id"],),
            None
            if row.get("type") == "embeddings"
            else RemoteModel(
                row["id"],
                tokens(row.get("loaded_context_length")),
                tools=True if isinstance(can, list) and "tool_use" in can else None,
                loaded=row.get("state") == "loaded",
            ),
        )


def litellm(value: Any) -> Iterator[tuple[str, RemoteModel | None]]:
    """Rows of LiteLLM's /model/info; None for what is no chat model. One name may have several
    deployments: the smallest context counts, since any of them may answer."""
    least: dict[str, int] = {}
    found: dict[str, RemoteModel | None] = {}
    for row in _dicts(value.get("data") if isinstance(value, dict) else None):
        name, info = row.get("model_name"), _table(row, "model_info")
        if not isinstance(name, str):
            continue
        if info.get("mode") not in (None, "chat", "completion", "responses"):
            found.setdefault(name, None)
            continue
        context = tokens(info.get("max_input_tokens"))
        if context is not None:
            least[name] = min(context, least.get(name, context))
        calls = info.get("supports_function_calling") is True
        output = tokens(info.get("max_output_tokens"))
        found[name] = RemoteModel(name, least.get(name), True if calls else None, output)
    yield from found.items()


def ollama_loaded(value: Any) -> dict[str, int]:
    """Context in tokens of each model that an Ollama holds, from its /api/ps."""
    listed = value.get("models") if isinstance(value, dict) else None
    found = {}
    for row in _dicts(listed):
        name, context = row.get("name"), tokens(row.get("context_length"))
        if isinstance(name, str) and context is not None:
            found[name] = context
    return found


def running(value: Any) -> tuple[str, ...]:
    """Names of the models that llama-swap runs, from its /running."""
    listed = value.get("running") if isinstance(value, dict) else None
    ready = [row for row in _dicts(listed) if row.get("state") == "ready"]
    return tuple(row["model"] for row in ready if isinstance(row.get("model"), str))


def tokens(value: object) -> int | None:
    """A count of tokens, None for whatever else a server puts there."""
    good = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31
    return value if good and isinstance(value, int) else None


def _least(*values: int | None) -> int | None:
    return min((value for value in values if value is not None), default=None)


def _table(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = row.get(name)
    return value if isinstance(value, dict) else {}


def _dicts(value: object) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
