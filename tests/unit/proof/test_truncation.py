"""Is a prompt cut? Every kind of evidence, and no false alarm for any healthy engine."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlaunch.proof import bodies, truncation
from agentlaunch.proof.check import Check
from agentlaunch.proof.dialogue import Turn
from agentlaunch.proof.exchange import Exchange

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"tool_{number}",
            "description": "Does one thing of many. " * 8,
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
        },
    }
    for number in range(20)
]


def body(characters: int, *, tools: bool = True) -> dict[str, Any]:
    messages = [{"role": "system", "content": "x" * characters}, {"role": "user", "content": "."}]
    return {"messages": messages} | ({"tools": TOOLS} if tools else {})


def judged(exchange: Exchange, request: dict[str, Any], **given: Any) -> Check:
    words: dict[str, Any] = {
        "allocated_tokens": 65_536,
        "window_tokens": 65_536,
        "tokens_per_character": None,
        "tools_ignored": False,
        "way_out": "--context 65536",
    }
    return truncation.judge(exchange, request, **(words | given))


@given(
    characters=st.integers(4_000, 200_000),
    text=st.floats(2.5, 6.0),
    tool=st.floats(2.5, 11.0),
    calibrated=st.none() | st.floats(0.1, 0.6),
    ignored=st.booleans(),
    room=st.floats(1.04, 8.0),
    second=st.booleans(),
)
def test_no_healthy_engine_is_an_alarm(
    characters: int,
    text: float,
    tool: float,
    calibrated: float | None,
    ignored: bool,
    room: float,
    second: bool,
) -> None:
    """Whatever a token is, in texts and in tools, and whatever was measured on another text."""
    request = body(characters)
    tools = 0 if ignored else len(str(TOOLS)) / tool
    evaluated = int(characters / text + tools) + 20
    window = int(evaluated * room) + 1
    first = Turn(prompt_tokens=evaluated)
    again = Turn(prompt_tokens=evaluated + 12) if second else None
    half = 0 <= evaluated - window // 2 <= truncation.KEPT_TOKENS
    check = judged(
        Exchange(first, again),
        request,
        allocated_tokens=window,
        window_tokens=window,
        tokens_per_character=calibrated,
        tools_ignored=ignored,
    )
    assert check.status == "ok" or (half and not second)


@given(
    window=st.integers(1_024, 65_536),
    over=st.floats(1.01, 20.0),
    rate=st.floats(2.5, 6.0),
    keep=st.sampled_from((4, 5)),
)
def test_a_half_window_is_always_seen_with_a_second_turn(
    window: int, over: float, rate: float, keep: int
) -> None:
    evaluated = window - (window - keep) // 2
    turn = Turn(prompt_tokens=evaluated)
    request = body(int(window * over * rate), tools=False)
    check = judged(Exchange(turn, turn), request, allocated_tokens=window, window_tokens=window)
    assert (check.status, check.remedy) == ("error", "--context 65536")


def test_what_the_server_counted_is_what_was_sent() -> None:
    whole = Exchange(Turn(prompt_tokens=9_990), sent_tokens=10_000)
    cut = Exchange(Turn(prompt_tokens=9_000), sent_tokens=10_000)
    assert judged(whole, body(40_000)) == Check(
        "truncation",
        "ok",
        "nothing is cut: the agent's first request takes 9,990 tokens of 65,536",
        {
            "sent_tokens": 10_000,
            "evaluated_tokens": 9_990,
            "allocated_tokens": 65_536,
            "how": "counted by the server",
        },
    )
    assert judged(cut, body(40_000)) == Check(
        "truncation",
        "error",
        "the prompt is cut: about 10,000 tokens were sent, 9,000 evaluated in a context of 65,536",
        {
            "sent_tokens": 10_000,
            "evaluated_tokens": 9_000,
            "allocated_tokens": 65_536,
            "how": "counted by the server",
        },
        "--context 65536",
    )


def test_a_window_smaller_than_the_agent_believes_is_an_error() -> None:
    found = Exchange(Turn(prompt_tokens=2_000))
    check = judged(found, body(8_000, tools=False), allocated_tokens=4_096, window_tokens=8_192)
    assert (check.status, check.remedy) == ("error", "--context 65536")
    assert "4,096 tokens, the agent believes in 8,192" in check.message


def test_a_prompt_that_fills_the_window_is_an_error() -> None:
    found = Exchange(Turn(prompt_tokens=4_090))
    given = {"allocated_tokens": 4_096, "window_tokens": 4_096}
    check = judged(found, body(16_000, tools=False), **given)
    assert check.status == "error"


def test_a_server_that_counts_only_what_is_new_is_not_an_alarm() -> None:
    for allocated in (None, 65_536):
        found = Exchange(Turn(prompt_tokens=900), Turn(prompt_tokens=14))
        check = judged(found, body(80_000), allocated_tokens=allocated)
        assert check.status == "skipped"


def test_far_less_than_any_tokenizer_needs_is_a_cut() -> None:
    found = Exchange(Turn(prompt_tokens=2_000))
    check = judged(found, body(80_000), allocated_tokens=4_096, window_tokens=4_096)
    assert check.status == "error"


@pytest.mark.parametrize(
    ("markers", "status"),
    [((True, True), "ok"), ((False, True), "error"), ((True, False), "skipped"),
     ((False, False), "skipped"), (None, "skipped")],
)  # fmt: skip
def test_markers_stand_where_nothing_is_counted(
    markers: tuple[bool, bool] | None, status: str
) -> None:
    assert judged(Exchange(Turn(), markers=markers), body(8_000)).status == status


@pytest.mark.parametrize(
    ("markers", "status"),
    [((True, True), "ok"), ((False, True), "error"), ((True, False), "skipped"),
     ((False, False), "skipped"), (None, "skipped")],
)  # fmt: skip
@pytest.mark.parametrize(("first", "second"), [(100, 100), (80, 95), (16_386, 16_386)])
def test_odd_counts_in_an_unknown_window_are_a_doubt_that_the_markers_settle(
    first: int, second: int, markers: tuple[bool, bool] | None, status: str
) -> None:
    """A proxy tells one number always, a server only what was new; Ollama's cut is one too."""
    turns = Turn(prompt_tokens=first), Turn(prompt_tokens=second)
    check = judged(Exchange(*turns, markers=markers), body(80_000), allocated_tokens=None)
    assert (check.status, check.remedy) == (
        status,
        "--context 65536" if status == "error" else None,
    )
    how = "a marker at each end" if markers is not None else "estimated"
    assert check.measured["how"] == how


