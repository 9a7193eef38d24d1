"""Qwen Code: routed by a private system settings file, above the user's and the project's own.

Its order of settings, read and observed in 0.15.10: system file > project > user > system defaults;
a row of `modelProviders` wins over flags and variables. Its variables come from the shell, then
from the nearest `.env`, then from `env` in its settings; a file fills in only what is not there at
all. So a variable that must not count is set to nothing here, never unset.
"""

from __future__ import annotations

import re
import sys
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
from agentlaunch.agents.keys import PROVIDER_KEYS
from agentlaunch.agents.sessions import Resume, Sessions, by_flags, documents, total
from agentlaunch.agents.surroundings import (
    DUMMY_TOKEN,
    MCP_RUNS,
    PROXIES,
    bypass,
    document,
)
from agentlaunch.changes.edit import Edit, SetKeys
from agentlaunch.context import Compaction, ContextPlan, Tier
from agentlaunch.endpoint import Endpoint
from agentlaunch.keys import KEY_VARIABLE
from agentlaunch.managed import Package

DUMMY_VARIABLE = "AGENTLAUNCH_NO_KEY"
"""Holds a word that is no secret, for engines that want no key: the agent wants one."""


SETTINGS_VERSION = 4
"""A file without it would be rewritten in place (read, 0.15.10)."""

COMPACT_SHARE = 0.7

MOST_STATUS_LINES = 2
"""What it shows of a status line (read, 0.15.10)."""

SLIM_OFF = (
    "agent,ask_user_question,exit_plan_mode,list_directory,monitor,send_message,task_stop,"
    "todo_write,web_fetch"
)


BLANK: tuple[str, ...] = (
    # A subagent may name another kind of provider (`model: anthropic:NAME`).
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "DASHSCOPE_API_KEY",
    "DASHSCOPE_BASE_URL",
    "GEMINI_API_KEY",
    "GEMINI_BASE_URL",
    "GOOGLE_API_KEY",
    "GOOGLE_GEMINI_BASE_URL",
    "GOOGLE_VERTEX_BASE_URL",
    "OPENAI_ORG_ID",
    "OPENAI_PROJECT_ID",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "QWEN_MODEL",
    "QWEN_SANDBOX_PROXY_COMMAND",
    "QWEN_TELEMETRY_OTLP_ENDPOINT",
    "QWEN_TELEMETRY_OTLP_LOGS_ENDPOINT",
    "QWEN_TELEMETRY_OTLP_METRICS_ENDPOINT",
    "QWEN_TELEMETRY_OTLP_TRACES_ENDPOINT",
    "QWEN_TELEMETRY_OUTFILE",
)
"""Set to nothing, so that no `.env` and no settings file can fill them in (seen, 0.15.10)."""

BLANK_UNLESS_OWN: tuple[str, ...] = ("LD_PRELOAD", "NODE_OPTIONS", "QWEN_SANDBOX")
"""The user's own stay. From a project's `.env` the first two run code in the agent itself, which
starts itself a second time (seen, 0.15.10)."""

UNSET_PREFIXES = ("OTEL_", "QWEN_TELEMETRY_", "QWEN_CUSTOM_API_KEY_")

DEFAULTS_VARIABLE = "QWEN_CODE_SYSTEM_DEFAULTS_PATH"
SYSTEM_FOLDERS = {"darwin": "/Library/Application Support/QwenCode"}
SYSTEM_FOLDER = SYSTEM_FOLDERS.get(sys.platform, "/etc/qwen-code")

ROUTES: tuple[str, ...] = (
    "fastModel",
    "modelProviders.*",
    "proxy",
    "security.auth.apiKey",
    "security.auth.baseUrl",
    "telemetry.enabled",
    "telemetry.otlpEndpoint",
)
VARIABLES: tuple[str, ...] = (
    "*_BASE_URL",
    "*_PROXY",
    "*_proxy",
    "OPENAI_*",
    "OTEL_*",
    "QWEN_MODEL",
    "QWEN_TELEMETRY_*",
)
RUN_VARIABLES: tuple[str, ...] = ("BASH_ENV", "LD_*", "NODE_OPTIONS", "QWEN_SANDBOX*")
RUNS: tuple[str, ...] = (
    "hooks.*",
    *MCP_RUNS,
    "tools.discoveryCommand",
    "tools.callCommand",
    "ui.statusLine.command",
    *(f"env.{name}" for name in RUN_VARIABLES),
)

