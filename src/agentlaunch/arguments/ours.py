"""What agentlaunch keeps: settings and keys, files it changed, what it installed."""

from typing import Annotated

import typer

from agentlaunch.arguments.options import AgentName
from agentlaunch.commands.result import Result
from agentlaunch.talk import Talk


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
