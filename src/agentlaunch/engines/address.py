"""The address of a server: read from what a person typed, cut to its base, refused where unsafe."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit, urlunsplit

from agentlaunch.endpoint import without_secrets
from agentlaunch.errors import Refused, UsageError
from agentlaunch.keys import KEY_VARIABLE

ENDINGS = (
    "/chat/completions",
    "/messages/count_tokens",
    "/messages",
    "/responses",
    "/models",
)
"""What other tools want behind `/v1`; people paste it along."""

ENGINES = ("/engines/llama.cpp", "/engines/vllm", "/engines")
"""Where Docker Model Runner has its OpenAI wires (docs.docker.com, DMR REST API, 2026)."""

_NETLOC = re.compile(r"(\[[0-9A-Fa-f:.]+(%\w+)?\]|[^\s\[\]\\:@%\x00-\x20\x7f]+)(:\d+)?")

METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "instance-data"})
METADATA_ADDRESSES = frozenset(
    ipaddress.ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200", "192.0.0.192")
)
"""Where clouds tell a machine its own secrets, beside the link-local 169.254.169.254."""


def normalized_url(text: str) -> str:
    """An engine address as a base URL: http(s) only, without `/v1`, what follows it, or a slash.

    Raises `UsageError` for what is no URL or holds a user, a key or a query, `Refused` for
    link-local and metadata addresses.
    """
    try:
        parts = urlsplit(text.strip())
        host, _port = parts.hostname, parts.port
    except ValueError:  # its text could quote a password
        raise UsageError(f"{without_secrets(text)!r} is not an address") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise UsageError(
            f"{without_secrets(text)!r} is neither an engine's name nor an http address",
            hint="for example embedded, or http://127.0.0.1:8080",
            code="unknown-engine",
        )
    if parts.username or parts.password:
        raise UsageError(
            "a key in the address would be visible to other programs",
            hint=f"export {KEY_VARIABLE}=… instead",
        )
    if parts.query or parts.fragment:
        raise UsageError(
            f"{without_secrets(text)!r} has more than an address in it",
            hint=f"leave away what follows the ? or #; a key goes in {KEY_VARIABLE}",
        )
    if _NETLOC.fullmatch(parts.netloc) is None:  # two readers could see two hosts in it
        raise UsageError(f"{without_secrets(text)!r} is not an address")
    if _is_unsafe(host):
        raise Refused(
            f"{host} is a link-local or metadata address, no model server", code="unsafe-address"
        )
    return urlunsplit((parts.scheme, parts.netloc, _base_path(parts.path), "", ""))


def _base_path(path: str) -> str:
    path = path.rstrip("/")
    for ending in ENDINGS:
        if path.endswith("/v1" + ending):
            path = path.removesuffix(ending)
            break
    path = path.removesuffix("/v1")
    for engine in ENGINES:
        if path.endswith(engine):
            return path.removesuffix(engine)
    return path


def _is_unsafe(host: str) -> bool:
    """Also in the older spellings that the resolver takes (`2852039166`, `0xa9.254.…`)."""
    import socket

    name = host.rstrip(".").lower()
    if name in METADATA_NAMES:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(name))
        except (OSError, UnicodeError, ValueError):
            return False  # a name, not a number
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    seen = mapped or address
    return seen.is_link_local or seen in METADATA_ADDRESSES
