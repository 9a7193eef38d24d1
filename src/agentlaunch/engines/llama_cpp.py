"""The embedded engine: llama.cpp's server from PyPI, one shared background process per model.

This side finds, starts, reads back and stops; the process itself is `llama_cpp_host`. Everything
that the two agree on lies in the user's runtime folder: state file, lock and leases.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentlaunch import files, managed, process, web
from agentlaunch.endpoint import Endpoint, Wire
from agentlaunch.engines import llama_cpp_host as host
from agentlaunch.engines import llama_cpp_prefixes as prefixes
from agentlaunch.engines.base import EngineState, Loaded, Served, ServeRequest
from agentlaunch.engines.llama_cpp_faults import last_line, less_context, load_error
from agentlaunch.engines.llama_cpp_package import PACKAGE, VERSION
from agentlaunch.errors import AgentlaunchError, EngineFailed, NotSupported, Refused
from agentlaunch.progress import Progress, Work
from agentlaunch.settings import Paths
from agentlaunch.units import plural

__all__ = ["PACKAGE", "VERSION", "WIRES", "LlamaCpp", "Running", "Timing"]

WIRES: tuple[Wire, ...] = ("anthropic_messages", "openai_responses", "openai_chat")

FOLDER = "engines"
"""Below the runtime folder: state files, leases and locks of these processes."""

RESTORE_S = 120.0
"""A prefix of some GB from a slow disk."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things may last, in seconds; tests make it short."""

    idle_s: float = 900.0
    """The process ends so long after the last request or session."""
    sleep_s: int = 300
    """It frees its memory so long after the last request, and wakes by itself."""
    awake_s: float = 1800.0
    """It does not sleep under a living session before it has been without work for so long."""
    watch_s: float = 5.0
    load_s: float = 1800.0
    answer_s: float = 15.0
    """How long a running process may take to say that it is well."""


@dataclass(frozen=True, slots=True)
class Running:
    """One background process of ours that runs, with what it said about itself just now."""

    key: str
    identity: process.Identity
    endpoint: Endpoint
    model: str
    path: Path
    context_tokens: int
    kv_cache_type: str
    version: str
    log: Path
    answers: bool
    asleep: bool | None
    sessions: int


@dataclass(frozen=True, slots=True)
class Former:
    """The address of a process that died under living sessions."""

    port: int
    token: str = field(repr=False)


