"""One Ollama server at an address: asked, never trusted; every fault becomes a user's error."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from agentlaunch import web
from agentlaunch.endpoint import is_loopback
from agentlaunch.engines.base import Loaded
from agentlaunch.engines.ollama.faults import load_failed, other, refusal, unreachable
from agentlaunch.engines.ollama.keep import KEEP_ALIVE, lengthens
from agentlaunch.engines.ollama.replies import (
    Event,
    Show,
    Tag,
    Version,
    error_text,
    is_absent,
    parse_event,
    parse_ps,
    parse_show,
    parse_tags,
    parse_version,
    same_model,
)
from agentlaunch.errors import (
    AgentlaunchError,
    AuthNeeded,
    EngineFailed,
    ModelUnavailable,
)
from agentlaunch.keys import KEY_VARIABLE
from agentlaunch.models import show_reply
from agentlaunch.progress import Progress, Work

T = TypeVar("T")

LINE_LIMIT_BYTES = 1 << 20
LIST_LIMIT_BYTES = 8 << 20
LOAD_S = 1800.0
_REPORT_S = 0.3


@dataclass(frozen=True, slots=True)
class Client:
    """Talks to one server. `url` without a trailing slash; `key` goes to that server alone."""

    url: str
    key: str = field(default="", repr=False)

    @property
    def is_local(self) -> bool:
        """Does it run on this machine?"""
        return is_loopback(self.url)

    def version(self, *, deadline_s: float = 2.0) -> Version:
        """Is it Ollama, and which? Raises `EngineFailed` with code `engine-unreachable` (nothing
        answers), `not-ollama` (something else does) or `host-refused`, and `AuthNeeded`."""
        reply = self._ask("GET", "/api/version", deadline_s=deadline_s)
        found = parse_version(self._json(reply)) if reply.status == 200 else None
        if found is None:
            raise self._other(reply)
        return found

    def tags(self) -> tuple[Tag, ...]:
        """The installed models."""
        return self._list("/api/tags", parse_tags)

    def loaded(self) -> tuple[Loaded, ...]:
        """The models that it holds now, with what it really allocated."""
        return self._list("/api/ps", parse_ps)

    def show(self, model: str) -> Show:
        """Parameters, weights and capabilities. `ModelUnavailable` when it is not there."""
        reply = self._post("/api/show", {"model": model}, limit_bytes=LIST_LIMIT_BYTES)
        found = parse_show(self._checked(reply, model))
        if found is None:
            raise self._strange("/api/show")
        return found

    def shape(
        self,
        model: str,
        *,
        verbose: bool = True,
        size_bytes: int | None = None,
        deadline_s: float = 30.0,
    ) -> show_reply.ShowReply:
        """The model's shape, for the fit; raises `BadReply` too. Without `verbose` every tensor is
        told, but no list (some KB instead of MB, 0.33): that may raise `ListsLeftOut`."""
        reply = self._post(
            "/api/show",
            {"model": model, "verbose": verbose},
            deadline_s=deadline_s,
            limit_bytes=show_reply.MAX_REPLY_BYTES,
        )
        self._checked(reply, model)
        return show_reply.parse_reply(reply.body, name=model, published_bytes=size_bytes)

    def load(
        self, model: str, *, keep_alive: str | int = KEEP_ALIVE, limit_s: float = LOAD_S
    ) -> Work[Loaded]:
        """Load by an empty generate, then read back what was allocated. One that is loaded already
        is never made to stay shorter than it would.

        Raises `ModelUnavailable`, `MachineCannot` (memory), `EngineFailed` (busy, failed, not among
        the loaded).
        """
        plain: dict[str, object] = {"model": model, "stream": False}
        asked = plain | {"keep_alive": keep_alive}
        body = asked if lengthens(keep_alive, self.held(model)) else plain
        yield from self._generate(model, body, limit_s)
        found = self.held(model)
        if found is None:  # it runs under the name of a tag that is no more: make it anew
            self.unload(model)
            yield from self._generate(model, asked, limit_s)
            found = self.held(model)
        if found is not None:
            return found
        raise EngineFailed(
            f"Ollama says that it loaded {model}, but does not list it as loaded",
            hint="another program may have displaced it; run the same command again",
            code="not-loaded",
        )

    def _generate(self, model: str, body: object, limit_s: float) -> Work[None]:
        reply = yield from _meanwhile(
            lambda: self._post("/api/generate", body, deadline_s=limit_s), f"loading {model}"
        )
        self._done(reply, model)

    def held(self, model: str) -> Loaded | None:
        """The loaded row of a model. Ollama goes on under the name of another tag when that has
        the same weights and parameters (seen with 0.33)."""
        rows = self.loaded()
        for row in rows:
            if same_model(row.model, model):
                return row
        if not rows:
            return None
        with contextlib.suppress(ModelUnavailable):
            shown = self.show(model)
            for row in rows if shown.weights else ():  # no weights named: they could be any
                with contextlib.suppress(ModelUnavailable):
                    other = self.show(row.model)
                    if (other.weights, other.parameters) == (shown.weights, shown.parameters):
                        return replace(row, model=model)
        return None

    def unload(self, model: str, *, limit_s: float = 30.0) -> None:
        """Give its memory back; a model that is not there is no error."""
        body = {"model": model, "keep_alive": 0, "stream": False}
        with contextlib.suppress(ModelUnavailable):
            self._done(self._post("/api/generate", body, deadline_s=limit_s), model)

    def delete(self, model: str) -> bool:
        """Remove a tag; False when it was not there. Who may be deleted is `derive`'s matter."""
        reply = self._ask("DELETE", "/api/delete", {"model": model}, deadline_s=30.0)
        if reply.status == 404 and is_absent(error_text(reply.body)):
            return False
        self._refuse(reply, model)
        if reply.body.strip() not in (b"", b"null"):  # some page that says 200 to everything
            raise self._strange("/api/delete")
        return True

    def events(
        self, path: str, body: dict[str, Any], *, silence_s: float
    ) -> Generator[Event, None, None]:
        """The lines of a stream. A line that comes in drops must be whole within `silence_s`.

        Raises `web.WebFault` when it breaks off, `EngineFailed` when the server is no Ollama, and
        what `load` raises for an error status.
        """
        with contextlib.closing(self._lines(path, body, silence_s=silence_s)) as lines:
            for line in lines:
                event = parse_event(line)
                if event is None:
                    raise self._strange(path)
                yield event

    def _lines(
        self, path: str, body: dict[str, Any], *, silence_s: float
    ) -> Generator[bytes, None, None]:
        exchange = web.stream(
            "POST", self.url + path, json_body=body, headers=self._headers(), read_s=silence_s
        )
        with exchange as (head, chunks):
            if head.status != 200:
                raw = b""
                for chunk in chunks:
                    raw += chunk
                    if len(raw) > LINE_LIMIT_BYTES:
                        break
                self._refuse(web.Reply(head.status, head.headers, raw), str(body.get("model", "")))
                raise self._strange(path)
            yield from _split(chunks, silence_s)

    # --- one exchange ----------------------------------------------------------------------

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"} if self.key else {}

    def _post(
        self, path: str, body: object, *, deadline_s: float = 15.0, limit_bytes: int | None = None
    ) -> web.Reply:
        return self._ask("POST", path, body, deadline_s=deadline_s, limit_bytes=limit_bytes)

    def _ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        deadline_s: float = 5.0,
        limit_bytes: int | None = None,
    ) -> web.Reply:
        if not (self.key.isascii() and (not self.key or self.key.isprintable())):
            # The HTTP library would quote the header, and the key with it, in its error.
            raise AuthNeeded(
                "the key holds a character that no header can carry, perhaps a line break",
                hint=f"export {KEY_VARIABLE}=… again, without it",
            )
        try:
            return web.request(
                method,
                self.url + path,
                json_body=body,
                headers=self._headers(),
                deadline_s=deadline_s,
                limit_bytes=limit_bytes or web.JSON_LIMIT_BYTES,
            )
        except web.WebFault as fault:
            raise unreachable(self.url, fault) from fault

    def _list(self, path: str, parse: Callable[[object], tuple[T, ...] | None]) -> tuple[T, ...]:
        reply = self._ask("GET", path, limit_bytes=LIST_LIMIT_BYTES)
        found = parse(self._checked(reply, ""))
        if found is None:
            raise self._strange(path)
        return found

    def _checked(self, reply: web.Reply, model: str) -> object:
        self._refuse(reply, model)
        found = self._json(reply)
        if isinstance(found, dict) and isinstance(found.get("error"), str):
            raise load_failed(model, error_text(reply.body))
        return found

    def _done(self, reply: web.Reply, model: str) -> None:
        found = self._checked(reply, model)
        if not isinstance(found, dict) or found.get("done") is not True:
            raise self._strange("/api/generate")

    def _json(self, reply: web.Reply) -> object:
        try:
            return reply.json()
        except web.WebFault as fault:
            raise self._other(reply) from fault

    def _refuse(self, reply: web.Reply, model: str) -> None:
        """Turn an error status into words; nothing for a 200."""
        if reply.status != 200:
            raise refusal(reply, self.url, model, has_key=bool(self.key))

    def _other(self, reply: web.Reply) -> AgentlaunchError:
        return other(reply, self.url, has_key=bool(self.key))

    def _strange(self, path: str) -> EngineFailed:
        return EngineFailed(
            f"{self.url}{path} answered something that Ollama does not say",
            hint="is that Ollama, and of a version that we know? ollama --version",
            code="not-ollama",
        )


