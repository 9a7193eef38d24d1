"""Where code may go: this machine always, any other host only with the user's word. Pure.

The word is given for one origin (scheme, host, port), kept in the user file as `allowed_hosts`, and
taken back there. A project file can neither name a server nor allow one.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from agentlaunch.endpoint import is_loopback

SETTING = "allowed_hosts"
FLAG = "--allow-remote"

_PORTS = {"http": 80, "https": 443}


def origin(url: str) -> str:
    """Scheme, host and port of an address, in one spelling; what the word is given for."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    host = f"[{host}]" if ":" in host else host
    port = parts.port
    shown = "" if port is None or port == _PORTS.get(parts.scheme) else f":{port}"
    return f"{parts.scheme}://{host}{shown}"


def leaves(url: str) -> bool:
    """True when requests to this address leave the machine: private networks do as well."""
    return not is_loopback(url)


def is_clear(url: str) -> bool:
    """True when they leave it unencrypted, for everybody on the way to read."""
    return leaves(url) and urlsplit(url).scheme != "https"


def hosts(text: str | None) -> tuple[str, ...]:
    """The origins of the setting, in their order; what is no address is passed over."""
    found = []
    for word in (text or "").replace(",", " ").split():
        try:
            parts = urlsplit(word)
            if parts.scheme in _PORTS and parts.hostname:
                found.append(origin(word))
        except ValueError:
            continue
    return tuple(dict.fromkeys(found))


def allows(allowed: str | None, url: str) -> bool:
    """Has the user given his word for this address, or does nothing leave the machine?"""
    return not leaves(url) or origin(url) in hosts(allowed)


def joined(origins: Iterable[str]) -> str:
    """The value of the setting for these origins."""
    return ", ".join(dict.fromkeys(origins))


def with_host(allowed: str | None, url: str) -> str:
    """The setting's value with one more origin."""
    return joined((*hosts(allowed), origin(url)))


def question(url: str, *, note: str = "") -> str:
    """What is asked before the first launch on this origin."""
    clear = " Nothing on the way is encrypted (http)." if is_clear(url) else ""
    more = f" {note}" if note else ""
    return (
        f"The agent sends your prompts and the code that it reads to {origin(url)}.{clear}{more} "
        "Allow this host from now on?"
    )


def host_warnings(
    url: str, key: str = "", *, note: str = "", what: str = "your code"
) -> list[tuple[str, str]]:
    """What the user should know of where `what` goes, each time that it does: rows of a code and
    a text. `note` is what becomes of it there."""
    rows = []
    if leaves(url):
        more = f"; {note}" if note else ""
        text = f"{what} leaves this machine: it goes to {origin(url)}{more}"
        rows.append(("remote-engine", text))
    if is_clear(url):
        goes = f"{what} and the key travel" if key else f"{what} travels"
        text = f"{goes} unencrypted to {origin(url)}: use https, or a tunnel"
        rows.append(("key-in-clear" if key else "code-in-clear", text))
    return rows


def way_out(allowed: str | None, url: str) -> str:
    """How the word is given where nobody can be asked."""
    return f"allow it once with {FLAG}, or for good: {for_good(allowed, url)}"


def for_good(allowed: str | None, url: str) -> str:
    """What to type so that this host is asked about no more."""
    return f'agentlaunch config set {SETTING} "{with_host(allowed, url)}"'