class LlamaCpp:
    """The embedded engine. Its package must be installed first (`managed.install(PACKAGE, …)`)."""

    name = "embedded"

    def __init__(
        self, paths: Paths, timing: Timing | None = None, keep: prefixes.Keep | None = None
    ) -> None:
        self._paths = paths
        self._keep = keep if keep is not None and keep.limit_bytes > 0 else None
        self._timing = timing or Timing()
        self._folder = paths.runtime / FOLDER

    # --- looking ---------------------------------------------------------------------------

    def states(self) -> tuple[EngineState, ...]:
        """One row for each process, or one that says whether the engine is installed."""
        rows = tuple(_row(self.name, found) for found in self.running())
        if rows:
            return rows
        there = managed.installed(PACKAGE, self._paths) is not None
        return (
            EngineState(
                name=self.name,
                state="installed" if there else "missing",
                version=VERSION if there else None,
                url=None,
                wires=WIRES,
            ),
        )

    def running(self) -> tuple[Running, ...]:
        """The living processes; stale and unreadable state files are passed over."""
        if not (files.is_own(self._paths.runtime) and files.is_own(self._folder)):
            return ()  # who else wrote there could name any process and any address
        keys = sorted(path.stem for path in self._folder.glob("*.json"))
        return tuple(found for key in keys if (found := self._look(key, answer_s=1.0)) is not None)

    def logs(self, key: str) -> Path:
        """Where the newest log of a process lies (older ones: `.1`, `.2` behind the name)."""
        return self._paths.logs / f"engine-{key}.log"

    def key(self, request: ServeRequest) -> str:
        """The name of the process that serves this: same weights, context, cache, package, place,
        and the same sampling and thinking, which are fixed at its start.

        Raises `AgentlaunchError` when the weights are not a readable `.gguf` file.
        """
        import hashlib

        weights = _weights(request)
        identity: list[object] = [_file_identity(weights), request.context_tokens]
        identity.append(request.kv_cache_type)
        if request.projector is not None:
            identity.append(_file_identity(request.projector))
        if request.tuning.parameters or request.tuning.thinking_off:
            identity.append([request.tuning.parameters, request.tuning.thinking_off])
        identity += [PACKAGE.version, str(self._paths.data)]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]

    # --- serving ---------------------------------------------------------------------------

    def serve(self, request: ServeRequest) -> Work[Served]:
        """Start a process for this model, or share the one that runs; the context is read back.

        The calling process gets a lease, which stays valid when it becomes the agent. The caller
        clamps `context_tokens` to what the model was trained for. Raises `MachineCannot` when
        memory is short, `EngineFailed` when less context was allocated, nothing answers or one
        that others use hangs, `AgentlaunchError` for weights that cannot be loaded.
        """
        if os.name == "nt":
            raise NotSupported(
                "the embedded engine does not run on Windows yet",
                hint="install Ollama (https://ollama.com), then run the same command again",
            )
        key = self.key(request)
        if request.kv_cache_type not in host.CACHE_TYPES:
            raise NotSupported(
                f"the embedded engine has no cache type {request.kv_cache_type!r}",
                hint="use one of " + ", ".join(host.CACHE_TYPES),
            )
        files.private_tree(self._paths.runtime, self._folder)
        files.private_dir(self._paths.logs)
        with contextlib.ExitStack() as held:
            lock = self._folder / f"{key}.lock"
            yield from managed.wait_for_lock(held, lock, what=f"loading {request.model}")
            found = self._look(key, answer_s=self._timing.answer_s)
            reused = found is not None and found.answers
            if found is None or not found.answers:
                self._refuse_in_use(found)
                former = self._former(key)
                self._sweep(key, found)
                found = yield from self._start(key, request, former)
            restored = 0
            keeps = self._keep is not None and self._prefix(key).is_file()
            if keeps and (not reused or found.asleep):
                # Where it is awake it may hold something better, which would be lost.
                yield Progress(f"restoring what {request.model} had read")
                tokens = self._restore(key, found.endpoint)
                if tokens is None:  # it hangs or aborted over the file: once more, without
                    prefixes.remove(self._prefix(key))
                    former = self._former(key)
                    self._sweep(key, found)
                    found = yield from self._start(key, request, former)
                restored = tokens or 0
            self.take_lease(key, _own_identity())
            props = _props(found.endpoint, self._timing.answer_s)
        return Served(
            engine=self.name,
            endpoint=Endpoint(found.endpoint.base_url, WIRES, request.model, found.endpoint.token),
            context_tokens=_context(props),
            version=found.version,
            reused=reused,
            sessions=self._sessions(key, but=os.getpid()),
            tools=_tools(props),
            restored_tokens=restored,
        )

    def take_lease(self, key: str, owner: process.Identity) -> None:
        """Keep the process alive as long as `owner` runs."""
        mark = host.start_mark(owner.pid)
        if mark is not None and process.is_alive(owner):
            folder = files.private_dir(self._folder / f"{key}.leases")
            lease: dict[str, object] = {"pid": owner.pid, "mark": mark}
            if self._keep is not None:
                lease["prefix"] = self._keep.name
            files.write_json(folder / str(owner), lease)

    def drop_lease(self, key: str) -> None:
        """End this process's own session; the process behind `key` goes on as it did."""
        (self._folder / f"{key}.leases" / str(_own_identity())).unlink(missing_ok=True)

    def stop(self, key: str, *, force: bool = False, wait_s: float = 5.0) -> bool:
        """End a process; False when it did not run. `Refused` while sessions use it, and while a
        launch has held its lock for `wait_s` seconds."""
        lock = self._folder / f"{key}.lock"
        with files.locked(lock, timeout_s=wait_s, what="starting this engine"):
            found = self._look(key, answer_s=0.0)
            sessions = self._sessions(key)
            if found is not None and sessions and not force:
                raise Refused(
                    f"{found.model} is in use by {plural(sessions, 'running session')}",
                    hint="end them first, or: agentlaunch engines stop --force",
                    code="in-use",
                )
            self._sweep(key, found)
            shutil.rmtree(self._folder / f"{key}.leases", ignore_errors=True)
        return found is not None

    # --- the state file --------------------------------------------------------------------

    def _look(self, key: str, *, answer_s: float) -> Running | None:
        """The living process behind a state file, or None: absent, stale or unreadable."""
        state = files.read_json(self._folder / f"{key}.json")
        if state is None:
            return None
        try:
            pid, mark = int(state["pid"]), str(state["mark"])
            if pid <= 0 or host.start_mark(pid) != mark:
                return None
            identity = process.identity(pid)
            url = f"http://127.0.0.1:{int(state['port'])}"
            endpoint = Endpoint(url, WIRES, str(state["model"]), str(state["token"]))
            context_tokens = int(state["context_tokens"])
            path, version = Path(state["path"]), str(state["version"])
            kv_cache_type = str(state["kv_cache_type"])
        except (KeyError, TypeError, ValueError):
            return None
        if identity is None:
            return None
        props = _props(endpoint, answer_s)
        if not props and not process.is_alive(identity):  # it was dying when it was asked
            return None
        served = _context(props)
        asleep = props.get("is_sleeping") if props else None
        return Running(
            key=key,
            identity=identity,
            endpoint=endpoint,
            model=endpoint.model,
            path=path,
            context_tokens=context_tokens,
            kv_cache_type=kv_cache_type,
            version=version,
            log=self.logs(key),
            answers=served is not None and served >= context_tokens,
            asleep=asleep if isinstance(asleep, bool) else None,
            sessions=self._sessions(key),
        )

    def _refuse_in_use(self, found: Running | None) -> None:
        """A process that hangs may only be slow: it is not ended under others' sessions."""
        sessions = self._sessions(found.key, but=os.getpid()) if found is not None else 0
        if found is not None and sessions:
            raise EngineFailed(
                f"the engine with {found.model} does not answer and is in use by "
                f"{plural(sessions, 'running session')}",
                hint="try again, or end it under them: agentlaunch engines stop --force",
                code="engine-hangs",
            )

    def _sweep(self, key: str, found: Running | None) -> None:
        """Remove a stale state file; end the process behind it when that still runs."""
        if found is not None and not process.end(found.identity):
            raise EngineFailed(
                f"the engine process {found.identity.pid} does not end",
                hint=f"kill -9 {found.identity.pid}",
            )
        (self._folder / f"{key}.json").unlink(missing_ok=True)

    def _sessions(self, key: str, *, but: int | None = None) -> int:
        living = host.living_leases(self._folder / f"{key}.leases")
        return sum(1 for pid, _mark in living if pid != but)

    def _prefix(self, key: str) -> Path:
        """Where the prefix of this session is kept."""
        assert self._keep is not None
        return prefixes.file_of(self._paths.cache / prefixes.FOLDER, key, self._keep.name)

    def _restore(self, key: str, endpoint: Endpoint) -> int | None:
        """Tokens that the engine holds again: 0 where nothing sound is saved or the engine refuses
        it, None where it gave no answer."""
        path = self._prefix(key)
        if prefixes.sound(path) is None:
            return 0
        try:
            reply = web.request(
                "POST",
                f"{endpoint.base_url}/slots/0?action=restore",
                json_body={"filename": path.name},
                headers={"Authorization": f"Bearer {endpoint.token}"},
                deadline_s=RESTORE_S,
            )
            if reply.status != 200:
                return 0
            tokens = int(reply.json()["n_restored"])
            os.utime(path)  # the oldest go first
        except web.WebFault:
            return None
        except (OSError, KeyError, TypeError, ValueError):
            return 0
        return tokens

    def _prefixes(self, key: str) -> dict[str, object] | None:
        """What the process needs to save prefixes; None where they are not kept."""
        if self._keep is None:
            return None
        folder = self._prefix(key).parent
        files.private_tree(self._paths.cache, folder)
        return {
            "folder": str(folder),
            "limit_bytes": self._keep.limit_bytes,
            "awake_s": self._timing.awake_s,
        }

    # --- starting --------------------------------------------------------------------------

    def _former(self, key: str) -> Former | None:
        """Where a process was that died under sessions which still live: the next one takes its
        place, so that their agents, which try again, find it."""
        state = files.read_json(self._folder / f"{key}.json") or {}
        port, token = state.get("port"), state.get("token")
        if (
            self._sessions(key, but=os.getpid())
            and isinstance(port, int)
            and isinstance(token, str)
        ):
            return Former(port, token)
        return None

    def _start(self, key: str, request: ServeRequest, former: Former | None) -> Work[Running]:
        """Start the background process and wait until it serves; leaves none when that fails."""
        python = managed.program(PACKAGE, "python", self._paths)
        if python is None:
            raise EngineFailed(
                "the embedded engine is not installed",
                hint="`agentlaunch up` installs it after asking",
                code="engine-missing",
            )
        yield from self._make_room()
        log = self.logs(key)
        _rotate(log)
        config = self._config(key, request, former)
        child = process.Background(
            [str(python), "-I", str(Path(host.__file__).resolve()), "start", str(os.getpid())],
            log=log,
            env=_environment(),
            stdin=json.dumps(config).encode(),
            cwd=self._folder,
        )
        try:
            yield from self._wait(child, request, log)
            found = self._look(key, answer_s=self._timing.answer_s)
            if found is None:
                raise EngineFailed(
                    "the embedded engine ended right after its start", hint=f"see {log}"
                )
            if not found.answers:
                got = _context(_props(found.endpoint, self._timing.answer_s))
                raise less_context(request, got, log)
        except BaseException:
            if child.poll() is None:
                child.kill()
            late = self._look(key, answer_s=0.0)
            if late is not None:
                process.end(late.identity, grace_s=2.0)
            (self._folder / f"{key}.json").unlink(missing_ok=True)
            raise
        return found

    def _make_room(self) -> Work[None]:
        """End our processes that no session uses: their memory is what the next one may need.

        The lock of another is not waited for (two launches could wait for each other): who has
        it is about to use that process.
        """
        for found in self.running():
            if not found.sessions:
                yield Progress(f"stopping {found.model}, which no session uses")
                with contextlib.suppress(Refused, EngineFailed):
                    self.stop(found.key, wait_s=0.0)

    def _wait(self, child: process.Background, request: ServeRequest, log: Path) -> Work[None]:
        size = _weights(request).stat().st_size
        started = time.monotonic()
        report_at = 0.0
        while (code := child.poll()) is None:
            now = time.monotonic()
            if now - started > self._timing.load_s:
                raise EngineFailed(
                    f"{request.model} was not loaded within {self._timing.load_s:g} s",
                    hint=f"see {log}",
                    code="load-timeout",
                )
            if now >= report_at:
                yield Progress(f"loading {request.model}", None, size, last_line(log))
                report_at = now + 0.3
            time.sleep(0.03)
        if code != 0:
            raise load_error(code, request, log)

    def _config(self, key: str, request: ServeRequest, former: Former | None) -> dict[str, Any]:
        import secrets

        weights = str(_weights(request))
        token = former.token if former is not None else secrets.token_urlsafe(32)
        about = {
            "schema": "agentlaunch/engine/1",
            "token": token,
            "model": request.model,
            "path": weights,
            "context_tokens": request.context_tokens,
            "kv_cache_type": request.kv_cache_type,
            "version": PACKAGE.version,
            "log": str(self.logs(key)),
        }
        return {
            "state": about,
            "token": token,
            "model": request.model,
            "path": weights,
            "port": former.port if former is not None else 0,
            "projector": str(request.projector) if request.projector else None,
            "context_tokens": request.context_tokens,
            "kv_cache_type": request.kv_cache_type,
            "sampling": request.tuning.parameters,
            "thinking_off": request.tuning.thinking_off,
            "sleep_s": self._timing.sleep_s,
            "idle_s": self._timing.idle_s,
            "watch_s": self._timing.watch_s,
            "state_file": str(self._folder / f"{key}.json"),
            "leases": str(self._folder / f"{key}.leases"),
            "lock": str(self._folder / f"{key}.lock"),
            "prefixes": self._prefixes(key),
        }


