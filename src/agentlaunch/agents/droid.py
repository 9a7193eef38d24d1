"""Droid: routed by a private settings file that the user's and a project's files do not outrank.

`FACTORY_RUNTIME_SETTINGS_PATH` names it (the variable behind `--settings`, which must stand before
the subcommand); it is merged over the user's own settings, so these stay (seen, 0.215.0).
"""

from __future__ import annotations

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
    PrivateFile,
    Reserved,
    Target,
    Trust,
    Unset,
    Watched,
)
from agentlaunch.agents.surroundings import DUMMY_TOKEN, MCP_RUNS, bypass, document, stale
from agentlaunch.context import Compaction, Tier
from agentlaunch.endpoint import Wire
from agentlaunch.managed import Package

MODEL_ID = "custom:agentlaunch"
"""Its own name for our model: a user's or project's model of the same id loses (seen, 0.215.0)."""

PROVIDERS: dict[Wire, str] = {
    "openai_chat": "generic-chat-completion-api",
    "openai_responses": "openai",
    "anthropic_messages": "anthropic",
}

NOWHERE = "http://127.0.0.1:9"
"""Nothing listens there. Interactively it asks Factory once, airgap or not (seen, 0.215.0)."""

OFF: dict[str, str] = {
    "FACTORY_API_BASE_URL": NOWHERE,
    "FACTORY_APP_BASE_URL": NOWHERE,
    # No Factory login is asked for, and headless nothing but the engine is asked (seen, 0.215.0).
    "FACTORY_AIRGAP_ENABLED": "true",
    "FACTORY_DROID_AUTO_UPDATE_ENABLED": "false",
    "FACTORY_OTEL_ENABLED": "false",
}

KEPT = ("FACTORY_HOME_OVERRIDE", "FACTORY_EXTRA_CA_CERTS", "FACTORY_RIPGREP_PATH")
"""Of the user's `FACTORY_*` variables, those that neither route nor outrank our settings."""

UNSET_PREFIXES = ("FACTORY_", "OTEL_", "DROID_")

ROUTES = (
    "customModels",
    "model",
    "specModeModel",
    "sessionDefaultSettings.model",
    "sessionDefaultSettings.specModeModel",
    "compactionModel",
    "compactionTokenLimit",
)

_OWN_MODEL = "the engine serves one model: use `agentlaunch up droid --model REF`"
_NO_MODEL = "it asks no model of this launch: run `droid {}` itself"

RESERVED: tuple[Reserved, ...] = (
    Reserved("--settings", "it would replace our settings: put yours in ~/.factory/settings.json"),
    *(
        Reserved(flag, _OWN_MODEL)
        for flag in ("-m", "--model", "--spec-model", "--worker-model", "--validator-model")
    ),
    Reserved("--mission", "its workers are started by a daemon outside of this launch"),
    *(
        Reserved(word, _NO_MODEL.format(word))
        for word in ("computer", "daemon", "doctor", "find", "help", "mcp", "plugin")
    ),
    *(Reserved(word, _NO_MODEL.format(word)) for word in ("search", "update")),
)

GRAMMAR = Grammar(
    value_flags=(
        "--append-system-prompt", "--append-system-prompt-file", "--fork", "--cwd", "-w",
        "--worktree", "--worktree-dir", "--auto", "-r", "--resume",
    )
)  # fmt: skip
"""Flags of 0.215.0."""


def prepare(target: Target) -> Handover:
    """What Droid becomes for this target; raises `UsageError` for a reserved argument."""
    refuse_reserved("Droid", RESERVED, target.args, GRAMMAR)
    settings_path = target.runtime_folder / f"droid-{target.run_name}.json"
    env: dict[str, str | Unset] = dict.fromkeys(_unset(target.environ), UNSET)
    env |= OFF | bypass(target.endpoint, target.environ)
    env["FACTORY_RUNTIME_SETTINGS_PATH"] = str(settings_path)
    if target.home == "clean":
        env["FACTORY_HOME_OVERRIDE"] = str(target.home_folder)
    return Handover(
        argv=(*target.command, *target.context.tier.args, *_with_model(target.args)),
        env=env,
        files=(PrivateFile(settings_path, document(_settings(target))),),
    )


