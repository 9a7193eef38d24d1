"""Claude Code: routed by a settings file that neither the user's settings nor a project outranks.

Its order of settings, read and observed in 2.1.197: administrator file > `--settings` > project
(local, then shared) > user > process environment. So everything that decides where requests go
stands in a private file given by `--settings`; the process environment carries the same values for
what is read before settings load.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from agentlaunch.agents import status_line
from agentlaunch.agents.arguments import before_operands, has_flag, refuse_reserved
from agentlaunch.agents.base import (
    PROMPT,
    UNSET,
    Agent,
    Grammar,
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
from agentlaunch.agents.sessions import Resume, Sessions, by_flags, documents, total
from agentlaunch.agents.surroundings import (
    CODE_VARIABLES,
    DUMMY_TOKEN,
    MCP_RUNS,
    bypass,
    document,
    stale,
)
from agentlaunch.agents.versions import matches
from agentlaunch.changes.edit import Edit, SetKeys
from agentlaunch.context import Compaction, ContextPlan, Tier
from agentlaunch.endpoint import Endpoint
from agentlaunch.errors import NotSupported
from agentlaunch.managed import Package

SLIM_TOOLS = "Bash,Read,Edit,Write,Glob,Grep"

OFF: dict[str, str] = {
    # Other providers, each of which would take the request elsewhere.
    "CLAUDE_CODE_USE_ANTHROPIC_AWS": "0",
    "CLAUDE_CODE_USE_BEDROCK": "0",
    "CLAUDE_CODE_USE_FOUNDRY": "0",
    "CLAUDE_CODE_USE_GATEWAY": "0",
    "CLAUDE_CODE_USE_MANTLE": "0",
    "CLAUDE_CODE_USE_VERTEX": "0",
    # Calls home.
    "CLAUDE_CODE_DISABLE_FEEDBACK_SURVEY": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL": "1",
    "CLAUDE_CODE_ENABLE_TELEMETRY": "0",
    "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA": "0",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_BUG_COMMAND": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_FEEDBACK_COMMAND": "1",
    "DISABLE_GROWTHBOOK": "1",
    "DISABLE_TELEMETRY": "1",
    # `/logout` would revoke and delete the user's real login, `/login` would leave the engine.
    "DISABLE_LOGIN_COMMAND": "1",
    "DISABLE_LOGOUT_COMMAND": "1",
    # A background session outlives this launch and its settings file, and would then go elsewhere.
    "CLAUDE_CODE_DISABLE_AGENT_VIEW": "1",
    # What makes an engine read the whole prompt again.
    "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
    "CLAUDE_CODE_ENABLE_AWAY_SUMMARY": "0",
    "CLAUDE_CODE_ENABLE_PROMPT_SUGGESTION": "false",
    "CLAUDE_CODE_TOTAL_TOKENS_REMINDER": "off",
    # What only the vendor's server can do.
    "CLAUDE_CODE_DISABLE_1M_CONTEXT": "1",
    "CLAUDE_CODE_DISABLE_ADVISOR_TOOL": "1",
    "ENABLE_TOOL_SEARCH": "false",
    "_CLAUDE_CODE_ASSUME_FIRST_PARTY_BASE_URL": "0",
}
"""Switches, read in 2.1.197's own code; those that route were also observed."""

EMPTIED: tuple[str, ...] = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AWS_API_KEY",
    "ANTHROPIC_AWS_BASE_URL",
    "ANTHROPIC_BEDROCK_BASE_URL",
    "ANTHROPIC_BEDROCK_MANTLE_API_KEY",
    "ANTHROPIC_BEDROCK_MANTLE_BASE_URL",
    "ANTHROPIC_BETAS",
    "ANTHROPIC_CUSTOM_MODEL_OPTION",
    "ANTHROPIC_FEDERATION_RULE_ID",
    "ANTHROPIC_FOUNDRY_API_KEY",
    "ANTHROPIC_FOUNDRY_BASE_URL",
    "ANTHROPIC_FOUNDRY_RESOURCE",
    "ANTHROPIC_PROFILE",
    "ANTHROPIC_UNIX_SOCKET",
    "ANTHROPIC_VERTEX_BASE_URL",
    "ANTHROPIC_VERTEX_PROJECT_ID",
    "AWS_BEARER_TOKEN_BEDROCK",
    "BETA_TRACING_ENDPOINT",
    "CLAUDE_CODE_API_BASE_URL",
    "CLAUDE_CODE_CUSTOM_OAUTH_URL",
    "CLAUDE_CODE_EXTRA_BODY",
    "CLAUDE_CODE_EXTRA_METADATA",
    "CLAUDE_CODE_OAUTH_REFRESH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST",
    "FALLBACK_FOR_ALL_PRIMARY_MODELS",
)
"""Variables that a settings file of the user or the project could set: emptied in ours, unset in
the child's environment."""

