"""llama.cpp's own server with the small real model, as somebody else's server would run."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import small_model
from agentlaunch import managed
from agentlaunch.engines import llama_cpp
from places import CACHE

LLAMA_SERVER = """
import json, sys, time, xllamacpp
wanted = json.loads(sys.stdin.read())
params = xllamacpp.CommonParams()
params.model.path = wanted["path"]
params.model_alias = {"small"}
params.n_ctx = wanted["n_ctx"]
params.n_parallel = wanted["slots"]
params.port = 0
params.cpuparams.n_threads = 2
if wanted["key"]:
    params.api_keys = [wanted["key"]]
if wanted["template"]:
    params.chat_template = wanted["template"]
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.close()
time.sleep(3600)
"""


@dataclass(frozen=True)
class RealServer:
    """One that listens."""

    url: str
    child: subprocess.Popen[str]

    def kill(self) -> None:
        """As a machine that loses power: nothing is said, nothing listens."""
        self.child.kill()
        self.child.wait()


@contextlib.contextmanager
def llama_server(
    *, n_ctx: int = 4_096, slots: int = 1, key: str = "", template: str = ""
) -> Iterator[RealServer]:
    """Started by the managed package, on a free port; killed at the end."""
    paths = small_model.engine_paths(CACHE / "servers")
    folder = managed.installed(llama_cpp.PACKAGE, paths)
    assert folder is not None
    python = folder / "bin" / "python"
    wanted = {"path": str(small_model.small_model()), "n_ctx": n_ctx, "slots": slots,
              "key": key, "template": template}  # fmt: skip
    child = subprocess.Popen(
        [str(python), "-I", "-c", LLAMA_SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(wanted))
        child.stdin.close()
        address = child.stdout.readline().strip()
        assert address, "the server did not start"
        yield RealServer(address.replace("0.0.0.0", "127.0.0.1"), child)
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()