VALUE_FLAGS = frozenset(
    (
        "--add-dir", "--allowed-mcp-server-names", "--allowed-tools", "--append-system-prompt",
        "--approval-mode", "--channel", "--core-tools", "--disabled-slash-commands",
        "--exclude-tools", "--extensions", "-e", "--include-directories", "--input-file",
        "--input-format", "--json-fd", "--json-file", "--json-schema", "--max-session-turns",
        "--mcp-config", "--openai-logging-dir", "--output-format", "-o", "--resume", "-r",
        "--sandbox-image", "--session-id", "--system-prompt",
    )
)  # fmt: skip
"""Flags whose next word is their value; any other word is a prompt (read, 0.15.10: `--help`)."""

_OWN_MODEL = "use `agentlaunch up qwen --model REF`"
_NO_MODEL = "it asks no model: run `qwen {}` itself"

RESERVED: tuple[Reserved, ...] = (
    Reserved("--model", _OWN_MODEL),
    Reserved("-m", _OWN_MODEL),
    Reserved("--auth-type", _OWN_MODEL),
    Reserved("--openai-api-key", "use `agentlaunch up qwen --engine URL`"),
    Reserved("--openai-base-url", "use `agentlaunch up qwen --engine URL`"),
    Reserved("--proxy", "set HTTPS_PROXY; an engine on this machine is asked without"),
    Reserved("--telemetry", "run `qwen` itself"),
    Reserved("--telemetry-otlp-endpoint", "run `qwen` itself"),
    *(
        Reserved(word, _NO_MODEL.format(word))
        for word in ("auth", "channel", "extensions", "hook", "hooks", "mcp")
    ),
)

GRAMMAR = Grammar(value_flags=tuple(sorted(VALUE_FLAGS)))


def prepare(target: Target) -> Handover:
    """What Qwen Code becomes for this target; raises `UsageError` for a reserved argument."""
    refuse_reserved("Qwen Code", RESERVED, target.args, GRAMMAR)
    path = target.runtime_folder / f"qwen-{target.run_name}.json"
    inherited = sorted(name for name in target.environ if name.startswith(UNSET_PREFIXES))
    env: dict[str, str | Unset] = dict.fromkeys((*PROVIDER_KEYS, *inherited), UNSET)
    env |= _variables(target)
    env["QWEN_CODE_SYSTEM_SETTINGS_PATH"] = str(path)
    env[DEFAULTS_VARIABLE] = target.environ.get(
        DEFAULTS_VARIABLE, f"{SYSTEM_FOLDER}/system-defaults.json"
    )
    if target.home == "clean":
        env["QWEN_HOME"] = str(target.home_folder)
    tier = () if has_flag(target.args, "--core-tools", "--bare") else target.context.tier.args
    argv = (
        *target.command,
        *tier,
        "--auth-type=openai",
        f"--model={target.endpoint.model}",
        *target.args,
    )
    return Handover(argv=argv, env=env, files=(PrivateFile(path, document(_settings(target))),))


def is_headless(args: tuple[str, ...]) -> bool:
    """True for `-p`, `--prompt` and a prompt without a flag, unless `-i` makes it the first."""
    flags = before_operands(args)
    if has_flag(flags, "-i", "--prompt-interactive"):
        return False
    if len(flags) < len(args) - 1 or has_flag(flags, "-p", "--prompt"):
        return True
    return any(
        not arg.startswith("-") and (at == 0 or flags[at - 1] not in VALUE_FLAGS)
        for at, arg in enumerate(flags)
    )


def configure(target: Target) -> tuple[Edit, ...]:
    """The provider and the model in the user's own settings; the key by its variable's name."""
    endpoint = target.endpoint
    values: dict[tuple[str, ...], object] = {
        ("modelProviders", "openai"): [
            _provider(target, endpoint.model, KEY_VARIABLE if endpoint.token else DUMMY_VARIABLE)
        ],
        ("model", "name"): endpoint.model,
        ("security", "auth", "selectedType"): "openai",
    }
    if not endpoint.token:
        values["env", DUMMY_VARIABLE] = DUMMY_TOKEN
    return (SetKeys(target.own_folder / "settings.json", "json", values),)


def _trusts(document: Mapping[str, Any], folder: str) -> bool:
    """What the user answered for this folder or one above it (read, 0.15.10)."""
    trusted = {
        str(Path(place).parent) if answer == "TRUST_PARENT" else place
        for place, answer in document.items()
        if answer in ("TRUST_FOLDER", "TRUST_PARENT")
    }
    return bool(trusted & {folder, *(str(parent) for parent in Path(folder).parents)})


