"""What is allowed: where code may go (`hosts`), and what an organisation or a project rules
(`rules`). Pure."""

from __future__ import annotations

from agentlaunch.policy.hosts import (
    FLAG,
    SETTING,
    allows,
    for_good,
    host_warnings,
    hosts,
    is_clear,
    joined,
    leaves,
    origin,
    question,
    way_out,
    with_host,
)

__all__ = [
    "FLAG",
    "SETTING",
    "allows",
    "for_good",
    "host_warnings",
    "hosts",
    "is_clear",
    "joined",
    "leaves",
    "origin",
    "question",
    "way_out",
    "with_host",
]
