"""Did the whole prompt reach the model? Tokens sent against tokens evaluated. Pure.

Ollama cuts a prompt that is too long at its front, without a word, to about half of the window;
llama.cpp, vLLM and others answer 400. What was sent is counted by the server where it counts.
Elsewhere a cut is told by what no healthy engine shows: a second turn with as many tokens as the
first, exactly half of a window that is too small, or fewer tokens than any tokenizer would need.
Where the window is not known either, that is a doubt: the model is asked what it sees.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agentlaunch.proof import bodies
from agentlaunch.proof.check import Check
from agentlaunch.proof.dialogue import BUSY, Turn
from agentlaunch.proof.exchange import LEAST_SHARE, Exchange, fewest_tokens

EXACT = 0.95
"""Of an exact count, what must at least have been evaluated: a template may count otherwise."""
ESTIMATED = 0.6
USUAL_CHARACTERS = 4.0
"""A token has about so many, where nothing was measured."""
FULL = 0.97
"""A prompt that takes so much of the window leaves nothing to work in."""
KEPT_TOKENS = 16
"""Ollama keeps `num_ctx - (num_ctx - keep) / 2` (0.33); `keep` is 4 or 5, or a user's own."""
LEAST_TOKENS = 64

_OVERFLOW = re.compile(
    r"exceed|context.(?:length|size|window)|too (?:long|large)|maximum context|n_ctx|too many tok",
    re.IGNORECASE,
)
_NO_VERDICT = BUSY | {408, 409, 425, 502, 504}
"""Busy, or a gateway's trouble with what is behind it: nothing about the prompt."""


def judge(
    exchange: Exchange,
    body: Mapping[str, Any],
    *,
    allocated_tokens: int | None,
    window_tokens: int,
    tokens_per_character: float | None,
    tools_ignored: bool,
    way_out: str,
) -> Check:
    """The check "truncation" for the body of a first turn.

    `allocated_tokens` is what the engine says that one session has, `window_tokens` what the agent
    is told, `way_out` how this engine gets a larger context.
    """
    turn = exchange.first
    exact = exchange.sent_tokens is not None
    measured: dict[str, Any] = {
        "sent_tokens": exchange.sent_tokens,
        "evaluated_tokens": turn.prompt_tokens if turn is not None else None,
        "allocated_tokens": allocated_tokens,
        "how": "counted by the server" if exact else "estimated",
    }
    if turn is None:
        return Check("truncation", "skipped", "the prompt was not read in time", measured)
    if turn.status != 200 or turn.error:
        return _refused(turn, measured, allocated_tokens, way_out)
    evaluated = turn.prompt_tokens
    if not evaluated:
        untold = "the server does not say how many tokens it evaluated"
        return _by_markers(exchange, measured, way_out, untold)
    about = exchange.sent_tokens or _about(body, tokens_per_character, tools_ignored)
    measured["sent_tokens"] = about
    least = _least(body, about, tools_ignored=tools_ignored)
    cut = _is_cut(exchange, evaluated, about, least, allocated_tokens)
    asked = exchange.markers is not None
    if not exact and (allocated_tokens is None if cut else asked):
        # A proxy may tell the same number always, a server only what was new: the model decides.
        doubt = f"the server says that it evaluated {evaluated:,} of about {about:,} tokens"
        return _by_markers(exchange, measured, way_out, doubt)
    if cut is None:
        text = (
            f"the server evaluated {evaluated:,} of about {about:,} tokens although there was room "
            "for more: it counts otherwise, or its template leaves something out"
        )
        return Check("truncation", "skipped", text, measured)
    if cut:
        text = f"the prompt is cut: about {about:,} tokens were sent, {evaluated:,} evaluated" + (
            f" in a context of {allocated_tokens:,}" if allocated_tokens else ""
        )
        return Check("truncation", "error", text, measured, way_out)
    if allocated_tokens is not None and evaluated >= FULL * allocated_tokens:
        text = f"the agent's first request alone fills the context of {allocated_tokens:,} tokens"
        return Check("truncation", "error", text, measured, way_out)
    if allocated_tokens is not None and allocated_tokens < window_tokens:
        text = (
            f"the engine has {allocated_tokens:,} tokens, the agent believes in {window_tokens:,}"
        )
        return Check("truncation", "error", text, measured, way_out)
    room = f" of {allocated_tokens:,}" if allocated_tokens is not None else ""
    text = f"nothing is cut: the agent's first request takes {evaluated:,} tokens{room}"
    return Check("truncation", "ok", text, measured)


