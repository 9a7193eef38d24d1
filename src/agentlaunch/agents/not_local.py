"""Agents that cannot use a model of your own: listed with the reason, never launched."""

from __future__ import annotations

from agentlaunch.agents.base import Agent, Handover, Target
from agentlaunch.context import Compaction
from agentlaunch.errors import NotSupported


def not_local(
    name: str, title: str, aliases: tuple[str, ...], binary: str, local_reason: str
) -> Agent:
    """The row of such an agent; `prepare` raises `NotSupported`."""

    def prepare(_target: Target) -> Handover:
        raise NotSupported(f"{title} cannot use a model of your own: {local_reason}")

    return Agent(
        name=name,
        title=title,
        aliases=aliases,
        binary=binary,
        known_places=(),
        package=None,
        tested_versions=(),
        wires=(),
        tiers=(),
        compaction=Compaction(most_reply_tokens=0, reserve_tokens=0, automatic=False),
        wanted_context_tokens=0,
        support="documented",
        local=False,
        local_reason=local_reason,
        reserved=(),
        prepare=prepare,
        is_headless=lambda _args: False,
    )
