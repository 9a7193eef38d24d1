"""Cline CLI: routed by a private file of providers in the place of the user's.

`CLINE_PROVIDER_SETTINGS_PATH` names it; the user's data folder (sessions, MCP servers) stays his.
With `CLINE_SESSION_BACKEND_MODE=local` no background hub, which would have another launch's
settings, answers in its place (read and seen, 3.0.65).
"""

from __future__ import annotations

from collections.abc import Mapping

from agentlaunch.agents.arguments import before_operands, has_flag, refuse_reserved
from agentlaunch.agents.base import (
    PROMPT,
    UNSET,
    Agent,
    Grammar,
    Handover,
    PrivateFile,
    Reserved,
    Target,
    Unset,
    Watched,
)
from agentlaunch.agents.surroundings import CODE_VARIABLES, DUMMY_TOKEN, bypass, document, stale
from agentlaunch.context import Compaction, Tier
from agentlaunch.managed import Package

PROVIDER = "openai-compatible"

OFF: dict[str, str] = {
    # Nothing listens there: interactively it asks api.cline.bot (seen, 3.0.65).
    "CLINE_API_BASE_URL": "http://127.0.0.1:9",
    "CLINE_SESSION_BACKEND_MODE": "local",
    # The TUI starts a hub all the same (seen, 3.0.65): one of ours, which no plain `cline` finds.
    "CLINE_HUB_PORT": "25473",
    "CLINE_NO_AUTO_UPDATE": "1",
    "CLINE_DISABLE_CLINE_PASS_NOTICE": "1",
    # Said on stderr with every request otherwise.
    "AI_SDK_LOG_WARNINGS": "false",
}

EMPTIED = (
    "CLINE_API_KEY",
    "CLINE_ENVIRONMENT",
    "CLINE_ENVIRONMENT_OVERRIDE",
    "CLINE_MODEL",
    "CLINE_PROVIDER",
    "CLINE_VCR",
)
"""Empty and not unset: a project's `.env` fills what is not there (seen, 3.0.65)."""

KEPT = (
    "CLINE_DATA_DIR",
    "CLINE_DB_DATA_DIR",
    "CLINE_DIR",
    "CLINE_HOOKS_DIR",
    "CLINE_MCP_SETTINGS_PATH",
    "CLINE_SESSION_DATA_DIR",
    "CLINE_TEAM_DATA_DIR",
)
"""Where the user's own things lie."""

UNSET_PREFIXES = ("CLINE_", "LANGFUSE_", "OTEL_")

GLOBAL_SETTINGS: dict[str, object] = {
    # The one switch of its telemetry; with it otel.cline.bot is no longer asked (seen, 3.0.65).
    "telemetryOptOut": True,
    "autoUpdateEnabled": False,
    # The user's own choice stands in a file that this one replaces: the careful one.
    "toolAutoApprove": False,
}

VALUES = (
    "--auto-approve", "--compaction", "--cwd", "--hooks-dir", "--id", "--retries", "--system",
    "--thinking", "--timeout", "-c", "-s", "-t",
)  # fmt: skip
"""Flags whose value is a word of its own."""

_OWN_MODEL = "the engine serves one model: use `agentlaunch up cline --model REF`"
_NO_MODEL = "it asks no model of this launch: run `cline {}` itself"

RESERVED: tuple[Reserved, ...] = (
    *(
        Reserved(flag, _OWN_MODEL)
        for flag in ("-P", "--provider", "-k", "--key", "-m", "--model")
    ),
    Reserved("--data-dir", "it would take the place of our providers: use `--home clean`"),
    Reserved("--config", "it would take the place of our settings: use `--home clean`"),
    Reserved("-z", "a background session outlives this launch: leave it out"),
    Reserved("--zen", "a background session outlives this launch: leave it out"),
    *(Reserved(word, _NO_MODEL.format(word)) for word in ("--acp", "--kanban", "--update")),
    *(
        Reserved(word, _NO_MODEL.format(word))
        for word in (
            "auth", "config", "connect", "dashboard", "doctor", "h", "history", "hook", "hub",
            "kanban", "mcp", "plugin", "schedule", "skill", "update", "version",
        )
    ),
)  # fmt: skip

GRAMMAR = Grammar(value_flags=VALUES)


