"""OpenCode: routed by its configuration variable, which user, project and folders cannot outrank.

Its order of settings, read and observed in 1.18.33: administrator > account of an organisation >
`OPENCODE_CONFIG_CONTENT` > `.opencode` folders > project > `OPENCODE_CONFIG` > user > remote. They
are merged key by key, so our provider has a name of its own, the same in every launch of a user: a
file that says anything of such a name stops the launch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path

from agentlaunch.agents.arguments import before_operands, refuse_reserved, subcommand
from agentlaunch.agents.base import (
    PROMPT,
    UNSET,
    Agent,
    Break,
    Grammar,
    Handover,
    Link,
    Rehearsal,
    Reserved,
    Target,
    Unset,
    Watched,
)
from agentlaunch.agents.surroundings import DUMMY_TOKEN, bypass, stale
from agentlaunch.changes.edit import Edit, SetKeys
from agentlaunch.context import Compaction, Tier
from agentlaunch.endpoint import Wire
from agentlaunch.errors import UsageError
from agentlaunch.keys import KEY_VARIABLE
from agentlaunch.managed import Package

WIRES: tuple[Wire, ...] = ("openai_chat", "openai_responses", "anthropic_messages")
SDKS: dict[Wire, str] = {
    "openai_chat": "@ai-sdk/openai-compatible",
    "openai_responses": "@ai-sdk/openai",
    "anthropic_messages": "@ai-sdk/anthropic",
}
"""Parts of the program itself, so nothing is fetched (seen, 1.18.33)."""

NO_THINKING: dict[Wire, dict[str, object]] = {
    "openai_chat": {
        "reasoningEffort": "none",
        "chat_template_kwargs": {"enable_thinking": False},
    },
    "openai_responses": {"reasoningEffort": "none"},
    "anthropic_messages": {"thinking": {"type": "disabled"}},
}
"""Extra keys of the request for a model that must not think."""

AGENTS = ("build", "plan", "general", "explore", "title", "summary", "compaction")
"""Its own agents; a model that a file gives to one of them would be asked instead of ours."""
SUBAGENTS = ("general", "explore")
MODES = ("build", "plan")
"""A `mode` is written over the `agent` of that name when all is merged (read, 1.18.33)."""

SLIM_OFF = ("question", "skill", "task", "todowrite", "webfetch")

OFF: dict[str, str] = {
    # Stored keys and the addresses that settings are fetched from; MCP logins lie elsewhere.
    "OPENCODE_AUTH_CONTENT": "{}",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_SHARE": "1",
}

UNSET_FIRST: tuple[str, ...] = (
    "OPENCODE_ALWAYS_NOTIFY_UPDATE",
    "OPENCODE_API_KEY",
    "OPENCODE_AUTO_SHARE",
    "OPENCODE_CONSOLE_TOKEN",
    # The contract says whether it compacts.
    "OPENCODE_DISABLE_AUTOCOMPACT",
    "OPENCODE_EXPERIMENTAL_NATIVE_LLM",
    "OPENCODE_MODELS_PATH",
    "OPENCODE_MODELS_URL",
    # Moves the administrator's folder, which outranks us.
    "OPENCODE_TEST_MANAGED_CONFIG_DIR",
    "OPENCODE_WORKSPACE_ID",
)
UNSET_PREFIXES = ("OTEL_",)

PREFIX = "agentlaunch-"
"""Of our provider's name; what `configure` writes has no more than the word."""

GRAMMAR = Grammar(
    value_flags=(
        "--log-level", "--port", "--hostname", "--mdns-domain", "--cors", "-s", "--session",
        "--prompt", "--agent", "--replay-limit",
    )
)  # fmt: skip
"""Flags of 1.18.33."""


def prepare(target: Target) -> Handover:
    """What OpenCode becomes for this target; raises `UsageError` for a reserved argument."""
    refuse_reserved("OpenCode", RESERVED, target.args, GRAMMAR)
    provider = _provider_id(target)
    # Outranks the model of a session that is gone on with and of the user's own agents; it may
    # stand before `run` (both seen, 1.18.33).
    argv = (*target.command, f"--model={provider}/{target.endpoint.model}", *target.args)
    env: dict[str, str | Unset] = dict.fromkeys(_unset(target.environ), UNSET)
    env |= OFF
    env["OPENCODE_CONFIG_CONTENT"] = _inline(_config(target, provider))
    env |= bypass(target.endpoint, target.environ)
    if target.home == "own":
        return Handover(argv=argv, env=env)
    return Handover(argv=argv, env=env | _clean(target.home_folder), links=_links(target))