NO_THINKING: dict[str, str] = {
    "MAX_THINKING_TOKENS": "0",
    # Without this the request says nothing of thinking but `output_config.effort: high`, which
    # Ollama (0.33) takes for a wish to think (seen, 2.1.197).
    "CLAUDE_CODE_EXTRA_BODY": '{"thinking":{"type":"disabled"}}',
}
"""For a model that must not think."""

UNSET_FIRST: tuple[str, ...] = (
    "ANTHROPIC_CONFIG_DIR",
    "CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR",
    "CLAUDE_CODE_ENVIRONMENT_KIND",
    "CLAUDE_CODE_HOST_AUTH_ENV_VAR",
    "CLAUDE_CODE_OAUTH_TOKEN_FILE_DESCRIPTOR",
    "CLAUDE_CODE_REMOTE",
    "CLAUDE_CODE_SIMPLE",
)
"""Read before settings load: with them the agent ignores what our file says about the provider."""

UNSET_PREFIXES = ("OTEL_", "VERTEX_REGION_CLAUDE_")

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")

MODEL_VARIABLES: tuple[str, ...] = (
    "ANTHROPIC_MODEL",
    "ANTHROPIC_SMALL_FAST_MODEL",
    "ANTHROPIC_DEFAULT_FABLE_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "CLAUDE_CODE_SUBAGENT_MODEL",
)
"""Every tier of 2.1.197; an unmapped one asks the engine for a model that it does not have."""

SMALL_VARIABLES: tuple[str, ...] = ("ANTHROPIC_SMALL_FAST_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL")
"""What names the model of small work. The built-in Explore asks the second in 2.1.197, and the main
model in 2.1.330; what asks for `haiku` by name gets it in both (seen)."""

SUBAGENT_VARIABLE = "CLAUDE_CODE_SUBAGENT_MODEL"
"""For every subagent in 2.1.197, Explore too. "" is as if it were not there, also where the user's
own settings name one (seen)."""
SUBAGENT_FORCED = "CLAUDE_CODE_SUBAGENT_MODEL_FORCE"
"""2.1.330 needs it for the same: without it a subagent that has a model keeps it (seen)."""

BEYOND_US: tuple[str, ...] = ("ANTHROPIC_UNIX_SOCKET",)
"""Variables that our settings cannot take back once the user's or the project's settings file sets
them: requests then go to that local socket (seen, 2.1.197; in 2.1.330 no longer from a project).
Whoever reads the project's files before a launch must stop at them."""

REDIRECTS = (
    "env.*_BASE_URL",
    "env.*_AUTH_TOKEN",
    "env.*_API_KEY",
    "env.CLAUDE_CODE_USE_*",
    "apiKeyHelper",
)

RUNS = (
    "hooks",
    "statusLine.command",
    "fileSuggestion.command",
    "enabledPlugins.*",
    *(f"env.{name}" for name in CODE_VARIABLES),
)

ADMINISTRATORS = tuple(
    f"{folder}/{name}"
    for folder in (
        "/etc/claude-code",
        "/Library/Application Support/ClaudeCode",
        "C:/Program Files/ClaudeCode",
    )
    for name in ("managed-settings.json", "managed-settings.d/")
)

HELPERS: tuple[str, ...] = (
    "apiKeyHelper",
    "awsAuthRefresh",
    "awsCredentialExport",
    "gcpAuthRefresh",
    "otelHeadersHelper",
    "proxyAuthHelper",
)
"""Commands of the user's that fetch real credentials; "" switches one off, null hangs (seen)."""

CONFIGURED_EMPTY: tuple[str, ...] = ("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN")
"""Emptied in the user's own settings while these lead to an engine: a shell may export them."""

CONFIGURED_OFF: tuple[str, ...] = (
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_FOUNDRY",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    "CLAUDE_CODE_ATTRIBUTION_HEADER",
    "CLAUDE_CODE_ENABLE_AWAY_SUMMARY",
    "CLAUDE_CODE_ENABLE_PROMPT_SUGGESTION",
    "CLAUDE_CODE_TOTAL_TOKENS_REMINDER",
    "CLAUDE_CODE_DISABLE_1M_CONTEXT",
    "CLAUDE_CODE_DISABLE_ADVISOR_TOOL",
    "ENABLE_TOOL_SEARCH",
    "_CLAUDE_CODE_ASSUME_FIRST_PARTY_BASE_URL",
)
"""What of `OFF` a plain start needs; login, updates and the like stay as the user has them."""

