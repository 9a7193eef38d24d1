"""The tool-call gate against the real llama.cpp engine with a model without tools, on each wire."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import small_model
from agentlaunch.endpoint import Wire
from agentlaunch.engines.base import Served, ServeRequest
from agentlaunch.engines.llama_cpp import LlamaCpp
from agentlaunch.models.sampling import Sampling, Tuning
from agentlaunch.progress import finish
from agentlaunch.proof import tool_call
from agentlaunch.proof.asking import ask
from agentlaunch.proof.check import Budget
from agentlaunch.proof.dialogue import System, User
from longer import beyond

WIRES: tuple[Wire, ...] = ("anthropic_messages", "openai_responses", "openai_chat")
CONTEXT = 2048


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    paths = small_model.engine_paths(tmp_path_factory.mktemp("engine"))
    engine = LlamaCpp(paths)
    # The likeliest words, always: before a reply that begins with half a character, as an emoji
    # may, llama.cpp (b11549) sends no `message_start`, and with it no counts (one such stream was
    # seen; that this was its cause is likely).
    always = Tuning(Sampling(temperature=0.0))
    request = ServeRequest("smollm2:135m", small_model.small_model(), CONTEXT, tuning=always)
    yield finish(engine.serve(request))
    for found in engine.running():
        engine.stop(found.key, force=True)


@pytest.mark.parametrize("wire", beyond(WIRES, "anthropic_messages"))
def test_a_template_that_ignores_tools_is_measured_on_the_real_engine(
    served: Served, wire: Wire
) -> None:
    work = tool_call.prove(served.endpoint, wire, budget=Budget(300), tools_known=served.tools)
    check = finish(work)
    measured = check.measured
    assert (check.status, measured["verdict"]) == ("error", "tools-ignored"), check
    assert measured["prompt_tokens"] == measured["prompt_tokens_without_tools"]
    assert "smollm2:135m ignores tools" in check.message
    assert [(row["name"], row["tries"]) for row in measured["probes"]] == [("call", 1)]


@pytest.mark.parametrize("stream", beyond([True, False], True))
@pytest.mark.parametrize("wire", WIRES)
def test_the_real_engine_is_understood_on_each_wire(
    served: Served, wire: Wire, stream: bool
) -> None:
    talk = (System("You are brief."), User("Say hello."))
    turn = ask(served.endpoint, wire, talk, stream=stream, max_tokens=8, deadline_s=120)
    again = ask(served.endpoint, wire, talk, stream=stream, max_tokens=8, deadline_s=120)
    assert (turn.status, turn.error) == (200, "")
    assert 1 <= (turn.output_tokens or 0) <= 8, "it may end before its limit"
    assert turn.text
    assert turn.prompt_tokens is not None
    assert turn.prompt_tokens == again.prompt_tokens
    assert again.cached_tokens is not None
    assert 0 < again.cached_tokens < again.prompt_tokens
    assert (turn.first_s is not None) == stream
