"""Aider: routed by parameters of every request, which no `.env` or settings file can take back.

Its order, read and observed in 0.86.2: command line > environment > project's `.aider.conf.yml` >
user's. But each `.env` (home, repository, current folder, then `--env-file`) overwrites the
environment at its start, and a model's own parameters (`--model-settings-file`, read after the
project's) are put into every request last of all. So address and key stand in a private model
settings file, and what only the environment can say stands in a private `.env`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agentlaunch.agents.arguments import before_operands, refuse_reserved
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
from agentlaunch.agents.keys import PROVIDER_KEYS
from agentlaunch.agents.surroundings import DUMMY_TOKEN, PROXIES, document, of_the_shell
from agentlaunch.changes.edit import Edit, SetKeys
from agentlaunch.context import Compaction, ContextPlan, Tier
from agentlaunch.endpoint import Endpoint
from agentlaunch.managed import Package

OFF: dict[str, str] = {
    # litellm's list of prices: its own copy instead of the one on raw.githubusercontent.com.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    # Not one more `.env`, looked for above the package.
    "LITELLM_MODE": "PRODUCTION",
    "USE_LITELLM_PROXY": "False",
    "OPENAI_ORGANIZATION": "",
}

FLAGS_OFF: tuple[str, ...] = (
    "--no-analytics",  # `--analytics-disable` would write that into the user's home for ever
    "--no-check-update",
    "--no-show-release-notes",
    "--no-show-model-warnings",
)

NO_PARAMETERS: tuple[str, ...] = (
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
"""Parameters of a request that would turn it or carry a key; a project's file could set them."""

RUNS: tuple[str, ...] = ("lint-cmd", "load", "message", "message-file", "notifications-command",
                         "test-cmd")  # fmt: skip
"""What is run by itself: linters after each edit, tests, commands and prompts at the start."""

ROUTES: tuple[str, ...] = (
    "alias",
    "anthropic-api-key",
    "api-key",
    "editor-model",
    "env-file",
    "model",
    "model-metadata-file",
    "model-settings-file",
    "openai-api-base",
    "openai-api-key",
    "openai-api-type",
    "openai-organization-id",
    "set-env",
    "weak-model",
)

_OWN_MODEL = "use `agentlaunch up aider --model REF`"
_OWN_SETTINGS = "it would replace ours: put yours into {} in your home or project"
_NO_MODEL = "it asks no model: run `aider {}` itself"

RESERVED: tuple[Reserved, ...] = (
    *(Reserved(flag, _OWN_MODEL) for flag in ("--model", "--weak-model", "--editor-model")),
    *(
        Reserved(flag, "use `agentlaunch up aider --engine URL`")
        for flag in (
            "--openai-api-base",
            "--openai-api-key",
            "--openai-api-type",
            "--openai-api-version",
            "--openai-api-deployment-id",
            "--openai-organization-id",
            "--anthropic-api-key",
            "--api-key",
        )
    ),
    Reserved("--set-env", "set it in the shell that starts agentlaunch"),
    Reserved("--alias", "the engine serves one model, " + _OWN_MODEL),
    Reserved("--env-file", _OWN_SETTINGS.format(".env")),
    Reserved("--model-settings-file", _OWN_SETTINGS.format(".aider.model.settings.yml")),
    Reserved("--model-metadata-file", _OWN_SETTINGS.format(".aider.model.metadata.json")),
    *(
        Reserved(flag, _NO_MODEL.format(flag))
        for flag in (
            "--gui",
            "--browser",
            "--install-main-branch",
            "--just-check-update",
            "--list-models",
            "--models",
            "--update",
            "--upgrade",
        )
    ),
)

GRAMMAR = Grammar(abbreviates=True, whole=("--editor",))