SETTINGS_SCHEMA = "https://json.schemastore.org/claude-code-settings.json"

_OWN_MODEL = "use `agentlaunch up claude-code --model REF`"
_ELSEWHERE = "that session would not run on this machine: run `claude` itself"
_NO_MODEL = "it asks no model: run `claude {}` itself"

RESERVED: tuple[Reserved, ...] = (
    Reserved("--settings", "it would replace our settings: put yours in .claude/settings.json"),
    Reserved("--managed-settings", "it would outrank our settings: run `claude` itself"),
    Reserved("--model", _OWN_MODEL),
    Reserved("--fallback-model", "the engine serves one model, " + _OWN_MODEL),
    Reserved("--bg", "a background session outlives this launch: leave it out"),
    Reserved("--background", "a background session outlives this launch: leave it out"),
    Reserved("--tmux", "start tmux first, then agentlaunch in it"),
    Reserved("--cloud", _ELSEWHERE),
    Reserved("--remote", _ELSEWHERE),
    Reserved("--remote-control", _ELSEWHERE),
    Reserved("--rc", _ELSEWHERE),
    Reserved("--teleport", _ELSEWHERE),
    Reserved("--sdk-url", _ELSEWHERE),
    *(
        Reserved(word, _NO_MODEL.format(word))
        for word in (
            "agents",
            "auth",
            "auto-mode",
            "doctor",
            "gateway",
            "install",
            "mcp",
            "plugin",
            "plugins",
            "project",
            "remote-control",
            "setup-token",
            "ultrareview",
            "update",
            "upgrade",
        )
    ),
)

GRAMMAR = Grammar(
    value_flags=(
        "--add-dir", "--agent", "--agents", "--allowedTools", "--allowed-tools",
        "--append-system-prompt", "--betas", "--debug-file", "--disallowedTools",
        "--disallowed-tools", "--effort", "--file", "--from-pr", "--input-format", "--json-schema",
        "--max-budget-usd", "--mcp-config", "-n", "--name", "--output-format", "-p",
        "--permission-mode",
        "--plugin-dir", "--plugin-url", "--prompt-suggestions", "-r", "--resume", "--session-id",
        "--setting-sources", "--system-prompt", "--tools", "-w", "--worktree",
    )
)  # fmt: skip
"""Flags of 2.1.197; not `--debug`, whose value is rarely given."""


STATUS_KEYS: Mapping[str, tuple[type, ...]] = {
    "padding": (int, float),
    "refreshInterval": (int, float),
    "hideVimModeIndicator": (bool,),
}
"""What a status line may have beside its command, and of which kind (read, 2.1.197)."""

STABLE = "--exclude-dynamic-system-prompt-sections"
OWN_SYSTEM_PROMPT = ("--system-prompt", "--system-prompt-file")


def prepare(target: Target) -> Handover:
    """What Claude Code becomes for this target; raises `UsageError` for a reserved argument."""
    refuse_reserved("Claude Code", RESERVED, target.args, GRAMMAR)
    settings_path = target.runtime_folder / f"claude-code-{target.run_name}.json"
    variables = _variables(target)
    tier = () if has_flag(target.args, "--tools") else target.context.tier.args
    argv = (
        *target.command,
        *tier,
        *_stable(target),
        "--settings",
        str(settings_path),
        "--model",
        target.endpoint.model,
        *target.args,
    )
    env: dict[str, str | Unset] = dict.fromkeys(_unset(target.environ), UNSET)
    env |= {name: value or UNSET for name, value in variables.items()}
    seeds: tuple[PrivateFile, ...] = ()
    if target.home == "clean":
        env["CLAUDE_CONFIG_DIR"] = str(target.home_folder)
        # Onboarding (theme, login) is skipped; trust in a folder is the user's to give.
        seeds = (
            PrivateFile(
                target.home_folder / ".claude.json", document({"hasCompletedOnboarding": True})
            ),
        )
    settings = PrivateFile(settings_path, document(_settings(target, variables)))
    return Handover(argv=argv, env=env, files=(settings,), seeds=seeds)


