"""Deciding: from hand-made surveys to whole plans, without a machine in sight."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentlaunch import plan
from agentlaunch.agents.claude_code import AGENT
from agentlaunch.context import padded
from agentlaunch.endpoint import HIDDEN
from agentlaunch.engines.base import EngineState, Loaded, StateName
from agentlaunch.engines.llama_cpp import PACKAGE
from agentlaunch.engines.remote import ALL_WIRES, RemoteFacts, RemoteModel
from agentlaunch.errors import (
    AgentlaunchError,
    EngineFailed,
    MachineCannot,
    ModelUnavailable,
    NotSupported,
    UsageError,
)
from agentlaunch.machine.facts import Gpu, Machine
from agentlaunch.models import catalog, choose, gguf
from agentlaunch.models.candidate import Candidate, consider_all
from agentlaunch.models.shape import LayerCache, ModelShape
from agentlaunch.models.shape import Weights as TensorBytes
from agentlaunch.plan import HandOver, Install, LaunchPlan, Load, Places, Pull, StartEngine, Wish
from agentlaunch.survey import AgentState, Survey, Weights

GIB = 1 << 30
CATALOG = catalog.load()
CLAUDE = AgentState(AGENT, Path("/usr/bin/claude"), "2.1.197", managed=False)
ABSENT = AgentState(AGENT, None, None, managed=False)
BIG = Path("/m/big.gguf")
PLACES = Places(Path("/run/l"), Path("/data/homes"), "1-2.00", {})
CARD = Gpu("RTX 4090", "nvidia", 24 * GIB, 24 * GIB, False, 1008.0, "cuda", "555", "t")
METAL = Gpu("M3 Max", "apple", 48 * GIB, 48 * GIB, True, 400.0, "metal", None, "t")


def computer(ram_gib: float | None, *gpus: Gpu, free_gib: float | None = None) -> Machine:
    ram = None if ram_gib is None else int(ram_gib * GIB)
    free = ram if free_gib is None else int(free_gib * GIB)
    return Machine("linux", "x86_64", "cpu", 8, ram, free, None, 10**12, False, False, gpus)


def mac(ram_gib: int) -> Machine:
    ram = ram_gib * GIB
    return Machine("darwin", "arm64", "M3 Max", 12, ram, ram, None, 10**12, True, False, (METAL,))


def world(
    machine: Machine,
    *,
    agent: AgentState = CLAUDE,
    engines: tuple[EngineState, ...] = (),
    engine_installed: bool = True,
    models: catalog.Catalog = CATALOG,
) -> Survey:
    return Survey(
        machine=machine,
        engines=engines,
        agents={"claude-code": agent},
        catalog=models,
        stored=(),
        engine_installed=engine_installed,
        ollama=None,
    )


def make(survey: Survey, *, places: Places = PLACES, **more: Any) -> LaunchPlan:
    """A plan for Claude Code; `weights` and `remote` go to `make_plan`, the rest is the wish."""
    given = {name: more.pop(name) for name in ("weights", "remote") if name in more}
    return plan.make_plan(survey, Wish(AGENT, **more), places, **given)


def a_file(
    *,
    size_gib: float = 1.0,
    trained: int | None = 131_072,
    kv_heads: int = 8,
    key_length: int = 128,
    layers: int = 32,
    takes_tools: bool | None = True,
) -> Weights:
    """A model by path: 128 KiB of f16 cache a token unless said otherwise."""
    size = int(size_gib * GIB)
    each = size // (layers + 1)
    tensors = TensorBytes(size, each, False, (each,) * layers, (0,) * layers, each)
    shape = ModelShape(
        "llama",
        (LayerCache(kv_heads, key_length, key_length),) * layers,
        32,
        32_000,
        trained,
        4096,
        14_336,
        weights=tensors,
    )
    file = gguf.ModelFile("Big", shape, takes_tools, size, "q4_k_m")
    path = BIG
    return Weights("big.gguf", None, path, None, size, file, None, "gguf")


def listed(tag: str) -> Weights:
    """A model of the catalog that is not here yet."""
    entry = CATALOG.get(tag)
    return Weights(tag, None, None, None, entry.variant.size_bytes, None, entry, "catalog")


def served(*models: RemoteModel, url: str = "http://127.0.0.1:8000", **more: Any) -> RemoteFacts:
    return RemoteFacts(url, "vllm", more.pop("wires", ALL_WIRES), models, **more)


def process_row(
    state: StateName, model: str, context_tokens: int, *, kind: str = "f16", path: Path = BIG
) -> EngineState:
    held = Loaded(model, context_tokens, None, None, kind, path)
    return EngineState("embedded", state, "1", "http://127.0.0.1:5", ALL_WIRES, (held,))


def codes(made: LaunchPlan) -> list[str]:
    return [code for code, _text in made.warnings]


# --- what was not asked for is chosen ---------------------------------------------------------


def test_everything_is_brought_where_nothing_is() -> None:
    made = make(world(computer(32), agent=ABSENT, engine_installed=False))
    pick = CATALOG.get("qwen3.6:35b").variant
    assert made.steps == (
        Install(AGENT.package or PACKAGE),  # first: what it lacks is told before anything comes
        Install(PACKAGE),
        Pull("qwen3.6:35b", pick.size_bytes),
        StartEngine("embedded", reuse=False),
        Load("qwen3.6:35b", 65_536),
        HandOver("claude-code"),
    )
    assert AGENT.package is not None
    fetched = (PACKAGE.download_bytes or 0) + (AGENT.package.download_bytes or 0)
    assert made.download_bytes == fetched + pick.size_bytes
    assert made.handover.argv[0] == "claude"


def test_nothing_is_brought_where_everything_is() -> None:
    made = make(world(computer(32)), weights=a_file())
    assert made.steps == (
        StartEngine("embedded", reuse=False),
        Load("big", 65_536),
        HandOver("claude-code"),
    )
    assert made.download_bytes == 0
    assert made.handover.argv[0] == "/usr/bin/claude"
    assert made.warnings == ()


def test_the_pick_is_the_first_of_the_ranking_and_says_why() -> None:
    made = make(world(computer(32)))
    assert made.choice is not None
    assert made.choice.pick == made.model.candidate == made.choice.candidates[0]
    assert made.fit is not None
    assert made.because[-1] in made.fit.because
    assert made.choice.pick is not None
    assert made.because[: len(made.choice.pick.because)] == made.choice.pick.because


def test_a_small_machine_gets_the_largest_context_that_fits() -> None:
    """Each model is looked at again with less context until it fits."""
    choice = plan.choose_model(world(computer(6)), Wish(AGENT))
    assert choice.pick is not None
    assert AGENT.min_context_tokens <= choice.pick.fit.context_tokens < 65_536
    for row in choice.candidates:
        assert row.fit.context_tokens in {65_536, *plan.CONTEXT_STEPS, 40_960, 31_744} or (
            row.fit.context_tokens == CATALOG.get(row.id).model.context_max_tokens
        )


def test_looking_again_only_at_what_does_not_fit_yet_gives_what_looking_at_all_gives() -> None:
    survey, wish = world(computer(12, free_gib=5)), Wish(AGENT)
    best: dict[str, Candidate] = {}
    for tokens in (65_536, 49_152, 40_960, 32_768, 31_744):
        terms = plan.terms_of(survey, wish, tokens, "f16")
        for row in consider_all(survey.machine, CATALOG.models, terms):
            if row.id not in best or not best[row.id].fit.fits:
                best[row.id] = row
    assert plan.choose_model(survey, wish) == choose.rank(best.values(), first_word_limit_s=60)


def test_nothing_fits_names_the_nearest_miss_in_numbers() -> None:
    with pytest.raises(MachineCannot) as caught:
        make(world(computer(1)))
    error = caught.value
    assert (error.exit_code, error.code) == (4, "nothing-fits")
    assert "at 31,744 tokens; the nearest is qwen3.5:2b-q4_K_M: it needs 2." in error.message
    assert "--engine URL" in (error.hint or "")


def test_a_context_that_nobody_was_trained_for_is_said_as_that() -> None:
    with pytest.raises(MachineCannot) as caught:
        make(world(computer(4096)), context_tokens=4_000_000)
    assert caught.value.message == "no model of the catalog was trained for 4,000,000 tokens"
    assert "--context" in (caught.value.hint or "")


def test_unknown_memory_is_said_as_that() -> None:
    with pytest.raises(MachineCannot, match="is not known"):
        make(world(computer(None)))


def test_an_asked_context_is_kept_when_the_model_is_chosen() -> None:
    small = make(world(computer(32)), context_tokens=8_000)
    assert small.context.engine_tokens == 8_192  # what the engine allocates for it
    assert "small-context" in codes(small)
    large = make(world(computer(64)), context_tokens=131_072)
    assert large.context.engine_tokens == 131_072


def test_a_headless_run_is_timed_by_its_own_smaller_prompt() -> None:
    first = []
    for args in ((), ("-p", "x")):
        made = make(world(computer(32)), weights=listed("qwen3.5:9b"), args=args)
        assert made.model.candidate is not None
        assert made.model.candidate.speed.first_word_s is not None
        first.append(made.model.candidate.speed.first_word_s.middle)
    assert first[1] < first[0]


# --- a model that was asked for ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("ram_gib", "tokens", "kind"),
    [
        (32, 65_536, "f16"),  # what the agent wants, never more
        (10, 49_152, "f16"),  # the largest step that fits
        (8, 32_768, "f16"),
        (6.5, 49_152, "q8_0"),  # a smaller cache before a window that is too small
        (4.5, 32_768, "q8_0"),
        (3, 8_192, "q8_0"),  # too small for the agent, but asked for: a warning
    ],
)
def test_an_asked_model_gets_the_largest_context_that_fits(
    ram_gib: float, tokens: int, kind: str
) -> None:
    context = make(world(computer(ram_gib)), weights=a_file()).context
    assert (context.engine_tokens, context.kv_cache_type) == (tokens, kind)


def test_never_more_context_than_the_model_was_trained_for() -> None:
    made = make(world(computer(32)), weights=a_file(trained=8_192))
    assert made.context.engine_tokens == 8_192
    assert codes(made) == ["small-context"]
    asked = make(world(computer(32)), weights=a_file(trained=8_192), context_tokens=65_536)
    assert asked.context.engine_tokens == 8_192
    assert asked.warnings[0] == (
        "context-smaller",
        "big.gguf was trained for 8,192 tokens, fewer than asked",
    )


@pytest.mark.parametrize("trained", [None, 0])
def test_a_model_that_does_not_say_its_context_gets_what_the_agent_wants(
    trained: int | None,
) -> None:
    made = make(world(computer(32)), weights=a_file(trained=trained))
    assert made.context.engine_tokens == 65_536


def test_an_asked_context_beyond_what_the_agent_wants_is_given() -> None:
    made = make(world(computer(64)), weights=a_file(), context_tokens=131_072)
    assert (made.context.engine_tokens, made.context.kv_cache_type) == (131_072, "f16")


def test_an_asked_context_that_fits_only_with_a_smaller_cache_gets_it() -> None:
    made = make(world(computer(16)), weights=a_file(), context_tokens=100_000)
    assert (made.context.engine_tokens, made.context.kv_cache_type) == (100_096, "q8_0")


def test_an_asked_context_that_does_not_fit_is_refused_with_its_numbers() -> None:
    with pytest.raises(MachineCannot) as caught:
        make(world(computer(8)), weights=a_file(), context_tokens=131_072)
    error = caught.value
    assert (error.exit_code, error.code) == (4, "does-not-fit")
    assert error.message.startswith("big.gguf needs 9.")
    assert " GiB at 131,072 tokens, this machine has 6.0 GiB for it" in error.message


def test_a_small_asked_context_is_only_a_warning() -> None:
    made = make(world(computer(32)), weights=a_file(), context_tokens=4_096)
    assert made.context.engine_tokens == 4_096
    assert codes(made) == ["small-context"]
    assert made.context.compact_at_tokens is None


def test_a_model_larger_than_the_machine_is_refused_with_its_least_need() -> None:
    with pytest.raises(MachineCannot) as caught:
        make(world(computer(16)), weights=a_file(size_gib=40))
    assert "big.gguf needs 40." in caught.value.message
    assert "at 2,048 tokens, this machine has 12.0 GiB" in caught.value.message


def test_an_asked_cache_type_is_not_exchanged() -> None:
    made = make(world(computer(32)), weights=a_file(), kv_cache="q4_0")
    assert made.context.kv_cache_type == "q4_0"
    with pytest.raises(MachineCannot):
        make(world(computer(16)), weights=a_file(), kv_cache="f16", context_tokens=131_072)


def test_a_cache_type_that_the_model_cannot_have_is_not_blamed_on_memory() -> None:
    odd = a_file(kv_heads=1, key_length=40)
    with pytest.raises(NotSupported, match="rows of 40 values") as caught:
        make(world(computer(64)), weights=odd, kv_cache="q8_0")
    assert caught.value.hint == "leave --kv-cache away"
    assert make(world(computer(64)), weights=odd).context.kv_cache_type == "f16"
    with pytest.raises(MachineCannot, match="needs 80"):
        make(world(computer(16)), weights=replace(odd, file=a_file(size_gib=80).file))


def test_a_model_of_the_catalog_is_pulled_at_its_published_size() -> None:
    made = make(world(computer(32)), weights=listed("qwen3.5:9b"))
    assert made.steps[0] == Pull("qwen3.5:9b", 6_600_000_000)
    assert made.because[0] == "qwen3.5:9b was asked for"
    assert made.choice is None
    exact = replace(listed("qwen3.5:9b"), size_bytes=6_594_474_711, source="registry")
    assert make(world(computer(32)), weights=exact).download_bytes == 6_594_474_711


def test_a_download_of_unknown_size_counts_as_nothing() -> None:
    unknown = replace(listed("qwen3.5:9b"), size_bytes=None)
    assert make(world(computer(32)), weights=unknown).download_bytes == 0


def test_a_model_that_nothing_is_known_about_is_unavailable() -> None:
    weights = Weights("x/y:z", None, None, None, None, None, None, "catalog")
    with pytest.raises(ModelUnavailable, match="nothing is known about its size"):
        make(world(computer(32)), weights=weights)


@pytest.mark.parametrize(
    ("model_id", "name"),
    [("big.gguf", "big"), ("qwen3.5:9b", "qwen3.5:9b"), ("a.gguf.b", "a.gguf.b")],
)
def test_a_file_is_served_under_its_name_without_the_suffix(model_id: str, name: str) -> None:
    assert plan.served_name(model_id) == name


# --- warnings and reasons ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("qwen3:14b", ["weak-model"]),
        ("qwen2.5-coder:7b", ["tool-calls-as-text", "known-problem", "weak-model"]),
        ("phi4:14b", ["template-ignores-tools", "weak-model"]),
        ("qwen3.5:9b", []),
    ],
)
def test_what_is_known_against_an_asked_model_is_said(tag: str, expected: list[str]) -> None:
    found = codes(make(world(mac(64)), weights=listed(tag)))
    assert [code for code in found if code not in {"small-context", "slow-first-word"}] == expected


def test_the_header_of_a_file_knows_better_than_the_catalog_about_tools() -> None:
    known = replace(listed("phi4:14b"), file=a_file().file)
    assert "template-ignores-tools" not in codes(make(world(mac(64)), weights=known))
    without = a_file(takes_tools=False)
    assert codes(make(world(computer(32)), weights=without)) == ["template-ignores-tools"]


def test_a_first_word_after_minutes_is_said_with_the_way_out() -> None:
    made = make(world(computer(64)), weights=listed("gemma4:31b"), model="gemma4:31b")
    assert made.context.tier.name == "slim"  # chosen for its speed: the window carries both
    assert "shows what is quicker" in dict(made.warnings)["slow-first-word"]
    whole = make(world(computer(64)), weights=listed("gemma4:31b"), slim="off")
    assert whole.context.tier.name == "full"
    assert "--slim on" in dict(whole.warnings)["slow-first-word"]


def test_short_memory_is_said_while_the_plan_goes_on() -> None:
    made = make(world(computer(32, free_gib=2)), weights=a_file())
    assert made.fit is not None
    mib = made.fit.shortage_bytes // 2**20
    assert made.warnings == (
        ("memory-short-now", f"close programs: {mib:,} MiB more are needed free"),
    )
    assert any("right now only" in line for line in made.because)


@pytest.mark.parametrize("with_metal", [False, True])
def test_a_card_that_the_engine_leaves_idle_is_named(with_metal: bool) -> None:
    survey = world(mac(64) if with_metal else computer(32, CARD))
    idle = [line for line in make(survey, weights=a_file()).because if "RTX 4090 idle" in line]
    assert len(idle) == (0 if with_metal else 1)
    assert plan.gpu_usable(survey, Wish(AGENT)) is with_metal
    assert all("--engine URL" in line for line in idle)


# --- an engine that runs already --------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reuse"),
    [
        (process_row("running", "big", 65_536), True),
        (process_row("asleep", "big", 65_536), True),
        (process_row("running", "big", 32_768), False),
        (process_row("running", "other", 65_536), False),
        (process_row("running", "big", 65_536, kind="q8_0"), False),
        (process_row("running", "big", 65_536, path=Path("/elsewhere/big.gguf")), False),
        (EngineState("embedded", "installed", "1", None, ALL_WIRES), False),
    ],
)
def test_a_loaded_model_with_the_same_context_is_reused(row: EngineState, reuse: bool) -> None:
    made = make(world(computer(32), engines=(row,)), weights=a_file())
    assert made.steps[0] == StartEngine("embedded", reuse)


@pytest.mark.parametrize(("state", "short"), [("running", False), ("asleep", True)])
def test_memory_that_the_reused_engine_holds_is_not_missing(state: StateName, short: bool) -> None:
    """Asleep it has given its memory back, and will take it again."""
    machine = computer(32, free_gib=2)
    row = process_row(state, "big", 65_536)
    made = make(world(machine, engines=(row,)), weights=a_file())
    assert ("memory-short-now" in codes(made)) is short
    assert any("right now only" in line for line in made.because) is short


def test_memory_that_the_reused_engine_holds_is_not_missing_for_a_chosen_model() -> None:
    machine = computer(32, free_gib=2)
    alone = make(world(machine))
    assert "memory-short-now" in codes(alone)
    row = process_row("running", alone.model.id, alone.context.engine_tokens)
    made = make(world(machine, engines=(row,)))
    assert "memory-short-now" not in codes(made)
    assert made.model.id == alone.model.id
    assert made.fit is not None
    assert alone.fit is not None
    assert made.fit.total_bytes == alone.fit.total_bytes


# --- a server elsewhere -----------------------------------------------------------------------


def test_a_server_that_serves_one_model_is_used_as_it_is() -> None:
    facts = served(RemoteModel("m", 40_960))
    made = make(world(computer(1), engine_installed=False), remote=facts)
    assert made.steps == (HandOver("claude-code"),)
    assert (made.engine, made.url, made.model) == (
        "remote",
        "http://127.0.0.1:8000",
        plan.Chosen("m", None, None),
    )
    assert made.context.engine_tokens == 40_960
    assert made.because[0] == "http://127.0.0.1:8000 was asked for and serves m"
    assert made.warnings == ()
    assert made.fit is None
    assert made.handover.env["ANTHROPIC_AUTH_TOKEN"] == HIDDEN


def test_a_missing_agent_is_installed_for_a_server_too() -> None:
    made = make(world(computer(8), agent=ABSENT), remote=served(RemoteModel("m", 65_536)))
    assert [step.kind for step in made.steps] == ["install", "hand-over"]


def test_an_agent_that_we_cannot_install_must_be_there() -> None:
    bare = replace(AGENT, package=None)
    survey = world(computer(32), agent=AgentState(bare, None, None, managed=False))
    with pytest.raises(NotSupported, match="agentlaunch cannot install it"):
        plan.make_plan(survey, Wish(bare), PLACES, weights=a_file())


def test_an_agent_that_is_bound_to_its_vendor_is_not_supported() -> None:
    bound = replace(AGENT, local=False, local_reason="it knows no other server")
    with pytest.raises(NotSupported, match="it knows no other server"):
        plan.make_plan(world(computer(32)), Wish(bound), PLACES)


def test_several_served_models_need_a_name() -> None:
    facts = served(RemoteModel("a", 65_536), RemoteModel("b", 65_536))
    with pytest.raises(UsageError, match="a, b") as caught:
        make(world(computer(8)), remote=facts)
    assert caught.value.code == "several-models"
    assert make(world(computer(8)), remote=facts, model="b").model.id == "b"
    with pytest.raises(ModelUnavailable, match="does not serve 'c'"):
        make(world(computer(8)), remote=facts, model="c")


def test_a_server_that_serves_nothing_is_said_as_that() -> None:
    with pytest.raises(ModelUnavailable, match="serves no model"):
        make(world(computer(8)), remote=served())


def test_a_server_without_the_agents_wire_is_not_supported() -> None:
    facts = served(RemoteModel("m", 65_536), wires=("openai_chat",))
    with pytest.raises(NotSupported, match="anthropic_messages") as caught:
        make(world(computer(8)), remote=facts)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("says", "asked", "gets", "warned"),
    [
        (None, 40_960, 40_960, []),
        (65_536, 40_960, 40_960, []),
        (65_536, 65_536, 65_536, []),
        (65_536, 131_072, 65_536, ["context-smaller"]),
        (8_192, None, 8_192, ["small-context"]),
    ],
)
def test_the_context_of_a_server_is_what_it_says_or_less(
    says: int | None, asked: int | None, gets: int, warned: list[str]
) -> None:
    server = served(RemoteModel("m", says))
    made = make(world(computer(8)), remote=server, model="m", context_tokens=asked)
    assert (made.context.engine_tokens, codes(made)) == (gets, warned)


def test_a_server_with_too_small_a_window_is_refused_unless_it_was_chosen() -> None:
    with pytest.raises(EngineFailed, match="8,192 tokens") as caught:
        make(world(computer(8)), remote=served(RemoteModel("m", 8192)))
    assert (caught.value.exit_code, caught.value.code) == (6, "context-too-small")


def test_what_does_not_fit_on_the_disk_all_together_is_refused_before_anything_comes() -> None:
    small = replace(computer(32), disk_free_bytes=300_000_000)
    with pytest.raises(MachineCannot, match="300 MB are free") as caught:
        make(world(small, agent=ABSENT, engine_installed=False), weights=a_file())
    assert (caught.value.exit_code, caught.value.code) == (4, "no-disk")


def test_a_server_that_does_not_say_its_context_needs_the_flag() -> None:
    with pytest.raises(UsageError, match="does not say") as caught:
        make(world(computer(8)), remote=served(RemoteModel("m", None)))
    assert caught.value.code == "needs-context"


@pytest.mark.parametrize(
    ("url", "leaves"),
    [
        ("http://127.0.0.1:1", False),
        ("http://localhost:1", False),
        ("http://[::1]:1", False),
        ("https://models.example", True),
        ("http://192.168.1.9:8000", True),
        ("http://127.0.0.1.example:1", True),
    ],
)
def test_a_server_on_another_host_is_named(url: str, leaves: bool) -> None:
    made = make(world(computer(8)), remote=served(RemoteModel("m", 65_536), url=url))
    named = [text for code, text in made.warnings if code == "remote-engine"]
    assert named == ([f"your code leaves this machine: it goes to {url}"] if leaves else [])
    clear = leaves and url.startswith("http://")
    assert ("code-in-clear" in codes(made)) == clear


# --- for every wish on every machine ----------------------------------------------------------


def test_no_secret_stands_in_the_text_of_a_plan() -> None:
    facts = served(RemoteModel("m", 65_536), key="canary-key")
    places = replace(PLACES, environ={"ANTHROPIC_API_KEY": "canary-env"})
    made = make(world(computer(8)), remote=facts, places=places)
    assert "canary" not in repr(made) + repr(places)
    assert "canary" not in str(dict(made.handover.env)) + str(made.handover.argv)
    assert all(b"canary" not in file.content for file in made.handover.files)


_SMALL_CATALOG = catalog.Catalog(
    tuple(CATALOG.get(tag).model for tag in ("qwen3.5:4b", "rnj-1:8b", "phi4:14b"))
)
_MACHINES = st.builds(
    lambda ram, free, gpus, system: replace(computer(ram, *gpus, free_gib=free), os=system),
    st.none() | st.floats(0.0, 256.0),
    st.floats(0.0, 64.0),
    st.sampled_from(((), (CARD,), (METAL,), (CARD, CARD))),
    st.sampled_from(("linux", "darwin", "windows")),
)
_WISHES = st.fixed_dictionaries(
    {
        "context_tokens": st.none() | st.integers(1, 2_000_000),
        "kv_cache": st.sampled_from(("auto", "f16", "q8_0", "q4_0")),
        "slim": st.sampled_from(("auto", "off", "on")),
        "home": st.sampled_from(("own", "clean")),
        "args": st.sampled_from(((), ("-p", "x"))),
        "output_limit_tokens": st.none() | st.integers(1, 100_000),
    }
)
_FILES = st.builds(
    a_file,
    size_gib=st.floats(0.001, 100.0),
    trained=st.none() | st.integers(0, 1_100_000),
    kv_heads=st.integers(0, 16),
    key_length=st.integers(1, 256),
    layers=st.integers(1, 40),
    takes_tools=st.sampled_from((None, True, False)),
)
_SERVERS = st.builds(
    lambda tokens, url, wires: served(*(RemoteModel("m", n) for n in tokens), url=url, wires=wires),
    st.lists(st.none() | st.integers(1, 10**12), max_size=2),
    st.sampled_from(("http://127.0.0.1:1", "http://far.example")),
    st.sampled_from((ALL_WIRES, ("anthropic_messages",), ("openai_chat",))),
)


@settings(max_examples=200, deadline=None)
@given(
    machine=_MACHINES,
    wish=_WISHES,
    source=st.one_of(
        st.just({}),
        st.builds(lambda file: {"weights": file}, _FILES),
        st.builds(lambda tag: {"weights": listed(tag)}, st.sampled_from(("phi4:14b", "qwen3:8b"))),
        st.builds(lambda facts: {"remote": facts}, _SERVERS),
    ),
)
def test_a_plan_keeps_the_context_contract_or_is_an_error_of_ours(
    machine: Machine, wish: dict[str, Any], source: dict[str, Any]
) -> None:
    survey = world(machine, models=_SMALL_CATALOG)
    try:
        made = make(survey, **wish, **source)
    except AgentlaunchError:
        return
    context = made.context
    assert context.engine_tokens >= context.agent_window_tokens > 0
    assert context.compact_at_tokens is None or (
        0 < context.compact_at_tokens < context.agent_window_tokens
    )
    assert 0 < context.max_output_tokens <= context.agent_window_tokens
    asked = wish["context_tokens"]
    assert asked is None or context.engine_tokens <= padded(asked)
    file = source["weights"].file if "weights" in source else None
    if file is not None and file.shape.context_max_tokens:
        assert context.engine_tokens <= file.shape.context_max_tokens
    assert made.fit is None or made.fit.verdict != "no"
    assert made.steps[-1] == HandOver("claude-code")
