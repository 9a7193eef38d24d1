"""Memory against context as characters: what a person sees, at two widths and in two inks."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlaunch.commands import memory_chart
from agentlaunch.commands.memory_chart import BLOCKS, PLAIN, Bar
from agentlaunch.models.fit import Fit

GIB = 1 << 30


def bar(tokens: int, cache_gib: float, budget_gib: int | None = 8, **more: bool) -> Bar:
    budget = None if budget_gib is None else budget_gib * GIB
    verdict = "roomy" if cache_gib < 3 else "no"
    return Bar(tokens, 4 * GIB, int(cache_gib * GIB), GIB // 2, budget, verdict, **more)


BARS = [bar(8192, 1), bar(32768, 2, asked=True), bar(131072, 8)]


def test_a_picture_of_sixty_columns() -> None:
    assert memory_chart.draw(BARS, width=60, ink=BLOCKS) == [
        "    8k  ███████████▒▒░░      │                5.5 GiB  roomy",
        "*  32k  ███████████▒▒▒▒▒░    │                6.5 GiB  roomy",
        "  128k  ███████████▒▒▒▒▒▒▒▒▒▒│▒▒▒▒▒▒▒▒▒▒░    12.5 GiB  no",
        "  █ weights  ▒ cache  ░ compute and overhead",
        "  │ budget 8.0 GiB  * this context",
    ]


def test_a_picture_in_ascii_has_the_same_form() -> None:
    drawn = "\n".join(memory_chart.draw(BARS, width=60, ink=BLOCKS))
    for block, plain in zip("█▒░│", "#=.|", strict=True):
        drawn = drawn.replace(block, plain)
    assert "\n".join(memory_chart.draw(BARS, width=60, ink=PLAIN)) == drawn
    assert drawn.isascii()


@pytest.mark.parametrize("width", [40, 60, 100])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = memory_chart.draw(BARS, width=width, ink=BLOCKS)
    assert max(map(len, lines)) <= width
    if width == 100:
        assert lines[-1] == (
            "  █ weights  ▒ cache  ░ compute and overhead  │ budget 8.0 GiB  * this context"
        )


def test_a_terminal_wider_than_the_picture_leaves_room() -> None:
    assert memory_chart.draw(BARS, width=200, ink=BLOCKS) == memory_chart.draw(
        BARS, width=100, ink=BLOCKS
    )


def test_a_budget_far_beyond_the_need_stands_at_the_edge() -> None:
    row, legend = memory_chart.draw([bar(8192, 1, 400)], width=60, ink=PLAIN)[:2]
    assert ">  5.5 GiB  roomy" in row
    assert "|" not in row + legend
    assert "> budget 400.0 GiB" in "\n".join(
        memory_chart.draw([bar(8192, 1, 400)], width=60, ink=PLAIN)
    )


def test_a_card_and_the_whole_machine_have_each_their_mark() -> None:
    rows = [bar(8192, 1, 6), bar(65536, 4, 64)]
    text = "\n".join(memory_chart.draw(rows, width=100, ink=PLAIN))
    assert "| budget 6.0 GiB  > budget 64.0 GiB" in text


def test_a_machine_without_a_known_budget_has_no_line() -> None:
    drawn = memory_chart.draw([bar(8192, 1, None)], width=60, ink=PLAIN)
    assert "budget" not in "\n".join(drawn)
    assert memory_chart.draw([], width=60, ink=PLAIN) == []


@pytest.mark.parametrize("beyond", [0, 1])
@given(budget=st.integers(1, 1 << 40), width=st.integers(60, 100))
def test_a_bar_crosses_the_line_exactly_when_its_bytes_do(
    beyond: int, budget: int, width: int
) -> None:
    tight = Bar(8192, budget, 0, beyond, budget, "?")
    row = memory_chart.draw([tight, bar(8192, 8)], width=width, ink=PLAIN)[0]
    after = row.partition("|")[2]
    assert after.startswith((".", "#", "=")) == bool(beyond)


@given(
    st.lists(
        st.builds(
            Bar,
            st.integers(1, 1 << 32),
            st.integers(0, 1 << 45),
            st.integers(0, 1 << 45),
            st.integers(0, 1 << 45),
            st.none() | st.integers(0, 1 << 45),
            st.sampled_from(["roomy", "tight", "split", "no", "?"]),
            st.booleans(),
        ),
        min_size=1,
        max_size=12,
    ),
    st.integers(60, 120),
)
def test_whatever_is_drawn_stays_inside(bars: list[Bar], width: int) -> None:
    lines = memory_chart.draw(bars, width=width, ink=BLOCKS)
    assert max(map(len, lines[: len(bars)])) <= min(width, 100)


@pytest.mark.parametrize(
    ("trained", "asked", "expected"),
    [
        (131072, 65536, (8192, 16384, 32768, 65536, 131072)),
        (40960, 40960, (8192, 16384, 32768, 40960)),
        (32768, 20000, (8192, 16384, 20000, 32768)),
        (2048, 65536, (2048,)),
        (None, 16384, (8192, 16384)),
        (0, 8192, (8192,)),
    ],
)
def test_steps_double_up_to_what_the_model_was_trained_for(
    trained: int | None, asked: int, expected: tuple[int, ...]
) -> None:
    assert memory_chart.steps(trained, asked) == expected


def test_an_absurd_context_does_not_fill_the_screen() -> None:
    assert len(memory_chart.steps(1 << 32, 10_000)) == memory_chart.MOST_ROWS


def fit(total: int | None) -> Fit:
    return Fit("roomy", "gpu", 8192, "f16", 500, 400, 100, 30, 5, 7, 8, total, 900, 1, "exact")


def test_the_parts_of_a_bar_make_its_total() -> None:
    # a card holds no embedding table: its total has fewer bytes of weights than the file
    assert memory_chart.bar_of(fit(450), asked=False) == Bar(8192, 400, 35, 15, 900, "roomy")
    assert memory_chart.bar_of(fit(None), asked=False) is None


@pytest.mark.parametrize(
    ("encoding", "ink"),
    [("utf-8", BLOCKS), ("UTF8", BLOCKS), ("ascii", PLAIN), ("cp1252", PLAIN)],
)
def test_ink_follows_the_encoding_of_the_stream(
    encoding: str, ink: memory_chart.Ink, tmp_path: Path
) -> None:
    with (tmp_path / "out").open("w", encoding=encoding) as stream:
        assert memory_chart.ink_for(stream) == ink
    assert memory_chart.ink_for(io.StringIO()) == BLOCKS
