"""Kimi Code: routed by variables that outrank its settings, so its own folder stays the user's.

`KIMI_MODEL_NAME` and its companions make a provider and a model for one process, which no file can
name, and choose it (read and seen, 2.1.0).
"""

from __future__ import annotations

from collections.abc import Mapping

from agentlaunch.agents.arguments import before_operands, refuse_reserved
from agentlaunch.agents.base import (
    PROMPT,
    UNSET,
    Agent,
    Break,
    Handover,
    Reserved,
    Target,
    Unset,
    Watched,
)
from agentlaunch.agents.surroundings import DUMMY_TOKEN, bypass, stale
from agentlaunch.context import Compaction, Tier
from agentlaunch.endpoint import Wire
from agentlaunch.managed import Package

TYPES: dict[Wire, str] = {
    "openai_chat": "openai",
    "openai_responses": "openai_responses",
    "anthropic_messages": "anthropic",
}

MODEL_ALIAS = "__kimi_env_model__"
"""Its own name for the model that the variables describe (read, 2.1.0)."""

RESERVE_TOKENS = 50_000
SHARE = 0.85
"""Its own defaults: it compacts at this share of the window, or so many tokens before its end where
the window is larger than that (read, 2.1.0); only the user's settings file could say otherwise."""

NOWHERE = "http://127.0.0.1:9"
"""Nothing listens there. Interactively it asks its own service, logged in or not (seen, 2.1.0)."""

OFF: dict[str, str] = {
    "KIMI_CODE_BASE_URL": NOWHERE,
    # Both are needed: with one of them it still asks code.kimi.com (seen, 2.1.0).
    "KIMI_CODE_NO_AUTO_UPDATE": "1",
    "KIMI_DISABLE_TELEMETRY": "1",
}

KEPT = ("KIMI_CODE_HOME", "KIMI_SHELL_PATH", "KIMI_LOG_LEVEL")
"""Of the user's `KIMI_*` variables, those that neither route nor call home."""

UNSET_PREFIXES = ("KIMI_", "OTEL_")

_OWN_MODEL = "use `agentlaunch up kimi --model REF`"
_NO_MODEL = "it asks no model of this launch: run `kimi {}` itself"

RESERVED: tuple[Reserved, ...] = (
    Reserved("-m", _OWN_MODEL),
    Reserved("--model", _OWN_MODEL),
    *(
        Reserved(word, _NO_MODEL.format(word))
        for word in (
            *("acp", "doctor", "export", "fork", "install-desktop", "login", "migrate", "provider"),
            *("rc", "remote", "server", "session", "update", "upgrade", "vis", "web"),
        )
    ),
)


def prepare(target: Target) -> Handover:
    """What Kimi Code becomes for this target; raises `UsageError` for a reserved argument."""
    refuse_reserved("Kimi Code", RESERVED, target.args)
    endpoint, context = target.endpoint, target.context
    wire = target.wire(AGENT.wires)
    messages = wire == "anthropic_messages"
    env: dict[str, str | Unset] = dict.fromkeys(_unset(target.environ), UNSET)
    env |= OFF | bypass(endpoint, target.environ)
    env |= {
        "KIMI_MODEL_NAME": endpoint.model,
        "KIMI_MODEL_PROVIDER_TYPE": TYPES[wire],
        "KIMI_MODEL_BASE_URL": endpoint.base_url if messages else endpoint.openai_url,
        "KIMI_MODEL_API_KEY": endpoint.token or DUMMY_TOKEN,
        "KIMI_MODEL_MAX_CONTEXT_SIZE": str(_window(context.agent_window_tokens)),
        "KIMI_MODEL_MAX_OUTPUT_SIZE": str(context.max_output_tokens),
        # Subagents too; a setting of the user's may name another one.
        "KIMI_SECONDARY_MODEL": MODEL_ALIAS,
        # Without it images are offered to a model that may see none.
        "KIMI_MODEL_CAPABILITIES": "tool_use",
    }
    if target.home == "clean":
        env["KIMI_CODE_HOME"] = str(target.home_folder)
    return Handover(argv=(*target.command, *context.tier.args, *target.args), env=env)


def _window(tokens: int) -> int:
    """What it is told of the window: in one above 50,000 it compacts 50,000 before its end, which
    would be at once in a window of 64k, so it is told of a smaller one (read, 2.1.0)."""
    told_less = int(RESERVE_TOKENS * SHARE)
    return RESERVE_TOKENS if 0 < tokens - RESERVE_TOKENS < told_less else tokens


def is_headless(args: tuple[str, ...]) -> bool:
    """True for `-p`."""
    return any(
        arg in ("-p", "--prompt") or arg.startswith("--prompt=") for arg in before_operands(args)
    )


def _unset(environ: Mapping[str, str]) -> list[str]:
    return stale(environ, UNSET_PREFIXES, kept=KEPT)


AGENT = Agent(
    name="kimi",
    title="Kimi Code",
    aliases=("kimi-code",),
    binary="kimi",
    known_places=("~/.kimi-code/bin/kimi",),
    package=Package(
        kind="npm",
        name="@moonshot-ai/kimi-code",
        version="2.1.0",
        size_bytes=122_200_000,
        download_bytes=None,
        source="npm: @moonshot-ai/kimi-code 2.1.0",
        programs=(("kimi", "node_modules/.bin/kimi"),),
        min_node=(22, 19),
    ),
    tested_versions=("2.1.0",),
    wires=("openai_chat", "openai_responses", "anthropic_messages"),
    tiers=(Tier("full", (), tools=25, headless_tokens=18_919, interactive_tokens=18_919),),
    compaction=Compaction(most_reply_tokens=0, reserve_tokens=0, share=SHARE),
    wanted_context_tokens=65_536,
    support="launches",
    local=True,
    local_reason=None,
    reserved=RESERVED,
    prepare=prepare,
    is_headless=is_headless,
    one_prompt='-p "…"',
    errand=("-p", PROMPT),
    config_folder=("KIMI_CODE_HOME", "~/.kimi-code"),
    watched=(
        Watched(
            "{config}/config.toml",
            "toml",
            redirects=("default_model", "secondary_model.model", "providers.*.base_url"),
            # The headers of a provider by that name would be sent with ours (seen, 2.1.0).
            beyond_us=("providers.__kimi_env__",),
        ),
    ),
    egress=(
        "code.kimi.com:443: once in an interactive session, with a ripgrep on PATH too; nothing of "
        "yours was seen to be sent (2.1.0, not with `-p`)",
    ),
    breaks=(
        Break(
            "<2.0.0",
            "it is the old kimi-cli of PyPI, another program of the same name, which does not "
            "know these variables",
        ),
    ),
    notes=(
        "It gives up on a reply that has not begun after some minutes (400 seconds were too long); "
        "no switch of ours changes that. A slow CPU wants a smaller model.",
        "In a window between 50,000 and 92,500 tokens it uses 50,000: with more it would keep "
        "50,000 free, which leaves less.",
        "`-p` edits files and runs commands without a question; the folder's MCP servers wait for "
        "your answer to its question about trust.",
    ),
)