def is_headless(args: tuple[str, ...]) -> bool:
    """True for `droid exec`."""
    return "exec" in before_operands(args)


def _with_model(args: tuple[str, ...]) -> tuple[str, ...]:
    """`exec` takes the model as a flag too, which counts more than any settings file."""
    if not is_headless(args):
        return args
    after = args.index("exec") + 1
    return (*args[:after], "-m", MODEL_ID, *args[after:])


def _settings(target: Target) -> dict[str, object]:
    endpoint, context = target.endpoint, target.context
    wire = target.wire(AGENT.wires)
    model: dict[str, object] = {
        "model": endpoint.model,
        "id": MODEL_ID,
        "displayName": endpoint.model,
        "baseUrl": endpoint.base_url if wire == "anthropic_messages" else endpoint.openai_url,
        "apiKey": endpoint.token or DUMMY_TOKEN,
        "provider": PROVIDERS[wire],
        "maxOutputTokens": context.max_output_tokens,
        "maxContextLimit": context.agent_window_tokens,
        "noImageSupport": True,
    }
    limit = context.compact_at_tokens or context.agent_window_tokens
    return {
        "customModels": [model],
        "sessionDefaultSettings": {"model": MODEL_ID, "specModeModel": MODEL_ID},
        # `maxContextLimit` alone leaves it to run into the engine's refusal; with this it compacts
        # after the reply whose usage reaches the limit (seen, 0.215.0).
        "compactionThresholdCheckEnabled": context.compact_at_tokens is not None,
        "compactionTokenLimit": limit,
        "compactionTokenLimitPerModel": {MODEL_ID: limit},
        "compactionModel": MODEL_ID,
    }


def _unset(environ: Mapping[str, str]) -> list[str]:
    return stale(environ, UNSET_PREFIXES, kept=KEPT)


def _trusts(document: Mapping[str, Any], folder: str) -> bool:
    """Its dialog adds the folder itself (seen, 0.215.0); whether that counts below is unknown."""
    folders = document.get("trustedFolders")
    return isinstance(folders, dict) and str(Path(folder)) in folders


AGENT = Agent(
    name="droid",
    title="Droid",
    aliases=("factory", "factory-droid"),
    binary="droid",
    known_places=("~/.local/bin/droid",),
    package=Package(
        kind="npm",
        name="droid",
        version="0.215.0",
        size_bytes=308_300_000,
        download_bytes=None,
        source="npm: droid 0.215.0",
        programs=(("droid", "node_modules/.bin/droid"),),
        min_node=(20, 0),
    ),
    tested_versions=("0.215.0",),
    wires=("openai_chat", "openai_responses", "anthropic_messages"),
    # cl100k tokens of the first request's body, 0.215.0: `exec --auto low` 8,546 (8,991 in another
    # folder), `exec` alone 7,282 with 6 tools; interactive 11,227 with 15 tools.
    tiers=(Tier("full", (), tools=12, headless_tokens=8_991, interactive_tokens=11_227),),
    # The limit is ours to set: what is left takes one reply and the results of a tool.
    compaction=Compaction(most_reply_tokens=32_000, reserve_tokens=2_000),
    wanted_context_tokens=32_768,
    support="launches",
    local=True,
    local_reason=None,
    reserved=RESERVED,
    grammar=GRAMMAR,
    prepare=prepare,
    is_headless=is_headless,
    one_prompt='exec "…"',
    errand=("exec", "--auto", "low", PROMPT),
    config_folder=("", "~/.factory"),
    watched=(
        Watched("{config}/settings.json", "json", redirects=ROUTES),
        Watched("{config}/settings.local.json", "json", redirects=ROUTES),
        *(
            Watched(
                f".factory/{name}",
                "json",
                redirects=ROUTES,
                runs=("hooks", "statusLine.command", "customModels.*.apiKeyHelper"),
            )
            for name in ("settings.json", "settings.local.json")
        ),
        Watched(".factory/hooks.json", "json", runs=("*",)),
        Watched(".factory/mcp.json", "json", runs=MCP_RUNS),
    ),
    trust=Trust("{config}/settings.json", "json", _trusts, asks=True),
    notes=(
        "Headless (`droid exec`) it reads only, unless it is given `--auto low` or more.",
        "A custom droid (subagent) that names a model of your own settings is asked there.",
    ),
)
