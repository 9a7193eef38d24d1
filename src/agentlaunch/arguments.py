"""The command line as a Typer app: arguments in, one call per command.

A command's module is imported inside its callback, only the command that was typed is built with
its options, and annotations here are real objects (no `from __future__ import annotations`): that
is what keeps `--help` fast.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from agentlaunch.commands.result import Result, render
from agentlaunch.talk import Policy, Talk

EVERYWHERE = "Everywhere: --json --no-input --yes/-y --offline --debug -v --no-color"

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
NoInput = Annotated[bool, typer.Option("--no-input", help="Never ask; fail and name the flag.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Yes to routine questions.")]
Offline = Annotated[bool, typer.Option("--offline", help="No network but the engine.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]
Version = Annotated[bool, typer.Option("--version", help="Print the version.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="Plain text.")]
GLOBALS: dict[str, Any] = {
    "json": Json,
    "no_input": NoInput,
    "yes": Yes,
    "offline": Offline,
    "debug": Debug,
    "verbose": Verbose,
    "no_color": NoColor,
}


@dataclass(slots=True)
class Invocation:
    """One run of the command line: how it speaks, what stood after `--`, how it ended."""

    agent_args: tuple[str, ...] = ()
    talk: Talk = field(default_factory=lambda: Talk(Policy()))
    exit_code: int = 0

    def add(self, flags: dict[str, bool]) -> None:
        """Global flags count wherever they stand: before the command or after it."""
        now = self.talk.policy
        self.talk.policy = replace(
            now,
            json=now.json or flags["json"],
            no_input=now.no_input or flags["no_input"],
            yes=now.yes or flags["yes"],
            offline=now.offline or flags["offline"],
            debug=now.debug or flags["debug"],
            verbose=now.verbose or flags["verbose"],
            color=False if flags["no_color"] else now.color,
        )


Command = Callable[..., Result | None]


AgentName = Annotated[str | None, typer.Argument(metavar="[AGENT]", show_default=False)]
AgentOption = Annotated[
    str | None, typer.Option("--agent", metavar="AGENT", help="Rank for this agent.")
]
Model = Annotated[
    str | None, typer.Option("--model", metavar="REF", help="Model name, or path to a .gguf.")
]
EngineName = Annotated[
    str | None, typer.Option("--engine", metavar="NAME|URL", help="What serves the model.")
]
ContextSize = Annotated[
    str | None, typer.Option("--context", metavar="N|auto", help="Tokens the engine allocates.")
]
KvCache = Annotated[
    str | None, typer.Option("--kv-cache", metavar="TYPE", help="f16, q8_0, q4_0 or auto.")
]
Slim = Annotated[
    str | None, typer.Option("--slim", metavar="auto|off|on", help="The agent's smaller prompt.")
]
HomeKind = Annotated[
    str | None, typer.Option("--home", metavar="own|clean", help="Your settings, or an empty home.")
]
Simulate = Annotated[
    str | None,
    typer.Option("--simulate", metavar="SPEC|FILE", help="Another machine: a spec, a facts file."),
]
Parallel = Annotated[
    int, typer.Option("--parallel", metavar="N", min=1, help="Slots, each with the context.")
]
Batch = Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Micro-batch in tokens.")]
FlashAttention = Annotated[
    str | None,
    typer.Option("--flash-attention", metavar="on|off", help="On where the device has it."),
]
AllowRemote = Annotated[
    bool, typer.Option("--allow-remote", help="Once, let your code leave this machine.")
]
OtherHost = Annotated[
    bool, typer.Option("--allow-remote", help="Once, on an Ollama that is not this machine.")
]
TrustProject = Annotated[
    bool, typer.Option("--trust-project", help="Let what this project holds run, this once.")
]
Configure = Annotated[
    bool,
    typer.Option("--config", help="Write the agent's own configuration instead of a launch."),
]
GiveBack = Annotated[
    bool, typer.Option("--restore", help="Give this agent's files back, as `restore` does.")
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Plain http for a registry you name.")]


def start(talk: Talk) -> Result | None:
    """Run a coding agent on a model of your own, in one command.

    agentlaunch up claude-code        detect, choose, serve, configure, become the agent
    """
    from agentlaunch.commands import menu

    return menu.run(talk)


def up(
    talk: Talk,
    agent: AgentName = None,
    model: Model = None,
    engine: EngineName = None,
    context: ContextSize = None,
    kv_cache: KvCache = None,
    slim: Slim = None,
    home: HomeKind = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; do nothing.")] = False,
    skip_proof: Annotated[
        bool, typer.Option("--skip-proof", help="Do not test the model before the launch.")
    ] = False,
    status_file: Annotated[
        Path | None, typer.Option("--status-file", metavar="PATH", help="How far it came, as JSON.")
    ] = None,
    insecure: Insecure = False,
    allow_remote: AllowRemote = False,
    trust_project: TrustProject = False,
    config: Configure = False,
    restore: GiveBack = False,
    *,
    agent_args: Sequence[str] = (),
) -> Result | None:
    """Detect, choose, serve, configure, and become the agent.

    What stands after `--` goes to the agent untouched:

    agentlaunch up claude-code -- -p "Say hello"
    """
    from agentlaunch.commands import up as command

    flags = {
        "agent": agent, "model": model, "engine": engine, "context": context,
        "kv_cache": kv_cache, "slim": slim, "home": home,
    }  # fmt: skip
    return command.run(
        talk,
        flags,
        agent_args,
        dry_run=dry_run,
        skip_proof=skip_proof,
        status_file=status_file,
        insecure=insecure,
        allow_remote=allow_remote,
        trust_project=trust_project,
        config=config,
        restore=restore,
    )


def env(
    talk: Talk,
    agent: AgentName = None,
    shell: Annotated[
        str | None, typer.Option("--shell", metavar="bash|zsh|fish|powershell|json")
    ] = None,
    model: Model = None,
    engine: EngineName = None,
    context: ContextSize = None,
    kv_cache: KvCache = None,
    slim: Slim = None,
    home: HomeKind = None,
    allow_remote: AllowRemote = False,
    *,
    agent_args: Sequence[str] = (),
) -> Result | None:
    """Print what `up` would set, for a shell; the engine must be running."""
    from agentlaunch.commands import env as command

    flags = {
        "agent": agent, "model": model, "engine": engine, "context": context,
        "kv_cache": kv_cache, "slim": slim, "home": home,
    }  # fmt: skip
    return command.run(talk, flags, agent_args, shell=shell, allow_remote=allow_remote)


def models(
    talk: Talk,
    agent: AgentOption = None,
    context: ContextSize = None,
    kv_cache: KvCache = None,
    parallel: Parallel = 1,
    batch: Batch = 512,
    flash_attention: FlashAttention = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what does not fit.")] = False,
    simulate: Simulate = None,
) -> Result | None:
    """What fits this machine for this agent, ranked, with the reason."""
    from agentlaunch.commands import models as command

    flags = {"agent": agent, "context": context, "kv_cache": kv_cache}
    engine = command.Engine(parallel, batch, command.on_or_off(flash_attention))
    return command.list_models(talk, flags, engine, everything=everything, simulate=simulate)


def models_show(
    talk: Talk,
    ref: Annotated[str, typer.Argument(metavar="REF")],
    agent: AgentOption = None,
    context: ContextSize = None,
    kv_cache: KvCache = None,
    parallel: Parallel = 1,
    batch: Batch = 512,
    flash_attention: FlashAttention = None,
    simulate: Simulate = None,
) -> Result | None:
    """One model: sizes at a context, sources, scores, known problems."""
    from agentlaunch.commands import models as command

    flags = {"agent": agent, "context": context, "kv_cache": kv_cache}
    engine = command.Engine(parallel, batch, command.on_or_off(flash_attention))
    return command.show(talk, ref, flags, engine, simulate=simulate)


def models_pull(
    talk: Talk,
    ref: Annotated[str, typer.Argument(metavar="REF")],
    engine: EngineName = None,
    insecure: Insecure = False,
    allow_remote: OtherHost = False,
    stop: Annotated[bool, typer.Option("--stop", help="End its download in the background.")] = (
        False
    ),
) -> Result | None:
    """Download a model to where a launch would look; an interrupted download goes on.

    That is Ollama's own store where Ollama serves, else ours (--engine ollama|embedded).
    """
    from agentlaunch.commands import pull as command

    if stop:
        command.stop(talk, ref)
    else:
        command.pull(talk, ref, insecure=insecure, engine=engine, allow_remote=allow_remote)
    return None


def models_prune(
    talk: Talk,
    force: Annotated[bool, typer.Option("--force", help="Also what is loaded now.")] = False,
    allow_remote: OtherHost = False,
) -> Result | None:
    """Remove the tags that launches made on Ollama; models stay."""
    from agentlaunch.commands import pull as command

    return command.prune(talk, force=force, allow_remote=allow_remote)


def agents(talk: Talk) -> Result | None:
    """What can be launched, what is installed, what was tested."""
    from agentlaunch.commands import agents as command

    return command.list_agents(talk)


def agents_show(
    talk: Talk, agent: Annotated[str, typer.Argument(metavar="AGENT")]
) -> Result | None:
    """One agent: where it is, what it needs, which arguments are reserved."""
    from agentlaunch.commands import agents as command

    return command.show(talk, agent)


def agents_install(
    talk: Talk, agent: Annotated[str, typer.Argument(metavar="AGENT")]
) -> Result | None:
    """Install the tested version into a folder of ours, never globally."""
    from agentlaunch.commands import agents as command

    return command.install(talk, agent)


def engines(
    talk: Talk,
    watch: Annotated[bool, typer.Option("--watch", help="Live numbers, each second.")] = False,
) -> Result | None:
    """What serves models here, and what is loaded."""
    if watch:
        from agentlaunch.commands import engine_watch

        return engine_watch.watch(talk)
    from agentlaunch.commands import engines as command

    return command.list_engines(talk)


def engines_stop(
    talk: Talk,
    model: Annotated[str | None, typer.Argument(metavar="[MODEL|ollama]")] = None,
    force: Annotated[bool, typer.Option("--force", help="Even under a running session.")] = False,
    allow_remote: OtherHost = False,
) -> Result | None:
    """Stop engines of ours; one that a session uses only with --force.

    Ollama itself goes on: `ollama` unloads what launches of ours loaded there.
    """
    from agentlaunch.commands import engines as command

    return command.stop(talk, model, force=force, allow_remote=allow_remote)


def engines_logs(
    talk: Talk,
    model: Annotated[str | None, typer.Argument(metavar="[MODEL|ollama]")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on as it grows.")] = False,
) -> Result | None:
    """The newest log of an engine of ours, the one that runs a model, or Ollama's."""
    from agentlaunch.commands import engine_logs as command

    return command.logs(talk, model, watch=watch)


