"""Pi: routed by an extension of ours for one run, so its folder and settings stay the user's own.

`-e FILE` registers a provider (seen, 0.87.1, headless and interactive); `--provider` and `--model`
choose it over every settings file and over the model of a session that is gone on with. An
extension is a program, so it also sets for our model what only a settings file could: when it
compacts, and how long it waits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentlaunch.agents import status_line
from agentlaunch.agents.arguments import before_operands, refuse_reserved
from agentlaunch.agents.base import (
    PROMPT,
    UNSET,
    Agent,
    Handover,
    PrivateFile,
    Rehearsal,
    Reserved,
    StatusLine,
    Target,
    Trust,
    Unset,
    Watched,
)
from agentlaunch.agents.surroundings import DUMMY_TOKEN, bypass, document, stale
from agentlaunch.changes.edit import Edit, SetKeys
from agentlaunch.context import Compaction, Tier
from agentlaunch.endpoint import Wire
from agentlaunch.keys import KEY_VARIABLE
from agentlaunch.managed import Package

WIRES: tuple[Wire, ...] = ("openai_chat", "openai_responses", "anthropic_messages")
APIS: dict[Wire, str] = {
    "openai_chat": "openai-completions",
    "openai_responses": "openai-responses",
    "anthropic_messages": "anthropic-messages",
}

COMPATIBLE: dict[Wire, dict[str, object]] = {
    # What OpenAI alone has: a field or role that an engine may refuse.
    "openai_chat": {
        "supportsStore": False,
        "supportsDeveloperRole": False,
        "supportsReasoningEffort": False,
        "maxTokensField": "max_tokens",
    },
    "openai_responses": {},
    "anthropic_messages": {},
}

NO_THINKING: dict[Wire, dict[str, object]] = {
    "openai_chat": {"chat_template_kwargs": {"enable_thinking": False}},
    "openai_responses": {"reasoning": {"effort": "none"}},
    "anthropic_messages": {"thinking": {"type": "disabled"}},
}
"""Added to each request for a model that must not think."""

MOST_RECENT_TOKENS = 20_000
"""Its own default of what a compaction leaves as it is; it counts four characters as one, and does
not compact a conversation that is smaller than this by that count (seen, 0.87.1)."""

EXTENSION = """\
// Written by agentlaunch for one launch; the file beside it says which model is asked.
import { readFileSync } from "node:fs";
import { SettingsManager } from "@earendil-works/pi-coding-agent";

const ours = JSON.parse(readFileSync(import.meta.filename.replace(/[.]mjs$/, ".json"), "utf8"));
// So that no compiled copy of this file is kept; the user's own extensions may have theirs.
if (ours.keeps_no_copy) delete process.env.JITI_FS_CACHE;
const isOurs = (model) => model?.provider === ours.provider;

// A settings file could say this too, but only the user's own or the project's.
const settings = SettingsManager?.prototype ?? {};
const instead = (name, make) => {
  const known = Symbol.for(`agentlaunch.${name}`);
  if (!settings[name]) return;
  settings[known] ??= settings[name];
  const own = settings[known];
  settings[name] = function (...args) { return make(own.apply(this, args), ...args); };
};
instead("getCompactionSettings", (own, model) => (isOurs(model) ? ours.compaction : own));
instead("getHttpIdleTimeoutMs", (own) => (own === 0 ? 0 : Math.max(own, ours.patience_ms)));
instead("getProviderRetrySettings", (own) => ({ ...own, timeoutMs: undefined }));

export default function (pi) {
  pi.registerProvider(ours.provider, ours.config);
  if (!ours.extra) return;
  pi.on("before_provider_request", (event, context) =>
    isOurs(context.model) ? { ...event.payload, ...ours.extra } : undefined);
}
"""
"""Plain JavaScript without a secret in it; by its default the program keeps a compiled copy."""

STATUS_EXTENSION = """\
// Written by agentlaunch for one launch: shows in the footer where requests go now.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";

const ours = JSON.parse(readFileSync(import.meta.filename.replace(/[.]mjs$/, ".json"), "utf8"));
const [program, ...words] = ours.command;

export default function (pi) {
  let timer;
  const show = (_event, context) => {
    if (context.mode !== "tui") return;
    execFile(program, words, { timeout: 5000 }, (error, text) => {
      // The session may have ended by now.
      try { context.ui.setStatus("agentlaunch", error ? undefined : text.trim()); } catch {}
    });
  };
  pi.on("session_start", (event, context) => {
    clearInterval(timer);
    timer = setInterval(() => show(event, context), ours.refresh_ms);
    timer.unref();
    show(event, context);
  });
  pi.on("turn_end", show);
  pi.on("session_shutdown", () => clearInterval(timer));
}
"""
"""Beside what other extensions of the user's show there (seen, 0.87.1)."""

