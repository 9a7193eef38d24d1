"""Two turns with an agent's own prompt: against fakes of each server's behaviour, against the real
llama.cpp engine and, where `AGENTLAUNCH_TEST_OLLAMA` names one, against a real Ollama."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import registry_server
import small_model
from agentlaunch import web
from agentlaunch.endpoint import Endpoint, Wire
from agentlaunch.engines.base import Served, ServeRequest
from agentlaunch.engines.llama_cpp import LlamaCpp, Timing
from agentlaunch.engines.ollama.client import Client
from agentlaunch.engines.ollama.pull import pull
from agentlaunch.progress import finish
from agentlaunch.proof import bodies, first_word, prefix, truncation
from agentlaunch.proof.asking import MARK
from agentlaunch.proof.check import Budget, Check
from agentlaunch.proof.dialogue import System, Tool, User
from agentlaunch.proof.exchange import Exchange, two_turns
from agentlaunch.proof.recording import Recording
from longer import beyond
from wire_replies import Reply
from wire_server import WireServer, overflow, refuse

REAL = os.environ.get("AGENTLAUNCH_TEST_OLLAMA", "")
WIRES: tuple[Wire, ...] = ("anthropic_messages", "openai_responses", "openai_chat")
CONTEXT = 4096
SENTENCE = "You are a careful helper who reads before writing, and says so. "
TOOL = Tool(
    "read_file",
    "Read a file of the project and give its lines back.",
    {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
)


def recording(wire: Wire, sentences: int = 100, *, tools: int = 4) -> Recording:
    """An agent's first request with so many sentences in its system prompt."""
    messages = (System(SENTENCE * sentences), User("."))
    offered = [replace(TOOL, name=f"read_file_{number}") for number in range(tools)]
    body = bodies.body(wire, "any", messages, offered, stream=True, max_tokens=4096)
    return Recording("agent", "1.0", wire, body)


def asked(endpoint: Endpoint, recorded: Recording, *, second: bool = True) -> Exchange:
    return finish(two_turns(endpoint, recorded, budget=Budget(600), second=second))


def judged(
    found: Exchange, recorded: Recording, allocated: int | None, *, tools_ignored: bool = False
) -> Check:
    return truncation.judge(
        found,
        recorded.first_turn("any"),
        allocated_tokens=allocated,
        window_tokens=allocated or 65_536,
        tokens_per_character=None,
        tools_ignored=tools_ignored,
        way_out="--context 65536",
    )


# --- fakes ---------------------------------------------------------------------------------------


def size(request: dict[str, Any]) -> int:
    """Tokens of a request: a quarter of its characters."""
    return bodies.characters(request) // 4


def ollamas_cut(tokens: int, window: int, keep: int = 4) -> int:
    """What Ollama evaluates of a prompt (0.33, llm/llama_server.go)."""
    return tokens if tokens < window else window - max((window - keep) // 2, 1)


def without_usage(text: str, wire: Wire) -> Reply:
    """A whole answer of a server that counts nothing."""
    documents: dict[Wire, dict[str, Any]] = {
        "openai_chat": {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]},
        "anthropic_messages": {
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
        },
        "openai_responses": {
            "status": "completed",
            "output": [
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": text}],
                }
            ],
        },
    }
    return Reply(recorded=json.dumps(documents[wire]).encode())


def seeing(request: dict[str, Any], wire: Wire, last_characters: int) -> Reply:
    """A model that names the codes in the part of the prompt that reached it."""
    text = json.dumps(request)[-last_characters:]
    return without_usage(" ".join(re.findall(r"code is (\w{12})", text)), wire)


@pytest.fixture
def server() -> Iterator[WireServer]:
    with WireServer() as server:
        yield server


def endpoint_of(server: WireServer) -> Endpoint:
    return Endpoint(server.url, WIRES, server.model)


