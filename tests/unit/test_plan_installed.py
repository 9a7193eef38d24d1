"""What an Ollama store holds is ranked with the catalog: by evidence, never by being there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentlaunch import plan
from agentlaunch.agents.claude_code import AGENT
from agentlaunch.engines.ollama.client import Client
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.engines.ollama.replies import Tag, Version
from agentlaunch.machine import simulate
from agentlaunch.models import catalog, gguf
from agentlaunch.models.candidate import Candidate
from agentlaunch.models.choose import Choice
from agentlaunch.models.gguf import ModelFile
from agentlaunch.models.refs import parse_ref
from agentlaunch.plan import Places, Pull, Wish
from agentlaunch.survey import AgentState, Survey, Weights
from model_headers import write_header

CATALOG = catalog.load()
NINE = CATALOG.get("qwen3.5:9b").variant
COPY = NINE.digest_prefix + "0" * 52
TOOLS = frozenset({"completion", "tools"})
WISH = Wish(AGENT, engine="ollama")
CARD = "ram=32GiB,gpu=RTX 3060:12GiB"
SMALL = "ram=3GiB"
"""Where no model of the catalog fits."""


def tag(name: str, said: frozenset[str] | None = TOOLS, digest: str = "1" * 64) -> Tag:
    return Tag(name, digest, 6_600_000_000, None, None, None, said, cloud=False)


@pytest.fixture
def file(tmp_path: Path) -> ModelFile:
    """A model of 1.2 billion parameters, as a server describes it."""
    seen = gguf.read_model(write_header("lfm2 1.2B", tmp_path))
    return replace(seen, name="own:1b", takes_tools=True)


def world(*tags: Tag, spec: str = CARD, files: dict[str, ModelFile] | None = None) -> Survey:
    claude = AgentState(AGENT, Path("/usr/bin/claude"), "2.1.197", managed=False)
    here = Survey(simulate.load(spec), (), {"claude-code": claude}, CATALOG, (), False, None)
    return replace(here, served=tags, served_files=files or {})


def choose(*tags: Tag, **about: Any) -> Choice:
    return plan.choose_model(world(*tags, **about), WISH)


def row_of(choice: Choice, name: str) -> Candidate:
    (found,) = (row for row in choice.candidates if row.id == name)
    return found


def test_an_unknown_model_is_sized_and_comes_behind_all_that_is_known(file: ModelFile) -> None:
    choice = choose(tag("own:1b"), files={"own:1b": file})
    row = row_of(choice, "own:1b")
    assert (row.installed, row.score, row.fit.verdict) == (True, None, "roomy")
    assert (row.fit.evidence, row.fit.context_tokens) == ("exact", 65_536)
    assert row.because[:2] == (
        "not in the catalog: nothing is known about its work as an agent",
        "built like LFM2.5 1.2b, whose results are not its own",
    )
    assert choice.pick is not None
    assert choice.pick.id == plan.choose_model(world(), WISH).pick.id  # type: ignore[union-attr]
    ranks = [known.id for known in choice.candidates if known.pickable]
    assert ranks[-1] == "own:1b"


def test_it_is_neither_the_fast_nor_the_smarter_one(file: ModelFile) -> None:
    with_it, without = choose(tag("own:1b"), files={"own:1b": file}), choose()
    for one, other in ((with_it.fast, without.fast), (with_it.smarter, without.smarter)):
        assert (one.id if one else None) == (other.id if other else None)


def test_where_nothing_known_fits_it_is_the_pick_and_says_why(file: ModelFile) -> None:
    assert plan.choose_model(world(spec=SMALL), WISH).pick is None
    pick = choose(tag("own:1b"), files={"own:1b": file}, spec=SMALL).pick
    assert pick is not None
    assert pick.id == "own:1b"
    assert pick.because[-1].startswith("no model of the catalog fits this machine")


@pytest.mark.parametrize(
    ("said", "name", "trained", "reason"),
    [
        (frozenset({"completion"}), "own:1b", 128_000, "Ollama says that it takes no tools"),
        (TOOLS, "someone/llama3.1:8b", 128_000, "on Ollama's own list"),
        (TOOLS, "own:1b", 8_192, "trained for 8,192 tokens"),
    ],
)
def test_what_cannot_work_is_not_even_then(
    file: ModelFile, said: frozenset[str], name: str, trained: int, reason: str
) -> None:
    shape = replace(file.shape, context_max_tokens=trained)
    seen = replace(file, shape=shape, takes_tools="tools" in said)
    choice = choose(tag(name, said), files={name: seen}, spec=SMALL)
    assert choice.pick is None
    assert row_of(choice, name).because[0].startswith(reason)


def test_an_installed_model_whose_server_sees_no_tools_is_not_chosen() -> None:
    before = choose(tag("qwen3.5:9b")).pick
    assert before is not None
    assert before.id == "qwen3.5:9b"
    after = choose(tag("qwen3.5:9b", frozenset({"completion"})))
    assert after.pick is not None
    assert after.pick.id != "qwen3.5:9b"
    row = row_of(after, "qwen3.5:9b")
    assert row.because[0] == "Ollama says that it takes no tools, so an agent cannot work with it"
    unknown = choose(tag("qwen3.5:9b", None)).pick  # before 0.30 it does not say
    assert unknown is not None
    assert unknown.id == "qwen3.5:9b"


def test_a_copy_of_a_known_model_is_that_model_under_the_name_it_has_here() -> None:
    choice = choose(tag("mine:latest", digest=COPY))
    assert choice.pick is not None
    assert choice.pick.id == "mine:latest"
    assert choice.pick.installed
    assert "the same bytes as qwen3.5:9b" in choice.pick.because
    known = plan.choose_model(world(), WISH)
    assert choice.pick.score == row_of(known, "qwen3.5:9b").score
    assert not [row for row in choice.candidates if row.id == "qwen3.5:9b"]


def test_beside_its_own_name_a_copy_is_not_shown_again() -> None:
    choice = choose(tag("mine:latest", digest=COPY), tag("qwen3.5:9b", digest=COPY))
    ids = [row.id for row in choice.candidates]
    assert "mine:latest" not in ids
    assert row_of(choice, "qwen3.5:9b").installed


def test_the_same_bytes_are_shown_once_under_the_name_that_is_here() -> None:
    choice = choose(tag("qwen3.5:9b-q4_K_M", digest=COPY))
    assert row_of(choice, "qwen3.5:9b-q4_K_M").installed
    assert not [row for row in choice.candidates if row.id == "qwen3.5:9b"]


def test_a_plan_with_a_copy_pulls_nothing() -> None:
    tags = (tag("mine:latest", digest=COPY),)
    facts = OllamaFacts(Client("http://127.0.0.1:11434"), Version("0.33.0", (0, 33, 0)), tags)
    places = Places(Path("/run/l"), Path("/data/homes"), "1-2.00", {})
    made = plan.make_plan(world(), Wish(AGENT), places, ollama=facts)
    assert made.model.id == "mine:latest"
    assert not [step for step in made.steps if isinstance(step, Pull)]


def test_a_model_that_ollama_warns_of_is_warned_of_when_it_is_asked_for(file: ModelFile) -> None:
    ref = parse_ref("llama3.1:8b")
    weights = Weights(str(ref), ref, None, None, 5_000_000_000, file, None, "ollama", TOOLS)
    facts = OllamaFacts(
        Client("http://127.0.0.1:11434"), Version("0.33.0", (0, 33, 0)), (tag("llama3.1:8b"),)
    )
    places = Places(Path("/run/l"), Path("/data/homes"), "1-2.00", {})
    made = plan.make_plan(world(), Wish(AGENT), places, weights=weights, ollama=facts)
    said = dict(made.warnings)
    assert said["known-problem"] == (
        "llama3.1:8b is on Ollama's own list of models that work badly with coding agents"
    )


def test_what_the_catalog_shares_with_that_list_can_be_picked_nowhere() -> None:
    big = plan.choose_model(world(spec="ram=512GiB,gpu=H200:140GiB"), WISH)
    denied = [row for row in big.candidates if row.denied]
    assert {row.name.partition(" ")[0] for row in denied} >= {"Qwen2.5-Coder", "DeepSeek-R1"}
    assert not [row.id for row in denied if row.pickable]


@pytest.mark.parametrize(
    ("name", "digest", "score"), [("own:1b", "1" * 64, False), ("mine:latest", COPY, True)]
)
def test_a_server_elsewhere_may_serve_what_only_it_has(
    file: ModelFile, name: str, digest: str, score: bool
) -> None:
    files = {} if score else {name: file}
    facts = OllamaFacts(
        Client("http://192.168.1.9:11434"),
        Version("0.33.0", (0, 33, 0)),
        (tag(name, digest=digest),),
        files=files,
    )
    places = Places(Path("/run/l"), Path("/data/homes"), "1-2.00", {})
    made = plan.make_plan(world(), Wish(AGENT), places, ollama=facts)
    assert made.model.id == name
    assert made.model.candidate is not None
    assert (made.model.candidate.id, made.model.candidate.installed) == (name, True)
    assert (made.model.candidate.score is not None) == score
