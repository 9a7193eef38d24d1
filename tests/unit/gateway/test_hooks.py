"""The gateway's own part of LiteLLM, without LiteLLM: events, switches, the cap, the end."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentlaunch.gateway import account, answering, config, events, litellm_hooks
from agentlaunch.gateway.account import Ledger
from agentlaunch.gateway.answering import Gateway
from agentlaunch.gateway.events import Request, Switch
from agentlaunch.gateway.spec import Hop, Spec
from agentlaunch.models.prices import Price

PRICE = Price(3.0, 15.0, 0.3, 3.75)
ROUTED = Hop(
    "openrouter", "https://openrouter.ai/api", "big", "openrouter", 65_536, price=PRICE,
    managed=True,
)  # fmt: skip
LOCAL = Hop("local", "http://127.0.0.1:1", "qwen", "ollama", 32_768)
HOSTED = Hop("hosted", "http://gpu.lan:1", "huge", "vllm", 131_072, max_output_tokens=4_000)
FIRST, SECOND, THIRD = "main.1.openrouter", "main.2.local", "main.3.hosted"


def make(
    state: Path,
    spec: Spec | None = None,
    *,
    cap_usd: float | None = None,
    status: str = "status.json",
) -> Gateway:
    """A gateway of its own over the events of `state`."""
    place = events.place(state)
    place.parent.mkdir(parents=True, exist_ok=True)
    known = spec or Spec({"main": (ROUTED, LOCAL, HOSTED)}, "roles", cap_usd, "/etc/policy.toml")
    facts = config.facts(
        known, events=place, status=state / status, leases=state / "leases", idle_s=60.0
    )
    return Gateway(facts)


def ask(
    gateway: Gateway,
    own_id: str,
    *,
    model: str = "al-main",
    tokens: tuple[int, int, int, int] = (1_000, 0, 0, 10),
    call_id: str = "1",
) -> None:
    """One request that this deployment answers."""
    gateway.begin(call_id, model)
    gateway.attempt(call_id, own_id, {"messages": [{"role": "user", "content": "hello"}]})
    gateway.answers(call_id, own_id)
    gateway.done(call_id, own_id, tokens, 0.5)


def status_of(state: Path) -> dict[str, Any]:
    value = json.loads((state / "status.json").read_bytes())
    assert isinstance(value, dict)
    return value


def switches(state: Path) -> list[tuple[str, str, str]]:
    rows = [row for row in events.read(state) if isinstance(row, Switch)]
    return [(row.before, row.after, row.reason) for row in rows]


# ---- requests ---------------------------------------------------------------------------------


def test_a_request_is_written_with_what_it_cost(tmp_path: Path) -> None:
    ask(make(tmp_path), FIRST, tokens=(1_000, 400, 100, 200))
    (found,) = events.read(tmp_path)
    assert found == Request(
        at=found.at,
        role="main",
        hop="openrouter",
        model="big",
        input_tokens=1_000,
        cached_tokens=400,
        output_tokens=200,
        cost_usd=(500 * 3.0 + 400 * 0.3 + 100 * 3.75 + 200 * 15.0) / 1e6,
        managed=True,
        local=False,
        took_s=0.5,
        status=200,
    )
    mode = stat.S_IMODE(events.place(tmp_path).stat().st_mode)
    assert (mode, found.at.utcoffset()) == (0o600, timedelta(0))


def test_an_engine_of_ones_own_costs_nothing_and_an_unknown_price_is_not_zero(
    tmp_path: Path,
) -> None:
    free = Hop("free", "https://x.example", "m", "openrouter", 8_192, managed=True)
    gateway = make(tmp_path, Spec({"main": (free, LOCAL)}))
    ask(gateway, "main.1.free")
    ask(gateway, "main.2.local")
    costs = [row.cost_usd for row in events.read(tmp_path) if isinstance(row, Request)]
    assert costs == [None, 0.0]


def test_a_request_that_nobody_answers_is_written_without_an_endpoint(tmp_path: Path) -> None:
    gateway = make(tmp_path)
    gateway.begin("1", "claude-haiku-4-5-20251001")
    gateway.attempt("1", "small.1.openrouter", {})
    assert gateway.gave_up("1", 503) is not None
    assert gateway.gave_up("1", 503) is None
    (row,) = events.read(tmp_path)
    assert isinstance(row, Request)
    assert (row.role, row.hop, row.status, row.cost_usd) == ("small", "", 503, 0.0)


def test_an_answer_that_breaks_off_counts_as_it_was_estimated(tmp_path: Path) -> None:
    gateway = make(tmp_path)
    gateway.begin("1", "al-main")
    gateway.attempt("1", FIRST, {"messages": "x" * 4_000, "max_tokens": 100})
    gateway.answers("1", FIRST)
    gateway.gave_up("1", 503)
    (row,) = events.read(tmp_path)
    assert isinstance(row, Request)
    assert (row.hop, row.managed) == ("openrouter", True)
    assert row.cost_usd == pytest.approx((1_000 * 3.0 + 100 * 15.0) / 1e6)


def test_nothing_of_a_prompt_is_written(tmp_path: Path) -> None:
    gateway = make(tmp_path, cap_usd=1.0)
    gateway.begin("1", "al-main")
    request = {"messages": [{"role": "user", "content": "CANARY"}], "system": "CANARY"}
    gateway.attempt("1", FIRST, request)
    gateway.failed(FIRST, "InternalServerError", 500, "the backend said CANARY")
    gateway.attempt("1", SECOND, request)
    gateway.done("1", SECOND, (1, 0, 0, 1), 0.1)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert switches(tmp_path)
    assert b"CANARY" not in written


def test_what_cannot_be_written_stops_no_request(tmp_path: Path) -> None:
    gateway = make(tmp_path, cap_usd=0.01)
    events.place(tmp_path).mkdir()
    (tmp_path / "status.json").unlink()
    (tmp_path / "status.json").mkdir()
    ask(gateway, FIRST, tokens=(10_000, 0, 0, 0))
    assert gateway.allowed("2", [FIRST]) == []


# ---- switches ---------------------------------------------------------------------------------


def test_a_gateway_says_from_the_start_where_each_role_goes(tmp_path: Path) -> None:
    make(tmp_path, Spec({"main": (HOSTED, LOCAL), "small": (LOCAL,)}))
    found = status_of(tmp_path)
    for role in found["roles"].values():
        assert datetime.fromisoformat(role.pop("since")).tzinfo is not None
    assert found == {
        "roles": {
            "main": {"hop": "hosted", "model": "huge", "liked": True, "silent": None},
            "small": {"hop": "local", "model": "qwen", "liked": True, "silent": None},
        },
        "last_switch": None,
        "spent_today_usd": 0.0,
        "cap_usd": None,
        "requests": 0,
    }


def test_where_nobody_answers_it_is_said_until_somebody_does(tmp_path: Path) -> None:
    gateway = make(tmp_path)
    gateway.begin("1", "al-main")
    for own_id in (FIRST, SECOND):
        gateway.failed(own_id, "InternalServerError", 500, "Cannot connect to host x:1 ssl:default")
    gateway.gave_up("1", 503)
    silent = status_of(tmp_path)["roles"]["main"]["silent"]
    assert "refused the connection" in silent["why"]
    gateway.begin("2", "al-main")
    gateway.gave_up("2", 503)
    assert status_of(tmp_path)["roles"]["main"]["silent"] == silent  # since then, not since now
    ask(gateway, FIRST)
    assert status_of(tmp_path)["roles"]["main"]["silent"] is None


def test_a_switch_and_the_return_are_noticed_once_each_with_their_reasons(tmp_path: Path) -> None:
    gateway = make(tmp_path)
    ask(gateway, FIRST)
    gateway.failed(FIRST, "InternalServerError", 500, "Cannot connect to host x:1 ssl:default")
    ask(gateway, SECOND)
    ask(gateway, SECOND)
    assert status_of(tmp_path)["roles"]["main"]["liked"] is False
    ask(gateway, FIRST)
    ask(gateway, FIRST)
    assert switches(tmp_path) == [
        ("openrouter", "local", "openrouter refused the connection"),
        ("local", "openrouter", "openrouter answers again"),
    ]
    found = status_of(tmp_path)
    assert found["last_switch"].pop("at")
    assert found["last_switch"] == {
        "role": "main",
        "before": "local",
        "after": "openrouter",
        "reason": "openrouter answers again",
    }
    assert (found["roles"]["main"]["liked"], found["requests"]) == (True, 5)


@pytest.mark.parametrize(
    ("kind", "status", "message", "reason"),
    [
        ("InternalServerError", 500, "Cannot connect to host a:1", "h refused the connection"),
        ("APIConnectionError", 500, "Connection error.", "h refused the connection"),
        ("APIConnectionError", 500, "All connection attempts failed", "h refused the connection"),
        ("InternalServerError", 500, "Server disconnected", "h broke the connection off"),
        (
            "InternalServerError",
            500,
            "Cannot connect to host h:1 ssl:default [Name or service not known]",
            "the host of h was not found",
        ),
        (
            "InternalServerError",
            500,
            "Cannot connect to host h:1 ssl:True [CERTIFICATE_VERIFY_FAILED]",
            "the certificate of h is not trusted",
        ),
        (
            "APIConnectionError",
            500,
            "Cannot connect to host h:1 [No route to host]",
            "h cannot be reached",
        ),
        ("Timeout", 408, "litellm.Timeout: after 60 s", "h was silent for 60 s"),
        ("AuthenticationError", 401, "Invalid API Key", "h refused the key (HTTP 401)"),
        ("PermissionDeniedError", 403, "no", "h refused the key (HTTP 403)"),
        ("RateLimitError", 429, "slow down", "h takes no more requests for now (HTTP 429)"),
        ("BadRequestError", 400, "no such field", "h refused the request (HTTP 400)"),
        ("NotFoundError", 404, "no such model", "h answered with an error (HTTP 404)"),
        ("ServiceUnavailableError", 503, "busy", "h answered with an error (HTTP 503)"),
        ("ContextWindowExceededError", 400, "too long", "the prompt is larger than its context"),
        ("KeyError", None, "closure", "h failed"),
    ],
)
def test_every_failure_has_words(kind: str, status: int | None, message: str, reason: str) -> None:
    hop = {"name": "h", "silence_s": 60}
    assert answering.reason_of(hop, kind, status, message) == reason


def test_a_prompt_that_is_too_large_goes_elsewhere_and_a_small_one_comes_back(
    tmp_path: Path,
) -> None:
    gateway = make(tmp_path)
    gateway.failed(FIRST, "ContextWindowExceededError", 400, "too many")
    ask(gateway, THIRD)
    ask(gateway, FIRST)
    assert switches(tmp_path) == [
        ("openrouter", "hosted", "the prompt is larger than its context"),
        ("hosted", "openrouter", "the prompt fits into openrouter again"),
    ]


def test_the_second_endpoint_fails_while_the_first_one_comes_back(tmp_path: Path) -> None:
    gateway = make(tmp_path)
    gateway.failed(FIRST, "Timeout", 408, "")
    ask(gateway, SECOND)
    gateway.failed(SECOND, "InternalServerError", 500, "boom")
    ask(gateway, THIRD)
    ask(gateway, FIRST)
    assert [reason for _before, _after, reason in switches(tmp_path)] == [
        "openrouter was silent for 60 s",
        "local answered with an error (HTTP 500)",
        "openrouter answers again",
    ]


def test_an_endpoint_that_is_asked_by_itself_is_no_switch(tmp_path: Path) -> None:
    gateway = make(tmp_path)
    ask(gateway, SECOND, model="al-main-2")
    ask(gateway, f"{FIRST}.alone", model="al-main-1")
    assert switches(tmp_path) == []
    assert [row.hop for row in events.read(tmp_path) if isinstance(row, Request)] == [
        "local",
        "openrouter",
    ]


def test_an_answer_that_began_before_a_switch_does_not_take_it_back(tmp_path: Path) -> None:
    gateway = make(tmp_path)
    gateway.begin("slow", "al-main")
    gateway.attempt("slow", FIRST, {})
    gateway.failed(FIRST, "InternalServerError", 500, "boom")
    ask(gateway, SECOND)
    gateway.done("slow", FIRST, (1, 0, 0, 1), 9.0)
    assert len(switches(tmp_path)) == 1
    assert status_of(tmp_path)["roles"]["main"]["hop"] == "local"


def test_a_deployment_that_is_not_ours_changes_nothing(tmp_path: Path) -> None:
    gateway = make(tmp_path)
    gateway.failed("None", "Timeout", 408, "")
    assert gateway.attempt("1", "None", {}) == {}
    gateway.answers("1", "None")
    gateway.done("1", "None", (1, 0, 0, 1), 0.1)
    assert events.read(tmp_path) == ()


# ---- the day's cap ----------------------------------------------------------------------------


def test_managed_endpoints_are_left_out_when_the_days_money_is_spent(tmp_path: Path) -> None:
    gateway = make(tmp_path, cap_usd=0.05)
    assert gateway.allowed("1", [FIRST]) == [FIRST]
    ask(gateway, FIRST, tokens=(20_000, 0, 0, 0))
    assert gateway.allowed("2", [FIRST, SECOND]) == [SECOND]
    ask(gateway, SECOND)
    reason = "the day's 0.05 USD are spent (max_spend_per_day in /etc/policy.toml)"
    assert switches(tmp_path) == [("openrouter", "local", reason)]
    found = status_of(tmp_path)
    assert (found["spent_today_usd"], found["cap_usd"]) == (0.06, 0.05)


def test_who_is_refused_for_money_reads_the_rule_and_its_file(tmp_path: Path) -> None:
    gateway = make(tmp_path, cap_usd=0.0)
    gateway.begin("1", "al-main")
    assert gateway.allowed("1", [FIRST]) == []
    gateway.failed(SECOND, "InternalServerError", 500, "Cannot connect to host")
    call = gateway.gave_up("1", 503)
    assert call is not None
    assert (call.left_out, call.status) == (True, 402)
    assert gateway.why_none(call.asked) == (
        "agentlaunch: no endpoint for al-main answers: the day's 0.00 USD are spent "
        "(max_spend_per_day in /etc/policy.toml); local refused the connection"
    )


def test_without_a_cap_nothing_is_left_out(tmp_path: Path) -> None:
    gateway = make(tmp_path)
    ask(gateway, FIRST, tokens=(1_000_000_000, 0, 0, 0))
    assert gateway.allowed("2", [FIRST, SECOND]) == [FIRST, SECOND]


def test_a_price_that_is_not_known_cannot_be_kept_below_a_cap(tmp_path: Path) -> None:
    free = Hop("free", "https://x.example", "m", "openrouter", 8_192, managed=True)
    gateway = make(tmp_path, Spec({"main": (free, LOCAL)}, "roles", 5.0, "/etc/policy.toml"))
    assert gateway.allowed("1", ["main.1.free"]) == []
    assert "the price of free is not known" in gateway.why_none("al-main")


def test_requests_under_way_count_with_what_they_may_cost(tmp_path: Path) -> None:
    gateway = make(tmp_path, cap_usd=0.05)
    for number in range(3):
        assert gateway.allowed(str(number), [FIRST]) == [FIRST]
        gateway.begin(str(number), "al-main")
        gateway.attempt(str(number), FIRST, {"messages": "x" * 4_000, "max_tokens": 1_000})
    assert gateway.allowed("3", [FIRST]) == []  # three times 0.018 USD
    gateway.done("0", FIRST, (10, 0, 0, 1), 0.1)
    assert gateway.allowed("3", [FIRST]) == [FIRST]


def test_the_money_of_today_is_read_again_at_the_start_and_from_other_gateways(
    tmp_path: Path,
) -> None:
    first = make(tmp_path, cap_usd=0.05)
    ask(first, FIRST, tokens=(10_000, 0, 0, 0))
    second = make(tmp_path, cap_usd=0.05, status="other.json")
    assert second.allowed("1", [FIRST]) == [FIRST]
    ask(first, FIRST, tokens=(10_000, 0, 0, 0))
    assert second.allowed("1", [FIRST]) == []


def test_the_money_is_there_again_tomorrow(tmp_path: Path) -> None:
    gateway = make(tmp_path, cap_usd=0.05)
    day = [datetime.now().astimezone().date()]
    gateway.ledger = Ledger(events.place(tmp_path), today=lambda: day[0])
    ask(gateway, FIRST, tokens=(20_000, 0, 0, 0))
    assert gateway.allowed("1", [FIRST]) == []
    ask(gateway, SECOND)
    day[0] += timedelta(days=1)
    assert gateway.allowed("2", [FIRST]) == [FIRST]
    ask(gateway, FIRST, tokens=(1, 0, 0, 0))
    assert switches(tmp_path)[-1][2] == "the day's money is there again"


def row(when: datetime, **more: Any) -> bytes:
    given = {"kind": "request", "at": when.isoformat(), "managed": True, "cost_usd": 1.0, **more}
    return json.dumps(given).encode() + b"\n"


def test_only_the_managed_calls_of_today_count_and_odd_lines_do_not(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    now = datetime.now(timezone.utc)
    path.write_bytes(
        row(now)
        + row(now - timedelta(days=2))
        + row(now, managed=False)
        + row(now, cost_usd=None)
        + row(now, cost_usd=True)
        + row(now, at="yesterday")
        + row(now, cost_usd=float("nan"))
        + row(now, cost_usd=float("inf"))
        + row(now, cost_usd=-5)
        + b"[" * 5_000
        + b"\n\xff\n[]\n"
        + row(now)[:-5]
    )
    assert Ledger(path).spent_usd() == 1.0


def test_a_line_that_is_still_being_written_counts_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    line = row(datetime.now(timezone.utc))
    path.write_bytes(line + line[:20])
    ledger = Ledger(path)
    assert ledger.spent_usd() == 1.0
    with path.open("ab") as stream:
        stream.write(line[20:])
    assert ledger.spent_usd() == 2.0


def test_a_large_file_makes_room_for_a_new_one_and_nothing_of_today_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "MOST_EVENT_BYTES", 2_000)
    gateway = make(tmp_path, cap_usd=100.0)
    for _ in range(10):
        ask(gateway, FIRST, tokens=(10_000, 0, 0, 0))
    old = events.place(tmp_path).with_name("events.jsonl.1")
    assert 2_000 <= old.stat().st_size < 2_500
    assert gateway.ledger.spent_usd() == pytest.approx(0.3)
    assert make(tmp_path).ledger.spent_usd() == pytest.approx(0.3)
    assert len(events.read(tmp_path)) == 10


# ---- what goes on -----------------------------------------------------------------------------


def test_a_request_says_nothing_of_its_way_but_keeps_what_belongs_to_its_wire() -> None:
    body = {
        "model": "al-main", "messages": [], "tools": [], "stream": True, "metadata": {"a": 1},
        "fallbacks": ["x"], "context_window_fallbacks": [], "api_base": "http://x",
        "api_key": "sk", "base_url": "http://x", "model_list": [], "mock_response": "x",
        "mock_anything": 1, "num_retries": 3, "rpm": 1, "litellm_call_id": "forged",
        "extra_body": {"model": "other"}, "models": ["other"], "route": "fallback",
    }  # fmt: skip
    data = {
        **body,
        "litellm_logging_obj": object(),
        "timeout": 1.0,
        "proxy_server_request": {"body": dict(body)},
    }
    owned = frozenset({"rpm", "litellm_logging_obj", "proxy_server_request", "fallbacks"})
    litellm_hooks.without_routing(data, owned)
    assert set(data) == {
        "model", "messages", "tools", "stream", "metadata", "litellm_logging_obj",
        "proxy_server_request", "litellm_call_id",
    }  # fmt: skip


def test_nothing_goes_on_to_where_an_answer_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(httpx.Client, "send", httpx.Client.send)  # put back after this test
    monkeypatch.setattr(httpx.AsyncClient, "send", httpx.AsyncClient.send)
    litellm_hooks.follow_no_redirects()
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(307, headers={"location": "http://evil.lan/v1"})

    async def ask_it() -> httpx.Response:
        transport = httpx.MockTransport(answer)
        async with httpx.AsyncClient(transport=transport, follow_redirects=True) as client:
            return await client.post("http://gpu.lan/v1", content=b"prompt", follow_redirects=True)

    with httpx.Client(transport=httpx.MockTransport(answer), follow_redirects=True) as client:
        assert client.post("http://gpu.lan/v1", content=b"prompt").status_code == 307
    assert asyncio.run(ask_it()).status_code == 307
    assert asked == ["gpu.lan", "gpu.lan"]


def test_a_prompt_that_is_not_asked_of_a_smaller_one_is_told_as_too_large(tmp_path: Path) -> None:
    gateway = make(tmp_path)
    ask(gateway, THIRD)  # FIRST was not asked at all: LiteLLM counts before
    assert [row.reason for row in events.read(tmp_path) if isinstance(row, Switch)] == [
        "the prompt is larger than its context"
    ]


def test_a_full_disk_leaves_no_half_written_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_words: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        account.write_whole(tmp_path / "status.json", {})
    assert list(tmp_path.iterdir()) == []


def test_a_longer_answer_than_an_endpoint_can_give_is_not_asked_for(tmp_path: Path) -> None:
    gateway = make(tmp_path)
    gateway.begin("1", "al-main")
    assert gateway.attempt("1", THIRD, {"max_tokens": 32_000}) == {"max_tokens": 4_000}
    assert gateway.attempt("1", THIRD, {"max_output_tokens": 3_000}) == {}
    assert gateway.attempt("1", FIRST, {"max_tokens": 32_000}) == {}


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 2}, (9, 0, 0, 2)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_creation_tokens": 3},
            },
            (9, 4, 3, 2),
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 2,
                "prompt_tokens_details": None,
                "cache_read_input_tokens": 5,
                "cache_creation_input_tokens": 1,
            },
            (9, 5, 1, 2),
        ),
        ({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 9}}, (3, 3, 0, 0)),
        ({"prompt_tokens": None, "completion_tokens": "7"}, (0, 0, 0, 0)),
        ({}, (0, 0, 0, 0)),
    ],
)
def test_the_usage_of_a_reply_is_read_as_far_as_it_is_told(
    told: dict[str, Any], usage: tuple[int, int, int, int]
) -> None:
    assert account.usage_of(told) == usage


# ---- the end ----------------------------------------------------------------------------------


def test_a_gateway_is_idle_when_nothing_is_under_way_for_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [time.monotonic()]
    monkeypatch.setattr("agentlaunch.gateway.answering.time.monotonic", lambda: clock[0])
    gateway = make(tmp_path)
    assert not gateway.is_idle(60.0)
    clock[0] += 61
    assert gateway.is_idle(60.0)
    gateway.begin("1", "al-main")
    clock[0] += 600
    assert not gateway.is_idle(60.0)
    clock[0] += answering.FORGOTTEN_S
    assert gateway.is_idle(60.0)


def test_a_hooks_own_failure_is_nobodys(capsys: pytest.CaptureFixture[str]) -> None:
    @litellm_hooks.quiet
    async def broken() -> None:
        raise KeyError("CANARY")

    assert asyncio.run(_awaited(broken())) is None
    assert capsys.readouterr().err == "agentlaunch: broken: KeyError\n"


async def _awaited(value: Any) -> Any:
    return await value


def test_without_its_facts_there_is_no_gateway() -> None:
    assert os.environ.get(litellm_hooks.FACTS) is None
    assert litellm_hooks.instance is None
    assert litellm_hooks.FACTS == config.FACTS
    assert answering.ALONE == ".alone"
