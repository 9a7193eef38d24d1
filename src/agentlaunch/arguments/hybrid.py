"""More than one endpoint: the gateway, the rules, the money."""

from typing import Annotated

import typer

from agentlaunch.arguments.options import AgentName, AllowRemote, EngineName, Model
from agentlaunch.commands.result import Result
from agentlaunch.talk import Talk


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
