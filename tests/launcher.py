"""Runs the installed `agentlaunch` in a HOME of its own, as a person at a shell would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("agentlaunch")

KEPT = (
    "PATH", "LANG", "TERM", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "OMP_WAIT_POLICY",
)  # fmt: skip
"""What a shell on this machine needs to reach the network at all, and what keeps the engine's
threads from spinning (conftest.py); the rest is forgotten."""


def shell_environment(home: Path, **more: str) -> dict[str, str]:
    """An environment with this HOME, a private runtime folder, and nothing personal."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    kept |= {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "npm_config_", "UV_"))}
    ours = {
        "HOME": str(home),
        "AGENTLAUNCH_ENGINE": "embedded",  # an Ollama of the person's own would be chosen first
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "128",
    }
    return kept | ours | more


@dataclass(frozen=True)
class Launcher:
    """A home and a project folder, and what is typed there."""

    home: Path
    project: Path
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        return shell_environment(self.home, **self.more)

    def run(self, *argv: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run to the end; the caller looks at the status."""
        return subprocess.run(
            [str(PROGRAM), *argv],
            cwd=self.project,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        """Start and go on."""
        return subprocess.Popen(
            [str(PROGRAM), *argv],
            cwd=self.project,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def make_launcher(folder: Path, **more: str) -> Launcher:
    """An empty home and a fresh git repository under `folder`."""
    home, project = folder / "home", folder / "project"
    home.mkdir(parents=True)
    project.mkdir()
    subprocess.run(["git", "init", "-q", str(project)], check=True, env=shell_environment(home))
    return Launcher(home, project, more)


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.is_symlink()
    }


def fake_agent(folder: Path, body: str) -> Path:
    """A program called `claude` that looks like the tested version; give its folder to PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "claude"
    program.write_text(f"#!{sys.executable}\n{body}")
    program.chmod(0o755)
    (folder / "package.json").write_text('{"version": "2.1.197"}')
    return folder
