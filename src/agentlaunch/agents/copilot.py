"""Copilot CLI: routed by `COPILOT_PROVIDER_*` variables, which none of its own files outranks.

Observed in 1.0.102: variables win over `providers.json` in its folder, and `settings.json` of the
user or the project has no address at all, but for a proxy. `--model` wins over the model that a
session was begun with; the variable alone does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from agentlaunch.agents.arguments import before_operands, has_flag, refuse_reserved
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
from agentlaunch.agents.sessions import Resume, Sessions, by_flags, documents, total
from agentlaunch.agents.surroundings import DUMMY_TOKEN, MCP_RUNS, bypass, stale
from agentlaunch.changes.edit import Edit, SetKeys
from agentlaunch.context import Compaction, Tier
from agentlaunch.endpoint import Endpoint, Wire
from agentlaunch.errors import NotSupported
from agentlaunch.managed import Package

SLIM_TOOLS = "bash,view,create,edit,grep,glob"

WIRES: dict[Wire, tuple[str, str]] = {
    "openai_chat": ("openai", "completions"),
    "openai_responses": ("openai", "responses"),
    "anthropic_messages": ("anthropic", "completions"),
}
"""The provider type and the API that stand for each wire."""

OFF: dict[str, str] = {
    # GitHub login, telemetry, web tools, GitHub's MCP server, updates: all of it.
    "COPILOT_OFFLINE": "true",
    "COPILOT_AUTO_UPDATE": "false",
}

KEPT: tuple[str, ...] = (
    "COPILOT_ALLOW_ALL",
    "COPILOT_BASH_PATH",
    "COPILOT_CACHE_HOME",
    "COPILOT_CUSTOM_INSTRUCTIONS_DIRS",
    "COPILOT_DISABLE_DESKTOP_NOTIFICATIONS",
    "COPILOT_DISABLE_KEYTAR",
    "COPILOT_DISABLE_RESUME_AUTO_CD",
    "COPILOT_DISABLE_TERMINAL_TITLE",
    "COPILOT_EDITOR",
    "COPILOT_HOME",
    "COPILOT_INLINE_IMAGES_HERDR",
    "COPILOT_INLINE_IMAGES_TMUX",
    "COPILOT_INLINE_IMAGE_LIMIT",
    "COPILOT_MULTIPLEXER",
    "COPILOT_PKG_CACHE_HOME",
    "COPILOT_SKILLS_DIRS",
)
"""The user's own taste, not routing; every other `COPILOT_*` of the shell is unset, since one
can turn all: `COPILOT_PROVIDERS_CONFIG` names a file that wins over the variables (seen)."""

UNSET_PREFIXES = ("COPILOT_", "GITHUB_COPILOT_", "OTEL_")
"""`OTEL_EXPORTER_OTLP_ENDPOINT` alone sends traces there, offline or not (seen, 1.0.102)."""

ROUTES = ("proxyUrl",)
RUNS = ("hooks.*", "enabledPlugins.*")

_OWN_MODEL = "use `agentlaunch up copilot --model REF`"
_ELSEWHERE = "that session would not stay on this machine: run `copilot` itself"
_NO_MODEL = "it asks no model: run `copilot {}` itself"

RESERVED: tuple[Reserved, ...] = (
    Reserved("--model", _OWN_MODEL),
    *(
        Reserved(flag, _ELSEWHERE)
        for flag in (
            "--connect",
            "--environment-host",
            "--remote",
            "--remote-export",
            "--share-gist",
        )
    ),
    *(
        Reserved(word, _NO_MODEL.format(word))
        for word in (
            "app",
            "completion",
            "config",
            "help",
            "instruction",
            "login",
            "lsp",
            "mcp",
            "memories",
            "plugin",
            "sandbox",
            "sessions",
            "skill",
            "update",
            "version",
        )
    ),
)

GRAMMAR = Grammar(
    value_flags=(
        "-i", "--interactive", "-p", "--prompt", "--reasoning-effort", "--effort", "--context",
        "--auto-tier", "--agent", "-r", "--resume", "-n", "--name", "--session-id", "-C",
        "--log-dir", "--extension-sdk-path", "--log-level", "--stream", "--output-format",
        "--share", "--add-dir", "--attachment", "--disable-mcp-server", "--enable-mcp-server",
        "--add-github-mcp-toolset", "--add-github-mcp-tool", "--plugin-dir",
        "--additional-mcp-config", "--mcp-github-auth", "--allow-tool", "--deny-tool",
        "--available-tools", "--excluded-tools", "--secret-env-vars", "--allow-url", "--deny-url",
        "--max-autopilot-continues", "--mode", "--bash-env", "--mouse", "--environment-compute-id",
        "--dynamic-retrieval", "--max-ai-credits", "--usage-output-file",
    )
)  # fmt: skip
"""Flags of 1.0.102."""


def prepare(target: Target) -> Handover:
    """What Copilot CLI becomes for this target; raises `UsageError` for a reserved argument."""
    refuse_reserved("Copilot CLI", RESERVED, target.args, GRAMMAR)
    env: dict[str, str | Unset] = dict.fromkeys(_unset(target.environ), UNSET)
    env |= {"COPILOT_NATIVE_HTTP_TIMEOUT_MS": str(target.patience_s * 1000)}
    env |= OFF | _routing(target) | bypass(target.endpoint, target.environ)
    if target.home == "clean":
        env["COPILOT_HOME"] = str(target.home_folder)
    tier = () if has_flag(target.args, "--available-tools") else target.context.tier.args
    return Handover(
        # The flag, too: a session that is gone on with keeps its old model otherwise (seen).
        argv=(*target.command, *tier, "--model", target.endpoint.model, *target.args),
        env=env,
    )


def is_headless(args: tuple[str, ...]) -> bool:
    """True for `-p` and `--prompt`, also with the prompt in the same word or after `-s`."""
    return any(
        arg.split("=", 1)[0] == "--prompt"
        or (arg[:1] == "-" and arg[:2] != "--" and arg[1:].lstrip("s")[:1] == "p")
        for arg in before_operands(args)
    )


def configure(target: Target) -> tuple[Edit, ...]:
    """A plain `copilot` on this address: its own list of providers, and the model of its choice.

    Raises `NotSupported` for an engine that wants a key: the file would hold it in plain text
    (seen, 1.0.102: neither a variable's name nor a command is read there).
    """
    endpoint, context = target.endpoint, target.context
    if endpoint.token:
        raise NotSupported(
            "Copilot CLI could keep the key of this server only in plain text",
            hint="launch it, then the key stays out of every file: agentlaunch up copilot",
            code="key-in-plain-text",
        )
    wire = target.wire(AGENT.wires)
    kind, api = WIRES[wire]
    provider = {
        "name": "agentlaunch",
        "type": kind,
        "wireApi": api,
        "baseUrl": _address(endpoint, wire),
        "apiKey": DUMMY_TOKEN,
    }
    model: dict[str, object] = {
        "id": endpoint.model,
        "provider": "agentlaunch",
        "maxPromptTokens": context.agent_window_tokens - context.max_output_tokens,
        "maxOutputTokens": context.max_output_tokens,
    }
    return (
        SetKeys(
            target.own_folder / "providers.json",
            "json",
            {("providers",): [provider], ("models",): [model]},
        ),
        SetKeys(
            target.own_folder / "settings.json",
            "json",
            {("model",): f"agentlaunch/{endpoint.model}"},
        ),
    )


def _trusts(document: Mapping[str, Any], folder: str) -> bool:
    """Either key counts (seen, 1.0.102); it writes the second itself."""
    places = {folder, *(str(parent) for parent in Path(folder).parents)}
    rows = [document.get(key) for key in ("trusted_folders", "trustedFolders")]
    return any(isinstance(row, list) and places & set(filter(_is_text, row)) for row in rows)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _routing(target: Target) -> dict[str, str]:
    endpoint, context = target.endpoint, target.context
    wire = target.wire(AGENT.wires)
    kind, api = WIRES[wire]
    # As a bearer the token goes in the one header that every engine reads; an API key of type
    # `anthropic` goes as x-api-key (both seen, 1.0.102).
    secret = (
        "COPILOT_PROVIDER_API_KEY"
        if endpoint.token_header == "x-api-key" and kind == "anthropic"  # noqa: S105 - a header
        else "COPILOT_PROVIDER_BEARER_TOKEN"
    )
    return {
        "COPILOT_PROVIDER_BASE_URL": _address(endpoint, wire),
        "COPILOT_PROVIDER_TYPE": kind,
        "COPILOT_PROVIDER_WIRE_API": api,
        "COPILOT_PROVIDER_TRANSPORT": "http",
        secret: endpoint.token or DUMMY_TOKEN,
        "COPILOT_MODEL": endpoint.model,
        "COPILOT_PROVIDER_MODEL_ID": endpoint.model,
        "COPILOT_PROVIDER_WIRE_MODEL": endpoint.model,
        "COPILOT_PROVIDER_MAX_PROMPT_TOKENS": str(
            context.agent_window_tokens - context.max_output_tokens
        ),
        "COPILOT_PROVIDER_MAX_OUTPUT_TOKENS": str(context.max_output_tokens),
    }


def _address(endpoint: Endpoint, wire: Wire) -> str:
    return endpoint.base_url if wire == "anthropic_messages" else endpoint.openai_url


def _unset(environ: Mapping[str, str]) -> list[str]:
    return stale(environ, UNSET_PREFIXES, kept=KEPT)


def _resumed(args: tuple[str, ...]) -> Resume | None:
    return by_flags(args, latest=("--continue",), by_id=("--resume",))


def _session_tokens(lines: Iterable[bytes]) -> int | None:
    """By the usage of the last reply (seen, 1.0.102)."""
    tokens: int | None = None
    for row in documents(lines):
        data = row.get("data")
        if row.get("type") == "session.usage_record" and isinstance(data, dict):
            counted = total(data.get("usage"), "inputTokens", "outputTokens")
            tokens = counted if counted is not None else tokens
    return tokens


def _session_project(line: bytes) -> str | None:
    for row in documents([line]):
        data = row.get("data")
        context = data.get("context") if isinstance(data, dict) else None
        folder = context.get("cwd") if isinstance(context, dict) else None
        return folder if isinstance(folder, str) else None
    return None


AGENT = Agent(
    name="copilot",
    title="Copilot CLI",
    aliases=("copilot-cli", "github-copilot"),
    binary="copilot",
    known_places=("~/.local/bin/copilot",),
    package=Package(
        kind="npm",
        name="@github/copilot",
        version="1.0.102",
        size_bytes=197_600_000,
        download_bytes=129_200_000,
        source="npm: @github/copilot 1.0.102",
        programs=(("copilot", "node_modules/.bin/copilot"),),
        min_node=(20, 0),
    ),
    tested_versions=("1.0.102",),
    wires=("openai_chat", "openai_responses", "anthropic_messages"),
    # cl100k tokens of the first request's body in an empty repository (1.0.102).
    tiers=(
        Tier("full", (), tools=17, headless_tokens=10_722, interactive_tokens=12_715),
        Tier(
            "slim",
            (f"--available-tools={SLIM_TOOLS}",),
            tools=6,
            headless_tokens=4_773,
            interactive_tokens=4_773,
        ),
    ),
    # Begins in the background at 0.8 of the prompt limit (seen: reported usage 22,400 of 28,000).
    compaction=Compaction(most_reply_tokens=32_000, reserve_tokens=0, share=0.8),
    wanted_context_tokens=65_536,
    support="tested",
    local=True,
    local_reason=None,
    reserved=RESERVED,
    grammar=GRAMMAR,
    prepare=prepare,
    is_headless=is_headless,
    one_prompt='-p "…"',
    errand=("-p", PROMPT, "-s", "--allow-all-tools"),
    configure=configure,
    config_folder=("COPILOT_HOME", "~/.copilot"),
    watched=(
        Watched("{config}/settings.json", "json", redirects=ROUTES),
        Watched("{config}/providers.json", "json", redirects=("providers",)),
        Watched(".github/copilot/settings.json", "json", runs=RUNS),
        Watched(".github/copilot/settings.local.json", "json", runs=RUNS),
        Watched(".github/hooks/*.json", "json", runs=RUNS),
        Watched(".claude/settings.json", "json", runs=RUNS),
        Watched(".claude/settings.local.json", "json", runs=RUNS),
        Watched(".mcp.json", "json", runs=MCP_RUNS),
    ),
    trust=Trust("{config}/config.json", "json", _trusts, asks=True),
    sessions=Sessions(
        _resumed,
        lambda _project, session: f"session-state/{session or '*'}/events.jsonl",
        _session_tokens,
        _session_project,
    ),
    notes=(
        "a subagent for which you or an agent's file chose a model asks the engine for that name",
        "with -p it runs hooks and MCP servers of a project only in a folder that you trust",
        "nothing stops a model that repeats one call (60 were let through, 1.0.102)",
    ),
)
