"""mini-swe-agent: routed by a private configuration file, the last that is merged.

Its order, read and observed in 2.4.6: flags > `-c` files in their order > environment > its own
`.env` in the user's configuration folder, which overwrites nothing. Address and key of a request
are litellm's: parameters in a file win over every variable.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from agentlaunch.agents.arguments import before_operands, has_flag, refuse_reserved
from agentlaunch.agents.base import (
    PROMPT,
    UNSET,
    Agent,
    Handover,
    PrivateFile,
    Reserved,
    Target,
    Unset,
    Watched,
)
from agentlaunch.agents.keys import PROVIDER_KEYS
from agentlaunch.agents.surroundings import DUMMY_TOKEN, bypass
from agentlaunch.context import Compaction, Tier
from agentlaunch.managed import Package

DEFAULT_CONFIG = "benchmarks/../mini.yaml"
"""What the agent reads without `-c`, which a `-c` of ours takes the place of. Its own folder is
looked through after the current one, where `mini.yaml` alone could be anybody's."""

OFF: dict[str, str] = {
    # litellm's list of prices: its own copy instead of the one on raw.githubusercontent.com.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    # Not one more `.env`, looked for above the package.
    "LITELLM_MODE": "PRODUCTION",
    "USE_LITELLM_PROXY": "False",
    "OPENAI_ORGANIZATION": "",
    # It would ask for a model and a key of its own.
    "MSWEA_CONFIGURED": "true",
    # A local model has no price, and without one it stops.
    "MSWEA_COST_TRACKING": "ignore_errors",
}

NO_PARAMETERS: tuple[str, ...] = (
    "api_key",  # comes from the environment: a trajectory holds every parameter
    "api_version",
    "azure_ad_token",
    "context_window_fallback_dict",
    "deployment_id",
    "extra_headers",
    "fallbacks",
    "headers",
    "mock_response",
    "model_list",
    "organization",
)
"""Parameters of a request that would turn it or carry a key; the user's file could set them."""

_OWN_MODEL = "use `agentlaunch up mini-swe-agent --model REF`"

RESERVED: tuple[Reserved, ...] = (
    Reserved("-m", _OWN_MODEL),
    Reserved("--model", _OWN_MODEL),
    Reserved("--model-class", "the engine is asked in one way alone: leave it out"),
)


def prepare(target: Target) -> Handover:
    """What `mini` becomes for this target; raises `UsageError` for a reserved argument."""
    refuse_reserved("mini-swe-agent", RESERVED, target.args)
    path = target.runtime_folder / f"mini-swe-agent-{target.run_name}.yaml"
    words = len(before_operands(target.args))
    given = has_flag(target.args, "-c", "--config")
    base = target.environ.get("MSWEA_MINI_CONFIG_PATH") or DEFAULT_CONFIG
    argv = (
        *target.command,
        *(() if given else ("-c", base)),
        *target.args[:words],
        # After the user's: files are merged in their order, and of a flag the last one counts.
        *("-c", str(path)),
        *("-m", f"openai/{target.endpoint.model}", "--model-class", "litellm"),
        *target.args[words:],
    )
    env: dict[str, str | Unset] = dict.fromkeys(_unset(target.environ), UNSET)
    env |= OFF | {
        "OPENAI_API_BASE": target.endpoint.openai_url,
        "OPENAI_BASE_URL": target.endpoint.openai_url,
        "OPENAI_API_KEY": target.endpoint.token or DUMMY_TOKEN,
        **bypass(target.endpoint, target.environ),
    }
    if target.home == "clean":
        env["MSWEA_GLOBAL_CONFIG_DIR"] = str(target.home_folder)
    content = json.dumps(_config(target), indent=1).encode() + b"\n"  # JSON is YAML
    return Handover(argv=argv, env=env, files=(PrivateFile(path, content),))


def is_headless(args: tuple[str, ...]) -> bool:
    """True when it is given a task, asks for no confirmation and ends by itself."""
    has_task = has_flag(args, "-t", "--task")
    return has_task and has_flag(args, "-y", "--yolo") and has_flag(args, "--exit-immediately")


def _config(target: Target) -> dict[str, object]:
    endpoint = target.endpoint
    parameters: dict[str, object] = {
        **dict.fromkeys(NO_PARAMETERS),
        "custom_llm_provider": "openai",
        "api_base": endpoint.openai_url,
        "base_url": endpoint.openai_url,
        "use_litellm_proxy": False,
        "max_tokens": target.context.max_output_tokens,
        "timeout": target.patience_s,
    }
    return {"model": {"model_kwargs": parameters, "cost_tracking": "ignore_errors"}}


def _unset(environ: Mapping[str, str]) -> list[str]:
    stale = [
        name
        for name in environ
        if name.startswith(("OTEL_", "LITELLM_", "MSWEA_CONFIG_DIR", "MSWEA_MODEL_", "PORTKEY_"))
    ]
    return [*PROVIDER_KEYS, *sorted(stale)]


AGENT = Agent(
    name="mini-swe-agent",
    title="mini-swe-agent",
    aliases=("mini", "mini_swe_agent", "swe-agent"),
    binary="mini",
    known_places=("~/.local/bin/mini",),
    package=Package(
        kind="pypi",
        name="mini-swe-agent",
        version="2.4.6",
        size_bytes=770_000_000,
        download_bytes=None,
        source="PyPI: mini-swe-agent 2.4.6",
        programs=(("mini", "bin/mini"),),
        # litellm imports mcp and does not ask for it: each request fails without, or with 1.22.
        extra=("litellm[mcp]==1.106.2", "mcp==2.3.0"),
    ),
    tested_versions=("2.4.6",),
    wires=("openai_chat",),
    tiers=(Tier("full", (), tools=1, headless_tokens=818, interactive_tokens=818),),
    compaction=Compaction(most_reply_tokens=32_000, reserve_tokens=0, automatic=False),
    wanted_context_tokens=32_768,
    support="launches",
    local=True,
    local_reason=None,
    reserved=RESERVED,
    prepare=prepare,
    is_headless=is_headless,
    one_prompt='-t "…" -y --exit-immediately',
    errand=("-t", PROMPT, "-y", "--exit-immediately"),
    config_folder=("MSWEA_GLOBAL_CONFIG_DIR", "~/.config/mini-swe-agent"),
    watched=(
        Watched(DEFAULT_CONFIG, "yaml", beyond_us=("*",)),
        Watched(
            "{config}/.env",
            "env",
            redirects=("*_API_BASE", "*_API_KEY", "*_BASE_URL", "MSWEA_MODEL_*", "*_PROXY"),
        ),
    ),
    notes=(
        "It has one tool, a shell, and asks before each command unless `-y` is given.",
        "It never compacts: a session that fills the window ends with an error.",
    ),
)
