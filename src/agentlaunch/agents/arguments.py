"""The user's arguments after `--`: refuse those that would undo the routing. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NoReturn

from agentlaunch.agents.base import Grammar, Reserved
from agentlaunch.errors import UsageError

PLAIN = Grammar()


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


def subcommand(args: Iterable[str], grammar: Grammar) -> str:
    """The first word that is neither a flag nor a flag's value; "" without."""
    words = iter(before_operands(args))
    for word in words:
        if not word.startswith("-"):
            return word
        if not grammar.value_flags:
            return ""
        if word in grammar.value_flags:
            next(words, None)
    return ""


def refuse_reserved(
    title: str,
    reserved: Iterable[Reserved],
    args: tuple[str, ...],
    grammar: Grammar = PLAIN,
) -> None:
    """Raise `UsageError` for an argument that would undo the routing, naming what to use instead.

    A reserved row without a leading dash is a subcommand and counts only as the first operand.
    """
    command = subcommand(args, grammar)
    words = before_operands(args)
    for row in reserved:
        if not row.flag.startswith("-"):
            found = command == row.flag
        else:
            found = any(_means(word, row.flag, grammar) for word in words)
        if found:
            refuse(title, row)


def _means(word: str, flag: str, grammar: Grammar) -> bool:
    """Is the word this flag: as it is, with its value glued to it, in camel case, abbreviated?"""
    if not flag.startswith("--"):
        return word.startswith(flag) if len(flag) == 2 else word.split("=", 1)[0] == flag
    if not word.startswith("--"):
        return False
    name = word.split("=", 1)[0]
    if name in grammar.whole:
        return False
    # yargs takes `--openaiBaseUrl` for `--openai-base-url`
    kebab = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
    return flag in (name, kebab) or (grammar.abbreviates and flag.startswith(name))


def refuse(title: str, row: Reserved) -> NoReturn:
    """Raise the `UsageError` of one row that an agent found in the arguments by its own rules."""
    raise UsageError(
        f"{title} would leave this launch with `{row.flag}`",
        hint=row.instead,
        code="reserved-argument",
    )