def _split(chunks: Iterator[bytes], silence_s: float) -> Iterator[bytes]:
    """Whole lines; the last one may lack its end."""
    rest = b""
    since = time.monotonic()
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if len(line) > LINE_LIMIT_BYTES:
                raise _too_long()
            if line.strip():
                yield line
        now = time.monotonic()
        if lines:
            since = now
        elif now - since > silence_s:
            raise web.WebFault("timeout", f"Ollama sent no whole line within {silence_s:g} s")
        if len(rest) > LINE_LIMIT_BYTES:
            raise _too_long()
    if rest.strip():
        yield rest


def _too_long() -> web.WebFault:
    return web.WebFault("too-large", f"Ollama sent a line of over {LINE_LIMIT_BYTES} bytes")


def _meanwhile(ask: Callable[[], T], activity: str) -> Work[T]:
    """Run one blocking exchange aside, reporting until it is over."""
    answers: queue.Queue[T | BaseException] = queue.Queue()

    def run() -> None:
        try:
            answers.put(ask())
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is awaited
            answers.put(error)

    threading.Thread(target=run, daemon=True).start()
    yield Progress(activity)
    while True:
        try:
            answer = answers.get(timeout=_REPORT_S)
        except queue.Empty:
            yield Progress(activity)
            continue
        if isinstance(answer, BaseException):
            raise answer
        return answer
