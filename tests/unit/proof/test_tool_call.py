"""The tool-call gate: a corpus of bad and good replies, a model that acts, what is sampled."""

from __future__ import annotations

import json
from typing import Any

import pytest

from acting_model import ActingModel, Manner
from agentlaunch.endpoint import Endpoint, Wire
from agentlaunch.errors import AuthNeeded, EngineFailed
from agentlaunch.progress import Progress, finish
from agentlaunch.proof import leaks, tool_call
from agentlaunch.proof.check import Budget, Check
from recorded_replies import Recorded, recorded
from wire_replies import Reply
from wire_server import WireServer, refuse, say

WIRES: tuple[Wire, ...] = ("anthropic_messages", "openai_responses", "openai_chat")
BAD = recorded("bad_replies")
GOOD = recorded("good_replies")


def proven(
    server: WireServer,
    wire: Wire,
    *,
    seconds: float = 60,
    tools_known: bool | None = None,
    sends_late: bool = True,
) -> Check:
    endpoint = Endpoint(server.url, (wire,), server.model)
    work = tool_call.prove(
        endpoint,
        wire,
        budget=Budget(seconds),
        tools_known=tools_known,
        sends_late=sends_late,
    )
    return finish(work)


def acted(model: ActingModel, wire: Wire = "openai_chat", *, sends_late: bool = True) -> Check:
    with WireServer(probes=model) as server:
        return proven(server, wire, sends_late=sends_late)


def tries(check: Check) -> dict[str, int]:
    return {row["name"]: row["tries"] for row in check.measured["probes"]}


# --- the corpus ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", BAD, ids=lambda reply: reply.name)
def test_a_bad_reply_gets_its_verdict_and_a_way_out(reply: Recorded) -> None:
    with WireServer(probes=reply) as server:
        check = proven(server, reply.wire)
    found = (check.status, check.measured["verdict"], check.measured["family"])
    assert found == ("error", reply.row["verdict"], reply.row.get("family")), check.message
    assert reply.row.get("says", "") in f"{check.message} {check.remedy}"
    assert check.remedy
    assert "\n" not in check.message


@pytest.mark.parametrize("reply", GOOD, ids=lambda reply: reply.name)
def test_a_good_reply_is_not_flagged(reply: Recorded) -> None:
    with WireServer(probes=reply) as server:
        check = proven(server, reply.wire)
    assert (check.status, check.measured["verdict"]) == ("ok", "works"), check.message
    assert set(tries(check).values()) == {1}


def test_the_call_that_was_wanted_is_given_back_and_no_other() -> None:
    reply = next(each for each in GOOD if each.name == "the-right-call-second")
    with WireServer(probes=reply) as server:
        assert proven(server, reply.wire).status == "ok"
        back = server.requests[1].json["messages"][2]["tool_calls"]
    assert [call["function"]["name"] for call in back] == ["read_note"]


def test_the_corpus_holds_every_verdict_on_every_wire() -> None:
    kinds = {reply.row["verdict"] for reply in BAD}
    assert len(BAD) >= 40
    assert kinds == {
        "text-instead-of-call",
        "tools-ignored",
        "malformed-arguments",
        "wrong-tool",
        "refused",
        "cut",
    }
    for kind in ("text-instead-of-call", "malformed-arguments", "wrong-tool", "refused", "cut"):
        assert {reply.wire for reply in BAD if reply.row["verdict"] == kind} == set(WIRES)
    assert all(reply.row["source"] for reply in (*BAD, *GOOD))


# --- a model that acts ---------------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES)
def test_a_competent_model_works(wire: Wire) -> None:
    model = ActingModel()
    check = acted(model, wire)
    assert (check.status, check.remedy) == ("ok", None)
    assert check.measured["wire"] == wire
    assert check.measured["verdict"] == "works"
    assert tries(check) == {
        "call": 1,
        "result and second call": 1,
        "late instruction": 1,
        "call, not streamed": 1,
    }
    assert [request["stream"] for request in model.asked] == [True, True, True, False]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("manner", "verdict"),
    [
        ("prose", "text-instead-of-call"),
        ("json-in-text", "text-instead-of-call"),
        ("silent", "text-instead-of-call"),
        ("forgets-the-result", "text-instead-of-call"),
        ("ignores-tools", "tools-ignored"),
        ("other-argument", "malformed-arguments"),
        ("other-tool", "wrong-tool"),
        ("unknown-tool", "wrong-tool"),
        ("refuses-tools", "refused"),
        ("fails-to-parse", "refused"),
    ],
)
def test_each_bad_manner_is_found_on_each_wire(manner: Manner, verdict: str, wire: Wire) -> None:
    check = acted(ActingModel(manner), wire)
    assert (check.status, check.measured["verdict"]) == ("error", verdict)


