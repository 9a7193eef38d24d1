"""One request whose speed is known afterwards: by the server's own timings, or by the clock."""

from __future__ import annotations

import contextlib
import hashlib
import math
import secrets
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeGuard

from agentlaunch import web
from agentlaunch.endpoint import Endpoint
from agentlaunch.errors import EngineFailed, NotSupported
from agentlaunch.proof import stream
from agentlaunch.proof.asking import MARK

Method = Literal["server", "clock"]

LEAST_DECODED_TOKENS = 8
"""Fewer tokens than this give no figure for the speed of a reply."""
LEAST_ARRIVALS = 3
APART_S = 0.001
"""Nor do tokens that arrived at fewer moments, so far apart: something held them back."""

CALIBRATING_WORDS = 100

_VOCABULARY = (
    "river stone window letter garden engine market silver winter paper bridge forest number "
    "kitchen doctor island camera summer planet village copper signal farmer valley mirror button "
    "orange castle ticket saddle thunder pocket basket lantern harbor meadow needle rocket "
    "blanket candle pepper ribbon hammer jacket marble tunnel violin walnut anchor branch circle "
    "desert feather gravel hollow insect jungle kettle ladder magnet nephew oyster parcel quarry"
)
WORDS = tuple(_VOCABULARY.split())


@dataclass(frozen=True, slots=True)
class Run:
    """One request: what was read and written, and how fast. None is a speed that is not known."""

    prompt_tokens: int
    cached_tokens: int
    """How many of them the server had read before; its speed is that of the others."""
    decode_tokens: int
    prefill_tokens_per_s: float | None
    decode_tokens_per_s: float | None


Asking = Generator[float | None, None, Run]
"""A request at work: yields the part that is done (0 to 1, None while nobody tells)."""


class Subject(Protocol):
    """A server that can be asked for a timed reply."""

    method: Method

    def ask(self, prompt_tokens: int, decode_tokens: int, *, deadline_s: float) -> Asking:
        """Read about so many tokens, write so many. Raises what `stream.events` raises."""
        ...


# --- llama.cpp -----------------------------------------------------------------------------------


@dataclass(slots=True)
class OwnTimings:
    """A llama.cpp server, which times each request itself (seen: xllamacpp 2026.10.11549).

    `/completion` takes token numbers, so the length is exact; `cache_prompt: false` makes it read
    all of them again (`cache_n` was 0). Every prompt is the beginning of one text: a slot that
    finds half of its old prompt in the new one saves no copy of it, so memory stays as it is.
    """

    endpoint: Endpoint
    method: Method = "server"
    _tokens: list[int] = field(default_factory=list)

    def ask(self, prompt_tokens: int, decode_tokens: int, *, deadline_s: float) -> Asking:
        body = {
            "model": self.endpoint.model,
            "prompt": self._prompt(prompt_tokens),
            "n_predict": decode_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": False,
            "stream": True,
            "return_progress": True,
        }
        replies = stream.events(self.endpoint, "/completion", body, deadline_s=deadline_s)
        total = prompt_tokens + decode_tokens
        with contextlib.closing(replies):
            for _at, event in replies:
                if event.get("stop") is True:
                    return _by_the_server(self.endpoint, event)
                progress = event.get("prompt_progress")
                if isinstance(progress, dict):
                    yield _part(progress.get("processed"), total)
                else:
                    written = event.get("tokens_predicted")
                    yield _part(prompt_tokens + written if _is_count(written) else None, total)
        raise stream.cut(self.endpoint)

    def _prompt(self, count: int) -> list[int]:
        while len(self._tokens) < count:
            asked = max(count, 1024)
            self._tokens = self._tokenized(_text("agentlaunch", asked))
            if not self._tokens:
                raise EngineFailed(f"{self.endpoint.base_url}/tokenize gave no tokens")
            while len(self._tokens) < count:
                self._tokens += self._tokens
        return self._tokens[:count]

    def _tokenized(self, text: str) -> list[int]:
        url = self.endpoint.base_url + "/tokenize"
        try:
            reply = web.request(
                "POST",
                url,
                json_body={"content": text, "add_special": True},
                headers=self.endpoint.key_headers,
                deadline_s=60,
                limit_bytes=16 << 20,
            )
            if reply.status != 200:
                raise stream.refusal(self.endpoint, "/tokenize", reply, reply.body)
            value = reply.json()
        except web.WebFault as fault:
            raise EngineFailed(str(fault), hint="is the engine running at this address?") from fault
        tokens = value.get("tokens") if isinstance(value, dict) else None
        if not isinstance(tokens, list) or not all(_is_count(token) for token in tokens):
            raise EngineFailed(f"{url} gave no tokens", hint="is it a llama.cpp server?")
        return tokens


