"""The report of a proof for a bug report: Markdown without secrets, names, addresses or paths."""

from __future__ import annotations

import json
import os
import platform
import re
import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agentlaunch import __version__, files
from agentlaunch.endpoint import HIDDEN, is_loopback
from agentlaunch.errors import Refused, UsageError
from agentlaunch.keys import KEY_VARIABLE, PROVIDER_KEYS
from agentlaunch.machine.facts import LiveFacts
from agentlaunch.machine.record import private_names
from agentlaunch.machine.scrub import Scrubber
from agentlaunch.proof.check import Check
from agentlaunch.talk import clean

SHORTEST_SECRET = 6
"""A shorter value would hide ordinary words."""

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|AUTH|COOKIE|DSN", re.I)
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
    r"""(?<![\w-])((?:[\w-]*(?:api[_-]?key|token|secret|passw(?:or)?d|passphrase|credential|cookie)|"""
    r"""(?:proxy-)?authorization|x-api-key)["']?\s*[:=]\s*["']?)(?:(?:Bearer|Basic)\s+)?"""
    r"""[^\s"',;]+""",
    re.I,
)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{6,}", re.I)
_RANDOM = re.compile(r"(?<![\w-])(?=[\w+=-]*\d)(?=[\w+=-]*[A-Za-z])[\w+=-]{20,}(?![\w-])")
"""What may be a key of a kind that nobody told us of; in foreign words alone, since the names of
models look like it."""
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*")
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
        """The text as anybody may read it: also without names, mail addresses and paths."""
        text = self.secrets(text)
        for folder in sorted(self.folders, key=len, reverse=True):
            text = text.replace(folder, self.folders[folder])
        text = _MAIL.sub(f"{HIDDEN}@{HIDDEN}", text)
        return _PATH.sub("<path>", self.scrubber.text(text))

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
    return name in PROVIDER_KEYS or name == KEY_VARIABLE or _SECRET_NAME.search(name) is not None


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
        measured=_mapped(check.measured, redact),
        remedy=redact(check.remedy) if check.remedy is not None else None,
    )


def _mapped(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(str(key)): _mapped(each, redact) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(each, redact) for each in value]
    return value


# --- the file ------------------------------------------------------------------------------------


def refuse_place(place: Path | None) -> None:
    """Before any work: raise `Refused` where a report cannot or must not be written."""
    if place is None:
        return
    if str(place) == "-":
        raise UsageError("--report wants a file", hint="--json prints on stdout", code="bad-value")
    if os.path.lexists(place):
        raise Refused(f"{place} is there already", hint="name another file", code="file-exists")
    folder = place.absolute().parent
    try:
        usable = stat.S_ISDIR(folder.stat().st_mode) and os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        usable = False
    if not usable:
        raise Refused(
            f"{folder} is no folder that you may write to",
            hint="name a file in one that is there",
            code="not-writable",
        )


def write(
    place: Path,
    data: Mapping[str, Any],
    checks: Sequence[Check],
    versions: Mapping[str, object],
    machine: Mapping[str, Any],
    hide: Redactor,
) -> None:
    """Write the report, for this user alone. Raises `Refused` where a file has come there since."""
    refuse_place(place)
    files.write_atomic(place, text(data, checks, versions, machine, hide).encode())


def text(
    data: Mapping[str, Any],
    checks: Sequence[Check],
    versions: Mapping[str, object],
    machine: Mapping[str, Any],
    hide: Redactor,
) -> str:
    """The report: what was proven, with which versions, on which machine."""
    told = {
        "agentlaunch": __version__,
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        **{name: data[name] for name in ("agent", "model", "engine")},
        **versions,
    }
    lines = ["# agentlaunch prove", ""]
    lines += [f"- {name}: {_line(hide.private(str(value)))}" for name, value in told.items()]
    lines += ["", "## Checks"]
    for check in checks:
        lines += ["", f"### {check.name}: {check.status}", "", _line(hide.private(check.message))]
        if check.remedy:
            lines += ["", f"Remedy: {_line(hide.private(check.remedy))}"]
        if check.measured:
            lines += ["", *_fenced(_mapped(check.measured, hide.private))]
    lines += ["", "## Machine", "", *_fenced(_mapped(machine, hide.private))]
    return "\n".join(lines) + "\n"


def _fenced(value: Any) -> list[str]:
    """JSON has no line that begins with a fence, so nothing in it ends the block."""
    return ["```json", json.dumps(value, indent=1, default=str), "```"]


def _line(text: str) -> str:
    return " ".join(clean(text, limit=None).split())
