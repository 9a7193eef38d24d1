"""What a command gives back: data for programs, a drawing for people, a status for both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentlaunch.talk import Talk


@dataclass(frozen=True, slots=True)
class Result:
    """The answer of a command. `schema` names its JSON form, `draw` prints it for a person."""

    schema: str
    data: Mapping[str, Any]
    draw: Callable[[Talk], None]
    exit_code: int = 0


def render(result: Result, talk: Talk) -> int:
    """The one renderer: a JSON document or a person's text; gives the exit status back."""
    if talk.policy.json:
        talk.result(result.schema, result.data)
    else:
        result.draw(talk)
    return result.exit_code