def _stable(target: Target) -> tuple[str, ...]:
    """What moves git status behind the tools, so that a commit leaves most of the prompt in an
    engine's cache: 89 % in place of 9 % (2.1.197, headless; on a terminal it does nothing, and
    2.1.330 has git status there by itself). With a system prompt of the user's it has no meaning;
    2.1.97 does not know it."""
    if not matches(target.version or "", ">=2.1.98") or not is_headless(target.args):
        return ()
    return () if has_flag(target.args, STABLE, *OWN_SYSTEM_PROMPT) else (STABLE,)


def configure(target: Target) -> tuple[Edit, ...]:
    """The user's own settings.json for a plain `claude` (and its IDE extensions): only what routes
    and sizes. Never `.claude.json`, which the agent itself rewrites all the time.

    Raises `NotSupported` where a key is needed: its settings could hold it only in plain text.
    """
    if target.endpoint.token:
        raise NotSupported(
            "Claude Code could keep the key of this server only in plain text",
            hint="launch it, then the key stays out of every file: agentlaunch up claude-code",
            code="key-in-plain-text",
        )
    network = bypass(target.endpoint, target.environ)
    variables = {
        **dict.fromkeys(CONFIGURED_EMPTY, ""),
        **{name: OFF[name] for name in CONFIGURED_OFF},
        **_routing(target.endpoint),
        **dict.fromkeys(MODEL_VARIABLES, target.endpoint.model),
        **network,
        **{name: value for name, value in _window(target.context).items() if value},
        **(NO_THINKING if target.thinking_off else {}),
        "API_FORCE_IDLE_TIMEOUT": "0",
        "API_TIMEOUT_MS": str(target.patience_s * 1000),
        "CLAUDE_STREAM_IDLE_TIMEOUT_MS": str(target.patience_s * 1000),
    }
    values: dict[tuple[str, ...], object] = {("env", key): each for key, each in variables.items()}
    # A helper of the user's would send a real key beside our dummy.
    values |= {("model",): target.endpoint.model, ("apiKeyHelper",): ""}
    file = target.own_folder / "settings.json"
    return (SetKeys(file, "json", values, schema=SETTINGS_SCHEMA),)


def is_headless(args: tuple[str, ...]) -> bool:
    """True for `-p`, `--print` and a cluster of its one-letter flags with p in it (`-cp`)."""
    return any(
        arg == "--print" or (arg[:1] == "-" and "p" in arg and set(arg[1:]) <= set("cphv"))
        for arg in before_operands(args)
    )


def _resumed(args: tuple[str, ...]) -> Resume | None:
    flags = ("-r", "--resume")
    return by_flags(args, latest=("-c", "--continue", "-cp"), by_id=flags)


def _session_files(project: str, session: str) -> str:
    """One folder a project, named after its path (seen, 2.1.197)."""
    folder = re.sub(r"[^A-Za-z0-9]", "-", project)
    return f"projects/{folder}/{session or '*'}.jsonl"


def _session_tokens(lines: Iterable[bytes]) -> int | None:
    """By the usage of the last reply; not known right after a compaction (seen, 2.1.197)."""
    tokens: int | None = None
    for row in documents(lines):
        message = row.get("message")
        if row.get("subtype") == "compact_boundary":
            tokens = None
        elif row.get("type") == "assistant" and isinstance(message, dict):
            if row.get("isSidechain") is True:
                continue
            tokens = total(
                message.get("usage"),
                "input_tokens",
                "cache_creation_input_tokens",
                "cache_read_input_tokens",
                "output_tokens",
            )
    return tokens


def _trusts(document: Mapping[str, Any], folder: str) -> bool:
    """Trust is given to a folder with all that is below it (read, 2.1.197)."""
    projects = document.get("projects")
    rows = projects if isinstance(projects, dict) else {}
    return any(
        isinstance(row, dict) and row.get("hasTrustDialogAccepted") is True
        for place in (folder, *(str(parent) for parent in Path(folder).parents))
        for row in (rows.get(place),)
    )


def _settings(target: Target, variables: Mapping[str, str]) -> dict[str, object]:
    return {
        "env": dict(variables),
        "model": target.endpoint.model,
        # The user's own list of allowed models may not hold ours; lists of both files are joined.
        "availableModels": _names(target),
        **dict.fromkeys(HELPERS, ""),
        "disableAgentView": True,
        "disableDeepLinkRegistration": "disable",
        "disableRemoteControl": True,
        **_status_line(target),
    }


