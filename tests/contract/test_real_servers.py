"""Servers for real: llama.cpp's own, run by the managed package, and LiteLLM's proxy before it.

LiteLLM is large (460 MB) and lives in an environment of its own, as launches bring it;
`AGENTLAUNCH_TEST_LITELLM` asks for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import launcher
import real_claude
import real_litellm
import real_llama
import small_model
from agentlaunch import web
from agentlaunch.agents.claude_code import AGENT
from agentlaunch.cli import main
from agentlaunch.engines.presets import PRESETS
from agentlaunch.engines.remote import ALL_WIRES, RemoteFacts, RemoteModel, probe
from agentlaunch.errors import AuthNeeded
from anthropic_server import AnthropicServer
from waiting import wait_until
from wire_server import WireServer, call, say

KEY = "sk-canary-0123456789"
GATEWAY_KEY = "sk-gateway-canary-0123456789"

TAKES_TOOLS = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\\n{{ message.content }}"
    "<|im_end|>\\n{% endfor %}{% if tools %}Tools: {{ tools | tojson }}{% endif %}"
    "<|im_start|>assistant\\n"
)
"""A template that puts tools into the prompt; the small model cannot use them."""


@contextlib.contextmanager
def llama_server(**how: Any) -> Iterator[str]:
    """llama.cpp's own server with the small model; its URL."""
    with real_llama.llama_server(**how) as server:
        yield server.url


# --- llama.cpp -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def open_server() -> Iterator[str]:
    with llama_server() as url:
        yield url


def test_a_real_llama_server_says_what_it_is(open_server: str) -> None:
    facts = probe(open_server)
    assert facts == RemoteFacts(
        open_server, "llama.cpp", ALL_WIRES, (RemoteModel("small", 4_096, tools=False),)
    )


def test_a_real_llama_server_shares_its_context_among_slots_and_caps_it() -> None:
    with llama_server(n_ctx=4_096, slots=2) as url:
        (model,) = probe(url).models
        reply = web.request("GET", url + "/props").json()
        assert model.context_tokens == reply["default_generation_settings"]["n_ctx"]
        assert model.context_tokens is not None
        assert model.context_tokens < 4_096
    with llama_server(n_ctx=32_768) as url:
        assert probe(url).models[0].context_tokens == small_model.TRAINED_TOKENS


def test_a_real_llama_server_with_a_key_and_a_template_for_tools() -> None:
    with llama_server(key=KEY, template=TAKES_TOOLS) as url:
        with pytest.raises(AuthNeeded, match="wants a key"):
            probe(url)
        with pytest.raises(AuthNeeded, match="rejected the key"):
            probe(url, key="wrong", preset=PRESETS["llama-server"])
        facts = probe(url, key=KEY, wires=AGENT.wires)
    assert facts.models == (RemoteModel("small", 4_096, tools=True),)
    assert facts.wires == ("anthropic_messages",)


def test_a_template_that_drops_tools_stops_the_launch(
    open_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(launcher.fake_agent(tmp_path / "bin", "")))
    monkeypatch.chdir(tmp_path)
    wish = ("up", "claude-code", "--engine", open_server, "--context", "4096")
    assert main(wish) == 3
    assert "ignores tools" in capsys.readouterr().err
    assert main([*wish, "--dry-run", "--json"]) == 0
    codes = [row["code"] for row in json.loads(capsys.readouterr().out)["warnings"]]
    assert "template-ignores-tools" in codes


@pytest.mark.needs_network
def test_a_real_agent_is_answered_by_a_real_llama_server(tmp_path: Path) -> None:
    with llama_server(n_ctx=8_192, key=KEY) as url:
        world = launcher.make_launcher(
            tmp_path, AGENTLAUNCH_ENGINE_KEY=KEY, PATH=_path_with_claude()
        )
        done = world.run(
            "up", "claude-code", "--engine", url + "/v1", "--context", "8192", "--skip-proof",
            "--", "-p", "Say hello", "--system-prompt", "Answer with one short sentence.",
            timeout_s=600,
        )  # fmt: skip
    assert "handing over to Claude Code" in done.stderr
    assert done.stdout.strip() != "", done.stderr
    assert KEY not in done.stdout + done.stderr


def _path_with_claude() -> str:
    return f"{real_claude.find_or_install().parent}{os.pathsep}{os.environ['PATH']}"


# --- LiteLLM -------------------------------------------------------------------------------------

QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
    "LITELLM_MODE": "PRODUCTION",
    "NO_DOCS": "True",
}
"""Without them it asks the network at start, and reads a project's `.env` (seen, 1.106.2)."""


