"""The ranking as lines: every width, marks for the choices, figures beside their bars."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlaunch.commands import ranking
from agentlaunch.commands.memory_chart import BLOCKS, PLAIN
from agentlaunch.machine.facts import Gpu, Machine
from agentlaunch.models import catalog, choose
from agentlaunch.models.candidate import Request, Terms, consider_all
from agentlaunch.models.memory import Allocation
from agentlaunch.talk import Tone

GIB = 1 << 30
CARD = Gpu("card", "nvidia", 12 * GIB, 12 * GIB, False, 360.0, None, None, "t")
HOST = Machine("linux", "x86_64", "cpu", 8, 32 * GIB, 32 * GIB, None, None, False, False, (CARD,))
TERMS = Terms(Allocation(65_536), (Request("full", 20_000), Request("slim", 5_000)))
CHOICE = choose.rank(consider_all(HOST, catalog.load().models, TERMS))


def plain(text: str, _tone: Tone) -> str:
    return text


def drawn(width: int, *, rows: int = 6) -> list[str]:
    return ranking.draw(CHOICE, CHOICE.candidates[:rows], width=width, ink=BLOCKS, paint=plain)


def test_a_wide_terminal_has_one_line_for_a_model_with_its_reason_beside_it() -> None:
    head, first, *_ = drawn(200)
    assert head.split() == [
        "MODEL", "FIT", "NEEDS", "/", "BUDGET", "CONTEXT", "TOKENS/S", "FIRST", "WORD", "WHY",
    ]  # fmt: skip
    pick = CHOICE.pick
    assert pick is not None
    assert first.startswith(f"* {pick.id}")
    assert first.endswith(pick.because[0])
    assert " of 11.0 GiB" in first
    assert "64k" in first


def test_with_less_room_the_reason_stands_below_and_a_long_name_alone() -> None:
    lines = drawn(110, rows=100)
    assert lines[0].endswith("FIRST WORD")
    alone = [line for line in lines if line.strip().startswith("devstral-small-2:24b-instruct")]
    assert alone
    assert all(len(line.split()) == 1 for line in alone)


def test_at_sixty_columns_the_figures_stand_below_the_name() -> None:
    pick, bar, *_ = drawn(60)
    assert CHOICE.pick is not None
    assert pick == f"* {CHOICE.pick.id}  {CHOICE.pick.fit.verdict}"
    assert "of 11.0 GiB" in bar


@given(st.integers(40, 240))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for line in drawn(width, rows=200):
        assert len(line) <= width or len(line.split()) == 1


def test_what_is_chosen_is_marked_and_named_below() -> None:
    assert CHOICE.pick is not None
    assert CHOICE.smarter is not None
    marked = {line.split()[1]: line[0] for line in drawn(200, rows=200) if line[0] in "*+>"}
    assert marked[CHOICE.pick.id] == "*"
    assert marked[CHOICE.smarter.id] == "+"
    said = ranking.choices(CHOICE)
    assert said[0].startswith(f"* pick    {CHOICE.pick.id}: ")
    assert said[-1].startswith(f"+ smarter {CHOICE.smarter.id}: ")


@pytest.mark.parametrize(("need", "budget", "bar"), [
    (5, 10, "#####.....| 5.0 GiB of 10.0 GiB"),
    (20, 10, "##########> 20.0 GiB of 10.0 GiB"),
    (10, 10, "##########| 10.0 GiB of 10.0 GiB"),
    (0.001, 10, "#.........| 1 MiB of 10.0 GiB"),
    (5, None, "5.0 GiB of ?"),
    (None, None, "? of ?"),
])  # fmt: skip
def test_the_bar_shows_the_need_within_the_budget(
    need: float | None, budget: int | None, bar: str
) -> None:
    row = CHOICE.candidates[0]
    fit = replace(
        row.fit,
        total_bytes=None if need is None else int(need * GIB),
        budget_bytes=None if budget is None else budget * GIB,
    )
    choice = choose.Choice((replace(row, fit=fit),), None, None, None, None)
    lines = ranking.draw(choice, choice.candidates, width=200, ink=PLAIN, paint=plain)
    assert bar in lines[1]


def test_colour_adds_nothing_but_colour() -> None:
    def marked(text: str, tone: Tone) -> str:
        return text if tone == "plain" else f"<{tone}>{text}</>"

    rows = CHOICE.candidates[:8]
    painted = ranking.draw(CHOICE, rows, width=120, ink=BLOCKS, paint=marked)
    bare = ranking.draw(CHOICE, rows, width=120, ink=BLOCKS, paint=plain)
    assert painted != bare
    for tone in ("strong", "good", "fair", "cool", "bad", "dim"):
        painted = [line.replace(f"<{tone}>", "").replace("</>", "") for line in painted]
    assert painted == bare