def _is_cut(
    exchange: Exchange, evaluated: int, about: int, least: int, allocated: int | None
) -> bool | None:
    """None: fewer tokens than must have been sent, but not as one who cuts leaves them."""
    if exchange.sent_tokens is not None:
        return evaluated < EXACT * exchange.sent_tokens
    keeps_much = allocated is None or evaluated >= LEAST_SHARE * allocated
    again = exchange.second.prompt_tokens if exchange.second is not None else None
    if again == evaluated and keeps_much and evaluated >= LEAST_TOKENS:
        return True  # the second turn was longer, whatever the tokenizer
    if again is None and allocated is not None and about >= allocated:
        over = evaluated - allocated // 2
        if 0 <= over <= KEPT_TOKENS:
            return True
    if evaluated >= least:
        return False
    only_new = again is not None and again < evaluated
    # Ollama may drop whole messages, `developer` ones too: then it keeps as little as is left.
    had_room = allocated is not None and about < allocated and not keeps_much
    return None if only_new or had_room else True


def _by_markers(exchange: Exchange, measured: dict[str, Any], way_out: str, doubt: str) -> Check:
    """For a server whose count is missing or not believed: `doubt` says which."""
    text = doubt
    if exchange.markers is not None:
        measured["how"] = "a marker at each end"
    elif measured["evaluated_tokens"] is None:
        measured["how"] = "not told"
    if exchange.markers == (True, True):
        text = "nothing is cut: the model sees both ends of a prompt of the agent's size"
        return Check("truncation", "ok", text, measured)
    if exchange.markers == (False, True):
        text = "the prompt is cut: of a prompt of the agent's size the model sees only the end"
        return Check("truncation", "error", text, measured, way_out)
    if exchange.markers is not None:
        text += ", and the model does not name the markers that it was asked for"
    return Check("truncation", "skipped", text, measured)


def is_overflow(turn: Turn) -> bool:
    """Does this refusal say that the prompt is too long?"""
    refused = turn.status not in _NO_VERDICT and (turn.status != 200 or bool(turn.error))
    return refused and bool(_OVERFLOW.search(turn.error))


def _about(body: Mapping[str, Any], tokens_per_character: float | None, tools_ignored: bool) -> int:
    rate = tokens_per_character or 1 / USUAL_CHARACTERS
    return int(bodies.characters(body, tools_ignored=tools_ignored) * rate)


def _least(body: Mapping[str, Any], about: int, *, tools_ignored: bool) -> int:
    """The fewest tokens that a healthy engine would evaluate."""
    any_tokenizer = fewest_tokens(body, tools_ignored=tools_ignored)
    return int(min(any_tokenizer, about * ESTIMATED))


def _refused(
    turn: Turn, measured: Mapping[str, Any], allocated_tokens: int | None, way_out: str
) -> Check:
    if turn.status in _NO_VERDICT:
        text = f"the server is busy ({turn.status}): {turn.error}"
        return Check("truncation", "skipped", text, measured)
    if not is_overflow(turn):
        text = f"the server refuses the agent's own first request ({turn.status}): {turn.error}"
        return Check("truncation", "error", text, measured, "see the server's own log")
    room = f" of {allocated_tokens:,} tokens" if allocated_tokens is not None else ""
    text = f"the agent's first request does not fit into the context{room}: {turn.error}"
    return Check("truncation", "error", text, measured, way_out)
