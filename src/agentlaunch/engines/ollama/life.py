"""Where Ollama is, and how it comes to run: found, started and left running, or how to install."""

from __future__ import annotations

import contextlib
import ipaddress
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agentlaunch import files, process
from agentlaunch.endpoint import is_loopback
from agentlaunch.engines import ollama_host
from agentlaunch.engines.base import EngineState, Loaded
from agentlaunch.engines.ollama.client import KEY_VARIABLE, Client
from agentlaunch.engines.ollama.replies import Version
from agentlaunch.errors import AgentlaunchError, EngineFailed
from agentlaunch.progress import Progress, Work
from agentlaunch.settings import Paths

NAME = "ollama"
START_S = 30.0

HOW_TO_INSTALL: Mapping[str, str] = {
    "linux": "curl -fsSL https://ollama.com/install.sh | sh",
    "darwin": "download it from https://ollama.com/download (or: brew install ollama)",
    "windows": "winget install Ollama.Ollama",
}
"""By the names of `Machine.os`; from Ollama's own download page, 2026."""

KNOWN_PLACES: tuple[Path, ...] = (
    Path("/usr/local/bin/ollama"),
    Path("/opt/homebrew/bin/ollama"),
    Path("/Applications/Ollama.app/Contents/Resources/ollama"),
)

WSL_HINT = "Ollama on Windows must listen on all addresses: there, set OLLAMA_HOST=0.0.0.0"

