"""How a registry is asked: redirects that are looked at first, the anonymous token, faults in
plain words.

A redirect may lead to another host (that is where registries keep blobs), but never to plain http
from https, never to an address where machines keep their secrets, never with a token in the bag.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from collections.abc import Iterator, Mapping
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit

from agentlaunch import __version__, web
from agentlaunch.endpoint import is_loopback
from agentlaunch.errors import ModelUnavailable
from agentlaunch.models.refs import Ref

MAX_REDIRECTS = 5
CONNECT_S = 10.0

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_ALWAYS_TLS = frozenset({"registry.ollama.ai", "ollama.com", "hf.co", "huggingface.co"})
# Where clouds hand out credentials outside the link-local ranges: Alibaba, Azure, AWS over IPv6.
_METADATA = frozenset(
    ipaddress.ip_address(text) for text in ("100.100.100.200", "168.63.129.16", "fd00:ec2::254")
)
_CHALLENGE = re.compile(r'(realm|service|scope)="([^"]{0,2000})"')
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
_RESUME = "run the same command to resume"


def base_url(ref: Ref, *, insecure: bool) -> str:
    """Scheme and host to ask for a model. Plain http is for `--insecure` and for loopback names
    written with `http://`; the public registries are always asked over https."""
    if ref.host.lower() in _ALWAYS_TLS:
        return f"https://{ref.host}"
    if insecure or (ref.insecure and is_loopback(f"http://{ref.host}")):
        return f"http://{ref.host}"
    if ref.insecure:
        raise ModelUnavailable(
            f"http://{ref.host} would send the model unencrypted",
            hint="add --insecure if you trust the network between here and there",
            code="insecure-registry",
        )
    return f"https://{ref.host}"


@contextlib.contextmanager
def open_url(
    url: str, *, headers: Mapping[str, str], token: str | None, read_s: float
) -> Iterator[tuple[web.Reply, Iterator[bytes]]]:
    """GET a registry's address through at most five redirects.

    The token goes to the registry's own origin alone. Raises `web.WebFault`, and
    `ModelUnavailable` for a redirect that may not be followed.
    """
    origin = _origin(urlsplit(url))
    plain_allowed = url.startswith("http://")
    _refuse_address(urlsplit(url).hostname or "", resolve=False)
    for _ in range(MAX_REDIRECTS + 1):
        sent = {
            "User-Agent": f"agentlaunch/{__version__}",
            "Accept-Encoding": "identity",  # ranges and sizes are those of the blob itself
            **headers,
        }
        if token is not None and _origin(urlsplit(url)) == origin:
            sent["Authorization"] = f"Bearer {token}"
        with web.stream("GET", url, headers=sent, connect_s=CONNECT_S, read_s=read_s) as (
            reply,
            chunks,
        ):
            location = reply.headers.get("location") if reply.status in _REDIRECTS else None
            if location is None:
                yield reply, chunks
                return
        url = next_url(url, location, plain_allowed=plain_allowed)
    raise ModelUnavailable(
        f"{origin[1]} redirects in circles", hint="try again later", code="redirect-loop"
    )


def anonymous_token(base: str, challenge: str) -> str | None:
    """The token that a registry gives to anybody (`WWW-Authenticate: Bearer realm=…`), or None.

    Asked only of the registry's own host; nothing is signed and no key of the user's is sent.
    """
    words = dict(_CHALLENGE.findall(challenge))
    if not challenge.lower().startswith("bearer ") or "realm" not in words:
        return None
    query = urlencode({name: words[name] for name in ("service", "scope") if name in words})
    realm = words["realm"]
    try:
        if _origin(urlsplit(realm)) != _origin(urlsplit(base)):
            return None
        reply = web.request("GET", f"{realm}{'&' if '?' in realm else '?'}{query}", deadline_s=15)
        document = reply.json() if reply.status == 200 else None
    except (ValueError, web.WebFault):
        return None
    if not isinstance(document, dict):
        return None
    token = document.get("token") or document.get("access_token")
    return token if isinstance(token, str) and _TOKEN.fullmatch(token) else None


def refuse_status(ref: Ref, status: int) -> None:
    """Turn an HTTP error into words. Raises `web.WebFault` where another try may help,
    `ModelUnavailable` where not; gives back for 200, 206 and 416."""
    if status in (200, 206, 416):
        return
    if status in _BUSY:
        raise web.WebFault("broken", f"{ref.host} answered HTTP {status}")
    if status in (401, 403):
        raise ModelUnavailable(
            f"{ref.host} refused {ref} (HTTP {status})",
            hint="a private model, or no such name there: check the spelling",
            code="registry-refused",
        )
    if status == 404:
        raise ModelUnavailable(
            f"{ref.host} has no model {ref}", hint="agentlaunch models", code="unknown-model"
        )
    if status == 412:  # as the default registry answers when a model wants a newer Ollama (0.33)
        raise ModelUnavailable(
            f"{ref.host} does not give {ref} to a client as old as this",
            hint="update agentlaunch, or choose another model: agentlaunch models",
            code="too-old",
        )
    raise ModelUnavailable(
        f"{ref.host} answered HTTP {status} for {ref}",
        hint="check the name; try again later",
        code="registry-failed",
    )


def refuse_page(ref: Ref, reply: web.Reply, start: bytes = b"") -> None:
    """Raise `ModelUnavailable` when the answer is a page for people, as of a captive portal."""
    kind = reply.headers.get("content-type", "").lower()
    if kind.startswith("text/html") or start.lstrip()[:1] == b"<":
        raise ModelUnavailable(
            f"{ref.host} answered with a web page instead of a model",
            hint="a network that wants a login first? open a browser, then run the same command",
            code="web-page",
        )


def unavailable(fault: web.WebFault, ref: Ref, *, stopped: str | None = None) -> ModelUnavailable:
    """A web fault as the user's error; `stopped` says how far a download had come."""
    hint = {
        "name": "check the network and the name; models already here work without it: "
        "agentlaunch models",
        "tls": "check the clock and the proxy; a company's certificate goes into SSL_CERT_FILE; "
        "--insecure is for registries that speak plain http",
    }.get(fault.kind, _RESUME if stopped else "check the network, then run the same command")
    message = f"the download of {ref} stopped {stopped}: {fault}" if stopped else str(fault)
    if stopped and fault.kind in ("name", "tls"):
        hint += f"; {_RESUME}"
    return ModelUnavailable(message, hint=hint, code=f"registry-{fault.kind}")


