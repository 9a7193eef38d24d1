"""Mistral Vibe: routed by `VIBE_*` variables, which its user's and project's files do not outrank.

Its order of settings, read and observed in 3.0.2: managed by an organisation > agent profile
(`.vibe/agents/NAME.toml`) > environment > project > user. The organisation's settings are fetched
with a Mistral login, and without a provider of Mistral's none is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentlaunch.agents.arguments import before_operands, refuse_reserved
from agentlaunch.agents.base import (
    PROMPT,
    UNSET,
    Agent,
    Grammar,
    Handover,
    Reserved,
    Target,
    Trust,
    Unset,
    Watched,
)
from agentlaunch.agents.keys import PROVIDER_KEYS
from agentlaunch.agents.surroundings import DUMMY_TOKEN, bypass
from agentlaunch.context import Compaction, Tier
from agentlaunch.managed import Package

KEY_VARIABLE = "AGENTLAUNCH_VIBE_KEY"


OFF: dict[str, str] = {
    "VIBE_ENABLE_TELEMETRY": "false",
    "VIBE_ENABLE_OTEL": "false",
    "VIBE_ENABLE_UPDATE_CHECKS": "false",
    "VIBE_ENABLE_AUTO_UPDATE": "false",
    "VIBE_ENABLE_CONNECTORS": "false",
    "VIBE_EXPERIMENTS": '{"enable": false}',
    "VIBE_EXPERIMENTAL_ENABLE_DOCUMENT_LIBRARY_CONNECTOR": "false",
    "VIBE_EXPERIMENTAL_ENABLE_MODEL_CATALOG": "false",
    "VIBE_EXPERIMENTAL_ENABLE_REGISTRY_SKILLS": "false",
    "VIBE_NARRATOR_ENABLED": "false",
    "VIBE_VOICE_MODE_ENABLED": "false",
    # Greets with the user's Mistral account.
    "VIBE_SHOW_GREETING": "false",
}
"""Calls home and what only the vendor's server can do; read in 3.0.2's own settings."""

MISTRAL_OFF = {"name": "mistral", "backend": "generic", "api_key_env_var": ""}
"""Takes the place of the built-in provider of that name: with it goes every use of the user's
Mistral login (organisation's settings, experiments, small models of theirs)."""

UNSET_NAMES = ("VIBE_APP_SERVER_CMD", "VIBE_APP_SERVER_CWD", "VIBE_CWD")
UNSET_PREFIXES = ("OTEL_",)
SETTING = "VIBE_"
KEPT_SETTINGS = ("VIBE_HOME",)

ROUTES = (
    "active_model",
    "allowed_models",
    "compaction_model",
    "models",
    "otel_endpoint",
    "providers",
    "tts_providers",
    "transcribe_providers",
    "utility_models",
    "vibe_base_url",
    "vision_model",
)
"""Settings that decide where a request goes."""

PROFILE_ROUTES = (
    "allowed_models",
    "compaction_model",
    "models",
    "providers",
    "vision_model",
)
"""In an agent profile these stand above the environment (read, 3.0.2: the order of its layers);
its `active_model` does not, since only one model is allowed."""

_OWN_MODEL = "use `agentlaunch up vibe --model REF`"
_NO_MODEL = "it asks no model: run `vibe {}` itself"

RESERVED: tuple[Reserved, ...] = (
    Reserved("--workdir", "start agentlaunch in that folder"),
    *(
        Reserved(word, _NO_MODEL.format(word))
        for word in ("--setup", "--check-upgrade", "help", "mcp", "update")
    ),
)

GRAMMAR = Grammar(abbreviates=True)


def prepare(target: Target) -> Handover:
    """What Vibe becomes for this target; raises `UsageError` for a reserved argument."""
    refuse_reserved("Mistral Vibe", RESERVED, target.args, GRAMMAR)
    env: dict[str, str | Unset] = dict.fromkeys(_unset(target.environ), UNSET)
    env |= OFF | _routing(target) | bypass(target.endpoint, target.environ)
    if target.home == "clean":
        env["VIBE_HOME"] = str(target.home_folder)
    return Handover(argv=(*target.command, *target.context.tier.args, *target.args), env=env)


def is_headless(args: tuple[str, ...]) -> bool:
    """True for `-p`, `--prompt` and `--prompt-file`, also with their value in the same word."""
    return any(
        arg.split("=", 1)[0] in ("--prompt", "--prompt-file")
        or (arg.startswith("-p") and not arg.startswith("--"))
        for arg in before_operands(args)
    )


def _routing(target: Target) -> dict[str, str]:
    endpoint, context = target.endpoint, target.context
    # A name that no file can know: an agent profile that redefines it would win over us.
    name = f"agentlaunch-{target.run_name}"
    provider = {
        "name": name,
        "api_base": endpoint.openai_url,
        "api_key_env_var": KEY_VARIABLE,
        "api_style": "openai",
        "backend": "generic",
        "extra_headers": {},
    }
    model: dict[str, object] = {
        "name": endpoint.model,
        "provider": name,
        "alias": endpoint.model,
        "max_context_length": context.agent_window_tokens,
        "max_output_tokens": context.max_output_tokens,
        # 0 is never; above the window it would not count.
        "auto_compact_threshold": context.compact_at_tokens or 0,
    }
    if target.thinking_off:
        model["thinking"] = "off"
    small = target.small_model or endpoint.model
    others = [model | {"name": small, "alias": small}] if small != endpoint.model else []
    names = list(dict.fromkeys((endpoint.model, small)))
    return {
        KEY_VARIABLE: endpoint.token or DUMMY_TOKEN,
        "VIBE_PROVIDERS": _json([MISTRAL_OFF | {"api_base": endpoint.openai_url}, provider]),
        "VIBE_MODELS": _json([model, *others]),
        "VIBE_ACTIVE_MODEL": endpoint.model,
        "VIBE_ALLOWED_MODELS": _json([f"re:^{_literal(name)}$" for name in names]),
        "VIBE_COMPACTION_MODEL": _json(model),
        "VIBE_UTILITY_MODELS": _json(dict.fromkeys(("title", "smart_approve"), small)),
        # Images would else be described by the model that the user's settings name.
        "VIBE_VISION_MODEL": _json(model | {"supports_images": True}),
        "VIBE_COMPACTION_MAX_OUTPUT_TOKENS": str(context.max_output_tokens),
        "VIBE_API_TIMEOUT": str(target.patience_s),
        "VIBE_API_STREAM_IDLE_TIMEOUT": "0",
    }


def _unset(environ: Mapping[str, str]) -> list[str]:
    """Keys and stale settings; it reads its variables whatever their case."""
    stale = [
        name
        for name in environ
        if name.startswith(UNSET_PREFIXES)
        or (name.upper().startswith(SETTING) and name not in KEPT_SETTINGS)
    ]
    return [*PROVIDER_KEYS, *UNSET_NAMES, *sorted(stale)]


def _literal(text: str) -> str:
    """A name as a regular expression that matches nothing else."""
    return "".join(char if char.isalnum() else f"\\{char}" for char in text)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _trusts(document: Mapping[str, Any], folder: str) -> bool:
    """The closest decision counts (read, 3.0.2)."""
    lists = [document.get(name) for name in ("trusted", "untrusted")]
    trusted, untrusted = (value if isinstance(value, list) else [] for value in lists)
    for place in (folder, *(str(parent) for parent in Path(folder).parents)):
        if place in trusted:
            return True
        if place in untrusted:
            return False
    return False


AGENT = Agent(
    name="vibe",
    title="Mistral Vibe",
    aliases=("mistral-vibe", "mistral_vibe", "mistral"),
    binary="vibe",
    known_places=("~/.local/bin/vibe",),
    package=Package(
        kind="pypi",
        name="mistral-vibe",
        version="3.0.2",
        size_bytes=420_000_000,
        download_bytes=None,
        source="PyPI: mistral-vibe 3.0.2",
        programs=(("vibe", "bin/vibe"),),
        python=">=3.12,<3.14",
    ),
    tested_versions=("3.0.2",),
    wires=("openai_chat",),
    tiers=(Tier("full", (), tools=10, headless_tokens=7_835, interactive_tokens=8_754),),
    compaction=Compaction(most_reply_tokens=32_000, reserve_tokens=2_000),
    wanted_context_tokens=32_768,
    support="launches",
    local=True,
    local_reason=None,
    reserved=RESERVED,
    grammar=GRAMMAR,
    prepare=prepare,
    is_headless=is_headless,
    one_prompt='-p "…"',
    errand=("-p", PROMPT, "--auto-approve"),
    config_folder=("VIBE_HOME", "~/.vibe"),
    watched=(
        Watched("{config}/config.toml", "toml", redirects=ROUTES),
        Watched("{config}/.env", "env", redirects=("MISTRAL_API_KEY", "VIBE_*", "HTTP*_PROXY")),
        Watched("{config}/agents/*.toml", "toml", beyond_us=PROFILE_ROUTES),
        Watched(".vibe/config.toml", "toml", redirects=ROUTES),
        Watched(".vibe/agents/*.toml", "toml", beyond_us=PROFILE_ROUTES),
    ),
    trust=Trust("{config}/trusted_folders.toml", "toml", _trusts, asks=True),
    roles=("small",),
    notes=(
        "A model that repeats one call is stopped by `--max-turns N` alone, with status 3 (3.0.2).",
    ),
)
