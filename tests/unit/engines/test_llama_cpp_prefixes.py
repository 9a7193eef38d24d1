"""Saved prefixes: when one is saved, which goes first, and which file counts."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.engines.llama_cpp_prefixes import (
    LEAST_TOKENS,
    Keeper,
    Saved,
    is_due,
    leaving,
    name_of,
    present_name,
    remove,
    saved,
    sound,
)

NAME = name_of("agent", "full", "/project")


@pytest.mark.parametrize(
    ("read", "held", "last", "due"),
    [
        (0, 0, True, False),
        (LEAST_TOKENS - 1, 0, False, False),
        (LEAST_TOKENS, 0, False, True),
        (499, 1000, False, False),
        (500, 1000, False, True),
        (1, 1000, True, True),
    ],
)
def test_a_prefix_is_saved_when_there_is_none_and_when_half_of_it_is_new(
    read: int, held: int, last: bool, due: bool
) -> None:
    assert is_due(read, held, last=last) is due


def rows(*sizes: int) -> tuple[Saved, ...]:
    return tuple(Saved(Path(str(at)), size, float(at)) for at, size in enumerate(sizes))


def test_the_oldest_go_until_the_new_one_fits() -> None:
    three = rows(10, 20, 30)
    assert leaving(three[::-1], 35, limit_bytes=70, spare_bytes=100) == three[:2]


def test_nothing_goes_where_there_is_room() -> None:
    assert leaving(rows(10, 20), 40, limit_bytes=70, spare_bytes=40) == ()


def test_nothing_goes_for_what_never_fits() -> None:
    assert leaving(rows(10, 20), 71, limit_bytes=70, spare_bytes=1000) is None


def test_the_oldest_go_for_the_sake_of_the_free_disk() -> None:
    two = rows(10, 20)
    assert leaving(two, 5, limit_bytes=70, spare_bytes=-2) == two[:1]
    assert leaving(two, 5, limit_bytes=70, spare_bytes=-50) is None


def kept(folder: Path, data: bytes, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{NAME}.kv"
    path.write_bytes(data)
    record = {"bytes": len(data), "tokens": 700, "crc32": zlib.crc32(data)} | changes
    path.with_suffix(".json").write_text(json.dumps(record))
    return path


def test_a_whole_file_is_sound_and_is_listed(tmp_path: Path) -> None:
    path = kept(tmp_path / "key", b"data")
    assert sound(path) == 700
    assert [(row.path, row.size_bytes) for row in saved(tmp_path)] == [(path, 4)]
    remove(path)
    assert list((tmp_path / "key").iterdir()) == []


@pytest.mark.parametrize("changes", [{"bytes": 5}, {"crc32": 1}, {"tokens": "many"}])
def test_a_record_that_does_not_fit_makes_it_unsound(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    assert sound(kept(tmp_path, b"data", **changes)) is None


@pytest.mark.parametrize("record", [b"", b"[]", b"\xff", b"[" * 100_000])
def test_an_unreadable_record_makes_it_unsound(tmp_path: Path, record: bytes) -> None:
    path = kept(tmp_path, b"data")
    path.with_suffix(".json").write_bytes(record)
    assert sound(path) is None


def test_a_link_is_unsound(tmp_path: Path) -> None:
    path = kept(tmp_path, b"data")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert sound(path) is None


def test_the_newest_lease_names_the_prefix(tmp_path: Path) -> None:
    other = name_of("other")
    for at, (pid, name) in enumerate([(3, NAME), (1, other), (2, None), (4, "../x")]):
        row = {"pid": pid, "mark": "m"} | ({"prefix": name} if name else {})
        (tmp_path / str(pid)).write_text(json.dumps(row))
        os.utime(tmp_path / str(pid), (at, at))
    assert present_name(tmp_path) == other
    assert present_name(tmp_path / "nowhere") is None


class Server:
    """What the keeper asks, with answers by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokens, self.asleep = 800, False
        self.asked: list[str] = []

    def __call__(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> dict[str, Any] | None:
        self.asked.append(f"{method} {path}")
        if path == "/props":
            return {"is_sleeping": self.asleep}
        if path == "/slots":
            return {"slots": [{"is_processing": False, "n_prompt_tokens": self.tokens}]}
        assert body is not None
        (self.folder / body["filename"]).write_bytes(bytes(self.tokens))
        return {"n_saved": self.tokens, "n_written": self.tokens}

    @property
    def saves(self) -> int:
        return self.asked.count("POST /slots/0?action=save")


def counts(tokens: int) -> str:
    return f"llamacpp:prompt_tokens_total {tokens}"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    (tmp_path / "leases").mkdir()
    lease = {"pid": 1, "mark": "m", "prefix": NAME}
    (tmp_path / "leases" / "1").write_text(json.dumps(lease))
    return Server(tmp_path / "key")


def keeper(server: Server, limit_bytes: int = 10**6) -> Keeper:
    config = {"folder": str(server.folder), "limit_bytes": limit_bytes, "awake_s": 0}
    said: list[str] = []
    return Keeper(config, server.folder.parent / "leases", server, said.append)


def test_it_saves_once_it_is_quiet_and_not_after_every_turn(server: Server) -> None:
    mine = keeper(server)
    seen = []
    for tokens in (800, 800, 800, 900, 900, 1300, 1300):
        mine.look(counts(tokens), alive=True)
        seen.append(server.saves)
    assert seen == [0, 1, 1, 1, 1, 1, 2]
    assert sound(server.folder / f"{NAME}.kv") == 800


def test_it_saves_the_last_state_when_the_last_session_has_ended(server: Server) -> None:
    mine = keeper(server)
    for tokens, alive in ((800, True), (800, True), (900, True), (900, True)):
        mine.look(counts(tokens), alive=alive)
    (server.folder.parent / "leases" / "1").unlink()
    mine.look(counts(900), alive=False)
    mine.look(counts(900), alive=False)
    assert server.saves == 2


def joined(server: Server, pid: int, name: str) -> None:
    """A newer session than all others."""
    path = server.folder.parent / "leases" / str(pid)
    path.write_text(json.dumps({"pid": pid, "mark": "m", "prefix": name}))
    os.utime(path, (2**31 + pid, 2**31 + pid))


@pytest.mark.parametrize("busy", [True, False])
def test_what_another_session_read_is_not_saved_under_a_new_name(
    server: Server, busy: bool
) -> None:
    other = name_of("other")
    mine = keeper(server)
    mine.look(counts(5000), alive=True)
    joined(server, 2, other)
    if busy:
        mine.look("busy 1", alive=True)
    for alive in (True, True, True, False, False):
        mine.look(counts(5000), alive=alive)
    assert (server.saves, list(server.folder.glob("*"))) == (0, [])


def test_a_new_name_is_saved_when_its_own_prompt_was_read(server: Server) -> None:
    other = name_of("other")
    mine = keeper(server)
    for _ in range(3):
        mine.look(counts(800), alive=True)
    joined(server, 2, other)
    for tokens in (800, 800, 800 + LEAST_TOKENS, 800 + LEAST_TOKENS):
        mine.look(counts(tokens), alive=True)
    assert sorted(path.stem for path in server.folder.glob("*.kv")) == sorted((NAME, other))


def test_it_does_not_wake_a_sleeping_server(server: Server) -> None:
    server.asleep = True
    mine = keeper(server)
    for _ in range(3):
        mine.look(counts(800), alive=True)
    assert set(server.asked) == {"GET /props"}


def test_it_does_not_ask_while_the_server_is_busy(server: Server) -> None:
    mine = keeper(server)
    for at in range(3):
        mine.look(f"busy {at}", alive=True)
    assert server.asked == []


def test_a_short_prompt_replaces_no_saved_one(server: Server) -> None:
    mine = keeper(server)
    server.tokens = LEAST_TOKENS - 1
    for _ in range(3):
        mine.look(counts(800), alive=True)
    assert server.saves == 0


def test_what_is_above_the_limit_is_not_kept(server: Server) -> None:
    older = kept(server.folder.parent / "older", b"x" * 10)
    mine = keeper(server, limit_bytes=799)
    for _ in range(3):
        mine.look(counts(800), alive=True)
    assert (server.saves, older.exists()) == (1, True)
    assert list(server.folder.iterdir()) == []


def test_the_folder_stays_below_the_limit(server: Server) -> None:
    older = kept(server.folder.parent / "older", b"x" * 10)
    mine = keeper(server, limit_bytes=805)
    for _ in range(2):
        mine.look(counts(800), alive=True)
    assert [row.size_bytes for row in saved(server.folder.parent)] == [800]
    assert not older.exists()