@dataclass(frozen=True)
class Gateway:
    """A LiteLLM that runs, and the scripted server behind its name `scripted`."""

    url: str
    scripted: WireServer


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _deployment(name: str, model: str, url: str, context: int) -> dict[str, Any]:
    return {
        "model_name": name,
        "litellm_params": {
            "model": f"hosted_vllm/{model}",
            "api_base": url + "/v1",
            "api_key": "os.environ/AL_BACKEND_KEY",
            "use_chat_completions_api": True,
            "stream_timeout": 600,
        },
        "model_info": {"id": name, "max_input_tokens": context},
    }


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """LiteLLM before llama.cpp's server and before a scripted one that calls tools."""
    program = str(real_litellm.program())
    folder = tmp_path_factory.mktemp("litellm")
    with llama_server(n_ctx=8_192, key=KEY) as local, WireServer() as scripted:
        config = {
            "model_list": [
                _deployment("local", "small", local, 8_192),
                _deployment("scripted", "scripted", scripted.url, 65_536),
            ],
            "router_settings": {"num_retries": 0},
            "litellm_settings": {
                "drop_params": True,
                "use_chat_completions_url_for_anthropic_messages": True,
            },
            "general_settings": {"master_key": "os.environ/AL_GATEWAY_KEY"},
        }
        (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
        url = f"http://127.0.0.1:{_free_port()}"
        env = {"PATH": os.environ["PATH"], "HOME": str(folder), **QUIET,
               "AL_BACKEND_KEY": KEY, "AL_GATEWAY_KEY": GATEWAY_KEY}  # fmt: skip
        argv = [program, "--config", str(folder / "config.yaml"), "--host", "127.0.0.1"]
        with (folder / "log").open("wb") as log:
            child = subprocess.Popen(
                [*argv, "--port", url.rpartition(":")[2]], env=env, stdout=log, stderr=log
            )
        try:
            wait_until(lambda: child.poll() is not None or _lives(url), limit_s=240)
            assert child.poll() is None, (folder / "log").read_text()[-2000:]
            yield Gateway(url, scripted)
        finally:
            child.terminate()
            child.wait(timeout=30)


def _lives(url: str) -> bool:
    with contextlib.suppress(web.WebFault):
        return web.request("GET", url + "/health/liveliness").status == 200
    return False


@pytest.mark.needs_litellm
@pytest.mark.parametrize("name", ["litellm", None])
def test_a_real_litellm_says_what_it_is_and_which_key_is_wrong(
    gateway: Gateway, name: str | None
) -> None:
    preset = PRESETS[name] if name else None
    with pytest.raises(AuthNeeded, match="wants a key"):
        probe(gateway.url, preset=preset)
    with pytest.raises(AuthNeeded, match="rejected the key"):
        probe(gateway.url, key="sk-wrong", preset=preset)
    facts = probe(gateway.url, key=GATEWAY_KEY, preset=preset)
    assert (facts.kind, facts.wires) == ("litellm", ALL_WIRES)
    assert [(row.name, row.context_tokens) for row in facts.models] == [
        ("local", 8_192),
        ("scripted", 65_536),
    ]


@pytest.mark.needs_litellm
@pytest.mark.needs_network
def test_a_real_agent_is_answered_through_litellm_by_llama_cpp(
    gateway: Gateway, tmp_path: Path
) -> None:
    asked = ["-p", "Say hello", "--system-prompt", "Answer with one short sentence."]
    options = ["--context", "8192", "--skip-proof", "--", *asked]
    done = _launch(gateway, tmp_path / "0", "local", *options)
    for number in range(1, 4):  # in about one answer of twelve the tiny model rambles on
        if "output token maximum" not in done.stdout:
            break
        done = _launch(gateway, tmp_path / str(number), "local", *options)
    assert "handing over to Claude Code" in done.stderr
    assert done.stdout.strip() != "", done.stderr
    assert "API Error" not in done.stdout


@pytest.mark.needs_litellm
@pytest.mark.needs_network
def test_a_tool_call_goes_through_litellm_and_back(gateway: Gateway, tmp_path: Path) -> None:
    gateway.scripted.script = [
        call("Write", {"file_path": str(tmp_path / "project" / "note.txt"), "content": "written"}),
        say("the note is written"),
    ]
    done = _launch(
        gateway, tmp_path, "scripted", "--", "-p", "write a note", "--allowedTools", "Write"
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.strip() == "the note is written"
    assert (tmp_path / "project" / "note.txt").read_text() == "written"
    heads = [request.headers for request in gateway.scripted.requests]
    assert {head.get("authorization") for head in heads} == {f"Bearer {KEY}"}
    assert not any(
        GATEWAY_KEY in request.everything.decode() for request in gateway.scripted.requests
    )


def _launch(
    gateway: Gateway, folder: Path, model: str, *more: str
) -> subprocess.CompletedProcess[str]:
    world = launcher.make_launcher(
        folder,
        AGENTLAUNCH_LITELLM_URL=gateway.url,
        LITELLM_MASTER_KEY=GATEWAY_KEY,
        PATH=_path_with_claude(),
    )
    done = world.run(
        "up", "claude-code", "--engine", "litellm", "--model", model, *more, timeout_s=600
    )
    assert GATEWAY_KEY not in done.stdout + done.stderr
    return done


# --- Anthropic's own way of being asked ----------------------------------------------------------


@pytest.mark.needs_network
def test_a_key_for_anthropic_goes_out_in_its_own_header_alone(tmp_path: Path) -> None:
    """The real agent before a scripted server in Anthropic's place, moved there by the setting."""
    with AnthropicServer(model="claude-test-1", token=KEY) as server:
        server.model_rows = [{"id": "claude-test-1", "max_input_tokens": 200_000}]
        world = launcher.make_launcher(
            tmp_path,
            AGENTLAUNCH_ANTHROPIC_URL=server.url,
            AGENTLAUNCH_ENGINE_KEY=KEY,
            ANTHROPIC_API_KEY="sk-ant-of-the-user",
            PATH=_path_with_claude(),
        )
        done = world.run("up", "claude-code", "--engine", "anthropic", "--", "-p", "hi")
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.strip() == "done"
    assert server.messages
    for request in server.messages:
        assert request.headers["x-api-key"] == KEY
        assert "authorization" not in request.headers
        assert request.json["model"] == "claude-test-1"
    assert not any(b"of-the-user" in request.everything for request in server.requests)