OFF: dict[str, str] = {
    "PI_OFFLINE": "1",
    "PI_SKIP_VERSION_CHECK": "1",
    "PI_TELEMETRY": "0",
}

KEPT = (
    "PI_CODING_AGENT_DIR",
    "PI_CODING_AGENT_SESSION_DIR",
    "PI_CACHE_RETENTION",
    "PI_CLEAR_ON_SHRINK",
    "PI_HARDWARE_CURSOR",
    "PI_HYPERLINKS",
    "PI_IMAGE_PROTOCOL",
    "PI_TRUE_COLOR",
    "PI_TUI_ESC_TIMEOUT",
)
"""Of the user's `PI_*` variables, those that neither route nor call home."""

UNSET_PREFIXES = ("PI_", "OTEL_")

_OWN_MODEL = "use `agentlaunch up pi --model REF`"
_NO_LAUNCH = "it asks no model of this launch: run `pi {}` itself"

RESERVED: tuple[Reserved, ...] = (
    *(Reserved(flag, _OWN_MODEL) for flag in ("--provider", "--model", "--models")),
    Reserved("--api-key", "the engine's key goes in by AGENTLAUNCH_ENGINE_KEY"),
    Reserved("--list-models", _NO_LAUNCH.format("--list-models")),
    Reserved("--export", _NO_LAUNCH.format("--export")),
    *(
        Reserved(word, _NO_LAUNCH.format(word))
        for word in ("auth", "config", "install", "list", "remove", "uninstall", "update")
    ),
)


def prepare(target: Target) -> Handover:
    """What Pi becomes for this target; raises `UsageError` for a reserved argument."""
    refuse_reserved("Pi", RESERVED, target.args)
    provider = _provider_id(target)
    extension = target.runtime_folder / f"pi-{target.run_name}.mjs"
    env: dict[str, str | Unset] = dict.fromkeys(_unset(target.environ), UNSET)
    env |= OFF | bypass(target.endpoint, target.environ)
    if "JITI_FS_CACHE" not in target.environ:
        env["JITI_FS_CACHE"] = "false"
    if target.home == "clean":
        env |= {
            "PI_CODING_AGENT_DIR": str(target.home_folder),
            "PI_CODING_AGENT_SESSION_DIR": UNSET,
        }
    status = _status_files(target)
    routing = (
        *(word for file in status[:1] for word in ("-e", str(file.path))),
        *("-e", str(extension), "--provider", provider, "--model", target.endpoint.model),
        # What Ctrl+P goes through; else a press of it asks another provider of the user's.
        *("--models", f"{provider}/*"),
    )
    return Handover(
        argv=(*target.command, *routing, *target.context.tier.args, *target.args),
        env=env,
        files=(
            PrivateFile(extension, EXTENSION.encode()),
            PrivateFile(extension.with_suffix(".json"), document(_ours(target, provider))),
            *status,
        ),
    )


def _status_files(target: Target) -> tuple[PrivateFile, ...]:
    """What shows our line in the footer, and what it reads; nothing where nothing can change."""
    if not target.status_command:
        return ()
    values = {
        "command": list(target.status_command),
        "refresh_ms": status_line.REFRESH_S * 1000,
    }
    place = target.runtime_folder / f"pi-{target.run_name}-status.mjs"
    return (
        PrivateFile(place, STATUS_EXTENSION.encode()),
        PrivateFile(place.with_suffix(".json"), document(values)),
    )


def is_headless(args: tuple[str, ...]) -> bool:
    """True for `-p` and for the modes that speak JSON."""
    flags = before_operands(args)
    modes = {flags[at + 1] for at, arg in enumerate(flags[:-1]) if arg == "--mode"}
    return bool({"-p", "--print"} & set(flags) or modes & {"json", "rpc"})


def configure(target: Target) -> tuple[Edit, ...]:
    """A provider of the user's own `models.json`, and it as the default of his settings."""
    token = target.endpoint.token
    key = f"${KEY_VARIABLE}" if token else DUMMY_TOKEN
    values: dict[tuple[str, ...], object] = {
        ("providers", "agentlaunch"): _provider(target, key),
    }
    chosen: dict[tuple[str, ...], object] = {
        ("defaultProvider",): "agentlaunch",
        ("defaultModel",): target.endpoint.model,
    }
    return (
        SetKeys(target.own_folder / "models.json", "json", values),
        SetKeys(target.own_folder / "settings.json", "json", chosen),
    )


