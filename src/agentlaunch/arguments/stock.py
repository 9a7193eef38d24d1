"""What is here to launch with: models, agents, engines."""

from typing import Annotated

import typer

from agentlaunch.arguments.options import (
    AgentOption,
    Batch,
    ContextSize,
    EngineName,
    FlashAttention,
    Insecure,
    KvCache,
    OtherHost,
    Parallel,
    Simulate,
)
from agentlaunch.commands.result import Result
from agentlaunch.talk import Talk


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
