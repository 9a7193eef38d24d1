"""Live numbers from engines' own endpoints: what one look tells, and what two looks tell together.

Nothing that is asked here wakes a sleeping engine or keeps it awake. Seen with llama.cpp (xllamacpp
2026.10.11549): `/metrics` and `/props` do neither; `/slots` puts the sleep off, so it is asked only
while `/metrics` tells of a request at work, which puts it off itself (the sleep came no later).
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from agentlaunch import web

ASK_S = 2.0
"""How long one answer may take."""

FEWEST_PROMPT_TOKENS = 32
"""Fewer tell of the batch's overhead: one token that a cached prompt leaves took 22 ms (seen)."""
FEWEST_REPLY_TOKENS = 2

HARMLESS_BUILD = 11549
"""llama.cpp's `/metrics` lets a server sleep in this build (seen). It woke it and kept it awake in
those from the first with a sleep (late 2025) until August 2026 (its issue 20227, mended by 27376).
"""

LONGEST_LINE = 8192
MOST = 1e15
"""No counter of tokens or seconds comes near; whatever is larger is none."""

When = Literal["now", "last", "mean"]
"""Measured between the last two looks; before, and nothing new came; since the engine started."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a server has counted since its start; None is what it does not tell."""

    prompt_tokens: float | None = None
    """Computed ones, in `prompt_s` seconds; those from the cache are not among them."""
    prompt_s: float | None = None
    reply_tokens: float | None = None
    reply_s: float | None = None
    """None: the time between two looks is what the tokens took."""
    cached_tokens: float | None = None
    whole_tokens: float | None = None
    """All tokens of all prompts, computed or cached."""
    running: int | None = None
    waiting: int | None = None
    cache_full: float | None = None
    """Share of the memory for contexts that requests use now."""


@dataclass(frozen=True, slots=True)
class Task:
    """The request that a slot of llama.cpp works on, in tokens."""

    number: int
    context: int
    computed: int
    """Of its prompt; grows by whole batches."""
    written: int


@dataclass(frozen=True, slots=True)
class Look:
    """What a server told at a moment of the monotonic clock."""

    at_s: float
    counts: Counts = Counts()
    task: Task | None = None
    asleep: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number and when it was so."""

    value: float
    when: When


@dataclass(frozen=True, slots=True)
class Live:
    """What is known after a look: tokens a second, the share of the prompt that came from the
    cache, tokens in the context. None where nothing was measured yet."""

    look: Look
    prompt: Figure | None = None
    reply: Figure | None = None
    cached: Figure | None = None
    context: Figure | None = None
    batch: tuple[int, float, int] | None = None
    """A request, and when which number of its tokens was computed: what a batch is timed from."""


# --- two looks -----------------------------------------------------------------------------------


def follow(before: Live | None, look: Look) -> Live:
    """What is known after this look; an engine that counts anew has begun anew."""
    if before is None or _began_anew(before.look.counts, look.counts):
        return _first(look)
    task, past = look.task, before.look.task
    if past is None or task is None or past.number != task.number:
        past = None
    batch, reading = _batch(before.batch, past, look)
    context = Figure(task.context, "now") if task is not None else _last(before.context)
    return Live(
        look,
        _prompt(before, look) or reading or _held(before.prompt, task if past else None),
        _reply(before, look, past) or _last(before.reply),
        _cached(before.look.counts, look.counts) or _last(before.cached),
        None if look.asleep else context,  # what it held is gone
        batch,
    )


def _first(look: Look) -> Live:
    counts, task = look.counts, look.task
    share = _ratio(counts.cached_tokens, counts.whole_tokens)
    return Live(
        look,
        _speed(counts.prompt_tokens, counts.prompt_s, FEWEST_PROMPT_TOKENS, "mean"),
        _speed(counts.reply_tokens, counts.reply_s, FEWEST_REPLY_TOKENS, "mean"),
        None if share is None else Figure(min(share, 1.0), "mean"),
        Figure(task.context, "now") if task is not None else None,
        (task.number, look.at_s, 0) if task is not None and not task.computed else None,
    )


def _began_anew(before: Counts, now: Counts) -> bool:
    totals = ("prompt_tokens", "reply_tokens", "cached_tokens", "whole_tokens")
    return any((_grown(getattr(before, name), getattr(now, name)) or 0) < 0 for name in totals)


def _prompt(before: Live, look: Look) -> Figure | None:
    """By the engine's own clock, once it has counted a prompt."""
    was, now = before.look.counts, look.counts
    tokens, seconds = (
        _grown(was.prompt_tokens, now.prompt_tokens),
        _grown(was.prompt_s, now.prompt_s),
    )
    return _speed(tokens, seconds, FEWEST_PROMPT_TOKENS, "now" if now.running else "last")