@pytest.mark.parametrize("wire", WIRES)
def test_each_turn_is_asked_once_and_nothing_else_is_said_to_the_model(
    server: WireServer, wire: Wire
) -> None:
    server.probes = lambda request, _wire: Reply(text="Yes", input_tokens=size(request))
    recorded = recording(wire)
    found = asked(endpoint_of(server), recorded)
    assert found.first is not None
    prompts = [
        each.json
        for each in server.requests
        if not each.path.endswith(("_tokens", "/tokenize")) and each.method == "POST"
    ]
    assert prompts == [
        recorded.first_turn(server.model),
        recorded.second_turn(server.model, found.first.text),
    ]
    assert judged(found, recorded, 65_536).status == "ok"


def test_a_gateway_that_guesses_a_count_is_not_believed(server: WireServer) -> None:
    server.probes = lambda request, _wire: Reply(text="Yes", input_tokens=size(request) * 3 // 4)
    recorded = recording("anthropic_messages")
    found = asked(endpoint_of(server), recorded)
    assert "/v1/messages/count_tokens" in [each.path for each in server.requests]
    assert found.sent_tokens is None
    assert judged(found, recorded, 65_536).status == "ok"


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("second", [True, False])
@pytest.mark.parametrize("keep", [4, 5])
def test_the_half_window_of_ollama_is_seen(
    server: WireServer, wire: Wire, second: bool, keep: int
) -> None:
    window = 1500
    server.probes = lambda request, _wire: Reply(
        text="Yes", input_tokens=ollamas_cut(size(request), window, keep)
    )
    recorded = recording(wire)
    check = judged(asked(endpoint_of(server), recorded, second=second), recorded, window)
    assert (check.status, check.remedy) == ("error", "--context 65536")
    assert check.measured["evaluated_tokens"] == window - (window - keep) // 2


@pytest.mark.parametrize(
    ("seen_characters", "status"), [(1 << 20, "ok"), (900, "error"), (1, "skipped")]
)
@pytest.mark.parametrize("second", [True, False])
def test_odd_counts_in_a_window_that_nobody_knows_are_settled_by_what_the_model_sees(
    server: WireServer, second: bool, seen_characters: int, status: str
) -> None:
    """With a second turn a constant number is odd; without, one that is far too small."""

    def probes(request: dict[str, Any], _wire: Wire) -> Reply:
        text = json.dumps(request)[-seen_characters:]
        said = " ".join(re.findall(r"code is (\w{12})", text))
        return Reply(text=said or "Yes", input_tokens=1500 if second else 100)

    server.probes = probes
    recorded = recording("openai_chat")
    found = asked(endpoint_of(server), recorded, second=second)
    assert judged(found, recorded, None).status == status
    marked = [each for each in server.requests if MARK.encode() in each.body]
    assert len(marked) == 1


def test_odd_counts_in_a_known_window_need_no_further_question(server: WireServer) -> None:
    server.probes = lambda _request, _wire: Reply(text="Yes", input_tokens=1500)
    work = two_turns(
        endpoint_of(server), recording("openai_chat"), budget=Budget(600), allocated_tokens=3000
    )
    assert finish(work).markers is None


def test_the_same_little_count_twice_in_a_large_window_is_asked_about(server: WireServer) -> None:
    server.probes = lambda _request, _wire: Reply(text="Yes", input_tokens=1500)
    work = two_turns(
        endpoint_of(server), recording("openai_chat"), budget=Budget(600), allocated_tokens=131_072
    )
    assert finish(work).markers == (False, False)


@pytest.mark.parametrize(
    "refusal",
    [
        overflow(20_000, 4096),
        refuse(
            400,
            "This model's maximum context length is 4096 tokens. However, you requested 20001 "
            "tokens in total. Please reduce the length of the input prompt.",
        ),
        refuse(500, "the request exceeds the available context size, try increasing it"),
    ],
    ids=["llama.cpp", "vLLM", "as an error of the server"],
)
def test_a_refused_prompt_is_an_error_with_the_way_out(server: WireServer, refusal: Reply) -> None:
    server.probes = lambda _request, _wire: refusal
    recorded = recording("openai_chat")
    found = asked(endpoint_of(server), recorded)
    assert found.second is None
    check = judged(found, recorded, 4096)
    assert (check.status, check.remedy) == ("error", "--context 65536")
    assert "does not fit into the context of 4,096 tokens" in check.message


def test_a_busy_server_is_not_measured(server: WireServer) -> None:
    server.probes = lambda _request, _wire: refuse(503, "Loading model")
    recorded = recording("openai_chat")
    assert judged(asked(endpoint_of(server), recorded), recorded, 4096).status == "skipped"


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("seen_characters", "status"), [(1 << 20, "ok"), (900, "error"), (1, "skipped")]
)
def test_where_nothing_is_counted_both_ends_of_a_prompt_are_asked_for(
    server: WireServer, wire: Wire, seen_characters: int, status: str
) -> None:
    server.probes = lambda request, wire: seeing(request, wire, seen_characters)
    recorded = recording(wire)
    found = asked(endpoint_of(server), recorded, second=False)
    check = judged(found, recorded, None)
    assert (check.status, check.measured["how"]) == (status, "a marker at each end")
    marked = [each for each in server.requests if MARK.encode() in each.body]
    assert len(marked) == 1
    assert bodies.characters(marked[0].json) > bodies.characters(recorded.first_turn("any"))


