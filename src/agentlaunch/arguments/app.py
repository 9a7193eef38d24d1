"""The command line as a Typer app: the table of commands, and what builds the typed one."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import typer

from agentlaunch.arguments import hosted, hybrid, launching, ours, stock
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


TAKES_AGENT_ARGS = frozenset({"up", "launch", "env"})
HIDDEN_NAMES = frozenset({"launch"})

COMMANDS: dict[str, dict[str, Command]] = {
    "up": {"": launching.up},
    "launch": {"": launching.up},
    "env": {"": launching.env},
    "models": {
        "": stock.models,
        "list": stock.models,
        "show": stock.models_show,
        "pull": stock.models_pull,
        "prune": stock.models_prune,
    },
    "agents": {
        "": stock.agents,
        "list": stock.agents,
        "show": stock.agents_show,
        "install": stock.agents_install,
    },
    "engines": {
        "": stock.engines,
        "list": stock.engines,
        "stop": stock.engines_stop,
        "logs": stock.engines_logs,
    },
    "doctor": {"": launching.doctor},
    "bench": {"": launching.bench},
    "prove": {"": launching.prove},
    "config": {
        "": ours.config,
        "show": ours.config,
        "path": ours.config_path,
        "set": ours.config_set,
        "unset": ours.config_unset,
        "set-key": ours.config_set_key,
        "unset-key": ours.config_unset_key,
    },
    "gateway": {
        "": hybrid.gateway,
        "status": hybrid.gateway,
        "start": hybrid.gateway_start,
        "stop": hybrid.gateway_stop,
        "logs": hybrid.gateway_logs,
        "config": hybrid.gateway_config,
    },
    "policy": {"": hybrid.policy, "explain": hybrid.policy, "check": hybrid.policy_check},
    "usage": {"": hybrid.usage},
    "hosted": {
        "": hosted.overview,
        "plan": hosted.plan,
        "manifest": hosted.manifest,
        "status": hosted.status,
    },
    "restore": {"": ours.restore},
    "clean": {"": ours.clean},
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
    app.callback(invoke_without_command=True)(
        _everywhere(launching.start, invocation, version=True)
    )
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


def _refuse_early(context: typer.Context) -> None:
    """Raise `UsageError` for an option before the subcommand: it would be lost without a word."""
    from agentlaunch.errors import UsageError

    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name in GLOBALS or source is None or source.name != "COMMANDLINE":
            continue
        raise UsageError(
            f"{option.opts[0]} stands behind {context.invoked_subcommand!r}",
            hint=f"{context.command_path} {context.invoked_subcommand} {option.opts[0]} ...",
        )


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
        context_ = values.pop("context_")
        if context_.invoked_subcommand is not None and not asked_version:
            _refuse_early(context_)
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
