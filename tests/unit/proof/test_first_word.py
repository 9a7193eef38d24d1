"""The promise of a first word, from what was measured."""

from __future__ import annotations

from typing import Any

import pytest

import wire_server
from agentlaunch.endpoint import Endpoint
from agentlaunch.progress import finish
from agentlaunch.proof import first_word
from agentlaunch.proof.asking import MARK
from agentlaunch.proof.check import Budget, Check
from agentlaunch.proof.first_word import Speed

SPEED = Speed(prefill_tokens_per_s=500.0, decode_tokens_per_s=20.0, prompt_tokens=1_000)


def judged(speed: Speed | None, **given: Any) -> Check:
    words: dict[str, Any] = {"prompt_tokens": 10_000, "measured_s": None, "limit_s": 60.0}
    return first_word.judge(speed, **(words | given))


def test_a_long_prompt_is_read_slower_than_the_measured_one() -> None:
    assert judged(SPEED) == Check(
        "first-word",
        "ok",
        "about 30 s to the first word, then 20 tokens per second",
        {
            "first_word_s": 30.0,
            "prefill_tokens_per_s": 500.0,
            "decode_tokens_per_s": 20.0,
            "prompt_tokens": 10_000,
            "how": "estimated",
        },
    )
    assert SPEED.first_word_s(2_000) == 4.0


def test_what_was_measured_wins_over_the_estimate() -> None:
    check = judged(SPEED, measured_s=21.0)
    assert check.message.startswith("21 s to the first word")
    assert (check.measured["first_word_s"], check.measured["how"]) == (21.0, "measured")


def test_a_prompt_that_the_engine_had_read_before_promises_nothing() -> None:
    check = judged(SPEED, measured_s=0.4)
    assert (check.measured["first_word_s"], check.measured["how"]) == (30.0, "estimated")


def test_beyond_the_limit_only_what_is_sooner_is_proposed() -> None:
    check = judged(SPEED, limit_s=20.0, sooner=(("--slim on", 12.0), ("--model big", 90.0)))
    assert (check.status, check.remedy) == ("warning", "--slim on (about 12 s)")
    alone = judged(SPEED, limit_s=20.0, sooner=(("--model big", 90.0),))
    assert alone.remedy is not None
    assert "first_word_limit" in alone.remedy


@pytest.mark.parametrize("speed", [None, Speed(None, None, 64)])
def test_without_a_measurement_nothing_is_promised(speed: Speed | None) -> None:
    assert judged(speed).status == "skipped"


def test_every_prompt_of_a_measurement_says_whose_it_is() -> None:
    with wire_server.WireServer() as server:
        endpoint = Endpoint(server.url, ("openai_chat",), server.model)
        work = first_word.measure(
            endpoint, llama_cpp=False, context_tokens=8_192, budget=Budget(20)
        )
        speed = finish(work)
        bodies = [each.body for each in server.requests]
    assert speed is not None
    assert speed.prefill_tokens_per_s is not None
    assert bodies
    assert all(MARK.encode() in body for body in bodies)
    starts = {body.decode().partition('"content":')[2][:16] for body in bodies}
    assert len(starts) == len(bodies)


def test_no_time_is_no_measurement() -> None:
    with wire_server.WireServer() as server:
        endpoint = Endpoint(server.url, ("openai_chat",), server.model)
        work = first_word.measure(endpoint, llama_cpp=False, context_tokens=8_192, budget=Budget(0))
        assert finish(work) is None