def prepare(target: Target) -> Handover:
    """What Cline becomes for this target; raises `UsageError` for a reserved argument."""
    refuse_reserved("Cline", RESERVED, target.args, GRAMMAR)
    providers = target.runtime_folder / f"cline-{target.run_name}.json"
    settings = target.home_folder / "global-settings.json"
    env: dict[str, str | Unset] = dict.fromkeys(_unset(target.environ), UNSET)
    env |= dict.fromkeys(EMPTIED, "") | OFF | bypass(target.endpoint, target.environ)
    env["CLINE_PROVIDER_SETTINGS_PATH"] = str(providers)
    env["CLINE_GLOBAL_SETTINGS_PATH"] = str(settings)
    env["CLINE_HUB_DISCOVERY_PATH"] = str(target.home_folder / "hub.json")
    if target.home == "clean":
        env["CLINE_DIR"] = str(target.home_folder)
        env["CLINE_DATA_DIR"] = str(target.home_folder / "data")
    routing = ("-P", PROVIDER, "-m", target.endpoint.model)
    return Handover(
        argv=(*target.command, *target.context.tier.args, *routing, *target.args),
        env=env,
        files=(PrivateFile(providers, document(_providers(target))),),
        seeds=(PrivateFile(settings, document(GLOBAL_SETTINGS)),),
    )


def is_headless(args: tuple[str, ...]) -> bool:
    """True with a prompt, unless `-i` or `--tui` asks for the terminal's own interface."""
    if has_flag(args, "-i", "--tui"):
        return False
    words = before_operands(args)
    prompts = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if not word.startswith("-") and before not in VALUES
    ]
    return bool(prompts) or len(words) < len(args) - 1


def _providers(target: Target) -> dict[str, object]:
    settings = {
        "provider": PROVIDER,
        "apiKey": target.endpoint.token or DUMMY_TOKEN,
        "model": target.endpoint.model,
        "baseUrl": target.endpoint.openai_url,
        # With it `max_tokens` is what is left of the window, and it compacts (seen, 3.0.65).
        "contextWindow": target.context.agent_window_tokens,
    }
    # It writes the time itself when it starts; without one the file is not taken.
    row = {"settings": settings, "updatedAt": "2026-01-01T00:00:00.000Z", "tokenSource": "manual"}
    return {
        "version": 1,
        "lastUsedProvider": PROVIDER,
        "modes": {},
        "providers": {PROVIDER: row},
    }


def _unset(environ: Mapping[str, str]) -> list[str]:
    return stale(environ, UNSET_PREFIXES, kept=KEPT)


AGENT = Agent(
    name="cline",
    title="Cline",
    aliases=("cline-cli",),
    binary="cline",
    known_places=(),
    package=Package(
        kind="npm",
        name="cline",
        version="3.0.65",
        size_bytes=372_700_000,
        download_bytes=None,
        source="npm: cline 3.0.65",
        programs=(("cline", "node_modules/.bin/cline"),),
        min_node=(20, 0),
    ),
    tested_versions=("3.0.65",),
    wires=("openai_chat",),
    # cl100k tokens of the first request's body, 3.0.65.
    tiers=(Tier("full", (), tools=25, headless_tokens=4_480, interactive_tokens=4_480),),
    # Window 32,768: a usage of 28,500 went on, 30,000 was compacted (seen, 3.0.65).
    compaction=Compaction(most_reply_tokens=0, reserve_tokens=0, share=0.9),
    wanted_context_tokens=32_768,
    support="launches",
    local=True,
    local_reason=None,
    reserved=RESERVED,
    grammar=GRAMMAR,
    prepare=prepare,
    is_headless=is_headless,
    one_prompt='"…"',
    errand=("--auto-approve", "true", PROMPT),
    config_folder=("CLINE_DIR", "~/.cline"),
    watched=(
        Watched(
            "{config}/data/settings/providers.json",
            "json",
            redirects=("providers.*.settings.baseUrl", "providers.*.settings.apiKey"),
        ),
        Watched(
            ".env",
            "env",
            redirects=("CLINE_*", "HTTP_PROXY", "HTTPS_PROXY"),
            runs=CODE_VARIABLES,
        ),
        Watched(".clinerules/hooks/*", "code", runs=("hooks",)),
        Watched(".cline/hooks/*", "code", runs=("hooks",)),
        Watched(".cline/plugins/*", "code", runs=("plugins",)),
        Watched(".cline/plugins/*/*", "code", runs=("plugins",)),
    ),
    egress=(
        "data.cline.bot: feature flags, asked at every start",
        "models.dev: the list of models, asked by an interactive session",
    ),
    notes=(
        "It asks data.cline.bot for feature flags at every start and, interactively, models.dev "
        "for its list of models; no switch is known.",
        "Its TUI leaves a hub process behind, one of ours on port 25473.",
        "Its global settings (theme, approval, disabled tools and plugins) are kept apart from "
        "yours: tools ask first, unless `--auto-approve true` is given.",
    ),
)
