"""What every agent needs of its surroundings: proxies bypassed, stale variables gone. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from agentlaunch.agents.keys import PROVIDER_KEYS
from agentlaunch.endpoint import Endpoint

DUMMY_TOKEN = "agentlaunch"  # noqa: S105 - sent to engines that want none, on purpose
"""Always sent: without a token of ours an agent may send the user's own login (seen)."""

PATIENCE_S = 30 * 60
"""A CPU reads the first prompt for minutes; agents' own limits are 5 and 10 minutes."""

PATIENCE_FACTOR = 3
"""A promise is an estimate, and a conversation grows: an agent waits this many times as long."""

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")

MCP_RUNS: tuple[str, ...] = tuple(
    f"mcpServers.*.{key}"
    for key in ("command", "headersHelper", "httpUrl", "serverUrl", "tcp", "url")
)
"""Of an MCP server that a project names: a command, or a server that is asked at once, with what
stands in the user's variables in its headers (seen: Claude Code, Copilot, Qwen, Droid)."""

CODE_VARIABLES: tuple[str, ...] = (
    "[Pp][Aa][Tt][Hh]", "PATHEXT", "HOME", "XDG_*", "ZDOTDIR", "*SHELL*", "*BASH*", "COMSPEC",
    "ComSpec", "ENV", "IFS", "PS4", "PROMPT_COMMAND", "*ASKPASS", "*EDITOR", "*PAGER", "BROWSER",
    "LESS*", "GIT_*", "SSH_*", "LD_*", "DYLD_*", "GCONV_PATH", "OPENSSL_*", "RIPGREP_*",
    # `NODE_ENV` stands in many a project and runs nothing.
    "NODE_[!E]*", "NODE_EXTRA_*", "NPM_CONFIG_*", "npm_config_*", "BUN_*", "DENO_*", "PYTHON*",
    "PIP_*", "UV_*", "PERL*", "RUBY*", "GEM_*", "BUNDLE_*", "LUA_*", "PHP*", "*JAVA*_OPTIONS",
    "JDK_*", "MAVEN_*", "GRADLE_*", "CARGO_*", "RUSTC*", "GOFLAGS", "MAKEFLAGS", "CC", "CXX",
)  # fmt: skip
"""Variables that make a shell, git or an interpreter run what they name, in an agent that takes
its environment from a file of the project (seen: PATH, BASH_ENV, GIT_CONFIG_* and a prefix for the
shell in Claude Code 2.1.197, GIT_CONFIG_* in Cline 3.0.65)."""


def patience_s(first_word_s: float | None) -> int:
    """How long an agent waits for a silent engine whose first word is promised by then."""
    return max(PATIENCE_S, math.ceil(PATIENCE_FACTOR * (first_word_s or 0)))


def no_proxy(endpoint: Endpoint, environ: Mapping[str, str]) -> str:
    """The value of NO_PROXY: the user's own, with loopback where the engine is there."""
    given = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if not endpoint.is_loopback:
        return given
    entries = [entry.strip() for entry in given.split(",") if entry.strip()]
    # Some matchers know an IPv6 address only with brackets and port (Claude Code 2.1.197, read).
    own = ("127.0.0.1", "localhost", "::1", urlsplit(endpoint.base_url).netloc)
    return ",".join(dict.fromkeys((*entries, *own)))


def bypass(endpoint: Endpoint, environ: Mapping[str, str]) -> dict[str, str]:
    """Loopback bypasses every proxy; nothing is set for other hosts."""
    if not endpoint.is_loopback:
        return {}
    value = no_proxy(endpoint, environ)
    return {"NO_PROXY": value, "no_proxy": value}


def of_the_shell(endpoint: Endpoint, environ: Mapping[str, str]) -> dict[str, str]:
    """Every proxy variable as the shell has it ("" where it has none), for an agent that takes
    them from a file of the project too; loopback bypasses them."""
    value = no_proxy(endpoint, environ)
    proxies = {name: environ.get(name, "") for name in PROXIES}
    return proxies | {"NO_PROXY": value, "no_proxy": value}


def stale(
    environ: Mapping[str, str], prefixes: tuple[str, ...], *, kept: Collection[str] = ()
) -> list[str]:
    """Variables to unset: real keys of providers, and what is there of these prefixes."""
    inherited = [name for name in environ if name.startswith(prefixes) and name not in kept]
    return [*PROVIDER_KEYS, *sorted(inherited)]


def document(value: object) -> bytes:
    """A settings file of ours."""
    return json.dumps(value, indent=1).encode() + b"\n"
