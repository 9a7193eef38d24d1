"""Codex CLI: routed by `-c` flags, which only an administrator's file outranks.

Its order of settings, observed in 0.169.0: administrator (`requirements.toml`, then
`managed_config.toml`) > `-c` > the project's `.codex/config.toml` (trusted folders; never a
provider) > user > `/etc/codex/config.toml`. Two things go past the flags. Tables are merged by key,
so our provider bears a name that no file has. And `$CODEX_HOME/.env` replaces variables of the
shell, so the token's variable is named after the launch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from agentlaunch.agents.arguments import before_operands, refuse, refuse_reserved, subcommand
from agentlaunch.agents.base import (
    PROMPT,
    UNSET,
    Agent,
    Break,
    Grammar,
    Handover,
    PrivateFile,
    Rehearsal,
    Reserved,
    Target,
    Trust,
    Unset,
    Watched,
)
from agentlaunch.agents.sessions import Resume, Sessions, by_word, documents, total
from agentlaunch.agents.surroundings import DUMMY_TOKEN, bypass, stale
from agentlaunch.changes.edit import Edit, SetKeys
from agentlaunch.context import Compaction, ContextPlan, Tier
from agentlaunch.keys import KEY_VARIABLE
from agentlaunch.managed import Package

PROVIDER = "agentlaunch_launch"
"""Our provider's name: the same in every launch, since `codex resume` lists only the sessions of
the provider in use, and another than the one that `--config` writes."""

CONFIGURED_PROVIDER = "agentlaunch"

OFF: tuple[tuple[str, object], ...] = (
    # Calls home.
    ("analytics.enabled", False),
    ("feedback.enabled", False),
    ("check_for_update_on_startup", False),
    ("features.plugins", False),  # asks github.com, api.github.com, chatgpt.com
    ("features.apps", False),
    ("otel.exporter", "none"),
    ("otel.trace_exporter", "none"),
    ("otel.metrics_exporter", "none"),
    ("otel.log_user_prompt", False),
    # The user's login is left alone: not read, not refreshed, not deleted by `/logout`. With an
    # organisation's login it would else ask auth.openai.com and chatgpt.com, and end without them.
    ("cli_auth_credentials_store", "ephemeral"),
    # What only the vendor's server can do.
    ("web_search", "disabled"),
    ("service_tier", "default"),  # the field is then left out of the request
    # A background server would keep this launch's sessions, with the settings of another start.
    ("features.daemon_auto_start", False),
)
"""Switches; each was seen to act in 0.169.0 but `feedback`, the update check and the daemon's."""

INSTRUCTIONS = """\
You are Codex, a coding agent in the user's terminal. You and the user share one workspace. Work \
on the user's request until it is done, and do exactly what was asked.

- Read before you write: look at the files that matter (`rg`, `ls`, `sed -n`) and follow the \
style that is there. Instructions in AGENTS.md files count for the files below them.
- Run commands with `exec_command`. Change files with shell commands, keep changes small, and do \
not touch what you were not asked to change. Never undo changes that you did not make.
- Do not commit, create branches or delete data unless the user asks for it.
- After a change, run the tests or the program where that is possible, and read the output.
- If a command fails, read the error, find the cause, and try something else.
- Answer in a few plain sentences: what you did, where, and what is left. Name files by path.
"""
"""The slim tier's instructions, ours: the agent's own take 4,200 tokens (0.169.0)."""

SLIM: tuple[tuple[str, object], ...] = (
    ("agents.enabled", False),
    ("features.goals", False),
    ("skills.bundled.enabled", False),
    ("tools.experimental_request_user_input.enabled", False),
    # Its own tools for managing sessions, and with them a request for a title after each first
    # message, which would push the session out of an engine's single slot (seen, 0.169.0).
    ("mcp_servers.codex_tui", {"command": "true", "enabled": False}),
)