def doctor(
    talk: Talk,
    agent: AgentName = None,
    simulate: Simulate = None,
    record: Annotated[
        Path | None, typer.Option("--record", metavar="FILE", help="Write this machine's facts.")
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what is safe to mend.")] = False,
) -> Result | None:
    """Every check, each with the command that mends it."""
    from agentlaunch.commands import doctor as command

    return command.run(talk, agent, simulate=simulate, record=record, fix=fix)


def bench(
    talk: Talk,
    ref: Annotated[
        str | None,
        typer.Argument(metavar="[REF]", show_default=False, help="Default: the last model."),
    ] = None,
    engine: EngineName = None,
    context: ContextSize = None,
    kv_cache: KvCache = None,
    runs: Annotated[
        int, typer.Option("--runs", metavar="N", min=1, help="Runs at each length.")
    ] = 2,
    allow_remote: AllowRemote = False,
) -> Result | None:
    """Measured prefill and decode speed and memory of a model here; feeds the estimates."""
    from agentlaunch.commands import bench as command

    flags = {"engine": engine, "context": context, "kv_cache": kv_cache}
    return command.run(talk, ref, flags, runs=runs, allow_remote=allow_remote)


def prove(
    talk: Talk,
    agent: AgentName = None,
    model: Model = None,
    engine: EngineName = None,
    context: ContextSize = None,
    kv_cache: KvCache = None,
    slim: Slim = None,
    home: HomeKind = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write it down, without secrets and names."),
    ] = None,
    task_limit: Annotated[
        float, typer.Option("--task-limit", metavar="SECONDS", help="For the agent's one task.")
    ] = 300,
    insecure: Insecure = False,
    allow_remote: AllowRemote = False,
    trust_project: TrustProject = False,
) -> Result | None:
    """Prove that model, engine and agent work together."""
    from agentlaunch.commands import prove as command

    flags = {
        "agent": agent, "model": model, "engine": engine, "context": context,
        "kv_cache": kv_cache, "slim": slim, "home": home,
    }  # fmt: skip
    return command.run(
        talk,
        flags,
        place=report,
        task_limit_s=task_limit,
        insecure=insecure,
        allow_remote=allow_remote,
        trust_project=trust_project,
    )


