"""A second turn, and a second launch, read only what is new: real agents on the real engine.

What the engine read is counted by its own `/metrics`, over whole launches: a request for a title, a
line that tells the time, or a header that changes would all show. Seen: Claude Code read 1,692
tokens in the first launch, 18 in the second turn and 9 in a new conversation; Codex 457, 17 and 9;
OpenCode 2,089, 19 and 10. (The template of the small model drops tools.)
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent_world import ALL_VARIABLE, World, folder, make_world
from agentlaunch import managed, settings, web
from agentlaunch.engines import live, llama_cpp
from small_model import TRAINED_TOKENS, engine_paths, small_model

__all__ = ["folder"]  # the fixture, known to pytest by its name in this module

pytestmark = pytest.mark.needs_network

MOST = 0.2
"""The share of the first launch's tokens above which something in front of the new has changed."""

FIRST, SECOND, OTHER = "Say hello in one word", "Now say goodbye in one word", "Name one colour"
TURNS = {
    "claude-code": (["-p", FIRST], ["-p", SECOND, "--continue"], ["-p", OTHER]),
    "codex": (["exec", FIRST], ["exec", "resume", "--last", SECOND], ["exec", OTHER]),
    "opencode": (["run", FIRST], ["run", "--continue", SECOND], ["run", OTHER]),
}
"""A conversation in two launches, then another one in the same folder."""

WHOLE = {"claude-code": 1_400, "codex": 400, "opencode": 1_800}
"""Tokens that a first launch reads at the least."""

BOUNDED = {
    "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "512",
    "OPENCODE_EXPERIMENTAL_OUTPUT_TOKEN_MAX": "512",
}


@dataclass(frozen=True)
class Read:
    """What the engine read for one launch, in tokens: computed, and taken from what it had."""

    computed: float
    cached: float


@pytest.fixture(scope="module")
def terse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model with the end of a line for the end of its answer: else it rambles on, and an
    agent whose output is bounded asks it again and again to go on."""
    data = bytearray(small_model().read_bytes())
    key = b"tokenizer.ggml.eos_token_id"
    place = data.index(key) + len(key)
    assert struct.unpack_from("<II", data, place) == (4, 2)  # a number of 32 bits: <|im_end|>
    struct.pack_into("<I", data, place + 4, 198)  # "\n"
    file = tmp_path_factory.mktemp("terse") / "Terse-135M.gguf"
    file.write_bytes(data)
    return file


@contextlib.contextmanager
def embedded_engine(world: World, ours: Path) -> Iterator[llama_cpp.LlamaCpp]:
    """The engine of that world's user, its package there already; what runs is ended at last."""
    shared = engine_paths(ours)
    package = managed.installed(llama_cpp.PACKAGE, shared)
    assert package is not None
    paths = settings.paths()
    assert paths.managed.is_relative_to(world.home)
    name = package.relative_to(shared.managed / "pypi").parts[0]
    place = paths.managed / "pypi" / name
    place.symlink_to(shared.managed / "pypi" / name)
    engine = llama_cpp.LlamaCpp(paths)
    try:
        yield engine
    finally:
        for row in engine.running():
            engine.stop(row.key, force=True)


def counted(engine: llama_cpp.LlamaCpp) -> Read:
    """What the one engine has read since its start; nothing where none runs."""
    for row in engine.running():
        headers = {"Authorization": f"Bearer {row.endpoint.token}"}
        url = f"{row.endpoint.base_url}/metrics"
        page = web.request("GET", url, headers=headers, deadline_s=60)
        counts = live.llama_cpp_counts(page.body.decode())
        assert counts.prompt_tokens is not None
        assert counts.cached_tokens is not None
        return Read(counts.prompt_tokens, counts.cached_tokens)
    return Read(0, 0)


def read_by(world: World, engine: llama_cpp.LlamaCpp, model: Path, args: list[str]) -> Read:
    """Launch the agent with these arguments, and count."""
    before = counted(engine)
    options = ("--engine", "embedded", "--model", str(model))
    done = subprocess.run(
        world.argv(args, options=options, context=TRAINED_TOKENS),
        cwd=world.project,
        env=world.shell() | BOUNDED,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,  # a busy machine reads slowly
        check=False,
    )
    assert done.returncode == 0, (args, done.stdout, done.stderr)
    after = counted(engine)
    return Read(after.computed - before.computed, after.cached - before.cached)


SLOW = () if os.environ.get(ALL_VARIABLE) else ("opencode",)
"""It takes more than a minute on two cores."""


@pytest.mark.parametrize("name", [name for name in TURNS if name not in SLOW])
def test_a_second_turn_and_a_second_launch_read_only_what_is_new(
    name: str, folder: Path, tmp_path: Path, terse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.delenv("XDG_RUNTIME_DIR")  # the world's shell has none
    with make_world(name, folder) as world, embedded_engine(world, tmp_path) as engine:
        first, second, other = (read_by(world, engine, terse, args) for args in TURNS[name])
    # The whole prompt, and none of it before. Where the small model says nothing at all, which
    # chance decides, the agent asks once more, and that is cached.
    assert first.computed > WHOLE[name]
    assert second.cached >= first.computed  # it is the same conversation
    assert second.computed < MOST * first.computed, (first, second, other)
    assert other.computed < MOST * first.computed, (first, second, other)
