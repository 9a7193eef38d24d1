"""Every preset against its own shapes: what is asked, what is believed, and where a key goes.

llama.cpp and LiteLLM are also run for real (`test_real_servers.py`); the shapes of the others come
from the sources that their presets name.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from agentlaunch.agents.claude_code import AGENT
from agentlaunch.engines.presets import ALL, PRESETS, Target
from agentlaunch.engines.remote import ALL_WIRES, RemoteFacts, RemoteModel, probe
from agentlaunch.errors import AuthNeeded, EngineFailed, ModelUnavailable, UsageError
from agentlaunch.survey import look_at_remote
from anthropic_server import Recorded
from shaped_server import REFUSED, WIRES, Answer, ShapedServer, bearer

KEY = "sk-canary-0123456789"


def model_list(*rows: Mapping[str, Any]) -> Answer:
    return 200, {"object": "list", "data": [{"object": "model", **row} for row in rows]}


def asked(answers: Mapping[str, Answer], name: str | None = None, **more: Any) -> RemoteFacts:
    """What a probe makes of these answers, by preset or by address alone."""
    with ShapedServer(answers, **more) as server:
        facts = probe(server.url, preset=PRESETS[name] if name else None, wires=AGENT.wires)
        return replace(facts, url="http://server", bases=())


# --- vLLM ----------------------------------------------------------------------------------------

VLLM = {
    "GET /v1/models": model_list({"id": "m", "owned_by": "vllm", "max_model_len": 131_072}),
    "GET /version": (200, {"version": "0.33.0"}),
    **WIRES,
}


@pytest.mark.parametrize("name", ["vllm", "litellm", None])
def test_vllm_says_its_version_and_how_long_a_sequence_may_be(name: str | None) -> None:
    assert asked(VLLM, name) == RemoteFacts(
        "http://server",
        "vllm",
        ("anthropic_messages",),
        (RemoteModel("m", 131_072),),
        version="0.33.0",
    )


def test_an_old_vllm_without_the_agents_wire_is_seen() -> None:
    old = {key: value for key, value in VLLM.items() if key != "POST /v1/messages"}
    assert asked(old, "vllm").wires == ()


# --- llama.cpp -----------------------------------------------------------------------------------


def llama_cpp(n_ctx: int, props: Answer) -> dict[str, Answer]:
    row = {"id": "m", "owned_by": "llamacpp", "meta": {"n_ctx": n_ctx, "n_ctx_train": 8_192}}
    return {"GET /v1/models": model_list(row), "GET /props": props, **WIRES}


@pytest.mark.parametrize(
    ("props", "expected"),
    [
        ((200, {"default_generation_settings": {"n_ctx": 4_096},
                "chat_template_caps": {"supports_tools": True}}),
         RemoteModel("m", 4_096, tools=True)),
        ((200, {"chat_template_caps": {"supports_tools": False}}),
         RemoteModel("m", 8_192, tools=False)),
        ((200, {"chat_template_caps": {"supports_tools": "yes"}, "default_generation_settings": 1}),
         RemoteModel("m", 8_192)),
        ((404, {}), RemoteModel("m", 8_192)),
        ((200, b"<html>"), RemoteModel("m", 8_192)),
        ((200, [1]), RemoteModel("m", 8_192)),
    ],
)  # fmt: skip
def test_llama_cpp_says_what_a_slot_has_and_what_its_template_takes(
    props: Answer, expected: RemoteModel
) -> None:
    assert asked(llama_cpp(8_192, props)).models == (expected,)


# --- LM Studio -----------------------------------------------------------------------------------

LM_LIST = model_list(
    {"id": "coder", "owned_by": "organization_owner"},
    {"id": "other", "owned_by": "organization_owner"},
    {"id": "text-embedding-nomic", "owned_by": "organization_owner"},
)
LM_V1 = {
    "models": [
        {"type": "llm", "key": "coder", "max_context_length": 262_144,
         "loaded_instances": [{"id": "coder", "config": {"context_length": 40_960}}],
         "capabilities": {"trained_for_tool_use": True}},
        {"type": "llm", "key": "other", "max_context_length": 32_768, "loaded_instances": [],
         "capabilities": {"trained_for_tool_use": False}},
        {"type": "embedding", "key": "text-embedding-nomic", "loaded_instances": []},
    ]
}  # fmt: skip
LM_V0 = {
    "data": [
        {"id": "coder", "type": "llm", "state": "loaded", "max_context_length": 262_144,
         "loaded_context_length": 40_960, "capabilities": ["tool_use"]},
        {"id": "other", "type": "llm", "state": "not-loaded", "max_context_length": 32_768},
        {"id": "text-embedding-nomic", "type": "embeddings", "state": "not-loaded"},
    ]
}  # fmt: skip
LM_NOTHING: Answer = (200, {"error": "Unexpected endpoint or method. (POST /v1/messages)"})


@pytest.mark.parametrize("name", ["lm-studio", None])
@pytest.mark.parametrize(
    "native", [{"GET /api/v1/models": (200, LM_V1)}, {"GET /api/v0/models": (200, LM_V0)}]
)
def test_lm_studio_says_the_context_of_what_is_loaded_and_offers_no_embedder(
    native: dict[str, Answer], name: str | None
) -> None:
    facts = asked({"GET /v1/models": LM_LIST, **native, **WIRES}, name)
    assert facts.kind == "lm-studio"
    assert facts.models == (
        RemoteModel("coder", 40_960, tools=True, loaded=True),
        RemoteModel("other", None, loaded=False),
    )


def test_lm_studio_says_200_to_a_wire_that_it_does_not_have() -> None:
    facts = asked({"GET /v1/models": LM_LIST}, "lm-studio", otherwise=LM_NOTHING)
    assert facts.wires == ()


# --- Docker Model Runner -------------------------------------------------------------------------

DMR_ROWS = model_list(
    {"id": "docker.io/ai/qwen3:8B", "owned_by": "docker", "dmr": {"context_window": 40_960}},
    {"id": "docker.io/ai/smollm2:latest", "owned_by": "docker", "dmr": {"size": "256MB"}},
)


@pytest.mark.parametrize("models", ["GET /v1/models", "GET /engines/v1/models"])
@pytest.mark.parametrize("name", ["docker-model-runner", None])
def test_docker_model_runner_has_its_openai_wires_below_engines(
    models: str, name: str | None
) -> None:
    answers = {models: DMR_ROWS, "POST /v1/messages": REFUSED,
               "POST /engines/v1/chat/completions": REFUSED}  # fmt: skip
    with ShapedServer(answers) as server:
        facts = probe(server.url, preset=PRESETS[name] if name else None, wires=ALL_WIRES)
        url = server.url
    assert (facts.kind, facts.wires) == (
        "docker-model-runner", ("anthropic_messages", "openai_chat"),
    )  # fmt: skip
    assert facts.endpoint("m", "anthropic_messages", "").base_url == url
    chat = facts.endpoint("m", "openai_chat", "")
    assert (chat.base_url, chat.wires) == (url + "/engines", ("openai_chat",))
    assert facts.pick("ai/qwen3:8B") == RemoteModel("docker.io/ai/qwen3:8B", None)
    assert facts.pick("ai/smollm2") == RemoteModel("docker.io/ai/smollm2:latest", None)


# --- llama-swap ----------------------------------------------------------------------------------


def test_llama_swap_is_asked_only_about_what_runs() -> None:
    answers = {
        "GET /v1/models": model_list(
            {"id": "a/b", "owned_by": "llama-swap"}, {"id": "idle", "owned_by": "llama-swap"}
        ),
        "GET /running": (200, {"running": [{"model": "a/b", "state": "ready"},
                                           {"model": "idle", "state": "starting"}, 7]}),
        "GET /upstream/a/b/props": (200, {"default_generation_settings": {"n_ctx": 40_960},
                                          "chat_template_caps": {"supports_tools": True}}),
        **WIRES,
    }  # fmt: skip
    with ShapedServer(answers) as server:
        facts = probe(server.url)
        assert not [row for row in server.asked if "idle" in row]
    assert facts.kind == "llama-swap"
    assert facts.models == (
        RemoteModel("a/b", 40_960, tools=True, loaded=True),
        RemoteModel("idle", None, loaded=False),
    )


# --- LiteLLM -------------------------------------------------------------------------------------

ALIVE: dict[str, Answer] = {"GET /health/liveliness": (200, "I'm alive!")}
LITELLM = {
    **ALIVE,
    "GET /v1/models": model_list(
        {"id": "main", "owned_by": "openai", "max_input_tokens": 200_000},
        {"id": "vectors", "owned_by": "openai"},
        {"id": "plain", "owned_by": "openai"},
    ),
    "GET /model/info": (200, {"data": [
        {"model_name": "main", "model_info": {"max_input_tokens": 200_000, "mode": "chat",
                                              "supports_function_calling": True}},
        {"model_name": "main", "model_info": {"max_input_tokens": 32_768, "mode": None}},
        {"model_name": "vectors", "model_info": {"mode": "embedding"}},
        {"model_name": "plain", "model_info": {"supports_function_calling": False}},
    ]}),
    **WIRES,
}  # fmt: skip


@pytest.mark.parametrize("name", ["litellm", None])
def test_litellm_says_the_smallest_context_behind_a_name(name: str | None) -> None:
    facts = asked(LITELLM, name)
    assert facts.kind == "litellm"
    assert [(row.name, row.context_tokens) for row in facts.models] == [
        ("main", 32_768),
        ("plain", None),
    ]


@pytest.mark.parametrize(
    ("key", "answer", "words"),
    [
        ("", (500, b"Internal Server Error"), "wants a key"),
        ("wrong", (400, {"error": {"type": "no_db_connection", "code": "400"}}), "rejected"),
    ],
)
def test_litellms_odd_answers_to_a_missing_or_wrong_key_are_understood(
    key: str, answer: Answer, words: str
) -> None:
    with ShapedServer({**ALIVE, "GET /v1/models": answer}) as server:
        with pytest.raises(AuthNeeded, match=words):
            probe(server.url, key=key)
        with pytest.raises(AuthNeeded, match=words) as caught:
            probe(server.url, key=key, preset=PRESETS["litellm"])
    assert "LITELLM_MASTER_KEY" in (caught.value.hint or "")


# --- Ollama by its address -----------------------------------------------------------------------


@pytest.mark.parametrize("owner", ["library", "somebody"])
def test_an_ollama_by_its_address_says_the_context_of_what_it_holds(owner: str) -> None:
    """`owned_by` is the namespace of the model's name (seen, 0.33.0)."""
    answers = {
        "GET /v1/models": model_list(
            {"id": "qwen3:8b", "owned_by": owner},
            {"id": "phi4:14b", "owned_by": owner},
            {"id": "gpt-oss:120b-cloud", "owned_by": owner},
        ),
        "GET /api/ps": (200, {"models": [{"name": "qwen3:8b", "context_length": 4_096}]}),
        "GET /api/version": (200, {"version": "0.33.0"}),
        **WIRES,
    }
    facts = asked(answers)
    assert (facts.kind, facts.version) == ("ollama", "0.33.0")
    assert facts.models == (
        RemoteModel("qwen3:8b", 4_096, loaded=True),
        RemoteModel("phi4:14b", None, loaded=False),
    )


