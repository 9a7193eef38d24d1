"""One agent's own little world for end-to-end tests: a home, a repository, a scripted engine.

What an agent needs to be tested stands in `tests/data/agents/NAME/` (its README tells the format).
The agent is the real one, pinned, installed once into the checkout's `.cache/agents` by the code
that installs it for users, and launched by the real command line.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agentlaunch import managed, progress
from agentlaunch.agents import AGENTS
from agentlaunch.agents.base import Agent
from agentlaunch.agents.keys import PROVIDER_KEYS
from launcher import PROGRAM, snapshot
from places import CACHE, CHECKOUT, paths_below
from wire_replies import Reply
from wire_server import Answer, WireServer, call, say

DATA = CHECKOUT / "tests" / "data" / "agents"
ALL_VARIABLE = "AGENTLAUNCH_TEST_ALL_AGENTS"
"""Set it to test second-class agents too, as `nox -s full` does."""

CANARY = "CANARY-7f3a9c"
TOKEN = "engine-token-4711"
MODEL = "local-model"
PROMPT = "Say hello"
REPLY = "Hello from the scripted engine"
TIMEOUT_S = 120

PROVIDERS = ("ANTHROPIC", "OPENAI", "OPENROUTER", "MISTRAL", "GOOGLE_GEMINI", "DEEPSEEK")
ADDRESSES = (
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy",
    "OPENAI_API_BASE", "OPENAI_ENDPOINT", "OLLAMA_HOST", "OLLAMA_API_BASE",
    "OTEL_EXPORTER_OTLP_ENDPOINT", "SENTRY_DSN",
)  # fmt: skip
"""Variables of any shell that lead elsewhere: each agent's hostile launch has them all."""

