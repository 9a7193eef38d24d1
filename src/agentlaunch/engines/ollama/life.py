"""Where Ollama is, and how it comes to run: found, started and left running, or how to install."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agentlaunch import files, process, web
from agentlaunch.endpoint import is_loopback
from agentlaunch.engines import ollama_host
from agentlaunch.engines.base import EngineState, Loaded, StateName
from agentlaunch.engines.ollama import wsl
from agentlaunch.engines.ollama.client import Client
from agentlaunch.engines.ollama.facts import NAME
from agentlaunch.engines.ollama.faults import unreachable
from agentlaunch.engines.ollama.replies import Version
from agentlaunch.errors import AgentlaunchError, EngineFailed
from agentlaunch.keys import KEY_VARIABLE
from agentlaunch.progress import Progress, Work
from agentlaunch.settings import Paths

START_S = 30.0

HOW_TO_INSTALL: Mapping[str, str] = {
    "linux": "curl -fsSL https://ollama.com/install.sh | sh",
    "darwin": "download it from https://ollama.com/download (or: brew install ollama)",
    "windows": "winget install Ollama.Ollama",
}
"""By the names of `Machine.os`; from Ollama's own download page, 2026."""


KNOWN_PLACES: tuple[str, ...] = (
    "/usr/local/bin/ollama",
    "/usr/bin/ollama",
    "/opt/homebrew/bin/ollama",
    "/Applications/Ollama.app/Contents/Resources/ollama",
    "~/Applications/Ollama.app/Contents/Resources/ollama",
    "%LOCALAPPDATA%/Programs/Ollama/ollama.exe",
)
"""Where installers put the command when PATH does not name it (Ollama 0.33: cmd/start_*.go,
scripts/install.sh). The desktop app beside it is never started: `ollama serve` is enough."""

SERVICE = "etc/systemd/system/ollama.service"
"""What the Linux installer makes; that server has a user, and a store, of its own."""


def known_places(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The known places here; those below a home or a folder that nobody names are left out."""
    folders = {"~": environ.get("HOME", ""), "%LOCALAPPDATA%": environ.get("LOCALAPPDATA", "")}
    found = []
    for place in KNOWN_PLACES:
        start, _, rest = place.partition("/")
        if start not in folders:
            found.append(Path(place))
        elif folders[start]:
            found.append(Path(folders[start], rest))
    return tuple(found)


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


def client_of(environ: Mapping[str, str], *, keyed: bool = False) -> Client:
    """The server that `OLLAMA_HOST` names; `keyed` with the key of `AGENTLAUNCH_ENGINE_KEY` where
    it is not this machine's own: only for a host that has the user's word."""
    url = ollama_host.connectable(ollama_host.parse(environ.get("OLLAMA_HOST")))
    key = environ.get(KEY_VARIABLE, "").strip() if keyed and not is_loopback(url) else ""
    return Client(url, key)


def listens(url: str) -> bool:
    """Does anything take connections there? Asked of the system alone, with no HTTP: within 0.3 s
    on this machine, 1 s elsewhere. False too for an address that is none."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        limit_s = 0.3 if is_loopback(url) else 1.0
        with socket.create_connection((parts.hostname or "", port), timeout=limit_s):
            return True
    except (OSError, ValueError):
        return False


def find(environ: Mapping[str, str], *, root: Path = Path("/"), keyed: bool = False) -> Found:
    """The server that answers: as `OLLAMA_HOST` says, else in WSL2 the one on the Windows host.
    `keyed` as in `client_of`.

    Raises what `Client.version` raises, and `engine-on-windows` where only Windows has an Ollama
    and it cannot be reached from here. `root` is where /etc and /proc lie.
    """
    client = client_of(environ, keyed=keyed)
    try:
        return Found(client, _version(client))
    except EngineFailed as error:
        if error.code != "engine-unreachable" or environ.get("OLLAMA_HOST"):
            raise
        for address in wsl.windows_addresses(root):
            other = Client(f"http://{address}:{ollama_host.DEFAULT_PORT}")
            if listens(other.url):
                with contextlib.suppress(AgentlaunchError):
                    return Found(other, other.version(deadline_s=1.0), on_windows_host=True)
        if wsl.is_wsl(root) and wsl.windows_has_ollama(root) and installed() is None:
            raise EngineFailed(
                "Ollama is installed on Windows, but WSL cannot reach it",
                hint=wsl.HINT,
                code="engine-on-windows",
            ) from error
        raise


def _version(client: Client) -> Version:
    # Another machine may be behind a proxy, which only the HTTP library knows.
    if client.is_local and not listens(client.url):
        fault = web.WebFault("refused", f"nothing answers at {urlsplit(client.url).netloc}")
        raise unreachable(client.url, fault)
    return client.version()


def installed() -> Path | None:
    """The `ollama` command here, or None."""
    return process.find_program("ollama", known_places(os.environ))


def stopped_service(environ: Mapping[str, str], *, root: Path = Path("/")) -> bool:
    """Is Ollama a service of this system? One that we start ourselves would see another store, and
    take the service's port. Not asked where OLLAMA_HOST names an address of its own."""
    running = (root / "run/systemd/system").is_dir()
    return running and (root / SERVICE).is_file() and not environ.get("OLLAMA_HOST")


def state(environ: Mapping[str, str], *, root: Path = Path("/")) -> EngineState:
    """One row of `agentlaunch engines`; never raises."""
    try:
        found = find(environ, root=root)
    except AgentlaunchError as error:
        away = error.code == "engine-unreachable"
        detail = None if away else error.message
        there: StateName = "missing" if installed() is None else "installed"
        return EngineState(NAME, there, None, None, (), detail=detail)
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
    `engine-missing` with how to install it, `engine-remote` when the address is another machine's
    or a proxy's, `not-ollama` when another program has the port, `engine-died`, `start-timeout`.
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
        _check_startable(client)
        program = installed()
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


def _check_startable(client: Client) -> None:
    """Could a server that we start answer at just this address?"""
    parts = urlsplit(client.url)
    if not is_loopback(client.url):
        raise EngineFailed(
            f"Ollama at {client.url} does not answer, and it is not on this machine",
            hint="start it there, or unset OLLAMA_HOST",
            code="engine-remote",
        )
    if parts.scheme != "http" or parts.path or not parts.port:
        raise EngineFailed(
            f"nothing answers at {client.url}, and `ollama serve` cannot be started just there",
            hint="set OLLAMA_HOST to HOST:PORT, or unset it",
            code="engine-remote",
        )
    if listens(client.url):
        raise EngineFailed(
            f"something has the port of {client.url}, but it does not answer as Ollama does",
            hint="end that program, or set OLLAMA_HOST to a free port",
            code="not-ollama",
        )


def _wait(child: process.Background, client: Client, log: Path, limit_s: float) -> Work[Version]:
    limit = time.monotonic() + limit_s
    while True:
        yield Progress("starting Ollama")
        if listens(client.url):
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


def _kept(environ: Mapping[str, str]) -> dict[str, str]:
    """What the server needs of our environment; keys and tokens of the user are not among it."""
    return {k: v for k, v in environ.items() if k in _KEPT or k.startswith(_KEPT_BEGINNINGS)}


def _rotate(log: Path) -> None:
    with contextlib.suppress(OSError):
        log.replace(log.with_name(log.name + ".1"))
