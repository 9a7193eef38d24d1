"""The gateway for real: LiteLLM's proxy on our configuration and with our hooks.

It is wanted where `AGENTLAUNCH_TEST_LITELLM` is set (`nox -s servers`).
One LiteLLM serves most of this file, since its start takes 10 s and more.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import real_litellm
from agentlaunch import web
from agentlaunch.endpoint import Wire
from agentlaunch.engines import llama_cpp_host
from agentlaunch.gateway import config, events, litellm_hooks
from agentlaunch.gateway.events import Request, Switch
from agentlaunch.gateway.spec import Hop, Spec
from agentlaunch.models.prices import Price
from refusing_proxy import RefusingProxy
from waiting import wait_until
from wire_replies import Reply
from wire_server import WireServer, overflow, refuse, say

pytestmark = pytest.mark.needs_litellm

GATEWAY_KEY = "sk-gateway-canary-0123456789"
HOSTED_KEY = "sk-hosted-canary-0123456789"
PROMPT = "CANARY-OF-THE-PROMPT"
REPLY = "CANARY-OF-THE-REPLY"
CAP_FILE = "/etc/agentlaunch/policy.toml"
CAP_USD = 0.5
SILENCE_S = 2

WIRES: dict[Wire, str] = {
    "openai_chat": "/v1/chat/completions",
    "anthropic_messages": "/v1/messages?beta=true",
    "openai_responses": "/v1/responses",
}
each_wire = pytest.mark.parametrize("wire", list(WIRES))


@dataclass
class Engine:
    """A scripted engine that can be told to behave badly."""

    server: WireServer
    manner: str = "well"
    input_tokens: int = 1_000
    hanging: threading.Event = field(default_factory=threading.Event)

    def reply(self, request: dict[str, Any], wire: Wire) -> Reply:
        if self.manner == "hangs":
            self.hanging.wait(4 * SILENCE_S)
        if self.manner == "overflows":
            return overflow(70_000, self.server.context)
        if self.manner.startswith("moved to "):
            place = self.manner.removeprefix("moved to ") + WIRES[wire]
            return Reply(text="it is there", status=307, location=place)
        if self.manner.isdecimal():
            return refuse(int(self.manner), "it does not")
        return say(f"{self.server.model}: {REPLY}", input_tokens=self.input_tokens, output_tokens=9)

    @property
    def asked(self) -> int:
        return sum(1 for request in self.server.requests if request.method == "POST")


@contextlib.contextmanager
def engine(model: str, **more: Any) -> Iterator[Engine]:
    with WireServer(model=model, **more) as server:
        made = Engine(server)
        server.answer = made.reply
        yield made
        made.hanging.set()


class Chunked:
    """An engine that ends its answer in the middle, or takes its time; chunked, as real ones."""

    def __init__(self, *, words: int, breaks: bool) -> None:
        def words_of(handler: BaseHTTPRequestHandler) -> Iterator[dict[str, Any]]:
            base = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
            for number in range(words):
                delta = {"role": "assistant", "content": f"word{number} "}
                yield {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class
                """Say nothing."""

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for event in words_of(self):
                    data = b"data: " + json.dumps(event).encode() + b"\n\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                    self.wfile.flush()
                if not breaks:
                    chunked.client_left.wait(20)
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

        chunked = self
        self.client_left = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Chunked:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.client_left.set()
        self._http.shutdown()
        self._http.server_close()


# ---- LiteLLM ----------------------------------------------------------------------------------


@dataclass
class Answer:
    status: int
    hop: str
    """`x-litellm-model-id`: the deployment that answered."""
    text: str


@dataclass
class Running:
    """LiteLLM on a configuration of ours."""

    url: str
    child: subprocess.Popen[bytes]
    folder: Path
    state: Path

    def ask(
        self,
        wire: Wire,
        model: str = "al-main",
        *,
        prompt: str = PROMPT,
        stream: bool = True,
        path: str | None = None,
        **more: Any,
    ) -> Answer:
        """One request to its end."""
        messages = [{"role": "user", "content": prompt}]
        body: dict[str, Any] = {"model": model, "stream": stream, **more}
        body["input" if wire == "openai_responses" else "messages"] = messages
        if wire == "anthropic_messages":
            body.setdefault("max_tokens", 100)
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=60)
        headers = {"authorization": f"Bearer {GATEWAY_KEY}", "content-type": "application/json"}
        with contextlib.closing(connection):
            connection.request("POST", path or WIRES[wire], json.dumps(body), headers)
            reply = connection.getresponse()
            hop = reply.getheader("x-litellm-model-id") or ""
            return Answer(reply.status, hop, reply.read().decode())

    def rows(self) -> tuple[events.Event, ...]:
        return events.read(self.state)

    def settled(self, model: str = "al-main", hop: str = "main.1.hosted") -> None:
        """Wait until the liked endpoint answers again."""

        def answers() -> bool:
            before = len(self.rows())
            answer = self.ask("openai_chat", model, stream=False)
            self.last_request(before)
            return answer.hop == hop

        wait_until(answers, what="the first endpoint never came back")

    def last_request(self, since: int, hop: str | None = None) -> Request:
        """The newest request after so many rows; LiteLLM logs a little after it has answered."""

        def found() -> list[Request]:
            rows = [row for row in self.rows()[since:] if isinstance(row, Request)]
            return [row for row in rows if hop in (None, row.hop)]

        wait_until(found, what="no request was written")
        return found()[-1]

    @property
    def status(self) -> dict[str, Any]:
        value = json.loads((self.folder / "status.json").read_bytes())
        assert isinstance(value, dict)
        return value

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


@contextlib.contextmanager
def running(
    folder: Path, spec: Spec, more: Mapping[str, str], *, idle_s: float = 600.0
) -> Iterator[Running]:
    program = str(real_litellm.program())
    state, leases = folder / "state", folder / "leases"
    place = events.place(state)
    place.parent.mkdir(parents=True)
    leases.mkdir()
    facts = config.facts(
        spec, events=place, status=folder / "status.json", leases=leases, idle_s=idle_s
    )
    (folder / "facts.json").write_text(json.dumps({**facts, "lock": str(folder / "lock")}))
    (folder / "config.yaml").write_text(config.text(spec))
    shutil.copy(litellm_hooks.__file__, folder)
    url = f"http://127.0.0.1:{_free_port()}"
    env = {
        **config.child_environment(spec, {"PATH": os.environ["PATH"], "HOME": str(folder), **more}),
        config.GATEWAY_KEY: GATEWAY_KEY,
        config.FACTS: str(folder / "facts.json"),
    }
    argv = [program, "--config", str(folder / "config.yaml"), "--host", "127.0.0.1"]
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            [*argv, "--port", url.rpartition(":")[2]], env=env, stdout=log, stderr=log, cwd=folder
        )
    found = Running(url, child, folder, state)
    try:
        wait_until(lambda: child.poll() is not None or _lives(url), limit_s=240)
        assert child.poll() is None, found.log[-2_000:]
        yield found
    finally:
        child.terminate()
        child.wait(timeout=30)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _lives(url: str) -> bool:
    with contextlib.suppress(web.WebFault):
        return web.request("GET", url + "/health/liveliness").status == 200
    return False


@dataclass
class World:
    """A gateway, its engines, and a proxy that whoever wants to leave this machine must ask."""

    gateway: Running
    hosted: Engine
    local: Engine
    big: Engine
    routed: Engine
    proxy: RefusingProxy


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("gateway")
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(config, "COOLDOWN_S", 1)
        proxy = stack.enter_context(RefusingProxy())
        hosted = stack.enter_context(engine("hosted-model", token=HOSTED_KEY))
        local = stack.enter_context(engine("local-model", context=32_768))
        big = stack.enter_context(engine("big-model", context=200_000))
        routed = stack.enter_context(engine("routed-model"))
        breaks = stack.enter_context(Chunked(words=3, breaks=True))
        slow = stack.enter_context(Chunked(words=3, breaks=False))
        own = Hop("local", local.server.url, "local-model", "llama.cpp", 32_768)
        price = Price(input_usd=3.0, output_usd=15.0)
        main = (
            Hop(
                "hosted", hosted.server.url, "hosted-model", "vllm", 65_536, token=HOSTED_KEY,
                limit_s=SILENCE_S,
            ),
            own,
            Hop("big", big.server.url, "big-model", "vllm", 200_000, max_output_tokens=50),
            Hop("breaks", breaks.url, "m", "llama.cpp", 8_192),
            Hop("slow", slow.url, "m", "llama.cpp", 8_192),
        )  # fmt: skip
        small = (
            Hop(
                "openrouter", routed.server.url, "org/routed-model", "openrouter", 32_768,
                token="sk-or", price=price, managed=True,
            ),
            own,
        )  # fmt: skip
        spec = Spec({"main": main, "small": small}, "roles", CAP_USD, CAP_FILE)
        gateway = stack.enter_context(running(folder, spec, proxy.environment))
        yield World(gateway, hosted, local, big, routed, proxy)


@pytest.fixture
def world(shared: World) -> World:
    """The gateway with every engine well again, and each role where it is liked."""
    for each in (shared.hosted, shared.local, shared.big):
        each.manner = "well"
    shared.gateway.settled("al-main-2", "main.2.local")
    shared.gateway.settled()
    return shared


# ---- answers ----------------------------------------------------------------------------------


@each_wire
@pytest.mark.parametrize("stream", [True, False])
def test_each_wire_is_answered_and_written_down(world: World, wire: Wire, stream: bool) -> None:
    before = len(world.gateway.rows())
    answer = world.gateway.ask(wire, stream=stream)
    assert (answer.status, answer.hop) == (200, "main.1.hosted")
    assert REPLY in answer.text
    row = world.gateway.last_request(before)
    assert row == Request(
        row.at, "main", "hosted", "hosted-model", 1_000, 0, 9, 0.0, False, True, row.took_s, 200
    )
    heads = world.hosted.server.requests[-1].headers
    assert heads["authorization"] == f"Bearer {HOSTED_KEY}"


def test_small_work_is_asked_for_by_its_role_and_by_the_agents_own_name(world: World) -> None:
    for name in ("al-small", "claude-haiku-4-5-20251001"):
        before = len(world.gateway.rows())
        assert world.gateway.ask("anthropic_messages", name).status == 200
        assert world.gateway.last_request(before).role == "small"


@each_wire
def test_an_answer_is_not_asked_for_longer_than_an_endpoint_can_give(
    world: World, wire: Wire
) -> None:
    limit = "max_output_tokens" if wire == "openai_responses" else "max_tokens"
    wish: dict[str, Any] = {limit: 32_000}
    assert world.gateway.ask(wire, "al-main-3", **wish).hop == "main.3.big"
    assert world.big.server.requests[-1].json["max_tokens"] == 50


# ---- failures ---------------------------------------------------------------------------------


@each_wire
@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("500", "hosted answered with an error (HTTP 500)"),
        ("429", "hosted takes no more requests for now (HTTP 429)"),
        ("401", "hosted refused the key (HTTP 401)"),
        ("404", "hosted answered with an error (HTTP 404)"),
        ("400", "hosted refused the request (HTTP 400)"),
        ("hangs", f"hosted was silent for {SILENCE_S} s"),
    ],
)
def test_a_failure_is_answered_by_the_next_one_and_told(
    world: World, wire: Wire, manner: str, reason: str
) -> None:
    before = len(world.gateway.rows())
    world.hosted.manner = manner
    answer = world.gateway.ask(wire)
    assert (answer.status, answer.hop) == (200, "main.2.local")
    world.hosted.manner = "well"
    world.gateway.settled()
    rows = [row for row in world.gateway.rows()[before:] if isinstance(row, Switch)]
    assert [(row.role, row.before, row.after, row.reason) for row in rows] == [
        ("main", "hosted", "local", reason),
        ("main", "local", "hosted", "hosted answers again"),
    ]
    found = world.gateway.status
    assert found["roles"]["main"]["liked"] is True
    assert found["last_switch"]["reason"] == "hosted answers again"


@each_wire
def test_a_prompt_that_is_too_large_goes_past_the_smaller_one_to_the_larger(
    world: World, wire: Wire
) -> None:
    before, asked = len(world.gateway.rows()), world.local.asked
    world.hosted.manner = "overflows"
    answer = world.gateway.ask(wire)
    assert (answer.status, answer.hop) == (200, "main.3.big")
    assert world.local.asked == asked
    rows = [row for row in world.gateway.rows()[before:] if isinstance(row, Switch)]
    assert [(row.after, row.reason) for row in rows] == [
        ("big", "the prompt is larger than its context")
    ]
    assert world.gateway.status["roles"]["main"]["liked"] is False


@each_wire
def test_an_overflow_behind_a_failure_goes_on_too(world: World, wire: Wire) -> None:
    world.hosted.manner = "500"
    world.local.manner = "overflows"
    answer = world.gateway.ask(wire)
    assert (answer.status, answer.hop) == (200, "main.3.big")


@each_wire
def test_who_gets_no_answer_reads_why_from_each_endpoint(world: World, wire: Wire) -> None:
    before = len(world.gateway.rows())
    world.local.manner = "401"
    answer = world.gateway.ask(wire, "al-main-2")
    assert answer.status == 503
    expected = "agentlaunch: no endpoint for al-main-2 answers: local refused the key (HTTP 401)"
    assert expected in answer.text
    assert world.gateway.last_request(before, "").status == 503


@each_wire
def test_a_prompt_that_is_too_large_for_all_is_said_so_that_agents_know_it(
    world: World, wire: Wire
) -> None:
    world.local.manner = "overflows"
    answer = world.gateway.ask(wire, "al-main-2")
    assert answer.status == 400
    assert "exceeds the available context size" in answer.text


@each_wire
def test_an_answer_that_breaks_off_is_an_error_and_none_goes_to_another(
    world: World, wire: Wire
) -> None:
    before, asked = len(world.gateway.rows()), world.local.asked
    with contextlib.suppress(http.client.IncompleteRead):
        answer = world.gateway.ask(wire, "al-main-4")
        assert "error" in answer.text
    row = world.gateway.last_request(before, "breaks")
    assert (row.status, world.local.asked) == (503, asked)


@each_wire
def test_a_client_that_leaves_is_not_waited_for_and_its_tokens_are_counted(
    world: World, wire: Wire
) -> None:
    before = len(world.gateway.rows())
    key = "input" if wire == "openai_responses" else "messages"
    body = {
        "model": "al-main-5",
        "stream": True,
        "max_tokens": 100,
        key: [{"role": "user", "content": "x " * 400}],
    }
    connection = http.client.HTTPConnection(world.gateway.url.removeprefix("http://"), timeout=60)
    headers = {"authorization": f"Bearer {GATEWAY_KEY}", "content-type": "application/json"}
    connection.request("POST", WIRES[wire], json.dumps(body), headers)
    connection.getresponse().read(20)
    connection.close()
    row = world.gateway.last_request(before, "slow")
    assert (row.input_tokens > 100, row.output_tokens > 0) == (True, True)


# ---- what a request cannot ask for --------------------------------------------------------------


@each_wire
def test_a_body_reaches_no_endpoint_that_its_name_does_not_stand_for(
    world: World, wire: Wire
) -> None:
    asked = world.hosted.asked
    world.local.manner = "500"
    for wish in (
        {"fallbacks": ["al-main"]},
        {"fallbacks": [{"model": "al-main"}]},
        {"fallbacks": [{"al-main-2": ["al-main"]}], "max_fallbacks": 5},
        {"context_window_fallbacks": [{"al-main-2": ["al-main"]}]},
    ):
        assert world.gateway.ask(wire, "al-main-2", **wish).status == 503
    assert world.hosted.asked == asked


@each_wire
def test_a_body_cannot_choose_an_address_a_key_or_an_answer(world: World, wire: Wire) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.1)
        url = f"http://127.0.0.1:{other.getsockname()[1]}"
        wishes: list[dict[str, Any]] = [{"api_base": url}, {"base_url": url}, {"model_list": []}]
        for wish in wishes:
            assert world.gateway.ask(wire, **wish).status >= 400
        with pytest.raises(TimeoutError):
            other.accept()
    answer = world.gateway.ask(
        wire, api_key="sk-forged", mock_response="forged", num_retries=3, custom_llm_provider="x"
    )
    assert (answer.status, answer.hop) == (200, "main.1.hosted")
    assert REPLY in answer.text
    request = world.hosted.server.requests[-1]
    assert request.headers["authorization"] == f"Bearer {HOSTED_KEY}"
    assert b"forged" not in request.everything


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gpt-5", None),
        ("openai/gpt-5", None),
        ("main.1.hosted", None),
        ("al-main,al-small", None),
        ("al-main", "/v1/embeddings"),
        ("al-main", "/v1/completions"),
        ("al-main", "/v1/images/generations"),
        ("al-main", "/v1/rerank"),
        ("al-main", "/openai/v1/chat/completions"),
        ("al-main", "/anthropic/v1/messages"),
    ],
)
def test_nothing_but_the_agents_names_and_wires_is_served(
    world: World, model: str, path: str | None
) -> None:
    asked = world.hosted.asked
    answer = world.gateway.ask("openai_chat", model, path=path, prompt="x", documents=["x"])
    assert answer.status >= 400
    assert world.hosted.asked == asked
    assert world.gateway.ask("openai_chat").hop == "main.1.hosted"


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("GET", "/health", GATEWAY_KEY, 404),  # it would ask every endpoint, past the cap
        ("GET", "/model/info", GATEWAY_KEY, 404),
        ("POST", "/mcp-rest/test/connection", GATEWAY_KEY, 404),
        ("POST", "/vllm/v1/chat/completions", GATEWAY_KEY, 404),
        ("GET", "/openapi.json", "", 401),
        ("GET", "/ui/", "", 401),
        ("GET", "/routes", "", 401),
        ("POST", "/v1/messages", "sk-other", 401),
        ("GET", "/v1/models", GATEWAY_KEY, 200),
    ],
)
def test_of_litellm_itself_nothing_is_reached(
    world: World, method: str, path: str, key: str, status: int
) -> None:
    asked = [each.asked for each in (world.hosted, world.local, world.big, world.routed)]
    log = len(world.gateway.log)
    connection = http.client.HTTPConnection(world.gateway.url.removeprefix("http://"), timeout=60)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    with contextlib.closing(connection):
        connection.request(method, path, "{}" if method == "POST" else None, headers)
        assert connection.getresponse().status == status
    assert asked == [each.asked for each in (world.hosted, world.local, world.big, world.routed)]
    assert "Traceback" not in world.gateway.log[log:]


@each_wire
@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_points_elsewhere_sends_nothing_there(
    world: World, wire: Wire, stream: bool
) -> None:
    with engine("other-model") as other:
        world.hosted.manner = f"moved to {other.server.url}"
        assert world.gateway.ask(wire, stream=stream).hop == "main.2.local"
        assert other.server.requests == []


# ---- the day's cap ----------------------------------------------------------------------------


def test_the_days_money_ends_at_the_own_engine_and_then_with_words(world: World) -> None:
    gateway = world.gateway
    world.routed.input_tokens = 200_000  # 0.6 USD
    gateway.ask("openai_chat", "al-small", stream=False)
    wait_until(lambda: gateway.status["spent_today_usd"] >= CAP_USD)
    assert gateway.ask("anthropic_messages", "al-small").hop == "small.2.local"
    spent = f"the day's 0.50 USD are spent (max_spend_per_day in {CAP_FILE})"
    small = [row for row in gateway.rows() if isinstance(row, Switch) and row.role == "small"]
    assert [(row.before, row.after, row.reason) for row in small] == [
        ("openrouter", "local", spent)
    ]
    asked = world.routed.asked
    world.local.manner = "500"
    for wire in WIRES:
        answer = gateway.ask(wire, "al-small")
        assert answer.status == 402
        assert spent in answer.text
        assert "local answered with an error (HTTP 500)" in answer.text
    assert world.routed.asked == asked
    found = gateway.status
    assert found["cap_usd"] == CAP_USD
    assert found["roles"]["small"] == {
        "hop": "local",
        "model": "local-model",
        "since": found["roles"]["small"]["since"],
        "liked": False,
        "silent": {
            "since": found["roles"]["small"]["silent"]["since"],
            "why": f"{spent}; local answered with an error (HTTP 500)",
        },
    }


# ---- what it leaves behind ----------------------------------------------------------------------


def test_nobody_else_is_contacted_and_nothing_of_a_prompt_is_written(world: World) -> None:
    for manner in ("500", "overflows", "well"):
        world.hosted.manner = manner
        for wire in WIRES:
            world.gateway.ask(wire)
            world.gateway.ask(wire, "al-main-1", stream=False)
    world.gateway.settled()
    assert (world.proxy.tunnels, world.proxy.requests) == ([], [])
    written = b"".join(
        path.read_bytes() for path in world.gateway.folder.rglob("*") if path.is_file()
    )
    for secret in (PROMPT, REPLY, GATEWAY_KEY, HOSTED_KEY, "sk-or"):
        assert secret.encode() not in written, secret


def test_the_configuration_is_valid(world: World) -> None:
    program = str(real_litellm.program())
    folder = world.gateway.folder
    facts = json.loads((folder / "facts.json").read_bytes())
    facts["state"] = str(folder / "other.json")
    (folder / "other-facts.json").write_text(json.dumps(facts))
    done = subprocess.run(
        [program, "--validate_config", "--config", str(folder / "config.yaml")],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **config.OFFLINE,
             config.GATEWAY_KEY: GATEWAY_KEY, config.FACTS: str(folder / "other-facts.json")},
        cwd=folder, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    assert "config OK" in done.stdout + done.stderr


# ---- another one: an Ollama in front, and a model whose name LiteLLM would look up -------------


def test_what_cuts_a_prompt_does_not_get_one_that_is_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "COOLDOWN_S", 1)
    with (
        engine("llama-3-little") as cuts,
        engine("llama-3-large") as large,
        RefusingProxy() as proxy,
    ):
        first = Hop("ollama", cuts.server.url, "llama-3-little", "ollama", 8_192)
        second = Hop("hosted", large.server.url, "llama-3-large", "vllm", 65_536)
        with running(tmp_path, Spec({"main": (first, second)}), proxy.environment) as gateway:
            for wire in WIRES:
                assert gateway.ask(wire).hop == "main.1.ollama"
                assert gateway.ask(wire, prompt="word " * 20_000).hop == "main.2.hosted"
            reasons = {row.reason for row in gateway.rows() if isinstance(row, Switch)}
            large.manner = "500"
            asked = cuts.asked
            for wire in WIRES:
                assert gateway.ask(wire, prompt="word " * 20_000).status >= 400
            assert cuts.asked == asked
        assert (proxy.tunnels, proxy.requests) == ([], [])
    assert "the prompt is larger than its context" in reasons


# ---- another one: automatic routing, and the end ------------------------------------------------

HARD = (
    "Refactor the distributed scheduler architecture step by step: think through the concurrency, "
    "the database schema and the algorithm, implement the async function in Python, optimize its "
    "latency, explain your reasoning and write tests for each class and endpoint."
)


def test_automatic_routing_keeps_the_chains_and_a_gateway_ends_with_its_last_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "COOLDOWN_S", 1)
    with engine("hosted-model") as hosted, engine("small-model") as tiny, engine("m") as local:
        own = Hop("local", local.server.url, "m", "llama.cpp", 32_768)
        first = Hop("hosted", hosted.server.url, "hosted-model", "vllm", 65_536)
        little = Hop("tiny", tiny.server.url, "hosted-model", "vllm", 16_384)
        spec = Spec({"main": (first, own), "small": (little,)}, "auto")
        with running(tmp_path, spec, {}, idle_s=0.5) as gateway:
            lease = {"pid": os.getpid(), "mark": llama_cpp_host.start_mark(os.getpid())}
            (tmp_path / "leases" / "me").write_text(json.dumps(lease))
            for wire in WIRES:
                assert gateway.ask(wire, prompt="2+2").hop == "small.1.tiny"
                assert gateway.ask(wire, prompt=HARD).hop == "main.1.hosted"
            for manner in ("overflows", "500"):  # of the one that was guessed to be enough
                tiny.manner = manner
                for wire in WIRES:
                    assert gateway.ask(wire, prompt="2+2").hop == "main.1.hosted"
            hosted.manner = "500"
            for wire in WIRES:
                assert gateway.ask(wire, prompt=HARD).hop == "main.2.local"
                assert gateway.ask(wire, prompt="2+2").hop == "main.2.local"
            assert gateway.ask("openai_chat", "al-small").hop == "main.2.local"
            assert gateway.child.poll() is None
            (tmp_path / "leases" / "me").unlink()
            wait_until(lambda: gateway.child.poll() is not None, what="it did not end")
