"""`agentlaunch usage`: moments, sums, a chart that is legible everywhere, and its JSON."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone

import pytest

import schemas
from agentlaunch.cli import main
from agentlaunch.commands import usage as command
from agentlaunch.commands.memory_chart import BLOCKS, PLAIN
from agentlaunch.errors import UsageError
from agentlaunch.survey.usage import Found, Request

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)


def used(
    day: int, *, managed: bool = False, spent: float | None = 0.0, tokens: int = 1000
) -> Request:
    return Request(
        NOW - timedelta(days=day),
        "openrouter" if managed else "embedded",
        "a/b" if managed else "qwen3-coder:30b",
        tokens,
        tokens // 2,
        10,
        spent,
        managed,
        not managed,
    )


@pytest.mark.parametrize(("text", "hours"), [("24h", 24), ("7d", 168), ("2w", 336), (" 1D ", 24)])
def test_a_span_ends_now(text: str, hours: int) -> None:
    assert command.moment(text, NOW) == NOW - timedelta(hours=hours)


def test_a_day_begins_as_it_does_here() -> None:
    assert command.moment("2026-11-20", NOW).date() == date(2026, 11, 20)
    assert command.moment("today", NOW) <= NOW
    assert command.moment("2026-11-20T10:00:00Z", NOW) == datetime(
        2026, 11, 20, 10, tzinfo=timezone.utc
    )


@pytest.mark.parametrize(
    "text",
    ["", "soon", "-1d", "7 d", "7x", "2026-13-01", "2027-01-01", "1900-01-01", "99999d", "0x1d",
     "\N{ARABIC-INDIC DIGIT SEVEN}d", "7d d", "1e3d"],
)  # fmt: skip
def test_what_is_no_moment_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="--since") as caught:
        command.moment(text, NOW)
    assert caught.value.hint == command.EXAMPLES


def test_paid_and_own_are_summed_apart() -> None:
    rows = [used(0), used(1), used(1, managed=True, spent=0.5)]
    data = command.as_json(Found(tuple(rows)), NOW)
    assert data["total"]["requests"] == 3
    assert data["total"]["spent_usd"] == 0.5
    own, paid = data["by_engine"]
    assert (own["engine"], own["spent_usd"]) == ("embedded", 0.0)
    assert own["equivalent"] == {
        "seller": "novita", "model": "qwen/qwen3-coder-30b-a3b-instruct", "same_weights": True,
    }  # fmt: skip
    assert own["equivalent_usd"] > 0
    assert (paid["equivalent"], paid["equivalent_usd"]) == (None, 0)
    assert [row["day"] for row in data["by_day"]] == sorted(row["day"] for row in data["by_day"])


def test_an_unknown_price_makes_the_sum_unknown_and_is_said() -> None:
    rows = (used(0, managed=True, spent=None), used(0, managed=True, spent=1.0))
    assert command.as_json(Found(rows), NOW)["total"]["spent_usd"] is None
    assert any(line.startswith("?") for line in command.sums(rows, "x"))


@pytest.mark.parametrize("ink", [BLOCKS, PLAIN])
@pytest.mark.parametrize("width", [40, 60, 100])
def test_the_chart_tells_own_from_managed_without_colour(ink: object, width: int) -> None:
    assert ink in (BLOCKS, PLAIN)
    chosen = BLOCKS if ink is BLOCKS else PLAIN
    rows = [used(0), used(1, managed=True, tokens=500), used(2, tokens=1_000_000)]
    lines = command.chart(command.by_day(rows), chosen, width)
    assert all(len(line) <= width for line in lines[:-1])
    assert chosen.weights in lines[2]
    assert chosen.cache in lines[1]  # one mark at least for what is there
    assert lines[-1].split() == [chosen.weights, "your", "own", "engines", chosen.cache, "managed"]


def test_nothing_has_no_chart() -> None:
    assert command.chart({}, BLOCKS, 60) == []


def test_an_empty_report_says_what_fills_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("nothing was used since")
    assert "agentlaunch up" in said.err


def test_the_document_is_as_its_schema_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", "--json", "--since", "today"]) == 0
    schemas.check(json.loads(capsys.readouterr().out))
    assert main(["usage", "--json", "--since", "soon"]) == 2
    error = json.loads(capsys.readouterr().out)
    assert (error["schema"], error["error"]["code"]) == ("agentlaunch/usage/1", "bad-value")