@pytest.mark.parametrize(
    ("markers", "status"),
    [((False, True), "error"), ((True, True), "ok"), ((False, False), "skipped")],
)
def test_the_same_little_count_twice_in_a_large_window_is_for_the_markers_to_settle(
    markers: tuple[bool, bool], status: str
) -> None:
    """A server that says 131,072 and cuts at 8,192 keeps less than a full window leaves."""
    turns = (Turn(prompt_tokens=8_192), Turn(prompt_tokens=8_192))
    found = Exchange(*turns, markers=markers)
    assert judged(found, body(80_000), allocated_tokens=131_072).status == status


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_no_verdict(status: int) -> None:
    turn = Turn(status=status, error="rate limit exceeded")
    assert judged(Exchange(turn), body(8_000)).status == "skipped"
    assert not truncation.is_overflow(turn)


def test_another_refusal_is_told_in_the_servers_words() -> None:
    check = judged(Exchange(Turn(status=400, error="unknown field: reasoning")), body(8_000))
    assert check.status == "error"
    assert "unknown field: reasoning" in check.message


def test_the_tools_of_a_template_that_ignores_them_do_not_count() -> None:
    request = body(8_000)
    found = Exchange(Turn(prompt_tokens=2_000))
    check = judged(found, request, tools_ignored=True)
    texts = bodies.characters(request, tools_ignored=True)
    assert (check.status, check.measured["sent_tokens"]) == ("ok", texts // 4)


def test_messages_that_ollama_drops_as_a_whole_are_a_cut() -> None:
    """Of a `developer` message too large for the window only the user's word was left (0.33)."""
    found = Exchange(Turn(prompt_tokens=10), Turn(prompt_tokens=21))
    given = {"allocated_tokens": 1_024, "window_tokens": 1_024}
    assert judged(found, body(12_800, tools=False), **given).status == "error"