def is_headless(args: tuple[str, ...]) -> bool:
    """True for `run`, also after flags; `run -i` is interactive."""
    flags = before_operands(args)
    return subcommand(args, GRAMMAR) == "run" and not {"-i", "--interactive"} & set(flags)


def configure(target: Target) -> tuple[Edit, ...]:
    """The provider and both models in the user's own settings.

    `opencode.jsonc` outranks `opencode.json` beside it and is what the program itself creates
    (read, 1.18.33).

    Raises `UsageError` for a name that the program would take for a variable or a file.
    """
    endpoint = target.endpoint
    if "{" in endpoint.model:
        raise UsageError(
            "OpenCode would replace the braces in this model's name",
            hint="serve the model under another name",
            code="unwritable-name",
        )
    key = DUMMY_TOKEN if not endpoint.token else f"{{env:{KEY_VARIABLE}}}"
    folder = _config_home(target.environ) / "opencode"
    model = f"agentlaunch/{endpoint.model}"
    values: dict[tuple[str, ...], object] = {
        ("provider", "agentlaunch"): _provider(target, key, [endpoint.model]),
        ("model",): model,
        ("small_model",): model,
    }
    plain = folder / "opencode.json"
    return (SetKeys(folder / "opencode.jsonc", "json", values, rather=(plain,)),)


def _config(target: Target, provider: str) -> dict[str, object]:
    context, model = target.context, f"{provider}/{target.endpoint.model}"
    small = f"{provider}/{target.small_model or target.endpoint.model}"
    given = (target.endpoint.model, target.small_model, target.subagent_model)
    names = dict.fromkeys(filter(None, given))
    agents: dict[str, dict[str, object]] = {name: {"model": model} for name in AGENTS}
    agents["title"]["model"] = small
    if target.subagent_model:
        agents |= {name: {"model": f"{provider}/{target.subagent_model}"} for name in SUBAGENTS}
    if target.endpoint.is_loopback and small == model:
        # A request of its own before the first answer: on one slot it costs the prompt's cache.
        agents["title"]["disable"] = True
    slim = {} if context.tier.name == "full" else {"tools": dict.fromkeys(SLIM_OFF, False)}
    return {
        "model": model,
        "small_model": small,
        "enabled_providers": [provider],
        "disabled_providers": [],
        "provider": {provider: _provider(target, target.endpoint.token or DUMMY_TOKEN, names)},
        "agent": agents,
        "mode": {name: {"model": model} for name in MODES},
        "compaction": {"auto": context.compact_at_tokens is not None},
        "autoupdate": False,
        "share": "disabled",
        **slim,
    }


def _provider(target: Target, token: str, names: Collection[str]) -> dict[str, object]:
    endpoint, context = target.endpoint, target.context
    wire = target.wire(WIRES)
    # Anthropic's SDK sends `apiKey` as x-api-key and `authToken` as Bearer (both seen).
    is_bearer = endpoint.token_header == "bearer"  # noqa: S105 - the name of a header
    key = "authToken" if wire == "anthropic_messages" and is_bearer else "apiKey"
    return {
        "name": "agentlaunch",
        "npm": SDKS[wire],
        "env": [],
        "options": {
            "baseURL": endpoint.openai_url,
            key: token,
            "timeout": False,
            "headerTimeout": target.patience_s * 1000,
            "chunkTimeout": target.patience_s * 1000,
        },
        "models": {
            name: {
                "name": name,
                "limit": {
                    "context": context.agent_window_tokens,
                    # Refused without it.
                    "output": context.max_output_tokens,
                },
                **({"options": NO_THINKING[wire]} if target.thinking_off else {}),
            }
            for name in names
        },
    }


def _provider_id(target: Target) -> str:
    """The same for a user in every launch, for sessions and the engine's cached prompt."""
    place = "\0".join((target.environ.get("HOME", ""), str(target.home_folder)))
    return PREFIX + hashlib.sha256(place.encode()).hexdigest()[:8]


