"""Isolated environments that we own: npm prefixes and virtual environments, pinned and removable.

One folder per package and version under `paths.managed`. It is built in a folder beside its place
and moved there by one rename, so what lies there is whole; what a killed install leaves is swept by
the next one. Never global, never with rights that the user does not have.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentlaunch import files, process
from agentlaunch.errors import AgentlaunchError, NotSupported, Refused
from agentlaunch.progress import Progress, Work
from agentlaunch.settings import Paths

Kind = Literal["npm", "pypi"]
KINDS: tuple[Kind, ...] = ("npm", "pypi")

MANIFEST = "agentlaunch.json"
BUILDING = ".installing-"
REMOVING = ".removing-"

LOCK_WAIT_S = 1800.0
REPORT_S = 0.3
POLL_S = 0.05
BIN = "Scripts" if os.name == "nt" else "bin"


@dataclass(frozen=True, slots=True)
class Package:
    """A program that we can bring, pinned. `size_bytes` is what it takes when installed.

    A package with `hashes` (sha256 of every file that its version was published with) is installed
    without dependencies and from nothing else.
    """

    kind: Kind
    name: str
    version: str
    size_bytes: int
    download_bytes: int | None
    source: str
    """What a person is told before it is fetched: "npm: @scope/name 1.2.3"."""
    programs: tuple[tuple[str, str], ...]
    """Name of each program and its path inside the environment."""
    min_node: tuple[int, int] | None = None
    run_scripts: bool = False
    """Whether its own install script must run (npm); off unless it cannot work without."""
    hashes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Installed:
    """A folder of ours: a complete environment, or what a crash left of one."""

    kind: Kind
    name: str
    version: str
    path: Path
    size_bytes: int
    complete: bool


def installed(package: Package, paths: Paths) -> Path | None:
    """The root of the package's environment when it is complete, else None."""
    root = _root(package, paths)
    manifest = files.read_json(root / MANIFEST)
    if manifest is None or manifest.get("version") != package.version:
        return None
    whole = all((root / place).exists() for _name, place in package.programs)
    return root if whole else None


def program(package: Package, name: str, paths: Paths) -> Path | None:
    """One program of an installed package; raises `KeyError` for a name it never had."""
    place = dict(package.programs)[name]
    root = installed(package, paths)
    return None if root is None else root / place


def install(package: Package, paths: Paths, *, offline: bool = False) -> Work[Path]:
    """Bring a package, or find it there; gives the root of its environment.

    Two at once: the second waits, then finds what the first built. Raises `NotSupported` when
    offline, `AgentlaunchError` when npm or pip failed (with the last lines they wrote).
    """
    found = installed(package, paths)
    if found is not None:
        return found
    if offline:
        raise NotSupported(
            f"{package.name} {package.version} is not installed, and nothing is installed offline",
            hint="run the same command once without --offline",
            code="offline",
        )
    root = _root(package, paths)
    for folder in (paths.managed, root.parent, paths.cache, paths.logs):
        files.private_dir(folder)
    with contextlib.ExitStack() as held:
        lock = _lock(root.parent, root.name)
        yield from wait_for_lock(held, lock, what=f"installing {package.name}")
        found = installed(package, paths)
        if found is None:
            _sweep(root.parent, root.name)
            _check_disk(package, paths)
            yield from _build(package, paths, root)
    return root


def installed_all(paths: Paths) -> tuple[Installed, ...]:
    """Every environment of ours with its size, and the leftovers of crashed installs."""
    return tuple(
        entry
        for kind in KINDS
        for path in _folders(paths.managed / kind)
        for entry in (_describe(kind, path),)
    )


def remove(entry: Installed) -> None:
    """Remove an environment or a leftover; that nothing runs from it is the caller's concern.

    Raises `Refused` while an install of the same package runs.
    """
    folder = entry.path.parent
    key = _key_of(entry.path)
    with files.locked(_lock(folder, key), timeout_s=0.2, what=f"installing {entry.name}"):
        _end_orphan(entry.path)
        doomed = entry.path
        if not doomed.name.startswith((BUILDING, REMOVING)):
            doomed = Path(tempfile.mkdtemp(prefix=f"{REMOVING}{key}-", dir=folder)) / "env"
            entry.path.rename(doomed)
            doomed = doomed.parent
        try:
            shutil.rmtree(doomed)
        except OSError as error:
            raise AgentlaunchError(
                f"{entry.name} {entry.version} could not be removed: {error}",
                hint=f"remove the folder yourself: {doomed}",
                code="not-removed",
            ) from error


