"""A `kubectl` on PATH that gives a recorded answer and keeps how it was called."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

NO_CLUSTER = (
    'E1123 05:20:18.965925   20832 memcache.go:265] "Unhandled Error" err="couldn\'t get current '
    'server API group list: Get \\"http://localhost:8080/api?timeout=5s\\": dial tcp '
    '127.0.0.1:8080: connect: connection refused"\n'
    "The connection to the server localhost:8080 was refused - did you specify the right host or "
    "port?\n"
)
NO_LOGIN = (
    "error: You must be logged in to the server (the server has asked for the client to provide "
    "credentials)\n"
)
FORBIDDEN = (
    'Error from server (Forbidden): pods is forbidden: User "ann" cannot list resource "pods" in '
    'API group "" in the namespace "ml"\n'
)
TOO_SLOW = (
    "Unable to connect to the server: context deadline exceeded (Client.Timeout exceeded while "
    "awaiting headers)\n"
)
NO_CONTEXT = "Error in configuration: context was not found for specified context: prod\n"
NO_PLUGIN = (
    'E1123 08:56:16.311683   16309 memcache.go:265] "Unhandled Error" err=<\n'
    '\tcouldn\'t get current server API group list: Get "https://127.0.0.1:1/api?timeout=5s": '
    "getting credentials: exec: executable gke-gcloud-auth-plugin not found\n >\n"
    "Unable to connect to the server: getting credentials: exec: executable "
    "gke-gcloud-auth-plugin not found\n\n"
    "It looks like you are trying to use a client-go credential plugin that is not installed.\n\n"
    "To learn more about this feature, consult the documentation available at:\n"
    "      https://kubernetes.io/docs/reference/access-authn-authz/authentication/"
    "#client-go-credential-plugins\n"
)
"""What kubectl 1.32.4 said, status 1 each (seen)."""


@dataclass(frozen=True, slots=True)
class FakeKubectl:
    """`folder` is to be the first of PATH."""

    folder: Path

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of every call."""
        kept = self.folder / "calls"
        return (
            [shlex.split(line) for line in kept.read_text().splitlines()] if kept.exists() else []
        )


def install(folder: Path, *, stdout: str = "", stderr: str = "", rc: int = 0) -> FakeKubectl:
    """Write the program into a folder."""
    folder.mkdir(exist_ok=True)
    (folder / "out").write_text(stdout)
    (folder / "err").write_text(stderr)
    here = shlex.quote(str(folder))
    program = folder / "kubectl"
    program.write_text(
        "#!/bin/sh\n"
        f'for word; do printf "\'%s\' " "$word"; done >> {here}/calls; echo >> {here}/calls\n'
        f"cat {here}/out; cat {here}/err >&2; exit {rc}\n"
    )
    program.chmod(0o755)
    return FakeKubectl(folder)
