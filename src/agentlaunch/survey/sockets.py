"""Which addresses of this machine a port is open on, asked of the system and not of a variable."""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

_LISTENING = "0A"
_CONNECT_S = 0.3
_ELSEWHERE = "192.0.2.1"
"""An address of nobody (RFC 5737): asking for the way to it sends nothing."""


def open_addresses(port: int, *, root: Path = Path("/")) -> tuple[str, ...]:
    """The addresses beyond loopback on which something here listens at this port.

    On Linux all of them, from /proc/net below `root` (which tells every user); elsewhere this
    machine's own address where it takes a connection, since other programs' sockets are not shown
    to everyone there.
    """
    files = [root / "proc/net/tcp", root / "proc/net/tcp6"]
    if any(file.exists() for file in files):
        found = {address for file in files for address in listeners(_read(file), port)}
        return tuple(sorted(str(address) for address in found if not _is_loopback(address)))
    own = own_address()
    return (own,) if own is not None and _takes(own, port) else ()


def listeners(table: str, port: int) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses of the listening rows of /proc/net/tcp or tcp6 at this port; they stand there
    in hex, each four bytes of them in the machine's own order."""
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) < 4 or words[3] != _LISTENING:
            continue
        address, _, shown = words[1].partition(":")
        try:
            raw, at = bytes.fromhex(address), int(shown, 16)
            if at == port:
                yield ipaddress.ip_address(_network_order(raw))
        except ValueError:
            continue


def _network_order(raw: bytes) -> bytes:
    if sys.byteorder == "big":
        return raw
    return b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))


def own_address() -> str | None:
    """The address by which this machine is known to its network; None without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        try:
            way.connect((_ELSEWHERE, 9))
            found = str(way.getsockname()[0])
        except OSError:
            return None
    return None if _is_loopback(ipaddress.ip_address(found)) else found


def _is_loopback(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _takes(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=_CONNECT_S):
            return True
    except OSError:
        return False


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
