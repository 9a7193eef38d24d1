"""Cursor's CLI: cannot be local; its reference names no address (second-hand, 2026)."""

from agentlaunch.agents.not_local import not_local

AGENT = not_local(
    name="cursor",
    title="Cursor CLI",
    aliases=("cursor-agent", "cursor-cli"),
    binary="cursor-agent",
    local_reason="its CLI takes no endpoint of your own (the editor's `Override OpenAI Base URL` "
    "does not count there) and asks Cursor's servers with a Cursor account",
)