def test_an_ollama_without_any_model_is_an_ollama() -> None:
    answers = {
        "GET /v1/models": (200, {"object": "list", "data": None}),  # seen, 0.33.0
        "GET /api/ps": (200, {"models": []}),
        "GET /api/version": (200, {"version": "0.33.0"}),
        **WIRES,
    }
    facts = asked(answers)
    assert (facts.kind, facts.models) == ("ollama", ())


# --- companies' services -------------------------------------------------------------------------


def service(name: str, answers: Mapping[str, Answer], **more: Any) -> tuple[RemoteFacts, list[str]]:
    """A company's service, moved to a fake by its setting."""
    with ShapedServer(answers, **more) as server:
        facts = probe(server.url, key=KEY, preset=PRESETS[name], wires=AGENT.wires)
        return facts, server.asked


def test_openrouter_says_context_and_tools_and_its_key_is_asked_after() -> None:
    rows = (
        {"id": "a/tools", "context_length": 262_144, "supported_parameters": ["tools", "top_p"],
         "top_provider": {"context_length": 131_072, "max_completion_tokens": 32_000}},
        {"id": "b/none", "context_length": 8_192, "supported_parameters": ["top_p"],
         "top_provider": {"context_length": None, "max_completion_tokens": None}},
        {"id": "c/draws", "context_length": 8_192,
         "architecture": {"output_modalities": ["image"]}},
    )  # fmt: skip
    facts, requests = service(
        "openrouter",
        {
            "GET /v1/models": (200, {"data": rows[:1], "links": {"next": "/v1/models?offset=1"}}),
            "GET /v1/models?offset=1": (200, {"data": rows[1:], "links": {"next": None}}),
            "GET /v1/key": (200, {"data": {"label": "x"}}),
        },
    )
    assert facts.models == (
        RemoteModel("a/tools", 131_072, tools=True, max_output_tokens=32_000),
        RemoteModel("b/none", 8_192, tools=False),
    )
    assert facts.wires == PRESETS["openrouter"].wires
    assert requests == ["GET /v1/models", "GET /v1/models?offset=1", "GET /v1/key"]


