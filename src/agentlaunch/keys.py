"""Keys of servers: an environment variable first, then the OS keyring. The only door to keyring.

A key is kept for one origin (scheme, host, port) and sent nowhere else. It is never an argument,
never in a settings file, and no text of ours holds it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from agentlaunch.errors import AgentlaunchError, AuthNeeded

KEY_VARIABLE = "AGENTLAUNCH_ENGINE_KEY"
"""Ours, for whatever server is asked for; read before a server's own variable."""
SERVICE = "agentlaunch"
LONGEST_KEY = 4096

PROVIDER_KEYS: tuple[str, ...] = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_AWS_API_KEY",
    "ANTHROPIC_BEDROCK_MANTLE_API_KEY",
    "ANTHROPIC_FOUNDRY_API_KEY",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AZURE_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "CEREBRAS_API_KEY",
    "CLAUDE_CODE_OAUTH_REFRESH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CODEX_API_KEY",
    "COHERE_API_KEY",
    "DASHSCOPE_API_KEY",
    "DEEPSEEK_API_KEY",
    "FIREWORKS_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "GOOGLE_GENERATIVE_AI_API_KEY",
    "GROQ_API_KEY",
    "HF_TOKEN",
    "HUGGINGFACE_API_KEY",
    "LITELLM_API_KEY",
    "LITELLM_MASTER_KEY",
    "LLAMA_API_KEY",
    "LM_API_TOKEN",
    "MISTRAL_API_KEY",
    "MOONSHOT_API_KEY",
    "OLLAMA_API_KEY",
    "OPENAI_API_KEY",
    "OPENROUTER_API_KEY",
    "PERPLEXITY_API_KEY",
    "TOGETHER_API_KEY",
    "VLLM_API_KEY",
    "XAI_API_KEY",
    "ZAI_API_KEY",
)
"""Keys of model providers. Credentials of general use (`AWS_ACCESS_KEY_ID`, `GITHUB_TOKEN`,
`GOOGLE_APPLICATION_CREDENTIALS`, …) stay, since the tools that an agent runs need them; the agent's
own use of them as a model provider is switched off instead."""

Fault = Literal["none", "locked", "slow", "broken"]


class KeyringFault(Exception):
    """The keyring gave no answer; `kind` says why."""

    def __init__(self, kind: Fault, text: str) -> None:
        super().__init__(text)
        self.kind: Fault = kind


def from_environment(variables: Sequence[str], environ: Mapping[str, str]) -> str:
    """The first of these variables that holds something, "" when none does."""
    return next((environ[name].strip() for name in variables if environ.get(name, "").strip()), "")


def values(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Every real key that the environment holds: what may stand in no text of ours."""
    names = (KEY_VARIABLE, *PROVIDER_KEYS)
    return tuple(dict.fromkeys(environ[name] for name in names if environ.get(name)))


def from_keyring(origin: str, *, wait_s: float) -> str:
    """The key kept for an origin, "" when there is none, no keyring, or no answer in time.

    A keyring that waits for somebody to unlock it must not hold up a launch that nobody watches.
    """
    try:
        return _in_time(lambda: _get(origin), wait_s)
    except KeyringFault:
        return ""


def store(origin: str, key: str, *, wait_s: float = 120.0) -> None:
    """Keep a key for an origin. Raises `AgentlaunchError` where no keyring can, `AuthNeeded` for
    what no header can carry."""
    check(key)
    try:
        _in_time(lambda: _set(origin, key), wait_s)
    except KeyringFault as fault:
        raise _unusable(fault) from None  # a trace could show the key


def forget(origin: str, *, wait_s: float = 120.0) -> bool:
    """Drop the key of an origin; False when none was kept. Raises `AgentlaunchError`."""
    try:
        if not _in_time(lambda: _get(origin), wait_s):
            return False
        _in_time(lambda: _delete(origin), wait_s)
    except KeyringFault as fault:
        raise _unusable(fault) from None
    return True


def check(key: str) -> None:
    """Raise `AuthNeeded` for a key that no header can carry: the HTTP library would quote it."""
    if not key:
        raise AuthNeeded("the key is empty", hint="pipe it in, or type it when asked")
    if not (key.isascii() and key.isprintable()) or len(key) > LONGEST_KEY:
        raise AuthNeeded(
            "the key holds a character that no header can carry, perhaps a line break",
            hint="copy it again, without it",
        )


def _unusable(fault: KeyringFault) -> AgentlaunchError:
    hint = f"export {KEY_VARIABLE}=… instead; it is read first and never kept"
    return AgentlaunchError(str(fault), hint=hint, code=f"keyring-{fault.kind}")


def _get(origin: str) -> str:
    import keyring

    return keyring.get_password(SERVICE, origin) or ""


def _set(origin: str, key: str) -> str:
    import keyring

    keyring.set_password(SERVICE, origin, key)
    return ""


def _delete(origin: str) -> str:
    import keyring

    keyring.delete_password(SERVICE, origin)
    return ""


def _in_time(ask: Callable[[], str], wait_s: float) -> str:
    """What the keyring answers, on a thread that is left behind when it takes too long.

    Raises `KeyringFault`. Backends raise whatever their libraries do (seen with keyring 25:
    RuntimeError, D-Bus errors), so all of it counts as no answer.
    """
    answer: list[str] = []
    faults: list[KeyringFault] = []

    def work() -> None:
        try:
            answer.append(ask())
        except Exception as error:  # noqa: BLE001 - a keyring must never end a launch
            faults.append(_fault(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(wait_s)
    if answer:
        return answer[0]
    if faults:
        raise faults[0]
    raise KeyringFault("slow", f"the keyring of this system gave no answer in {wait_s:g} s")


def _fault(error: Exception) -> KeyringFault:
    from keyring import errors

    if isinstance(error, errors.NoKeyringError):
        return KeyringFault("none", "this system has no keyring that keys could be kept in")
    if isinstance(error, errors.KeyringLocked):
        return KeyringFault("locked", "the keyring of this system is locked")
    # Only the kind of the error: its text is a library's, and could quote what it was given.
    return KeyringFault("broken", f"the keyring of this system failed ({type(error).__name__})")
