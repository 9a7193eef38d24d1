"""The package that the gateway is: LiteLLM's proxy from PyPI, pinned, of free software alone."""

from __future__ import annotations

from agentlaunch.managed import Package
from agentlaunch.managed.pypi import BIN, PYTHON

VERSION = "1.106.2"

PROXY = (
    "apscheduler>=3.11.2,<4.0",
    "backoff>=2.2.1,<3.0",
    "boto3>=1.43.1,<2.0",
    "cryptography>=49.0.0,<51.0",
    "expression>=5.6.0,<6.0",
    "fastapi>=0.136.3,<1.0",
    "fastapi-sso>=0.19.0,<1.0",
    "httpx2>=2.5.0,<3",
    "litellm-proxy-extras==0.4.108",
    "mcp>=2.2.0,<3",
    "orjson>=3.11.6,<4.0",
    "pydantic>=2.12.0,<3",
    "pyjwt>=2.13.0,<3.0",
    "pynacl>=1.6.2,<2.0",
    "python-multipart>=0.0.27,<1.0",
    "pyyaml>=6.0.3,<7.0",
    "restrictedpython>=8.5,<9.0",
    "rich>=13.9.4,<14.0",
    "rq>=2.7.0,<3.0",
    "soundfile>=0.12.1,<1.0",
    "starlette>=1.0.1,<2.0",
    "tomlkit>=0.13.3,<1.0",
    "uvicorn>=0.33.0,<1.0",
    'uvloop>=0.22.1,<1.0; sys_platform != "win32"',
    "websockets>=15.0.1,<16.0",
)
"""What its extra `proxy` asks for (metadata of 1.106.2) without `LEFT_OUT`: the extra itself cannot
be had without those."""

LEFT_OUT = (
    "litellm-enterprise",  # proprietary (`LicenseRef-Proprietary`); all else is free software
    "azure-identity",
    "azure-storage-blob",
    "granian",
    "gunicorn",
    "hiredis",
    "inquirerpy",
    "polars",
    "pyroscope-io",
)
"""What the proxy starts and answers without (1.106.2, run)."""

PACKAGE = Package(
    kind="pypi",
    name="litellm",
    version=VERSION,
    size_bytes=460_000_000,
    download_bytes=114_000_000,
    source=f"PyPI: litellm {VERSION} (proxy)",
    programs=(("litellm", f"{BIN}/litellm"), ("python", PYTHON)),
    extra=PROXY,
    python=">=3.10,<3.15",
)
