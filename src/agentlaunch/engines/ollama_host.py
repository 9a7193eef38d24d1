"""Where Ollama listens: `OLLAMA_HOST` by Ollama's own rules (envconfig/config.go, 0.33). Pure."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from urllib.parse import quote, urlsplit

DEFAULT_PORT = 11434

_HOST_PORT = re.compile(r"(?:\[(?P<inner>[^\[\]]*)\]|(?P<host>[^:\[\]]*)):(?P<port>[^:\[\]]*)")
_PLAIN_IN_PATH = "/$&+,:;=@"


def parse(text: str | None) -> str:
    """The server's base URL from the variable's value, without a trailing slash.

    Blanks and quotes around it are dropped. Without a scheme the port defaults to 11434, with
    http:// to 80, with https:// to 443; `ollama.com` alone is https. What stands behind the host
    is a path prefix. A port that is none is replaced by the default, never an error; what Ollama's
    own client cannot dial (a user, another scheme) comes back as it was typed.
    """
    value = (text or "").strip().strip("\"'").strip()
    scheme, separator, rest = value.partition("://")
    if not separator:
        scheme, rest, default = "http", value, DEFAULT_PORT
        if value == "ollama.com":
            scheme, default = "https", 443
    else:
        default = {"http": 80, "https": 443}.get(scheme, DEFAULT_PORT)
    hostport, _, path = rest.partition("/")
    host, port = _split(hostport)
    host = f"[{host}]" if ":" in host else host
    prefix = posixpath.normpath("/" + path.lstrip("/")).rstrip("/")
    shown = quote(prefix, safe=_PLAIN_IN_PATH, errors="replace")
    return f"{scheme.lower()}://{host}:{_port(port, default)}{shown}"


def connectable(url: str) -> str:
    """The same address as one can dial: an unspecified one (0.0.0.0, ::) becomes loopback, and so
    does none at all."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        address = ipaddress.ip_address(host) if host else None
    except ValueError:
        return url
    if "@" in parts.netloc:
        return url
    if address is None:
        loopback = "127.0.0.1"
    elif _plain(address).is_unspecified:
        loopback = "127.0.0.1" if _plain(address).version == 4 else "[::1]"
    else:
        return url
    return parts._replace(netloc=f"{loopback}:{parts.netloc.rpartition(':')[2]}").geturl()


def _split(text: str) -> tuple[str, str]:
    """Host and port; without a port, or with something that is no such pair, all of it is the
    host."""
    pair = _HOST_PORT.fullmatch(text)
    if pair is not None:
        inner = pair["inner"]
        return (pair["host"] if inner is None else inner), pair["port"]
    bare = text.strip("[]")
    try:
        # A zone (`%eth0`) is part of a name here.
        return (text if "%" in bare else str(_plain(ipaddress.ip_address(bare)))), ""
    except ValueError:
        return text or "127.0.0.1", ""


def _plain(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IPv4 address that is written as IPv6 is one of IPv4."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _port(text: str, default: int) -> str:
    number = re.fullmatch(r"([+-]?)0*([0-9]{1,5})", text)
    if number is None or int(number[2]) > 65535 or (number[1] == "-" and int(number[2])):
        return str(default)
    return number[1] + number[2]  # with a sign it can be listened on, but not dialled