def config(
    talk: Talk,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each came from.")] = False,
) -> Result | None:
    """Settings, and where each value came from."""
    from agentlaunch.commands import config as command

    return command.show(talk, origin=origin)


def config_path(talk: Talk) -> Result | None:
    """The folders that are ours."""
    from agentlaunch.commands import config as command

    return command.path(talk)


def config_set(
    talk: Talk,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    value: Annotated[str, typer.Argument(metavar="VALUE")],
) -> Result | None:
    """Keep a setting in the user file."""
    from agentlaunch.commands import config as command

    return command.set_value(talk, name, value)


def config_unset(talk: Talk, name: Annotated[str, typer.Argument(metavar="NAME")]) -> Result | None:
    """Drop a setting from the user file."""
    from agentlaunch.commands import config as command

    return command.unset(talk, name)


def config_set_key(
    talk: Talk, name: Annotated[str, typer.Argument(metavar="SERVER|URL")]
) -> Result | None:
    """Keep a server's key in the OS keyring; it is piped in, or typed without an echo."""
    from agentlaunch.commands import keys as command

    return command.set_key(talk, name)


def config_unset_key(
    talk: Talk, name: Annotated[str, typer.Argument(metavar="SERVER|URL")]
) -> Result | None:
    """Drop a server's key from the OS keyring."""
    from agentlaunch.commands import keys as command

    return command.unset_key(talk, name)