def _row(name: str, found: Running) -> EngineState:
    size = process.memory_bytes(found.identity.pid)  # main memory; it tells nothing of the GPU's
    loaded = Loaded(found.model, found.context_tokens, size, None, found.kv_cache_type, found.path)
    return EngineState(
        name=name,
        state="asleep" if found.asleep else "running",
        version=found.version,
        url=found.endpoint.base_url,
        wires=WIRES,
        loaded=(loaded,),
        detail=None if found.answers else "does not answer",
        pid=found.identity.pid,
        sessions=found.sessions,
    )


def _own_identity() -> process.Identity:
    own = process.identity(os.getpid())
    if own is None:  # a process always sees itself; for the type checker
        raise EngineFailed("this process cannot see itself")
    return own


# --- what the server says --------------------------------------------------------------------


def _props(endpoint: Endpoint, answer_s: float) -> dict[str, Any]:
    """Its `/props`, {} when it gives none in time; asking neither wakes it nor keeps it awake."""
    limit = time.monotonic() + answer_s
    while True:
        with contextlib.suppress(web.WebFault):
            reply = web.request(
                "GET",
                f"{endpoint.base_url}/props",
                headers={"Authorization": f"Bearer {endpoint.token}"},
                deadline_s=max(0.5, min(5.0, answer_s)),
            )
            value = reply.json() if reply.status == 200 else None
            if isinstance(value, dict):
                return value
            if reply.status in {401, 403}:
                return {}
        if time.monotonic() >= limit:
            return {}
        time.sleep(0.1)


