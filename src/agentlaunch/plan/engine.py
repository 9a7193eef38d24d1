"""Which engine serves, where nobody asked for one: running > installed > embedded. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from agentlaunch.engines.ollama.facts import NAME, OllamaFacts
from agentlaunch.models.refs import looks_like_path, parse_ref
from agentlaunch.plan.wish import Wish
from agentlaunch.survey import Survey

EMBEDDED = "embedded"
OLLAMA = NAME


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The engine's name, why it is that one, and what the user should know of another."""

    name: str
    because: str
    warning: tuple[str, str] | None = None


def choose_engine(survey: Survey, wish: Wish) -> EngineChoice:
    """Ollama where it can do what is wished, else the engine that we bring."""
    ollama, fault = survey.ollama, survey.ollama_fault
    if ollama is None and fault is not None:
        if fault.answers:  # asked again, it serves or says what is wrong: nothing is brought for it
            return EngineChoice(OLLAMA, "Ollama runs")
        hint = f" ({fault.hint})" if fault.hint else ""
        warning = ("ollama-unusable", f"Ollama is not used: {fault.message}{hint}")
        return EngineChoice(EMBEDDED, "no Ollama can be used here", warning)
    if ollama is None:
        return EngineChoice(EMBEDDED, "no Ollama is here")
    reason = _only_embedded(survey, wish, ollama)
    if reason is not None:
        return EngineChoice(EMBEDDED, reason)
    if not set(wish.agent.wires) & set(ollama.wires):
        said = ollama.version.text if ollama.version is not None else "?"
        text = f"Ollama {said} is too old for {wish.agent.title}: update it (ollama.com/download)"
        return EngineChoice(EMBEDDED, f"Ollama {said} is too old", ("ollama-too-old", text))
    if ollama.version is not None:
        return EngineChoice(OLLAMA, f"Ollama {ollama.version.text} runs at {ollama.client.url}")
    return EngineChoice(OLLAMA, "Ollama is installed")


def _only_embedded(survey: Survey, wish: Wish, ollama: OllamaFacts) -> str | None:
    """Why Ollama is not asked although it is there, in words; None where it may serve."""
    model = wish.model
    if model is not None and looks_like_path(model):
        return "a file is loaded by the embedded engine"
    if wish.kv_cache not in ("auto", "f16"):
        return f"a cache of type {wish.kv_cache} is chosen at load, which Ollama does not take"
    has_none = not ollama.tags and all(row.store.ours for row in survey.stored)
    if model is None and survey.stored and has_none and not _has_card(survey):
        return "models are downloaded for it, and Ollama has none"
    if ollama.version is None and _busy(survey) and not _has_card(survey):
        return "an engine of ours runs already"
    if model is not None and ollama.is_here and not _has_card(survey):
        ref = parse_ref(model)
        if ollama.tag(model) is None and any(row.ref == ref for row in survey.stored):
            return f"{model} is downloaded already, and Ollama does not have it"
    return None


def _busy(survey: Survey) -> bool:
    return any(row.state == "running" and row.loaded for row in survey.engines)


def _has_card(survey: Survey) -> bool:
    """Graphics that Ollama would use and the embedded engine would not."""
    other_system = survey.machine.os != "darwin"
    return other_system and any(gpu.vendor in {"nvidia", "amd"} for gpu in survey.machine.gpus)