def _settings(target: Target) -> dict[str, object]:
    context = target.context
    return {
        "$version": SETTINGS_VERSION,
        # Lists of the user's and the project's are replaced by ours, one kind of provider each.
        "modelProviders": {
            "anthropic": [],
            "gemini": [],
            "vertex-ai": [],
            "openai": [_provider(target, name, "OPENAI_API_KEY") for name in _names(target)],
        },
        "model": {
            "name": target.endpoint.model,
            "generationConfig": _generation(target),
            "enableOpenAILogging": False,
            "chatCompression": {
                "contextPercentageThreshold": (
                    0 if context.compact_at_tokens is None else COMPACT_SHARE
                )
            },
        },
        "fastModel": _small(target),
        "proxy": "",
        "security": {
            "auth": {
                "selectedType": "openai",
                "enforcedType": "openai",
                "apiKey": "",
                "baseUrl": "",
            }
        },
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False, "otlpEndpoint": "", "outfile": ""},
        "general": {"enableAutoUpdate": False, "showSessionRecap": False},
        # Each asks the model by itself and costs the engine the prompt that it has read.
        "memory": {
            "enableManagedAutoMemory": False,
            "enableManagedAutoDream": False,
            "enableAutoSkill": False,
        },
        "ui": {
            "enableFollowupSuggestions": False,
            "enableSpeculation": False,
            "enableUserFeedback": False,
            **_status_line(target),
        },
        "experimental": {"emitToolUseSummaries": False},
    }


def _status_line(target: Target) -> dict[str, object]:
    """Our line below the user's own, which is the last argument of ours; two lines are shown."""
    if not target.status_command:
        return {}
    every_s = (target.own_status_line or {}).get("refreshInterval")
    return {
        "statusLine": {
            "type": "command",
            "command": status_line.command(target, most_lines=MOST_STATUS_LINES),
            "refreshInterval": every_s if isinstance(every_s, int) else status_line.REFRESH_S,
        }
    }


def _names(target: Target) -> list[str]:
    """Every model of this launch, the main one first; a fast one that is not listed is not asked
    (read, 0.15.10)."""
    return list(dict.fromkeys(filter(None, (target.endpoint.model, _small(target)))))


def _small(target: Target) -> str:
    """The model of small work where it is one of its own."""
    return target.small_model if target.small_model != target.endpoint.model else ""


def _provider(target: Target, name: str, key: str) -> dict[str, object]:
    return {
        "id": name,
        "name": name,
        "envKey": key,
        "baseUrl": target.endpoint.openai_url,
        "generationConfig": _generation(target),
    }


def _generation(target: Target) -> dict[str, object]:
    context: ContextPlan = target.context
    config: dict[str, object] = {
        "timeout": target.patience_s * 1000,
        "contextWindowSize": context.agent_window_tokens,
        "samplingParams": {"max_tokens": context.max_output_tokens},
        "customHeaders": {},
        "extra_body": {},
    }
    if target.thinking_off:
        config["reasoning"] = False
        config["extra_body"] = {
            "chat_template_kwargs": {"enable_thinking": False},
            "reasoning_effort": "none",
        }
    return config


def _variables(target: Target) -> dict[str, str]:
    endpoint, environ = target.endpoint, target.environ
    blank = [*BLANK, *(name for name in BLANK_UNLESS_OWN if name not in environ)]
    return {
        **dict.fromkeys(blank, ""),
        **_network(endpoint, environ),
        "OPENAI_BASE_URL": endpoint.openai_url,
        "OPENAI_API_KEY": endpoint.token or DUMMY_TOKEN,
        "OPENAI_MODEL": endpoint.model,
        "QWEN_CODE_API_TIMEOUT_MS": str(target.patience_s * 1000),
        "QWEN_CODE_MAX_OUTPUT_TOKENS": str(target.context.max_output_tokens),
        # Asked of the fast model alone, after the first answer.
        "QWEN_DISABLE_AUTO_TITLE": "" if _small(target) else "1",
        "QWEN_TELEMETRY_ENABLED": "false",
        "QWEN_TELEMETRY_TARGET": "local",  # nothing at all would be refused (seen, 0.15.10)
    }


def _network(endpoint: Endpoint, environ: Mapping[str, str]) -> dict[str, str]:
    """It sends loopback through a proxy whatever NO_PROXY says (seen, 0.15.10): none at all then.

    For another host only the shell's proxies count, not those of a file.
    """
    if not endpoint.is_loopback:
        return {name: environ.get(name, "") for name in PROXIES}
    return dict.fromkeys(PROXIES, "") | bypass(endpoint, environ)


