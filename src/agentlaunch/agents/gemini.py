"""Gemini CLI: cannot be local, since it speaks Google's wire alone (seen, 0.61.0)."""

from agentlaunch.agents.not_local import not_local

AGENT = not_local(
    name="gemini",
    title="Gemini CLI",
    aliases=("gemini-cli", "gemini_cli"),
    binary="gemini",
    local_reason="it speaks only Google's own wire (generateContent)",
)
