"""Our status line and the user's own in one command, for an agent that runs one for its footer."""

from __future__ import annotations

import shlex

from agentlaunch.agents.base import Target

REFRESH_S = 60
"""What we tell grows old ("2 min ago"), so it is asked for again; the user's own number wins."""
MOST_LINES_VARIABLE = "AGENTLAUNCH_STATUS_LINES"
"""How many lines the agent shows; `gateway/status_line.py` puts ours behind the last one then."""


def command(target: Target, most_lines: int | None = None) -> str:
    """A line for the shell: ours, with the user's own command as its last argument."""
    own = target.own_status_line or {}
    text = own.get("command") if own.get("type") == "command" else None
    words = [*target.status_command, *([text] if isinstance(text, str) and text.strip() else [])]
    line = shlex.join(words)
    return line if most_lines is None else f"{MOST_LINES_VARIABLE}={most_lines} {line}"
