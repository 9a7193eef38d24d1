"""Chains that are planned over real servers: keys, money, and endpoints that are down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agentlaunch import launch
from agentlaunch.cli import main
from agentlaunch.commands import deciding, looking
from agentlaunch.endpoint import Endpoint, is_loopback
from agentlaunch.engines.base import Served
from agentlaunch.errors import EngineFailed, Refused
from agentlaunch.gateway.routes import Word
from agentlaunch.launch import chain_proof, gateway, proving, serving
from agentlaunch.launch.terms import Terms
from agentlaunch.plan import LaunchPlan, Pull, Step
from agentlaunch.proof.check import Budget
from agentlaunch.records import Records
from agentlaunch.settings import PROJECT_FILE
from agentlaunch.talk import Policy, Talk
from places import paths_below
from wire_server import WireServer

KEY = "sk-canary-9d1e"


@pytest.fixture
def servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[WireServer, WireServer]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AGENTLAUNCH_ENGINE", raising=False)
    monkeypatch.setenv("AGENTLAUNCH_ENGINE_KEY", KEY)
    with WireServer(model="one") as first, WireServer(model="two") as second:
        yield first, second


def planned() -> LaunchPlan:
    talk = Talk(Policy(no_input=True))
    return deciding.decide(talk, looking.look(talk, {"agent": "claude-code"}, ()))


def keys_at(server: WireServer) -> set[str | None]:
    return {request.headers.get("authorization") for request in server.requests}


def test_one_key_goes_to_one_owner_alone(
    servers: tuple[WireServer, WireServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = servers
    monkeypatch.setenv("AGENTLAUNCH_ROUTES_MAIN", f"{first.url}, {second.url}")
    # As if both were other machines, with two owners.
    monkeypatch.setattr("agentlaunch.commands.hybrid.is_loopback", lambda _url: False)
    made = planned()
    assert keys_at(first) == {f"Bearer {KEY}"}
    assert keys_at(second) == {None}
    assert made.hybrid is not None
    kept = [hop.remote.key for hop in made.hybrid.chains["main"] if hop.remote is not None]
    assert kept == [KEY, ""]


def test_the_key_is_for_hosted_wherever_that_stands(
    servers: tuple[WireServer, WireServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = servers
    monkeypatch.setenv("AGENTLAUNCH_HOSTED_URL", second.url)
    monkeypatch.setenv("AGENTLAUNCH_ROUTES_MAIN", f"{first.url}, hosted")
    monkeypatch.setattr("agentlaunch.commands.hybrid.is_loopback", lambda _url: False)
    planned()
    assert keys_at(first) == {None}
    assert keys_at(second) == {f"Bearer {KEY}"}


def test_where_nothing_leaves_the_key_serves_every_server_of_this_machine(
    servers: tuple[WireServer, WireServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = servers
    assert is_loopback(first.url)
    monkeypatch.setenv("AGENTLAUNCH_ROUTES_MAIN", f"{first.url}, {second.url}")
    planned()
    assert keys_at(first) == keys_at(second) == {f"Bearer {KEY}"}


@pytest.mark.parametrize("known", [False, True])
def test_a_chain_of_which_nobody_answers_launches_nothing(
    known: bool, servers: tuple[WireServer, WireServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = servers
    monkeypatch.setenv("AGENTLAUNCH_ROUTES_MAIN", f"{first.url}, {second.url}")
    if known:
        planned()
    first.die()
    second.die()
    with pytest.raises(EngineFailed) as caught:
        planned()
    assert caught.value.code == "no-endpoint"


def test_one_that_was_seen_before_and_is_down_stays_in_its_place(
    servers: tuple[WireServer, WireServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = servers
    monkeypatch.setenv("AGENTLAUNCH_ROUTES_MAIN", f"{first.url}, {second.url}")
    planned()
    first.die()
    made = planned()
    assert made.hybrid is not None
    hops = made.hybrid.chains["main"]
    assert [(hop.model, hop.answers) for hop in hops] == [("one", False), ("two", True)]
    assert "endpoint-down" in dict(made.warnings)


@pytest.mark.parametrize("how", ["engine", "routes"])
def test_where_nothing_may_be_spent_a_paid_service_is_not_even_asked(
    how: str,
    servers: tuple[WireServer, WireServer],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    listener = servers[0]
    monkeypatch.setenv("AGENTLAUNCH_OPENROUTER_URL", listener.url)
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    Path(PROJECT_FILE).write_text("max_spend_per_day = 0\n")
    argv = ["up", "claude-code", "--dry-run", "--json"]
    if how == "engine":
        argv += ["--engine", "openrouter", "--model", "a/b"]
    else:
        monkeypatch.setenv("AGENTLAUNCH_ROUTES_MAIN", "openrouter#a/b")
    assert main(argv) == 8
    error = json.loads(capsys.readouterr().out)["error"]
    assert "max_spend_per_day = 0" in error["message"]
    assert listener.requests == []


def test_a_rule_that_is_met_says_nothing_of_money(
    servers: tuple[WireServer, WireServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTLAUNCH_ROUTES_MAIN", f"{servers[0].url}, {servers[1].url}")
    Path(PROJECT_FILE).write_text("max_spend_per_day = 0\n")
    made = planned()
    assert made.hybrid is not None
    assert made.hybrid.cap_usd is None  # nothing of it is paid by the token
    Path(PROJECT_FILE).write_text("max_spend_per_day = -1\n")
    with pytest.raises(Refused, match="max_spend_per_day"):
        planned()


def test_a_server_that_has_no_model_now_does_not_end_the_chain(
    servers: tuple[WireServer, WireServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = servers
    first.model = ""
    monkeypatch.setenv("AGENTLAUNCH_ROUTES_MAIN", f"{first.url}, {second.url}")
    made = planned()
    assert made.model.id == "two"
    assert "endpoint-left-out" in dict(made.warnings)


@pytest.mark.parametrize("count", [1, 2])
def test_a_setting_that_the_routes_leave_nothing_to_say_is_told(
    count: int, servers: tuple[WireServer, WireServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = ", ".join(server.url for server in servers[:count])
    Path(PROJECT_FILE).write_text('model = "m9"\n')
    monkeypatch.setenv("AGENTLAUNCH_ROUTES_MAIN", chain)
    assert (
        f"model = m9 in {Path.cwd() / PROJECT_FILE}"
        in dict(planned().warnings)["model-passed-over"]
    )


# ---- endpoints of this machine that only stand in --------------------------------------------


def with_local(made: LaunchPlan, *, at: int, steps: tuple[Step, ...] = ()) -> LaunchPlan:
    """The plan with one of its endpoints on this machine, in the same place."""
    hybrid = made.hybrid
    assert hybrid is not None
    inner = replace(made, hybrid=None, steps=steps)
    chain = list(hybrid.chains["main"])
    chain[at] = replace(chain[at], word=Word("local"), local=inner, remote=None)
    return replace(made, hybrid=replace(hybrid, chains={"main": tuple(chain)}))


def terms(tmp_path: Path) -> Terms:
    talk = Talk(Policy(no_input=True, offline=True))
    return Terms(talk, paths_below(tmp_path), launch.places(paths_below(tmp_path)))


@pytest.fixture
def made(servers: tuple[WireServer, WireServer], monkeypatch: pytest.MonkeyPatch) -> LaunchPlan:
    first, second = servers
    monkeypatch.setenv("AGENTLAUNCH_ROUTES_MAIN", f"{first.url}, {second.url}")
    return planned()


def test_a_stand_in_that_cannot_be_served_does_not_end_the_launch(
    made: LaunchPlan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_plan: LaunchPlan) -> Served:
        raise EngineFailed("the engine did not come")

    plan, served = gateway.serve_local(with_local(made, at=1), terms(tmp_path), fails)
    assert plan.hybrid is not None
    assert [hop.model for hop in plan.hybrid.chains["main"]] == ["one"]
    assert served == {}
    told = "local is left out of this session: the engine did not come"
    assert told in capsys.readouterr().err


def test_what_the_user_is_to_answer_ends_it(made: LaunchPlan, tmp_path: Path) -> None:
    def fails(_plan: LaunchPlan) -> Served:
        raise Refused("in use")

    with pytest.raises(Refused):
        gateway.serve_local(with_local(made, at=1), terms(tmp_path), fails)


def test_where_nobody_else_answers_the_failure_is_the_launchs(
    made: LaunchPlan, tmp_path: Path
) -> None:
    def fails(_plan: LaunchPlan) -> Served:
        raise EngineFailed("the engine did not come")

    plan = with_local(made, at=0)
    assert plan.hybrid is not None
    first, second = plan.hybrid.chains["main"]
    down = replace(plan.hybrid, chains={"main": (first, replace(second, answers=False))})
    with pytest.raises(EngineFailed):
        gateway.serve_local(replace(plan, hybrid=down), terms(tmp_path), fails)


def test_a_stand_in_that_cannot_be_fetched_is_left_out(
    made: LaunchPlan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = with_local(made, at=1, steps=(Pull("nobody/has:this", 5),))
    plan = serving.bring(replace(plan, steps=()), terms(tmp_path))
    assert plan.hybrid is not None
    assert [hop.model for hop in plan.hybrid.chains["main"]] == ["one"]
    assert "local is left out of this session" in capsys.readouterr().err


@pytest.mark.parametrize(("at", "spare"), [(1, ["local"]), (0, [])])
def test_only_what_stands_in_can_be_spared(at: int, spare: list[str], made: LaunchPlan) -> None:
    hybrid = with_local(made, at=at, steps=(Pull("nobody/has:this", 5),)).hybrid
    assert hybrid is not None
    assert [hop.word.shown for hop in hybrid.spare] == spare


def test_a_server_that_stands_twice_in_a_chain_is_asked_once(
    servers: tuple[WireServer, WireServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = servers
    monkeypatch.setenv("AGENTLAUNCH_HOSTED_URL", first.url)
    monkeypatch.setenv("AGENTLAUNCH_ROUTES_MAIN", f"hosted, {first.url}, {second.url}, hosted#one")
    made = planned()
    assert made.hybrid is not None
    assert [hop.model for hop in made.hybrid.chains["main"]] == ["one", "two"]
    assert [code for code, _text in made.warnings].count("endpoint-twice") == 2


# ---- proven behind a gateway -------------------------------------------------------------------


def test_each_endpoint_is_proven_for_itself_and_remembered_by_where_it_is(
    made: LaunchPlan, servers: tuple[WireServer, WireServer], tmp_path: Path
) -> None:
    """The first server stands for the gateway, which knows each endpoint by a name of its own."""
    first, second = servers
    hybrid, asked = made.hybrid, terms(tmp_path)
    assert hybrid is not None
    stand_in = Endpoint(first.url, ("anthropic_messages",), "al-main", KEY)
    served = Served("gateway", stand_in, 65_536, None, reused=False)
    first.requests.clear()

    def prove() -> proving.Proven:
        return chain_proof.prove(
            made, hybrid, served, asked.talk, asked.paths, asked.where, budget=Budget(60)
        )

    assert [check.status for check in prove().checks] == ["ok", "ok"]
    names = {request.json["model"] for request in first.requests if request.method == "POST"}
    assert names == {"al-main-1", "al-main-2"}
    rows = Records(asked.paths.state).all("proofs").values()
    assert {(row["url"], row["model"]) for row in rows} == {(first.url, "one"), (second.url, "two")}
    first.requests.clear()
    assert prove().remembered
    assert first.requests == []
