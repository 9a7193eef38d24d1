"""What an installer wrote before it failed becomes one line with its cause."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agentlaunch.settings import Paths
from managed_tool import TOOL, error_of

# Recorded from npm 11.19.
UNREACHABLE = """npm error code ENOTFOUND
npm error syscall getaddrinfo
npm error errno ENOTFOUND
npm error network request to http://nowhere.invalid/x failed, reason: getaddrinfo ENOTFOUND
npm error network This is a problem related to network connectivity.
npm error network In most cases you are behind a proxy or have bad network settings.
npm error network
npm error network If you are behind a proxy, please make sure that the 'proxy' config is set
npm error Log files were not written due to the config logs-max=0"""
REFUSED = """npm error code ECONNREFUSED
npm error syscall connect
npm error errno ECONNREFUSED
npm error FetchError: request to http://127.0.0.1:9/x failed, reason: connect ECONNREFUSED
npm error     at ClientRequest.<anonymous> (/usr/lib/index.js:130:14)
npm error   code: 'ECONNREFUSED',
npm error }
npm error
npm error If you are behind a proxy, please make sure that the 'proxy' config is set properly."""
NO_VERSION = """npm error code ETARGET
npm error notarget No matching version found for @scope/tool@1.2.3.
npm error notarget In most cases you or one of your dependencies are requesting a package version
npm error Log files were not written due to the config logs-max=0"""
NO_SPACE = """npm error code ENOSPC
npm error syscall write
npm error errno -28
npm error nospc ENOSPC: no space left on device, write"""
SCRIPT = """npm error code 1
npm error path /x/node_modules/@scope/tool
npm error command failed
npm error command sh -c node install.cjs
npm error Error: no binary for this platform"""


@pytest.mark.parametrize(
    ("written", "code", "why"),
    [
        (UNREACHABLE, "registry-unreachable", "request to http://nowhere.invalid/x failed"),
        (REFUSED, "registry-unreachable", "FetchError: request to http://127.0.0.1:9/x failed"),
        (NO_VERSION, "package-not-found", "(No matching version found for @scope/tool@1.2.3.)"),
        (NO_SPACE, "no-space", "not enough disk space for @scope/tool"),
        (SCRIPT, "install-failed", "Error: no binary for this platform"),
        ("npm error code EINTEGRITY", "hash-mismatch", "something else than what was published"),
        ("npm error code CERT_HAS_EXPIRED", "registry-tls", "secure connection"),
        ("", "install-failed", "it said nothing"),
    ],
)
def test_a_failure_of_npm_is_one_line_with_its_cause(
    paths: Paths, fake_npm: Callable[..., Path], written: str, code: str, why: str
) -> None:
    fake_npm(f"cat >&2 <<'END'\n{written}\nEND\nexit 1")
    error = error_of(TOOL, paths)
    assert (error.exit_code, error.code) == (1, code)
    assert why in error.message
    assert "proxy" not in error.message
    assert len(error.message) < 450
    assert error.hint
