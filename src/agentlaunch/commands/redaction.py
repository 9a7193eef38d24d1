"""What must not be told to others: secrets, names, addresses and paths, and how they are hidden."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from agentlaunch.endpoint import HIDDEN, is_loopback
from agentlaunch.keys import KEY_VARIABLE, PROVIDER_KEYS
from agentlaunch.machine.facts import LiveFacts
from agentlaunch.machine.record import private_names
from agentlaunch.machine.scrub import Scrubber
from agentlaunch.proof.check import Check
from agentlaunch.talk import clean

HOST, ADDRESS = "<host>", "<address>"
SHORTEST_SECRET = 6
"""A shorter value would hide ordinary words."""

_SECRET_NAME = re.compile(
    r"KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|AUTH|COOKIE|DSN|(?:PASS|PWD)(?=_|\d|$)", re.I
)
_FOLDER_NAMES = frozenset({"PWD", "OLDPWD"})
"""Variables of every shell that only look like such a name."""
_USERINFO = re.compile(r"""\b([a-z][a-z0-9+.-]{0,20}://)[^\s/"'<>]*@""", re.I)
_QUERY = re.compile(r"""\b([a-z][a-z0-9+.-]{0,20}://[^\s?#"'<>]*)[?#][^\s"'<>)]+""", re.I)
_SHAPED = re.compile(
    r"\b(?:sk|pk|rk|fk|gsk|hf|xai|pplx|nvapi|csk|tvly)[-_][\w-]{6,}"
    r"|\bgh[opsur]_\w{6,}|\bgithub_pat_\w+|\bglpat-[\w-]+|\bxox[a-z]-[\w-]+|\bnpm_\w{10,}"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{8,}|\bAIza[\w-]{10,}"
    r"|\beyJ[\w-]{6,}(?:\.[\w-]+){0,2}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)
_NAMED = re.compile(
    r"""(?<![\w-])((?:[\w-]*(?:api[_-]?key|token|secret|passw(?:or)?d|passphrase|"""
    r"""credential|cookie|[_-]pass|[_-]pwd)|"""
    r"""(?:proxy-)?authorization|x-api-key)\\?["']?\s*[:=]\s*\\?["']?)(?:(?:Bearer|Basic)\s+)?"""
    r"""(?:(?<=["'])[^"'\n]+|[^\s"',;]+)""",
    re.I,
)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{6,}", re.I)
_RANDOM = re.compile(r"(?<![\w-])(?=[\w+=-]*\d)(?=[\w+=-]*[A-Za-z])[\w+=-]{20,}(?![\w-])")
"""What may be a key of a kind that nobody told us of; in foreign words alone, since the names of
models look like it."""
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*")
_IPV4 = re.compile(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?:%\w+)?(?![\w:])", re.I)
_INNER_HOST = re.compile(
    r"(?<![\w.-])(?:[a-z0-9][\w-]*\.)+"
    r"(?:local|localdomain|lan|internal|intranet|corp|home|home\.arpa|ts\.net)(?![\w-]|\.\w)",
    re.I,
)
"""Names that no public name server knows; others tell nothing of this user's network."""
_BARE_HOST = re.compile(
    r"\b([a-z][a-z0-9+.-]{0,20}://)(?!localhost\b)[\w-]*[a-z][\w-]*(?![\w.-])", re.I
)
"""The host of an address, where it has no dot: one of the user's own network."""
_PATH = re.compile(r"""(?<![\w:/~.>-])(?:/[\w.@+-]+){2,}/?|\b[A-Za-z]:\\[^\s"']+""")


@dataclass(frozen=True, slots=True)
class Redactor:
    """What must not be told, and how it is hidden."""

    values: tuple[str, ...] = field(repr=False)
    """Secrets that are known by their value."""
    folders: Mapping[str, str]
    """Folders of this machine and the words for them."""
    scrubber: Scrubber

    def secrets(self, text: str) -> str:
        """The text without anything that opens a door; a person may read the rest."""
        for value in self.values:
            text = text.replace(value, HIDDEN)
        text = _QUERY.sub(rf"\1?{HIDDEN}", _USERINFO.sub(rf"\1{HIDDEN}@", text))
        text = _NAMED.sub(rf"\1{HIDDEN}", _SHAPED.sub(HIDDEN, text))
        return _BEARER.sub(rf"\1 {HIDDEN}", text)

    def private(self, text: str) -> str:
        """The text as anybody may read it: also without names, paths, and addresses of mail and of
        machines; public host names stay."""
        text = self.secrets(text)
        for folder in sorted(self.folders, key=len, reverse=True):
            text = text.replace(folder, self.folders[folder])
        text = _MAIL.sub(f"{HIDDEN}@{HIDDEN}", text)
        text = _PATH.sub("<path>", self.scrubber.text(text))
        text = _BARE_HOST.sub(rf"\1{HOST}", _INNER_HOST.sub(HOST, text))
        return _IPV6.sub(_address, _IPV4.sub(_address, text))

    def foreign(self, text: str) -> str:
        """Words of another program: what only looks like a key is hidden too."""
        return clean(_RANDOM.sub(HIDDEN, self.private(text)), limit=None)


def redactor(
    environ: Mapping[str, str],
    *,
    tokens: Collection[str] = (),
    addresses: Collection[str] = (),
    folders: Mapping[Path, str],
) -> Redactor:
    """A redactor of this run: `tokens` of engines, the engines' own `addresses`, our folders."""
    found = {value for name, value in environ.items() if _is_secret(name)} | set(tokens)
    for value in environ.values():  # a proxy's password is one wherever it stands
        found |= _passwords(value)
    for address in addresses:
        found |= _passwords(address)
    found |= {line for value in found for line in value.splitlines()}
    found |= {quote(value, safe="") for value in found}
    values = sorted((v for v in found if len(v) >= SHORTEST_SECRET), key=len, reverse=True)
    users, hosts = private_names(LiveFacts(Path()))
    hosts |= {_host(address) for address in addresses if not is_loopback(address)} - {""}
    places = {
        str(form): word
        for path, word in folders.items()
        for form in (path, path.resolve())
        if form.is_absolute() and len(form.parts) > 1
    }
    return Redactor(tuple(values), places, Scrubber(users, hosts))


def _is_secret(name: str) -> bool:
    if name in _FOLDER_NAMES:
        return False
    return name in PROVIDER_KEYS or name == KEY_VARIABLE or _SECRET_NAME.search(name) is not None


def _address(found: re.Match[str]) -> str:
    """A machine's address hidden; this machine's own loopback says nothing, nor does a version."""
    try:
        address = ipaddress.ip_address(found[0].partition("%")[0])
    except ValueError:
        return found[0]
    known = address.is_loopback or address.is_unspecified or found[0].startswith("0.")
    return found[0] if known else ADDRESS


def _passwords(address: str) -> set[str]:
    if "://" not in address or "@" not in address:
        return set()
    try:
        parts = urlsplit(address)
        return {part for part in (parts.username, parts.password) if part}
    except ValueError:
        return set()


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def redacted(check: Check, redact: Callable[[str], str]) -> Check:
    """A check with every text in it gone over."""
    return replace(
        check,
        message=redact(check.message),
        measured=mapped(check.measured, redact),
        remedy=redact(check.remedy) if check.remedy is not None else None,
    )


def mapped(value: Any, redact: Callable[[str], str]) -> Any:
    """A value of JSON with every text in it gone over."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(str(key)): mapped(each, redact) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [mapped(each, redact) for each in value]
    return value
