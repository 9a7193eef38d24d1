"""What an exchange tells of a first turn, and which texts of a request a model reads."""

from __future__ import annotations

import pytest

from agentlaunch.proof.dialogue import Turn
from agentlaunch.proof.exchange import Exchange, rendered_text


@pytest.mark.parametrize(
    ("turn", "cold_s"),
    [
        (None, None),
        (Turn(status=400, took_s=1.0), None),
        (Turn(prompt_tokens=1_000, took_s=9.0), 9.0),
        (Turn(prompt_tokens=1_000, cached_tokens=50, took_s=9.0), 9.0),
        (Turn(prompt_tokens=1_000, cached_tokens=900, took_s=9.0), None),
    ],
)
def test_only_a_prompt_that_is_read_anew_tells_how_long_that_takes(
    turn: Turn | None, cold_s: float | None
) -> None:
    assert Exchange(turn).cold_s == cold_s


def test_the_text_of_a_request_is_what_a_template_renders() -> None:
    body = {
        "model": "not this",
        "system": [{"text": "rules"}],
        "messages": [{"content": "word"}],
        "tools": [{"name": "read"}],
    }
    assert rendered_text(body) == 'rules\nword\n[{"name":"read"}]'
