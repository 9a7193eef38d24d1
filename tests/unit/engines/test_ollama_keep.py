"""How long a model stays loaded: the user's word, read as Ollama reads it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from agentlaunch.engines.base import Loaded
from agentlaunch.engines.ollama.keep import FOREVER_S, chosen, in_words, lengthens, seconds


def ending_in(span: timedelta | None) -> Loaded:
    end = None if span is None else datetime.now(timezone.utc) + span
    return Loaded("m", 4096, None, None, expires_at=end)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (None, "2h"), ("", "2h"), ("soon", "2h"), ("5", 5), ("-1", -1), (" 24h ", "24h"),
        ("1h30m", "1h30m"), ("-1m", "-1m"), ("0", "2h"), ("0s", "2h"), ("7 h", "2h"),
    ],
)  # fmt: skip
def test_the_users_own_word_is_asked_for_unless_nothing_would_stay(
    said: str | None, found: str | int
) -> None:
    assert chosen({} if said is None else {"OLLAMA_KEEP_ALIVE": said}) == found


def test_spans_are_read_as_ollama_reads_them() -> None:
    assert [seconds(value) for value in ("1h30m", "1.5h", "90s", "500ms", 300)] == [
        5400, 5400, 90, 0.5, 300,
    ]  # fmt: skip
    assert [seconds(value) for value in (-1, "-5m", "9999999h")] == [FOREVER_S] * 3
    assert [seconds(value) for value in ("", "h", "2", "2h x", "1d", "9" * 99 + "h")] == [None] * 6


def test_what_stays_longer_already_is_not_shortened() -> None:
    assert lengthens("2h", None)
    assert lengthens("2h", ending_in(None))
    assert lengthens("2h", ending_in(timedelta(minutes=119)))
    assert not lengthens("2h", ending_in(timedelta(minutes=121)))
    assert not lengthens("2h", ending_in(timedelta(days=90_000)))
    assert not lengthens(-1, ending_in(timedelta(days=90_000)))


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (timedelta(hours=2), "stays loaded 2 h after the last word"),
        (timedelta(hours=1), "stays loaded 1 h after the last word"),
        (timedelta(minutes=150), "stays loaded 2.5 h after the last word"),
        (timedelta(minutes=5), "stays loaded 5 min after the last word"),
        (timedelta(days=90_000), "stays loaded"),
        (None, None),
    ],
)
def test_how_long_it_stays_is_said_in_round_numbers(
    left: timedelta | None, text: str | None
) -> None:
    assert in_words(ending_in(left)) == text
