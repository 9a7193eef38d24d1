"""Why llama.cpp did not load a model: one line of fact and a way out, from what its log says.

The texts were seen in xllamacpp 2026.10.11549.
"""

from __future__ import annotations

from pathlib import Path

from agentlaunch import files
from agentlaunch.engines.base import ServeRequest
from agentlaunch.engines.llama_cpp_host import ENGINE_MISSING
from agentlaunch.errors import AgentlaunchError, EngineFailed, MachineCannot

KILLED = 128 + 9
"""Nobody of ours sends that signal while a model loads: it is the system, out of memory."""

_BROKEN = ("model is corrupted", "invalid magic", "gguf_init_from", "within the file bounds")
_MEMORY = (
    "insufficient memory",
    "failed to allocate",
    "unable to allocate",
    "out of memory",
    "bad_alloc",
    "MemoryError",
)


def load_error(code: int, request: ServeRequest, log: Path) -> AgentlaunchError:
    """One line from what llama.cpp wrote before it gave up."""
    text = files.tail(log)
    see = f"see {log}"
    if "unknown model architecture" in text:
        word = text.rpartition("unknown model architecture:")[2].split("\n")[0].strip()
        return AgentlaunchError(
            f"{request.path}: this llama.cpp does not know the model architecture {word}",
            hint=f"choose another model; {see}",
            code="unknown-architecture",
        )
    if any(word in text for word in _MEMORY) or code == KILLED:
        return MachineCannot(
            f"not enough memory to load {request.model} at {request.context_tokens:,} tokens",
            hint=f"a smaller --context or a smaller --model needs less; {see}",
            code="out-of-memory",
        )
    if any(word in text for word in _BROKEN):
        return AgentlaunchError(
            f"{request.path} is damaged or incomplete",
            hint=f"download it again; {see}",
            code="broken-gguf",
        )
    if code == ENGINE_MISSING:
        return EngineFailed(
            "the embedded engine's environment is damaged (xllamacpp cannot be imported)",
            hint=f"remove it with `agentlaunch clean`, it is installed again; {see}",
            code="engine-missing",
        )
    lines = [line for line in text.splitlines() if " E " in line or "Error" in line]
    why = lines[-1].strip() if lines else f"it ended with status {code}"
    return EngineFailed(
        f"the embedded engine could not load {request.model}: {why[:200]}",
        hint=see,
        code="load-failed",
    )


def less_context(request: ServeRequest, got: int | None, log: Path) -> EngineFailed:
    """The server allocated less than it was asked for, or does not say what."""
    if got is None:
        return EngineFailed(
            "the embedded engine started but does not answer", hint=f"see {log}", code="no-answer"
        )
    return EngineFailed(
        f"{request.model} got a context of {got:,} tokens instead of {request.context_tokens:,}",
        hint=f"ask for what the model was trained for: --context {got}",
        code="less-context",
    )


def last_line(log: Path) -> str | None:
    """What was written last, None while nothing is."""
    lines = files.tail(log).splitlines()
    return lines[-1].strip() or None if lines else None
