"""Models that Ollama itself calls unfit for coding agents, by name, wherever they come from. Pure.

Its launcher warns of them and offers none of them (Ollama 0.33, cmd/launch/deprecated_models.go at
fb30760, 2026-08-21).
"""

from __future__ import annotations

from agentlaunch.models.cloud import without_cloud

WHOSE = "on Ollama's own list of models that work badly with coding agents"

FAMILIES = frozenset(
    {
        *("codellama", "mistral", "qwen2.5", "qwen2.5-coder", "starcoder"),
        *("llama3", "llama3.1", "llama3.2", "llama3.3"),
    }
)
"""Every tag of these."""
TAGS = {"deepseek-r1": frozenset({"", "latest", "1.5b", "7b", "8b", "14b", "32b"})}
"""Only these tags of a family; "" is no tag at all."""


def is_denied(name: str) -> bool:
    """Is the model of this name on the list? Case, a server or a user before the name and the mark
    of the cloud make no difference; the name of a file or of somebody's own build is not on it."""
    family, _, tag = without_cloud(name)[0].lower().rpartition("/")[2].partition(":")
    return family.strip() in FAMILIES or tag.strip() in TAGS.get(family.strip(), ())