def gateway(talk: Talk) -> Result | None:
    """The router of hybrid mode: who answers now, the last switches, today's money."""
    from agentlaunch.commands import gateway as command

    return command.status(talk)


def gateway_start(talk: Talk, allow_remote: AllowRemote = False) -> Result | None:
    """Start it for the routes of the settings, before a launch does."""
    from agentlaunch.commands import gateway as command

    return command.start(talk, allow_remote=allow_remote)


def gateway_stop(
    talk: Talk,
    force: Annotated[bool, typer.Option("--force", help="Even under a running session.")] = False,
) -> Result | None:
    """Stop it; under a running session only with --force."""
    from agentlaunch.commands import gateway as command

    return command.stop(talk, force=force)


def gateway_logs(
    talk: Talk,
    watch: Annotated[bool, typer.Option("--watch", help="Go on as it grows.")] = False,
) -> Result | None:
    """The end of its log."""
    from agentlaunch.commands import gateway as command

    return command.logs(talk, watch=watch)


def gateway_config(talk: Talk, allow_remote: AllowRemote = False) -> Result | None:
    """LiteLLM's configuration, as it runs or as it would be; it holds no key."""
    from agentlaunch.commands import gateway as command

    return command.config(talk, allow_remote=allow_remote)


def policy(talk: Talk) -> Result | None:
    """The rules that hold here, from which file, and what they leave."""
    from agentlaunch.commands import policy as command

    return command.explain(talk)


def policy_check(
    talk: Talk, agent: AgentName = None, engine: EngineName = None, model: Model = None
) -> Result | None:
    """Judge what is set or named here by the rules, without asking anybody; for CI."""
    from agentlaunch.commands import policy as command

    return command.check(talk, agent, engine=engine, model=model)


HostedModel = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME|REPO", help="Catalog name, or Hugging Face repository."),
]
Users = Annotated[int, typer.Option("--users", metavar="N", help="People who work with it.")]
Concurrency = Annotated[
    str | None,
    typer.Option("--concurrency", metavar="SHARE", help="Of them, at work at once. Default: 50%."),
]
HostedContext = Annotated[
    str | None,
    typer.Option("--context", metavar="N", help="Tokens of each session. Default: 128k."),
]
GpuName = Annotated[str | None, typer.Option("--gpu", metavar="NAME", help="This kind alone.")]
HostedCache = Annotated[
    str, typer.Option("--kv-cache", metavar="auto|fp8", help="fp8 halves what a session takes.")
]
ServedName = Annotated[
    str | None, typer.Option("--served-name", metavar="NAME", help="What clients call the model.")
]


def usage(
    talk: Talk,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="WHEN", help="today, 24h, 7d (default), 4w, a date."),
    ] = None,
) -> Result | None:
    """Tokens by engine, what was spent, and what your own engines would have cost."""
    from agentlaunch.commands import usage as command

    return command.run(talk, since)


