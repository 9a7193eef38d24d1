"""How an Ollama is brought up to date, and what one that is too old lacks."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agentlaunch.endpoint import is_loopback
from agentlaunch.engines.ollama import life, wsl
from agentlaunch.engines.ollama.replies import FLOORS, parse_version

APP = "Ollama's menu: Restart to update (it downloads updates by itself)"


@dataclass(frozen=True, slots=True)
class Way:
    """One way of installation: a part of the program's real path, and how it is updated."""

    part: str
    how: str


WAYS: tuple[Way, ...] = (
    Way("/Cellar/", "brew upgrade ollama"),
    Way("/linuxbrew/", "brew upgrade ollama"),
    Way("/Ollama.app/", APP),
    Way("/nix/store/", "with nix, as it was installed"),
)
BY_SYSTEM: dict[str, str] = {
    "linux": "curl -fsSL https://ollama.com/install.sh | sh",
    "darwin": APP,
    "win32": "winget upgrade Ollama.Ollama",
}
"""Where the path tells nothing; the Linux script updates what it finds, its systemd service too
(Ollama 0.33: docs/faq.mdx, docs/linux.mdx)."""

ELSEWHERE = "on the machine where it runs, as it was installed there"

WITHOUT: dict[str, str] = {
    "security": "closes a known security hole (CVE-2026-7482)",
    "anthropic": "brings /v1/messages, the wire of Claude Code",
    "responses": "brings /v1/responses, the wire of Codex",
}
"""What a version from a floor of `FLOORS` on does; the other floors are our own matter."""


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that an old version does not have: the floor, its version, and it in words."""

    floor: str
    version: str
    text: str


def how(program: Path | None, platform: str = sys.platform) -> str:
    """What to type, or to do. `program` is the real path of the command, all links followed."""
    place = program.as_posix() if program is not None else ""
    for way in WAYS:
        if way.part in place:
            return way.how
    return BY_SYSTEM.get(platform, "https://ollama.com/download")


def how_at(url: str | None) -> str:
    """The same for the server that answers at `url`; None where the command alone is here."""
    if url is not None and not is_loopback(url):
        host = urlsplit(url).hostname
        return f"on Windows: {how(None, 'win32')}" if host in wsl.windows_addresses() else ELSEWHERE
    program = life.installed()
    try:
        return how(program.resolve() if program is not None else None)
    except (OSError, RuntimeError):
        return how(program)


def lacks(version: str | None) -> tuple[Lack, ...]:
    """What this version is too old for; nothing where the version is not known."""
    known = parse_version({"version": version})
    if known is None:
        return ()
    return tuple(
        Lack(floor, ".".join(map(str, FLOORS[floor])), text)
        for floor, text in WITHOUT.items()
        if not known.has(floor)
    )
