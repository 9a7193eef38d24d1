"""Where the Windows host is, seen from WSL2, and whether Ollama is installed there."""

from __future__ import annotations

import contextlib
import ipaddress
from pathlib import Path

HINT = (
    "Ollama on Windows listens for Windows alone: put networkingMode=mirrored below [wsl2] in "
    r"%USERPROFILE%\.wslconfig, then run: wsl.exe --shutdown"
)
"""Letting it listen on all addresses instead would open it to the whole network."""

_WINDOWS_PLACES = (
    "mnt/c/Users/*/AppData/Local/Programs/Ollama/ollama.exe",
    "mnt/c/Program Files/Ollama/ollama.exe",
)


def is_wsl(root: Path = Path("/")) -> bool:
    """Is this Linux a guest of Windows?"""
    return "microsoft" in _read(root / "proc/sys/kernel/osrelease").lower()


def windows_addresses(root: Path = Path("/")) -> tuple[str, ...]:
    """Where the Windows host may be reached from WSL2, none elsewhere: the default gateway, then
    the name server (which is the gateway on older systems)."""
    if not is_wsl(root):
        return ()
    found = (
        gateway_of(_read(root / "proc/net/route")),
        name_server_of(_read(root / "etc/resolv.conf")),
    )
    return tuple(dict.fromkeys(address for address in found if address is not None))


def windows_has_ollama(root: Path = Path("/")) -> bool:
    """Does Ollama lie where its Windows installer puts it? False where Windows is not mounted."""
    try:
        return any(next(root.glob(place), None) is not None for place in _WINDOWS_PLACES)
    except OSError:
        return False


def gateway_of(routes: str) -> str | None:
    """The default gateway from /proc/net/route, where addresses are little-endian hex."""
    for line in routes.splitlines()[1:]:
        words = line.split()
        if len(words) > 2 and words[1] == "00000000":
            with contextlib.suppress(ValueError, OverflowError):
                raw = int(words[2], 16).to_bytes(4, "little")
                return _private(str(ipaddress.IPv4Address(raw)))
    return None


def name_server_of(resolv: str) -> str | None:
    """The first name server of a resolv.conf, when it is a private address."""
    for line in resolv.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == "nameserver":
            return _private(words[1])
    return None


def _private(text: str) -> str | None:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return None
    near = address.is_private and not address.is_loopback and not address.is_link_local
    return text if near and not address.is_unspecified else None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
