"""`agentlaunch config set-key`: a server's key into the OS keyring, never through an argument."""

from __future__ import annotations

import getpass
import os
import sys

from agentlaunch import keys, policy, settings
from agentlaunch.commands.result import Result
from agentlaunch.engines import remote
from agentlaunch.errors import UsageError
from agentlaunch.talk import Talk


def set_key(talk: Talk, name: str) -> Result:
    """Keep the key of a server (preset or address), read from a pipe or typed without an echo.

    It belongs to the address: moved elsewhere, the server needs its key again. Raises
    `AgentlaunchError` where this system has no keyring, `UsageError` where no key can be read.
    """
    target = _target(name)
    keys.store(target.origin, _read_key(talk, target.origin))
    winner = next((word for word in target.key_variables if os.environ.get(word)), None)
    if policy.is_clear(target.url):
        talk.warn(
            f"{target.origin} is not encrypted: the key travels in clear", code="key-in-clear"
        )
    if winner is not None:
        talk.warn(f"{winner} is set and comes first", code="key-overridden")
    return _done("config-set-key", target.origin, f"kept the key of {target.origin} in the keyring")


def unset_key(talk: Talk, name: str) -> Result:
    """Drop the key of a server; dropping an absent one is fine."""
    target = _target(name)
    gone = keys.forget(target.origin)
    text = f"dropped the key of {target.origin}" if gone else f"no key of {target.origin} was kept"
    return _done("config-unset-key", target.origin, text)


def _target(name: str) -> remote.Target:
    if name.strip().lower() in ("embedded", "ollama"):
        raise UsageError(
            f"{name} has no key in the keyring",
            hint="a server by its address: agentlaunch config set-key https://HOST",
        )
    values = settings.load()
    return remote.resolve(name, {row: value.value for row, value in values.items()})


def _read_key(talk: Talk, origin: str) -> str:
    if talk.may_ask:
        return getpass.getpass(f"Key for {origin} (it is not shown): ").strip()
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(
            "nobody may be asked for the key here",
            hint=f"pipe it in: agentlaunch config set-key {origin} < FILE",
            code="needs-input",
        )
    return sys.stdin.read(keys.LONGEST_KEY + 2).strip()


def _done(name: str, origin: str, text: str) -> Result:
    data = {"origin": origin, "changed": text}
    return Result(f"agentlaunch/{name}/1", data, lambda talk: talk.say(text))
