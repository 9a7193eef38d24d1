"""Goose: routed by environment variables, which count more than its config file. From its
documentation and source (2026); never run by us, since it is on neither npm nor PyPI."""

from __future__ import annotations

from collections.abc import Mapping

from agentlaunch.agents.arguments import before_operands, refuse_reserved
from agentlaunch.agents.base import UNSET, Agent, Handover, Reserved, Target, Unset, Watched
from agentlaunch.agents.surroundings import DUMMY_TOKEN, bypass, stale
from agentlaunch.context import Compaction, Tier

COMPACT_SHARE = 0.8

UNSET_NAMES = (
    "GOOSE_EDITOR_API_KEY",
    "GOOSE_EDITOR_HOST",
    "GOOSE_EDITOR_MODEL",
    "GOOSE_LEAD_MODEL",
    "GOOSE_LEAD_PROVIDER",
    "GOOSE_PREDEFINED_MODELS",
    "GOOSE_TOOLSHIM",
    "GOOSE_TOOLSHIM_OLLAMA_MODEL",
    "OPENAI_CUSTOM_HEADERS",
    "OPENAI_ORGANIZATION",
    "OPENAI_PROJECT",
    "SECURITY_PROMPT_CLASSIFIER_ENDPOINT",
    "SECURITY_PROMPT_CLASSIFIER_TOKEN",
)
UNSET_PREFIXES = ("GOOSE_PROVIDER__", "LANGFUSE_", "OTEL_")

_OWN_MODEL = "the engine serves one model: use `agentlaunch up goose --model REF`"
_NO_MODEL = "it asks no model of this launch: run `goose {}` itself"

RESERVED: tuple[Reserved, ...] = (
    Reserved("--provider", _OWN_MODEL),
    Reserved("--model", _OWN_MODEL),
    *(
        Reserved(word, _NO_MODEL.format(word))
        for word in ("configure", "info", "mcp", "project", "projects", "update", "web")
    ),
)


def prepare(target: Target) -> Handover:
    """What Goose becomes for this target; raises `UsageError` for a reserved argument."""
    refuse_reserved("Goose", RESERVED, target.args)
    env: dict[str, str | Unset] = dict.fromkeys(_unset(target.environ), UNSET)
    env |= _routing(target) | bypass(target.endpoint, target.environ)
    if target.home == "clean":
        env["GOOSE_PATH_ROOT"] = str(target.home_folder)
    return Handover(argv=(*target.command, *target.context.tier.args, *target.args), env=env)


def is_headless(args: tuple[str, ...]) -> bool:
    """True for `goose run`, unless it is to go on interactively."""
    words = before_operands(args)
    return "run" in words and not {"-s", "--interactive"} & set(words)


def _routing(target: Target) -> dict[str, str]:
    endpoint, context = target.endpoint, target.context
    threshold = COMPACT_SHARE if context.compact_at_tokens is not None else 0.0
    window = str(context.agent_window_tokens)
    return {
        "GOOSE_PROVIDER": "openai",
        "GOOSE_MODEL": endpoint.model,
        # Names, summaries; without it a model of the provider's that is not served here.
        "GOOSE_FAST_MODEL": target.small_model or endpoint.model,
        "GOOSE_SUBAGENT_PROVIDER": "openai",
        "GOOSE_SUBAGENT_MODEL": target.subagent_model or endpoint.model,
        "GOOSE_PLANNER_PROVIDER": "openai",
        "GOOSE_PLANNER_MODEL": endpoint.model,
        "GOOSE_PLANNER_CONTEXT_LIMIT": window,
        "GOOSE_CONTEXT_LIMIT": window,
        "GOOSE_MAX_TOKENS": str(context.max_output_tokens),
        "GOOSE_AUTO_COMPACT_THRESHOLD": str(threshold),
        # A name for the session would be asked of a model that the engine does not have.
        "GOOSE_DISABLE_SESSION_NAMING": "true",
        "GOOSE_TELEMETRY_ENABLED": "false",
        "OPENAI_HOST": endpoint.base_url,
        "OPENAI_BASE_PATH": "v1/chat/completions",
        "OPENAI_API_KEY": endpoint.token or DUMMY_TOKEN,
        "OPENAI_TIMEOUT": str(target.patience_s),
        "OTEL_SDK_DISABLED": "true",
    }


def _unset(environ: Mapping[str, str]) -> list[str]:
    return [*UNSET_NAMES, *stale(environ, UNSET_PREFIXES)]


AGENT = Agent(
    name="goose",
    title="Goose",
    aliases=("block-goose", "goose-cli"),
    binary="goose",
    known_places=("~/.local/bin/goose", "/opt/homebrew/bin/goose"),
    package=None,  # binary releases only
    tested_versions=(),
    wires=("openai_chat",),
    # An estimate on the careful side, not a measurement: no version was run.
    tiers=(Tier("full", (), tools=15, headless_tokens=12_000, interactive_tokens=12_000),),
    compaction=Compaction(most_reply_tokens=0, reserve_tokens=0, share=COMPACT_SHARE),
    wanted_context_tokens=65_536,
    support="documented",
    local=True,
    local_reason=None,
    reserved=RESERVED,
    prepare=prepare,
    is_headless=is_headless,
    one_prompt='run -t "…"',
    site="https://github.com/block/goose",
    config_folder=("", "~/.config/goose"),
    watched=(
        Watched(
            "{config}/config.yaml",
            "yaml",
            redirects=("GOOSE_PROVIDER", "GOOSE_MODEL", "GOOSE_LEAD_*", "OPENAI_*"),
        ),
    ),
    roles=("small", "subagent"),
    notes=(
        "Untested: configured from its documentation; its prompt size is an estimate.",
        "A lead model named in your own config.yaml would still be asked at its provider.",
    ),
)