def _inline(config: Mapping[str, object]) -> str:
    """JSON in which `{env:…}` and `{file:…}` stay text: the program replaces them before it reads
    the JSON, wherever they stand."""
    text = json.dumps(config, ensure_ascii=False, separators=(",", ":"))
    return text.replace("{env:", "\\u007benv:").replace("{file:", "\\u007bfile:")


def _clean(folder: Path) -> dict[str, str | Unset]:
    """Only these move its folders (read, 1.18.33); tools that the agent runs see them too."""
    return {
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_STATE_HOME": str(folder / "state"),
        "OPENCODE_CONFIG": UNSET,
        "OPENCODE_CONFIG_DIR": UNSET,
        "OPENCODE_DB": UNSET,
        "OPENCODE_TUI_CONFIG": UNSET,
    }


def _links(target: Target) -> tuple[Link, ...]:
    """Git's settings, which the clean home would hide from the agent's own commands."""
    git = _config_home(target.environ) / "git"
    return (Link(target.home_folder / "config" / "git", git),)


def _config_home(environ: Mapping[str, str]) -> Path:
    given = environ.get("XDG_CONFIG_HOME")
    return Path(given) if given else Path(environ.get("HOME", "")) / ".config"


def _unset(environ: Mapping[str, str]) -> list[str]:
    return [*UNSET_FIRST, *stale(environ, UNSET_PREFIXES)]


_OWN_MODEL = "use `agentlaunch up opencode --model REF`"
_NO_LAUNCH = "it is no session of this launch: run `opencode {}` itself"

RESERVED: tuple[Reserved, ...] = (
    Reserved("--model", _OWN_MODEL),
    Reserved("-m", _OWN_MODEL),
    Reserved("--attach", "that session would run in another server: run `opencode` itself"),
    Reserved("--share", "it would upload the session: run `opencode` itself"),
    *(
        Reserved(word, _NO_LAUNCH.format(word))
        for word in (
            "acp",
            "agent",
            "attach",
            "auth",
            "completion",
            "db",
            "debug",
            "export",
            "github",
            "import",
            "mcp",
            "models",
            "plug",
            "plugin",
            "pr",
            "providers",
            "serve",
            "session",
            "stats",
            "uninstall",
            "upgrade",
            "web",
        )
    ),
)

ROUTES = (
    "provider.*.options.baseURL",
    "provider.*.options.headers",
    "provider.*.api",
    "model",
    "small_model",
    "agent.*.model",
    "agents.*.model",
    "mode.*.model",
    "command.*.model",
    "commands.*.model",
)
"""Also under the names of the next version's settings, which 1.18.33 translates (read)."""


def _foreign(key: str) -> tuple[str, ...]:
    """A package or file that is loaded to speak with a model (seen), unless it is one of those that
    nearly every provider names: their names all begin alike, and nobody else can publish there."""
    known = "@ai-sdk/"
    others = (f"{known[:n]}[!{letter}]*" for n, letter in enumerate(known))
    # `@ai-sdk/x@file:…` would be a file all the same.
    return tuple(f"{key}:{pattern}" for pattern in (*others, f"{known}*[!a-z0-9-]*"))


RUNS = (
    "plugin",
    "mcp.*.command",
    "mcp.servers.*.command",
    "formatter.*.command",
    "lsp.*.command",
    "shell",
    *_foreign("provider.*.npm"),
    *_foreign("provider.*.models.*.provider.npm"),
    # Asked at once, with `{env:…}` and `{file:…}` of the user's in address and headers (seen).
    "mcp.*.url",
    "mcp.servers.*.url",
    "instructions.*:*://*",
    "instructions.*:*{env:*",
    "instructions.*:*{file:*",
    "skills.urls",
    # Replaced in the text before it is read, so the name of a key can be hidden behind one.
    *(f"{'*.' * depth}*{{{word}?*" for depth in range(6) for word in ("env", "file")),
)
"""What was observed to run or to be fetched in 1.18.33, without a question."""

BEYOND_US = (f"provider.{PREFIX}*",)
"""Merged into our provider: another address or package for its model would be taken (seen)."""