def next_url(url: str, location: str, *, plain_allowed: bool) -> str:
    """Where a redirect leads, if it may be followed; raises `ModelUnavailable` otherwise.

    Followed are https, and http where `plain_allowed` or to loopback.
    """
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts, target = "", None, urlsplit(""), ""
    plain = parts.scheme == "http" and (plain_allowed or is_loopback(target))
    if not host or port == 0 or "@" in parts.netloc or not (parts.scheme == "https" or plain):
        raise ModelUnavailable(
            f"{_named(url)} redirects to {_named(target)!r}, which is not followed",
            hint="a network that wants a login first? open a browser, then run the same command",
            code="redirect-refused",
        )
    if host != urlsplit(url).hostname:
        _refuse_address(host, resolve=True)
    return target


def _refuse_address(host: str, *, resolve: bool) -> None:
    """Raise `ModelUnavailable` for an address that belongs to the machine's own network card.

    With `resolve` names are looked up too, and spellings such as `2852039166`. A name that does not
    resolve passes: the request itself says so better (and behind a proxy it need not resolve).
    """
    texts = {host}
    if resolve:
        with contextlib.suppress(OSError, UnicodeError):
            texts |= {str(row[4][0]) for row in socket.getaddrinfo(host, None)}
    for text in texts:
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            continue
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        place = mapped or address
        if place.is_link_local or place.is_multicast or place.is_unspecified or place in _METADATA:
            raise ModelUnavailable(
                f"{host} is not an address that models come from",
                hint="name a registry by its host name",
                code="address-refused",
            )


def _origin(parts: SplitResult) -> tuple[str, str, int | None]:
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return (parts.scheme, parts.hostname or "", port)


def _named(url: str) -> str:
    """Scheme and host of an address, without its path: signed addresses hold secrets there."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"[:200]