def wait_for_lock(
    held: contextlib.ExitStack, path: Path, *, what: str, timeout_s: float = LOCK_WAIT_S
) -> Work[None]:
    """Take a lock into `held`, saying so while another has it; `Refused` after `timeout_s`."""
    limit = time.monotonic() + timeout_s
    while True:
        try:
            held.enter_context(files.locked(path, timeout_s=0.2, what=what))
        except Refused as error:
            if error.code != "locked" or time.monotonic() > limit:
                raise
            yield Progress(f"waiting for another agentlaunch that is {what}")
        else:
            return


# --- places ------------------------------------------------------------------------------------


def _root(package: Package, paths: Paths) -> Path:
    key = f"{package.name.replace('/', '+')}@{package.version}"
    return paths.managed / package.kind / key


def _lock(folder: Path, key: str) -> Path:
    return folder / f".{key}.lock"


def _key_of(path: Path) -> str:
    """The environment's own folder name, also for a leftover of it."""
    for prefix in (BUILDING, REMOVING):
        if path.name.startswith(prefix):
            return path.name.removeprefix(prefix).rpartition("-")[0]
    return path.name


def _folders(folder: Path) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    yield from (path for path in entries if path.is_dir() and not path.is_symlink())


def _describe(kind: Kind, path: Path) -> Installed:
    name, _at, version = _key_of(path).rpartition("@")
    manifest = files.read_json(path / MANIFEST) or {}
    size = manifest.get("size_bytes")
    complete = path.name == _key_of(path) and manifest.get("version") == version
    return Installed(
        kind=kind,
        name=name.replace("+", "/"),
        version=version,
        path=path,
        size_bytes=size if complete and isinstance(size, int) else files.tree_bytes(path),
        complete=complete,
    )


# --- leftovers ---------------------------------------------------------------------------------


def _sweep(folder: Path, own_key: str) -> None:
    """Remove what killed installs left, ours (we hold its lock) and that of others not at work."""
    for path in _folders(folder):
        if not path.name.startswith((BUILDING, REMOVING)):
            continue
        key = _key_of(path)
        with contextlib.ExitStack() as held:
            if key != own_key:
                try:
                    held.enter_context(files.locked(_lock(folder, key), timeout_s=0, what=key))
                except Refused:
                    continue
            _end_orphan(path)
            shutil.rmtree(path, ignore_errors=True)


def _end_orphan(building: Path) -> None:
    """End the npm or pip that outlived its killed agentlaunch, before its folder goes."""
    note = files.read_json(building / "installer.json")
    if note is None:
        return
    try:
        who = process.Identity(int(note["pid"]), float(note["started"]))
    except (KeyError, TypeError, ValueError):
        return
    process.end(who, grace_s=2.0)


def _check_disk(package: Package, paths: Paths) -> None:
    need = int(package.size_bytes * 1.1) + 2 * (package.download_bytes or 0)
    free = files.disk_free_bytes(paths.managed)
    if free is not None and free < need:
        raise _no_space(package, paths, free)


def _no_space(package: Package, paths: Paths, free: int | None) -> AgentlaunchError:
    left = "" if free is None else f", {free / 1e6:,.0f} MB are free"
    return AgentlaunchError(
        f"not enough disk space for {package.name}: it takes {package.size_bytes / 1e6:,.0f} MB"
        f"{left} at {paths.managed}",
        hint="free some space (`agentlaunch clean` lists what we hold), then run it again",
        code="no-space",
    )


# --- building ----------------------------------------------------------------------------------