UNSET_FIRST: tuple[str, ...] = (
    "CODEX_ACCESS_TOKEN",
    "CODEX_APP_SERVER_CHATGPT_BASE_URL",
    "CODEX_APP_SERVER_LOGIN_CLIENT_ID",
    "CODEX_APP_SERVER_LOGIN_ISSUER",
    "CODEX_CLOUD_TASKS_BASE_URL",
    "CODEX_CONNECTORS_TOKEN",
    "CODEX_EXEC_SERVER_URL",
    "CODEX_GITHUB_PERSONAL_ACCESS_TOKEN",
    "CODEX_GUARDIAN_DECISIONS_API_KEY",
    "CODEX_OSS_BASE_URL",
    "CODEX_OSS_PORT",
    "CODEX_REFRESH_TOKEN_URL_OVERRIDE",
    "CODEX_REVOKE_TOKEN_URL_OVERRIDE",
    "OPENAI_BASE_URL",
    "OPENAI_FEDERATION_RULE_ID",
    "OPENAI_IDENTITY_TOKEN_FILE",
    "OPENAI_ORGANIZATION",
    "OPENAI_PROJECT",
)
"""Variables of 0.169.0 that name another server, or hold one of the user's logins."""

MODEL_KEYS: tuple[str, ...] = (
    "model",
    "review_model",
    "memories.extract_model",
    "memories.consolidation_model",
)
"""Places of 0.169.0 that name a model. Not `agents.default_subagent_model`: a subagent takes its
parent's without it, and with it refuses a model that is not in the vendor's list (seen)."""

REDIRECTS: tuple[str, ...] = (
    "model_provider",
    "openai_base_url",
    "chatgpt_base_url",
    "otel.*exporter",
)

ADMINISTRATORS: tuple[str, ...] = (
    "/etc/codex/managed_config.toml",
    "/etc/codex/requirements.toml",
    "C:/ProgramData/OpenAI/Codex/requirements.toml",
)
"""Both of Linux's win over `-c` (seen, 0.169.0); `/etc/codex/config.toml` does not."""

_OWN_MODEL = "use `agentlaunch up codex --model REF`"
_ROUTING = "agentlaunch says where requests go: leave it out"
_ELSEWHERE = "that session would not use this engine: run `codex` itself"
_NO_MODEL = "it asks no model of ours: run `codex {}` itself"

RESERVED: tuple[Reserved, ...] = (
    Reserved("--model", _OWN_MODEL),
    Reserved("-m", _OWN_MODEL),
    Reserved("--profile", "it would change the model and its server: put it into `-c KEY=VALUE`"),
    Reserved("-p", "it would change the model and its server: put it into `-c KEY=VALUE`"),
    Reserved("--oss", _OWN_MODEL),
    Reserved("--local-provider", _OWN_MODEL),
    Reserved("--remote", _ELSEWHERE),
    Reserved("--remote-auth-token-env", _ELSEWHERE),
    Reserved("--search", "only the vendor's own server searches the web: leave it out"),
    *(
        Reserved(word, _NO_MODEL.format(word))
        for word in (
            "agents",
            "app-server",
            "apply",
            "a",
            "archive",
            "cloud",
            "completion",
            "debug",
            "delete",
            "doctor",
            "exec-server",
            "features",
            "login",
            "logout",
            "mcp",
            "mcp-server",
            "migrate-nfs-db",
            "migrate-rollouts",
            "plugin",
            "queue",
            "remote-control",
            "sandbox",
            "unarchive",
            "update",
        )
    ),
)

GRAMMAR = Grammar(
    value_flags=(
        "-c", "--config", "--enable", "--disable", "-i", "--image", "-s", "--sandbox", "-C", "--cd",
        "--add-dir", "-a", "--ask-for-approval", "--color",
    )
)  # fmt: skip
"""Flags of 0.169.0 that may stand before a subcommand."""

RESERVED_KEYS: tuple[str, ...] = (
    "analytics",
    "chatgpt_base_url",
    "cli_auth_credentials_store",
    "features.apps",
    "features.daemon_auto_start",
    "features.plugins",
    "memories.consolidation_model",
    "memories.extract_model",
    "model",
    "model_auto_compact_token_limit",
    "model_auto_compact_token_limit_scope",
    "model_catalog_json",
    "model_context_window",
    "model_provider",
    "model_providers",
    "openai_base_url",
    "oss_provider",
    "otel",
    "profile",
    "review_model",
    "service_tier",
    "web_search",
)
"""Keys of `-c` that a later argument would take back; each with all that lies below it, and the
tables above it."""