def _by_the_server(endpoint: Endpoint, event: dict[str, Any]) -> Run:
    timings = event.get("timings")
    if not isinstance(timings, dict):
        raise EngineFailed(
            f"{endpoint.base_url} gave no timings with its reply",
            hint="is it a llama.cpp server of today?",
            code="no-timings",
        )
    read, cached = timings.get("prompt_n"), timings.get("cache_n", 0)
    written = timings.get("predicted_n")
    if not (_is_count(read) and _is_count(cached) and _is_count(written)):
        raise EngineFailed(
            f"{endpoint.base_url} gave timings without numbers of tokens", code="no-timings"
        )
    return Run(
        prompt_tokens=read + cached,
        cached_tokens=cached,
        decode_tokens=written,
        prefill_tokens_per_s=_rate(timings.get("prompt_per_second")) if read else None,
        decode_tokens_per_s=_rate(timings.get("predicted_per_second"))
        if written >= LEAST_DECODED_TOKENS
        else None,
    )


# --- any other server ----------------------------------------------------------------------------


@dataclass(slots=True)
class ByTheClock:
    """Any server with a wire of OpenAI or Anthropic: time to the first token and to the last.

    How many tokens they were is what the server's `usage` says. A prompt begins with words that
    nobody has seen, so that no cache has more of it than the chat template.
    """

    endpoint: Endpoint
    ignore_eos: bool = False
    """Does it take `ignore_eos` (vLLM does)? Others may refuse a field that they do not know."""
    clock: Callable[[], float] = time.monotonic
    method: Method = "clock"
    _words_per_token: float = 0.8

    def ask(self, prompt_tokens: int, decode_tokens: int, *, deadline_s: float) -> Asking:
        words = max(1, round(prompt_tokens * self._words_per_token))
        wire = _WIRES[self._wire()]
        content = f"{_text(secrets.token_hex(8), words)}\n\n{TASK} ({MARK})"
        body = wire.body(self.endpoint.model, content, decode_tokens, ignore_eos=self.ignore_eos)
        seen = _Seen()
        asked_at = self.clock()
        replies = stream.events(
            self.endpoint, wire.path, body, deadline_s=deadline_s, clock=self.clock
        )
        with contextlib.closing(replies):
            for arrived_at, event in replies:
                if wire.look(event, seen):
                    seen.arrivals.append(arrived_at)
                if seen.over:
                    break
                yield _part(prompt_tokens + seen.pieces if seen.pieces else None,
                            prompt_tokens + decode_tokens)  # fmt: skip
        run = _by_the_clock(self.endpoint, seen, asked_at)
        if words >= CALIBRATING_WORDS:  # in a shorter prompt most tokens are the template's
            self._words_per_token = words / run.prompt_tokens
        return run

    def _wire(self) -> Literal["openai_chat", "anthropic_messages"]:
        if "openai_chat" in self.endpoint.wires:
            return "openai_chat"
        if "anthropic_messages" in self.endpoint.wires:
            return "anthropic_messages"
        raise NotSupported(
            f"{self.endpoint.base_url} speaks neither the chat wire of OpenAI nor the messages "
            "wire of Anthropic"
        )


TASK = "Continue this list of words with two hundred more words. Write nothing else."


@dataclass(slots=True)
class _Seen:
    """What a stream has told so far."""

    prompt_tokens: int | None = None
    cached_tokens: int = 0
    decode_tokens: int | None = None
    pieces: int = 0
    arrivals: list[float] = field(default_factory=list)
    over: bool = False


@dataclass(frozen=True, slots=True)
class _Wire:
    path: str
    body: Callable[..., dict[str, Any]]
    look: Callable[[dict[str, Any], _Seen], bool]
    """Note what an event tells; True when it brings tokens."""


