"""The one door: the only place that catches errors and chooses the exit status."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agentlaunch import __version__, errors

if TYPE_CHECKING:
    from agentlaunch.arguments import Invocation
    from agentlaunch.talk import Talk


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; every ending of agentlaunch comes through here."""
    try:
        return _main(argv)
    except KeyboardInterrupt:  # before there was anybody to say it as it should be said
        sys.stderr.write("interrupted\n")
        return errors.INTERRUPTED_EXIT


def _main(argv: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # started with the stream closed (`>&-`)
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - for the whole run
    if isinstance(sys.stdout, io.TextIOWrapper):  # a letter that a locale lacks is no bug of ours
        sys.stdout.reconfigure(errors="backslashreplace")
    own, agent_args = _split(words)
    if own == ["--version"]:  # answered before the parser is even imported
        sys.stdout.write(f"agentlaunch {__version__}\n")
        return 0
    from agentlaunch import arguments

    run = arguments.Invocation(tuple(agent_args))
    if "--json" in own:  # also an error before the command began must be JSON
        run.talk.policy = replace(run.talk.policy, json=True)
    if "--debug" in own:
        run.talk.policy = replace(run.talk.policy, debug=True)
    command = arguments.schema_name(own)
    schema = f"agentlaunch/{command}/1"
    run.talk.events = command == "models-pull"  # then also an error is one line
    try:
        _catch_sigterm()
        return _invoke(run, own, separated="--" in words)
    except errors.AgentlaunchError as error:
        return _fail(run.talk, error, schema)
    except KeyboardInterrupt:
        return _ended(run.talk, schema, "interrupted", errors.INTERRUPTED_EXIT)
    except errors.Terminated:
        return _ended(run.talk, schema, "terminated", errors.TERMINATED_EXIT)
    except BrokenPipeError:
        # The reader left (`| head`): not an error of ours, and nobody is there to hear of it.
        _drop_stdout()
        return errors.BROKEN_PIPE_EXIT
    except OSError as error:
        try:
            sys.stdout.flush()
        except OSError:  # it was stdout that failed: the interpreter's own flush must not fail too
            _drop_stdout()
        return _fail(run.talk, _from_os(error), schema)
    except Exception as error:  # noqa: BLE001 - the one place where a bug becomes a report
        return _bug(run.talk, error, schema)


def _drop_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _invoke(run: Invocation, own: list[str], *, separated: bool) -> int:
    import typer

    from agentlaunch import arguments

    typed = next((word for word in own if not word.startswith("-")), None)
    if separated and typed not in arguments.TAKES_AGENT_ARGS:
        raise errors.UsageError("only `up` and `env` take arguments after `--`")
    command = typer.main.get_command(arguments.build(run, typed))
    try:
        status = command.main(own, prog_name="agentlaunch", standalone_mode=False)
    except typer.TyperException as error:
        raise _usage(error) from error
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    except SystemExit as stop:
        if isinstance(stop.__context__, OSError):  # how the parser answers a reader that left
            raise BrokenPipeError from stop
        raise
    if status == errors.INTERRUPTED_EXIT:  # how the parser answers Ctrl-C, without a word
        raise KeyboardInterrupt
    return status if isinstance(status, int) and status else run.exit_code


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _usage(error: Any) -> errors.UsageError:
    """A parser's complaint in our words, with the nearest right word as the way out."""
    import difflib
    import re

    message = " ".join(error.format_message().split()).rstrip(".")
    hint = "agentlaunch --help"
    context = getattr(error, "ctx", None)
    if context is not None:
        hint = f"{context.command_path} --help"
        wrong = message.partition("'")[2].partition("'")[0]
        names = list(getattr(context.command, "commands", {}))
        near = difflib.get_close_matches(wrong, names, 1)
        if message.startswith("No such command") and near:
            hint = f"did you mean `{context.command_path} {near[0]}`?"
        if message.startswith("No such option") and context.info_name in ("up", "launch", "env"):
            agent = context.params.get("agent") or "AGENT"
            hint = f"for the agent's own, after `--`: {context.command_path} {agent} -- ..."
        extra = re.fullmatch(r"Got unexpected extra argument(?:s|\(s\))? \((.*)\)", message)
        if extra is not None and context.info_name == "set-key":  # it may be the key itself
            message = "a key is never an argument: other programs and the history would see it"
            hint = f"{context.command_path} SERVER, then type it, or pipe it in"
        if extra is not None and context.info_name == "set":
            hint = f'a value with blanks in it is quoted: {context.command_path} NAME "A, B"'
        if extra is not None and context.info_name in ("up", "launch", "env"):
            agent = context.params.get("agent") or "AGENT"
            hint = "what is the agent's stands after `--`: "
            hint += f"{context.command_path} {agent} -- {extra[1]}"
    return errors.UsageError(message, hint=hint)


def _fail(talk: Talk, error: errors.AgentlaunchError, schema: str) -> int:
    if talk.policy.debug:
        import traceback

        sys.stderr.write(traceback.format_exc())
    _tell(talk, error, schema)
    return error.exit_code


def _tell(talk: Talk, error: errors.AgentlaunchError, schema: str) -> None:
    """Say it; where nobody reads, or the disk is full, the status alone has to."""
    try:
        talk.error(error, schema=schema)
    except OSError:
        _drop_stdout()


def _ended(talk: Talk, schema: str, code: str, status: int) -> int:
    error = errors.AgentlaunchError(code, code=code)
    error.exit_code = status
    if talk.policy.json:
        _tell(talk, error, schema)
    else:
        sys.stderr.write(f"\n{code}; run the same command to go on\n")
    return status


def _from_os(error: OSError) -> errors.AgentlaunchError:
    """A system call that failed on a file of ours, in one line."""
    import errno

    where = f" ({error.filename})" if error.filename else ""
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return errors.AgentlaunchError(
            f"the disk is full{where}", hint="free some space, see `agentlaunch clean`",
            code="disk-full",
        )  # fmt: skip
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return errors.AgentlaunchError(
            f"no permission{where}", hint="check who owns it", code="no-permission"
        )
    return errors.AgentlaunchError(f"{error.strerror or error}{where}", code="system")


def _bug(talk: Talk, error: Exception, schema: str) -> int:
    import platform
    import traceback

    from agentlaunch import files, settings

    trace = traceback.format_exc()
    report = (
        f"agentlaunch {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"command: {schema}\n\n```\n{trace}```\n"
    )
    place = "no log could be written"
    try:
        log = settings.paths().logs / "bug.md"
        files.write_atomic(log, report.encode())
        place = f"the report is in {log}"
    except (OSError, errors.AgentlaunchError):
        pass
    if talk.policy.debug:
        sys.stderr.write(trace)
    wrapped = errors.AgentlaunchError(
        f"this is a bug in agentlaunch: {type(error).__name__}", hint=place, code="bug"
    )
    wrapped.exit_code = errors.BUG_EXIT
    _tell(talk, wrapped, schema)
    return errors.BUG_EXIT


def _catch_sigterm() -> None:
    import signal
    import threading

    def stop(_number: int, _frame: object) -> None:
        raise errors.Terminated

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stop)
        hangup = getattr(signal, "SIGHUP", None)  # the terminal is closed: what we run ends with us
        if hangup is not None and signal.getsignal(hangup) is signal.SIG_DFL:
            signal.signal(hangup, stop)
