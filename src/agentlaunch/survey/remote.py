"""A server of somebody else's, asked with the key that belongs to its address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agentlaunch import keys
from agentlaunch.endpoint import Wire
from agentlaunch.engines import remote
from agentlaunch.errors import AuthNeeded

WATCHED_S = 60.0
"""How long a person may take to unlock the keyring."""
UNWATCHED_S = 5.0


def key_of(target: remote.Target, environ: Mapping[str, str]) -> str:
    """The key of a server that cannot be asked now, "" without one."""
    key = keys.from_environment(target.key_variables, environ)
    return key or keys.from_keyring(target.origin, wait_s=UNWATCHED_S)


def look_at_remote(
    target: remote.Target,
    wires: Sequence[Wire],
    environ: Mapping[str, str],
    *,
    watched: bool,
    keyed: bool = True,
) -> remote.RemoteFacts:
    """What the server is and serves; `wires` are the ones worth knowing about.

    The key is a variable's; the keyring is only asked where no variable is set and the server
    wants one, so that most launches never wait for it. `watched` says that a person could unlock
    it. Not `keyed`, where the host has no word yet, none is sent. Raises `EngineFailed` and
    `AuthNeeded`.
    """
    if not keyed:
        return remote.probe(target.url, wires=wires, preset=target.preset)
    wait_s = WATCHED_S if watched else UNWATCHED_S
    key = keys.from_environment(target.key_variables, environ)
    if not key and target.preset is not None and target.preset.hosted:
        key = keys.from_keyring(target.origin, wait_s=wait_s)
    try:
        return remote.probe(target.url, key=key, wires=wires, preset=target.preset)
    except AuthNeeded:
        if key:
            raise
        key = keys.from_keyring(target.origin, wait_s=wait_s)
        if not key:
            raise
    return remote.probe(target.url, key=key, wires=wires, preset=target.preset)
