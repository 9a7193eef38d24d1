"""Which names mean a model in Ollama's cloud: such a model never runs on this machine. Pure."""

from __future__ import annotations

from agentlaunch.errors import NotSupported

_ALONE, _ENDING = "cloud", "-cloud"


def without_cloud(name: str) -> tuple[str, bool]:
    """The name without the mark of the cloud, and whether it bore one: what stands behind the last
    colon is `cloud` or ends in `-cloud`, in any case (Ollama 0.33, internal/modelref)."""
    base, colon, tag = name.strip().rpartition(":")
    if colon and tag.strip().lower() == _ALONE:
        return base, True
    if colon and "/" not in tag and tag.strip().lower().endswith(_ENDING):
        return f"{base}:{tag.strip()[: -len(_ENDING)]}", True
    return name.strip(), False


def is_cloud_name(name: str) -> bool:
    """Does the name alone say that the model runs in the cloud, installed or not?"""
    return without_cloud(name)[1]


def refusal(name: str) -> NotSupported:
    """What a user is told who asked for such a model."""
    return NotSupported(
        f"{name} runs in Ollama's cloud, not here",
        hint="choose a model that runs here: agentlaunch models",
        code="cloud-model",
    )
