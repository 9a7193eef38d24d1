"""Our own files: private, whole or not at all, locked."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from agentlaunch import files, settings
from agentlaunch.errors import Refused


def test_a_file_is_written_whole_and_private(tmp_path: Path) -> None:
    place = tmp_path / "a" / "state.json"
    files.write_json(place, {"x": 1})
    assert files.read_json(place) == {"x": 1}
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_a_failed_write_leaves_the_old_file_and_no_leftover(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    place = tmp_path / "ours" / "state.json"
    files.write_json(place, {"old": True})
    mocker.patch("os.fsync", side_effect=OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OSError, match="No space"):
        files.write_json(place, {"new": True})
    assert files.read_json(place) == {"old": True}
    assert [file.name for file in place.parent.iterdir()] == ["state.json"]


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_a_file_that_is_no_object_reads_as_nothing(data: bytes, tmp_path: Path) -> None:
    place = tmp_path / "state.json"
    place.write_bytes(data)
    assert files.read_json(place) is None


def test_a_private_folder_is_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o755)
    files.private_dir(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_link_in_place_of_our_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="not a folder"):
        files.private_dir(tmp_path / "run")


@pytest.mark.parametrize("make", ["file", "broken link"])
def test_what_is_no_folder_in_place_of_ours_is_refused(make: str, tmp_path: Path) -> None:
    place = tmp_path / "run"
    place.write_text("") if make == "file" else place.symlink_to(tmp_path / "nowhere")
    with pytest.raises(Refused, match="not a folder"):
        files.private_dir(place)


def test_every_folder_down_to_a_private_one_is_made_private(tmp_path: Path) -> None:
    root, leaf = tmp_path / "run", tmp_path / "run" / "a" / "b"
    root.mkdir(mode=0o755)
    assert files.private_tree(root, leaf) == leaf
    modes = [stat.S_IMODE(folder.stat().st_mode) for folder in (root, root / "a", leaf)]
    assert modes == [0o700] * 3


@pytest.mark.parametrize("place", ["run", "run/a"])
def test_a_folder_of_somebody_else_above_ours_is_refused(
    place: str, tmp_path: Path, mocker: MockerFixture
) -> None:
    leaf = tmp_path / "run" / "a" / "b"
    leaf.mkdir(parents=True)
    foreign, lstat = tmp_path / place, Path.lstat

    def status(path: Path) -> os.stat_result:
        values = list(lstat(path))
        values[stat.ST_UID] += path == foreign
        return os.stat_result(values)

    mocker.patch.object(Path, "lstat", status)
    with pytest.raises(Refused, match=f"{foreign} is not a folder of this user's"):
        files.private_tree(tmp_path / "run", leaf)


def test_a_held_lock_is_refused_with_a_reason(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    with (
        files.locked(lock, timeout_s=0.1, what="a test"),
        pytest.raises(Refused, match="busy with a test"),
        files.locked(lock, timeout_s=0.05, what="a test"),
    ):
        pass  # pragma: no cover


def test_hard_links_count_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1000)
    os.link(tmp_path / "a", tmp_path / "b")
    assert files.tree_bytes(tmp_path) == 1000


def test_free_space_is_told_for_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    free = files.disk_free_bytes(tmp_path / "not" / "yet")
    assert free is not None
    assert free > 0


def test_the_tail_of_a_log_is_its_end_as_text(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert files.tail(log) == ""
    log.write_bytes(b"short \xff\n")
    assert files.tail(log) == "short \ufffd\n"
    log.write_bytes(b"a" * files.TAIL_BYTES + b"the end")
    assert files.tail(log) == "a" * (files.TAIL_BYTES - 7) + "the end"


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "settings.json"
    os.mkfifo(pipe)
    assert files.read_json(pipe) is None
    with pytest.raises(OSError, match="no plain file"):
        files.read_plain(pipe)
    with pytest.raises(Refused, match="cannot be read"):
        settings.read_toml(pipe)


def test_a_place_that_the_user_names_stays_what_it_is(tmp_path: Path) -> None:
    real, link, pipe = tmp_path / "real", tmp_path / "link", tmp_path / "pipe"
    real.write_text("old")
    link.symlink_to(real)
    files.write_given(link, b"new")
    assert (link.is_symlink(), real.read_text()) == (True, "new")
    os.mkfifo(pipe)
    with pytest.raises(OSError, match=r"No such device"):  # nobody reads
        files.write_given(pipe, b"new")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        files.write_given(pipe, b"new")
        assert os.read(reader, 10) == b"new"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_device_is_written_into_and_not_replaced() -> None:
    with pytest.raises(OSError, match="No space left"):
        files.write_given(Path("/dev/full"), b"new")
    files.write_given(Path("/dev/null"), b"new")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