def test_a_server_that_wants_to_write_more_than_a_token_is_asked_for_more(
    server: WireServer,
) -> None:
    def probes(request: dict[str, Any], _wire: Wire) -> Reply:
        if request["max_output_tokens"] < 16:
            said = (
                "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16"
            )
            return refuse(400, said)
        return Reply(text="Yes", input_tokens=size(request))

    server.probes = probes
    server.answer = probes
    recorded = recording("openai_responses")
    found = asked(endpoint_of(server), recorded, second=False)
    assert judged(found, recorded, 65_536).status == "ok"


def test_no_time_is_no_request(server: WireServer) -> None:
    recorded = recording("openai_chat")
    found = finish(two_turns(endpoint_of(server), recorded, budget=Budget(0)))
    assert (found, server.requests) == (Exchange(None), [])
    assert judged(found, recorded, 4096).status == "skipped"
    check = prefix.judge(found, recorded, slots=1, rewinds=True, engine="vllm")
    assert check.status == "skipped"


# --- the real llama.cpp engine -------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    paths = small_model.engine_paths(tmp_path_factory.mktemp("engine"))
    quick = Timing(idle_s=600, sleep_s=600, watch_s=0.1, answer_s=2.0)
    engine = LlamaCpp(paths, quick)
    yield finish(engine.serve(ServeRequest("smollm2:135m", small_model.small_model(), CONTEXT)))
    for found in engine.running():
        engine.stop(found.key, force=True)


@pytest.mark.parametrize("wire", beyond(WIRES, "anthropic_messages"))
def test_the_real_engine_counts_exactly_and_finds_the_second_turn_in_its_cache(
    served: Served, wire: Wire
) -> None:
    recorded = recording(wire)
    found = asked(served.endpoint, recorded)
    assert found.first is not None
    assert found.sent_tokens == found.first.prompt_tokens
    check = judged(found, recorded, served.context_tokens, tools_ignored=True)
    assert (check.status, check.measured["how"]) == ("ok", "counted by the server")
    reads = prefix.judge(found, recorded, slots=1, rewinds=True, engine="embedded")
    assert (reads.status, reads.measured["how"]) == ("ok", "told by the engine")
    assert reads.measured["share"] > 0.9


@pytest.mark.parametrize("wire", beyond(WIRES, "anthropic_messages"))
def test_the_real_engine_is_no_false_alarm_where_it_does_not_count(
    served: Served, wire: Wire
) -> None:
    recorded = recording(wire)
    found = replace(asked(served.endpoint, recorded), sent_tokens=None)
    check = judged(found, recorded, served.context_tokens, tools_ignored=True)
    assert (check.status, check.measured["how"]) == ("ok", "estimated")