def hosted(
    talk: Talk,
    model: HostedModel = None,
    users: Users = 1,
    concurrency: Concurrency = None,
    context: HostedContext = None,
    gpu: GpuName = None,
    kv_cache: HostedCache = "auto",
) -> Result | None:
    """A model for a team on your own GPUs: how many, the manifest, is it up."""
    return hosted_plan(talk, model, users, concurrency, context, gpu, kv_cache)


def hosted_plan(
    talk: Talk,
    model: HostedModel = None,
    users: Users = 1,
    concurrency: Concurrency = None,
    context: HostedContext = None,
    gpu: GpuName = None,
    kv_cache: HostedCache = "auto",
) -> Result | None:
    """How many GPUs a model needs for so many users, of each kind."""
    from agentlaunch.commands import hosted as command

    team = command.Team(model, users, concurrency, context, gpu, kv_cache)
    return command.plan(talk, team)


def hosted_manifest(
    talk: Talk,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="TARGET",
            help="compose, kubernetes, production-stack, kserve, ray or skypilot.",
        ),
    ] = None,
    model: HostedModel = None,
    users: Users = 1,
    concurrency: Concurrency = None,
    context: HostedContext = None,
    gpu: GpuName = None,
    kv_cache: HostedCache = "auto",
    tensor_parallel: Annotated[
        int | None, typer.Option("--tensor-parallel", metavar="N", help="GPUs for each layer.")
    ] = None,
    pipeline_parallel: Annotated[
        int | None, typer.Option("--pipeline-parallel", metavar="N", help="Machines of a replica.")
    ] = None,
    replicas: Annotated[
        int | None, typer.Option("--replicas", metavar="N", help="Copies behind a router.")
    ] = None,
    served_name: ServedName = None,
    tool_parser: Annotated[
        str | None, typer.Option("--tool-parser", metavar="NAME", help="vLLM's, for tool calls.")
    ] = None,
    reasoning_parser: Annotated[
        str | None, typer.Option("--reasoning-parser", metavar="NAME", help="vLLM's, for thinking.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write it there, not on stdout.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also over a file that is there.")] = False,
) -> Result | None:
    """The file that serves it: for compose, Kubernetes, Ray and others."""
    from agentlaunch.commands import hosted_manifest as command
    from agentlaunch.commands.hosted import Team

    said = command.Said(
        tensor_parallel, pipeline_parallel, replicas, served_name, tool_parser, reasoning_parser
    )
    team = Team(model, users, concurrency, context, gpu, kv_cache)
    return command.manifest(talk, target, team, said, output=output, force=force)


def hosted_status(
    talk: Talk,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="The engine. Default: hosted_url.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", metavar="NAME", help="Of the cluster.")
    ] = None,
    selector: Annotated[
        str | None, typer.Option("--selector", metavar="LABELS", help="Pods with these labels.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Pods that serve this name.")
    ] = None,
    allow_remote: AllowRemote = False,
) -> Result | None:
    """Is it up: pods and restarts by kubectl, model and numbers by the engine itself."""
    from agentlaunch.commands import hosted_status as command

    where = command.Where(url, namespace, selector, name)
    return command.status(talk, where, allow_remote=allow_remote)


def restore(
    talk: Talk,
    agent: AgentName = None,
    only_list: Annotated[bool, typer.Option("--list", help="Show what is changed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it; do nothing.")] = False,
) -> Result | None:
    """Give every file that we changed back (`up AGENT --config`)."""
    from agentlaunch.commands import restore as command

    return command.run(talk, agent, only_list=only_list, dry_run=dry_run)


def clean(
    talk: Talk,
    everything: Annotated[bool, typer.Option("--all", help="Select everything of ours.")] = False,
    remove: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="What to remove, by its name.")
    ] = None,
) -> Result | None:
    """What we installed or downloaded, with sizes; removes it on request."""
    from agentlaunch.commands import clean as command

    return command.run(talk, tuple(remove or ()), everything=everything)


# ---- the table and what builds it --------------------------------------------------------

TAKES_AGENT_ARGS = frozenset({"up", "launch", "env"})
HIDDEN_NAMES = frozenset({"launch"})

