"""The command line: arguments in, one call per command.

A command's module is imported inside its callback, only the command that was typed is built with
its options, and annotations here are real objects (no `from __future__ import annotations`): that
is what keeps `--help` fast.
"""

from agentlaunch.arguments.app import (
    COMMANDS,
    HIDDEN_NAMES,
    TAKES_AGENT_ARGS,
    Invocation,
    build,
    schema_name,
)

__all__ = ["COMMANDS", "HIDDEN_NAMES", "TAKES_AGENT_ARGS", "Invocation", "build", "schema_name"]