def _ours(target: Target, provider: str) -> dict[str, object]:
    context = target.context
    window = context.agent_window_tokens
    limit = context.compact_at_tokens
    return {
        "provider": provider,
        "config": _provider(target, _literal(target.endpoint.token or DUMMY_TOKEN)),
        "compaction": {
            "enabled": limit is not None,
            "reserveTokens": window - (limit or window),
            "keepRecentTokens": min(MOST_RECENT_TOKENS, window // 8),
        },
        "keeps_no_copy": "JITI_FS_CACHE" not in target.environ,
        "patience_ms": target.patience_s * 1000,
        "extra": NO_THINKING[target.wire(WIRES)] if target.thinking_off else None,
    }


def _provider(target: Target, key: str) -> dict[str, object]:
    endpoint, context, wire = target.endpoint, target.context, target.wire(WIRES)
    messages = wire == "anthropic_messages"
    is_bearer = endpoint.token_header == "bearer"  # noqa: S105 - the name of a header
    return {
        "name": "agentlaunch",
        "baseUrl": endpoint.base_url if messages else endpoint.openai_url,
        "api": APIS[wire],
        "apiKey": key,
        # Anthropic's client sends the key as x-api-key.
        **({"authHeader": True} if messages and is_bearer else {}),
        "models": [
            {
                "id": endpoint.model,
                "name": endpoint.model,
                "reasoning": False,
                "input": ["text"],
                "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
                "contextWindow": context.agent_window_tokens,
                "maxTokens": context.max_output_tokens,
                "compat": COMPATIBLE[wire],
            }
        ],
    }


def _provider_id(target: Target) -> str:
    """The same for a user in every launch, for his sessions; no file of his can know it."""
    place = "\0".join((target.environ.get("HOME", ""), str(target.home_folder)))
    return "agentlaunch-" + hashlib.sha256(place.encode()).hexdigest()[:8]


def _literal(key: str) -> str:
    """A key that starts with `!` would be run, and one with `$` is a variable (its own docs)."""
    text = key.replace("$", "$$")
    return f"${text}" if text.startswith("!") else text


def _unset(environ: Mapping[str, str]) -> list[str]:
    return stale(environ, UNSET_PREFIXES, kept=KEPT)


def _trusts(document: Mapping[str, Any], folder: str) -> bool:
    """The nearest folder above that has an answer counts (read, 0.87.1)."""
    place = Path(folder)
    answers = (document.get(str(each)) for each in (place, *place.parents))
    return next((answer for answer in answers if isinstance(answer, bool)), False)


AGENT = Agent(
    name="pi",
    title="Pi",
    aliases=("pi-coding-agent",),
    binary="pi",
    known_places=(),
    package=Package(
        kind="npm",
        name="@earendil-works/pi-coding-agent",
        version="0.87.1",
        size_bytes=125_000_000,
        download_bytes=None,
        source="npm: @earendil-works/pi-coding-agent 0.87.1",
        programs=(("pi", "node_modules/.bin/pi"),),
        min_node=(22, 19),
    ),
    tested_versions=("0.87.1",),
    wires=WIRES,
    # cl100k tokens of the first request's body in an empty repository, 0.87.1: 1,332 to 1,365.
    tiers=(Tier("full", (), tools=4, headless_tokens=1_365, interactive_tokens=1_365),),
    compaction=Compaction(most_reply_tokens=32_000, reserve_tokens=2_000),
    wanted_context_tokens=32_768,
    support="tested",
    local=True,
    local_reason=None,
    reserved=RESERVED,
    prepare=prepare,
    is_headless=is_headless,
    one_prompt='-p "…"',
    errand=("-p", "--no-session", PROMPT),
    watched=(
        Watched(
            "{config}/settings.json",
            "json",
            redirects=("defaultProvider", "defaultModel", "enabledModels", "httpProxy"),
        ),
        # No `runs`: until the user trusts the folder, Pi itself passes over a project's settings,
        # extensions and packages, headless too (seen, 0.87.1).
        Watched(
            ".pi/settings.json",
            "json",
            redirects=("defaultProvider", "defaultModel", "enabledModels"),
        ),
    ),
    config_folder=("PI_CODING_AGENT_DIR", "~/.pi/agent"),
    trust=Trust("{config}/trust.json", "json", _trusts, asks=True),
    # Without extensions: they are told of every session (ours is given by name, and stays). A
    # start on a terminal sends the same prompt, and writes into settings.json (seen, 0.87.1).
    rehearsal=Rehearsal(args=("-p", "--no-session", "--no-extensions", PROMPT)),
    configure=configure,
    status_line=StatusLine(),
    notes=(
        "Ctrl+P and `--continue` stay with this model; `/model` lists your own providers too "
        "after Tab, and one that you choose there is asked with your own key.",
        "With `-p`, a first prompt that the engine's context cannot hold ends with status 0 and no "
        "output.",
        "It has no permissions: it edits files and runs commands without a question.",
        "`/llama` and packages that are not installed yet are not fetched (it runs offline).",
        "Nothing stops a model that repeats one call (60 were let through, 0.87.1).",
    ),
)