def test_a_next_page_elsewhere_is_not_fetched() -> None:
    with ShapedServer({}) as elsewhere:
        page = {"data": [{"id": "m"}], "links": {"next": elsewhere.url + "/v1/models"}}
        facts, _ = service(
            "openrouter", {"GET /v1/models": (200, page), "GET /v1/key": (200, {"data": {}})}
        )
        assert elsewhere.requests == []
    assert [row.name for row in facts.models] == ["m"]


def test_a_key_that_openrouter_does_not_know_is_rejected_although_its_list_is_open() -> None:
    answers: dict[str, Answer] = {
        "GET /v1/models": (200, {"data": []}),
        "GET /v1/key": (401, {}),
    }
    with pytest.raises(AuthNeeded, match="rejected the key"):
        service("openrouter", answers)


def test_anthropic_is_asked_in_its_own_header_and_page_by_page() -> None:
    first = {
        "data": [
            {
                "id": "claude-big-5",
                "type": "model",
                "max_input_tokens": 1_000_000,
                "max_tokens": 64_000,
            }
        ],
        "has_more": True,
        "last_id": "claude-big-5",
    }
    rest = {"data": [{"id": "claude-old-4-20250101", "type": "model"}], "has_more": False}

    def only_its_own_header(request: Recorded) -> Answer | None:
        good = request.headers.get("x-api-key") == KEY and "authorization" not in request.headers
        return None if good and request.headers.get("anthropic-version") else (401, {})

    facts, _ = service(
        "anthropic",
        {"GET /v1/models?limit=1000": (200, first),
         "GET /v1/models?limit=1000&after_id=claude-big-5": (200, rest)},
        guard=only_its_own_header,
    )  # fmt: skip
    assert facts.models == (
        RemoteModel("claude-big-5", 1_000_000, tools=True, max_output_tokens=64_000),
        RemoteModel("claude-old-4-20250101", 200_000, tools=True),
    )
    assert facts.pick("claude-old-4") == RemoteModel("claude-old-4", 200_000, tools=True)
    assert facts.endpoint("m", "anthropic_messages", KEY).token_header == "x-api-key"
    with pytest.raises(ModelUnavailable, match="does not serve 'claude-big'"):
        facts.pick("claude-big")