def _batch(
    since: tuple[int, float, int] | None, past: Task | None, look: Look
) -> tuple[tuple[int, float, int] | None, Figure | None]:
    """From when the next batch is timed, and the speed of the one that just ended: while llama.cpp
    reads a long prompt, it tells after each batch how far it is."""
    task = look.task
    if task is None or task.written:
        return None, None
    mark = (task.number, look.at_s, task.computed)
    if past is None:
        return (None if task.computed else mark), None
    if task.computed <= past.computed:
        return since, None
    if since is None or since[0] != task.number:
        return mark, None
    speed = _speed(task.computed - since[2], look.at_s - since[1], FEWEST_PROMPT_TOKENS, "now")
    return mark, speed


def _reply(before: Live, look: Look, past: Task | None) -> Figure | None:
    was, now, passed_s = before.look.counts, look.counts, look.at_s - before.look.at_s
    tokens = _grown(was.reply_tokens, now.reply_tokens)
    when: When = "now" if now.running else "last"
    if now.reply_s is not None:
        exact = _speed(tokens, _grown(was.reply_s, now.reply_s), FEWEST_REPLY_TOKENS, when)
        if exact is not None:
            return exact
    elif now.running or before.reply is None:  # the last second of a reply is seldom a whole one
        return _speed(tokens, passed_s, 1, when)
    if past is None or look.task is None or not past.written:  # no whole second of writing yet
        return None
    return _speed(look.task.written - past.written, passed_s, 1, "now")


def _cached(was: Counts, now: Counts) -> Figure | None:
    share = _ratio(
        _grown(was.cached_tokens, now.cached_tokens), _grown(was.whole_tokens, now.whole_tokens)
    )
    return None if share is None else Figure(min(share, 1.0), "now" if now.running else "last")


def _held(figure: Figure | None, task: Task | None) -> Figure | None:
    """Between two batches of one prompt the speed is still that of the last one."""
    reading = task is not None and not task.written
    return figure if reading else _last(figure)


def _last(figure: Figure | None) -> Figure | None:
    return replace(figure, when="last") if figure is not None and figure.when == "now" else figure


def _grown(was: float | None, now: float | None) -> float | None:
    return None if was is None or now is None else now - was


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole or whole < 0 else max(0.0, part / whole)


def _speed(tokens: float | None, seconds: float | None, fewest: int, when: When) -> Figure | None:
    if tokens is None or not seconds or seconds < 0 or tokens < fewest:
        return None
    return Figure(tokens / seconds, when)


# --- what servers write --------------------------------------------------------------------------

_SAMPLE = re.compile(
    r'([a-z_:][\w:]*)(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?\s+(\S+)', re.ASCII | re.IGNORECASE
)


def samples(text: str) -> dict[str, list[float]]:
    """Prometheus' text format: every value of each name, whatever its labels. What is no number
    (NaN, negative, absurdly large) is passed over, and so is a page that is none of it."""
    found: dict[str, list[float]] = {}
    for line in text.splitlines():
        match = _SAMPLE.match(line) if len(line) <= LONGEST_LINE else None
        if match is not None:
            value = _number(match[2])
            if value is not None:
                found.setdefault(match[1], []).append(value)
    return found


