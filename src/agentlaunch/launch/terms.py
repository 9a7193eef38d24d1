"""How a plan is done: a value that every step is given."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from agentlaunch.plan import Places
from agentlaunch.settings import Paths
from agentlaunch.talk import Talk


@dataclass(frozen=True, slots=True)
class Terms:
    """How a plan is done: who is told, where things lie, what was agreed to."""

    talk: Talk
    paths: Paths
    where: Places
    insecure: bool = False
    idle_minutes: int = 15
    """Without work and sessions an engine that is started for it ends then."""
    limit_bytes: int | None = None
    """`--yes` agrees to no larger download."""
    undo: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    """Gets what takes back what was loaded."""