@pytest.mark.parametrize("wire", WIRES)
def test_a_late_instruction_that_is_refused_stops_the_agent_that_sends_one_alone(
    wire: Wire,
) -> None:
    model = ActingModel("refuses-late-instructions")
    claude, other = acted(model, wire), acted(model, wire, sends_late=False)
    assert (claude.status, claude.measured["verdict"]) == ("error", "refused")
    assert "--slim on" in (claude.remedy or "")
    assert (other.status, other.measured["verdict"]) == ("warning", "works")
    assert "--slim" not in f"{other.message} {other.remedy}"
    assert tries(other)["call, not streamed"] == 1
    assert "refuses an instruction behind the first turn" in other.message


def test_a_page_instead_of_events_is_no_verdict_on_the_model() -> None:
    page = Reply(recorded=b"<!doctype html><title>Sign in</title>", content_type="text/html")
    server = WireServer(probes=lambda _request, _wire: page)
    with server, pytest.raises(EngineFailed) as caught:
        proven(server, "openai_chat")
    assert caught.value.code == "not-a-stream"


def test_a_reply_that_breaks_off_is_no_verdict_on_the_model() -> None:
    reply = next(each for each in BAD if each.name == "codestral-prose")
    half = "data: ".join(reply.body.split("data: ")[:4])
    cut = Reply(recorded=half.encode(), content_type="text/event-stream")
    server = WireServer(probes=lambda _request, _wire: cut)
    with server, pytest.raises(EngineFailed) as caught:
        proven(server, "openai_chat")
    assert caught.value.code == "reply-cut"


def test_a_reply_that_only_speaks_of_a_call_is_told_from_one_that_holds_it() -> None:
    prose, text = acted(ActingModel("prose")), acted(ActingModel("json-in-text"))
    assert "answers instead of calling" in prose.message
    assert "the call comes as text (JSON in the text)" in text.message


# --- sampled or not ------------------------------------------------------------------------------


@pytest.mark.parametrize("bad_tries", [1, 2])
def test_one_success_of_three_is_a_warning_with_the_share(bad_tries: int) -> None:
    check = acted(ActingModel("json-in-text", bad_tries=bad_tries))
    assert (check.status, check.measured["verdict"]) == ("warning", "works")
    assert f"call: 1 of {bad_tries + 1} tries" in check.message


def test_three_failures_count_and_each_try_has_its_own_nonce() -> None:
    model = ActingModel("prose")
    assert tries(acted(model)) == {"call": 3}
    asked = [request["messages"] for request in model.asked if request["stream"]]
    assert len(asked) == len({str(messages) for messages in asked}) == 3


def test_a_failure_to_parse_is_asked_again_and_a_refusal_is_not() -> None:
    once = acted(ActingModel("fails-to-parse", bad_tries=2))
    assert (once.status, tries(once)["call"]) == ("warning", 3)
    assert tries(acted(ActingModel("refuses-tools"))) == {"call": 1}


def test_ignored_tools_are_measured_and_need_no_second_try() -> None:
    check = acted(ActingModel("ignores-tools"))
    measured = check.measured
    assert tries(check) == {"call": 1}
    assert abs(measured["prompt_tokens"] - measured["prompt_tokens_without_tools"]) <= 20
    assert "--jinja" in (check.remedy or "")


def without_usage(request: dict[str, Any], _wire: Wire) -> Reply:
    """A server that does not tell how long a prompt was, and a model that only talks."""
    said = {"content": "I am happy to help."}
    row = {"delta" if request["stream"] else "message": said, "finish_reason": "stop"}
    data = json.dumps({"choices": [row]})
    if request["stream"]:
        event = f"data: {data}\n\ndata: [DONE]\n\n".encode()
        return Reply(recorded=event, content_type="text/event-stream")
    return Reply(recorded=data.encode())


@pytest.mark.parametrize(
    ("tools_known", "verdict"),
    [(False, "tools-ignored"), (True, "text-instead-of-call"), (None, "text-instead-of-call")],
)
def test_without_counts_the_servers_own_word_decides(
    tools_known: bool | None, verdict: str
) -> None:
    with WireServer(probes=without_usage) as server:
        check = proven(server, "openai_chat", tools_known=tools_known)
    assert (check.status, check.measured["verdict"]) == ("error", verdict)


def test_what_a_server_says_of_its_template_is_not_believed_when_calls_work() -> None:
    with WireServer() as server:
        assert proven(server, "openai_chat", tools_known=False).status == "ok"


