"""Kiro: cannot be local; own models are an open wish in its tracker (read, issue 8194, 2026-06)."""

from agentlaunch.agents.not_local import not_local

AGENT = not_local(
    name="kiro",
    title="Kiro",
    aliases=("kiro-cli",),
    binary="kiro-cli",
    local_reason="it takes no endpoint of your own and needs a Kiro account",
)