ADMINISTRATORS = tuple(
    f"{folder}/{name}"
    for folder in (
        "/etc/opencode",
        "/Library/Application Support/opencode",
        "C:/ProgramData/opencode",
    )
    for name in ("opencode.json", "opencode.jsonc")
)
OUTRANKING = (
    "enabled_providers",
    "disabled_providers",
    "small_model",
    "agent.*.model",
    "agents.*.model",
    "mode.*.model",
)
"""What an administrator's file can turn although the model is chosen by a flag."""

NAMES = ("opencode.json", "opencode.jsonc")

WATCHED: tuple[Watched, ...] = (
    *(Watched(place, "json", redirects=OUTRANKING, outranks=True) for place in ADMINISTRATORS),
    *(
        Watched(f"{folder}{name}", "json", redirects=ROUTES, runs=RUNS, beyond_us=BEYOND_US)
        for folder in ("{config}/", "~/.opencode/", "", ".opencode/")
        for name in NAMES
    ),
    *(
        Watched(f"{folder}{name}", "json", runs=("plugin",))
        for folder in ("", ".opencode/")
        for name in ("tui.json", "tui.jsonc")
    ),
    *(
        Watched(f".opencode/{folder}/*.{kind}", "code")
        for folder in ("plugin", "plugins", "tool", "tools")
        for kind in ("js", "ts")
    ),
    # Says where the package for plugins is fetched from (seen).
    Watched(".opencode/.npmrc", "code"),
    Watched(".opencode/package.json", "json", runs=("dependencies",)),
)

AGENT = Agent(
    name="opencode",
    title="OpenCode",
    aliases=("open-code",),
    binary="opencode",
    known_places=("~/.opencode/bin/opencode",),
    package=Package(
        kind="npm",
        name="opencode-ai",
        version="1.18.33",
        size_bytes=371_000_000,
        download_bytes=120_600_000,
        source="npm: opencode-ai 1.18.33",
        programs=(("opencode", "node_modules/.bin/opencode"),),
        min_node=(18, 0),
        run_scripts=True,  # without it `opencode` stays a stub that names the missing step
    ),
    tested_versions=("1.18.33",),
    wires=WIRES,
    tiers=(
        # cl100k tokens of the first request's body in an empty repository; what is slim is told in
        # the configuration.
        Tier("full", (), tools=10, headless_tokens=6_838, interactive_tokens=7_166),
        Tier("slim", (), tools=6, headless_tokens=4_812, interactive_tokens=4_812),
    ),
    compaction=Compaction(most_reply_tokens=32_000, reserve_tokens=0),
    wanted_context_tokens=65_536,
    support="tested",
    local=True,
    local_reason=None,
    reserved=RESERVED,
    grammar=GRAMMAR,
    prepare=prepare,
    is_headless=is_headless,
    one_prompt='run "…"',
    errand=("run", PROMPT),
    roles=("small", "subagent"),
    output_variable="OPENCODE_EXPERIMENTAL_OUTPUT_TOKEN_MAX",
    watched=WATCHED,
    # No variable replaces this folder: `OPENCODE_CONFIG_DIR` adds one.
    config_folder=("", "~/.config/opencode"),
    breaks=(
        Break(
            "<1.0.216",
            "any web page can give commands to its local server (CVE-2026-22812)",
        ),
    ),
    egress=(
        "the npm registry: it installs a package for plugins into each of its settings folders, "
        "and no switch stops it; nothing waits for it where no plugin is set",
    ),
    # Without plugins: they are told of every session. Its log alone grows (seen, 1.18.33).
    rehearsal=Rehearsal(
        args=("run", "--pure", PROMPT),
        interactive=("--pure", "--prompt", PROMPT),
        env={"OPENCODE_DB": "{folder}/sessions.db", "XDG_STATE_HOME": "{folder}/state"},
    ),
    configure=configure,
    notes=(
        "It asks no model's server but ours; an agent or command of your own that names another "
        "model fails with `Model not found`.",
        "It has no question about trust, so agentlaunch asks before a project's plugins, tools, "
        "MCP servers, formatters and language servers run.",
        "Sessions get no title from a model on this machine: that request would come before "
        "your own.",
        "Nothing stops a model that repeats one call: `run` let 60 through, with "
        "`permission.doom_loop: deny` and with `agent.build.steps: 10` too (1.18.33).",
    ),
)
