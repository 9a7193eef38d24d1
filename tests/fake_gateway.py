"""A stand-in for LiteLLM's proxy, installed as ours would be: a small HTTP server with its words.

How it behaves is a file beside it, since the gateway's process gets nothing of our environment.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentlaunch import files, process
from agentlaunch.engines import llama_cpp_host
from agentlaunch.gateway import life
from agentlaunch.gateway.package import PACKAGE, VERSION
from agentlaunch.gateway.spec import Hop, Spec
from agentlaunch.managed.place import MANIFEST, root_of
from agentlaunch.settings import Paths

PROGRAM = """#!{python}
import http.server, json, os, sys, threading, time
from pathlib import Path

how = json.loads(Path({how!r}).read_text())
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
with open({starts!r}, "a") as file:
    file.write(json.dumps({{"argv": sys.argv[1:], "environ": dict(os.environ), "cwd": os.getcwd(),
                           "pid": os.getpid()}}) + "\\n")
print("\\x1b[1;37mLiteLLM: the banner\\x1b[0m", flush=True)
if how.get("dies"):
    print("Traceback (most recent call last):\\n  File x\\nValueError: " + how["dies"])
    print("\\x1b[1;31mGive Feedback\\x1b[0m")
    sys.exit(1)
if how.get("hangs"):
    time.sleep(60)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        right = self.headers.get("authorization") == "Bearer " + os.environ["AL_GATEWAY_KEY"]
        status = 200 if self.path == "/health/liveliness" else 204 if right else 400
        if how.get("silent_after") and Path(how["silent_after"]).exists():
            time.sleep(60)
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *words):
        pass


time.sleep(how.get("slow_s", 0))
try:
    server = http.server.ThreadingHTTPServer((words["--host"], int(words["--port"])), Handler)
except OSError as error:
    print("ERROR:    [Errno %d] while attempting to bind: address already in use" % error.errno)
    sys.exit(1)
server.serve_forever()
"""


@dataclass
class FakeGateway:
    """The installed stand-in, and everything that it noted of its starts."""

    paths: Paths
    started: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        root = root_of(PACKAGE, self.paths)
        (root / "bin").mkdir(parents=True)
        self.how_file, self._starts = root / "how.json", root / "starts.jsonl"
        program = root / "bin" / "litellm"
        program.write_text(
            PROGRAM.format(python=sys.executable, how=str(self.how_file), starts=str(self._starts))
        )
        program.chmod(0o755)
        (root / "bin" / "python").symlink_to(sys.executable)
        files.write_json(root / MANIFEST, {"version": VERSION})
        self.behave()

    def behave(self, **how: Any) -> None:
        """How it behaves from its next start on: `dies`, `hangs`, `slow_s`, `silent_after`."""
        self.how_file.write_text(json.dumps(how))

    @property
    def starts(self) -> list[dict[str, Any]]:
        """Arguments, environment, folder and number of each start."""
        if not self._starts.exists():
            return []
        return [json.loads(line) for line in self._starts.read_text().splitlines()]

    def end(self) -> None:
        """End every process that it became."""
        for row in self.starts:
            who = process.identity(row["pid"])
            if who is not None:
                process.end(who, grace_s=0.5)


def spec(*names: str, token: str = "sk-canary-hop", **more: Any) -> Spec:
    """A chain of the main work over servers of these names."""
    hops = (
        Hop(name, f"http://{name}.lan:8000", f"{name}-model", "vllm", 65_536, token=token)
        for name in names or ("hosted", "other")
    )
    return Spec({"main": tuple(hops)}, **more)


def lease_of(folder: Path, pid: int) -> Path:
    """A lease of another process, as its launch would have written it."""
    place = folder / "leases" / str(process.identity(pid))
    files.write_json(place, {"pid": pid, "mark": llama_cpp_host.start_mark(pid)})
    return place


def drop_own_lease(running: life.Running) -> None:
    """As if this process had ended."""
    (running.folder / "leases" / str(process.identity(os.getpid()))).unlink()
