"""Where the Windows host is, seen from WSL2, and whether Ollama is installed there."""

from __future__ import annotations

import contextlib
import ipaddress
from pathlib import Path

from agentlaunch import process

HINT = (
    "Ollama on Windows listens for Windows alone: put networkingMode=mirrored below [wsl2] in "
    r"%USERPROFILE%\.wslconfig, then run: wsl.exe --shutdown"
)
"""Letting it listen on all addresses instead would open it to the whole network."""

_NAT = ipaddress.IPv4Network("172.16.0.0/12")
_ASK_S = 2.0
_WINDOWS_PLACES = (
    "mnt/c/Users/*/AppData/Local/Programs/Ollama/ollama.exe",
    "mnt/c/Program Files/Ollama/ollama.exe",
)


def is_wsl(root: Path = Path("/")) -> bool:
    """Is this Linux a guest of Windows?"""
    return "microsoft" in _read(root / "proc/sys/kernel/osrelease").lower()


def windows_addresses(root: Path = Path("/")) -> tuple[str, ...]:
    """Where the Windows host may be reached from WSL2, none elsewhere: the default gateway, then
    the name server (which is the gateway on older systems).

    Only behind WSL's own NAT: with mirrored or bridged networking the gateway is the router of
    whatever network this is, which nobody has reason to trust.
    """
    if not is_wsl(root):
        return ()
    gateway = gateway_of(_read(root / "proc/net/route"))
    if not _is_nat(root, gateway):
        return ()
    found = (gateway, name_server_of(_read(root / "etc/resolv.conf")))
    return tuple(dict.fromkeys(address for address in found if address is not None))


def _is_nat(root: Path, gateway: str | None) -> bool:
    """By what WSL itself says; where it is too old to say it, by the range that its NAT takes."""
    program = root / "usr/bin/wslinfo"
    if program.is_file():
        try:
            said = process.run([str(program), "--networking-mode"], timeout_s=_ASK_S)
        except (process.ToolNotFound, process.ToolTimeout):
            return False
        return said.rc == 0 and said.stdout.strip().lower() == "nat"
    return gateway is not None and ipaddress.IPv4Address(gateway) in _NAT


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