def prepare(target: Target) -> Handover:
    """What Codex becomes for this target; raises `UsageError` for a reserved argument."""
    refuse_reserved("Codex", RESERVED, target.args, GRAMMAR)
    _refuse_overrides(target.args)
    token_variable = f"AGENTLAUNCH_TOKEN_{re.sub(r'[^0-9A-Za-z]', '_', target.run_name)}"
    settings = [*_routing(target, token_variable), *_window(target.context), *OFF]
    if target.thinking_off:
        settings.append(("model_reasoning_effort", "none"))
    files: tuple[PrivateFile, ...] = ()
    if target.context.tier.args:
        catalog = target.runtime_folder / f"codex-{target.run_name}.json"
        files = (PrivateFile(catalog, _catalog(target.endpoint.model, target.context)),)
        settings.append(("model_catalog_json", str(catalog)))
    argv = (*target.command, *_flags(settings), *target.context.tier.args, *target.args)
    env: dict[str, str | Unset] = dict.fromkeys(_unset(target.environ), UNSET)
    env[token_variable] = target.endpoint.token or DUMMY_TOKEN
    if target.endpoint.is_loopback:
        env |= bypass(target.endpoint, target.environ)
    seeds: tuple[PrivateFile, ...] = ()
    if target.home == "clean":
        env["CODEX_HOME"] = str(target.home_folder)
        # It refuses to start where the folder is missing.
        seeds = (PrivateFile(target.home_folder / "config.toml", b""),)
    return Handover(argv=argv, env=env, files=files, seeds=seeds)


def configure(target: Target) -> tuple[Edit, ...]:
    """The keys of the user's own `config.toml` that make a plain `codex` ask this engine."""
    values: dict[tuple[str, ...], object] = {
        ("model",): target.endpoint.model,
        ("model_provider",): CONFIGURED_PROVIDER,
        ("model_context_window",): target.context.agent_window_tokens,
        ("model_auto_compact_token_limit",): _compact_at(target.context),
        ("model_providers", CONFIGURED_PROVIDER, "name"): "agentlaunch",
        ("model_providers", CONFIGURED_PROVIDER, "base_url"): target.endpoint.openai_url,
        ("model_providers", CONFIGURED_PROVIDER, "wire_api"): "responses",
        ("model_providers", CONFIGURED_PROVIDER, "stream_idle_timeout_ms"): 1000
        * target.patience_s,
    }
    if target.endpoint.token:
        values["model_providers", CONFIGURED_PROVIDER, "env_key"] = KEY_VARIABLE
        values["model_providers", CONFIGURED_PROVIDER, "env_key_instructions"] = (
            "It is the key of your engine."
        )
    return (SetKeys(target.own_folder / "config.toml", "toml", values),)


def is_headless(args: tuple[str, ...]) -> bool:
    """True for `exec`, `e` and `review`, with the flags of Codex itself before them or not."""
    return subcommand(args, GRAMMAR) in ("exec", "e", "review")


def _refuse_overrides(args: tuple[str, ...]) -> None:
    """Raise `UsageError` for `-c` of a key of ours, of what lies below it, or of a table above."""
    rows = [
        Reserved(f"{flag} {key}", _OWN_MODEL if key == "model" else _ROUTING)
        for flag, key in _overrides(args)
        if any(
            f"{key}.".startswith(f"{name}.") or name.startswith(f"{key}.") for name in RESERVED_KEYS
        )
    ]
    for row in rows:
        refuse("Codex", row)


def _overrides(args: Iterable[str]) -> list[tuple[str, str]]:
    """Each `-c KEY=VALUE`, in every spelling: the word that holds the flag, and the plain key."""
    found: list[tuple[str, str]] = []
    words = before_operands(args)
    for number, word in enumerate(words):
        after = words[number + 1] if number + 1 < len(words) else ""
        if word in ("-c", "--config"):
            found.append((word, after))
        elif word.startswith("--config="):
            found.append(("--config", word.removeprefix("--config=")))
        elif word.startswith("-c"):
            found.append((word.split("=", 1)[0], word.removeprefix("-c").removeprefix("=")))
        elif word in ("--enable", "--disable"):
            found.append((word, f"features.{after}"))
        elif word.startswith(("--enable=", "--disable=")):
            flag, _equals, feature = word.partition("=")
            found.append((flag, f"features.{feature}"))
    return [(flag, _plain(text)) for flag, text in found]


