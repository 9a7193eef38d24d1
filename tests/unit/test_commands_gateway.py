"""`agentlaunch gateway`: what is told of it, its end, its log and its configuration."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

import schemas
from agentlaunch import files, plan, settings
from agentlaunch.cli import main
from agentlaunch.gateway import events, life
from agentlaunch.gateway.package import VERSION
from agentlaunch.gateway.spec import Hop, Spec
from agentlaunch.progress import finish
from fake_gateway import FakeGateway
from wire_server import WireServer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the gateway is not there yet")

HOSTED = Hop("hosted", "http://gpu.lan:8000", "qwen3-coder-30b", "vllm", 131_072, token="sk-hop")
PAID = Hop(
    "openrouter", "https://openrouter.ai/api", "some/model", "openrouter", 200_000, managed=True
)
LOCAL = Hop("local", "http://127.0.0.1:9", "qwen3.5:9b", "llama.cpp", 65_536)
CHAINS = Spec({"main": (HOSTED, LOCAL), "small": (LOCAL,)})
NOW = datetime.now(timezone.utc)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    made = FakeGateway(settings.paths())
    yield made
    made.end()


def serve(spec: Spec = CHAINS) -> life.Running:
    return finish(life.serve(spec, settings.paths(), idle_s=60))


def account(running: life.Running, **roles: tuple[str, str]) -> None:
    """What the gateway itself would have written down."""
    rows = {role: {"hop": hop, "model": model} for role, (hop, model) in roles.items()}
    files.write_json(running.status_file, {"roles": rows})


def note(*rows: dict[str, Any]) -> None:
    """Events, as the gateway writes them."""
    place = events.place(settings.paths().state)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))


def switch(age: timedelta, before: str, after: str, reason: str) -> dict[str, Any]:
    at = (NOW - age).isoformat(timespec="milliseconds")
    return {"kind": "switch", "at": at, "role": "main", "before": before, "after": after,
            "reason": reason}  # fmt: skip


def call(cost_usd: float | None, *, managed: bool = True) -> dict[str, Any]:
    return {"kind": "request", "at": NOW.isoformat(), "role": "main", "hop": "openrouter",
            "model": "some/model", "input_tokens": 1, "cached_tokens": 0, "output_tokens": 1,
            "cost_usd": cost_usd, "managed": managed, "local": False}  # fmt: skip


def told(capsys: pytest.CaptureFixture[str], *argv: str, status: int = 0) -> Any:
    assert main(["gateway", *argv, "--json"]) == status
    document = json.loads(capsys.readouterr().out)
    schemas.check(document)
    return document["data"] if status == 0 else document["error"]


def shown(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(["gateway", *argv]) == 0
    return capsys.readouterr().out


# ---- status -----------------------------------------------------------------------------------


def test_without_a_gateway_it_says_so_and_what_starts_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert shown(capsys) == (
        "no gateway runs; a launch starts it where the routes name several endpoints\n"
    )
    assert told(capsys, "status") == {"running": [], "switches": [], "spent_today_usd": 0.0}


def test_what_runs_is_told_with_who_answers_now(
    fake: FakeGateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    running = serve()
    account(running, main=("local", LOCAL.model), small=("local", LOCAL.model))
    note(switch(timedelta(0), "hosted", "local", "hosted refused the connection"))
    clock = NOW.astimezone().strftime("%H:%M")
    since = running.started_at.astimezone().strftime("%H:%M")
    out = shown(capsys)
    assert out.splitlines() == [
        f"gateway at {running.url} since {since}, 1 session",
        "ROLE   ENDPOINT  NOW          MODEL AND PLACE",
        "main   hosted    passed over  qwen3-coder-30b on gpu.lan,",
        "                              128k tokens",
        "main   local     answers      qwen3.5:9b on this machine,",
        "                              64k tokens",
        "small  local     answers      qwen3.5:9b on this machine,",
        "                              64k tokens",
        f"{clock} main: hosted → local (hosted refused the connection)",
    ]
    (row,) = told(capsys)["running"]
    assert row == {
        "url": running.url,
        "pid": running.identity.pid,
        "answers": True,
        "started_at": running.started_at.isoformat(timespec="seconds"),
        "sessions": 1,
        "version": VERSION,
        "config": str(running.config_file),
        "log": str(running.log),
        "cap_usd": None,
        "cap_origin": None,
        "roles": [
            {
                "role": "main",
                "model": "al-main",
                "endpoints": [
                    {"name": "hosted", "model": HOSTED.model, "host": "gpu.lan", "local": False,
                     "managed": False, "context_tokens": 131_072, "answers_now": False},
                    {"name": "local", "model": LOCAL.model, "host": "127.0.0.1", "local": True,
                     "managed": False, "context_tokens": 65_536, "answers_now": True},
                ],
            },
            {
                "role": "small",
                "model": "al-small",
                "endpoints": [
                    {"name": "local", "model": LOCAL.model, "host": "127.0.0.1", "local": True,
                     "managed": False, "context_tokens": 65_536, "answers_now": True},
                ],
            },
        ],
    }  # fmt: skip


def test_no_line_is_wider_than_a_terminal_of_sixty_columns(
    fake: FakeGateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    serve(Spec({"main": (PAID, LOCAL)}, cap_usd=5.0, cap_origin="/etc/agentlaunch/policy.toml"))
    note(
        switch(timedelta(hours=1), "openrouter", "local", "the day's 5.00 USD are spent " * 4),
        call(1.25),
    )
    assert max(map(len, shown(capsys).splitlines())) <= 60


@pytest.mark.parametrize("content", ["", "{", "[]", '{"roles": 1}', '{"roles": {"main": 1}}'])
def test_an_account_that_is_none_leaves_open_who_answers(
    fake: FakeGateway, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    serve().status_file.write_text(content)
    (row,) = told(capsys)["running"]
    answers = [stop["answers_now"] for role in row["roles"] for stop in role["endpoints"]]
    assert answers == [None, None, None]
    assert "answers " not in shown(capsys)


@pytest.mark.parametrize(("age_s", "words"), [(1, "does not answer yet"), (600, "does not answer")])
def test_one_that_does_not_answer_is_told_so(
    fake: FakeGateway, capsys: pytest.CaptureFixture[str], age_s: float, words: str
) -> None:
    place = serve().folder / "state.json"
    state = files.read_json(place) or {}
    files.write_json(place, state | {"ready": False, "started_at": time.time() - age_s})
    assert shown(capsys).splitlines()[0].endswith(f", 1 session, {words}")
    assert told(capsys)["running"][0]["answers"] is False


def test_the_days_money_is_told_beside_its_cap(
    fake: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(Spec({"main": (PAID, LOCAL)}, cap_usd=5.0, cap_origin="agentlaunch.toml"))
    yesterday = {**call(100.0), "at": (NOW - timedelta(days=2)).isoformat()}
    note(yesterday, call(1.25), call(0.5), call(None), call(7.0, managed=False))
    assert "spent today at least $1.75 of $5.00 (agentlaunch.toml)" in shown(capsys)
    assert told(capsys)["spent_today_usd"] is None  # the price of one call is not known
    note(yesterday, call(1.25), call(0.5), call(7.0, managed=False))
    assert "spent today $1.75 of $5.00 (agentlaunch.toml)" in shown(capsys)
    data = told(capsys)
    assert (data["spent_today_usd"], data["running"][0]["cap_usd"]) == (1.75, 5.0)


def test_money_without_a_cap_and_one_chain_for_all_work_are_said(
    fake: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(Spec({"main": (PAID, LOCAL)}))
    assert shown(capsys).splitlines()[-2:] == [
        "small work goes along the main chain",
        "spent today $0.00, no cap",
    ]


def test_the_last_switches_of_a_day_are_told_also_when_nothing_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [switch(timedelta(minutes=10 - n), f"a{n}", f"b{n}", "why") for n in range(8)]
    note(switch(timedelta(days=2), "old", "older", "long ago"), *rows)
    told_rows = told(capsys)["switches"]
    assert [row["before"] for row in told_rows] == ["a3", "a4", "a5", "a6", "a7"]
    assert "a7 → b7 (why)" in shown(capsys)


def test_what_the_gateway_wrote_cannot_draw_on_the_terminal(
    fake: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    serve()
    note(switch(timedelta(0), "a\x1b[31m", "b\n\x07", "\x1b]0;title\x07"))
    assert not {"\x1b", "\x07"} & set(shown(capsys))


# ---- stop -------------------------------------------------------------------------------------


def test_stop_refuses_under_a_session_and_force_ends_it(
    fake: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    running = serve()
    error = told(capsys, "stop", status=8)
    assert (error["code"], error["hint"]) == (
        "in-use",
        "end them first, or: agentlaunch gateway stop --force",
    )
    assert told(capsys, "stop", "--force") == {
        "stopped": [{"url": running.url, "pid": running.identity.pid}]
    }
    assert shown(capsys, "stop") == "no gateway was running\n"


# ---- logs -------------------------------------------------------------------------------------


def test_logs_are_those_of_the_newest_gateway(
    fake: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(capsys, "logs", status=6)["hint"] == "agentlaunch gateway start"
    running = serve()
    data = told(capsys, "logs")
    assert (data["path"], data["command"]) == (str(running.log), None)
    assert "the banner" in data["text"]
    assert "the banner" in shown(capsys, "logs")
    assert told(capsys, "logs", "--watch", status=2)["hint"] == "leave --watch away"


# ---- config -----------------------------------------------------------------------------------


def test_config_is_what_runs_and_holds_no_key(
    fake: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    running = serve()
    data = told(capsys, "config")
    assert data == {
        "running": True,
        "path": str(running.config_file),
        "text": running.config_file.read_text(),
    }
    assert "gpu.lan" in data["text"]
    assert "sk-hop" not in data["text"]
    assert running.token not in data["text"]


@pytest.mark.parametrize(("named", "codes"), [("hosted, local", []), ("local", ["routes-changed"])])
def test_routes_that_name_other_endpoints_now_are_told(
    named: str,
    codes: list[str],
    fake: FakeGateway,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve()
    monkeypatch.delenv("AGENTLAUNCH_ENGINE", raising=False)
    monkeypatch.setenv("AGENTLAUNCH_ROUTES_MAIN", named)
    monkeypatch.setenv("AGENTLAUNCH_ROUTES_SMALL", "local")
    for words in (["gateway"], ["gateway", "config"]):
        assert main([*words, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert [row["code"] for row in document["warnings"]] == codes


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[WireServer]]:
    """Two servers that the routes name, and an agent that is there."""
    monkeypatch.delenv("AGENTLAUNCH_ENGINE")
    folder = Path.cwd() / "bin"
    folder.mkdir()
    (folder / "claude").write_text("#!/bin/sh\necho 2.1.197\n")
    (folder / "claude").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    with WireServer(model="near") as near, WireServer(model="far") as far:
        monkeypatch.setenv("AGENTLAUNCH_ROUTES_MAIN", f"{near.url}, {far.url}")
        yield [near, far]


def test_config_without_a_gateway_is_what_a_start_would_write(
    routes: list[WireServer], capsys: pytest.CaptureFixture[str]
) -> None:
    data = told(capsys, "config")
    assert (data["running"], data["path"]) == (False, None)
    assert all(f"{server.url}/v1" in data["text"] for server in routes)
    assert life.find(settings.paths()) == ()


@pytest.mark.parametrize("words", [("config",), ("start",)])
def test_without_routes_there_is_nothing_to_configure_or_to_start(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AGENTLAUNCH_ENGINE")
    error = told(capsys, *words, status=2)
    assert error["code"] == "no-routes"
    assert error["hint"] == 'agentlaunch config set routes.main "hosted, local"'


def test_one_endpoint_needs_no_gateway(
    routes: list[WireServer], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTLAUNCH_ROUTES_MAIN", routes[0].url)
    assert told(capsys, "start", status=2)["code"] == "no-gateway"


# ---- start ------------------------------------------------------------------------------------


def test_start_serves_the_chains_without_an_agent_and_tells_what_runs(
    routes: list[WireServer],
    capsys: pytest.CaptureFixture[str],
    mocker: MockerFixture,
    fake: FakeGateway,
) -> None:
    asked: list[plan.LaunchPlan] = []

    def start(made: plan.LaunchPlan, *_where: object, **_more: object) -> life.Running:
        asked.append(made)
        return replace(serve(), reused=True)

    mocker.patch("agentlaunch.launch.serving.start_gateway", start)
    data = told(capsys, "start", "--yes")
    assert (data["running"]["reused"], data["running"]["sessions"]) == (True, 0)
    assert data["running"]["url"] == life.find(settings.paths())[0].url
    (made,) = asked
    assert made.hybrid is not None
    assert [step for step in made.steps if isinstance(step, plan.Install)] == []