# --- a busy server -------------------------------------------------------------------------------


class Busy:
    """A model behind a server that has no time for the first requests, or for any."""

    def __init__(self, status: int, times: int) -> None:
        self.status, self.times = status, times
        self.model = ActingModel()

    def __call__(self, request: dict[str, Any], wire: Wire) -> Reply:
        self.times -= 1
        if self.times >= 0:
            return refuse(self.status, "Loading model")
        return self.model(request, wire)


@pytest.mark.parametrize("status", [429, 503, 529])
def test_a_busy_server_is_asked_again_and_that_is_no_try(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_call, "PAUSE_S", 0.001)
    with WireServer(probes=Busy(status, times=4)) as server:
        check = proven(server, "openai_chat")
        assert len(server.requests) == 4 + 4
    assert check.status == "ok"
    assert set(tries(check).values()) == {1}


@pytest.mark.parametrize("status", [429, 503, 529])
def test_a_server_that_stays_busy_is_not_judged(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_call, "PAUSE_S", 0.001)
    with WireServer(probes=Busy(status, times=1_000)) as server:
        endpoint = Endpoint(server.url, ("openai_chat",), server.model)
        budget = Budget(9.0, clock=Clock(1.0))
        check = finish(tool_call.prove(endpoint, "openai_chat", budget=budget, tools_known=None))
        assert len(server.requests) > 1
    assert (check.status, check.measured["verdict"]) == ("skipped", None)
    assert check.message == f"the server is busy: {status} Loading model"
    assert check.remedy


# --- the clock -----------------------------------------------------------------------------------


class Clock:
    """Jumps forward with each look, so that the time is over in the middle of the conversation."""

    def __init__(self, step_s: float) -> None:
        self.now, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        self.now += self.step_s
        return self.now


def test_without_time_nothing_is_claimed() -> None:
    with WireServer() as server:
        check = proven(server, "openai_chat", seconds=0)
        assert server.requests == []
    assert (check.status, check.measured["verdict"]) == ("skipped", None)
    assert check.remedy is not None


def test_what_there_was_no_time_for_is_named() -> None:
    with WireServer() as server:
        endpoint = Endpoint(server.url, ("openai_chat",), server.model)
        budget = Budget(5.0, clock=Clock(2.0))
        check = finish(tool_call.prove(endpoint, "openai_chat", budget=budget, tools_known=None))
    assert check.status == "warning"
    assert "not measured in time: " in check.message
    assert "call, not streamed" in check.message


def test_a_failure_that_could_not_be_repeated_is_no_error() -> None:
    with WireServer(probes=ActingModel("prose")) as server:
        endpoint = Endpoint(server.url, ("openai_chat",), server.model)
        budget = Budget(5.0, clock=Clock(2.0))
        check = finish(tool_call.prove(endpoint, "openai_chat", budget=budget, tools_known=None))
    assert (check.status, check.measured["verdict"]) == ("warning", None)


# --- beside --------------------------------------------------------------------------------------


def test_it_says_what_it_is_doing() -> None:
    with WireServer() as server:
        endpoint = Endpoint(server.url, ("openai_chat",), server.model)
        work = tool_call.prove(endpoint, "openai_chat", budget=Budget(60), tools_known=None)
        said = {report.activity for report in work if isinstance(report, Progress)}
    assert "proving tool calls: call" in said
    assert "proving tool calls: late instruction" in said


def test_a_wrong_key_and_an_empty_address_are_errors_of_their_own() -> None:
    with WireServer(token="right") as server, pytest.raises(AuthNeeded):
        proven(server, "openai_chat")
    with pytest.raises(EngineFailed):
        proven(server, "openai_chat")


def test_an_agents_requests_are_told_from_ours() -> None:
    with WireServer([say("hello")]) as server:
        proven(server, "openai_chat")
        assert server.asked == []
        assert len(server.requests) == 4


@pytest.mark.parametrize(
    "text",
    [
        "The tool is called read_note; I will use it.",
        'Use {"name": "Peter"} as the name.',
        "def read_note(name): pass",
        "See [read_note](https://example.com).",
        "if a < b and b > c: call it",
    ],
)
def test_ordinary_text_is_no_call(text: str) -> None:
    assert leaks.family(text, ["read_note", "send_code"]) is None


def test_a_check_can_be_written_as_json() -> None:
    check = acted(ActingModel())
    document: dict[str, Any] = check.as_json()
    assert document["measured"]["probes"][0] == {
        "name": "call",
        "streamed": True,
        "tries": 1,
        "passed": 1,
        "verdict": "works",
    }