def _chat_body(model: str, content: str, decode_tokens: int, *, ignore_eos: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": decode_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return body | ({"ignore_eos": True, "min_tokens": decode_tokens} if ignore_eos else {})


def _chat_look(event: dict[str, Any], seen: _Seen) -> bool:
    usage = event.get("usage")
    if isinstance(usage, dict) and _is_count(usage.get("prompt_tokens")):
        details = usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else 0
        seen.prompt_tokens = usage["prompt_tokens"]
        seen.cached_tokens = cached if _is_count(cached) else 0
        written = usage.get("completion_tokens")
        seen.decode_tokens = written if _is_count(written) else None
    choices = event.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    delta = choice.get("delta") if isinstance(choice, dict) else None
    if not isinstance(delta, dict):
        return False
    # What a model thinks is written at the same speed; servers have three names for it.
    texts = ("content", "reasoning_content", "reasoning", "thinking", "tool_calls")
    brings = any(delta.get(name) for name in texts)
    seen.pieces += brings
    return brings


def _messages_body(
    model: str, content: str, decode_tokens: int, *, ignore_eos: bool
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": decode_tokens,
        "temperature": 0,
        "stream": True,
    }
    return body | ({"ignore_eos": True} if ignore_eos else {})


def _messages_look(event: dict[str, Any], seen: _Seen) -> bool:
    kind = event.get("type")
    message = event.get("message") if kind == "message_start" else event
    usage = message.get("usage") if isinstance(message, dict) else None
    if isinstance(usage, dict):
        read, cached = usage.get("input_tokens"), usage.get("cache_read_input_tokens")
        known = cached if _is_count(cached) else 0
        if _is_count(read) and read + known:  # the two partition the prompt
            seen.prompt_tokens, seen.cached_tokens = read + known, known
        written = usage.get("output_tokens")
        if kind == "message_delta" and _is_count(written):
            seen.decode_tokens = written
    seen.over = kind == "message_stop"
    brings = kind == "content_block_delta"
    seen.pieces += brings
    return brings


_WIRES = {
    "openai_chat": _Wire("/v1/chat/completions", _chat_body, _chat_look),
    "anthropic_messages": _Wire("/v1/messages", _messages_body, _messages_look),
}


def _by_the_clock(endpoint: Endpoint, seen: _Seen, asked_at: float) -> Run:
    if not seen.arrivals and not seen.decode_tokens:
        raise stream.cut(endpoint)
    if seen.prompt_tokens is None or seen.prompt_tokens < 1 or seen.decode_tokens is None:
        raise EngineFailed(
            f"{endpoint.base_url} does not say how many tokens it read and wrote, or broke off",
            hint="its speed can only be measured where its streams carry `usage`",
            code="no-usage",
        )
    fresh = seen.prompt_tokens - seen.cached_tokens
    first = seen.arrivals[0] - asked_at if seen.arrivals else 0.0
    span = seen.arrivals[-1] - seen.arrivals[0] if seen.arrivals else 0.0
    told = seen.decode_tokens >= LEAST_DECODED_TOKENS and _moments(seen) >= LEAST_ARRIVALS
    return Run(
        prompt_tokens=seen.prompt_tokens,
        cached_tokens=seen.cached_tokens,
        decode_tokens=seen.decode_tokens,
        prefill_tokens_per_s=_rate(fresh / first) if fresh > 0 and first > 0 else None,
        decode_tokens_per_s=_rate((seen.decode_tokens - 1) / span) if told and span > 0 else None,
    )


def _moments(seen: _Seen) -> int:
    """At how many moments tokens arrived; what a gateway held back comes all at one."""
    count, last = 0, -1.0
    for at in seen.arrivals:
        if count == 0 or at - last >= APART_S:
            count, last = count + 1, at
    return count


# --- small things --------------------------------------------------------------------------------


def _text(nonce: str, words: int) -> str:
    """So many words in an order that only the nonce knows; the beginning of every longer one."""
    return " ".join([nonce, *_words(nonce, words)])


def _words(nonce: str, count: int) -> Iterator[str]:
    for start in range(0, count, 32):
        block = hashlib.sha256(f"{nonce} {start}".encode()).digest()
        yield from (WORDS[byte % len(WORDS)] for byte in block[: count - start])


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _rate(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if math.isfinite(value) and value > 0 else None


def _part(done: object, total: int) -> float | None:
    if not isinstance(done, int) or isinstance(done, bool) or total < 1:
        return None
    return min(1.0, max(0.0, done / total))
