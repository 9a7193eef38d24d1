"""What a second turn reads again, by the engine's word or by the clock, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from agentlaunch.proof import prefix
from agentlaunch.proof.check import Check
from agentlaunch.proof.dialogue import Turn
from agentlaunch.proof.exchange import Exchange
from agentlaunch.proof.recording import Recording

PLAIN: dict[str, Any] = {"system": "You are a helper.", "messages": [], "tools": [{"name": "a"}]}


def recording(body: Mapping[str, Any] = PLAIN, *beside: Mapping[str, Any]) -> Recording:
    return Recording("agent", "1.0", "anthropic_messages", body, beside)


def judged(
    first: Turn | None, second: Turn | None, recorded: Recording | None = None, **given: Any
) -> Check:
    words: dict[str, Any] = {"slots": None, "rewinds": None, "engine": "llama.cpp"}
    return prefix.judge(Exchange(first, second), recorded or recording(), **(words | given))


def told(cached: int | None, took_s: float = 0.1) -> Turn:
    return Turn(prompt_tokens=10_000, cached_tokens=cached, took_s=took_s)


def test_a_share_that_the_engine_tells_is_taken_from_it() -> None:
    assert judged(told(0), told(9_900)) == Check(
        "prefix",
        "ok",
        "a second turn finds 99% of its prompt in the cache",
        {"prompt_tokens": 10_000, "cached_tokens": 9_900, "share": 0.99,
         "how": "told by the engine"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("recorded", "given", "cause", "remedy"),
    [
        (recording(), {"rewinds": False}, "recurrent or windowed", "checkpoints"),
        (recording(PLAIN, {"messages": [1]}), {"slots": 1}, "only slot", "two slots"),
        (recording(PLAIN, {"messages": [1]}), {"slots": 4}, "no cause", "log"),
        (
            recording({**PLAIN, "system": [{"text": "x-anthropic-billing-header: cc=1"}]}),
            {},
            "x-anthropic-billing-header",
            "CLAUDE_CODE_ATTRIBUTION_HEADER=0",
        ),
        (
            recording(PLAIN, {**PLAIN, "system": "You are a hungry helper."}),
            {},
            "changes between requests (system: …You are a ",
            None,
        ),
        (recording(), {"engine": "vllm"}, "no cause", "--enable-prefix-caching"),
    ],
)
def test_a_small_share_names_its_cause(
    recorded: Recording, given: dict[str, Any], cause: str, remedy: str | None
) -> None:
    check = judged(told(0), told(2_000), recorded, **given)
    assert check.status == "warning"
    assert "reads 80% of its prompt again" in check.message
    assert cause in check.message
    assert (check.remedy is None) if remedy is None else (remedy in (check.remedy or ""))


def test_a_header_that_changes_is_a_warning_however_well_this_conversation_goes() -> None:
    body = {**PLAIN, "system": [{"text": "x-anthropic-billing-header: cc=1"}]}
    check = judged(told(0), told(9_900), recording(body))
    assert (check.status, check.remedy) == (
        "warning",
        "set CLAUDE_CODE_ATTRIBUTION_HEADER=0, as a launch does",
    )


@pytest.mark.parametrize("cached", [None, 0])
def test_ollama_tells_nothing_and_the_clock_does(cached: int | None) -> None:
    """Its responses wire says 0 each time (0.33)."""
    quick = judged(told(None, 10.0), told(cached, 0.5), engine="ollama")
    assert (quick.status, quick.measured["how"]) == ("ok", "by the clock")
    slow = judged(told(None, 10.0), told(cached, 9.0), engine="ollama", cold_s=12.0)
    assert (slow.status, slow.measured["share"]) == ("warning", 0.1)


@pytest.mark.parametrize(
    ("first_s", "second_s"), [(0.3, 0.3), (1.3, 1.2)], ids=["too quick", "nobody knows if cold"]
)
def test_the_clock_says_nothing_where_it_cannot_know(first_s: float, second_s: float) -> None:
    check = judged(told(None, first_s), told(None, second_s), engine="ollama")
    assert check.status == "skipped"


def test_a_first_turn_that_was_warm_already_is_no_false_alarm() -> None:
    check = judged(told(None, 1.3), told(None, 1.2), engine="ollama", cold_s=40.0)
    assert (check.status, check.measured["how"]) == ("ok", "by the clock")


def test_an_engine_that_says_none_was_cached_is_believed_when_the_clock_agrees() -> None:
    assert judged(told(0, 0.3), told(0, 0.3)).status == "warning"
    assert judged(told(0, 9.0), told(0, 0.2)).status == "ok"


def test_no_second_turn_is_no_verdict() -> None:
    assert judged(told(0), None).status == "skipped"
    assert judged(told(0), Turn(status=400, error="no")).status == "skipped"