def _context(props: dict[str, Any]) -> int | None:
    settings = props.get("default_generation_settings")
    value = settings.get("n_ctx") if isinstance(settings, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _tools(props: dict[str, Any]) -> bool | None:
    caps = props.get("chat_template_caps")
    value = caps.get("supports_tools") if isinstance(caps, dict) else None
    return value if isinstance(value, bool) else None


# --- weights ---------------------------------------------------------------------------------


def _weights(request: ServeRequest) -> Path:
    if request.path is None:
        raise EngineFailed(
            f"the embedded engine loads files, and {request.model} has none here",
            hint=f"agentlaunch models pull {request.model}",
        )
    path = request.path.resolve()
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise AgentlaunchError(
            f"{path} cannot be read: {error.strerror}", code="model-unreadable"
        ) from error
    if start != b"GGUF":
        raise AgentlaunchError(
            f"{path} is not a .gguf model",
            hint="name another file, or a model: agentlaunch models list",
            code="broken-gguf",
        )
    return path


def _file_identity(path: Path) -> list[str | int]:
    status = path.stat()
    return [str(path.resolve()), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns]


# --- the process -----------------------------------------------------------------------------

_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "TZ", "USER", "LD_LIBRARY_PATH")
_KEPT_BEGINNINGS = ("LC_", "XDG_", "GGML_", "OMP_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "MTL_")


def _environment() -> dict[str, str]:
    """What the process needs of our environment; keys and tokens of the user are not among it."""
    return {k: v for k, v in os.environ.items() if k in _KEPT or k.startswith(_KEPT_BEGINNINGS)}


def _rotate(log: Path) -> None:
    """Keep the logs of the last two processes beside the new one."""
    for old, new in ((".1", ".2"), ("", ".1")):
        with contextlib.suppress(OSError):
            log.with_name(log.name + old).replace(log.with_name(log.name + new))
