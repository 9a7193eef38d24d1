"""Live numbers: what servers write is read without trust, and two looks make a speed.

`tests/data/metrics` has what the embedded engine wrote (xllamacpp 2026.10.11549): after its first
request, while it wrote, after the same prompt again, and asleep; `vllm.txt` has the shapes of
vLLM's own source and of pages that its users recorded.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlaunch.engines import live
from agentlaunch.engines.live import Counts, Figure, Live, Look, Task, follow
from shaped_server import ShapedServer, bearer

RECORDED = Path(__file__).parents[2] / "data" / "metrics"


def recorded(name: str) -> str:
    return (RECORDED / name).read_text()


def llama(name: str, at_s: float, **more: Any) -> Look:
    return Look(at_s, live.llama_cpp_counts(recorded(name)), **more)


# --- what servers write ----------------------------------------------------------------------


def test_llama_cpps_counters() -> None:
    assert live.llama_cpp_counts(recorded("llama_cpp_second.txt")) == Counts(
        231, 0.760795, 203, 1.86049, 229, 460, 0, 0
    )


def test_vllms_counters() -> None:
    assert live.vllm_counts(recorded("vllm.txt")) == Counts(
        15000, 5, 8200, None, 45000, 60000, 2, 1, 0.3412
    )


def test_the_engines_of_one_vllm_are_added_and_the_fullest_cache_counts() -> None:
    text = recorded("vllm.txt")
    other = text.replace('engine="0"', 'engine="1"').replace("0.3412", "0.9")
    both = live.vllm_counts(text + other)
    assert (both.reply_tokens, both.running, both.cache_full) == (16400, 4, 0.9)


def test_an_older_vllm_says_gpu_in_some_names() -> None:
    text = recorded("vllm.txt").replace("vllm:kv_cache", "vllm:gpu_cache")
    text = text.replace("vllm:prefix_cache", "vllm:gpu_prefix_cache")
    assert live.vllm_counts(text) == live.vllm_counts(recorded("vllm.txt"))


@pytest.mark.parametrize(
    "value",
    ["NaN", "-1", "-0.5", "Inf", "+Inf", "1e308", "1e999", "9" * 400, "0x10", "\x1b[31m5", "a", ""],
)
def test_what_is_no_number_is_not_told(value: str) -> None:
    assert live.llama_cpp_counts(f"llamacpp:prompt_tokens_total {value}\n") == Counts()


@pytest.mark.parametrize(
    "page",
    [
        "",
        "<!DOCTYPE html><html><title>Sign in</title><body>42 \x1b[2J</body></html>",
        '{"error": {"code": 501, "message": "This server does not support metrics endpoint."}}',
        "\x00\xff" * 1000,
        "llamacpp:prompt_tokens_total{" + '"' * 100_000,
        'llamacpp:prompt_tokens_total{a="' + "\\" * 7000 + " 5",
        "llamacpp:prompt_tokens_total" + " " * 100_000 + "5",
    ],
)
def test_a_page_that_is_none_of_it_tells_nothing(page: str) -> None:
    assert (live.llama_cpp_counts(page), live.vllm_counts(page)) == (Counts(), Counts())


@given(st.text())
def test_no_page_breaks_the_reading(page: str) -> None:
    for values in live.samples(page).values():
        assert all(0 <= value < live.MOST for value in values)


def test_the_request_at_work_is_read_from_the_slots() -> None:
    slots = json.loads(recorded("llama_cpp_slots.json"))
    assert live.busiest(slots) == Task(2, 237, 230, 7)


@pytest.mark.parametrize(
    "slots",
    [
        None,
        {},
        [],
        [1, None, "x"],
        [{"is_processing": False, "id_task": 1, "n_prompt_tokens": 9}],
        [{"is_processing": True}],
        [{"is_processing": True, "id_task": 1, "n_prompt_tokens": -5,
          "n_prompt_tokens_processed": 1, "next_token": [{"n_decoded": 0}]}],
        [{"is_processing": True, "id_task": 1, "n_prompt_tokens": 1e300,
          "n_prompt_tokens_processed": True, "next_token": {"n_decoded": "7"}}],
    ],
)  # fmt: skip
def test_slots_of_another_shape_tell_nothing(slots: object) -> None:
    assert live.busiest(slots) is None


def test_of_several_requests_the_one_with_most_context_is_shown() -> None:
    (slot,) = json.loads(recorded("llama_cpp_slots.json"))
    task = live.busiest([slot, {**slot, "id_task": 9, "n_prompt_tokens": 500}])
    assert task is not None
    assert (task.number, task.context) == (9, 500)


# --- two looks -------------------------------------------------------------------------------


def test_the_first_look_has_the_means_since_the_start() -> None:
    look = llama("llama_cpp_second.txt", 5.0)
    assert follow(None, look) == Live(
        look,
        Figure(231 / 0.760795, "mean"),
        Figure(203 / 1.86049, "mean"),
        Figure(229 / 460, "mean"),
    )


def test_an_engine_that_did_nothing_yet_has_no_speed() -> None:
    idle = Look(0.0, Counts(0, 0, 0, 0, 0, 0, 0, 0))
    assert follow(follow(None, idle), replace(idle, at_s=1.0)) == Live(replace(idle, at_s=1.0))


def test_a_request_from_its_prompt_to_its_end() -> None:
    idle = follow(None, Look(0.0, Counts(0, 0, 0, 0, 0, 0, 0, 0)))
    task = live.busiest(json.loads(recorded("llama_cpp_slots.json")))
    assert task is not None
    writing = follow(idle, llama("llama_cpp_replying.txt", 1.0, task=task))
    assert (writing.prompt, writing.reply, writing.cached, writing.context) == (
        Figure(230 / 0.751555, "now"), None, Figure(0.0, "now"), Figure(237, "now"),
    )  # fmt: skip
    more = replace(task, context=337, written=107)
    writing = follow(writing, llama("llama_cpp_replying.txt", 2.0, task=more))
    assert (writing.prompt, writing.reply, writing.context) == (
        Figure(230 / 0.751555, "last"), Figure(100.0, "now"), Figure(337, "now"),
    )  # fmt: skip
    done = follow(writing, llama("llama_cpp_first.txt", 3.0))
    assert (done.prompt, done.reply, done.context) == (
        Figure(230 / 0.751555, "last"), Figure(183 / 1.70287, "last"), Figure(337, "last"),
    )  # fmt: skip


def test_a_prompt_from_the_cache_shows_its_share_and_no_speed_of_one_token() -> None:
    first = follow(None, llama("llama_cpp_first.txt", 1.0))
    again = follow(first, llama("llama_cpp_second.txt", 2.0))
    assert again.prompt == first.prompt  # one token's 9 ms would tell of nothing
    assert again.cached == Figure(229 / 230, "last")


def test_asleep_the_context_is_gone_and_the_speeds_are_the_last_ones() -> None:
    task = Task(2, 412, 230, 182)
    first = follow(None, llama("llama_cpp_first.txt", 1.0, task=task))
    again = follow(first, llama("llama_cpp_second.txt", 2.0))
    asleep = follow(again, llama("llama_cpp_asleep.txt", 9.0, asleep=True))
    assert (again.context, asleep.context) == (Figure(412, "last"), None)
    assert (asleep.reply, asleep.cached) == (again.reply, again.cached)


def test_an_engine_that_counts_anew_has_no_negative_speed() -> None:
    before = follow(None, llama("llama_cpp_second.txt", 1.0))
    now = llama("llama_cpp_replying.txt", 2.0)
    assert follow(before, now) == follow(None, now)


def test_a_server_that_falls_silent_keeps_what_was_measured() -> None:
    before = follow(None, llama("llama_cpp_second.txt", 1.0))
    assert follow(before, Look(2.0)).reply == before.reply


def test_a_long_prompt_shows_its_speed_batch_by_batch() -> None:
    counts = Counts(0, 0, 0, 0, 0, 0, 1, 0)
    told, known = [], follow(None, Look(0.0, replace(counts, running=0)))
    steps = [(1, 0), (2, 0), (9, 2048), (10, 2048), (17, 4096), (18, 4096)]
    for at_s, computed in steps:
        known = follow(known, Look(at_s, counts, Task(7, 6000, computed, 0)))
        told.append(known.prompt)
    first, second = Figure(2048 / 8, "now"), Figure(2048 / 8, "now")
    assert told == [None, None, first, first, second, second]


def test_a_prompt_seen_from_its_middle_is_timed_from_the_next_batch() -> None:
    counts = Counts(0, 0, 0, 0, 0, 0, 1, 0)
    told, known = [], None
    for at_s, computed in [(3, 2048), (4, 2048), (9, 4096), (17, 6144)]:
        known = follow(known, Look(at_s, counts, Task(7, 9000, computed, 0)))
        told.append(known.prompt)
    assert told == [None, None, None, Figure(2048 / 8, "now")]


def test_another_request_in_the_slot_is_not_taken_for_the_one_before() -> None:
    counts = Counts(0, 0, 0, 0, 0, 0, 1, 0)
    one = follow(None, Look(0.0, counts, Task(7, 500, 400, 100)))
    other = follow(one, Look(1.0, counts, Task(8, 900, 500, 400)))
    assert (other.prompt, other.reply, other.context) == (None, None, Figure(900, "now"))


def test_vllms_reply_is_measured_by_the_clock() -> None:
    counts = live.vllm_counts(recorded("vllm.txt"))
    known = follow(None, Look(0.0, counts))
    assert (known.prompt, known.reply) == (Figure(3000.0, "mean"), None)
    known = follow(known, Look(2.0, replace(counts, reply_tokens=8400.0)))
    assert known.reply == Figure(100.0, "now")
    ended = replace(counts, reply_tokens=8410.0, running=0, waiting=0)
    known = follow(known, Look(3.0, ended))  # ten tokens of a second that was not whole
    assert known.reply == Figure(100.0, "last")


figures = st.none() | st.floats(0, live.MOST, allow_nan=False)
any_counts = st.builds(
    Counts,
    prompt_tokens=figures, prompt_s=figures, reply_tokens=figures, reply_s=figures,
    cached_tokens=figures, whole_tokens=figures, running=st.none() | st.integers(0, 9),
)  # fmt: skip
number = st.integers(0, 2**31)
any_task = st.none() | st.builds(Task, number, number, number, number)


@given(st.lists(st.tuples(any_counts, any_task, st.booleans()), max_size=6))
def test_whatever_servers_count_no_figure_is_negative_and_no_share_above_one(
    told: list[tuple[Counts, Task | None, bool]],
) -> None:
    known = None
    for at_s, (counts, task, asleep) in enumerate(told):
        known = follow(known, Look(float(at_s), counts, task, asleep))
        shown = (known.prompt, known.reply, known.context)
        assert all(figure is None or figure.value >= 0 for figure in shown)
        assert known.cached is None or 0 <= known.cached.value <= 1


# --- asking ----------------------------------------------------------------------------------


def test_an_idle_llama_cpp_is_not_asked_for_its_slots() -> None:
    with ShapedServer(
        {"GET /metrics": (200, recorded("llama_cpp_second.txt").encode())}, guard=bearer("k")
    ) as server:
        headers = {"authorization": "Bearer k"}
        look = live.llama_cpp(server.url, headers, asleep=False)
        assert look.counts == live.llama_cpp_counts(recorded("llama_cpp_second.txt"))
        assert server.asked == ["GET /metrics"]


def test_a_busy_one_is_asked_for_its_slots_but_never_while_it_sleeps() -> None:
    answers = {
        "GET /metrics": (200, recorded("llama_cpp_replying.txt").encode()),
        "GET /slots": (200, recorded("llama_cpp_slots.json").encode()),
    }
    with ShapedServer(answers) as server:
        assert live.llama_cpp(server.url, {}, asleep=False).task == Task(2, 237, 230, 7)
        assert server.asked == ["GET /metrics", "GET /slots"]
        server.requests.clear()
        assert live.llama_cpp(server.url, {}, asleep=True).task is None
        assert server.asked == ["GET /metrics"]


@pytest.mark.parametrize("status", [401, 404, 500, 501, 302])
def test_a_server_without_numbers_tells_none(status: int) -> None:
    with ShapedServer({"GET /metrics": (status, b"llamacpp:prompt_tokens_total 5")}) as server:
        assert live.llama_cpp(server.url, {}, asleep=False).counts == Counts()
        assert live.vllm(server.url, {}).counts == Counts()


@pytest.mark.parametrize(
    ("props", "asked"),
    [
        ({}, True),  # a build from before there was a sleep
        ({"build_info": "b5000-abc"}, True),
        ({"is_sleeping": False, "build_info": "b7551-abc"}, False),
        ({"is_sleeping": True, "build_info": "b11548-abc"}, False),
        ({"is_sleeping": False, "build_info": "b11549-abc"}, True),
        ({"is_sleeping": True, "build_info": "b12000"}, True),
        ({"is_sleeping": False, "build_info": "b0-unknown"}, False),
        ({"is_sleeping": False, "build_info": ["b12000"]}, False),
        ({"is_sleeping": False}, False),
        ({"role": "router", "build_info": "b12000"}, False),
    ],
)
def test_a_build_whose_metrics_may_keep_it_awake_is_not_asked(
    props: dict[str, object], asked: bool
) -> None:
    assert (live.why_not(props) is None) is asked