def prepare(target: Target) -> Handover:
    """What Aider becomes for this target; raises `UsageError` for a reserved argument."""
    refuse_reserved("Aider", RESERVED, target.args, GRAMMAR)
    folder, name = target.runtime_folder, target.run_name
    model = f"openai/{target.endpoint.model}"
    variables = _variables(target.endpoint, target.environ)
    files = (
        # JSON is YAML.
        PrivateFile(folder / f"aider-settings-{name}.yml", document(_settings(target))),
        PrivateFile(
            folder / f"aider-metadata-{name}.json",
            document({model: _metadata(target.context)}),
        ),
        PrivateFile(folder / f"aider-variables-{name}.env", _lines(variables)),
    )
    ours = (
        *("--model", model, "--weak-model", model, "--editor-model", model),
        # A name that means nothing: a list on the command line takes the place of every file's.
        *("--alias", f"agentlaunch:{model}", "--set-env", "AGENTLAUNCH=1"),
        *("--openai-api-base", target.endpoint.openai_url),
        *("--model-settings-file", str(files[0].path)),
        *("--model-metadata-file", str(files[1].path)),
        *("--env-file", str(files[2].path)),
        *("--timeout", str(target.patience_s)),
        *FLAGS_OFF,
    )
    words = len(before_operands(target.args))
    # After the user's: what comes last counts, also against an abbreviated flag.
    argv = (*target.command, *target.args[:words], *ours, *target.args[words:])
    env: dict[str, str | Unset] = dict.fromkeys(_unset(target.environ), UNSET)
    # One that is empty means no less for Aider, but the shell's own proxies stay for its tools.
    env |= {key: value for key, value in variables.items() if value or key not in PROXIES}
    if target.home == "clean":
        # It has no folder that could be moved by itself: its settings lie in the home. What git
        # knows of the user stays.
        home = str(target.home_folder)
        git = target.environ.get("GIT_CONFIG_GLOBAL") or f"{target.environ.get('HOME')}/.gitconfig"
        env |= {"HOME": home, "USERPROFILE": home, "GIT_CONFIG_GLOBAL": git}
    return Handover(argv=argv, env=env, files=files)


def is_headless(args: tuple[str, ...]) -> bool:
    """True for what makes it do one thing and end."""
    long = ("--message", "--msg", "--message-file", "--commit", "--lint", "--test", "--apply",
            "--exit", "--show-repo-map", "--show-prompts", "--version", "--help")  # fmt: skip
    return any(
        arg.split("=", 1)[0] in long or (arg[:2] in ("-m", "-f", "-h") and not arg.startswith("--"))
        for arg in before_operands(args)
    )


def configure(target: Target) -> tuple[Edit, ...]:
    """The model and the address in the user's `.aider.conf.yml`; a real key stays in the shell, as
    `OPENAI_API_KEY`."""
    model = f"openai/{target.endpoint.model}"
    values: dict[tuple[str, ...], object] = {
        ("model",): model,
        ("weak-model",): model,
        ("editor-model",): model,
        ("openai-api-base",): target.endpoint.openai_url,
    }
    if not target.endpoint.token:
        values["openai-api-key",] = DUMMY_TOKEN
    home = target.environ.get("HOME") or target.environ.get("USERPROFILE") or ""
    return (SetKeys(Path(home) / ".aider.conf.yml", "yaml", values),)


def _settings(target: Target) -> list[dict[str, object]]:
    """`aider/extra_params` counts for every model, after what a file says of one by its name."""
    endpoint = target.endpoint
    return [
        {
            "name": "aider/extra_params",
            "extra_params": {
                **dict.fromkeys(NO_PARAMETERS),
                "model": f"openai/{endpoint.model}",
                "custom_llm_provider": "openai",
                "api_base": endpoint.openai_url,
                "base_url": endpoint.openai_url,
                "api_key": endpoint.token or DUMMY_TOKEN,
                "use_litellm_proxy": False,
                "max_tokens": target.context.max_output_tokens,
                "timeout": target.patience_s,
            },
        }
    ]


def _metadata(context: ContextPlan) -> dict[str, object]:
    """What it is told of the window; with an entry here it asks no list on the network either."""
    return {
        "litellm_provider": "openai",
        "mode": "chat",
        "max_tokens": context.max_output_tokens,
        "max_input_tokens": context.agent_window_tokens - context.max_output_tokens,
        "max_output_tokens": context.max_output_tokens,
        "input_cost_per_token": 0,
        "output_cost_per_token": 0,
    }