def _status_line(target: Target) -> dict[str, object]:
    """Our line below the user's own: his command is ours' last argument. Nothing of either runs
    where all hooks are off, or before the folder is trusted (read, 2.1.197)."""
    if not target.status_command:
        return {}
    own = target.own_status_line or {}
    return {
        "statusLine": {
            "refreshInterval": status_line.REFRESH_S,
            # A value of another kind would cost the whole file.
            **{key: own[key] for key, kinds in STATUS_KEYS.items() if _is_one(own.get(key), kinds)},
            "type": "command",
            "command": status_line.command(target),
        }
    }


def _variables(target: Target) -> dict[str, str]:
    """The `env` of our settings file; an empty value takes another file's value away."""
    return {
        **dict.fromkeys(EMPTIED, ""),
        **OFF,
        **_routing(target.endpoint),
        **_models(target),
        # The store of real logins (OAuth, the company gateway's, MCP servers'): one of ours
        # instead. A stored gateway login wins over every variable above (seen, 2.1.197).
        "CLAUDE_SECURESTORAGE_CONFIG_DIR": str(target.home_folder),
        **_network(target.endpoint, target.environ),
        **_window(target.context),
        **(NO_THINKING if target.thinking_off else {}),
        # Bun ends a silent request after 5 minutes unless this is 0; the stream has its own limit.
        "API_FORCE_IDLE_TIMEOUT": "0",
        "API_TIMEOUT_MS": str(target.patience_s * 1000),
        "CLAUDE_STREAM_IDLE_TIMEOUT_MS": str(target.patience_s * 1000),
    }


def _routing(endpoint: Endpoint) -> dict[str, str]:
    token = endpoint.token or DUMMY_TOKEN
    if endpoint.token_header == "x-api-key":  # noqa: S105 - the name of a header
        # Anthropic itself: it takes no key as a Bearer token. The agent then sends the key in this
        # one header (seen, 2.1.197); interactively its own dialog asks once whether to use it.
        return {
            "ANTHROPIC_BASE_URL": endpoint.base_url,
            "ANTHROPIC_AUTH_TOKEN": "",
            "ANTHROPIC_API_KEY": token,
            "ANTHROPIC_CUSTOM_HEADERS": "",
        }
    return {
        "ANTHROPIC_BASE_URL": endpoint.base_url,
        "ANTHROPIC_AUTH_TOKEN": token,
        # A console key that `/login` stored in .claude.json goes out as x-api-key beside our token
        # (seen, 2.1.197); a header of the same name takes its place.
        "ANTHROPIC_CUSTOM_HEADERS": f"x-api-key: {token}",
    }


def _is_one(value: object, kinds: tuple[type, ...]) -> bool:
    return type(value) in kinds and (not isinstance(value, float) or math.isfinite(value))


def _names(target: Target) -> list[str]:
    """Every model of this launch, the main one first."""
    given = (target.endpoint.model, target.small_model, target.subagent_model)
    return list(dict.fromkeys(filter(None, given)))


def _models(target: Target) -> dict[str, str]:
    """The variables that name a model. With a small model of its own and no word on subagents, each
    of these decides by itself."""
    main = target.endpoint.model
    small, subagent = target.small_model or main, target.subagent_model or main
    models = dict.fromkeys(MODEL_VARIABLES, main) | dict.fromkeys(SMALL_VARIABLES, small)
    if subagent != main:
        return models | {SUBAGENT_VARIABLE: subagent, SUBAGENT_FORCED: "1"}
    if small != main:
        return models | {SUBAGENT_VARIABLE: "", SUBAGENT_FORCED: ""}
    return models


def _network(endpoint: Endpoint, environ: Mapping[str, str]) -> dict[str, str]:
    """Loopback bypasses every proxy; for other hosts a project cannot put its own proxy between."""
    if endpoint.is_loopback:
        return bypass(endpoint, environ)
    return {name: environ.get(name, "") for name in (*PROXIES, "NO_PROXY", "no_proxy")} | {
        "NODE_TLS_REJECT_UNAUTHORIZED": "1"
    }


def _window(context: ContextPlan) -> dict[str, str]:
    """Both variables are needed: either alone leaves compaction as it was (seen, 2.1.197)."""
    window = str(context.agent_window_tokens)
    return {
        "CLAUDE_CODE_MAX_CONTEXT_TOKENS": window,
        # Raised to 100,000 by the agent itself; 2.1.330 complains on stderr about less. The
        # smaller of both variables counts.
        "CLAUDE_CODE_AUTO_COMPACT_WINDOW": str(max(100_000, context.agent_window_tokens)),
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(context.max_output_tokens),
        "DISABLE_AUTO_COMPACT": "1" if context.compact_at_tokens is None else "",
        "DISABLE_COMPACT": "",
    }


