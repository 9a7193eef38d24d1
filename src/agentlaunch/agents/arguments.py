"""The user's arguments after `--`: refuse those that would undo the routing. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from agentlaunch.agents.base import Reserved
from agentlaunch.errors import UsageError


def before_operands(args: Iterable[str]) -> list[str]:
    """The arguments that a program may still read as flags: those before its own `--`."""
    found: list[str] = []
    for arg in args:
        if arg == "--":
            break
        found.append(arg)
    return found


def has_flag(args: Iterable[str], *flags: str) -> bool:
    """True when one of the flags is there, alone or as `--flag=value`."""
    return any(arg.split("=", 1)[0] in flags for arg in before_operands(args))


def refuse_reserved(title: str, reserved: Iterable[Reserved], args: tuple[str, ...]) -> None:
    """Raise `UsageError` for an argument that would undo the routing, naming what to use instead.

    A reserved row without a leading dash is a subcommand and counts only as the first argument.
    """
    for row in reserved:
        is_flag = row.flag.startswith("-")
        if has_flag(args, row.flag) if is_flag else args[:1] == (row.flag,):
            refuse(title, row)


def refuse(title: str, row: Reserved) -> NoReturn:
    """Raise the `UsageError` of one row that an agent found in the arguments by its own rules."""
    raise UsageError(
        f"{title} would leave this launch with `{row.flag}`",
        hint=row.instead,
        code="reserved-argument",
    )