def _variables(endpoint: Endpoint, environ: Mapping[str, str]) -> dict[str, str]:
    """Of our `.env`, which is the last that is read and overwrites a project's."""
    return OFF | {
        "OPENAI_API_BASE": endpoint.openai_url,
        "OPENAI_BASE_URL": endpoint.openai_url,
        "OPENAI_API_KEY": endpoint.token or DUMMY_TOKEN,
        **of_the_shell(endpoint, environ),
    }


def _unset(environ: Mapping[str, str]) -> list[str]:
    inherited = [
        name
        for name in environ
        if name.startswith(("OTEL_", "LITELLM_")) or name == "GITHUB_COPILOT_TOKEN"
    ]
    routes = [f"AIDER_{name.replace('-', '_').upper()}" for name in (*ROUTES, *RUNS)]
    stale = [name for name in routes if name in environ]
    return [*PROVIDER_KEYS, *sorted(inherited), *sorted(stale)]


def _lines(variables: Mapping[str, str]) -> bytes:
    """A `.env` file; in single quotes only a quote and a backslash mean more than themselves."""
    rows = []
    for name, value in variables.items():
        safe = value.replace("\\", "\\\\").replace("'", "\\'")
        rows.append(f"{name}='{safe}'\n")
    return "".join(rows).encode()


def _keys(names: tuple[str, ...]) -> tuple[str, ...]:
    """As they may stand in `.aider.conf.yml`."""
    return tuple(word for name in names for word in (name, f"--{name}"))


def _as_variables(names: tuple[str, ...]) -> tuple[str, ...]:
    """As they may stand in a `.env`."""
    return tuple(f"AIDER_{name.replace('-', '_').upper()}" for name in names)


_ENV_ROUTES = (
    *_as_variables(ROUTES),
    "*_API_BASE",
    "*_API_KEY",
    "*_BASE_URL",
    "*_PROXY",
    "*_proxy",
)

AGENT = Agent(
    name="aider",
    title="Aider",
    aliases=("aider-chat", "aider_chat"),
    binary="aider",
    known_places=("~/.local/bin/aider",),
    package=Package(
        kind="pypi",
        name="aider-chat",
        version="0.86.2",
        size_bytes=720_000_000,
        download_bytes=None,
        source="PyPI: aider-chat 0.86.2",
        programs=(("aider", "bin/aider"),),
        python=">=3.10,<3.13",
    ),
    tested_versions=("0.86.2",),
    wires=("openai_chat",),
    tiers=(Tier("full", (), tools=0, headless_tokens=712, interactive_tokens=712),),
    # It shortens its chat history beyond a sixteenth of the window; files and map stay whole.
    compaction=Compaction(most_reply_tokens=32_000, reserve_tokens=0, automatic=False),
    wanted_context_tokens=16_384,
    support="launches",
    local=True,
    local_reason=None,
    reserved=RESERVED,
    grammar=GRAMMAR,
    prepare=prepare,
    is_headless=is_headless,
    one_prompt='--message "…"',
    errand=("--message", PROMPT, "--no-gitignore", "--no-auto-commits", "--yes-always"),
    needs_tools=False,
    configure=configure,
    watched=(
        Watched("~/.aider.conf.yml", "yaml", redirects=_keys(ROUTES)),
        Watched("~/.env", "env", redirects=_ENV_ROUTES, beyond_us=("GITHUB_COPILOT_TOKEN",)),
        Watched(".aider.conf.yml", "yaml", redirects=_keys(ROUTES), runs=_keys(RUNS)),
        Watched(
            ".env",
            "env",
            redirects=_ENV_ROUTES,
            runs=_as_variables(RUNS),
            beyond_us=("GITHUB_COPILOT_TOKEN",),
        ),
    ),
    notes=(
        "It edits by text instead of tools, so a model needs no tool calling.",
        "It knows no trusted folders: linters and tests that a project's .aider.conf.yml names "
        "are run after each edit.",
    ),
)