def _resumed(args: tuple[str, ...]) -> Resume | None:
    return by_flags(args, latest=("-c", "--continue"), by_id=("-r", "--resume"))


def _session_files(project: str, session: str) -> str:
    """One folder a project, named after its path (seen, 0.15.10)."""
    return f"projects/{re.sub(r'[^A-Za-z0-9]', '-', project)}/chats/{session or '*'}.jsonl"


def _session_tokens(lines: Iterable[bytes]) -> int | None:
    """By the usage of the last reply (seen, 0.15.10)."""
    counted = (total(row.get("usageMetadata"), "totalTokenCount") for row in documents(lines))
    return next(reversed([tokens for tokens in counted if tokens is not None]), None)


AGENT = Agent(
    name="qwen",
    title="Qwen Code",
    aliases=("qwen-code",),
    binary="qwen",
    known_places=("~/.local/bin/qwen", "~/.npm-global/bin/qwen"),
    package=Package(
        kind="npm",
        name="@qwen-code/qwen-code",
        version="0.15.10",
        size_bytes=56_900_000,
        download_bytes=16_300_000,
        source="npm: @qwen-code/qwen-code 0.15.10",
        programs=(("qwen", "node_modules/.bin/qwen"),),
        min_node=(20, 0),
    ),
    tested_versions=("0.15.10",),
    wires=("openai_chat",),
    # cl100k tokens of the first request's body in an empty repository, all tools (0.15.10).
    tiers=(
        Tier("full", (), tools=15, headless_tokens=14_412, interactive_tokens=14_412),
        Tier(
            "slim",
            (f"--exclude-tools={SLIM_OFF}",),
            tools=8,
            headless_tokens=9_690,
            interactive_tokens=9_690,
        ),
    ),
    # Seen: 23,000 tokens of 32,768 begin it, 22,900 do not.
    compaction=Compaction(most_reply_tokens=0, reserve_tokens=0, share=COMPACT_SHARE),
    wanted_context_tokens=65_536,
    support="tested",
    local=True,
    local_reason=None,
    reserved=RESERVED,
    grammar=GRAMMAR,
    prepare=prepare,
    is_headless=is_headless,
    one_prompt='-p "…"',
    errand=("-y", "-p", PROMPT),
    configure=configure,
    output_variable="QWEN_CODE_MAX_OUTPUT_TOKENS",
    config_folder=("QWEN_HOME", "~/.qwen"),
    watched=(
        # Our file stands in its place: a rule of the administrator would be lost without a word.
        *(
            Watched(f"{folder}/settings.json", "json", redirects=("*",), outranks=True)
            for folder in ("/etc/qwen-code", *SYSTEM_FOLDERS.values(), "C:/ProgramData/qwen-code")
        ),
        *(
            Watched(
                place,
                "json",
                redirects=(*ROUTES, *(f"env.{name}" for name in VARIABLES)),
                runs=RUNS,
            )
            for place in ("{config}/settings.json", ".qwen/settings.json")
        ),
        *(
            Watched(place, "env", redirects=VARIABLES, runs=RUN_VARIABLES)
            for place in ("{config}/.env", "~/.env", ".qwen/.env", ".env")
        ),
    ),
    trust=Trust("{config}/trustedFolders.json", "json", _trusts, asks=False),
    sessions=Sessions(_resumed, _session_files, _session_tokens),
    roles=("small",),
    status_line=StatusLine(("ui", "statusLine"), project=(".qwen/settings.json",)),
    rehearsal=Rehearsal(
        args=("--chat-recording=false", "-p", PROMPT),
        # On a terminal other tools are offered; with tips it would count those that it has shown.
        interactive=("--chat-recording=false", "-i", PROMPT),
        env={"QWEN_RUNTIME_DIR": "{folder}/runtime"},
        settings={"disableAllHooks": True, "ui": {"hideTips": True}},
    ),
    notes=(
        "it keeps no memory of its own across sessions here: that asks the model after every turn",
        "a subagent for which a file chose a model asks the engine for that name",
        "a model that repeats itself is stopped by `--max-session-turns N`, with status 53, or by "
        "`model.skipLoopDetection: false`, with status 0: at the 5th same call, but also at the "
        "8th call in a row of one tool, so that is left to you (0.15.10)",
    ),
)
