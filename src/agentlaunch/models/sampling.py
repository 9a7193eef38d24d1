"""How a model wants to be asked: its maker's sampling values and its thinking, from data.

Pure beside reading the shipped `sampling.json`, in which every row names where it was read. A model
without a row gets nothing of ours: the engine's own defaults stand.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agentlaunch.errors import ModelUnavailable
from agentlaunch.models.refs import parse_ref

DATA_FILE = Path(__file__).with_name("sampling.json")


@dataclass(frozen=True, slots=True)
class Sampling:
    """Values that the model's maker advises; None where it says nothing.

    The names are Ollama's parameters (0.33) and those of llama.cpp's `/props` (b11549).
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    """0 is no limit."""
    min_p: float | None = None
    presence_penalty: float | None = None
    repeat_penalty: float | None = None

    @property
    def given(self) -> dict[str, float]:
        """The values that are said, by name."""
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if value is not None}


SAMPLING_NAMES = tuple(field.name for field in dataclasses.fields(Sampling))


@dataclass(frozen=True, slots=True)
class Thinking:
    """Whether a model thinks before it answers, and what an agent should make of it."""

    default: Literal["on", "off"] | None
    """What it does when nobody asks for either; None where that is not known."""
    can_disable: bool | None
    off_for_agents: str | None
    """Why an agent must not let it think; None leaves the choice to the agent."""
    source: str


@dataclass(frozen=True, slots=True)
class Tuning:
    """What is known of one model."""

    sampling: Sampling | None = None
    mode: str | None = None
    """For which use its maker advises these values."""
    source: str | None = None
    """Where the values were read, and on which day."""
    thinking: Thinking | None = None

    @property
    def thinking_off(self) -> bool:
        """Must it not think for an agent?"""
        return self.thinking is not None and self.thinking.off_for_agents is not None

    @property
    def parameters(self) -> dict[str, float]:
        """The sampling values by name; {} where none is known."""
        return self.sampling.given if self.sampling is not None else {}

    @property
    def reasons(self) -> tuple[str, ...]:
        """For the plan, in words."""
        found = []
        if self.sampling is not None:
            found.append(f"sampling advised for it ({self.mode}): {listed(self.parameters)}")
        if self.thinking is not None and self.thinking.off_for_agents is not None:
            found.append(f"thinking is switched off: {self.thinking.off_for_agents}")
        return tuple(found)

    def as_json(self) -> dict[str, Any]:
        """`sampling` and `thinking_mode`, each null where nothing is known."""
        sampling = None
        if self.sampling is not None:
            sampling = {**self.parameters, "mode": self.mode, "source": self.source}
        thinking = dataclasses.asdict(self.thinking) if self.thinking is not None else None
        return {"sampling": sampling, "thinking_mode": thinking}


UNKNOWN = Tuning()


def listed(parameters: Mapping[str, float]) -> str:
    """`temperature 0.6, top_k 20`."""
    return ", ".join(f"{name} {value:g}" for name, value in parameters.items())


def for_model(model_id: str) -> Tuning:
    """What is known of a model of the library, whatever its build or tag of ours; `UNKNOWN` for any
    other, also for a name outside the grammar: who shares a name need not share the weights."""
    try:
        name = str(parse_ref(model_id)).lower()
    except ModelUnavailable:
        return UNKNOWN
    table = load()
    fitting = [known for known in table if _covers(known, name)]
    return table[max(fitting, key=len)] if fitting else UNKNOWN


def _covers(known: str, name: str) -> bool:
    """A family covers its tags; a tag covers itself and its builds (`4b` and `4b-q8_0`)."""
    return name == known or name.startswith(known + ("-" if ":" in known else ":"))


@functools.cache
def load() -> dict[str, Tuning]:
    """The shipped table, by family or tag."""
    data: Any = json.loads(DATA_FILE.read_bytes())
    return {name: _tuning(row) for row in data["models"] for name in row["names"]}


def _tuning(row: dict[str, Any]) -> Tuning:
    sampling = Sampling(**row["sampling"]) if "sampling" in row else None
    thinking = None
    if "thinking" in row:
        said = row["thinking"]
        thinking = Thinking(
            default=said["default"],
            can_disable=said["can_disable"],
            off_for_agents=said.get("off_for_agents"),
            source=said["source"],
        )
    source = f"{row['source']}, read {row['read']}" if sampling is not None else None
    return Tuning(sampling, row.get("mode"), source, thinking)
