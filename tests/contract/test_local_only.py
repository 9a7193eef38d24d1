"""`data = "local-only"` is structural: what a gateway is made of holds no other machine and no key.

The configuration and the environment that a launch would give the gateway are read, not believed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentlaunch.cli import main
from agentlaunch.commands import deciding, looking
from agentlaunch.endpoint import Endpoint, is_loopback
from agentlaunch.engines.base import Served
from agentlaunch.errors import Refused
from agentlaunch.gateway import config
from agentlaunch.gateway.spec import Hop, Spec
from agentlaunch.launch import gateway
from agentlaunch.plan import LaunchPlan
from agentlaunch.settings import PROJECT_FILE
from agentlaunch.talk import Policy, Talk
from wire_server import WireServer

CANARY = "sk-canary-5f2c"
ELSEWHERE = "https://gpu.example:8000"
MANAGED = "openrouter#a/b"


@pytest.fixture
def servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[WireServer, WireServer]]:
    """Two servers of this machine, in a project that lets nothing leave it, and keys for others."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AGENTLAUNCH_ENGINE", raising=False)
    Path(PROJECT_FILE).write_text('data = "local-only"\n')
    for name in ("OPENROUTER_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "VLLM_API_KEY"):
        monkeypatch.setenv(name, CANARY)
    monkeypatch.setenv("AGENTLAUNCH_ALLOWED_HOSTS", f"{ELSEWHERE}, https://openrouter.ai")
    with WireServer(model="one") as first, WireServer(model="two") as second:
        yield first, second


def routes(monkeypatch: pytest.MonkeyPatch, main_chain: str, small: str = "") -> None:
    monkeypatch.setenv("AGENTLAUNCH_ROUTES_MAIN", main_chain)
    monkeypatch.setenv("AGENTLAUNCH_ROUTES_SMALL", small)


def planned() -> LaunchPlan:
    talk = Talk(Policy(no_input=True))
    return deciding.decide(talk, looking.look(talk, {"agent": "claude-code"}, ()))


def spec_of(made: LaunchPlan) -> Spec:
    assert made.hybrid is not None

    def served(_local: LaunchPlan) -> Served:
        return Served("embedded", Endpoint("http://127.0.0.1:1", (), "m"), 1, None, reused=True)

    return gateway.spec_of(made.hybrid, served)


@pytest.mark.parametrize("word", [ELSEWHERE, MANAGED, "anthropic#x", "hosted"])
def test_the_gateways_file_and_environment_know_this_machine_alone(
    word: str, servers: tuple[WireServer, WireServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTLAUNCH_HOSTED_URL", ELSEWHERE)
    first, second = servers
    routes(monkeypatch, f"{first.url}, {word}, {second.url}", f"{word}, {second.url}")
    made = planned()

    spec = spec_of(made)

    text = config.text(spec)
    assert config.hosts(config.document(spec)) == ("127.0.0.1",)
    assert [hop.base_url for hop in spec.chains["main"]] == [first.url, second.url]
    assert "gpu.example" not in text
    assert "openrouter" not in text
    assert CANARY not in text + json.dumps(config.child_environment(spec, os.environ))
    assert CANARY not in json.dumps([str(v) for v in made.handover.env.values()])
    assert "endpoint-not-allowed" in dict(made.warnings)


def test_one_endpoint_that_is_left_is_asked_without_a_gateway(
    servers: tuple[WireServer, WireServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    routes(monkeypatch, f"{ELSEWHERE}, {servers[0].url}")
    made = planned()
    assert made.hybrid is None
    assert made.url is not None
    assert is_loopback(made.url)


def test_a_chain_of_nothing_but_others_machines_is_refused_with_the_rule_and_its_file(
    servers: tuple[WireServer, WireServer],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    routes(monkeypatch, f"{ELSEWHERE}, {MANAGED}")
    with pytest.raises(Refused, match='data = "local-only"'):
        planned()
    assert main(["up", "claude-code", "--dry-run", "--json", "--allow-remote", "--yes"]) == 8
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], error["exit"]) == ("policy", 8)
    assert PROJECT_FILE in error["message"]
    assert [request for server in servers for request in server.requests] == []


def test_what_reads_the_file_would_see_another_machine_and_its_key() -> None:
    """The tests above can fail."""
    spec = Spec({"main": (Hop("hosted", ELSEWHERE, "m", "vllm", 65_536, token=CANARY),)})
    assert config.hosts(config.document(spec)) == ("gpu.example",)
    assert CANARY in json.dumps(config.child_environment(spec, {}))
    assert CANARY not in config.text(spec)