def _unset(environ: Mapping[str, str]) -> list[str]:
    return [*UNSET_FIRST, *stale(environ, UNSET_PREFIXES)]


AGENT = Agent(
    name="claude-code",
    title="Claude Code",
    aliases=("claude", "claude_code"),
    binary="claude",
    known_places=("~/.local/bin/claude", "~/.claude/local/claude"),
    package=Package(
        kind="npm",
        name="@anthropic-ai/claude-code",
        version="2.1.197",
        size_bytes=246_000_000,
        download_bytes=77_100_000,
        source="npm: @anthropic-ai/claude-code 2.1.197",
        programs=(("claude", "node_modules/.bin/claude"),),
        min_node=(18, 0),
        run_scripts=True,  # without it `claude` stays a stub that names the missing step
    ),
    tested_versions=("2.1.197", "2.1.330"),
    wires=("anthropic_messages",),
    # cl100k tokens of the first request's body in an empty repository; the larger of both versions
    # (2.1.197: 17,831 and 20,548; slim 4,097 and 4,156; 2.1.330: the numbers below).
    tiers=(
        Tier("full", (), tools=24, headless_tokens=18_182, interactive_tokens=21_332),
        Tier(
            "slim",
            (f"--tools={SLIM_TOOLS}",),
            tools=6,
            headless_tokens=4_997,
            interactive_tokens=6_422,
        ),
    ),
    compaction=Compaction(most_reply_tokens=20_000, reserve_tokens=13_000),  # 2.1.197
    wanted_context_tokens=65_536,
    support="tested",
    local=True,
    local_reason=None,
    reserved=RESERVED,
    grammar=GRAMMAR,
    prepare=prepare,
    is_headless=is_headless,
    one_prompt='-p "…"',
    errand=(
        "-p",
        PROMPT,
        "--no-session-persistence",
        "--permission-mode",
        "acceptEdits",
        "--allowedTools",
        "Bash(python3:*)",
    ),
    late_system=True,  # 2.1.197; not with the tools of the slim prompt
    asks_about_key=True,
    output_variable="CLAUDE_CODE_MAX_OUTPUT_TOKENS",
    config_folder=("CLAUDE_CONFIG_DIR", "~/.claude"),
    configure=configure,
    watched=(
        *(Watched(place, "json", redirects=REDIRECTS, outranks=True) for place in ADMINISTRATORS),
        *(
            Watched(
                place,
                "json",
                redirects=REDIRECTS,
                runs=RUNS,
                beyond_us=tuple(f"env.{name}" for name in BEYOND_US),
            )
            for place in (
                "{config}/settings.json",
                ".claude/settings.json",
                ".claude/settings.local.json",
            )
        ),
        # Read in every folder up to the root of the disk (seen, 2.1.197).
        Watched(".mcp.json", "json", runs=MCP_RUNS, upwards=True),
    ),
    trust=Trust(
        "{config}/.claude.json",  # where CLAUDE_CONFIG_DIR is set; else beside the folder
        "json",
        _trusts,
        asks=True,
        other_path="{config}/../.claude.json",
    ),
    sessions=Sessions(_resumed, _session_files, _session_tokens),
    roles=("small", "subagent"),
    status_line=StatusLine(
        ("statusLine",),
        project=(".claude/settings.local.json", ".claude/settings.json"),
        administrators=tuple(
            f"{place}*.json" if place.endswith("/") else place for place in ADMINISTRATORS
        ),
        switches_off=("disableAllHooks",),  # seen, 2.1.197
        administrator_switches_off=("allowManagedHooksOnly",),  # read, 2.1.197
    ),
    # The variable keeps sessions and history away in both kinds (seen, 2.1.197 and 2.1.330).
    rehearsal=Rehearsal(
        args=("-p", "--no-session-persistence", PROMPT),
        interactive=(PROMPT,),
        env={"CLAUDE_CODE_SKIP_PROMPT_HISTORY": "1"},
        settings={"disableAllHooks": True},
        tells_git=True,
    ),
    notes=(
        "With a small model of your own its searching helper (Explore) asks that one in 2.1.197, "
        "and the main one in 2.1.330; `routes.subagent = small` sends every helper to the small "
        "one.",
        "A model that repeats one call is stopped by `-p --max-turns N` alone, with status 1 "
        "(2.1.197).",
    ),
)