KEPT = (
    "PATH", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS",
    "OMP_WAIT_POLICY",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """What stands in an agent's `case.json`; the README beside it tells each key."""

    prompt_args: list[str]
    edit_args: list[str]
    write: dict[str, Any]
    wire: str
    environment: dict[str, str] = field(default_factory=dict)
    redirects: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    trust_args: list[str] = field(default_factory=list)
    really_runs: bool = True
    egress: list[str] = field(default_factory=list)
    compaction: dict[str, Any] | None = None
    reaches: dict[str, list[str]] = field(default_factory=dict)
    reply_is_stdout: bool = True
    reads_stdin: bool = True
    failed_status: int | None = 1
    finish: dict[str, Any] | None = None
    rewrites: list[str] = field(default_factory=list)
    context: int = 65_536

    @property
    def has_tools(self) -> bool:
        return "name" in self.write


def read_case(name: str) -> Case:
    """Raises `TypeError` for a key that means nothing."""
    return Case(**json.loads((DATA / name / "case.json").read_text()))


SLOW = frozenset({"opencode", "copilot", "qwen"})
"""Agents whose every start takes ten seconds and more on two cores."""


def agent_names(
    wanted: Callable[[Case], bool] = lambda case: True, *, quick: bool = False
) -> list[str]:
    """First-class agents whose case is as wanted, or the quick ones of them; with
    `AGENTLAUNCH_TEST_ALL_AGENTS` every agent that has a folder."""
    every = bool(os.environ.get(ALL_VARIABLE))
    return [
        name
        for name, agent in AGENTS.items()
        if (DATA / name / "case.json").is_file()
        and (every or agent.support == "tested")
        and (every or not quick or name not in SLOW)
        and wanted(read_case(name))
    ]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a world lies: a short path, since agents put sockets below it."""
    return tmp_path_factory.mktemp("w")


@functools.cache
def installed(name: str) -> Path:
    """The environment of an agent's pinned package, installed once a checkout."""
    package = AGENTS[name].package
    assert package is not None, f"{name} has no package that could be installed"
    paths = paths_below(CACHE / "agents")
    if managed.needs_node(package, paths):
        progress.finish(managed.install(managed.NODE, paths))
    return progress.finish(managed.install(package, paths))


@dataclass(frozen=True)
class World:
    """An agent's case, a user's home and project, the engine, and the server nobody may ask."""

    agent: Agent
    case: Case
    folder: Path
    engine: WireServer
    other: WireServer

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def ran(self) -> list[str]:
        """The traces of commands that ran (`touch @RAN@`, or `@RAN@-anything`)."""
        return sorted(path.name for path in self.folder.glob("ran*"))

    def filled(self, value: Any, **more: str) -> Any:
        """A value of the case with every placeholder replaced."""
        if isinstance(value, str):
            for name, text in (self._places() | more).items():
                value = value.replace(f"@{name}@", text)
            return value
        if isinstance(value, list):
            return [self.filled(each, **more) for each in value]
        if isinstance(value, dict):
            return {self.filled(k, **more): self.filled(v, **more) for k, v in value.items()}
        return value

    def _places(self) -> dict[str, str]:
        return {
            "OTHER": self.other.url,
            "CANARY": CANARY,
            "RAN": str(self.folder / "ran"),
            "HOME": str(self.home),
            "PROJECT": str(self.project),
            "PYTHON": sys.executable,
            "MCP": str(CHECKOUT / "tests" / "mcp_server.py"),
            "PROMPT": PROMPT,
        }

    def hostile_environment(self) -> dict[str, str]:
        """Every provider key there is, other launchers' addresses, proxies; the case's own last."""
        common = dict.fromkeys(PROVIDER_KEYS, f"sk-{CANARY}")
        common |= dict.fromkeys(ADDRESSES, self.other.url)
        common |= {f"{name}_BASE_URL": f"{self.other.url}/v1" for name in PROVIDERS}
        common |= {"OTEL_EXPORTER_OTLP_HEADERS": f"x-key={CANARY}", "NO_PROXY": "", "no_proxy": ""}
        own: dict[str, str] = self.filled(self.case.environment)
        return common | own

    def plant(self, part: str) -> None:
        """Lay one of the agent's folders (`home`, `project-runs`, …) over home or project."""
        source = DATA / self.agent.name / part
        root = self.home if part.startswith("home") else self.project
        for file in sorted(source.rglob("*")):
            if file.is_file():
                place = root / self.filled(str(file.relative_to(source)))
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(self.filled(file.read_text()))
                place.chmod(file.stat().st_mode & 0o777)

    def writes(self, name: str, content: str) -> Reply:
        """The model writes a file of that name into the project, by this agent's own tool."""
        more = {"PATH": str(self.project / name), "NAME": name, "CONTENT": content}
        row = self.filled(self.case.write, **more)
        return call(row["name"], row["arguments"]) if self.case.has_tools else say(row["text"])

    def ends(self, text: str = REPLY) -> Reply:
        """The model's last word."""
        if self.case.finish is None:
            return say(text)
        row = self.filled(self.case.finish, TEXT=text)
        return call(row["name"], row["arguments"])

    def launch(
        self,
        args: list[str],
        *,
        options: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        context: int | None = None,
        stdin: str | None = None,
        proof: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """`agentlaunch up NAME … -- ARGS` in the project, to its end; with the `proof` of the model
        before it only where that is what the test is about."""
        return subprocess.run(
            self.argv(args, options=options, context=context, proof=proof),
            cwd=self.project,
            env=self.shell() | dict(environment or {}),
            input="" if stdin is None else stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def argv(
        self,
        args: list[str],
        *,
        options: tuple[str, ...] = (),
        context: int | None = None,
        proof: bool = False,
    ) -> list[str]:
        tokens = str(context or self.case.context)
        options = options if proof else (*options, "--skip-proof")
        asked = ("--engine", self.engine.url, "--context", tokens, "--no-input", *options)
        return [str(PROGRAM), "up", self.agent.name, *asked, "--", *self.filled(args)]

    @contextlib.contextmanager
    def started(self, args: list[str]) -> Iterator[subprocess.Popen[bytes]]:
        """The same, not waited for; whatever is left of it is killed in the end."""
        child = subprocess.Popen(
            self.argv(args),
            cwd=self.project,
            env=self.shell(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield child
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    def shell(self) -> dict[str, str]:
        """A person's shell with nothing personal in it, and no other copy of this agent."""
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        folders = [
            folder
            for folder in kept.get("PATH", "").split(os.pathsep)
            if not (Path(folder) / self.agent.binary).exists()
        ]
        return kept | {
            "PATH": os.pathsep.join(folders),
            "HOME": str(self.home),
            "TMPDIR": str(self.folder / "tmp"),
            "TERM": "dumb",
            "AGENTLAUNCH_ENGINE_KEY": TOKEN,
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        }

    def seen(self) -> dict[Path, bytes]:
        """Every file of home and project, but for those that the agent itself keeps rewriting."""
        own = {
            self.home / name[2:] if name.startswith("~/") else self.project / name
            for name in self.filled(self.case.rewrites)
        }
        return {
            root / name: data
            for root in (self.home, self.project)
            for name, data in snapshot(root).items()
            if root / name not in own
        }

    def changed(self, before: Mapping[Path, bytes]) -> list[Path]:
        """The files that are not what they were."""
        return [file for file, data in before.items() if _bytes(file) != data]


def _bytes(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


@contextlib.contextmanager
def make_world(
    name: str,
    folder: Path,
    script: list[Reply] | None = None,
    *,
    answer: Answer | None = None,
    context: int | None = None,
) -> Iterator[World]:
    """A world for this agent below a folder, its two servers running."""
    agent, case = AGENTS[name], read_case(name)
    home, project = folder / "home", folder / "project"
    for place in (home, project, folder / "tmp"):
        place.mkdir()
    _share_package(installed(name), home)
    _make_repository(project, home)
    size = context or case.context
    with (
        WireServer(
            script, model=MODEL, token=TOKEN, context=size, answer=answer, has_tools=case.has_tools
        ) as engine,
        WireServer([say("evil")]) as other,
    ):
        world = World(agent, case, folder, engine, other)
        if script is None and answer is None:
            engine.script = [world.ends()]
        yield world


def _make_repository(project: Path, home: Path) -> None:
    """A repository with nothing in it, whose owner git knows: Aider would write a name into it."""
    env = {"PATH": os.environ["PATH"], "HOME": str(home)}
    for words in (
        ["-c", "init.defaultBranch=main", "init", "-q"],
        ["config", "user.name", "Ada"],
        ["config", "user.email", "ada@example.org"],
    ):
        subprocess.run(["git", *words], cwd=project, check=True, env=env)


def _share_package(root: Path, home: Path) -> None:
    """What is installed in the checkout's cache is installed in this home too: by a link."""
    for kind in ("npm", "pypi"):
        source = CACHE / "agents" / "data" / "managed" / kind
        place = home / ".local" / "share" / "agentlaunch" / "managed" / kind
        place.mkdir(parents=True, mode=0o700)
        for folder in source.glob("[!.]*") if source.is_dir() else ():
            (place / folder.name).symlink_to(folder)
    assert root.is_dir()