def _build(package: Package, paths: Paths, root: Path) -> Work[None]:
    """Build the environment beside its place and move it there; leaves nothing when it fails."""
    building = Path(tempfile.mkdtemp(prefix=f"{BUILDING}{root.name}-", dir=root.parent))
    env_root = building / "env"
    try:
        (building / "tmp").mkdir()
        if package.kind == "npm":
            yield from _npm(package, paths, building)
        else:
            yield from _pypi(package, paths, building, root)
        missing = [name for name, place in package.programs if not (env_root / place).exists()]
        if missing:
            raise AgentlaunchError(
                f"{package.source} was installed, but has no {', '.join(missing)} for this system",
                hint=f"see what was written: {_log(package, paths)}",
                code="install-incomplete",
            )
        manifest = {
            "kind": package.kind,
            "name": package.name,
            "version": package.version,
            "size_bytes": files.tree_bytes(env_root),
        }
        files.write_json(env_root / MANIFEST, manifest)
        if root.exists():  # damaged since: `installed` did not take it
            root.rename(building / "damaged")
        env_root.rename(root)
    except OSError as error:
        raise AgentlaunchError(
            f"{package.name} could not be installed: {error}", code="install-failed"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _log(package: Package, paths: Paths) -> Path:
    return paths.logs / f"install-{package.name.replace('/', '+')}.log"


def _npm(package: Package, paths: Paths, building: Path) -> Work[None]:
    npm = _find_npm(package)
    env_root = building / "env"
    env_root.mkdir()
    files.write_json(env_root / "package.json", {"private": True}, mode=0o644)
    argv = [
        str(npm),
        "install",
        f"{package.name}@{package.version}",
        f"--prefix={env_root}",
        "--global=false",
        "--save-exact",
        "--omit=dev",
        "--include=optional",
        f"--ignore-scripts={'false' if package.run_scripts else 'true'}",
    ]
    cache = paths.cache / "npm"
    yield from _run(package, paths, building, argv, _npm_env(cache, building), cache)


def _npm_env(cache: Path, building: Path) -> dict[str, str]:
    """The user's environment and npmrc (registry, proxy, certificates) with a cache of our own.

    What a surrounding `npm run` puts there would point npm at another project.
    """
    surrounding = ("npm_config_prefix", "npm_config_global", "npm_config_local", "npm_package_")
    env = {k: v for k, v in os.environ.items() if not k.lower().startswith(surrounding)}
    env |= {
        "npm_config_cache": str(cache),
        "npm_config_update_notifier": "false",
        "npm_config_audit": "false",
        "npm_config_fund": "false",
        "npm_config_loglevel": "error",
        "npm_config_logs_max": "0",
        "npm_config_progress": "false",
        "npm_config_color": "false",
        "TMPDIR": str(building / "tmp"),
    }
    return env


def _find_npm(package: Package) -> Path:
    """Npm, with a Node.js that is new enough for the package."""
    way_out = (
        "install Node.js (your system's package manager, or https://nodejs.org), "
        "then run the same command again"
    )
    floor = package.min_node or (18, 0)
    wanted = f"Node.js >= {floor[0]}" + (f".{floor[1]}" if floor[1] else "")
    node, npm = process.find_program("node"), process.find_program("npm")
    if node is None or npm is None:
        lacking = "Node.js was not found" if node is None else "its `npm` was not found"
        raise AgentlaunchError(
            f"{wanted} with npm is needed to install {package.name}, {lacking}",
            hint=way_out,
            code="node-missing",
        )
    said = process.run([str(node), "--version"], timeout_s=20).stdout.strip()
    numbers = said.removeprefix("v").split(".")[:2]
    found = tuple(int(n) for n in numbers) if all(n.isdecimal() for n in numbers) else ()
    if found and found < floor:
        version = ".".join(str(n) for n in found)
        raise AgentlaunchError(
            f"{wanted} is needed to install {package.name}, found {version} at {node}",
            hint=way_out,
            code="node-too-old",
        )
    return npm


def _pypi(package: Package, paths: Paths, building: Path, root: Path) -> Work[None]:
    env_root = building / "env"
    python = env_root / BIN / ("python.exe" if os.name == "nt" else "python")
    requirements = building / "requirements.txt"
    line = f"{package.name}=={package.version}"
    line += "".join(f" --hash=sha256:{digest}" for digest in package.hashes)
    files.write_atomic(requirements, line.encode() + b"\n")
    only = ["--only-binary=:all:", "-r", str(requirements)]
    if package.hashes:
        only = ["--no-deps", "--require-hashes", *only]

    uv = yield from _make_venv(package, paths, building)
    if uv is None:
        cache = paths.cache / "pip"
        argv = [str(python), "-I", "-m", "pip", "install", "--no-input", *only]
    else:
        cache = paths.cache / "uv"
        argv = [str(uv), "pip", "install", "--python", str(python), *only]
    yield from _run(package, paths, building, argv, _pip_env(paths, building), cache)
    _mend_scripts(env_root, root)


def _make_venv(package: Package, paths: Paths, building: Path) -> Work[Path | None]:
    """Make the virtual environment by this Python's `venv`, else by `uv`, whose path it gives."""
    env = _pip_env(paths, building)
    env_root = building / "env"
    own = [sys.executable, "-I", "-m", "venv", str(env_root)]
    cache = paths.cache / "pip"
    try:
        yield from _run(package, paths, building, own, env, cache)
    except AgentlaunchError as error:
        written = _tail(_log(package, paths))
        if not any(word in written for word in ("ensurepip", "No module named", "python3-venv")):
            raise
        uv = process.find_program("uv")
        if uv is None:
            raise AgentlaunchError(
                f"this Python ({sys.executable}) cannot make virtual environments",
                hint="install its `venv` (Debian, Ubuntu: `sudo apt install python3-venv`) "
                "or install uv, then run the same command again",
                code="venv-missing",
            ) from error
    else:
        return None
    shutil.rmtree(env_root, ignore_errors=True)
    by_uv = [str(uv), "venv", "--python", sys.executable, str(env_root)]
    yield from _run(package, paths, building, by_uv, env, cache)
    return uv


def _pip_env(paths: Paths, building: Path) -> dict[str, str]:
    """The user's environment and pip settings (index, proxy, certificates), our cache and place."""
    elsewhere = {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON", "VIRTUAL_ENV"}
    elsewhere |= {"PIP_REQUIRE_HASHES", "PIP_REQUIREMENT", "PIP_CONSTRAINT", "PIP_LOG"}
    env = {
        k: v
        for k, v in os.environ.items()
        if k.upper() not in elsewhere and k not in {"PYTHONPATH", "PYTHONHOME"}
    }
    env |= {
        "PIP_CACHE_DIR": str(paths.cache / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_PROGRESS_BAR": "off",
        "UV_CACHE_DIR": str(paths.cache / "uv"),
        "UV_NO_PROGRESS": "1",
        # pip asks `rustc` for its version; rustup's stand-in would leave a folder in the home
        "RUSTUP_HOME": os.environ.get("RUSTUP_HOME") or str(building / "tmp" / "rustup"),
        "TMPDIR": str(building / "tmp"),
    }
    return env


def _mend_scripts(built_at: Path, root: Path) -> None:
    """Console scripts name their Python by its absolute path: point them at the final place."""
    for script in (built_at / BIN).iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        text = script.read_bytes()
        if text.startswith(b"#!") and os.fsencode(built_at) in text:
            mode = script.stat().st_mode & 0o777
            text = text.replace(os.fsencode(built_at), os.fsencode(root))
            files.write_atomic(script, text, mode=mode)


# --- running the installers --------------------------------------------------------------------


def _run(
    package: Package,
    paths: Paths,
    building: Path,
    argv: list[str],
    env: Mapping[str, str],
    cache: Path,
) -> Generator[Progress, None, None]:
    """Run one installer to its end; its output goes to a log, its failure becomes our error.

    npm and pip say nothing usable about their progress, so it is read off the disk.
    """
    log = _log(package, paths)
    log.unlink(missing_ok=True)
    before = files.tree_bytes(cache)
    child = process.Background(argv, log=log, env=env, cwd=building)
    who = process.identity(child.pid)
    try:
        if who is not None:
            note = {"pid": who.pid, "started": who.started}
            files.write_json(building / "installer.json", note)
        report_at = 0.0
        while child.poll() is None:
            if time.monotonic() >= report_at:
                yield _report(package, building, files.tree_bytes(cache) - before)
                report_at = time.monotonic() + REPORT_S
            time.sleep(POLL_S)
    finally:
        if child.poll() is None:
            child.kill()
    if child.poll() != 0:
        raise _install_error(package, paths)


def _report(package: Package, building: Path, cached_bytes: int) -> Progress:
    total = package.size_bytes + (package.download_bytes or 0)
    done = files.tree_bytes(building) + max(0, cached_bytes)
    return Progress(f"installing {package.name} {package.version}", min(done, total), total)


_UNREACHABLE = (
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "ENETUNREACH",
    "ERR_SOCKET_TIMEOUT",
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "Name or service not known",
    "Cannot connect to proxy",
    "ConnectTimeoutError",
    "Read timed out",
    "Connection refused",
    "error sending request",
    "dns error",
)
_NO_SPACE = ("ENOSPC", "No space left on device", "Disk quota exceeded", "EDQUOT")
_NOT_THERE = ("E404", "ETARGET", "No matching distribution", "no solution found")
_TLS = ("SELF_SIGNED_CERT", "UNABLE_TO_", "CERT_", "CERTIFICATE_VERIFY_FAILED", "invalid peer cert")
_DENIED = ("E401", "E403", "401 Error", "403 Error", "EACCES")


def _install_error(package: Package, paths: Paths) -> AgentlaunchError:
    """One line of what went wrong, in order of what explains the rest."""
    log = _log(package, paths)
    text = _tail(log)
    registry = "npm registry" if package.kind == "npm" else "Python package index"
    what = f"{package.name} {package.version} could not be installed"
    why = _last_words(text)
    if any(word in text for word in _NO_SPACE):
        return _no_space(package, paths, files.disk_free_bytes(paths.managed))
    if "DO NOT MATCH THE HASHES" in text or "ash mismatch" in text or "EINTEGRITY" in text:
        return AgentlaunchError(
            f"{what}: the {registry} delivered something else than what was published",
            hint=f"nothing was installed; see {log}",
            code="hash-mismatch",
        )
    if any(word in text for word in _TLS):
        return AgentlaunchError(
            f"{what}: the secure connection to the {registry} failed ({why})",
            hint="behind a company proxy set its certificate for npm (`cafile`) or pip (`cert`)",
            code="registry-tls",
        )
    if any(word in text for word in _UNREACHABLE):
        return AgentlaunchError(
            f"{what}: the {registry} could not be reached ({why})",
            hint="check the network and the proxy settings, then run the same command again",
            code="registry-unreachable",
        )
    if any(word in text for word in _NOT_THERE):
        return AgentlaunchError(
            f"{what}: the {registry} has no such version for this system ({why})",
            hint=f"see {log}",
            code="package-not-found",
        )
    if any(word in text for word in _DENIED):
        return AgentlaunchError(
            f"{what}: access was refused ({why})", hint=f"see {log}", code="registry-denied"
        )
    return AgentlaunchError(f"{what}: {why}", hint=f"see {log}", code="install-failed")


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - 16_384))
            return stream.read().decode("utf-8", "replace")
    except OSError:
        return ""


_NOISE = re.compile(
    r"(code|syscall|errno|path|command failed) ?|Log files|A complete log|In most cases|If you are"
    r"|This is a problem|[{}]"
)


def _last_words(text: str) -> str:
    """What a person can use of an installer's output, as one line (npm 11 and pip 23 seen)."""
    lines: list[str] = []
    for raw in text.splitlines():
        line = re.sub(r"^(npm (error|ERR!)|ERROR:|error:) ?", "", raw)
        line = re.sub(r"^(network|notarget|404) ", "", line)
        is_detail = line.startswith((" ", "\t")) or _NOISE.match(line)
        if line.strip() and not is_detail and line not in lines:
            lines.append(line.strip())
    pip_errors = [line[6:].strip() for line in text.splitlines() if line.startswith("ERROR:")]
    chosen = pip_errors[-1:] or (lines if len(lines) < 3 else [lines[0], lines[-1]])
    said = "; ".join(chosen) or "it said nothing"
    return said if len(said) <= 300 else said[:297] + "..."
