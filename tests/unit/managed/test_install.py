"""Environments of ours: whole or not there, built once, swept after a crash, removed on request."""

from __future__ import annotations

import concurrent.futures
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

import managed_tool
from agentlaunch import managed, process
from agentlaunch.errors import NotSupported, Refused
from agentlaunch.progress import Progress, finish
from agentlaunch.settings import Paths
from managed_tool import KEY, TOOL, error_of, folder_names
from places import as_words
from waiting import wait_until


def test_a_second_install_finds_the_first(paths: Paths, fake_npm: Callable[..., Path]) -> None:
    notes = fake_npm()
    first = finish(managed.install(TOOL, paths))
    assert finish(managed.install(TOOL, paths, offline=True)) == first
    assert len((notes / "argv").read_text().splitlines()) == 1


def test_two_installs_at_once_build_it_once(paths: Paths, fake_npm: Callable[..., Path]) -> None:
    notes = fake_npm("sleep 0.6")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = [pool.submit(lambda: list(managed.install(TOOL, paths))) for _run in range(2)]
        said = {report.activity for run in runs for report in run.result()}
    assert said == {
        "installing @scope/tool 1.2.3",
        "waiting for another agentlaunch that is installing @scope/tool",
    }
    assert len((notes / "argv").read_text().splitlines()) == 1
    assert folder_names(paths) == [KEY]


def test_progress_is_read_off_the_disk(paths: Paths, fake_npm: Callable[..., Path]) -> None:
    fake_npm('head -c 700 /dev/zero > "$prefix/part"\nsleep 0.5')
    reports = list(managed.install(TOOL, paths))
    assert all(
        report == Progress("installing @scope/tool 1.2.3", report.done_bytes, 1500)
        for report in reports
    )
    sizes = [report.done_bytes or 0 for report in reports]
    assert max(sizes) >= 700
    assert sizes == sorted(sizes)


def test_offline_nothing_is_installed(paths: Paths, fake_npm: Callable[..., Path]) -> None:
    fake_npm()
    with pytest.raises(NotSupported, match="nothing is installed offline"):
        finish(managed.install(TOOL, paths, offline=True))
    assert not paths.managed.exists()


def test_too_little_disk_is_seen_before_anything_is_fetched(
    paths: Paths, fake_npm: Callable[..., Path], mocker: MockerFixture
) -> None:
    notes = fake_npm()
    mocker.patch("agentlaunch.files.shutil.disk_usage", return_value=mocker.Mock(free=1_000_000))
    error = error_of(replace(TOOL, size_bytes=2_000_000), paths)
    assert (error.exit_code, error.code) == (1, "no-space")
    assert "it takes 2 MB, 1 MB are free at" in error.message
    assert not (notes / "argv").exists()


def test_a_package_without_its_program_is_not_kept(
    paths: Paths, fake_npm: Callable[..., Path]
) -> None:
    fake_npm("exit 0")
    error = error_of(TOOL, paths)
    assert error.code == "install-incomplete"
    assert "has no tool for this system" in error.message


# --- crashes -----------------------------------------------------------------------------------

INSTALL = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from managed_tool import TOOL
from agentlaunch import managed
from agentlaunch.settings import Paths
for report in managed.install(TOOL, Paths(*map(Path, sys.argv[2:]))):
    print(report.done_bytes, flush=True)
"""


def start_install(paths: Paths) -> subprocess.Popen[bytes]:
    tests = str(Path(managed_tool.__file__).parent)
    return subprocess.Popen(
        [sys.executable, "-c", INSTALL, tests, *as_words(paths)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def test_what_a_killed_install_left_is_swept_by_the_next(
    paths: Paths, fake_npm: Callable[..., Path]
) -> None:
    notes = fake_npm('echo $$ > "$FAKE_NOTES/pid"\nsleep 60')
    first = start_install(paths)
    wait_until((notes / "pid").exists)
    assert first.stdout is not None
    first.stdout.readline()
    first.send_signal(signal.SIGKILL)
    first.communicate()
    (leftover,) = managed.installed_all(paths)
    assert (leftover.name, leftover.version, leftover.complete) == ("@scope/tool", "1.2.3", False)
    assert leftover.size_bytes > 0
    assert managed.installed(TOOL, paths) is None
    fake_npm()
    finish(managed.install(TOOL, paths))
    assert folder_names(paths) == [KEY]
    pid = int((notes / "pid").read_text())
    wait_until(lambda: process.identity(pid) is None, what=f"process {pid} still runs")


def test_an_interrupted_install_leaves_nothing_behind(
    paths: Paths, fake_npm: Callable[..., Path]
) -> None:
    notes = fake_npm('echo $$ > "$FAKE_NOTES/pid"\nsleep 60')
    first = start_install(paths)
    wait_until((notes / "pid").exists)
    first.send_signal(signal.SIGINT)
    first.communicate()
    assert folder_names(paths) == []
    pid = int((notes / "pid").read_text())
    wait_until(lambda: process.identity(pid) is None, what=f"process {pid} still runs")


def test_an_interrupt_right_after_its_start_ends_the_installer(
    paths: Paths, fake_npm: Callable[..., Path], mocker: MockerFixture
) -> None:
    notes = fake_npm('echo $$ > "$FAKE_NOTES/pid"\nsleep 60')

    def interrupt(_pid: int) -> None:
        wait_until(lambda: (notes / "pid").exists() and (notes / "pid").read_text())
        raise KeyboardInterrupt

    asked = mocker.patch("agentlaunch.process.identity", side_effect=interrupt)
    with pytest.raises(KeyboardInterrupt):
        finish(managed.install(TOOL, paths))
    mocker.stop(asked)
    pid = int((notes / "pid").read_text())
    wait_until(lambda: process.identity(pid) is None, what=f"process {pid} still runs")


def test_a_damaged_environment_is_built_again(paths: Paths, fake_npm: Callable[..., Path]) -> None:
    fake_npm()
    root = finish(managed.install(TOOL, paths))
    shutil.rmtree(root / "node_modules")
    assert managed.installed(TOOL, paths) is None
    assert managed.program(TOOL, "tool", paths) is None
    assert finish(managed.install(TOOL, paths)) == root
    assert managed.installed(TOOL, paths) == root
    assert folder_names(paths) == [KEY]


def test_an_environment_and_a_leftover_are_removed(
    paths: Paths, fake_npm: Callable[..., Path]
) -> None:
    fake_npm()
    root = finish(managed.install(TOOL, paths))
    (root.parent / f".installing-{KEY}-abcd" / "env").mkdir(parents=True)
    found = managed.installed_all(paths)
    assert sorted(entry.complete for entry in found) == [False, True]
    for entry in found:
        managed.remove(entry)
    assert folder_names(paths) == []
    assert managed.installed_all(paths) == ()


def test_a_running_install_is_not_removed(paths: Paths, fake_npm: Callable[..., Path]) -> None:
    fake_npm("sleep 60")
    work = managed.install(TOOL, paths)
    next(work)
    (entry,) = managed.installed_all(paths)
    with pytest.raises(Refused, match="busy with installing"):
        managed.remove(entry)
    work.close()
    assert folder_names(paths) == []
