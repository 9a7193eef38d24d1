"""What an agent was handed in a recorded launch, and what its real binary then sent.

`tests/data/agents/NAME/recorded.json` holds both, with words for what differs from one machine to
the next. `python tests/recorded_handover.py NAME` launches the real, pinned agent once more against
a scripted engine and writes it anew; unit tests compare today's `prepare` with what is recorded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentlaunch.agents import AGENTS
from agentlaunch.agents.base import Handover, Target, Unset
from agentlaunch.context import make_context
from agentlaunch.endpoint import Endpoint

MODEL = "local-model"
TOKEN = "engine-token-4711"
RUN = "4711-99"
WINDOW = 65_536


@dataclass(frozen=True)
class Places:
    """Where a launch happens: real folders when recording, made-up ones in a unit test."""

    binary: str = "/usr/bin/agent"
    engine: str = "http://127.0.0.1:8080"
    home: str = "/home/u"
    project: str = "/home/u/project"
    runtime: str = "/run/user/1000/agentlaunch"

    def hidden(self, text: str) -> str:
        """A text of this launch with words for the places."""
        words = {
            "BINARY": self.binary,
            "ENGINE": self.engine,
            "HOST": self.engine.removeprefix("http://"),
            "PROJECT": self.project,
            "RUNTIME": self.runtime,
            "HOME": self.home,
        }
        for name, value in words.items():
            text = text.replace(value, f"@{name}@")
        return text


def folder(name: str) -> Path:
    return Path(__file__).parent / "data" / "agents" / name


def target(name: str, places: Places, *args: str, **changes: Any) -> Target:
    """A launch of this agent in a plain shell, its own home in use."""
    agent = AGENTS[name]
    own = (agent.config_folder or ("", "~/.none"))[1].replace("~", places.home)
    values: dict[str, Any] = {
        "binary": places.binary,
        "endpoint": Endpoint(places.engine, agent.wires, MODEL, TOKEN),
        "context": make_context(agent.tiers, agent.compaction, WINDOW),
        "home": "own",
        "home_folder": Path(places.home) / "clean",
        "runtime_folder": Path(places.runtime),
        "run_name": RUN,
        "environ": {"HOME": places.home, "PATH": os.defpath},
        "args": args,
        "own_folder": Path(own),
        "project": Path(places.project),
    }
    return Target(**(values | changes))


def prompt_args(name: str) -> tuple[str, ...]:
    """The headless arguments of the agent's case."""
    case = json.loads((folder(name) / "case.json").read_text())
    return tuple(word.replace("@PROMPT@", "Say hello") for word in case["prompt_args"])


def as_recorded(handover: Handover, places: Places) -> dict[str, Any]:
    """A handover as it stands in the record; null is a variable that is taken away."""
    return {
        "argv": [places.hidden(word) for word in handover.argv],
        "env": {
            name: None if isinstance(value, Unset) else places.hidden(value)
            for name, value in sorted(handover.env.items())
        },
        "files": {
            places.hidden(str(file.path)): places.hidden(file.content.decode()).splitlines()
            for file in handover.files
        },
        "links": {
            places.hidden(str(link.path)): places.hidden(str(link.to)) for link in handover.links
        },
    }


def recorded(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder(name) / "recorded.json").read_text())
    return value


def record(name: str) -> None:
    """Launch the real agent with what `prepare` gives, and write down what it sent."""
    from agent_world import installed
    from wire_server import WireServer, call, say

    agent = AGENTS[name]
    package = agent.package
    assert package is not None
    case = json.loads((folder(name) / "case.json").read_text())
    last = say("Hello")
    if "finish" in case:
        words = json.loads(json.dumps(case["finish"]).replace("@TEXT@", "Hello"))
        last = call(words["name"], words["arguments"])
    with (
        tempfile.TemporaryDirectory() as root,
        WireServer([last], model=MODEL, token=TOKEN, has_tools="name" in case["write"]) as engine,
    ):
        places = Places(
            binary=str(installed(name) / dict(package.programs)[agent.binary]),
            engine=engine.url,
            home=f"{root}/home",
            project=f"{root}/project",
            runtime=f"{root}/run",
        )
        for place in (places.home, places.project, places.runtime):
            Path(place).mkdir()
        given = agent.prepare(target(name, places, *prompt_args(name)))
        for file in given.files:
            file.path.parent.mkdir(parents=True, exist_ok=True)
            file.path.write_bytes(file.content)
        changed = {k: v for k, v in given.env.items() if not isinstance(v, Unset)}
        done = subprocess.run(
            given.argv,
            cwd=places.project,
            env={"HOME": places.home, "PATH": os.environ["PATH"], "TERM": "dumb"} | changed,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        first = engine.turns[0]
        limits = ("max_tokens", "max_completion_tokens")
        value = {
            "version": package.version,
            "handover": as_recorded(given, places),
            "sent": {
                "path": first.path,
                "authorization": first.headers.get("authorization"),
                "model": first.json["model"],
                "stream": bool(first.json.get("stream")),
                "max_tokens": next((first.json[k] for k in limits if k in first.json), None),
                "tools": [row["function"]["name"] for row in first.json.get("tools", [])],
                "bytes": len(first.body) // 1000 * 1000,
            },
        }
        text = json.dumps(value, indent=1, ensure_ascii=False)
        (folder(name) / "recorded.json").write_text(text + "\n")
        Path(tempfile.gettempdir(), f"recorded-{name}.json").write_bytes(first.body)


if __name__ == "__main__":
    for word in sys.argv[1:]:
        record(word)
