"""OpenHands CLI: routed by a private settings folder that shares the user's own.

Read and observed in 1.16.0: the environment (`LLM_*`, only with `--override-with-envs`) replaces
address, key and model of the user's `agent_settings.json`, and nothing else of it: his headers, his
fallback models and his window would stay. So the folder with that file is ours
(`OPENHANDS_PERSISTENCE_DIR`); conversations, MCP servers, skills and hooks are still his.
A project's `.env` sets what the environment lacks, so what could turn a request is set, if to
nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from agentlaunch.agents.arguments import before_operands, refuse_reserved
from agentlaunch.agents.base import (
    PROMPT,
    UNSET,
    Agent,
    Grammar,
    Handover,
    Link,
    PrivateFile,
    Reserved,
    Target,
    Unset,
    Watched,
)
from agentlaunch.agents.surroundings import DUMMY_TOKEN, of_the_shell, stale
from agentlaunch.context import Compaction, Tier
from agentlaunch.managed import Package

OFF: dict[str, str] = {
    # litellm's list of prices: its own copy instead of the one on raw.githubusercontent.com.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_MODE": "PRODUCTION",
    "USE_LITELLM_PROXY": "False",
    "OPENAI_ORGANIZATION": "",
    # Traces would carry every prompt to that address.
    "LMNR_PROJECT_API_KEY": "",
    "OTEL_ENDPOINT": "",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "",
    "OPENHANDS_SUPPRESS_BANNER": "1",
    # It refuses a window below 16,384 tokens otherwise.
    "ALLOW_SHORT_CONTEXT_WINDOWS": "true",
    "EXTENSIONS_REF": "main",
}

TOOLS = ("terminal", "file_editor", "task_tracker", "task_tool_set")
"""The agent's own choice for its terminal (read, 1.16.0)."""

_ELSEWHERE = "that session would not run on this machine's engine: run `openhands {}` itself"
_NO_MODEL = "it asks no model: run `openhands {}` itself"

RESERVED: tuple[Reserved, ...] = (
    Reserved("--override-with-envs", "use `agentlaunch up openhands --model REF`"),
    *(Reserved(word, _ELSEWHERE.format(word)) for word in ("cloud", "serve", "web")),
    *(Reserved(word, _NO_MODEL.format(word)) for word in ("login", "logout", "mcp", "view")),
)

GRAMMAR = Grammar(abbreviates=True)


def prepare(target: Target) -> Handover:
    """What OpenHands becomes for this target; raises `UsageError` for a reserved argument."""
    refuse_reserved("OpenHands", RESERVED, target.args, GRAMMAR)
    folder = target.runtime_folder / f"openhands-{target.run_name}"
    own = target.home_folder if target.home == "clean" else target.own_folder
    env: dict[str, str | Unset] = dict.fromkeys(_unset(target.environ), UNSET)
    env |= OFF | {
        "OPENHANDS_PERSISTENCE_DIR": str(folder),
        "OPENHANDS_CONVERSATIONS_DIR": str(own / "conversations"),
        "OPENHANDS_WORK_DIR": str(target.project),
        "PERSISTENCE_DIR": str(own),
        "OPENAI_API_BASE": target.endpoint.openai_url,
        "OPENAI_BASE_URL": target.endpoint.openai_url,
        **of_the_shell(target.endpoint, target.environ),
    }
    if target.home == "clean":
        # Skills and hooks are looked for in the home. What git knows of the user stays.
        home = str(target.home_folder)
        git = target.environ.get("GIT_CONFIG_GLOBAL") or f"{target.environ.get('HOME')}/.gitconfig"
        env |= {"HOME": home, "USERPROFILE": home, "GIT_CONFIG_GLOBAL": git}
    content = json.dumps(_settings(target), indent=1).encode() + b"\n"
    return Handover(
        argv=(*target.command, *target.args),
        env=env,
        files=(PrivateFile(folder / "agent_settings.json", content),),
        links=(Link(folder / "mcp.json", own / "mcp.json"),),
    )


def is_headless(args: tuple[str, ...]) -> bool:
    """True for `--headless`."""
    return "--headless" in before_operands(args)


def _settings(target: Target) -> dict[str, object]:
    """`agent_settings.json` as the agent writes it itself; what is left out has its default."""
    context = target.context
    condenser: dict[str, object] = {
        "kind": "LLMSummarizingCondenser",
        "llm": _llm(target, "condenser"),
        "max_size": 80,
        "keep_first": 4,
    }
    if context.compact_at_tokens is not None:
        condenser["max_tokens"] = context.compact_at_tokens
    return {
        "kind": "Agent",
        "llm": _llm(target, "agent"),
        "tools": [{"name": name} for name in TOOLS],
        "system_prompt_kwargs": {"cli_mode": True},
        "condenser": condenser,
    }


def _llm(target: Target, usage: str) -> dict[str, object]:
    endpoint, context = target.endpoint, target.context
    return {
        "model": f"openai/{endpoint.model}",
        "api_key": endpoint.token or DUMMY_TOKEN,
        "base_url": endpoint.openai_url,
        "timeout": target.patience_s,
        "max_input_tokens": context.agent_window_tokens - context.max_output_tokens,
        "max_output_tokens": context.max_output_tokens,
        "input_cost_per_token": 0.0,
        "output_cost_per_token": 0.0,
        "usage_id": usage,
    } | ({"reasoning_effort": "none"} if target.thinking_off else {})


def _unset(environ: Mapping[str, str]) -> list[str]:
    return stale(environ, ("LITELLM_", "LLM_", "LMNR_", "OTEL_"))


AGENT = Agent(
    name="openhands",
    title="OpenHands",
    aliases=("openhands-cli", "open-hands"),
    binary="openhands",
    known_places=("~/.local/bin/openhands",),
    package=Package(
        kind="pypi",
        name="openhands",
        version="1.16.0",
        size_bytes=790_000_000,
        download_bytes=None,
        source="PyPI: openhands 1.16.0",
        programs=(("openhands", "bin/openhands"),),
        python=">=3.12,<3.14",
        from_source=("func-timeout",),
    ),
    tested_versions=("1.16.0",),
    wires=("openai_chat",),
    tiers=(Tier("full", (), tools=6, headless_tokens=7_649, interactive_tokens=7_649),),
    # It counts messages alone: what the tools take is in the reserve.
    compaction=Compaction(most_reply_tokens=32_000, reserve_tokens=8_000),
    wanted_context_tokens=32_768,
    support="launches",
    local=True,
    local_reason=None,
    reserved=RESERVED,
    grammar=GRAMMAR,
    prepare=prepare,
    is_headless=is_headless,
    one_prompt='--headless -t "…"',
    errand=("--headless", "-t", PROMPT),
    config_folder=("OPENHANDS_PERSISTENCE_DIR", "~/.openhands"),
    watched=(
        Watched(
            "{config}/agent_settings.json",
            "json",
            redirects=("llm.base_url", "llm.model", "llm.extra_headers", "llm.fallback_strategy"),
        ),
        Watched(
            ".env",
            "env",
            redirects=("*_API_BASE", "*_BASE_URL", "*_PROXY", "LMNR_*", "OPENHANDS_*", "OTEL_*"),
        ),
        Watched(".openhands/hooks.json", "json", runs=("*",)),
    ),
    egress=(
        "github.com: it brings its public skills from there before each session",
        "the Python package index: it asks for a newer version of itself",
    ),
    notes=(
        "`--headless` runs every command without asking.",
        "It knows no trusted folders: hooks of a project's .openhands/hooks.json run.",
    ),
)