_KEPT = frozenset(
    {
        "PATH", "HOME", "LANG", "TMPDIR", "TZ", "USER", "LD_LIBRARY_PATH", "HTTP_PROXY",
        "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE",
        "SSL_CERT_DIR", "SYSTEMROOT", "LOCALAPPDATA", "APPDATA", "USERPROFILE", "TEMP", "TMP",
    }
)  # fmt: skip
_KEPT_BEGINNINGS = (
    "OLLAMA_", "LLAMA_ARG_", "LC_", "XDG_", "GGML_", "OMP_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_",
    "HSA_", "GPU_", "MTL_",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """A server that answers."""

    client: Client
    version: Version
    on_windows_host: bool = False


def client_of(environ: Mapping[str, str]) -> Client:
    """The server that `OLLAMA_HOST` names, with the key of `AGENTLAUNCH_ENGINE_KEY` where it is
    not this machine's own."""
    url = ollama_host.connectable(ollama_host.parse(environ.get("OLLAMA_HOST")))
    key = "" if is_loopback(url) else environ.get(KEY_VARIABLE, "")
    return Client(url, key)


def find(environ: Mapping[str, str], *, root: Path = Path("/")) -> Found:
    """The server that answers: as `OLLAMA_HOST` says, else in WSL2 the one on the Windows host.

    Raises what `Client.version` raises. `root` is where /etc and /proc lie.
    """
    client = client_of(environ)
    try:
        return Found(client, client.version())
    except EngineFailed as error:
        if error.code != "engine-unreachable" or environ.get("OLLAMA_HOST"):
            raise
        for address in windows_addresses(root):
            other = Client(f"http://{address}:{ollama_host.DEFAULT_PORT}")
            with contextlib.suppress(AgentlaunchError):
                return Found(other, other.version(deadline_s=1.0), on_windows_host=True)
        raise


def state(environ: Mapping[str, str], *, root: Path = Path("/")) -> EngineState:
    """One row of `agentlaunch engines`; never raises."""
    try:
        found = find(environ, root=root)
    except AgentlaunchError as error:
        there = process.find_program("ollama", KNOWN_PLACES) is not None
        away = getattr(error, "code", "") == "engine-unreachable"
        detail = None if away else error.message
        return EngineState(NAME, "installed" if there else "missing", None, None, (), detail=detail)
    loaded: tuple[Loaded, ...] = ()
    detail = None
    try:
        loaded = found.client.loaded()
    except AgentlaunchError as error:
        detail = error.message
    local = is_loopback(found.client.url) or found.on_windows_host
    return EngineState(
        name=NAME,
        state="running" if local else "remote",
        version=found.version.text,
        url=found.client.url,
        wires=found.version.wires,
        loaded=loaded,
        detail=detail,
    )


def log_path(paths: Paths) -> Path:
    """Where the log of a server that we started lies."""
    return paths.logs / "engine-ollama.log"


def start(environ: Mapping[str, str], paths: Paths, *, limit_s: float = START_S) -> Work[Found]:
    """Start `ollama serve`, wait until it answers, leave it running; one that runs is used.

    It listens on loopback even where `OLLAMA_HOST` says every address. Raises `EngineFailed`:
    `engine-missing` with how to install it, `engine-remote` when the address is another machine's,
    `not-ollama` when another program has the port, `engine-died`, `start-timeout`.
    """
    files.private_tree(paths.state, paths.logs)
    lock = paths.logs / "engine-ollama.lock"
    with files.locked(lock, timeout_s=limit_s, what="starting Ollama"):
        try:
            return find(environ)
        except EngineFailed as error:
            if error.code != "engine-unreachable":
                raise
        client = client_of(environ)
        if not is_loopback(client.url):
            raise EngineFailed(
                f"Ollama at {client.url} does not answer, and it is not on this machine",
                hint="start it there, or unset OLLAMA_HOST",
                code="engine-remote",
            )
        program = process.find_program("ollama", KNOWN_PLACES)
        if program is None:
            raise EngineFailed(
                "Ollama is not installed", hint=how_to_install(), code="engine-missing"
            )
        log = log_path(paths)
        _rotate(log)
        child = process.Background(
            [str(program), "serve"],
            log=log,
            env={**_kept(environ), "OLLAMA_HOST": urlsplit(client.url).netloc},
        )
        try:
            version = yield from _wait(child, client, log, limit_s)
        except BaseException:
            if child.poll() is None:
                child.kill()
            raise
    return Found(client, version)


def _wait(child: process.Background, client: Client, log: Path, limit_s: float) -> Work[Version]:
    limit = time.monotonic() + limit_s
    while True:
        yield Progress("starting Ollama")
        with contextlib.suppress(EngineFailed):
            return client.version(deadline_s=1.0)
        if child.poll() is not None:
            raise EngineFailed(
                "Ollama ended right after its start", hint=f"see {log}", code="engine-died"
            )
        if time.monotonic() > limit:
            raise EngineFailed(
                f"Ollama did not answer within {limit_s:g} s of its start",
                hint=f"see {log}",
                code="start-timeout",
            )
        time.sleep(0.1)


def how_to_install(platform: str = sys.platform) -> str:
    """What to type on this system."""
    name = "windows" if platform.startswith("win") else platform
    return HOW_TO_INSTALL.get(name, "see https://ollama.com/download")


# --- WSL2 ------------------------------------------------------------------------------------


def windows_addresses(root: Path = Path("/")) -> tuple[str, ...]:
    """Where the Windows host may be reached from WSL2, none elsewhere: the default gateway, then
    the name server (which is the gateway on older systems)."""
    if "microsoft" not in _read(root / "proc/sys/kernel/osrelease").lower():
        return ()
    found = (
        gateway_of(_read(root / "proc/net/route")),
        name_server_of(_read(root / "etc/resolv.conf")),
    )
    return tuple(dict.fromkeys(address for address in found if address is not None))


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


def _kept(environ: Mapping[str, str]) -> dict[str, str]:
    """What the server needs of our environment; keys and tokens of the user are not among it."""
    return {k: v for k, v in environ.items() if k in _KEPT or k.startswith(_KEPT_BEGINNINGS)}


def _rotate(log: Path) -> None:
    with contextlib.suppress(OSError):
        log.replace(log.with_name(log.name + ".1"))
