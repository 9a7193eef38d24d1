"""`agentlaunch doctor --fix`: what is ours and dead goes, everything else stays."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agentlaunch import files, process, settings
from agentlaunch.checks import Finding
from agentlaunch.commands import doctor, mend
from agentlaunch.engines import llama_cpp_host
from agentlaunch.errors import UsageError
from agentlaunch.settings import Paths
from agentlaunch.talk import Policy, Talk

DEAD = 2**22 + 1
"""Above the largest number that Linux gives by default."""


@pytest.fixture
def paths() -> Paths:
    places = settings.paths()
    for name in ("engines", "launches"):
        files.private_tree(places.runtime, places.runtime / name)
    return places


def _me() -> dict[str, object]:
    return {"pid": os.getpid(), "mark": llama_cpp_host.start_mark(os.getpid())}


def test_private_files_of_dead_launches_go_and_those_of_living_ones_stay(paths: Paths) -> None:
    folder = paths.runtime / "launches"
    dead = folder / f"claude-code-{DEAD}-77.json"
    living = folder / f"claude-code-{process.identity()}.json"
    foreign = folder / "notes.txt"
    for file in (dead, living, foreign):
        file.write_text("{}")
    assert mend.leftovers(paths) == (
        Finding("leftovers", "ok", "mended: removed 1 private file of launches that are over"),
    )
    assert sorted(folder.iterdir()) == sorted([living, foreign])


def test_state_files_of_dead_engines_go(paths: Paths) -> None:
    folder = paths.runtime / "engines"
    files.write_json(folder / "dead.json", {"pid": DEAD, "mark": "1"})
    (folder / "half.json").write_text('{"pid": ')
    files.write_json(folder / "living.json", _me())
    assert mend.leftovers(paths) == (
        Finding("leftovers", "ok", "mended: removed 2 state files of engines that no longer run"),
    )
    assert [path.name for path in folder.glob("*.json")] == ["living.json"]


def test_the_address_that_living_sessions_wait_for_stays(paths: Paths) -> None:
    """The next engine takes it, so that their agents find it again."""
    folder = paths.runtime / "engines"
    files.write_json(folder / "dead.json", {"pid": DEAD, "mark": "1"})
    files.private_dir(folder / "dead.leases")
    files.write_json(folder / "dead.leases" / "me", _me())
    assert mend.leftovers(paths) == ()
    assert (folder / "dead.json").exists()


def test_a_state_file_that_a_launch_holds_stays(paths: Paths) -> None:
    folder = paths.runtime / "engines"
    files.write_json(folder / "dead.json", {"pid": DEAD, "mark": "1"})
    with files.locked(folder / "dead.lock", timeout_s=1, what="a test"):
        assert mend.leftovers(paths) == ()
    assert (folder / "dead.json").exists()


def test_an_unfinished_installation_goes_and_a_whole_one_stays(paths: Paths) -> None:
    folder = paths.managed / "npm"
    half = folder / ".installing-tool@1.0-abc"
    whole = folder / "tool@1.0"
    for place in (half, whole):
        place.mkdir(parents=True)
    (half / "x").write_text("123")
    (whole / "agentlaunch.json").write_text(json.dumps({"version": "1.0", "size_bytes": 1}))
    assert mend.leftovers(paths) == (
        Finding("leftovers", "ok", "mended: removed the unfinished installation of tool 1.0 (3 B)"),
    )
    assert not half.exists()
    assert whole.exists()


def test_an_installation_at_work_stays_and_is_told(paths: Paths) -> None:
    half = paths.managed / "npm" / ".installing-tool@1.0-abc"
    half.mkdir(parents=True)
    with files.locked(half.with_name(".tool@1.0.lock"), timeout_s=1, what="a test"):
        (row,) = mend.leftovers(paths)
    assert row.status == "warning"
    assert "another agentlaunch is busy" in row.message
    assert half.exists()


def test_files_of_somebody_elses_folder_are_not_touched(paths: Paths, tmp_path: Path) -> None:
    file = tmp_path / f"claude-code-{DEAD}-77.json"
    file.write_text("{}")
    (paths.runtime / "launches").rmdir()
    (paths.runtime / "launches").symlink_to(tmp_path)
    assert mend.leftovers(paths) == ()
    assert file.exists()


def test_what_was_mended_is_a_finding_and_no_longer_a_leftover(paths: Paths) -> None:
    files.write_json(paths.runtime / "engines" / "dead.json", {"pid": DEAD, "mark": "1"})
    result = doctor.run(Talk(Policy()), None, simulate=None, record=None, fix=True)
    rows = [row for row in result.data["findings"] if row["name"] == "leftovers"]
    assert [row["status"] for row in rows] == ["ok"]


def test_another_machine_cannot_be_mended() -> None:
    with pytest.raises(UsageError):
        doctor.run(Talk(Policy()), None, simulate="ram=8GiB", record=None, fix=True)