def test_openai_offers_what_can_talk_and_says_no_context() -> None:
    names = ("gpt-5.4", "text-embedding-3-large", "whisper-1", "tts-1", "gpt-image-1", "sora-2")
    facts, _ = service("openai", {"GET /v1/models": model_list(*({"id": n} for n in names))})
    assert facts.models == (RemoteModel("gpt-5.4", None),)
    assert facts.wires == ("openai_responses", "openai_chat")


@pytest.mark.parametrize("name", ["openrouter", "anthropic", "openai"])
def test_a_company_is_not_asked_without_a_key(name: str) -> None:
    with ShapedServer({}) as server:
        with pytest.raises(AuthNeeded, match="wants a key"):
            probe(server.url, preset=PRESETS[name])
        assert server.requests == []


# --- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", [row for row in ALL if row.hosted], ids=lambda row: row.name)
def test_a_companys_key_goes_to_its_own_host_alone(preset: Any) -> None:
    own = (*preset.key_variables,)
    assert Target(preset.address, preset).key_variables == ("AGENTLAUNCH_ENGINE_KEY", *own)
    for url in ("https://gateway.example", preset.address.replace("https", "http"),
                preset.address.replace("://", "://x.")):  # fmt: skip
        assert Target(url, preset).key_variables == ("AGENTLAUNCH_ENGINE_KEY",)


def test_a_companys_key_is_not_sent_to_another_address_under_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ShapedServer({"GET /v1/models": model_list({"id": "m"})}) as server:
        target = Target(server.url, PRESETS["openrouter"])
        environ = {"OPENROUTER_API_KEY": KEY, "PYTHON_KEYRING_BACKEND": "x"}
        with pytest.raises(AuthNeeded):
            look_at_remote(target, AGENT.wires, environ, watched=False)
        assert server.requests == []


def test_the_variable_of_ours_comes_before_the_servers_own() -> None:
    guard = bearer(KEY)
    with ShapedServer(VLLM, guard=guard) as server:
        target = Target(server.url, PRESETS["vllm"])
        environ = {"AGENTLAUNCH_ENGINE_KEY": KEY, "VLLM_API_KEY": "another"}
        assert look_at_remote(target, AGENT.wires, environ, watched=False).key == KEY
        environ = {"VLLM_API_KEY": KEY}
        assert look_at_remote(target, AGENT.wires, environ, watched=False).key == KEY
        other = Target(server.url)  # an address alone: whose server that is, nobody said
        with pytest.raises(AuthNeeded):
            look_at_remote(other, AGENT.wires, environ, watched=False)