def _number(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 <= value < MOST else None


def llama_cpp_counts(text: str) -> Counts:
    """Of llama.cpp's `/metrics` (seen). Its averages are left out: they begin anew with every look,
    whoever's it is."""
    found = samples(text)
    computed = _total(found, "llamacpp:prompt_tokens_total")
    cached = _total(found, "llamacpp:prompt_tokens_cached_total")
    return Counts(
        computed,
        _total(found, "llamacpp:prompt_seconds_total"),
        _total(found, "llamacpp:tokens_predicted_total"),
        _total(found, "llamacpp:tokens_predicted_seconds_total"),
        cached,
        None if computed is None or cached is None else computed + cached,
        _count(found, "llamacpp:requests_processing"),
        _count(found, "llamacpp:requests_deferred"),
    )


def vllm_counts(text: str) -> Counts:
    """Of vLLM's `/metrics`, by vllm/v1/metrics/loggers.py; older ones say `gpu_` in some names.

    A prompt counts when its request ends, with the tokens that were computed and the time it took.
    """
    found = samples(text)
    full = found.get("vllm:kv_cache_usage_perc") or found.get("vllm:gpu_cache_usage_perc")
    return Counts(
        _total(found, "vllm:request_prefill_kv_computed_tokens_sum"),
        _total(found, "vllm:request_prefill_time_seconds_sum"),
        _total(found, "vllm:generation_tokens_total"),
        None,
        _total(found, "vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
        _total(found, "vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
        _count(found, "vllm:num_requests_running"),
        _count(found, "vllm:num_requests_waiting"),
        min(max(full), 1.0) if full else None,
    )


def _total(found: Mapping[str, Sequence[float]], *names: str) -> float | None:
    """The sum over all labels (models, engines) of the first name that is there."""
    return next((sum(found[name]) for name in names if name in found), None)


def _count(found: Mapping[str, Sequence[float]], name: str) -> int | None:
    value = _total(found, name)
    return None if value is None else round(value)


def busiest(slots: object) -> Task | None:
    """The request at work with the largest context, from llama.cpp's `/slots`."""
    return max(_tasks(slots), key=lambda task: task.context, default=None)


def _tasks(slots: object) -> Iterator[Task]:
    for slot in slots if isinstance(slots, list) else []:
        if not isinstance(slot, dict) or slot.get("is_processing") is not True:
            continue
        following = slot.get("next_token")
        row = following[0] if isinstance(following, list) and following else following
        figures = (
            slot.get("id_task"),
            slot.get("n_prompt_tokens"),
            slot.get("n_prompt_tokens_processed"),
            row.get("n_decoded") if isinstance(row, dict) else None,
        )
        whole = [one for one in figures if type(one) is int and 0 <= one < 2**31]
        if len(whole) == len(figures):
            yield Task(*whole)


# --- asking --------------------------------------------------------------------------------------


def llama_cpp(url: str, headers: Mapping[str, str], *, asleep: bool) -> Look:
    """A llama.cpp server whose `/metrics` is harmless: ours, or one that `why_not` has let pass.

    Raises `web.WebFault` where nothing answers.
    """
    text = _text(f"{url}/metrics", headers)
    counts = llama_cpp_counts(text or "")
    slots = answer(f"{url}/slots", headers) if counts.running and not asleep else None
    return Look(time.monotonic(), counts, busiest(slots), asleep)


def props(url: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """A llama.cpp server's `/props`, {} where it gives none. Raises `web.WebFault`."""
    value = answer(f"{url}/props", headers)
    return value if isinstance(value, dict) else {}


def why_not(said: Mapping[str, Any]) -> str | None:
    """Why a server with these `/props` is not asked for its numbers; None where it can be."""
    if said.get("role") == "router":
        return "no numbers: to ask a router for them would load a model"
    if "is_sleeping" not in said:  # a build that cannot sleep, or not llama.cpp's /props at all
        return None
    build = re.match(r"b(\d{1,9})\b", str(said.get("build_info")))
    if build is not None and int(build[1]) >= HARMLESS_BUILD:
        return None
    return "no numbers: to ask this build for them could keep it from sleeping"


def vllm(url: str, headers: Mapping[str, str]) -> Look:
    """A vLLM server. Raises `web.WebFault` where nothing answers."""
    text = _text(f"{url}/metrics", headers)
    return Look(time.monotonic(), vllm_counts(text or ""))


def _text(url: str, headers: Mapping[str, str]) -> str | None:
    reply = web.request("GET", url, headers=headers, deadline_s=ASK_S)
    return reply.body.decode("utf-8", "replace") if reply.status == 200 else None


def answer(url: str, headers: Mapping[str, str]) -> Any:
    """The JSON at an address, None where there is none. Raises `web.WebFault`."""
    reply = web.request("GET", url, headers=headers, deadline_s=ASK_S)
    try:
        return reply.json() if reply.status == 200 else None
    except web.WebFault:
        return None
