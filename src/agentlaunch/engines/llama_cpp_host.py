"""The background process that holds llama.cpp's server: stands alone, run by the managed Python.

It reads its configuration as JSON on stdin (so that the token is in no argument list), loads the
model, writes the state file when it listens, and ends by itself when nobody needs it any more. It
imports nothing of agentlaunch: only the standard library and xllamacpp (seen: 2026.10.11549).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

LOAD_FAILED = 3
PORT_TRIES = 20
PORT_WAIT_S = 0.1
ENGINE_MISSING = 4
SERVER_DIED = 5
ASK_S = 60
"""How long an answer to us may take: a save waits for the request at work."""

MOST_CACHE_MIB = 8192
LEAST_CACHE_MIB = 256

CACHE_TYPES = {
    "f16": "GGML_TYPE_F16",
    "bf16": "GGML_TYPE_BF16",
    "q8_0": "GGML_TYPE_Q8_0",
    "q4_0": "GGML_TYPE_Q4_0",
}


SAMPLING_NAMES = {
    "temperature": "temp",
    "presence_penalty": "penalty_present",
    "repeat_penalty": "penalty_repeat",
}
"""The world's names → llama.cpp's, where they differ."""


def main() -> None:
    """Start the holder as an orphan and wait until it serves; our status says whether it does.

    The holder must not be a child of the agent that agentlaunch becomes: whoever ends an agent
    with its whole process tree would end the shared engine too.
    """
    task, number = sys.argv[1], int(sys.argv[2])
    if task == "hold":
        hold(json.load(sys.stdin), ready=number)
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    child = os.fork()
    if child == 0:  # exec: on macOS a mere fork could not use Metal
        own = [sys.executable, "-I", str(Path(__file__).resolve()), "hold", str(write_end)]
        os.execv(sys.executable, own)
    os.close(write_end)
    while not select.select([read_end], [], [], 0.3)[0]:
        if os.getppid() != number:  # the launch was killed: nobody waits for this model
            os.kill(child, signal.SIGKILL)
            os._exit(1)
    if os.read(read_end, 1):
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os._exit(code if code >= 0 else 128 - code)


def hold(config: dict[str, Any], *, ready: int) -> NoReturn:
    """Load, announce, watch; never returns."""
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    server = load(config)
    port = int(server.listening_address.rpartition(":")[2])
    state = {**config["state"], "pid": os.getpid(), "mark": start_mark(os.getpid()), "port": port}
    state_file = Path(config["state_file"])
    signal.signal(signal.SIGTERM, _raise_exit)
    try:
        write_private(state_file, json.dumps(state).encode())
        os.write(ready, b"1")
        os.close(ready)
        ended = watch(config, port)
        say(ended)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if owner_of(state_file) == os.getpid():
            state_file.unlink(missing_ok=True)
        sys.stderr.flush()
        os._exit(0)  # the server's own destructor would wait for the request at work


def _raise_exit(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(0)


def say(text: str) -> None:
    """One line into the log, which is our stderr."""
    sys.stderr.write(f"agentlaunch: {text}\n")
    sys.stderr.flush()


# --- loading -----------------------------------------------------------------------------------


def load(config: dict[str, Any]) -> Any:
    """Load the model and listen; ends the process with `LOAD_FAILED` when that fails.

    Why it failed is in the log: llama.cpp writes it there before it gives up.
    """
    try:
        import xllamacpp
    except ImportError as error:
        say(f"the engine is not installed here: {error}")
        sys.exit(ENGINE_MISSING)
    params = xllamacpp.CommonParams()
    params.model.path = config["path"]
    params.model_alias = {config["model"]}
    if config["projector"]:
        params.mmproj.path = config["projector"]
    params.n_ctx = config["context_tokens"]
    params.n_parallel = 1
    kind = getattr(xllamacpp.ggml_type, CACHE_TYPES[config["kv_cache_type"]])
    params.cache_type_k = params.cache_type_v = kind
    flash = xllamacpp.llama_flash_attn_type
    if config["kv_cache_type"] not in {"f16", "bf16"}:  # a quantized cache needs it
        params.flash_attn_type = flash.LLAMA_FLASH_ATTN_TYPE_ENABLED
    for name, value in config["sampling"].items():  # what a request does not say itself
        setattr(params.sampling, SAMPLING_NAMES.get(name, name), value)
    if config["thinking_off"]:  # its /v1/messages does not hear `thinking: disabled`
        params.enable_reasoning = 0
    params.hostnames = ["127.0.0.1"]
    params.port = config["port"] if is_free(config["port"]) else 0
    params.api_keys = [config["token"]]
    params.cors_origins = ""  # the default lets every web page read our answers
    params.ui = False
    params.endpoint_metrics = True
    params.sleep_idle_seconds = config["sleep_s"]
    params.cache_ram_mib = cache_mib(Path(config["path"]).stat().st_size)
    if config["prefixes"]:
        params.slot_save_path = config["prefixes"]["folder"] + "/"
    try:
        return xllamacpp.Server(params)
    except (RuntimeError, ValueError, OSError, MemoryError) as error:
        say(f"the model could not be loaded: {error}")
        sys.exit(LOAD_FAILED)


def cache_mib(weights_bytes: int) -> int:
    """Room for saved prompts (MiB): a quarter of what the weights leave, or none."""
    free = free_ram_bytes()
    if free is None:
        return LEAST_CACHE_MIB
    mib = (free - weights_bytes) // 4 >> 20
    return 0 if mib < LEAST_CACHE_MIB else min(mib, MOST_CACHE_MIB)


def free_ram_bytes() -> int | None:
    """Memory that can be had now, within a container's limit; half of all where that is unknown."""
    frees: list[int] = []
    with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        frees.append(int(available.split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        frees.append(limit - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    if not frees:
        with contextlib.suppress(OSError, ValueError):
            frees.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    return min(frees) if frees else None


# --- watching ----------------------------------------------------------------------------------


def is_free(port: int) -> bool:
    """Whether the port of a process that died can be had again; 0 is any port.

    A killed process needs a moment to give its port back (seen: some tenths of a second).
    """
    import socket

    for _ in range(PORT_TRIES):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(PORT_WAIT_S)
        else:
            return True
    return False


def watch(config: dict[str, Any], port: int) -> str:
    """Come back with the reason when nobody needs the server any more.

    It is needed while a lease lives, and for `idle_s` seconds after the last lease or request.
    """
    leases = Leases(Path(config["leases"]))
    state_file = Path(config["state_file"])
    used_at, last_counts = time.monotonic(), ""
    keeper = keeper_of(config, port)
    while True:
        time.sleep(config["watch_s"])
        counts = activity(port, config["token"])
        if keeper is not None:
            keeper.look(counts, alive=leases.alive())
        if counts != last_counts or leases.alive():
            used_at, last_counts = time.monotonic(), counts
        owner = owner_of(state_file)
        if owner != os.getpid() and (owner is not None or not leases.alive()):
            return "ended: the state file is not ours any more"
        if time.monotonic() - used_at < config["idle_s"]:
            continue
        with try_lock(Path(config["lock"])) as held:  # a launch may be about to use us
            if held and not leases.alive():
                state_file.unlink(missing_ok=True)
                shutil.rmtree(config["leases"], ignore_errors=True)
                return f"ended: idle for {config['idle_s']:g} s and no session lives"


def keeper_of(config: dict[str, Any], port: int) -> Any:
    """What saves prefixes, where they are kept: a file beside this one, which is no package."""
    import importlib.util

    name = "llama_cpp_prefixes"
    beside = Path(__file__).resolve().with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, beside)
    if not config["prefixes"] or spec is None or spec.loader is None:
        return None
    sys.modules[name] = prefixes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prefixes)

    def send(method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any] | None:
        return asked(port, config["token"], method, path, body)

    return prefixes.Keeper(config["prefixes"], Path(config["leases"]), send, say)


def asked(
    port: int, token: str, method: str, path: str, body: dict[str, Any] | None
) -> dict[str, Any] | None:
    """The server's answer to one request of ours (a list under "slots"); None when it has none."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ASK_S)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, json.dumps(body) if body else None, headers)
        reply = connection.getresponse()
        answer = json.loads(reply.read())
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        return None
    finally:
        connection.close()
    if reply.status != 200:
        return None
    return answer if isinstance(answer, dict) else {"slots": answer}


def activity(port: int, token: str) -> str:
    """The server's counters as one text: different whenever it did or does something.

    `/metrics` neither wakes a sleeping server nor keeps it awake (`/slots` does). A server that is
    deep in a prompt answers late: that is activity.
    """
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
        text = connection.getresponse().read(1 << 20).decode("utf-8", "replace")
    except ConnectionRefusedError:
        say("the server does not listen any more")
        os._exit(SERVER_DIED)
    except (OSError, http.client.HTTPException):
        return f"busy {time.monotonic()}"
    finally:
        connection.close()
    names = ("prompt_tokens_total", "tokens_predicted_total", "n_decode_total")
    counts = [line for line in text.splitlines() if line.startswith("llamacpp:")]
    busy = [c for c in counts if "requests_" in c and not c.endswith(" 0")]
    if busy:
        return f"busy {time.monotonic()}"
    return "\n".join(c for c in counts if c.split(" ")[0].removeprefix("llamacpp:") in names)


class Leases:
    """The sessions that use the server: one small file each, named after its process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last: list[tuple[int, str]] = []

    def alive(self) -> bool:
        """Does a session live? Files of dead ones are removed.

        A runtime folder may vanish at logout while sessions go on: then what we last knew counts.
        """
        if self._folder.is_dir():
            self._last = list(living_leases(self._folder))
        return any(start_mark(pid) == mark for pid, mark in self._last)


def living_leases(folder: Path) -> Iterator[tuple[int, str]]:
    """Number and start mark of each living process with a lease; dead ones' files are removed."""
    with contextlib.suppress(OSError):
        for path in list(folder.iterdir()):
            if path.name.startswith("."):
                continue  # being written
            try:
                lease = json.loads(path.read_bytes())
                pid, mark = int(lease["pid"]), str(lease["mark"])
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                pid, mark = 0, ""
            if pid > 0 and start_mark(pid) == mark:
                yield pid, mark
            else:
                path.unlink(missing_ok=True)


def start_mark(pid: int) -> str | None:
    """When a process started, as a text that a later process of the same number cannot have.

    None when it does not run (a zombie does not). Unlike a time since the epoch it does not move
    when the clock is set.
    """
    if sys.platform == "linux":
        try:
            fields = (
                Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            )
        except OSError:
            return None
        return None if fields[0] in {"Z", "X"} else fields[19]
    import subprocess

    done = subprocess.run(  # `ps` of macOS and the BSDs: state, then the start in a fixed form
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C", "TZ": "UTC0"},
    )
    status, _, started = done.stdout.strip().partition(" ")
    return started.strip() if started and not status.startswith("Z") else None


# --- files -------------------------------------------------------------------------------------


def owner_of(state_file: Path) -> int | None:
    """Number of the process that wrote the state file; None when there is no readable one."""
    try:
        return int(json.loads(state_file.read_bytes())["pid"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def write_private(path: Path, data: bytes) -> None:
    """Write a whole file that only this user can read, or none."""
    handle, name = tempfile.mkstemp(prefix=".agentlaunch-", dir=path.parent)
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(name, path)  # noqa: PTH105 - the system call is the point


@contextlib.contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """The lock that launches take (`flock`, as filelock does), if nobody has it now."""
    import fcntl

    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:  # the folder is gone, so no launch can be using it
        yield True
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
    finally:
        os.close(handle)


if __name__ == "__main__":
    main()
