"""The package that the gateway is: LiteLLM's proxy from PyPI, pinned."""

from __future__ import annotations

from agentlaunch.managed import Package
from agentlaunch.managed.pypi import BIN, PYTHON

VERSION = "1.106.2"

PACKAGE = Package(
    kind="pypi",
    name="litellm[proxy]",
    version=VERSION,
    size_bytes=576_000_000,
    download_bytes=None,
    source=f"PyPI: litellm {VERSION} (proxy)",
    programs=(("litellm", f"{BIN}/litellm"), ("python", PYTHON)),
)
