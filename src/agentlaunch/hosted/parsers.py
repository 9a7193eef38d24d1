"""Which of vLLM's parsers reads a model's tool calls and reasoning: a table, never a guess."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PARSERS_FILE = Path(__file__).with_name("parsers.json")


@dataclass(frozen=True, slots=True)
class Family:
    """Models that write tool calls and reasoning alike."""

    pattern: re.Pattern[str]
    tool_parser: str | None
    reasoning_parser: str | None
    source: str
    chat_template: str | None = None
    """With which vLLM's docs serve these models, as their own tells them of no tools (or not as the
    parser wants it): a file of `examples` in vLLM's repository, and in its image."""


@dataclass(frozen=True, slots=True)
class Table:
    """The families, and every name that this version of vLLM has a parser for."""

    vllm: str
    families: tuple[Family, ...]
    tool_parsers: frozenset[str]
    reasoning_parsers: frozenset[str]
    ray_vllm: str
    """The version that Ray's `llm` extra pins (ray 2.60.0's metadata)."""
    not_in_ray_vllm: frozenset[str]


@functools.cache
def load() -> Table:
    """The shipped table, read once."""
    data: Any = json.loads(PARSERS_FILE.read_bytes())
    return Table(
        vllm=data["vllm"],
        families=tuple(
            Family(
                re.compile(rf"(?<![a-z0-9])(?:{row['pattern']})"),
                row["tool_parser"],
                row["reasoning_parser"],
                row["source"],
                row.get("chat_template"),
            )
            for row in data["families"]
        ),
        tool_parsers=frozenset(data["tool_parsers"]),
        reasoning_parsers=frozenset(data["reasoning_parsers"]),
        ray_vllm=data["ray_vllm"],
        not_in_ray_vllm=frozenset(data["not_in_ray_vllm"]),
    )


def family(repo: str) -> Family | None:
    """The family of a repository or a model's id; None where it is not known.

    The owner does not count: a quantisation by somebody else is read as the original is.
    """
    name = repo.rpartition("/")[2].lower()
    return next((row for row in load().families if row.pattern.search(name)), None)


def tool_parser(repo: str) -> str | None:
    """The tool parser of a repository or a model's id; None where the family is not known."""
    found = family(repo)
    return found.tool_parser if found is not None else None


def reasoning_parser(repo: str) -> str | None:
    """The reasoning parser; None where the family has none or is not known."""
    found = family(repo)
    return found.reasoning_parser if found is not None else None
