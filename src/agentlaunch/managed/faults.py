"""Why an installer failed: one line of fact and a way out, from what it wrote."""

from __future__ import annotations

import re

from agentlaunch import files
from agentlaunch.errors import AgentlaunchError
from agentlaunch.managed.package import Package, log_path
from agentlaunch.settings import Paths

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


def no_space(package: Package, paths: Paths) -> AgentlaunchError:
    """What it takes and what is free."""
    free = files.disk_free_bytes(paths.managed)
    left = "" if free is None else f", {free / 1e6:,.0f} MB are free"
    return AgentlaunchError(
        f"not enough disk space for {package.name}: it takes {package.size_bytes / 1e6:,.0f} MB"
        f"{left} at {paths.managed}",
        hint="free some space (`agentlaunch clean` lists what we hold), then run it again",
        code="no-space",
    )


def install_error(package: Package, paths: Paths) -> AgentlaunchError:
    """One line of what went wrong, in order of what explains the rest."""
    log = log_path(package, paths)
    text = files.tail(log)
    registry = "npm registry" if package.kind == "npm" else "Python package index"
    what = f"{package.name} {package.version} could not be installed"
    why = _last_words(text)
    if any(word in text for word in _NO_SPACE):
        return no_space(package, paths)
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
