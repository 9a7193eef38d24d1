"""A model for a team: sizing, manifest, status."""

from pathlib import Path
from typing import Annotated

import typer

from agentlaunch.arguments.options import AllowRemote
from agentlaunch.commands.result import Result
from agentlaunch.talk import Talk

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


def overview(
    talk: Talk,
    model: HostedModel = None,
    users: Users = 1,
    concurrency: Concurrency = None,
    context: HostedContext = None,
    gpu: GpuName = None,
    kv_cache: HostedCache = "auto",
) -> Result | None:
    """A model for a team on your own GPUs: how many, the manifest, is it up."""
    return plan(talk, model, users, concurrency, context, gpu, kv_cache)


def plan(
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


def manifest(
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


def status(
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
