"""What the user chose the last time, for each agent and project: used again until he says else.

Only what he named himself is kept: a model that was recommended is recommended anew each time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agentlaunch import records, settings, survey
from agentlaunch.agents import AGENTS
from agentlaunch.errors import Refused
from agentlaunch.models.refs import looks_like_path
from agentlaunch.settings import Paths, Value
from agentlaunch.survey import Survey

AUTO = "auto"
"""As a model or an engine: choose for me, and forget what I chose before."""

NAMES = ("model", "engine", "context")


@dataclass(frozen=True, slots=True)
class Habit:
    """A choice of the last time; None for what was left to us then."""

    model: str | None = None
    engine: str | None = None
    context: int | None = None

    @property
    def way_out(self) -> str:
        """The flag that chooses anew."""
        names = [name for name in NAMES if getattr(self, name) is not None]
        return f"--{names[0]} auto chooses anew"

    def __str__(self) -> str:
        words = [
            self.model,
            f"on {self.engine}" if self.engine else None,
            f"with {self.context:,} tokens" if self.context else None,
        ]
        return " ".join(word for word in words if word)


def last_agent(paths: Paths, project: Path) -> str | None:
    """The agent of the last launch in this project, else anywhere; None where it is unknown now."""
    row = records.Records(paths.state).recall("habits", str(project)) or {}
    name = row.get("agent")
    if isinstance(name, str) and name in AGENTS:
        return name
    return survey.remembered_agent(paths)


def recall(paths: Paths, project: Path, agent: str, values: Mapping[str, Value]) -> Habit | None:
    """What was chosen for this agent, here before elsewhere; None where a model, or another engine
    than then, is named today."""
    known = records.Records(paths.state)
    row = known.recall("habits", _key(project, agent)) or known.recall("habits", agent) or {}
    model, engine, context = (row.get(name) for name in NAMES)
    habit = Habit(
        model if isinstance(model, str) else None,
        engine if isinstance(engine, str) else None,
        context if isinstance(context, int) and not isinstance(context, bool) else None,
    )
    engine_now = values["engine"]
    same = engine_now.source == "default" or habit.engine == engine_now.value
    if habit.engine is None:  # what a setting or `auto` says held then too; a name of today did not
        same = same or engine_now.source != "flag" or str(engine_now.value).lower() == AUTO
    return habit if str(habit) and same and values["model"].source == "default" else None


def still_holds(habit: Habit, engine: str | None, seen: Survey) -> bool:
    """Is the model still here? What a server elsewhere has is not known before it is asked."""
    if habit.model is None or (engine or "").lower() not in ("", "ollama", "embedded"):
        return True
    if looks_like_path(habit.model):
        return Path(habit.model).expanduser().is_file()
    tagged = seen.ollama is not None and seen.ollama.tag(habit.model) is not None
    return tagged or bool({habit.model, f"{habit.model}:latest"} & seen.installed_tags)


def remember(
    paths: Paths, project: Path, agent: str, values: Mapping[str, Value], habit: Habit | None
) -> None:
    """Keep what the user named for this launch; a failure stops none."""
    row: dict[str, object] = {}
    model = values["model"]
    if habit is not None and model.source == "flag" and model.value != habit.model:
        habit = None  # its engine and context were chosen for another model
    for name in NAMES:
        value = values[name]
        if value.source == "flag" and str(value.value).lower() != AUTO:
            row[name] = value.value
        elif habit is not None:
            row[name] = getattr(habit, name)
    known = records.Records(paths.state)
    with contextlib.suppress(Refused, OSError):
        for key in (_key(project, agent), agent):
            known.remember("habits", key, row)
        known.remember("habits", str(project), {"agent": agent})


def chosen(values: Mapping[str, Value], habit: Habit | None) -> dict[str, Value]:
    """The settings with the habit in place of defaults, and `auto` as nothing said."""
    found = dict(values)
    for name in NAMES:
        value = found[name]
        if isinstance(value.value, str) and value.value.lower() == AUTO:
            found[name] = settings.Value(None, value.source, value.origin)
        elif value.source == "default" and habit is not None and getattr(habit, name) is not None:
            found[name] = settings.Value(getattr(habit, name), "default", "the last launch")
    return found


def _key(project: Path, agent: str) -> str:
    return f"{project}\n{agent}"
