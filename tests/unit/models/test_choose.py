"""Ranking: who may be picked at all, in which order, and what is said when nobody can."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.machine.facts import Gpu, Machine
from agentlaunch.models import catalog, choose, gguf
from agentlaunch.models.candidate import (
    IS_HERE,
    Candidate,
    Request,
    Terms,
    consider,
    consider_all,
    of_file,
)
from agentlaunch.models.choose import Choice, Miss
from agentlaunch.models.measured import Measurement, Point
from agentlaunch.models.memory import Allocation
from agentlaunch.models.speed import Speed
from gguf_writer import small_llama, write_gguf

GIB = 1 << 30
CANDIDATE_KEYS = [
    "id",
    "name",
    "verdict",
    "placement",
    "context_tokens",
    "kv_cache_type",
    "weights_bytes",
    "weights_gpu_bytes",
    "weights_cpu_bytes",
    "kv_bytes",
    "state_bytes",
    "compute_bytes",
    "overhead_bytes",
    "total_bytes",
    "budget_bytes",
    "headroom_bytes",
    "decode_tokens_per_s",
    "first_word_s",
    "installed",
    "score",
    "evidence",
    "because",
]


def computer(ram: float, *gpus: Gpu, cores: int = 8) -> Machine:
    size = int(ram * GIB)
    return Machine("linux", "x86_64", "cpu", cores, size, size, None, None, False, False, gpus)


def card(gib: float, bandwidth: float) -> Gpu:
    size = int(gib * GIB)
    return Gpu("card", "nvidia", size, size, False, bandwidth, None, None, "t")


FULL = Terms(Allocation(65_536), (Request("full", 20_548),), min_context_tokens=32_768)


def ranked(host: Machine, terms: Terms = FULL, **options: Any) -> Choice:
    return choose.rank(consider_all(host, catalog.load().models, terms, **options))


def one(tag: str, host: Machine, **options: Any) -> Candidate:
    entry = catalog.load().get(tag)
    terms = Terms(Allocation(32_768), FULL.requests)
    return consider(host, entry.model, entry.variant, terms, **options)


@pytest.mark.parametrize(
    ("host", "pick"),
    [
        (computer(8, cores=4), "qwen3.5:4b"),
        (computer(32), "qwen3.6:35b"),
        (computer(32, card(8, 272)), "qwen3.5:4b"),
        (computer(32, card(12, 360)), "qwen3.5:9b"),
        (computer(64, card(24, 1008)), "qwen3.8:27b"),
        (computer(64, card(32, 1792)), "qwen3.8:27b"),
        (computer(256, card(80, 3350)), "qwen3.8:27b-q8_0"),
    ],
)
def test_each_class_of_machine_gets_the_model_known_to_be_best_there(
    host: Machine, pick: str
) -> None:
    choice = ranked(host)
    assert choice.pick is not None
    assert choice.pick.id == pick
    assert choice.candidates[0] == choice.pick
    assert choice.nearest_miss is None


def test_no_machine_gets_a_model_that_cannot_work_as_an_agent() -> None:
    for ram in (2, 4, 8, 16, 64, 512):
        for gpus in ((), (card(8, 272),), (card(24, 1008),)):
            pick = ranked(computer(ram, *gpus)).pick
            if pick is not None:
                assert pick.status != "unsuitable"
                assert (pick.tools, pick.leaks, pick.enough_context) == (True, False, True)
                assert pick.fit.fits


def test_when_nothing_fits_the_nearest_miss_is_told_in_bytes() -> None:
    choice = ranked(computer(3))
    assert (choice.pick, choice.fast, choice.smarter) == (None, None, None)
    near = next(row for row in choice.candidates if row.id == "qwen3.5:2b-q4_K_M")
    assert near.fit.total_bytes is not None
    assert choice.nearest_miss == Miss("qwen3.5:2b-q4_K_M", near.fit.total_bytes, 2 * GIB)


def test_no_candidates_give_no_pick() -> None:
    assert choose.rank([]) == Choice((), None, None, None, None)


def test_slow_machines_prefer_less_to_compute_and_say_so() -> None:
    choice = ranked(computer(64))
    assert choice.pick is not None
    assert choice.pick.active_parameters == 3_000_000_000
    assert "no model brings the first word within 60 s" in choice.pick.because[-1]
    patient = choose.rank(choice.candidates, first_word_limit_s=36_000)
    assert patient.pick is not None
    assert patient.pick.id == "qwen3.8:27b"


def test_an_installed_model_beats_a_nearly_equal_one_only() -> None:
    host = computer(64, card(32, 1792))
    for tag in ("qwen3.6:27b", "qwen3.5:9b"):
        pick = ranked(host, installed=[tag]).pick
        assert pick is not None
        assert pick.id == ("qwen3.6:27b" if tag == "qwen3.6:27b" else "qwen3.8:27b")
    assert "already downloaded" in one("qwen3.5:9b", host, here=IS_HERE).because


def test_two_choices_are_named_where_they_differ() -> None:
    choice = ranked(computer(32, card(12, 360)))
    assert choice.fast is not None
    assert choice.smarter is not None
    assert (choice.fast.name, choice.smarter.id) == ("Qwen3.5 4b", "qwen3.6:35b")


def test_the_fullest_request_that_is_answered_soon_enough_is_taken() -> None:
    sizes = (Request("full", 20_000), Request("slim", 5_000), Request("bare", 500))
    terms = replace(FULL, requests=sizes)
    quick, slow = computer(64, card(24, 1008)), computer(64, cores=32)
    whole, slim = (
        next(row for row in ranked(host, terms).candidates if row.id == "qwen3.5:4b")
        for host in (quick, slow)
    )
    assert (whole.request, slim.request) == ("full", "slim")
    assert not any("prompt of about" in reason for reason in whole.because)
    assert any("slim prompt of about 5,000 tokens" in reason for reason in slim.because)
    assert slim.speed.first_word_s is not None
    assert slim.speed.first_word_s.low <= 60
    never = replace(terms, requests=sizes[:1])
    alone = next(row for row in ranked(slow, never).candidates if row.id == "qwen3.5:4b")
    assert alone.request == "full"
    assert alone.speed.first_word_s is not None
    assert alone.speed.first_word_s.low > 60


def test_weights_of_other_runtimes_and_doubles_are_not_considered() -> None:
    ids = [row.id for row in ranked(computer(64)).candidates]
    assert len(ids) == len(set(ids))
    assert "qwen3.5:9b" in ids
    assert "qwen3.5:9b-q4_K_M" not in ids
    assert not any("mlx" in tag or "nvfp4" in tag for tag in ids)


def test_the_context_is_cut_to_what_the_model_was_trained_for() -> None:
    terms = replace(FULL, asked=Allocation(131_072), min_context_tokens=65_536)
    row = next(row for row in ranked(computer(64), terms).candidates if row.id == "qwen3:8b")
    assert row.fit.context_tokens == 40_960
    assert not row.pickable
    assert any("trained for 40,960 tokens" in reason for reason in row.because)


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("codestral:22b", "takes no tools"),
        ("qwen2.5-coder:14b", "prints its tool calls as text"),
        ("qwen3.5:0.8b", "unsuitable"),
        ("granite4.1:3b", "fail in work of many steps"),
    ],
)
def test_the_reason_against_a_model_comes_first(tag: str, reason: str) -> None:
    row = one(tag, computer(64))
    assert reason in row.because[0]
    assert row.pickable == (tag == "granite4.1:3b")


def test_independent_results_count_before_the_makers_own() -> None:
    independent, makers = one("qwen3.6:35b", computer(64)), one("ornith:35b", computer(64))
    assert "(independent, " in independent.because[0]
    assert "its maker's number" in makers.because[0]
    assert independent.score is not None
    assert makers.score is not None
    assert independent.score > makers.score


def test_the_json_is_the_candidate_of_the_contract() -> None:
    row = one("qwen3.5:9b", computer(16))
    data = row.as_json()
    assert list(data) == CANDIDATE_KEYS
    assert data["evidence"] == "estimated"
    assert data["weights_bytes"] is None
    assert data["first_word_s"].keys() == {"low", "high"}
    blind = replace(computer(16), gpus=(replace(card(24, 1), bandwidth_gbs=None),))
    assert one("qwen3.5:9b", blind).as_json()["decode_tokens_per_s"] is None


def test_a_file_of_the_users_own_is_sized_exactly_and_has_no_score(tmp_path: Path) -> None:
    file = gguf.read_model(write_gguf(tmp_path / "own.gguf", *small_llama(template="hi")))
    terms = Terms(Allocation(8_192), (Request("full", 5_000),))
    row = of_file(computer(8), "own.gguf", file, terms)
    assert (row.fit.evidence, row.score, row.status) == ("exact", None, "unlisted")
    assert (row.tools, row.pickable) == (False, False)
    assert "no place for tools" in row.because[0]


def test_what_was_measured_here_wins_over_every_estimate() -> None:
    seen = Measurement((Point(512, 100.0), Point(4_096, 80.0)), (Point(512, 20.0),))
    tag = "qwen3.5:4b"
    guess = next(row for row in ranked(computer(16)).candidates if row.id == tag)
    known = next(
        row for row in ranked(computer(16), measured={tag: seen}).candidates if row.id == tag
    )
    assert known.speed == seen.speed(20_548)
    assert known.speed != guess.speed
    assert "measured on this machine" in known.as_json()["because"][-1]
    assert replace(known, speed=guess.speed, because=()) == replace(guess, because=())
    small = next(
        row for row in ranked(computer(2), measured={tag: seen}).candidates if row.id == tag
    )
    assert (small.fit.fits, small.speed) == (False, Speed(None, None))
