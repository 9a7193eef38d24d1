"""What leads to a launch and proves it: the menu, up, env, doctor, bench, prove."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from agentlaunch.arguments.options import (
    AgentName,
    AllowRemote,
    Configure,
    ContextSize,
    EngineName,
    GiveBack,
    HomeKind,
    Insecure,
    KvCache,
    Model,
    Simulate,
    Slim,
    TrustProject,
)
from agentlaunch.commands.result import Result
from agentlaunch.talk import Talk


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
