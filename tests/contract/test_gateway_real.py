"""LiteLLM itself as our gateway: installed as `up` would, started, asked on three wires, idle."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import real_litellm
from agentlaunch import process, web
from agentlaunch.gateway import events, life, package
from agentlaunch.gateway.spec import Hop, Spec
from agentlaunch.progress import finish
from agentlaunch.settings import Paths
from places import CACHE, paths_below
from waiting import wait_until
from wire_server import WireServer, say

pytestmark = real_litellm.needs_litellm

TOKEN = "sk-canary-0123456789"
PROMPT = "a canary of a prompt"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Places of the test's own, but for the environment that all tests share."""
    real_litellm.installed()
    return dataclasses.replace(paths_below(tmp_path), data=paths_below(CACHE / "agents").data)


@pytest.fixture
def near() -> Iterator[WireServer]:
    with WireServer(model="near", token=TOKEN, wires=("openai_chat",), has_tools=False) as server:
        server.script = [say("from the engine")] * 3
        yield server


def serve(paths: Paths, server: WireServer, *, idle_s: float) -> life.Running:
    dead = Hop("hosted", "http://127.0.0.1:9", "far", "vllm", 131_072)
    hop = Hop("near", server.url, server.model, "vllm", server.context, token=server.token or "")
    return finish(life.serve(Spec({"main": (dead, hop)}), paths, idle_s=idle_s))


def asked(running: life.Running, path: str, **body: object) -> web.Reply:
    return web.request(
        "POST",
        f"{running.url}{path}",
        json_body={"model": "al-main", **body},
        headers={"authorization": f"Bearer {running.token}"},
        deadline_s=60,
    )


def test_it_answers_on_three_wires_past_a_dead_endpoint_and_is_found_again(
    paths: Paths, near: WireServer
) -> None:
    running = serve(paths, near, idle_s=600)
    try:
        messages = [{"role": "user", "content": PROMPT}]
        replies = (
            asked(running, "/v1/messages", messages=messages, max_tokens=50),
            asked(running, "/v1/chat/completions", messages=messages),
            asked(running, "/v1/responses", input=PROMPT),
        )
        assert [reply.status for reply in replies] == [200, 200, 200], replies
        assert all(b"from the engine" in reply.body for reply in replies)
        begun = time.monotonic()
        again = serve(paths, near, idle_s=600)
        took_s = time.monotonic() - begun
        assert (again.identity, again.reused) == (running.identity, True)
        assert took_s < 5, "an import of LiteLLM alone would last longer"
        (switch,) = [row for row in events.read(paths.state) if isinstance(row, events.Switch)]
        assert (switch.role, switch.before, switch.after) == ("main", "hosted", "near")
        written = running.log.read_text()
        for secret in (TOKEN, running.token, PROMPT):
            assert secret not in written
        for path in running.folder.rglob("*"):
            if path.is_file() and path.name != "state.json":
                assert TOKEN.encode() not in path.read_bytes()
                assert running.token.encode() not in path.read_bytes()
    finally:
        life.stop(paths, force=True)
    assert not process.is_alive(running.identity)


def test_it_ends_by_itself_when_nobody_needs_it(paths: Paths, near: WireServer) -> None:
    running = serve(paths, near, idle_s=1)
    (running.folder / "leases" / str(process.identity())).unlink()
    wait_until(lambda: not process.is_alive(running.identity), limit_s=60)
    # It holds the lock until the last of its threads is gone.
    wait_until(lambda: life.find(paths) == () and not running.folder.exists())


def test_our_list_is_what_its_own_extra_asks_for_without_what_we_leave_out() -> None:
    (info,) = real_litellm.installed().glob("lib/python3*/site-packages/litellm-[0-9]*.dist-info")
    rows = importlib.metadata.Distribution.at(info).requires or []
    theirs = {_plain(row) for row in rows if re.search(r"""extra == ['"]proxy['"]""", row)}
    left = {row for row in theirs if _name(row) in package.LEFT_OUT}
    assert {_plain(row) for row in package.PROXY} == theirs - left
    assert {_name(row) for row in left} == set(package.LEFT_OUT)
    assert list(info.parent.glob("litellm_enterprise*")) == []


def _plain(row: str) -> str:
    """A requirement without its condition, its parts in one order."""
    name = _name(row)
    limits = row.partition(";")[0].strip()[len(name) :]
    return name + ",".join(sorted(part.strip() for part in limits.split(",")))


def _name(row: str) -> str:
    return re.split(r"[<>=!~;\s\[]", row, maxsplit=1)[0].lower()
