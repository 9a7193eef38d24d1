"""Crush: routed by the settings in its data folder, which it merges last. From its documentation
and source (August 2026); never run by us, since its npm package downloads the program elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

from agentlaunch.agents.arguments import before_operands, refuse_reserved
from agentlaunch.agents.base import (
    UNSET,
    Agent,
    Handover,
    PrivateFile,
    Reserved,
    Target,
    Unset,
    Watched,
)
from agentlaunch.agents.surroundings import DUMMY_TOKEN, bypass, document, stale
from agentlaunch.context import Compaction, Tier

KEY_VARIABLE = "AGENTLAUNCH_CRUSH_KEY"
PROVIDER = "agentlaunch"

OFF: dict[str, str] = {
    "CRUSH_DISABLE_METRICS": "1",
    "CRUSH_DISABLE_PROVIDER_AUTO_UPDATE": "1",
    "CRUSH_DISABLE_DEFAULT_PROVIDERS": "1",
    "CRUSH_CLIENT_SERVER": "0",
    "DO_NOT_TRACK": "1",
}

UNSET_PREFIXES = ("OTEL_",)

_OWN_MODEL = "the engine serves one model: use `agentlaunch up crush --model REF`"
_NO_MODEL = "it asks no model of this launch: run `crush {}` itself"

RESERVED: tuple[Reserved, ...] = (
    *(Reserved(flag, _OWN_MODEL) for flag in ("-m", "--model", "--small-model")),
    *(
        Reserved(flag, "it would take the place of our settings: leave it out")
        for flag in ("-D", "--data-dir", "-H", "--host")
    ),
    *(
        Reserved(word, _NO_MODEL.format(word))
        for word in ("login", "logout", "logs", "models", "projects", "server", "update-providers")
    ),
)


def prepare(target: Target) -> Handover:
    """What Crush becomes for this target; raises `UsageError` for a reserved argument."""
    refuse_reserved("Crush", RESERVED, target.args)
    folder = target.runtime_folder / f"crush-{target.run_name}"
    env: dict[str, str | Unset] = dict.fromkeys(_unset(target.environ), UNSET)
    env |= OFF | bypass(target.endpoint, target.environ)
    env[KEY_VARIABLE] = target.endpoint.token or DUMMY_TOKEN
    if target.home == "clean":
        env["CRUSH_GLOBAL_CONFIG"] = str(target.home_folder / "config")
        env["CRUSH_GLOBAL_DATA"] = str(target.home_folder / "data")
    return Handover(
        argv=(
            *target.command,
            "--data-dir",
            str(folder),
            *target.context.tier.args,
            *target.args,
        ),
        env=env,
        files=(PrivateFile(folder / "crush.json", document(_settings(target))),),
    )


def is_headless(args: tuple[str, ...]) -> bool:
    """True for `crush run`."""
    return "run" in before_operands(args)


def _settings(target: Target) -> dict[str, object]:
    endpoint, context = target.endpoint, target.context
    anthropic = target.wire(AGENT.wires) == "anthropic_messages"
    large, small = endpoint.model, target.small_model or endpoint.model
    models = [
        {
            "id": name,
            "name": name,
            "context_window": context.agent_window_tokens,
            "default_max_tokens": context.max_output_tokens,
        }
        for name in dict.fromkeys((large, small))
    ]
    chosen = {
        size: {"model": name, "provider": PROVIDER, "max_tokens": context.max_output_tokens}
        for size, name in (("large", large), ("small", small))
    }
    return {
        "providers": {
            PROVIDER: {
                "name": "agentlaunch",
                "type": "anthropic" if anthropic else "openai-compat",
                "base_url": endpoint.base_url if anthropic else endpoint.openai_url,
                # It expands variables in this value, so a key of any characters stays whole.
                "api_key": f"${KEY_VARIABLE}",
                "models": models,
            }
        },
        "models": chosen,
        "options": {
            "disable_auto_summarize": context.compact_at_tokens is None,
            "disable_default_providers": True,
            "disable_metrics": True,
            "disable_provider_auto_update": True,
        },
    }


def _unset(environ: Mapping[str, str]) -> list[str]:
    return stale(environ, UNSET_PREFIXES)


AGENT = Agent(
    name="crush",
    title="Crush",
    aliases=("charm-crush",),
    binary="crush",
    known_places=("~/go/bin/crush", "/opt/homebrew/bin/crush"),
    package=None,  # npm's package is a script that downloads the program from another host
    tested_versions=(),
    wires=("openai_chat", "anthropic_messages"),
    # An estimate on the careful side, not a measurement: no version was run.
    tiers=(Tier("full", (), tools=20, headless_tokens=16_000, interactive_tokens=16_000),),
    # Its rule for windows up to 200,000 tokens: a fifth is left (read).
    compaction=Compaction(most_reply_tokens=0, reserve_tokens=0, share=0.8),
    wanted_context_tokens=65_536,
    support="documented",
    local=True,
    local_reason=None,
    reserved=RESERVED,
    prepare=prepare,
    is_headless=is_headless,
    one_prompt='run "…"',
    site="https://github.com/charmbracelet/crush",
    config_folder=("CRUSH_GLOBAL_CONFIG", "~/.config/crush"),
    watched=(
        *(
            Watched(
                name,
                "json",
                redirects=("models", "providers.*.base_url", "options.data_directory"),
                runs=("hooks", "lsp.*.command", "mcp.*.command", "mcp.*.url"),
            )
            for name in ("crush.json", ".crush.json")
        ),
        # A script that Crush runs when it starts.
        *(Watched(name, "code", runs=("crushrc",)) for name in ("crushrc", ".crushrc")),
    ),
    roles=("small",),
    notes=(
        "Untested: configured from its documentation; its prompt size is an estimate.",
        "Conversations of such a launch are kept apart from yours.",
    ),
)