def _plain(override: str) -> str:
    return re.sub(r"[\s\"']", "", override.split("=", 1)[0])


def _routing(target: Target, token_variable: str) -> list[tuple[str, object]]:
    provider: dict[str, object] = {
        "name": "agentlaunch",
        "base_url": target.endpoint.openai_url,
        "wire_api": "responses",
        "env_key": token_variable,
        "requires_openai_auth": False,
        "supports_websockets": False,
        "stream_idle_timeout_ms": target.patience_s * 1000,
    }
    return [
        ("model_provider", PROVIDER),
        (f"model_providers.{PROVIDER}", provider),
        *((key, target.endpoint.model) for key in MODEL_KEYS),
    ]


def _window(context: ContextPlan) -> list[tuple[str, object]]:
    return [
        ("model_context_window", context.agent_window_tokens),
        ("model_auto_compact_token_limit", _compact_at(context)),
        ("model_auto_compact_token_limit_scope", "total"),
        ("tool_output_token_limit", _tool_output(context)),
    ]


def _compact_at(context: ContextPlan) -> int:
    """Codex compacts at 9/10 of the window at the latest; a limit of the window leaves it that."""
    return context.compact_at_tokens or context.agent_window_tokens


def _tool_output(context: ContextPlan) -> int:
    """One command's output must not fill what is left after the compaction point."""
    return max(1_000, min(10_000, context.agent_window_tokens // 16))


def _catalog(model: str, context: ContextPlan) -> bytes:
    """A list of models with ours alone, for `/model` and with short instructions.

    Without one the agent falls back to its own long instructions (0.169.0).
    """
    entry = {
        "slug": model,
        "display_name": model,
        "description": "the engine that agentlaunch chose",
        "supported_reasoning_levels": [],
        "shell_type": "unified_exec",
        "visibility": "list",
        "supported_in_api": True,
        "priority": 1,
        "support_verbosity": False,
        "truncation_policy": {"mode": "tokens", "limit": _tool_output(context)},
        "context_window": context.agent_window_tokens,
        "experimental_supported_tools": [],
        "input_modalities": ["text"],
        "supports_parallel_tool_calls": False,
        "supports_reasoning_summaries": False,
        "base_instructions": INSTRUCTIONS,
    }
    return json.dumps({"models": [entry]}).encode() + b"\n"


def _flags(settings: Iterable[tuple[str, object]]) -> tuple[str, ...]:
    return tuple(
        word for key, value in settings for word in ("-c", f"{key}={_toml(value)}")
    )  # a value that is no TOML would be read as a plain string, or as something else


def _toml(value: object) -> str:
    """A value as inline TOML; its strings are JSON's but for DEL."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}={_toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value).replace("\x7f", "\\u007f")


def _unset(environ: Mapping[str, str]) -> list[str]:
    return [*UNSET_FIRST, *stale(environ, ("OTEL_", "AGENTLAUNCH_TOKEN"))]


def _resumed(args: tuple[str, ...]) -> Resume | None:
    return by_word(args, "resume", latest=("--last",), before=("exec", "e"))


def _session_tokens(lines: Iterable[bytes]) -> int | None:
    """By the usage of the last request (seen, 0.169.0)."""
    tokens: int | None = None
    for row in documents(lines):
        payload = row.get("payload")
        if isinstance(payload, dict) and payload.get("type") == "token_count":
            info = payload.get("info")
            usage = info.get("last_token_usage") if isinstance(info, dict) else None
            tokens = total(usage, "total_tokens")
    return tokens


def _session_project(line: bytes) -> str | None:
    for row in documents([line]):
        payload = row.get("payload")
        folder = payload.get("cwd") if isinstance(payload, dict) else None
        return folder if isinstance(folder, str) else None
    return None


def _trusts(document: Mapping[str, Any], folder: str) -> bool:
    """Codex asks for the folder itself and the root of its repository, and for no other above it
    (seen, 0.169.0); the root is not known here, so less is said to be trusted than is."""
    projects = document.get("projects")
    row = projects.get(folder) if isinstance(projects, dict) else None
    return isinstance(row, dict) and row.get("trust_level") == "trusted"


AGENT = Agent(
    name="codex",
    title="Codex",
    aliases=("codex-cli", "openai-codex"),
    binary="codex",
    known_places=("~/.local/bin/codex", "/opt/homebrew/bin/codex", "/usr/local/bin/codex"),
    package=Package(
        kind="npm",
        name="@openai/codex",
        version="0.169.0",
        size_bytes=423_000_000,
        download_bytes=167_000_000,
        source="npm: @openai/codex 0.169.0",
        programs=(("codex", "node_modules/.bin/codex"),),
        min_node=(16, 0),
    ),
    tested_versions=("0.169.0",),
    wires=("openai_responses",),
    # cl100k tokens of the first request's body in an empty repository, for a prompt of two words.
    tiers=(
        Tier("full", (), tools=12, headless_tokens=9_669, interactive_tokens=12_569),
        Tier("slim", _flags(SLIM), tools=3, headless_tokens=2_096, interactive_tokens=3_245),
    ),
    # It sends no cap on a reply, so a whole one must fit behind the point, and so must the output
    # of the last command; by itself it compacts at 9/10 of the window at the latest.
    compaction=Compaction(most_reply_tokens=8_000, reserve_tokens=2_000, share=0.9),
    wanted_context_tokens=65_536,
    support="tested",
    local=True,
    local_reason=None,
    reserved=RESERVED,
    grammar=GRAMMAR,
    prepare=prepare,
    is_headless=is_headless,
    one_prompt='exec "…"',
    errand=("exec", "--ephemeral", "--sandbox", "workspace-write", PROMPT),
    config_folder=("CODEX_HOME", "~/.codex"),
    watched=(
        *(
            Watched(
                place, "toml", redirects=(*REDIRECTS, "model", "model_providers"), outranks=True
            )
            for place in ADMINISTRATORS
        ),
        Watched(
            "{config}/config.toml",
            "toml",
            redirects=REDIRECTS,
            beyond_us=(f"model_providers.{PROVIDER}",),
        ),
        # No `runs`: until the user trusts the folder, Codex itself passes over a project's
        # settings, MCP commands and hooks, headless too (seen, 0.169.0).
        Watched(".codex/config.toml", "toml", redirects=REDIRECTS),
        Watched("{config}/.env", "env", redirects=("OPENAI_BASE_URL",), beyond_us=("NO_PROXY",)),
    ),
    trust=Trust("{config}/config.toml", "toml", _trusts, asks=True),
    sessions=Sessions(
        _resumed,
        lambda _project, session: f"sessions/*/*/*/rollout-*{session}.jsonl",
        _session_tokens,
        _session_project,
    ),
    # Only `exec` has a session that is not kept (0.169.0).
    rehearsal=Rehearsal(
        args=(
            "exec",
            "--ephemeral",
            "--skip-git-repo-check",
            *("-c", "features.hooks=false", "-c", "notify=[]"),
            PROMPT,
        ),
    ),
    breaks=(
        Break("<0.23.0", "a project's `.env` can move the agent's folder (CVE-2025-61260)"),
        Break(
            ">=0.169.0",
            'it ends at a `config.toml` with `wire_api = "chat"` or a top-level `profile` in it',
        ),
        Break("<0.169.0", "switches of ours may be unknown to it: its calls home are not tested"),
    ),
    egress=(
        "raw.githubusercontent.com:443: the terminal interface fetches a tip of the day at its "
        "start; nothing is sent but the request (0.169.0, not with `exec`)",
    ),
    notes=(
        "Your ChatGPT login is not used and not touched; what your organisation ties to it is "
        "not loaded.",
        "With the full prompt `/model` lists the vendor's models, and choosing one writes it into "
        "your config.toml: the engine still gets the request, under that name.",
        "Nothing stops a model that repeats one call (60 were let through, 0.169.0).",
    ),
    configure=configure,
)