@pytest.mark.parametrize("wire", beyond(WIRES, "anthropic_messages"))
def test_the_real_engine_refuses_what_does_not_fit(served: Served, wire: Wire) -> None:
    recorded = recording(wire, 600)
    found = asked(served.endpoint, recorded)
    assert found.sent_tokens is not None
    assert found.sent_tokens > CONTEXT
    check = judged(found, recorded, served.context_tokens)
    assert check.status == "error"
    assert "does not fit into the context of 4,096 tokens" in check.message


@pytest.mark.parametrize("llama_cpp", [True, False], ids=["its own timings", "by the clock"])
def test_the_speed_of_the_real_engine_promises_a_first_word(
    served: Served, llama_cpp: bool
) -> None:
    work = first_word.measure(
        served.endpoint, llama_cpp=llama_cpp, context_tokens=CONTEXT, budget=Budget(60)
    )
    speed = finish(work)
    assert speed is not None
    assert speed.prefill_tokens_per_s is not None
    check = first_word.judge(speed, prompt_tokens=20_000, measured_s=None, limit_s=1e9)
    assert check.status == "ok"
    assert check.measured["first_word_s"] == pytest.approx(
        20_000 * 1.5 / speed.prefill_tokens_per_s, rel=0.01, abs=0.1
    )


# --- a real Ollama -------------------------------------------------------------------------------

TEMPLATE = (
    b"{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}"
    b"{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
    b"<|im_start|>assistant\n"
)


@pytest.fixture(scope="module")
def ollama() -> Iterator[tuple[Client, str]]:
    if not REAL:
        pytest.skip("AGENTLAUNCH_TEST_OLLAMA names no real server")
    client = Client(REAL)
    with registry_server.running() as registry:
        registry.redirect_blobs_to = "http://localhost:{port}/cdn/{digest}"
        config = json.dumps({"model_format": "gguf", "model_family": "llama",
                             "model_type": "135M", "file_type": "Q4_1"}).encode()  # fmt: skip
        layers = {"model": small_model.small_model().read_bytes(), "template": TEMPLATE}
        name = registry.add("ns/exchanged:q4", layers, config=config)
        finish(pull(client, name, insecure=True))
        yield client, name
        for tag in client.tags():
            if tag.name.lower().startswith(name.rpartition(":")[0]):
                client.delete(tag.name)


def _with_window(ollama: tuple[Client, str], window: int) -> Endpoint:
    client, base = ollama
    name = f"{base}-{window}"
    body = {"model": name, "from": base, "parameters": {"num_ctx": window}}
    reply = web.request("POST", client.url + "/api/create", json_body=body, deadline_s=60)
    assert reply.status == 200, reply.body
    return Endpoint(client.url, WIRES, name)


@pytest.mark.needs_ollama
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("second", [True, False])
def test_a_real_ollama_cuts_and_it_is_seen(
    ollama: tuple[Client, str], wire: Wire, second: bool
) -> None:
    recorded = recording(wire, 200, tools=0)
    found = asked(_with_window(ollama, 1024), recorded, second=second)
    check = judged(found, recorded, 1024)
    assert check.status == "error"
    # A `developer` message is dropped as a whole; of a `system` prompt half a window is left.
    left = 10 if wire == "openai_responses" else 514
    assert check.measured["evaluated_tokens"] == left


@pytest.mark.needs_ollama
@pytest.mark.parametrize("wire", WIRES)
def test_a_real_ollama_with_room_is_no_false_alarm(ollama: tuple[Client, str], wire: Wire) -> None:
    recorded = recording(wire, 200, tools=0)
    found = asked(_with_window(ollama, 8192), recorded)
    check = judged(found, recorded, 8192)
    assert (check.status, check.measured["how"]) == ("ok", "estimated")
    reads = prefix.judge(found, recorded, slots=None, rewinds=True, engine="ollama")
    assert reads.status in {"ok", "skipped"}