def test_a_wire_that_wants_another_key_is_no_missing_wire() -> None:
    answers = {**VLLM, "POST /v1/messages": (403, {})}
    with pytest.raises(AuthNeeded, match="403"):
        asked(answers)


# --- lists ---------------------------------------------------------------------------------------


def test_a_long_list_is_cut_and_shows_first_what_an_agent_can_use() -> None:
    models = tuple(RemoteModel(f"m{n}", 1, tools=n >= 380) for n in range(400))
    facts = RemoteFacts("https://h", "openrouter", ALL_WIRES, models)
    with pytest.raises(UsageError) as caught:
        facts.pick(None)
    assert (caught.value.exit_code, caught.value.code) == (2, "several-models")
    listed = caught.value.message.partition("models: ")[2]
    assert listed == ", ".join(f"m{n}" for n in range(380, 400)) + " and 380 more"


def test_a_name_that_is_nearly_one_is_suggested() -> None:
    models = (RemoteModel("qwen3:8b", 1), RemoteModel("phi4", 1))
    facts = RemoteFacts("http://h", "unknown", ALL_WIRES, models)
    with pytest.raises(ModelUnavailable) as caught:
        facts.pick("qwen3:7b")
    assert caught.value.hint == "did you mean qwen3:8b?"


@pytest.mark.parametrize("broken", [{"models": 7}, {"data": [7, {"model_name": 7}]}, [], None, "x"])
@pytest.mark.parametrize("name", sorted(PRESETS))
def test_nonsense_beside_a_good_list_is_passed_over(name: str, broken: object) -> None:
    preset = PRESETS[name]
    answers = {f"GET {preset.models}": model_list({"id": "m"}), **WIRES}
    with ShapedServer(answers, otherwise=(200, broken)) as server:
        facts = probe(server.url, key=KEY, preset=preset, wires=AGENT.wires)
    assert [row.name for row in facts.models] == ["m"]


def test_a_sign_in_page_is_no_server() -> None:
    page: Answer = (200, b"<html>Sign in to the WiFi</html>")
    for preset in ALL:
        with ShapedServer({}, otherwise=page) as server, pytest.raises(EngineFailed) as caught:
            probe(server.url, key=KEY, preset=preset)
        assert "sign-in page" in (caught.value.hint or "")


def test_a_wire_that_is_slow_is_not_taken_for_missing() -> None:
    end = threading.Event()

    def slow(request: Recorded) -> Answer | None:
        if request.method == "POST":
            end.wait(10)
        return None

    with ShapedServer(VLLM, guard=slow) as server:
        with pytest.raises(EngineFailed, match=r"did not (finish|answer)") as caught:
            probe(server.url, deadline_s=1.0)
        end.set()
    assert "try again" in (caught.value.hint or "")


def test_wires_are_asked_side_by_side() -> None:
    together = threading.Barrier(3, timeout=10)

    def meet(request: Recorded) -> Answer | None:
        if request.method == "POST":
            together.wait()
        return None

    with ShapedServer({**VLLM, **WIRES}, guard=meet) as server:
        assert probe(server.url).wires == ALL_WIRES


@pytest.mark.parametrize("status", [502, 503, 504])
@pytest.mark.parametrize("path", ["GET /v1/models", "POST /v1/messages"])
def test_a_server_that_starts_is_neither_ready_nor_no_server(path: str, status: int) -> None:
    answers = {**VLLM, path: (status, {"error": "Loading model"})}
    with ShapedServer(answers) as server, pytest.raises(EngineFailed) as caught:
        probe(server.url)
    assert (caught.value.code, caught.value.exit_code) == ("engine-busy", 6)
    assert "try again" in (caught.value.hint or "")


def test_a_model_that_is_listed_twice_is_one() -> None:
    twice = {**VLLM, "GET /v1/models": model_list({"id": "a"}, {"id": "a"})}
    with ShapedServer(twice) as server:
        assert probe(server.url).pick(None).name == "a"


def test_no_key_is_sent_before_the_word() -> None:
    with ShapedServer(VLLM) as server:
        environ = {"AGENTLAUNCH_ENGINE_KEY": KEY}
        look_at_remote(Target(server.url), AGENT.wires, environ, watched=False, keyed=False)
    assert not [row for row in server.requests if "authorization" in row.headers]