COMMANDS: dict[str, dict[str, Command]] = {
    "up": {"": up},
    "launch": {"": up},
    "env": {"": env},
    "models": {
        "": models,
        "list": models,
        "show": models_show,
        "pull": models_pull,
        "prune": models_prune,
    },
    "agents": {"": agents, "list": agents, "show": agents_show, "install": agents_install},
    "engines": {"": engines, "list": engines, "stop": engines_stop, "logs": engines_logs},
    "doctor": {"": doctor},
    "bench": {"": bench},
    "prove": {"": prove},
    "config": {
        "": config,
        "show": config,
        "path": config_path,
        "set": config_set,
        "unset": config_unset,
        "set-key": config_set_key,
        "unset-key": config_unset_key,
    },
    "gateway": {
        "": gateway,
        "status": gateway,
        "start": gateway_start,
        "stop": gateway_stop,
        "logs": gateway_logs,
        "config": gateway_config,
    },
    "policy": {"": policy, "explain": policy, "check": policy_check},
    "usage": {"": usage},
    "hosted": {
        "": hosted,
        "plan": hosted_plan,
        "manifest": hosted_manifest,
        "status": hosted_status,
    },
    "restore": {"": restore},
    "clean": {"": clean},
}
"""Every command by its words; "" is what a group does when no subcommand is named."""


def build(invocation: Invocation, typed: str | None) -> typer.Typer:
    """The app, with the options of the command that was typed; the rest only as names and help."""
    look: dict[str, Any] = {"rich_markup_mode": None, "add_completion": False}
    app = typer.Typer(
        name="agentlaunch",
        epilog=EVERYWHERE,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **look,
    )
    app.callback(invoke_without_command=True)(_everywhere(start, invocation, version=True))
    for name, rows in COMMANDS.items():
        hidden = name in HIDDEN_NAMES
        if name != typed:
            app.command(name, hidden=hidden)(_named(rows[""]))
        elif len(rows) == 1:
            app.command(name, hidden=hidden)(_everywhere(rows[""], invocation))
        else:
            group = typer.Typer(name=name, invoke_without_command=True, **look)
            group.callback()(_everywhere(rows[""], invocation))
            for word, function in rows.items():
                if word:
                    group.command(word)(_everywhere(function, invocation))
            app.add_typer(group)
    return app


def schema_name(own: Sequence[str]) -> str:
    """`<command>[-<subcommand>]` of a command line, also of one that will not parse."""
    words = [word for word in own if not word.startswith("-")]
    if not words or words[0] not in COMMANDS:
        return "agentlaunch"
    name = "up" if words[0] == "launch" else words[0]
    if name == "up" and "--config" in own:
        return "up-config"
    if name == "up" and "--restore" in own:
        return "restore"
    rows = COMMANDS[words[0]]
    if len(words) > 1 and words[1] in rows and rows[words[1]] is not rows[""]:
        return f"{name}-{words[1]}"
    return name


def _version() -> Result:
    from agentlaunch import __version__

    data = {"version": __version__}
    return Result("agentlaunch/version/1", data, lambda t: t.answer(f"agentlaunch {__version__}"))


def _named(function: Command) -> Callable[[], None]:
    def command() -> None:
        """Stands in the list of commands; never called."""

    command.__doc__ = function.__doc__
    return command


def _everywhere(
    function: Command, invocation: Invocation, *, version: bool = False
) -> Callable[..., None]:
    """Give a command the global flags; it gets a `Talk` in their place and returns a `Result`."""
    own = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name not in {"talk", "agent_args"}
    ]
    takes_args = "agent_args" in inspect.signature(function).parameters
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in (GLOBALS | ({"version": Version} if version else {})).items()
    ]
    context = inspect.Parameter(
        "context_", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context
    )

    def command(**values: Any) -> None:
        invocation.add({name: values.pop(name) for name in GLOBALS})
        asked_version = values.pop("version", False)
        if values.pop("context_").invoked_subcommand is not None and not asked_version:
            return
        if asked_version:
            invocation.exit_code = render(_version(), invocation.talk)
            raise typer.Exit
        if takes_args:
            values["agent_args"] = invocation.agent_args
        result = function(invocation.talk, **values)
        if result is not None:
            invocation.exit_code = render(result, invocation.talk)

    command.__doc__ = function.__doc__
    command.__signature__ = inspect.Signature([*own, *extra, context])  # type: ignore[attr-defined] # what typer reads
    command.__annotations__ = {p.name: p.annotation for p in [*own, *extra, context]}
    return command
