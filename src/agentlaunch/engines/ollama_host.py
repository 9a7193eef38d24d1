"""Where Ollama listens: `OLLAMA_HOST` by Ollama's own rules (envconfig/config.go, 0.33). Pure."""

from __future__ import annotations

import ipaddress

DEFAULT_PORT = 11434


def parse(text: str | None) -> str:
    """The server's base URL from the variable's value, without a trailing slash.

    Blanks and quotes around it are dropped. Without a scheme the port defaults to 11434, with
    http:// to 80, with https:// to 443; `ollama.com` alone is https. What stands behind the host
    is a path prefix. A port that is none is replaced by the default, never an error.
    """
    value = (text or "").strip().strip("\"'").strip()
    scheme, separator, rest = value.partition("://")
    if not separator:
        scheme, rest, port = "http", value, DEFAULT_PORT
        if value == "ollama.com":
            scheme, port = "https", 443
    else:
        port = {"http": 80, "https": 443}.get(scheme, DEFAULT_PORT)
    hostport, slash, path = rest.partition("/")
    host, found = _split(hostport)
    if found is not None:
        port = int(found) if found.isdecimal() and int(found) <= 65535 else port
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port}{slash}{path}".rstrip("/")


def connectable(url: str) -> str:
    """The same address as one can dial: an unspecified one (0.0.0.0, ::) becomes loopback."""
    for unspecified, loopback in (("//0.0.0.0:", "//127.0.0.1:"), ("//[::]:", "//[::1]:")):
        url = url.replace(unspecified, loopback, 1)
    return url.replace("://:", "://127.0.0.1:", 1)


def _split(text: str) -> tuple[str, str | None]:
    """Host and port; a bare address, with or without brackets, has none."""
    try:
        bare = text.removeprefix("[").removesuffix("]")
        return str(ipaddress.ip_address(bare)), None
    except ValueError:
        pass
    host, colon, port = text.rpartition(":")
    if not colon:
        return text or "127.0.0.1", None
    return host.removeprefix("[").removesuffix("]"), port
